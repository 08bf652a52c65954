//! The one place that runs git. Only arguments say what it reads and writes: the
//! variables that lead git elsewhere, hooks, helpers, signing and prompts are off.

mod missing;

use std::path::{Path, PathBuf};

use crate::build::dir_state::{create_dir, remove_file};
use crate::build::process::{self, Cancel, CapturedBytes, Command, Exit};
use crate::model::error::Error;

/// Variables that lead git elsewhere, as `git rev-parse --local-env-vars` lists them, or
/// change what it says. They are set in a hook and in `git rebase --exec`. What contains the
/// user's settings (`GIT_CONFIG_GLOBAL`, `GIT_CONFIG_COUNT`) stays, for it can say which
/// repositories are safe.
pub const FOREIGN: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_DIR",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REFLOG_ACTION",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_WORK_TREE",
];

/// Settings of every call.
const VARIABLES: &[(&str, &str)] = &[
    // Messages that are recognised here.
    ("LC_ALL", "C"),
    // A commit is what its number says.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // Reading writes nothing, and neither asks nor fetches.
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
];

/// Configuration of every call, in place of the user's.
const CONFIG: &[&str] = &[
    "advice.detachedHead=false",
    "commit.gpgSign=false",
    // A file is unchanged only if none of its metadata changed.
    "core.checkStat=default",
    "core.fileMode=true",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.ignoreStat=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.symlinks=true",
    "core.trustctime=true",
    "core.untrackedCache=false",
    "core.warnAmbiguousRefs=true",
    "gc.auto=0",
    "index.sparse=false",
    "maintenance.auto=false",
    // Keeps a git without GIT_NO_LAZY_FETCH from fetching.
    "protocol.allow=never",
    "submodule.recurse=false",
    "worktree.useRelativePaths=false",
];

/// The most that a call may print, in bytes: all files of a kernel and more.
const OUTPUT: u64 = 4 << 30;

/// Lists the files that a checkout gives another content than the commit has, by git's
/// attributes.
pub const CONVERTED: [&str; 5] = [
    "ls-files",
    "-z",
    "--",
    ":(top)",
    ":(top,exclude,attr:!text !eol !crlf !filter !ident !working-tree-encoding)",
];

/// A repository of the user's, or a worktree of it.
#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
    cancel: Cancel,
    is_isolated: bool,
    /// The repository whose objects it borrows.
    lender: Option<PathBuf>,
}

/// Variables of a call that takes no configuration of the user's or the machine's.
const ISOLATED: &[(&str, &str)] = &[
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
];

/// How a call of git ended, unless it was interrupted.
#[derive(Debug)]
pub struct Answer {
    pub stdout: Vec<u8>,
    /// What git complained about.
    pub stderr: String,
    pub is_success: bool,
}

impl Answer {
    /// The standard output as text, without the end of its last line.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// The complaint on one line, without git's own prefix and hints.
    #[must_use]
    pub fn complaint(&self) -> String {
        let lines = self.stderr.lines().filter(|line| !line.is_empty());
        let lines = lines.map(|line| {
            let line = line.strip_prefix("fatal: ").unwrap_or(line);
            line.strip_prefix("error: ").unwrap_or(line).trim()
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}

impl Git {
    /// The repository in `dir`: the top of a work tree, linked or not, or a bare one.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, if `dir` is a folder within one, or if
    /// git does not trust its owner.
    pub fn open(dir: &Path, cancel: &Cancel) -> Result<Git, Error> {
        if !dir.is_dir() {
            return Err(Error::Usage(format!(
                "{}: not a git repository: no such directory\n  pass the folder of a clone of the kernel",
                dir.display()
            )));
        }
        let git = Git::at(dir, cancel);
        let answer = git.ask(["rev-parse", "--show-prefix"])?;
        if !answer.is_success {
            let said = &answer.stderr;
            return Err(Error::Usage(match said.contains("dubious ownership") {
                true => format!(
                    "{}: git refuses to read this repository:\n  {}",
                    dir.display(),
                    said.trim().replace('\n', "\n  ")
                ),
                false => format!(
                    "{}: not a git repository: git says '{}'\n  pass the folder of a clone of the kernel, or leave out the commit to use the files as they are",
                    dir.display(),
                    answer.complaint()
                ),
            }));
        }
        let below = answer.text();
        if !below.is_empty() {
            return Err(Error::Usage(format!(
                "{}: not the top of a git repository, but the folder {below} of one\n  pass the top folder of a clone of the kernel",
                dir.display()
            )));
        }
        Ok(git)
    }

    /// The repository that `dir` is known to be in.
    #[must_use]
    pub fn at(dir: &Path, cancel: &Cancel) -> Git {
        Git {
            dir: dir.to_owned(),
            cancel: cancel.clone(),
            is_isolated: false,
            lender: None,
        }
    }

    /// The same without any configuration of the user's or the machine's, and without any
    /// repository in a folder above: for one of klto's own, or for a folder without one.
    #[must_use]
    pub fn isolated(self) -> Git {
        Git {
            is_isolated: true,
            ..self
        }
    }

    /// The same as one that borrows the objects of another, which messages then name: the user does
    /// not know one of klto's own.
    #[must_use]
    pub fn borrowing(self, lender: &Path) -> Git {
        Git {
            lender: Some(lender.to_owned()),
            ..self
        }
    }

    /// Whether it borrows the objects of another.
    #[must_use]
    pub fn is_borrowing(&self) -> bool {
        self.lender.is_some()
    }

    /// The folder that git is called in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What ends a call early.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// A call of git in this repository.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("git").arg("--no-pager");
        for setting in CONFIG {
            command = command.args(["-c", setting]);
        }
        command = command.arg("-C").arg(&self.dir).args(args);
        command = command.output_limit(OUTPUT);
        for (name, value) in VARIABLES {
            command = command.env(*name, *value);
        }
        for name in FOREIGN {
            command = command.env_remove(*name);
        }
        if self.is_isolated {
            for (name, value) in ISOLATED {
                command = command.env(*name, *value);
            }
            for name in ["GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"] {
                command = command.env_remove(name);
            }
            if let Some(above) = self.dir.parent() {
                command = command.env("GIT_CEILING_DIRECTORIES", above);
            }
        }
        command
    }

    /// Runs git; a failure is an answer, too.
    ///
    /// # Errors
    /// If git is missing, killed or interrupted.
    pub fn ask<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer, Error> {
        self.finish(&self.command(args))
    }

    /// Runs git, which must succeed.
    ///
    /// # Errors
    /// [`Error::Machine`] with what git said, if it fails.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer, Error> {
        self.succeed(&self.command(args))
    }

    /// Runs a [`Git::command`] that has more than arguments, and must succeed.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn succeed(&self, command: &Command) -> Result<Answer, Error> {
        let answer = self.finish(command)?;
        match answer.is_success {
            true => Ok(answer),
            false => Err(self.failed(&answer)?),
        }
    }

    /// The error for a call that failed for no special reason.
    fn failed(&self, answer: &Answer) -> Result<Error, Error> {
        if self.is_borrowing() && answer.lacks_objects() {
            return self.lacks("its commits", &answer.complaint());
        }
        Ok(Error::Machine(format!(
            "{}: git failed: {}\n  {}",
            self.dir.display(),
            answer.complaint(),
            self.remedy(answer)
        )))
    }

    /// What to do after a call that failed for no special reason.
    #[must_use]
    pub fn remedy(&self, answer: &Answer) -> String {
        match answer.stderr.contains("No space left on device") {
            true => "the disk is full: free some space, or choose another directory with --work"
                .to_owned(),
            false => format!(
                "check the repository with: git -C {} fsck",
                self.lender.as_ref().unwrap_or(&self.dir).display()
            ),
        }
    }

    /// Runs a [`Git::command`]; a failure is an answer, too.
    ///
    /// # Errors
    /// As [`Git::ask`].
    pub fn finish(&self, command: &Command) -> Result<Answer, Error> {
        let done = capture(command, &self.cancel)?;
        Ok(Answer {
            stdout: done.stdout,
            stderr: done.stderr,
            is_success: done.status == Exit::Success,
        })
    }
}

/// Runs a command until it exits.
fn capture(command: &Command, cancel: &Cancel) -> Result<CapturedBytes, Error> {
    let done = process::capture_bytes(command, None, cancel)?;
    match done.status {
        Exit::Success | Exit::Code(_) => Ok(done),
        Exit::Cancelled => Err(Error::Cancelled),
        Exit::Signal(_) | Exit::TimedOut | Exit::Stopped => Err(Error::Machine(format!(
            "git did not end by itself: {}\n  run the command again: {}",
            done.status,
            command.shell_words()
        ))),
    }
}

/// The `files` that no `.gitignore` in `dir` covers. `dir` contains nothing else that
/// matters, and a repository is made in it.
///
/// # Errors
/// If git is missing or fails.
pub fn not_ignored(dir: &Path, files: &[&Path], cancel: &Cancel) -> Result<Vec<PathBuf>, Error> {
    create_dir(dir)?;
    for file in files {
        let file = dir.join(file);
        if let Some(folder) = file.parent() {
            create_dir(folder)?;
        }
        std::fs::write(&file, "").map_err(Error::io(&file, "write"))?;
    }
    remove_file(&dir.join(".git"))?;
    let git = Git::at(dir, cancel).isolated();
    let own = |args: &[&str]| {
        // The user's own excludes would hide what the kernel's do not cover.
        let command = git
            .command(["-c", "core.excludesFile=/dev/null"])
            .args(args.iter().copied());
        git.succeed(&command)
    };
    // A template of the user's could exclude files, too.
    own(&["init", "--quiet", "--template="])?;
    let listed = own(&["ls-files", "-z", "--others", "--exclude-standard"])?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let listed = listed.split('\0').filter(|f| !f.is_empty());
    let listed = listed.map(PathBuf::from);
    Ok(listed
        .filter(|file| files.contains(&file.as_path()))
        .collect())
}

#[cfg(test)]
mod tests;
