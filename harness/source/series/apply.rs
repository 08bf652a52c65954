//! Applies patches, as `git am -3` does, in a repository of klto's own. It borrows the objects
//! of the user's repository, which is only read: no ref, no index and no object of it changes.
//! Its work tree is empty but for files that a patch touches, so that a series needs no
//! checkout of the kernel.

use std::path::{Path, PathBuf};

use super::form::{FileChange, Hunk};
use super::hunk::Piece;
use crate::build::dir_state::{create_dir, remove_file};
use crate::build::process::Command;
use crate::model::error::Error;
use crate::source::commit::{Commit, lacks_objects};
use crate::source::git::{Answer, Git};

/// How a commit of a patch is made: the same patch on the same base is the same commit.
const COMMITTER: &[(&str, &str)] = &[
    ("GIT_COMMITTER_NAME", "klto"),
    ("GIT_COMMITTER_EMAIL", "klto@localhost"),
    ("TZ", "UTC"),
];

/// The same for a commit that is no patch of anybody's.
const AUTHOR: &[(&str, &str)] = &[
    ("GIT_AUTHOR_NAME", "klto"),
    ("GIT_AUTHOR_EMAIL", "klto@localhost"),
    ("GIT_AUTHOR_DATE", "@0 +0000"),
    ("GIT_COMMITTER_DATE", "@0 +0000"),
];

/// The repository of klto's own.
#[derive(Debug)]
pub struct OwnRepository {
    git: Git,
}

/// A patch to apply.
#[derive(Debug, Clone, Copy)]
pub struct Patch<'a> {
    /// The mail as the only one of an mbox, in mboxrd's quoting: no line of it begins another.
    pub mail: &'a [u8],
    /// The patch in it, as `git mailinfo` takes it out.
    pub diff: &'a [u8],
    /// What it changes, by [`super::form::changes`].
    pub changes: &'a [FileChange],
}

/// A patch that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The commit that it became.
    pub commit: String,
    /// It did not fit as it is; git found the place by the content that it names.
    pub is_merged: bool,
}

/// A patch that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What git said, on one line.
    pub why: String,
    /// The first part of a file that did not fit, if git named one.
    pub hunk: Option<(String, Hunk)>,
}

impl OwnRepository {
    /// The repository in the folder `place` for that of the user's; nobody else may use it at
    /// the same time. It is made where it is not there, or damaged.
    ///
    /// # Errors
    /// If git fails, or a file cannot be written.
    pub fn open(user: &Git, place: &Path) -> Result<OwnRepository, Error> {
        let path = |name: &str| -> Result<PathBuf, Error> {
            let path = user.run(["rev-parse", "--git-path", name])?.text();
            // Relative to where git was called.
            let path = user.dir().join(path);
            std::path::absolute(&path).map_err(Error::io(&path, "find"))
        };
        let objects = path("objects")?;
        let objects = objects
            .canonicalize()
            .map_err(Error::io(&objects, "find"))?;
        let format = user.ask(["rev-parse", "--show-object-format"])?.text();
        create_dir(place)?;
        let dir = place.join(name_of(&objects));
        let git = Git::at(&dir, user.cancel()).isolated();
        let git = git.borrowing(user.dir());
        let admin = dir.join(".git");
        let is_there = admin.join("HEAD").is_file() && git.ask(["rev-parse", "HEAD"])?.is_success;
        if !is_there {
            remove_file(&dir)?;
            create_dir(&dir)?;
            let format = match format.as_str() {
                "sha256" => "--object-format=sha256",
                _ => "--object-format=sha1",
            };
            git.run(["init", "--quiet", "--template=", format])?;
        }
        let alternates = admin.join("objects/info/alternates");
        create_dir(&admin.join("objects/info"))?;
        write(&alternates, format!("{}\n", objects.display()).as_bytes())?;
        // What a shallow clone lacks is no damage.
        let shallow = path("shallow")?;
        match std::fs::read(&shallow) {
            Ok(ends) => write(&admin.join("shallow"), &ends)?,
            Err(_) => remove_file(&admin.join("shallow"))?,
        }
        Ok(OwnRepository { git })
    }

    /// To be called in it.
    #[must_use]
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Goes to a commit, from which patches are then applied.
    ///
    /// # Errors
    /// If git fails, or files that an earlier series left cannot be removed.
    pub fn start(&self, base: &str) -> Result<(), Error> {
        let admin = self.git.dir().join(".git");
        // Nobody else uses it: what is left is of a klto that was killed.
        for left in ["rebase-apply", "index.lock", "HEAD.lock"] {
            remove_file(&admin.join(left))?;
        }
        let entries = std::fs::read_dir(self.git.dir());
        for entry in entries.map_err(Error::io(self.git.dir(), "read"))? {
            let entry = entry.map_err(Error::io(self.git.dir(), "read"))?;
            if entry.file_name() != ".git" {
                remove_file(&entry.path())?;
            }
        }
        self.git.run(["update-ref", "--no-deref", "HEAD", base])?;
        self.git.run(["read-tree", base])?;
        Ok(())
    }

    /// Applies a patch on top of what was applied before.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn apply(&self, patch: Patch<'_>) -> Result<Result<Applied, Rejected>, Error> {
        self.check_out(patch.changes)?;
        let settings = [
            "-c",
            "apply.whitespace=nowarn",
            "-c",
            "merge.conflictStyle=merge",
        ];
        let args = [
            "am",
            "--3way",
            "--patch-format=mboxrd",
            "--no-scissors",
            "--no-keep-cr",
        ];
        let mut command: Command = self
            .git
            .command(settings.into_iter().chain(args))
            .arg("--committer-date-is-author-date")
            .input(patch.mail.to_vec());
        for (name, value) in COMMITTER {
            command = command.env(*name, *value);
        }
        let answer = self.git.finish(&command)?;
        let said = answer.text();
        if answer.is_success {
            let commit = self.git.run(["rev-parse", "--verify", "HEAD"])?.text();
            let is_merged = said.contains("Falling back to patching base");
            return Ok(Ok(Applied { commit, is_merged }));
        }
        let conflicts = said.lines().filter(|line| line.starts_with("CONFLICT"));
        let complaints = answer.stderr.lines().filter_map(|line| {
            let line = line
                .strip_prefix("error: ")
                .or(line.strip_prefix("fatal: "))?;
            // The conflicts say more.
            (!line.starts_with("Failed to merge")).then_some(line)
        });
        let why: Vec<&str> = complaints.chain(conflicts).collect();
        Ok(Err(Rejected {
            why: why.join("; "),
            hunk: self.rejected_hunk(patch)?,
        }))
    }

    /// The first hunk that does not fit on what was applied before.
    fn rejected_hunk(&self, patch: Patch<'_>) -> Result<Option<(String, Hunk)>, Error> {
        // Without the conflicts of the merge.
        self.git.run(["read-tree", "HEAD"])?;
        let check = self.git.command(["apply", "--cached", "--check"]);
        let answer = self.git.finish(&check.input(patch.diff.to_vec()))?;
        Ok(answer.stderr.lines().find_map(|line| {
            let failed = line.strip_prefix("error: patch failed: ")?;
            let (path, line) = failed.rsplit_once(':')?;
            let change = patch.changes.iter().find(|change| change.path == path)?;
            let line: usize = line.parse().ok()?;
            let hunk = change.hunks.iter().find(|hunk| hunk.old_start == line)?;
            Some((path.to_owned(), hunk.clone()))
        }))
    }

    /// Brings the files that a patch names into the work tree: git takes them for changed by the
    /// user where it finds them there in the middle of a merge.
    fn check_out(&self, changes: &[FileChange]) -> Result<(), Error> {
        let paths = changes.iter();
        let paths = paths.flat_map(|change| change.from.iter().chain([&change.path]));
        let paths: Vec<u8> = paths
            .flat_map(|path| [path.as_bytes(), b"\0"].concat())
            .collect();
        let args = [
            "checkout-index",
            "--force",
            "--index",
            "--quiet",
            "-z",
            "--stdin",
        ];
        // It complains of files that are new; git am of those that should be there.
        self.git.finish(&self.git.command(args).input(paths))?;
        Ok(())
    }

    /// A commit without a piece of what was changed before it; `None` if the rest does not apply
    /// without it. The same piece of the same commit gives the same commit.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn without(&self, commit: &str, piece: &Piece) -> Result<Option<Commit>, Error> {
        self.take_out(commit, &[piece], &[])
    }

    /// The same without several pieces, which have no context.
    ///
    /// # Errors
    /// As [`OwnRepository::without`].
    pub fn without_all(&self, commit: &str, pieces: &[&Piece]) -> Result<Option<Commit>, Error> {
        self.take_out(commit, pieces, &["--unidiff-zero"])
    }

    fn take_out(
        &self,
        commit: &str,
        pieces: &[&Piece],
        options: &[&str],
    ) -> Result<Option<Commit>, Error> {
        self.git.run(["read-tree", commit])?;
        // From the end of each file, so that the lines before it stay where they are.
        for piece in pieces.iter().rev() {
            let args = ["apply", "--cached", "--reverse", "--whitespace=nowarn"];
            let apply = self.git.command(args).args(options.iter().copied());
            let applied = self.git.finish(&apply.input(piece.patch.as_bytes()))?;
            self.check_objects(commit, &applied)?;
            if !applied.is_success {
                return Ok(None);
            }
        }
        let places = pieces
            .iter()
            .map(|piece| format!("{}:{}", piece.path, piece.line));
        let message = format!("without {}", places.collect::<Vec<_>>().join(", "));
        self.commit_index(commit, &message).map(Some)
    }

    /// A commit like `on`, without what `commit` changed; or why there is none. Of a merge, what
    /// it brought to its first parent is taken out.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn revert(&self, commit: &str, on: &str) -> Result<Result<Commit, String>, Error> {
        let args = [
            "diff-tree",
            "-p",
            "--binary",
            "--full-index",
            "--no-renames",
        ];
        let parent = format!("{commit}^1");
        if !self
            .git
            .ask(["rev-parse", "--verify", "--quiet", &parent])?
            .is_success
        {
            return Ok(Err("it has no parent".to_owned()));
        }
        let of = [parent, commit.to_owned()];
        let diff = self
            .git
            .run(args.into_iter().chain(of.iter().map(String::as_str)))?;
        self.git.run(["read-tree", on])?;
        let args = [
            "apply",
            "--cached",
            "--3way",
            "--reverse",
            "--whitespace=nowarn",
        ];
        let applied = self
            .git
            .finish(&self.git.command(args).input(diff.stdout))?;
        self.check_objects(on, &applied)?;
        if !applied.is_success {
            return Ok(Err(applied.complaint()));
        }
        self.commit_index(on, &format!("without {commit}")).map(Ok)
    }

    /// A patch that could not be applied because the content is missing is not one that does not fit.
    fn check_objects(&self, commit: &str, applied: &Answer) -> Result<(), Error> {
        // Not of lines that say what does not fit: a file of the patch can be named "missing".
        let signs = [
            "failed to read ",
            "unable to read ",
            "lacks the necessary blob",
        ];
        let fits_not =
            |line: &&str| line.contains("patch failed:") || line.contains("does not apply");
        let mut lines = applied.stderr.lines().filter(|line| !fits_not(line));
        let is_missing = lines.any(|line| signs.iter().any(|sign| line.contains(sign)));
        if applied.is_success || !is_missing {
            return Ok(());
        }
        Err(lacks_objects(&self.git, commit, &applied.complaint())?)
    }

    /// A commit of what is in the index.
    fn commit_index(&self, parent: &str, message: &str) -> Result<Commit, Error> {
        let tree = self.git.run(["write-tree"])?.text();
        let args = ["commit-tree", &tree, "-p", parent, "-m", message];
        let mut command = self.git.command(args);
        for (name, value) in COMMITTER.iter().chain(AUTHOR) {
            command = command.env(*name, *value);
        }
        let id = self.git.succeed(&command)?.text();
        Commit::find(&self.git, &id)
    }

    /// The commits of a range, the oldest first.
    ///
    /// # Errors
    /// [`Error::Usage`] if a merge is among them, or there is none.
    pub fn commits(user: &Git, from: &Commit, to: &Commit) -> Result<Vec<String>, Error> {
        let range = format!("{}..{}", from.id(), to.id());
        let usage = |what: &str| {
            Error::Usage(format!(
                "{}: {}..{}: {what}",
                user.dir().display(),
                from.rev(),
                to.rev()
            ))
        };
        let merges = user.run(["rev-list", "--max-count=1", "--merges", &range])?;
        if !merges.stdout.is_empty() {
            return Err(usage(&format!(
                "the range has a merge, {}; expected patches in a row\n  rebase the branch, or name a range without merges",
                merges.text().get(..12).unwrap_or_default()
            )));
        }
        let base = user.run(["merge-base", from.id(), to.id()])?.text();
        let listed = user
            .run(["rev-list", "--reverse", "--topo-order", &range])?
            .text();
        if base != from.id() || listed.is_empty() {
            return Err(usage(
                "expected a commit and a later one that was made on top of it\n  name the base first, as in v7.2..HEAD",
            ));
        }
        Ok(listed.lines().map(str::to_owned).collect())
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    std::fs::write(path, content).map_err(Error::io(path, "write"))
}

/// A name for the repository of those objects.
fn name_of(objects: &Path) -> String {
    let hash = blake3::hash(objects.as_os_str().as_encoded_bytes());
    hash.to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests;
