//! Objects that a repository should have and does not: the clone is partial, somebody removed them,
//! or the files are damaged. A repository of klto's own borrows from the user's, so what is missing
//! is missing there.

use super::{Answer, Git};
use crate::model::error::Error;

/// How git complains of an object that is not there.
const SIGNS: [&str; 9] = [
    "unable to read",
    "missing",
    "promisor",
    "bad object",
    "bad revision",
    "invalid reference",
    "not a valid object name",
    "failed to unpack tree object",
    "invalid object",
];

impl Answer {
    /// Whether git complains that objects are not there.
    #[must_use]
    pub fn lacks_objects(&self) -> bool {
        !self.is_success && SIGNS.iter().any(|sign| self.stderr.contains(sign))
    }
}

impl Git {
    /// The error for objects that are not there; `of` names what they belong to.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn lacks(&self, of: &str, said: &str) -> Result<Error, Error> {
        let user = match &self.lender {
            Some(lender) => Git::at(lender, &self.cancel),
            None => self.clone(),
        };
        let dir = user.dir.display();
        if !user.dir.is_dir() {
            return Ok(Error::Lacks(format!(
                "{dir}: the repository is not there any more; objects of {of} were expected in it\n  put it back, or name another clone with --kernel; then run klto again"
            )));
        }
        let remedy = if user.is_partial()? {
            format!(
                "the clone is partial, and klto fetches nothing; {}",
                user.refetch()
            )
        } else {
            format!(
                "the repository is damaged, or 'git gc' removed what no branch and no tag has; see: git -C {dir} fsck; fetch again what is missing; then run klto again"
            )
        };
        Ok(Error::Lacks(format!(
            "{dir}: objects of {of} are missing (git says '{said}')\n  {remedy}"
        )))
    }

    /// How to complete a partial clone.
    #[must_use]
    pub fn refetch(&self) -> String {
        format!(
            "get all objects with: git -C {} fetch --refetch --no-filter",
            self.dir.display()
        )
    }

    /// Whether objects may be left with the remote repository.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn is_partial(&self) -> Result<bool, Error> {
        let names = r"^(remote\..*\.promisor|extensions\.partialclone)$";
        let answer = self.ask(["config", "--get-regexp", names])?;
        Ok(answer.is_success)
    }
}
