//! A worktree of klto's own, for builds of whole kernels from a commit. The user's
//! checkout, index, branches, stash, configuration and reflogs are never touched: git
//! keeps what belongs to a worktree in a folder of its own, `worktrees/NAME`.

use std::path::{Path, PathBuf};

use super::commit::{Commit, lacks_objects};
use super::git::{Answer, CONVERTED, Git};
use crate::build::dir_state::{create_dir, remove_file};
use crate::build::process::Command;
use crate::model::error::Error;

/// Settings that make a checkout differ from the commit; all off.
const AS_IN_THE_COMMIT: &[&str] = &[
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.eol=lf",
];

/// A worktree, at no commit yet or at the one of an earlier run.
#[derive(Debug)]
pub struct Worktree {
    /// The repository that it belongs to.
    repository: Git,
    /// Itself.
    git: Git,
    /// What git keeps of all worktrees of the repository.
    admin: PathBuf,
    name: String,
}

impl Worktree {
    /// The worktree of the repository in the folder `place`, which is klto's own: nobody
    /// else may use it at the same time. What a crash left of it is removed.
    ///
    /// # Errors
    /// If git refuses, or a file cannot be written.
    pub fn open(repository: &Git, place: &Path) -> Result<Worktree, Error> {
        let common = repository.run(["rev-parse", "--git-common-dir"])?.text();
        // Relative to where git was called.
        let common = repository.dir().join(common);
        let common = common.canonicalize().map_err(Error::io(&common, "find"))?;
        create_dir(place)?;
        let place = place.canonicalize().map_err(Error::io(place, "find"))?;
        let name = name_of(&common, &place);
        let worktree = Worktree {
            repository: repository.clone(),
            git: Git::at(&place.join(&name), repository.cancel()),
            admin: common.join("worktrees"),
            name,
        };
        worktree.clear_up()?;
        Ok(worktree)
    }

    /// Where the files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.git.dir()
    }

    /// Makes its files those of the commit. Files that are the same stay, with their times;
    /// changes and additions are removed.
    ///
    /// # Errors
    /// [`Error::Lacks`] if the clone lacks objects; otherwise if git fails.
    pub fn check_out(&self, commit: &Commit) -> Result<(), Error> {
        if self.own_admin().is_none() {
            self.add(commit)?;
        }
        let mut answer = self.try_check_out(commit)?;
        if !answer.is_success && !answer.lacks_objects() {
            // A crash damaged the index, or more: start again from nothing.
            self.remove()?;
            self.add(commit)?;
            answer = self.try_check_out(commit)?;
        }
        if !answer.is_success {
            return Err(self.refused(commit, &answer)?);
        }
        self.git
            .succeed(&self.command(commit, &["clean", "-ffdxq"]))?;
        self.check_attributes(commit)
    }

    /// Removes it, with what the repository knows of it.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        remove_file(self.dir())?;
        for admin in self.admins()? {
            remove_file(&admin)?;
        }
        // As git does: there only for the worktrees in it, which may be the user's.
        let _ = std::fs::remove_dir(&self.admin);
        Ok(())
    }

    fn add(&self, commit: &Commit) -> Result<(), Error> {
        let add = ["worktree", "add", "--quiet", "--detach", "--no-checkout"];
        let command = self.repository.command(add);
        let command = command.arg(self.dir()).arg(commit.id());
        // Another run that removes the last worktree removes the folder of them all, too:
        // between git's creating that folder and its use.
        for _ in 0..3 {
            if self.repository.finish(&command)?.is_success {
                return Ok(());
            }
            self.remove()?;
        }
        self.repository.succeed(&command)?;
        Ok(())
    }

    fn try_check_out(&self, commit: &Commit) -> Result<Answer, Error> {
        let args = ["checkout", "--quiet", "--force", "--detach"];
        self.git
            .finish(&self.command(commit, &args).arg(commit.id()))
    }

    /// A call of git in the worktree.
    fn command(&self, commit: &Commit, args: &[&str]) -> Command {
        let settings = AS_IN_THE_COMMIT.iter().flat_map(|setting| ["-c", setting]);
        let command = self.git.command(settings.chain(args.iter().copied()));
        // Never into a repository that the work directory happens to lie in.
        let above = self.dir().parent().unwrap_or(self.dir());
        command
            .env("GIT_CEILING_DIRECTORIES", above)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_ATTR_SOURCE", empty_tree(commit))
    }

    /// Refuses attributes of the user's that change every checkout and cannot be turned off.
    fn check_attributes(&self, commit: &Commit) -> Result<(), Error> {
        let file = self.admin.with_file_name("info").join("attributes");
        if std::fs::metadata(&file).is_ok_and(|meta| meta.len() > 0) {
            let command = self.command(commit, &CONVERTED);
            let listed = self.git.succeed(&command)?.stdout;
            if let Some(path) = listed
                .split(|byte| *byte == 0)
                .find(|path| !path.is_empty())
            {
                return Err(Error::Usage(format!(
                    "{}: it makes git change files at a checkout, such as {}; expected files as the commit has them\n  remove from it what sets text, eol, filter, ident or working-tree-encoding",
                    file.display(),
                    String::from_utf8_lossy(path)
                )));
            }
        }
        Ok(())
    }

    /// Removes what an earlier run left half-made; a whole worktree stays.
    fn clear_up(&self) -> Result<(), Error> {
        let own = self.own_admin();
        for admin in self.admins()? {
            if Some(&admin) != own.as_ref() {
                remove_file(&admin)?;
            }
        }
        match own {
            None => remove_file(self.dir()),
            // Nobody else uses it, so nobody holds these.
            Some(admin) => ["index.lock", "HEAD.lock", "locked"]
                .iter()
                .try_for_each(|lock| remove_file(&admin.join(lock))),
        }
    }

    /// What git keeps of this worktree, if that and the worktree know each other.
    fn own_admin(&self) -> Option<PathBuf> {
        let link = self.dir().join(".git");
        let read = |file: &Path| std::fs::read_to_string(file).ok();
        let admin = PathBuf::from(
            read(&link)?
                .strip_prefix("gitdir: ")?
                .trim_end_matches('\n'),
        );
        let is_ours = admin.parent() == Some(&self.admin)
            && self.is_own_name(admin.file_name()?.to_str()?)
            && Path::new(read(&admin.join("gitdir"))?.trim_end_matches('\n')) == link
            && read(&admin.join("commondir")).is_some_and(|dir| !dir.is_empty())
            && read(&admin.join("HEAD")).is_some_and(|head| !head.is_empty());
        is_ours.then_some(admin)
    }

    /// All that git keeps under our name, which nobody else takes.
    fn admins(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = match std::fs::read_dir(&self.admin) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(&self.admin, "read")(e)),
        };
        let mut admins = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io(&self.admin, "read"))?;
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| self.is_own_name(name))
            {
                admins.push(entry.path());
            }
        }
        Ok(admins)
    }

    /// git appends a number where the name is taken.
    fn is_own_name(&self, name: &str) -> bool {
        name.strip_prefix(&self.name)
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    }

    fn refused(&self, commit: &Commit, answer: &Answer) -> Result<Error, Error> {
        let said = answer.complaint();
        if answer.lacks_objects() {
            return lacks_objects(&self.repository, commit.id(), &said);
        }
        Ok(Error::Machine(format!(
            "{}: {} cannot be checked out there (git says '{said}')\n  {}",
            self.dir().display(),
            commit,
            self.repository.remedy(answer)
        )))
    }
}

/// The number of the tree without files: attributes are read from there, and so none are.
fn empty_tree(commit: &Commit) -> &'static str {
    match commit.id().len() {
        40 => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        _ => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
    }
}

/// A name that distinguishes this worktree from that of any other repository, folder or machine:
/// a repository can be shared.
fn name_of(common: &Path, place: &Path) -> String {
    let machine = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    for part in [
        common.as_os_str().as_encoded_bytes(),
        place.as_os_str().as_encoded_bytes(),
        &machine,
    ] {
        hasher.update(part).update(&[0]);
    }
    // It does not end in a digit, because git may append a number.
    format!("klto-{}-linux", &hasher.finalize().to_hex()[..12])
}

#[cfg(test)]
mod tests;
