//! The folders of a job: where it is built, and where its record is kept.

use std::path::PathBuf;

use crate::build::dir_state::{DirState, is_there, mirror, remove_file};
use crate::model::error::Error;
use crate::store::atomic::write_atomically;
use crate::store::record_dir::RecordDir;

/// The folders of a job. Nothing but the job writes there, under a lock on `folder`.
///
/// `build` is the finished tree of the job whose key is in `tree.key`, unless `built` is
/// there: then scenarios are running, `built` is that tree, and `build` is what a scenario
/// has made of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Everything but, perhaps, the record.
    pub folder: PathBuf,
    /// `record.json`, and the facts beside it.
    pub record: RecordDir,
}

impl Place {
    /// The `O=` directory.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// A copy of the finished build tree, as long as scenarios run.
    #[must_use]
    pub fn built(&self) -> PathBuf {
        self.folder.join("built")
    }

    /// Logs of the scenarios, and other build trees as long as one runs.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("scenarios")
    }

    /// The output of every command of the build.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("build.log")
    }

    /// What the compiler cache did for the build, as it notes that.
    #[must_use]
    pub fn cache_statistics(&self) -> PathBuf {
        self.folder.join("ccache.stats")
    }

    /// What was there before the first object, if that was noted.
    #[must_use]
    pub fn prepared(&self) -> PathBuf {
        self.folder.join("prepared.json")
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("tree.key")
    }

    /// Whether the finished tree of the job with that key is here.
    #[must_use]
    pub fn has_tree_of(&self, key: &str) -> bool {
        std::fs::read_to_string(self.key_file()).is_ok_and(|found| found == key)
    }

    /// Notes that the tree is finished and of which job, or that it no longer is.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn set_tree_of(&self, key: Option<&str>) -> Result<(), Error> {
        match key {
            Some(key) => write_atomically(&self.key_file(), key.as_bytes()),
            None => {
                remove_file(&self.key_file())?;
                self.forget_built()
            }
        }
    }

    /// Removes the tree and whatever scenarios left: the record, the facts and the log stay.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn reduce(&self) -> Result<(), Error> {
        self.set_tree_of(None)?;
        for file in [self.build(), self.scratch(), self.prepared()] {
            remove_file(&file)?;
        }
        Ok(())
    }

    /// Copies the finished tree aside before the first scenario; after a kill it is there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep_built(&self) -> Result<PathBuf, Error> {
        let (built, partial) = (self.built(), self.folder.join("built.partial"));
        if is_there(&built) {
            mirror(&built, &self.build())?;
        } else {
            mirror(&self.build(), &partial)?;
            std::fs::rename(&partial, &built).map_err(Error::io(&built, "write"))?;
        }
        Ok(built)
    }

    /// Removes that copy after the last scenario, which has left the tree as it was.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn forget_built(&self) -> Result<(), Error> {
        let (built, old) = (self.built(), self.folder.join("built.old"));
        remove_file(&old)?;
        if is_there(&built) {
            // A half-removed tree must not be mistaken for a complete one.
            std::fs::rename(&built, &old).map_err(Error::io(&built, "remove"))?;
        }
        remove_file(&old)
    }

    /// What was there before the first object.
    ///
    /// # Errors
    /// Where it was not noted or cannot be read.
    pub fn read_prepared(&self) -> Result<DirState, Error> {
        let file = self.prepared();
        let text = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        serde_json::from_slice(&text).map_err(|e| {
            Error::Machine(format!(
                "{}: not a list of files: {e}\n  run again with --fresh",
                file.display()
            ))
        })
    }

    /// Notes it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_prepared(&self, state: &DirState) -> Result<(), Error> {
        let text = serde_json::to_vec(state).map_err(|e| Error::Machine(e.to_string()))?;
        write_atomically(&self.prepared(), &text)
    }
}
