//! What tasks leave in the shared folder: the result of a job under its key, for other tasks and
//! later runs; and in the plan's folder, for each cell, how its task ended.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::build::dir_state::{create_dir, is_there, remove_file};
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::model::record::CellRecord;
use crate::run::place::Place;
use crate::store::lock::{Lock, Patience, Sharing};
use crate::store::packed_tree::{pack, unpack};
use crate::store::record_dir::{Loaded, RecordDir};
use crate::store::shared_dir::{copy, create, read_json, write_json};

const RECORD: &str = "record.json";
/// Beside the record: what klto keeps of a job. The tree's key is written where the tree is.
const KEPT: [&str; 3] = ["facts.klto", "imprint.json", PREPARED];
const PREPARED: &str = "prepared.json";
const TREE: &str = "tree.tar.zst";

/// How the task of a cell ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// The number of the task in the queue; empty if there was a result before.
    pub task: String,
    /// Empty if there was a result before.
    pub node: String,
    pub record: CellRecord,
}

impl Done {
    /// What the task of a cell left.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(plan: &Path, cell: usize) -> Result<Option<Done>, Error> {
        read_json(&Done::file(plan, cell))
    }

    /// Leaves it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, plan: &Path, cell: usize) -> Result<(), Error> {
        create(&plan.join("done"))?;
        write_json(&Done::file(plan, cell), self)
    }

    /// Removes it, so that another task does the cell again.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(plan: &Path, cell: usize) -> Result<(), Error> {
        remove_file(&Done::file(plan, cell))
    }

    /// The key of the job, if a later one can have its tree.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let record = &self.record;
        (record.is_finished() && !record.job.is_empty()).then_some(record.job.as_str())
    }

    fn file(plan: &Path, cell: usize) -> PathBuf {
        plan.join("done").join(format!("{cell}.json"))
    }
}

/// The result of a job in the shared folder.
#[derive(Debug, Clone)]
pub struct SharedResult {
    folder: PathBuf,
}

impl SharedResult {
    /// In that folder, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> SharedResult {
        SharedResult { folder }
    }

    /// The record of the job with that key, if it is there.
    #[must_use]
    pub fn record(&self, key: &str) -> Option<CellRecord> {
        match RecordDir::new(&self.folder).load_for(key) {
            Loaded::Same(record) => Some(*record),
            Loaded::None(_) => None,
        }
    }

    /// Whether the finished tree is there; and, if scenarios need it, what was there before the first
    /// object.
    #[must_use]
    pub fn has_tree(&self, prepared: bool) -> bool {
        let has = |file: &str| self.folder.join(file).is_file();
        has(TREE) && (!prepared || has(PREPARED))
    }

    /// As [`refresh`], of its folder.
    pub fn refresh(&self) {
        let _ = create(&self.folder);
        refresh(&self.folder);
    }

    /// Brings the result of a job to where its record says that the files are; the tree only if it is
    /// wanted. Does nothing if all of that is there.
    ///
    /// # Errors
    /// If a file cannot be read or written, or the user interrupts.
    pub fn fetch(
        &self,
        place: &Place,
        key: &str,
        tree: bool,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let has_all = || {
            matches!(place.record.load_for(key), Loaded::Same(_))
                && (!tree || has_tree_of(place, key))
        };
        if has_all() {
            return Ok(());
        }
        let patience = Patience {
            until: None::<Instant>,
            cancel,
        };
        let _lock = Lock::take(&place.folder, Sharing::Exclusive, patience, &mut |_| {})?;
        if has_all() {
            return Ok(());
        }
        let keeps_tree = has_tree_of(place, key);
        if !keeps_tree {
            // What is there is of another job.
            place.set_tree_of(None)?;
            remove_file(&place.build())?;
        }
        remove_file(&place.folder.join(RECORD))?;
        let record = RecordDir::new(&self.folder).load()?;
        for file in KEPT
            .map(PathBuf::from)
            .into_iter()
            .chain(logs(record.as_ref(), place))
        {
            let (from, to) = (self.folder.join(&file), place.folder.join(&file));
            if let Some(folder) = to.parent() {
                create_dir(folder)?;
            }
            match is_there(&from) {
                true => copy(&from, &to)?,
                false => remove_file(&to)?,
            }
        }
        if tree && !keeps_tree {
            unpack(&self.folder.join(TREE), &place.build())?;
            place.set_tree_of(Some(key))?;
        }
        copy(&self.folder.join(RECORD), &place.folder.join(RECORD))
    }

    /// Brings what a job left in its place here, the record last.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn bring(&self, place: &Place, record: &CellRecord, tree: bool) -> Result<(), Error> {
        for file in KEPT
            .map(PathBuf::from)
            .into_iter()
            .chain(logs(Some(record), place))
        {
            let (from, to) = (place.folder.join(&file), self.folder.join(&file));
            if !from.is_file() {
                continue;
            }
            create(to.parent().unwrap_or(&self.folder))?;
            copy(&from, &to)?;
        }
        // A tree that was built again has other times.
        let is_new = !record.reused || !self.has_tree(false);
        if tree && is_new && has_tree_of(place, &record.job) {
            pack(&place.build(), &self.folder.join(TREE))?;
        }
        copy(&place.folder.join(RECORD), &self.folder.join(RECORD))
    }
}

/// Whether the finished tree of that job is in its place, and not only its name: a result can be
/// fetched without the tree.
#[must_use]
pub fn has_tree_of(place: &Place, key: &str) -> bool {
    place.has_tree_of(key) && place.build().is_dir()
}

/// The log files in a place, relative to it.
fn logs(record: Option<&CellRecord>, place: &Place) -> Vec<PathBuf> {
    let logs = record.into_iter().flat_map(|record| &record.logs);
    let below = logs.filter_map(|log| Path::new(log).strip_prefix(&place.folder).ok());
    below.map(Path::to_owned).collect()
}

/// Has a network file system look at a folder again: it may remember for a while that a file was not
/// there.
pub fn refresh(folder: &Path) {
    let file = folder.join(".asked");
    let _ = std::fs::write(&file, "");
    let _ = std::fs::remove_file(&file);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Place {
        Place {
            folder: folder.to_owned(),
            record: RecordDir::new(folder),
        }
    }

    /// A finished job in its place.
    fn built(folder: &Path, key: &str, text: &str) -> (Place, CellRecord) {
        let place = place(folder);
        std::fs::create_dir_all(place.build()).unwrap();
        std::fs::write(place.build().join("vmlinux"), text).unwrap();
        std::fs::write(place.log(), format!("log of {text}")).unwrap();
        let mut record = CellRecord::new("a".to_owned());
        record.job = key.to_owned();
        record.logs = vec![place.log().display().to_string()];
        place.record.save(&record, None).unwrap();
        place.set_tree_of(Some(key)).unwrap();
        (place, record)
    }

    fn text(path: PathBuf) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    #[test]
    fn what_one_node_brings_another_fetches() {
        let dir = tempfile::tempdir().unwrap();
        let (here, shared) = (dir.path().join("w/a"), dir.path().join("s/a/k"));
        let shared = SharedResult::new(shared);
        let (there, record) = built(&here, "k", "one");
        shared.bring(&there, &record, true).unwrap();
        std::fs::remove_dir_all(&here).unwrap();

        shared.fetch(&there, "k", true, &Cancel::new()).unwrap();

        assert_eq!(text(there.build().join("vmlinux")).as_deref(), Some("one"));
        assert_eq!(text(there.log()).as_deref(), Some("log of one"));
        assert!(there.has_tree_of("k"));
        assert_eq!(there.record.load_for("k"), Loaded::Same(Box::new(record)));
    }

    #[test]
    fn a_result_without_its_tree_says_nothing_of_the_tree_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("w/a");
        let shared = SharedResult::new(dir.path().join("s/a/k"));
        let (there, record) = built(&here, "k", "one");
        shared.bring(&there, &record, false).unwrap();
        assert!(shared.record("k").is_some() && !shared.has_tree(false));
        assert_eq!(shared.record("other"), None);
        built(&here, "other", "two");

        shared.fetch(&there, "k", false, &Cancel::new()).unwrap();

        assert!(!there.has_tree_of("other") && !there.has_tree_of("k"));
        assert!(!there.build().exists());
        assert_eq!(there.record.load_for("k"), Loaded::Same(Box::new(record)));
    }

    #[test]
    fn a_folder_is_looked_at_again_once_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s/a/k");
        let shared = SharedResult::new(folder.clone());
        shared.refresh();
        let time = |folder: &Path| folder.metadata().unwrap().modified().unwrap();
        let earlier = std::time::UNIX_EPOCH;
        let handle = std::fs::File::open(&folder).unwrap();
        handle.set_modified(earlier).unwrap();
        shared.refresh();
        assert!(time(&folder) > earlier);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_tree_that_is_there_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("w/a");
        let shared = SharedResult::new(dir.path().join("s/a/k"));
        let (there, record) = built(&here, "k", "one");
        shared.bring(&there, &record, true).unwrap();
        std::fs::write(there.build().join("vmlinux"), "own").unwrap();

        shared.fetch(&there, "k", true, &Cancel::new()).unwrap();

        assert_eq!(text(there.build().join("vmlinux")).as_deref(), Some("own"));
    }
}
