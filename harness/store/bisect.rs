//! Searches as they are kept in a work directory, so that one that was interrupted goes on where it
//! was.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use crate::build::dir_state::create_dir;
use crate::model::bisect::{BisectRecord, FORMAT};
use crate::model::error::Error;

/// The folder of searches.
#[derive(Debug, Clone)]
pub struct BisectDir {
    dir: PathBuf,
}

impl BisectDir {
    /// The folder in a work directory; need not exist.
    #[must_use]
    pub fn of(work: &Path) -> BisectDir {
        BisectDir {
            dir: work.join("bisect"),
        }
    }

    /// Where klto's own files of searches are, such as a worktree.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Keeps a search, under a key that tells it from any other.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, key: &str, record: &BisectRecord) -> Result<(), Error> {
        create_dir(&self.dir)?;
        let text = serde_json::to_vec(record).map_err(|e| Error::Machine(e.to_string()))?;
        write_atomically(&self.file(key), &text)
    }

    /// The search with that key; `None` if there is none, or of another format.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn load(&self, key: &str) -> Result<Option<BisectRecord>, Error> {
        let file = self.file(key);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(file, "read")(e)),
        };
        let record = serde_json::from_slice::<BisectRecord>(&text).ok();
        Ok(record.filter(|record| record.format == FORMAT))
    }

    fn file(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.json"))
    }
}
