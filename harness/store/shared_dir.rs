//! The folder that the machines of a cluster share: plans, the results of cells under the keys of
//! their jobs, and claims, which say who is at work on one. Whatever is written there is renamed into
//! place, so that a task that is killed leaves what was there; no locks, which shared folders
//! often lack.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::atomic::{write_atomically, write_once};
use super::own_dir::OwnDir;
use crate::model::error::Error;

const OWN_DIR: OwnDir = OwnDir {
    marker: ".klto-shared",
    name: "the shared folder",
    option: "--shared",
};

/// A shared folder.
#[derive(Debug, Clone)]
pub struct SharedDir {
    dir: PathBuf,
}

/// Who is at work on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The number that the cluster gave the task; it stays when the task is requeued.
    pub task: String,
    /// How often the task was requeued before.
    pub restart: u32,
    /// The node.
    pub node: String,
    /// When, in RFC 3339, UTC.
    pub since: String,
}

impl SharedDir {
    /// Creates or enters a shared folder.
    ///
    /// # Errors
    /// [`Error::Usage`] if the folder holds something else.
    pub fn open(dir: &Path) -> Result<SharedDir, Error> {
        Ok(SharedDir {
            dir: OWN_DIR.enter(dir)?,
        })
    }

    /// Its real path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The folder of a plan.
    #[must_use]
    pub fn plan(&self, id: &str) -> PathBuf {
        self.dir.join("plans").join(id)
    }

    /// The folder with the result of a job.
    #[must_use]
    pub fn result(&self, revision: &str, cell: &str, key: &str) -> PathBuf {
        let cells = self.dir.join("cells");
        cells.join(revision).join(cell).join(key)
    }

    /// Keeps a program, under its content, where all machines can start it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written.
    pub fn keep_program(&self, program: &Path, hash: &str) -> Result<PathBuf, Error> {
        let folder = self.dir.join("programs").join(hash);
        create(&folder)?;
        let kept = folder.join("klto");
        if !kept.exists() {
            copy(program, &kept)?;
        }
        Ok(kept)
    }

    /// Claims a job, or says who has. A claim of the same task, which was requeued since, is
    /// taken over.
    ///
    /// # Errors
    /// [`Error::Io`] if the claim cannot be written or read.
    pub fn claim(&self, key: &str, own: &Claim) -> Result<Option<Claim>, Error> {
        let path = self.claim_file(key);
        create(&self.dir.join("claims"))?;
        let text = to_json(&path, own)?;
        write_once(&path, |file| file.write_all(&text))?;
        Ok(match read_json::<Claim>(&path)? {
            Some(held) if held.task == own.task => {
                write_atomically(&path, &text)?;
                None
            }
            held => held,
        })
    }

    /// Removes the claim of a task that no longer runs. Of two that do so at once, one may remove
    /// the claim of the other: then both do the work, and the results are the same.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be removed.
    pub fn drop_claim(&self, key: &str, held: &Claim) -> Result<(), Error> {
        let path = self.claim_file(key);
        if read_json::<Claim>(&path)?.as_ref() != Some(held) {
            return Ok(());
        }
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn claim_file(&self, key: &str) -> PathBuf {
        self.dir.join("claims").join(key)
    }
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Io`] if that fails.
pub fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))
}

/// Copies a file with its mode, in one step for readers.
///
/// # Errors
/// [`Error::Io`] if it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = File::open(from).map_err(Error::io(from, "read"))?;
    let meta = source.metadata().map_err(Error::io(from, "read"))?;
    super::atomic::write_atomically_by(to, |file| {
        std::io::copy(&mut source, file)?;
        file.set_permissions(meta.permissions())
    })
}

/// A file of JSON; `None` if there is none.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Kept`] if it is not what it must be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io(path, "read"))?,
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|e| Error::Kept {
        path: path.to_owned(),
        found: format!("damaged: {e}"),
        expected: "what this klto writes".to_owned(),
        remedy: "remove it and run again".to_owned(),
    })
}

/// Writes a file of JSON, in one step for readers.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    write_atomically(path, &to_json(path, value)?)
}

fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(value).map_err(|e| Error::io(path, "write")(e.into()))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(task: &str, restart: u32) -> Claim {
        Claim {
            task: task.to_owned(),
            restart,
            node: "n1".to_owned(),
            since: "2026-11-27T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn one_task_has_a_claim_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let shared = SharedDir::open(&dir.path().join("s")).unwrap();
        let (one, other) = (claim("7", 0), claim("8", 0));
        assert_eq!(shared.claim("k", &one).unwrap(), None);
        assert_eq!(shared.claim("k", &other).unwrap(), Some(one.clone()));
        assert_eq!(shared.claim("another", &other).unwrap(), None);
        // Somebody else has it by now.
        shared.drop_claim("k", &other).unwrap();
        assert_eq!(shared.claim("k", &other).unwrap(), Some(one.clone()));
        shared.drop_claim("k", &one).unwrap();
        assert_eq!(shared.claim("k", &other).unwrap(), None);
    }

    #[test]
    fn a_task_that_was_requeued_takes_its_own_claim_over() {
        let dir = tempfile::tempdir().unwrap();
        let shared = SharedDir::open(&dir.path().join("s")).unwrap();
        assert_eq!(shared.claim("k", &claim("7", 0)).unwrap(), None);
        let again = claim("7", 1);
        assert_eq!(shared.claim("k", &again).unwrap(), None);
        assert_eq!(shared.claim("k", &claim("8", 0)).unwrap(), Some(again));
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let error = SharedDir::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("with --shared"), "{error}");
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim");
        assert_eq!(read_json::<Claim>(&path).unwrap(), None);
        std::fs::write(&path, "{").unwrap();
        let error = read_json::<Claim>(&path).unwrap_err().to_string();
        assert!(error.contains("remove it and run again"), "{error}");
    }
}
