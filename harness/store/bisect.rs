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

    /// Keeps a search.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, key: &SearchKey, record: &BisectRecord) -> Result<(), Error> {
        create_dir(&self.dir)?;
        let text = serde_json::to_vec(record).map_err(|e| Error::Machine(e.to_string()))?;
        write_atomically(&self.dir.join(key.file()), &text)
    }

    /// The search with that key; `None` if there is none, or of another format.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn load(&self, key: &SearchKey) -> Result<Option<BisectRecord>, Error> {
        load(&self.dir.join(key.file()))
    }

    /// The other searches whose commits were tested in the same way.
    ///
    /// # Errors
    /// If one is there and cannot be read.
    pub fn like(&self, key: &SearchKey) -> Result<Vec<BisectRecord>, Error> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(&self.dir, "read")(e)),
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        let (start, own) = (format!("{}-", key.tests), key.file());
        let is_like =
            |name: &String| name.starts_with(&start) && name.ends_with(".json") && *name != own;
        let mut names: Vec<String> = names.filter(is_like).collect();
        names.sort();
        let searches = names.iter().map(|name| load(&self.dir.join(name)));
        Ok(searches
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

/// Tells a search from any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchKey {
    /// What tests the commits, and for what, as a hash.
    pub tests: String,
    /// Everything else, as a hash: between which commits, and what else was asked for.
    pub rest: String,
}

impl SearchKey {
    /// The name of the search among files.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.tests, self.rest)
    }

    fn file(&self) -> String {
        format!("{}.json", self.name())
    }
}

fn load(file: &Path) -> Result<Option<BisectRecord>, Error> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(file, "read")(e)),
    };
    let record = serde_json::from_slice::<BisectRecord>(&text).ok();
    Ok(record.filter(|record| record.format == FORMAT))
}
