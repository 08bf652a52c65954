//! Directories of klto's own, each with a marker in it, so that nothing of the user's is ever removed.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::model::error::Error;

/// A kind of directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnDir {
    /// The file that marks it.
    pub marker: &'static str,
    /// `the work directory`, for messages.
    pub name: &'static str,
    /// The option that names it.
    pub option: &'static str,
}

impl OwnDir {
    /// Whether `dir` is one.
    pub fn is_there(self, dir: &Path) -> bool {
        dir.join(self.marker).exists()
    }

    /// Creates or enters one; returns its real path.
    ///
    /// # Errors
    /// [`Error::Usage`] if the directory holds something else, [`Error::Io`] if it cannot be written.
    pub fn enter(self, dir: &Path) -> Result<PathBuf, Error> {
        if !self.is_there(dir) {
            match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
                // Another klto may just have created it.
                Ok(true) if self.is_there(dir) => {}
                Ok(true) => {
                    return Err(Error::Usage(format!(
                        "{}: {} holds files that klto did not make\n  choose an empty or a new directory with {}",
                        dir.display(),
                        self.name,
                        self.option
                    )));
                }
                Ok(false) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
                }
                Err(e) => return Err(Error::io(dir, "read")(e)),
            }
            let marker = dir.join(self.marker);
            File::options()
                .create(true)
                .append(true)
                .open(&marker)
                .map_err(Error::io(&marker, "write"))?;
        }
        dir.canonicalize().map_err(Error::io(dir, "read"))
    }
}
