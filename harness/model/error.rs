//! The errors that end a command, and the one map from an error to an exit code. A finding is
//! a result, not an error.

use std::path::PathBuf;

/// How `klto` ends. The numbers are a contract with `git bisect run` (see
/// `DESIGN.md`): 0 is good, 1 is bad, 125 is inconclusive and skips the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All checks passed.
    Pass,
    /// A finding, or a regression from the accepted snapshots.
    Fail,
    /// A usage or configuration error; nothing was built.
    Usage,
    /// A usage error under `--git-bisect`: 128 aborts the bisect, so that no innocent commit
    /// is blamed.
    UsageInBisect,
    /// The toolchain, the machine or a time limit failed, not the kernel.
    Inconclusive,
}

impl Exit {
    /// The process exit status.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Pass => 0,
            Exit::Fail => 1,
            Exit::Usage => 2,
            Exit::UsageInBisect => 128,
            Exit::Inconclusive => 125,
        }
    }

    /// The exit that `git bisect run` must see.
    #[must_use]
    pub fn in_bisect(self) -> Exit {
        match self {
            Exit::Usage => Exit::UsageInBisect,
            Exit::Pass | Exit::Fail | Exit::UsageInBisect | Exit::Inconclusive => self,
        }
    }
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments, matrix or allow file are wrong; the text says how to fix it.
    #[error("{0}")]
    Usage(String),
    /// Objects of the user's git repository are missing: of no commit does that say anything.
    #[error("{0}")]
    Lacks(String),
    /// The directory is not the build tree of a kernel.
    #[error("{}: not a kernel build tree: {found}\n  pass the O= directory of a kernel build; it has .config and include/config/auto.conf", .dir.display())]
    NotABuildTree { dir: PathBuf, found: String },
    /// The directory is not a kernel source tree.
    #[error("{}: not a kernel source tree: {found}\n  pass the directory with the kernel's top Makefile and Kbuild; ci/kernel-source prints one", .dir.display())]
    NotASourceTree { dir: PathBuf, found: String },
    /// The source tree was built in-tree, so an `O=` build would refuse it.
    #[error("{}: the source tree is not clean: it contains {found}\n  kbuild refuses an O= build of such a tree; clean it with: {remedy}", .dir.display())]
    UncleanSource {
        dir: PathBuf,
        found: String,
        remedy: String,
    },
    /// The build of a build tree is not finished.
    #[error("{}: the build is not finished: {reason}\n  run make again in it", .dir.display())]
    Unfinished { dir: PathBuf, reason: String },
    /// A file could not be read, written or understood.
    #[error("cannot {what} {}: {}{}", .path.display(), said(.source), hint(.source))]
    Io {
        path: PathBuf,
        what: &'static str,
        source: std::io::Error,
    },
    /// A file that klto keeps is not what it must be.
    #[error("{}: {found}; expected {expected}\n  {remedy}", .path.display())]
    Kept {
        path: PathBuf,
        found: String,
        expected: String,
        remedy: String,
    },
    /// A tool is missing or too old, or failed for a reason that is not the kernel's.
    #[error("{0}")]
    Machine(String),
    /// The user pressed Ctrl-C.
    #[error(
        "interrupted; all child processes have ended, and the work directory keeps what was built"
    )]
    Cancelled,
}

impl Error {
    /// The one map from error to exit.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_)
            | Error::Lacks(_)
            | Error::NotABuildTree { .. }
            | Error::NotASourceTree { .. }
            | Error::UncleanSource { .. }
            | Error::Kept { .. } => Exit::Usage,
            Error::Unfinished { .. } | Error::Io { .. } | Error::Machine(_) | Error::Cancelled => {
                Exit::Inconclusive
            }
        }
    }

    /// What happened and what to do, in one line.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        self.to_string().replace("\n  ", "; ")
    }

    /// An [`Error::Io`] about `path`; `what` completes "cannot … PATH", such as `read`.
    pub fn io(
        path: impl Into<PathBuf>,
        what: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, what, source }
    }
}

/// The system's message without `(os error 2)`.
fn said(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((said, _)) => said.to_owned(),
        None => text,
    }
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => {
            "\n  the disk is full: free some space, or choose another directory with --work"
        }
        // What klto itself refuses to read has no number of the system.
        std::io::ErrorKind::FileTooLarge if error.raw_os_error().is_none() => {
            "\n  nothing that belongs there is as large: see what wrote it, and remove it"
        }
        std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
            "\n  a quota or a limit on the size of files is reached: free some space, raise it, or choose another place with --work"
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "\n  the file system is mounted read-only: 'dmesg' may say why; mount it again to write, or choose another directory with --work"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usage_error_exits_otherwise_in_a_bisect() {
        assert_eq!(Exit::Usage.in_bisect().code(), 128);
        for exit in [Exit::Pass, Exit::Fail, Exit::Inconclusive] {
            assert_eq!(exit.in_bisect(), exit);
        }
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Error::io("/w/log", "write the log")(full);
        let said = "cannot write the log /w/log: no storage space\n  the disk is full: ";
        assert!(error.to_string().starts_with(said), "{error}");
        assert_eq!(error.exit(), Exit::Inconclusive);
    }

    #[test]
    fn a_read_only_disk_says_what_to_do() {
        let error = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
        let error = Error::io("/w/lock", "write")(error).to_string();
        assert!(
            error.contains("\n  the file system is mounted read-only: "),
            "{error}"
        );
    }

    #[test]
    fn a_system_error_is_one_sentence() {
        let error = Error::io("x.yaml", "read")(std::io::Error::from_raw_os_error(2));
        let said = "cannot read x.yaml: No such file or directory";
        assert_eq!(error.to_string(), said);
    }
}
