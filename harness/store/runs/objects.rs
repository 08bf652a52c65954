//! What many runs have in common, each under the hash of its content: facts and logs. What is equal
//! is kept once.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::super::atomic::write_once;
use super::super::facts_file;
use super::super::frame::{self, Limits};
use crate::file::bounded_log;
use crate::model::error::Error;
use crate::model::facts::Facts;

/// Of a kept log, when it is read back.
const LOG_LIMITS: Limits = Limits {
    window: 23,
    largest: bounded_log::LONGEST + 4096,
};
const LOG_LEVEL: i32 = 6;
/// Digits of the name of an object: a hash of BLAKE3 in hex.
const NAME_DIGITS: usize = 64;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Facts,
    /// The output of make, in a zstd frame.
    Log,
}

impl Kind {
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Kind::Facts => "facts",
            Kind::Log => "log.zst",
        }
    }
}

/// The folder of objects.
#[derive(Debug, Clone)]
pub struct Objects {
    dir: PathBuf,
}

impl Objects {
    pub(super) fn new(dir: PathBuf) -> Objects {
        Objects { dir }
    }

    /// Where an object is.
    #[must_use]
    pub fn path(&self, kind: Kind, name: &str) -> PathBuf {
        let folder = name.get(..2).unwrap_or("-");
        self.dir
            .join(folder)
            .join(format!("{name}.{}", kind.suffix()))
    }

    /// Keeps facts, as they are in a file of facts.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written, [`Error::Kept`] if that is not a file of facts.
    pub fn put_facts(&self, file: &Path, bytes: &[u8]) -> Result<String, Error> {
        let content = facts_file::of_any_job(bytes).map_err(|bad| Error::Kept {
            path: file.to_owned(),
            found: bad.to_string(),
            expected: format!("facts of format {}", facts_file::FORMAT),
            remedy: "run the cell again".to_owned(),
        })?;
        let name = blake3::hash(&content).to_hex().to_string();
        self.put(Kind::Facts, &name, &mut &content[..])?;
        Ok(name)
    }

    /// Keeps a log; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written.
    pub fn put_log(&self, log: &Path) -> Result<Option<String>, Error> {
        let unreadable = || Error::io(log, "read the log");
        match std::fs::metadata(log) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable()(e)),
            // Reading a pipe would never end.
            Ok(meta) if !meta.is_file() => return Ok(None),
            Ok(_) => {}
        }
        let open = || bounded_log::open(log);
        let mut hasher = blake3::Hasher::new();
        let mut file = open().map_err(unreadable())?;
        io::copy(&mut file, &mut hasher).map_err(unreadable())?;
        let name = hasher.finalize().to_hex().to_string();
        let mut file = open().map_err(unreadable())?;
        self.put(Kind::Log, &name, &mut file)?;
        Ok(Some(name))
    }

    /// Writes an object that is not there yet.
    fn put(&self, kind: Kind, name: &str, content: &mut dyn io::Read) -> Result<(), Error> {
        let path = self.path(kind, name);
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        write_once(&path, |file| match kind {
            Kind::Facts => io::copy(content, file).map(|_| ()),
            Kind::Log => frame::seal(file, LOG_LEVEL, LOG_LIMITS, None, |writer| {
                io::copy(content, writer).map(|_| ())
            })
            .map(|_| ()),
        })
    }

    /// Facts that a run names.
    ///
    /// # Errors
    /// [`Error::Kept`] if they are gone, damaged or of another format, [`Error::Io`] if they cannot
    /// be read.
    pub fn facts(&self, name: &str) -> Result<Facts, Error> {
        let (path, bytes) = self.bytes(Kind::Facts, name)?;
        let kept = facts_file::decode(&bytes);
        kept.map(|kept| kept.facts).map_err(|bad| {
            let expected = format!("facts of format {}", facts_file::FORMAT);
            damaged(path, bad.to_string(), expected)
        })
    }

    /// The text of a log that a run names; what is not UTF-8 in it is replaced.
    ///
    /// # Errors
    /// [`Error::Kept`] if it is gone or damaged, [`Error::Io`] if it cannot be read.
    pub fn log(&self, name: &str) -> Result<String, Error> {
        let (path, bytes) = self.bytes(Kind::Log, name)?;
        let content = frame::unseal(&bytes, LOG_LIMITS)
            .map_err(|e| damaged(path, e.to_string(), "a log of klto, in a zstd frame".into()))?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    /// The bytes of an object's file.
    pub(super) fn bytes(&self, kind: Kind, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = self.path(kind, name);
        if !is_name(name) {
            return Err(damaged(
                self.dir.clone(),
                format!("a run names the object '{}'", name.escape_default()),
                format!("{NAME_DIGITS} digits"),
            ));
        }
        match std::fs::read(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(damaged(
                path,
                "it is gone, although a run names it".to_owned(),
                "it to stay until 'klto runs gc' removes its last run".to_owned(),
            )),
            Err(e) => Err(Error::io(path, "read")(e)),
        }
    }

    /// Takes an object in from another store, if its content is what its name says.
    pub(super) fn take_in(&self, kind: Kind, name: &str, bytes: &[u8]) -> Result<(), String> {
        let content = match kind {
            Kind::Facts => {
                facts_file::decode(bytes).map_err(|bad| bad.to_string())?;
                std::borrow::Cow::Borrowed(bytes)
            }
            Kind::Log => frame::unseal(bytes, LOG_LIMITS)
                .map_err(|e| e.to_string())?
                .into(),
        };
        if blake3::hash(&content).to_hex().as_str() != name {
            return Err("its content is not that of its name".to_owned());
        }
        self.put(kind, name, &mut &*content)
            .map_err(|e| e.in_one_line())
    }

    /// Removes every object that is not in `wanted`, and what killed writers left; returns how
    /// many, and their bytes. The caller has the store to itself.
    pub(super) fn keep_only(
        &self,
        wanted: &std::collections::BTreeSet<PathBuf>,
    ) -> Result<(usize, u64), Error> {
        let mut removed = (0, 0);
        for entry in walkdir::WalkDir::new(&self.dir).min_depth(2) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e)
                    if e.io_error()
                        .is_some_and(|e| e.kind() == ErrorKind::NotFound) =>
                {
                    continue;
                }
                Err(e) => return Err(Error::io(&self.dir, "read")(e.into())),
            };
            if !entry.file_type().is_file() || wanted.contains(entry.path()) {
                continue;
            }
            let bytes = entry.metadata().map_or(0, |meta| meta.len());
            std::fs::remove_file(entry.path()).map_err(Error::io(entry.path(), "remove"))?;
            removed = (removed.0 + 1, removed.1 + bytes);
        }
        Ok(removed)
    }
}

/// Whether that can be the name of an object, and so is no path out of the folder.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == NAME_DIGITS
        && name
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn damaged(path: PathBuf, found: String, expected: String) -> Error {
    Error::Kept {
        path,
        found,
        expected,
        remedy: "import the run again from another machine, or leave it out".to_owned(),
    }
}
