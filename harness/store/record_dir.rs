//! The folder of one cell's result: `record.json`, and beside it the facts that were read
//! from the build tree, in `facts.klto`. The record is written last: it is there only if
//! everything else is.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use super::atomic::write_atomically;
use super::facts_file::{self, BadFacts};
use crate::file;
use crate::model::error::Error;
use crate::model::facts::Facts;
use crate::model::imprint::Imprint;
use crate::model::record::{CellRecord, FORMAT};

/// The largest file that is read, in bytes. Records and facts of the largest kernel have tens of
/// millions.
const LARGEST: u64 = 256 << 20;
const RECORD: &str = "record.json";
const FACTS: &str = "facts.klto";
const IMPRINT: &str = "imprint.json";

/// A folder for one record; need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDir {
    dir: PathBuf,
}

/// The results of an earlier run that can be used again.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// The record of this very job.
    Same(Box<CellRecord>),
    /// There is none; why.
    None(NotReused),
}

/// Why a record is not used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReused {
    /// The cell has no record.
    Absent,
    /// It is of a job with another key.
    OtherJob,
    /// It is damaged, cut off or of another format; what [`RecordDir::load`] says.
    Unreadable(String),
}

impl fmt::Display for NotReused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReused::Absent => write!(f, "there is no record"),
            NotReused::OtherJob => write!(
                f,
                "the record is of other sources, another configuration or another toolchain"
            ),
            NotReused::Unreadable(why) => write!(f, "{why}"),
        }
    }
}

/// What every format of a record has.
#[derive(Deserialize)]
struct Head {
    format: u32,
    klto: String,
}

impl RecordDir {
    /// The folder at `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> RecordDir {
        RecordDir { dir: dir.into() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether something with the name of a record is there.
    #[must_use]
    pub fn has_record(&self) -> bool {
        self.dir.join(RECORD).exists()
    }

    /// Writes facts and record, the record last. Where that fails, as on a full disk, an
    /// earlier record is still there.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn save(&self, record: &CellRecord, facts: Option<&Facts>) -> Result<(), Error> {
        std::fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        let path = self.dir.join(FACTS);
        match facts {
            Some(facts) => {
                let content = facts_file::encode(facts, &record.job)
                    .map_err(|why| Error::io(&path, "write the facts")(io::Error::other(why)))?;
                write_atomically(&path, &content)?;
            }
            None => match std::fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(path, "remove")(e));
                }
                Ok(()) | Err(_) => {}
            },
        }
        self.save_record(record)
    }

    /// Writes the record of the job whose facts were saved before. Where that fails, as on a
    /// full disk, an earlier record is still there.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_record(&self, record: &CellRecord) -> Result<(), Error> {
        let path = self.dir.join(RECORD);
        let mut text = serde_json::to_vec_pretty(record)
            .map_err(|e| Error::io(&path, "write the record")(e.into()))?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    /// Writes the imprint of the build, before the record of it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save_imprint(&self, imprint: &Imprint) -> Result<(), Error> {
        std::fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        let path = self.dir.join(IMPRINT);
        let text = serde_json::to_vec(imprint);
        let text = text.map_err(|e| Error::io(&path, "write the imprint")(e.into()))?;
        write_atomically(&path, &text)
    }

    /// The imprint of the build; `None` if it was not kept, or is damaged.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn imprint(&self) -> Result<Option<Imprint>, Error> {
        let path = self.dir.join(IMPRINT);
        let bytes = read_regular(&path).map_err(Error::io(&path, "read the imprint"))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The record; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Kept`] if it is cut off, damaged or
    /// of another format.
    pub fn load(&self) -> Result<Option<CellRecord>, Error> {
        let path = self.dir.join(RECORD);
        let bytes = read_regular(&path).map_err(Error::io(&path, "read the record"))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let bad = |e: serde_json::Error| Error::Kept {
            path: path.clone(),
            found: match e.classify() {
                _ if is_cut_off(&bytes, &e) => {
                    format!("the record is cut off after {} bytes", bytes.len())
                }
                Category::Eof | Category::Io | Category::Syntax => {
                    format!("the record is not JSON: {e}")
                }
                Category::Data => format!("the record is damaged: {e}"),
            },
            expected: format!("a record of format {FORMAT}"),
            remedy: AGAIN.to_owned(),
        };
        let head: Head = serde_json::from_slice(&bytes).map_err(bad)?;
        if head.format != FORMAT {
            return Err(of_other_format(
                &path,
                "record",
                (head.format, FORMAT),
                &head.klto,
            ));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(bad)
    }

    /// The record, if it is complete and of the job with that key.
    #[must_use]
    pub fn load_for(&self, key: &str) -> Loaded {
        match self.load() {
            Ok(Some(record)) if record.job == key && !key.is_empty() => {
                Loaded::Same(Box::new(record))
            }
            Ok(Some(_)) => Loaded::None(NotReused::OtherJob),
            Ok(None) => Loaded::None(NotReused::Absent),
            Err(e) => Loaded::None(NotReused::Unreadable(e.to_string())),
        }
    }

    /// The file of the facts, and its content as it is; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn facts_file(&self) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
        let path = self.dir.join(FACTS);
        let bytes = read_regular(&path).map_err(Error::io(&path, "read the facts"))?;
        Ok(bytes.map(|bytes| (path, bytes)))
    }

    /// The facts that the record is of; `None` where there is no record, or it was kept
    /// without facts.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read, [`Error::Kept`] if they are cut off,
    /// damaged, of another format or of another job than the record; as [`RecordDir::load`]
    /// for the record.
    pub fn facts(&self) -> Result<Option<Facts>, Error> {
        let Some(record) = self.load()? else {
            return Ok(None);
        };
        let Some((path, bytes)) = self.facts_file()? else {
            return Ok(None);
        };
        let kept = facts_file::decode(&bytes).map_err(|bad| match bad {
            BadFacts::OtherFormat { format, klto } => {
                of_other_format(&path, "facts", (format, facts_file::FORMAT), &klto)
            }
            BadFacts::NotFacts | BadFacts::CutOff(_) | BadFacts::Damaged(_) => Error::Kept {
                path: path.clone(),
                found: bad.to_string(),
                expected: format!("the facts of a build tree, format {}", facts_file::FORMAT),
                remedy: AGAIN.to_owned(),
            },
        })?;
        if kept.job != record.job {
            return Err(Error::Kept {
                path,
                found: format!("the facts are of job '{}'", kept.job),
                expected: format!("those of {RECORD} beside them, job '{}'", record.job),
                remedy: format!("writing was interrupted; {AGAIN}"),
            });
        }
        Ok(Some(kept.facts))
    }
}

const AGAIN: &str = "remove it and run the cell again, or check the build tree itself";

/// `formats` are what was found and what is expected.
fn of_other_format(path: &Path, what: &str, formats: (u32, u32), klto: &str) -> Error {
    let (found, expected) = formats;
    let ours = env!("CARGO_PKG_VERSION");
    Error::Kept {
        path: path.to_owned(),
        found: format!("{what} of format {found}, written by klto {klto}"),
        expected: format!("format {expected}, which klto {ours} reads"),
        remedy: match found > expected {
            true => format!("read it with klto {klto} or a later one, or run the cell again"),
            false => "run the cell again".to_owned(),
        },
    }
}

/// The parser reports half a number and half a list as different errors.
fn is_cut_off(bytes: &[u8], error: &serde_json::Error) -> bool {
    let begins = bytes.starts_with(b"{") && !bytes.trim_ascii_end().ends_with(b"}");
    error.is_eof() || (error.is_syntax() && begins)
}

/// The content of a regular file, `None` if there is none.
fn read_regular(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match file::read(path, LARGEST) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests;
