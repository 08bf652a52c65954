//! The errors that end a command, and the one map from an error to an exit
//! code. A finding is not an error: it is an answer.

use std::path::PathBuf;

/// How `klto` ends. The numbers are a contract with `git bisect run` (see
/// `DESIGN.md`): 0 is good, 1 bad, 125 "cannot tell, skip".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for holds.
    Pass,
    /// A finding, or a regression against what was accepted.
    Fail,
    /// A usage or configuration error; nothing was built.
    Usage,
    /// A usage error under `--git-bisect`: 128 aborts the bisect instead of
    /// blaming an innocent commit.
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

    /// The same ending as `git bisect run` must see it.
    #[must_use]
    pub fn in_bisect(self) -> Exit {
        match self {
            Exit::Usage => Exit::UsageInBisect,
            Exit::Pass | Exit::Fail | Exit::UsageInBisect | Exit::Inconclusive => self,
        }
    }
}

/// Why a command could not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments, matrix or allow file are wrong; the text says how to mend it.
    #[error("{0}")]
    Usage(String),
    /// The directory is not the build tree of a kernel.
    #[error("{}: not a kernel build tree: {found}\n  expected the O= directory of a kernel build (it holds .config and include/config/auto.conf); pass that directory", .dir.display())]
    NotABuildTree { dir: PathBuf, found: String },
    /// The directory is not a kernel source tree.
    #[error("{}: not a kernel source tree: {found}\n  pass the directory that holds the kernel's top Makefile and Kbuild; ci/kernel-source prints one", .dir.display())]
    NotASourceTree { dir: PathBuf, found: String },
    /// The source tree was built in-tree, so an `O=` build would refuse it.
    #[error("{}: the source tree is not clean: {found} is there\n  kbuild refuses to build elsewhere from it; clean it with: {remedy}", .dir.display())]
    UncleanSource {
        dir: PathBuf,
        found: String,
        remedy: String,
    },
    /// A build tree whose build has not reached the end.
    #[error("{}: the build is not finished: {reason}\n  run make again in it", .dir.display())]
    Unfinished { dir: PathBuf, reason: String },
    /// A file could not be read, written or understood.
    #[error("{}: {what}: {source}{}", .path.display(), full_disk_hint(.source))]
    Io {
        path: PathBuf,
        what: &'static str,
        source: std::io::Error,
    },
    /// A tool is missing, too old, or failed for a reason of its own.
    #[error("{0}")]
    Machine(String),
    /// The user pressed Ctrl-C.
    #[error(
        "interrupted; every process that was started is gone, and what was built stays in the work directory"
    )]
    Cancelled,
}

impl Error {
    /// The one map from error to exit.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_)
            | Error::NotABuildTree { .. }
            | Error::NotASourceTree { .. }
            | Error::UncleanSource { .. } => Exit::Usage,
            Error::Unfinished { .. } | Error::Io { .. } | Error::Machine(_) | Error::Cancelled => {
                Exit::Inconclusive
            }
        }
    }

    /// An [`Error::Io`] about `path`; `what` says what was being done.
    pub fn io(
        path: impl Into<PathBuf>,
        what: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, what, source }
    }
}

fn full_disk_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => {
            "\n  the disk is full: free some space, or choose another place with --work"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_aborts_a_bisect_and_nothing_else_changes() {
        assert_eq!(Exit::Usage.in_bisect().code(), 128);
        for exit in [Exit::Pass, Exit::Fail, Exit::Inconclusive] {
            assert_eq!(exit.in_bisect(), exit);
        }
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Error::io("/w/log", "write the log")(full);
        assert!(error.to_string().contains("--work"), "{error}");
        assert_eq!(error.exit(), Exit::Inconclusive);
    }
}
