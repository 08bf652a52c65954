//! The work directory of runs and probes: build trees, records, logs and reports. Several
//! klto may use it at once; each job in it has a lock of its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use super::lock::{Lock, Patience, Sharing};
use crate::model::error::Error;

/// Marks a directory as ours, so that nothing of the user's is ever deleted.
const MARKER: &str = ".klto-work";

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
        let marker = dir.join(MARKER);
        if !marker.exists() {
            match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
                // Another klto may just have created it.
                Ok(true) if marker.exists() => {}
                Ok(true) => {
                    return Err(Error::Usage(format!(
                        "{}: the work directory holds files that klto did not make\n  choose an empty or a new directory with --work",
                        dir.display()
                    )));
                }
                Ok(false) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
                }
                Err(e) => return Err(Error::io(dir, "read")(e)),
            }
            std::fs::File::options()
                .create(true)
                .append(true)
                .open(&marker)
                .map_err(Error::io(&marker, "write"))?;
        }
        Ok(WorkDir {
            dir: dir.canonicalize().map_err(Error::io(dir, "read"))?,
        })
    }

    /// Locks what all jobs share there: the copy of the sources.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn lock_sources(
        &self,
        patience: Patience<'_>,
        on_wait: &mut dyn FnMut(),
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
