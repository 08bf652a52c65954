//! The work directory of runs and probes: build trees, records, logs and reports. Several
//! klto may use it at once; each job in it has a lock of its own.

use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use super::lock::{Lock, Patience, Sharing};
use super::own_dir::OwnDir;
use crate::model::error::Error;

const OWN_DIR: OwnDir = OwnDir {
    marker: ".klto-work",
    name: "the work directory",
    option: "--work",
};

/// The same on the nodes of a cluster.
const SCRATCH: OwnDir = OwnDir {
    option: "--scratch",
    ..OWN_DIR
};

/// A work directory.
#[derive(Debug, Clone)]
pub struct WorkDir {
    dir: PathBuf,
}

impl WorkDir {
    /// Creates or enters a work directory.
    ///
    /// # Errors
    /// [`Error::Usage`] if the directory holds something else.
    pub fn open(dir: &Path) -> Result<WorkDir, Error> {
        Ok(WorkDir {
            dir: OWN_DIR.enter(dir)?,
        })
    }

    /// The same on a node of a cluster.
    ///
    /// # Errors
    /// As [`WorkDir::open`].
    pub fn open_scratch(dir: &Path) -> Result<WorkDir, Error> {
        Ok(WorkDir {
            dir: SCRATCH.enter(dir)?,
        })
    }

    /// Locks what all jobs share there: the copy of the sources.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn lock_sources(
        &self,
        patience: Patience<'_>,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lock, Error> {
        Lock::take(&self.dir, Sharing::Exclusive, patience, on_wait)
    }

    /// Writes a report file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_report(&self, name: &str, text: &str) -> Result<(), Error> {
        write_atomically(&self.dir.join(name), text.as_bytes())
    }

    /// Where the reports are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_files_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let error = WorkDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_runs_share_a_work_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkDir::open(&dir.path().join("w")).unwrap();
        let second = WorkDir::open(&dir.path().join("w")).unwrap();
        assert_eq!(first.path(), second.path());
    }
}
