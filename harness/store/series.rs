//! Verdicts on series, as they are kept in a work directory: the answer to what another tool
//! asks of one patch must be there at once.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic::write_atomically;
use crate::build::dir_state::create_dir;
use crate::model::error::Error;
use crate::model::series::{FORMAT, SeriesRecord};

/// The folder of verdicts.
#[derive(Debug, Clone)]
pub struct SeriesDir {
    dir: PathBuf,
}

/// Where the verdict on a patch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    verdict: String,
    /// The number of the patch in its series; `None` for the cover letter.
    patch: Option<usize>,
}

/// What was acknowledged of one series, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Acknowledged {
    /// Tells the series from any other.
    series: String,
    /// The numbers of findings.
    findings: BTreeSet<String>,
}

impl SeriesDir {
    /// The folder in a work directory; need not exist.
    #[must_use]
    pub fn of(work: &Path) -> SeriesDir {
        SeriesDir {
            dir: work.join("series"),
        }
    }

    /// Where klto's own repository is.
    #[must_use]
    pub fn repositories(&self) -> PathBuf {
        self.dir.join("repositories")
    }

    /// Where the patches of a series are written, as one mbox.
    #[must_use]
    pub fn mbox(&self, key: &str) -> PathBuf {
        self.dir.join("verdicts").join(format!("{key}.mbox"))
    }

    /// Writes the patches of a series, as one mbox.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn save_mbox(&self, key: &str, mbox: &[u8]) -> Result<PathBuf, Error> {
        let file = self.mbox(key);
        write_in_folder(&file, mbox)?;
        Ok(file)
    }

    /// Keeps a verdict, and where to find it by each of its patches and by its cover letter.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, key: &str, record: &SeriesRecord) -> Result<(), Error> {
        let text = serde_json::to_vec(record).map_err(|e| Error::Machine(e.to_string()))?;
        write_in_folder(&self.verdict(key), &text)?;
        let cover = record
            .thread
            .iter()
            .map(|thread| (&thread.message_id, None));
        let patches = record.patches.iter().flat_map(|patch| {
            let number = Some(patch.number);
            [(&patch.patch_id, number), (&patch.message_id, number)]
        });
        // A patch without a cover letter stands for the series, too: it comes last.
        for (name, patch) in cover.chain(patches).filter(|(name, _)| !name.is_empty()) {
            let pointer = Pointer {
                verdict: key.to_owned(),
                patch,
            };
            let text = serde_json::to_vec(&pointer).map_err(|e| Error::Machine(e.to_string()))?;
            write_in_folder(&self.pointer(name), &text)?;
        }
        Ok(())
    }

    /// The newest verdict on a patch, by its patch id or by the id of its message; and the
    /// number of the patch. `None` if it was not judged, or by another klto.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<(SeriesRecord, Option<usize>)>, Error> {
        let Some(pointer) = read::<Pointer>(&self.pointer(name))? else {
            return Ok(None);
        };
        let record = read::<SeriesRecord>(&self.verdict(&pointer.verdict))?;
        let record = record.filter(|record| record.format == FORMAT);
        Ok(record.map(|record| (record, pointer.patch)))
    }

    /// The numbers of the findings that were acknowledged of a series.
    ///
    /// # Errors
    /// If they are there and cannot be read.
    pub fn acknowledged(&self, series: &str) -> Result<BTreeSet<String>, Error> {
        let file = self.acknowledged_file(series);
        match std::fs::read(&file) {
            Ok(text) => match serde_json::from_slice::<Acknowledged>(&text) {
                Ok(acknowledged) => Ok(acknowledged.findings),
                // Somebody wrote it by hand: it is not lost.
                Err(e) => Err(Error::Kept {
                    path: file,
                    found: e.to_string(),
                    expected: "a map with 'series' and 'findings'".to_owned(),
                    remedy: "mend or remove it".to_owned(),
                }),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(e) => Err(Error::io(file, "read")(e)),
        }
    }

    /// Keeps them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn acknowledge(&self, series: &str, findings: BTreeSet<String>) -> Result<(), Error> {
        let acknowledged = Acknowledged {
            series: series.to_owned(),
            findings,
        };
        let text = serde_json::to_vec_pretty(&acknowledged);
        let text = text.map_err(|e| Error::Machine(e.to_string()))?;
        write_in_folder(&self.acknowledged_file(series), &text)
    }

    fn acknowledged_file(&self, series: &str) -> PathBuf {
        let name = format!("{}.json", name_of(series));
        self.dir.join("acknowledged").join(name)
    }

    fn verdict(&self, key: &str) -> PathBuf {
        self.dir.join("verdicts").join(format!("{key}.json"))
    }

    fn pointer(&self, name: &str) -> PathBuf {
        self.dir.join("patches").join(name_of(name))
    }
}

/// A file name for what a stranger wrote.
fn name_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

fn write_in_folder(file: &Path, content: &[u8]) -> Result<(), Error> {
    if let Some(folder) = file.parent() {
        create_dir(folder)?;
    }
    write_atomically(file, content)
}

/// What a file says; `None` if it is not there, or of another form.
fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(file, "read")(e)),
    }
}
