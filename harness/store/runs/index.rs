//! The index over the runs of a store: an `SQLite` file that is made from the runs, brought up to date
//! whenever it is opened, and can be deleted at any time.

mod query;
mod take_in;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use rusqlite_migration::{M, Migrations};
use serde::de::DeserializeOwned;

pub use self::query::ListedRun;
use self::take_in::{NotTaken, Scanned, forget, forget_unused, scan, take_in};
use super::RunStore;
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::store::lock::{Lock, Patience, Sharing};

/// A folder of its own: `SQLite` puts files beside its file, and klto a lock.
const FOLDER: &str = "index";
const FILE: &str = "index.sqlite";
/// How long to wait for another klto that writes the index.
const PATIENCE: Duration = Duration::from_mins(2);
/// Runs that are read at once: each takes some 20 MB for 2,000 cells.
const AT_ONCE: usize = 8;

/// Each step, once written, stays as it is.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("index/1.sql")),
    M::up(include_str!("index/2.sql")),
    M::up(include_str!("index/3.sql")),
];

/// The index of a store, up to date with its runs.
#[derive(Debug)]
pub struct Index {
    db: Connection,
    /// Where it is, for messages.
    path: PathBuf,
    /// Runs that cannot be read, and why.
    pub unreadable: Vec<String>,
    /// What happened to the index itself, if something did.
    pub note: Option<String>,
}

impl Index {
    /// Opens the index of a store, and brings it up to date.
    ///
    /// # Errors
    /// [`Error::Kept`] if a newer klto made it, [`Error::Io`] or [`Error::Machine`] if it can be
    /// neither read nor made, [`Error::Cancelled`] if the user interrupts while another klto has it.
    pub fn open(store: &RunStore, cancel: &Cancel) -> Result<Index, Error> {
        let folder = store.path().join(FOLDER);
        let path = folder.join(FILE);
        let mut note = None;
        // One klto at a time makes or changes it: SQLite does not wait in each of these steps.
        let lock = lock(&folder, cancel);
        let db = match lock
            .as_ref()
            .map_err(|_| Failed::ReadOnly)
            .and_then(|_| connect(&path))
        {
            Ok(db) => db,
            Err(Failed::Damaged(why)) => {
                note = Some(format!(
                    "{}: the index was damaged ({why}), and was rebuilt from the runs",
                    path.display()
                ));
                delete(&path)?;
                connect(&path).map_err(|failed| failed.error(&path))?
            }
            Err(Failed::ReadOnly) => {
                if cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let db = Connection::open_in_memory().map_err(|e| sqlite(&path, &e))?;
                prepare(db).map_err(|failed| failed.error(&path))?
            }
            Err(failed @ (Failed::Newer | Failed::Other(_))) => return Err(failed.error(&path)),
        };
        let mut index = Index {
            db,
            path,
            unreadable: Vec::new(),
            note,
        };
        index.update(store)?;
        Ok(index)
    }

    /// Takes in the runs that it does not have, and forgets those that are gone.
    fn update(&mut self, store: &RunStore) -> Result<(), Error> {
        let names: BTreeSet<String> = store.names()?.into_iter().collect();
        let known = self.names()?;
        let gone: Vec<&String> = known.difference(&names).collect();
        if !gone.is_empty() {
            self.change(|db| {
                gone.iter().try_for_each(|name| forget(db, name))?;
                forget_unused(db)
            })?;
        }
        let new: Vec<&String> = names.difference(&known).collect();
        for some in new.chunks(AT_ONCE) {
            let read = |name: &&String| (*name).clone();
            let names: Vec<String> = some.iter().map(read).collect();
            let scanned: Vec<Result<Scanned, Error>> = names
                .par_iter()
                .map(|name| {
                    let opened = store.open_run(name)?;
                    scan(opened).map_err(|bad| store.unreadable(name, bad))
                })
                .collect();
            let mut bad = Vec::new();
            self.change(|db| {
                for (name, scanned) in names.iter().zip(scanned) {
                    bad.extend(enter(db, store, name, scanned)?);
                }
                Ok(())
            })?;
            self.unreadable.extend(bad);
        }
        Ok(())
    }

    /// Changes the index, wholly or not at all.
    fn change(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Error> {
        let changed = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|db| {
                change(&db)?;
                db.commit()
            });
        changed.map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        sqlite(&self.path, error)
    }
}

/// Enters a run; why not, if it cannot be read.
fn enter(
    db: &Connection,
    store: &RunStore,
    name: &str,
    scanned: Result<Scanned, Error>,
) -> rusqlite::Result<Option<String>> {
    // Another klto may have done it since.
    let is_there = "SELECT 1 FROM runs WHERE name = ?1";
    if db.prepare_cached(is_there)?.exists([name])? {
        return Ok(None);
    }
    let error = match scanned.map(|scanned| take_in(db, &scanned)) {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(NotTaken::Index(e))) => return Err(e),
        Ok(Err(NotTaken::Run(bad))) => store.unreadable(name, bad),
        Err(error) => error,
    };
    forget(db, name)?;
    Ok(Some(error.in_one_line()))
}

/// A value that was written as JSON.
fn from_json<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
    })
}

fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// Why the index cannot be opened.
enum Failed {
    /// It is no database, or a damaged one.
    Damaged(String),
    /// It cannot be written.
    ReadOnly,
    /// A newer klto made it.
    Newer,
    Other(rusqlite::Error),
}

impl Failed {
    fn error(self, path: &Path) -> Error {
        match self {
            Failed::Newer => Error::Kept {
                path: path.to_owned(),
                found: "the index was made by a newer klto".to_owned(),
                expected: format!("an index of version {} or older", STEPS.len()),
                remedy: "use that klto, or delete the index: it is rebuilt from the runs"
                    .to_owned(),
            },
            Failed::Damaged(why) => Error::Machine(format!("{}: {why}", path.display())),
            Failed::ReadOnly => Error::Machine(format!("{}: cannot be written", path.display())),
            Failed::Other(e) => sqlite(path, &e),
        }
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(e: rusqlite::Error) -> Failed {
        match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Failed::Damaged(e.to_string())
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Failed::ReadOnly
            }
            Some(_) | None => Failed::Other(e),
        }
    }
}

/// Locks the index.
fn lock(folder: &Path, cancel: &Cancel) -> Result<Lock, Error> {
    let patience = Patience {
        until: None,
        cancel,
    };
    Lock::take(folder, Sharing::Exclusive, patience, &mut |_| {})
}

fn connect(path: &Path) -> Result<Connection, Failed> {
    prepare(Connection::open(path)?)
}

fn prepare(mut db: Connection) -> Result<Connection, Failed> {
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // In KiB: all of an index of a thousand runs.
    db.pragma_update(None, "cache_size", -262_144)?;
    match Migrations::from_slice(STEPS).to_latest(&mut db) {
        Ok(()) => {}
        Err(rusqlite_migration::Error::MigrationDefinition(_)) => return Err(Failed::Newer),
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => return Err(err.into()),
        Err(e) => return Err(Failed::Damaged(e.to_string())),
    }
    Ok(db)
}

/// Removes the index and what `SQLite` keeps beside it.
fn delete(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(PathBuf::from(file), "remove")(e));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn sqlite(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Error::io(path, "write the index")(std::io::ErrorKind::StorageFull.into())
        }
        Some(_) | None => Error::Machine(format!(
            "{}: the index of the runs failed: {error}\n  delete it: it is rebuilt from the runs",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests;
