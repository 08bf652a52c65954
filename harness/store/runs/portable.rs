//! A run as one file, which another machine can import: a tar archive of the run's file and of the
//! facts and logs that it names, as they are in the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::file::{self, BadRun};
use super::objects::{Kind, is_name as is_object};
use super::{RunStore, SUFFIX, is_name};
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::model::stored::RunHead;
use crate::store::atomic::{write_atomically_by, write_once};
use crate::store::lock::Sharing;

/// No entry of an archive is longer.
const LARGEST: u64 = 2 << 30;

/// A run that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub head: RunHead,
    /// Whether the store had it already.
    pub was_there: bool,
}

impl RunStore {
    /// Writes a run to a file, with its facts and logs.
    ///
    /// # Errors
    /// [`Error::Kept`] if something of it is damaged or gone, [`Error::Io`] if the file cannot be
    /// written.
    pub fn export(&self, name: &str, to: &Path, cancel: &Cancel) -> Result<(), Error> {
        let _lock = self.lock(Sharing::Shared, cancel)?;
        let opened = self.open_run(name)?;
        let path = self.file(name);
        let mut wanted = BTreeMap::new();
        for cell in opened.cells() {
            let kept = cell.map_err(|bad| self.unreadable(name, bad))?.kept;
            for (kind, object) in kept.objects() {
                wanted.insert(entry(kind, object), (kind, object.to_owned()));
            }
        }
        let run = std::fs::read(&path).map_err(Error::io(&path, "read the run"))?;
        let mut failed = None;
        let written = write_atomically_by(to, |file| {
            let mut archive = tar::Builder::new(file);
            for (entry, (kind, object)) in &wanted {
                match self.objects().bytes(*kind, object) {
                    Ok((_, bytes)) => append(&mut archive, entry, &bytes)?,
                    Err(error) => {
                        failed = Some(error);
                        return Err(io::Error::other("an object is damaged"));
                    }
                }
            }
            append(&mut archive, &format!("{name}{SUFFIX}"), &run)?;
            archive.into_inner()?.flush()
        });
        match failed {
            Some(error) => Err(error),
            None => written,
        }
    }

    /// Takes in a run that another store exported. Its file comes last, so that it is there only if
    /// everything that it names is.
    ///
    /// # Errors
    /// [`Error::Kept`] if the file is not an exported run, is cut off or damaged, [`Error::Io`] if
    /// something cannot be read or written. What was in the store stays as it was.
    pub fn import(&self, from: &Path, cancel: &Cancel) -> Result<Imported, Error> {
        let _lock = self.lock(Sharing::Shared, cancel)?;
        let bad = |found: String| Error::Kept {
            path: from.to_owned(),
            found,
            expected: "a run, as 'klto runs export' writes it".to_owned(),
            remedy: "export it again".to_owned(),
        };
        let not_tar = |e: io::Error| bad(format!("it is not a whole archive: {e}"));
        let file = File::open(from).map_err(Error::io(from, "read"))?;
        let mut archive = tar::Archive::new(io::BufReader::new(file));
        for member in archive.entries().map_err(not_tar)? {
            let mut member = member.map_err(not_tar)?;
            let path = member
                .path()
                .map_err(not_tar)?
                .to_string_lossy()
                .into_owned();
            let mut bytes = Vec::new();
            (&mut member)
                .take(LARGEST)
                .read_to_end(&mut bytes)
                .map_err(not_tar)?;
            if let Some((kind, name)) = object(&path) {
                let taken = self.objects().take_in(kind, name, &bytes);
                taken.map_err(|why| bad(format!("{path}: {why}")))?;
            } else if let Some(name) = path.strip_suffix(SUFFIX).filter(|name| is_name(name)) {
                return self.take_in(name, &bytes, &bad);
            } else {
                return Err(bad(format!("it has '{}'", path.escape_default())));
            }
        }
        Err(bad("it ends without a run".to_owned()))
    }

    /// Adds the file of a run whose objects are there.
    fn take_in(
        &self,
        name: &str,
        bytes: &[u8],
        bad: &dyn Fn(String) -> Error,
    ) -> Result<Imported, Error> {
        let as_bad = |why: BadRun| bad(format!("{name}: {why}"));
        let opened = file::open(bytes).map_err(as_bad)?;
        if opened.head.run != name || opened.name() != name {
            return Err(bad(format!("its content is not that of run {name}")));
        }
        for cell in opened.cells() {
            let cell = cell.map_err(as_bad)?;
            cell.bare_record().map_err(as_bad)?;
            for (kind, object) in cell.kept.objects() {
                if !is_object(object) || !self.objects().path(kind, object).is_file() {
                    let object = object.escape_default();
                    return Err(bad(format!("the run names '{object}', which is not in it")));
                }
            }
        }
        let path = self.file(name);
        let was_there = path.exists();
        if was_there && std::fs::read(&path).map_err(Error::io(&path, "read the run"))? != bytes {
            return Err(bad(format!("the store has another run of the name {name}")));
        }
        write_once(&path, |file| file.write_all(bytes))?;
        Ok(Imported {
            head: opened.head,
            was_there,
        })
    }
}

/// The name of an object in an archive.
fn entry(kind: Kind, object: &str) -> String {
    format!("objects/{object}.{}", kind.suffix())
}

/// The object that an entry of an archive is.
fn object(entry: &str) -> Option<(Kind, &str)> {
    let file = entry.strip_prefix("objects/")?;
    let of_kind = |kind: Kind| {
        let name = file.strip_suffix(kind.suffix())?.strip_suffix('.')?;
        is_object(name).then_some((kind, name))
    };
    of_kind(Kind::Facts).or_else(|| of_kind(Kind::Log))
}

fn append(archive: &mut tar::Builder<&mut File>, entry: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, entry, bytes)
}
