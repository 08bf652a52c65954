//! The folder that whole kernels are built from: the user's own, or one in the work
//! directory, where scenarios and mutations may change files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::commit::Commit;
use super::sources::{Origin, Sources};
use super::worktree::Worktree;
use crate::build::dir_state::mirror_sources;
use crate::input::mutation::Mutation;
use crate::model::error::Error;

/// Where the worktrees lie in a work directory.
const WORKTREES: &str = "worktree";
/// Where the copy of a directory lies in a work directory.
const COPY: &str = "source";

impl Sources {
    /// Whether [`Sources::prepare`] writes files, which takes a while.
    #[must_use]
    pub fn is_copied(&self, mutations: &[Mutation], needs_own_copy: bool) -> bool {
        let is_commit = matches!(self.origin(), Origin::Commit(_));
        is_commit || needs_own_copy || !mutations.is_empty()
    }

    /// The folder that [`Sources::prepare`] returns where nothing is changed.
    ///
    /// # Errors
    /// If git fails.
    pub fn folder(&self, work: &Path) -> Result<PathBuf, Error> {
        self.folder_for(work, &[], false)
    }

    /// The folder that [`Sources::prepare`] returns.
    ///
    /// # Errors
    /// If git fails.
    pub fn folder_for(
        &self,
        work: &Path,
        mutations: &[Mutation],
        needs_own_copy: bool,
    ) -> Result<PathBuf, Error> {
        Ok(match self.origin() {
            Origin::Directory(_) if self.is_copied(mutations, needs_own_copy) => work.join(COPY),
            Origin::Directory(dir) => dir.clone(),
            Origin::Commit(commit) => worktree(commit, work)?.dir().to_owned(),
        })
    }

    /// Returns a folder with the sources, with the mutations applied. It is the user's own
    /// directory if nothing in it is to change; otherwise one in `work` that nobody else
    /// uses: a copy of the directory, or a worktree with the commit. What an
    /// earlier run changed there is brought back first. `needs_own_copy`: the caller will
    /// change files.
    ///
    /// # Errors
    /// If a file cannot be read or written, if git fails, and [`Error::Usage`]
    /// if a mutation does not fit.
    pub fn prepare(
        &self,
        work: &Path,
        mutations: &[Mutation],
        needs_own_copy: bool,
    ) -> Result<PathBuf, Error> {
        let dir = match self.origin() {
            Origin::Directory(dir) if !self.is_copied(mutations, needs_own_copy) => {
                return Ok(dir.clone());
            }
            Origin::Directory(dir) => {
                let copy = work.join(COPY);
                mirror_sources(dir, &copy)?;
                copy
            }
            Origin::Commit(commit) => {
                let worktree = worktree(commit, work)?;
                worktree.check_out(commit)?;
                worktree.dir().to_owned()
            }
        };
        self.mutate(&dir, mutations)?;
        Ok(dir)
    }

    /// Applies the mutations in a folder of ours.
    fn mutate(&self, dir: &Path, mutations: &[Mutation]) -> Result<(), Error> {
        for mutation in mutations {
            for file in mutation.files().collect::<BTreeSet<_>>() {
                let path = dir.join(file);
                if !is_within(dir, &path) {
                    return Err(mutation.no_file(Path::new(&self.to_string()), file));
                }
                let text = std::fs::read(&path).map_err(Error::io(&path, "read"))?;
                let text = mutation.apply(file, &text).map_err(Error::Usage)?;
                std::fs::write(&path, text).map_err(Error::io(&path, "write"))?;
            }
        }
        Ok(())
    }
}

fn worktree(commit: &Commit, work: &Path) -> Result<Worktree, Error> {
    Worktree::open(commit.git(), &work.join(WORKTREES))
}

/// Whether a file is there and, all links followed, in the folder.
fn is_within(dir: &Path, file: &Path) -> bool {
    let real = dir
        .canonicalize()
        .and_then(|dir| Ok((dir, file.canonicalize()?)));
    real.is_ok_and(|(dir, file)| file.starts_with(dir) && file.is_file())
}

#[cfg(test)]
mod tests;
