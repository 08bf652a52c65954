//! The build trees that a task has on its node. Once it is done, those go that are not to be kept;
//! the shared folder has what other tasks need.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::run::place::Place;
use crate::run::schedule::trees::remove;
use crate::store::lock::{Lock, Patience, Sharing};

/// A tree that other tasks on the node leave as it is.
#[derive(Debug)]
pub(super) struct Used {
    place: Place,
    folder: PathBuf,
    lock: Lock,
}

impl Used {
    /// Notes in the work directory that the tree of a place is used.
    pub fn by_task(work: &Path, place: Place, cancel: &Cancel) -> Result<Used, Error> {
        let hash = blake3::hash(place.folder.as_os_str().as_encoded_bytes()).to_hex();
        let folder = work.join("in-use").join(hash.as_str());
        let patience = Patience {
            until: None,
            cancel,
        };
        let lock = Lock::take(&folder, Sharing::Shared, patience, &mut |_| {})?;
        Ok(Used {
            place,
            folder,
            lock,
        })
    }

    /// Removes the tree, unless another task uses it.
    pub fn remove(self, cancel: &Cancel) -> Result<(), Error> {
        drop(self.lock);
        let patience = Patience {
            until: Some(Instant::now()),
            cancel,
        };
        match Lock::take(&self.folder, Sharing::Exclusive, patience, &mut |_| {}) {
            Ok(_lock) => remove(&self.place, cancel),
            // That task removes it.
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record_dir::RecordDir;

    #[test]
    fn the_last_task_that_uses_a_tree_removes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (work, folder) = (dir.path().join("w"), dir.path().join("w/cells/1/a"));
        let place = Place {
            record: RecordDir::new(&folder),
            folder,
        };
        std::fs::create_dir_all(place.build()).unwrap();
        let cancel = Cancel::new();
        let used = || Used::by_task(&work, place.clone(), &cancel).unwrap();
        let (first, last) = (used(), used());
        first.remove(&cancel).unwrap();
        assert!(place.build().is_dir());
        last.remove(&cancel).unwrap();
        assert!(!place.build().exists());
    }
}
