//! The store of runs: what `klto run` and `klto probe` found, kept for questions that nobody has
//! asked yet.
//!
//! ```text
//! runs/20261127T091312.123Z-5d41402a.jsonl.zst   one run: a line for each cell
//! objects/5d/5d41….facts                         what was read from a build tree
//! objects/a7/a7c3….log.zst                       what make said
//! index/index.sqlite                             made from the runs; can be deleted
//! ```
//!
//! A run is there as soon as its file is, and that is written last, whole or not at all. Runs are
//! only added and removed, never changed. Several klto may write at once: each holds the lock
//! shared; whoever removes has it to himself.

pub mod disk;
pub mod file;
pub mod index;
pub mod objects;
mod portable;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;

use self::file::{BadRun, Kept, Opened, StoredRun};
use self::objects::{Kind, Objects};
use super::atomic::{PARTIAL, write_once};
use super::facts_file;
use super::lock::{Lock, Patience, Sharing};
use super::own_dir::OwnDir;
use super::record_dir::RecordDir;
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::model::record::{CellRecord, RunRecord};
use crate::model::stored::RunHead;

const OWN_DIR: OwnDir = OwnDir {
    marker: ".klto-store",
    name: "the store",
    option: "--store",
};
const RUNS: &str = "runs";
const OBJECTS: &str = "objects";
const SUFFIX: &str = ".jsonl.zst";
/// How a name looks: digits and letters for themselves, `0` for any digit, `x` for one of a hash.
const NAME_FORM: &str = "00000000T000000.000Z-xxxxxxxx";
/// How far the clock may have gone back since the last run before klto says so.
const USUAL_STEP: Duration = Duration::from_secs(2);

/// A store of runs.
#[derive(Debug, Clone)]
pub struct RunStore {
    dir: PathBuf,
}

/// A run that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub head: RunHead,
    /// How far the clock has gone back since the last run was recorded, if that is much.
    pub clock_went_back: Option<Duration>,
    /// Logs and facts that could not be kept, and why.
    pub missing: Vec<String>,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    pub runs: usize,
    /// Facts and logs that no other run has.
    pub objects: usize,
    /// Of the objects.
    pub bytes: u64,
}

impl RunStore {
    /// Enters a store, and creates it if there is none.
    ///
    /// # Errors
    /// [`Error::Usage`] if the folder has something else, [`Error::Io`] if it cannot be written.
    pub fn open(dir: &Path) -> Result<RunStore, Error> {
        let dir = OWN_DIR.enter(dir)?;
        for folder in [RUNS, OBJECTS] {
            let folder = dir.join(folder);
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
        }
        Ok(RunStore { dir })
    }

    /// Enters a store that is there.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none.
    pub fn existing(dir: &Path) -> Result<RunStore, Error> {
        if !OWN_DIR.is_there(dir) {
            return Err(Error::Usage(format!(
                "{}: there is no store of runs\n  'klto run' makes one; name another with --store or KLTO_STORE",
                dir.display()
            )));
        }
        let dir = dir
            .canonicalize()
            .map_err(Error::io(dir, "read the store"))?;
        Ok(RunStore { dir })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Facts and logs.
    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects::new(self.dir.join(OBJECTS))
    }

    /// The names of all runs, the oldest first.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let folder = self.dir.join(RUNS);
        let unreadable = || Error::io(&folder, "read the runs");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable())? {
            let file = entry.map_err(unreadable())?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(RUNS).join(format!("{name}{SUFFIX}"))
    }

    /// Opens a run, without reading its cells.
    ///
    /// # Errors
    /// [`Error::Kept`] if it is cut off, damaged or of another format, [`Error::Io`] if it cannot
    /// be read.
    pub fn open_run(&self, name: &str) -> Result<Opened, Error> {
        let path = self.file(name);
        let bytes = std::fs::read(&path).map_err(Error::io(&path, "read the run"))?;
        let opened = file::open(&bytes).map_err(|bad| self.unreadable(name, bad))?;
        if opened.head.run != name {
            let bad = BadRun::Damaged(format!("it says that it is run '{}'", opened.head.run));
            return Err(self.unreadable(name, bad));
        }
        Ok(opened)
    }

    /// The error that a run cannot be read.
    #[must_use]
    pub fn unreadable(&self, name: &str, bad: BadRun) -> Error {
        unreadable(self.file(name), name, bad)
    }

    /// Reads a run.
    ///
    /// # Errors
    /// As [`RunStore::open_run`].
    pub fn load(&self, name: &str) -> Result<StoredRun, Error> {
        let run = self.open_run(name)?.read();
        run.map_err(|bad| self.unreadable(name, bad))
    }

    /// Adds a run; `record_dir` says where the record of a cell is, and the facts beside it.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be written: then the run is not there, and everything else
    /// is as it was.
    pub fn add(
        &self,
        run: &RunRecord,
        record_dir: &(dyn Fn(&CellRecord) -> Option<RecordDir> + Sync),
        cancel: &Cancel,
    ) -> Result<Added, Error> {
        let _lock = self.lock(Sharing::Shared, cancel)?;
        let objects = self.objects();
        let kept = run
            .cells
            .par_iter()
            .map(|cell| keep(&objects, cell, record_dir(cell)));
        let (kept, missing): (Vec<Kept>, Vec<Vec<String>>) =
            kept.collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
        let added = self.write(run, &kept, Vec::new(), cancel)?;
        Ok(Added {
            missing: missing.concat(),
            ..added
        })
    }

    /// Adds a run whose facts and logs are here already, as `kept` says of each cell; `replaces` are
    /// the runs that it was merged from.
    ///
    /// # Errors
    /// As [`RunStore::add`].
    pub fn add_merged(
        &self,
        run: &RunRecord,
        kept: &[Kept],
        replaces: Vec<String>,
        cancel: &Cancel,
    ) -> Result<Added, Error> {
        let _lock = self.lock(Sharing::Shared, cancel)?;
        self.write(run, kept, replaces, cancel)
    }

    /// Writes the file of a run. The caller has the lock.
    fn write(
        &self,
        run: &RunRecord,
        kept: &[Kept],
        replaces: Vec<String>,
        cancel: &Cancel,
    ) -> Result<Added, Error> {
        let body = file::body(run, kept).map_err(|e| Error::Machine(e.to_string()))?;
        let _order = self.lock_order(cancel)?;
        let (recorded, clock_went_back) = self.next_time(SystemTime::now())?;
        let head = RunHead {
            run: file::name(&recorded, &body),
            recorded,
            matrix: run.matrix.clone(),
            kernel: run.kernel.clone(),
            revision: run.revision.clone(),
            mutations: run.mutations.clone(),
            shard: run.shard.as_ref().map(|record| record.shard),
            replaces,
            cells: run.cells.len(),
        };
        let path = self.file(&head.run);
        let content = file::encode(&head, &body).map_err(Error::io(&path, "write"))?;
        write_once(&path, |file| file.write_all(&content))?;
        Ok(Added {
            head,
            clock_went_back,
            missing: Vec::new(),
        })
    }

    /// When a run is recorded that is recorded now: after every other run.
    fn next_time(&self, now: SystemTime) -> Result<(String, Option<Duration>), Error> {
        let text = |time: SystemTime| humantime::format_rfc3339_millis(time).to_string();
        let last = self.names()?.pop().and_then(|name| recorded(&name));
        let Some(last) = last.filter(|last| text(*last) >= text(now)) else {
            return Ok((text(now), None));
        };
        let back = last.duration_since(now).unwrap_or_default();
        let next = last + Duration::from_millis(1);
        Ok((text(next), Some(back).filter(|back| *back > USUAL_STEP)))
    }

    /// Removes runs, then the facts and logs that no other run has.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be removed, [`Error::Kept`] if a run that stays cannot be
    /// read: what it needs is not known, so no facts and logs are removed.
    pub fn remove(&self, names: &[String], cancel: &Cancel) -> Result<Removed, Error> {
        let _lock = self.lock(Sharing::Exclusive, cancel)?;
        for name in names {
            let path = self.file(name);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(path, "remove")(e));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.remove_partial()?;
        let (objects, bytes) = self.objects().keep_only(&self.referenced()?)?;
        Ok(Removed {
            runs: names.len(),
            objects,
            bytes,
        })
    }

    /// Removes what killed writers left among the runs.
    fn remove_partial(&self) -> Result<(), Error> {
        let folder = self.dir.join(RUNS);
        let unreadable = || Error::io(&folder, "read the runs");
        for entry in std::fs::read_dir(&folder).map_err(unreadable())? {
            let entry = entry.map_err(unreadable())?;
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
            }
        }
        Ok(())
    }

    /// The files of the objects that the runs name.
    fn referenced(&self) -> Result<BTreeSet<PathBuf>, Error> {
        let names = self.names()?;
        let sets = names.par_iter().map(|name| self.objects_of(name));
        sets.try_reduce(BTreeSet::new, |mut all, more| {
            all.extend(more);
            Ok(all)
        })
    }

    /// The files of the objects that a run names.
    fn objects_of(&self, name: &str) -> Result<BTreeSet<PathBuf>, Error> {
        let (objects, opened) = (self.objects(), self.open_run(name)?);
        let mut paths = BTreeSet::new();
        for cell in opened.cells() {
            let kept = cell.map_err(|bad| self.unreadable(name, bad))?.kept;
            paths.extend(kept.objects().map(|(kind, name)| objects.path(kind, name)));
        }
        Ok(paths)
    }

    fn lock(&self, sharing: Sharing, cancel: &Cancel) -> Result<Lock, Error> {
        let patience = Patience {
            until: None,
            cancel,
        };
        Lock::take(&self.dir, sharing, patience, &mut |_| {})
    }

    /// Runs are named one after the other.
    fn lock_order(&self, cancel: &Cancel) -> Result<Lock, Error> {
        let patience = Patience {
            until: None,
            cancel,
        };
        Lock::take(
            &self.dir.join(RUNS),
            Sharing::Exclusive,
            patience,
            &mut |_| {},
        )
    }
}

impl Kept {
    /// The objects that it names.
    pub fn objects(&self) -> impl Iterator<Item = (Kind, &str)> {
        let facts = self.facts.iter().map(|name| (Kind::Facts, name.as_str()));
        let logs = self.logs.iter().flatten();
        facts.chain(logs.map(|name| (Kind::Log, name.as_str())))
    }
}

/// Keeps the facts and logs of a cell; also returns what could not be kept.
fn keep(
    objects: &Objects,
    cell: &CellRecord,
    record_dir: Option<RecordDir>,
) -> Result<(Kept, Vec<String>), Error> {
    let mut missing = Vec::new();
    let mut note = |what: &dyn Display| missing.push(format!("{}: {what}", cell.cell));
    let mut kept = Kept::default();
    let facts = match record_dir.filter(|_| cell.inspection.is_some()) {
        Some(dir) => dir.facts_file()?,
        None => None,
    };
    match facts.map(|(path, bytes)| (facts_file::job(&bytes) == Ok(&cell.job), path, bytes)) {
        Some((true, path, bytes)) => kept.facts = Some(objects.put_facts(&path, &bytes)?),
        Some((false, path, _)) => note(&format_args!(
            "{}: damaged, or of another job by now; the facts are not kept",
            path.display()
        )),
        None => {}
    }
    for log in &cell.logs {
        let name = objects.put_log(Path::new(log))?;
        if name.is_none() {
            note(&format_args!("the log {log} is gone, and is not kept"));
        }
        kept.logs.push(name);
    }
    Ok((kept, missing))
}

fn unreadable(path: PathBuf, name: &str, bad: BadRun) -> Error {
    let ours = env!("CARGO_PKG_VERSION");
    Error::Kept {
        path,
        remedy: match &bad {
            BadRun::OtherFormat { format, klto } if *format > file::FORMAT => {
                format!("read it with klto {klto} or a later one")
            }
            BadRun::OtherFormat { .. } | BadRun::CutOff(_) | BadRun::Damaged(_) => {
                format!("restore the file, or remove the run with 'klto runs remove {name}'")
            }
        },
        found: bad.to_string(),
        expected: format!("a run of format {}, which klto {ours} writes", file::FORMAT),
    }
}

/// Whether that is the name of a run, and so no path out of the folder.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |(form, c): (char, char)| match form {
        '0' => c.is_ascii_digit(),
        'x' => c.is_ascii_digit() || ('a'..='f').contains(&c),
        form => c == form,
    };
    name.len() == NAME_FORM.len() && NAME_FORM.chars().zip(name.chars()).all(fits)
}

/// When the run with that name was recorded.
fn recorded(name: &str) -> Option<SystemTime> {
    let [year, month, day] = [name.get(..4)?, name.get(4..6)?, name.get(6..8)?];
    let [hour, minute] = [name.get(9..11)?, name.get(11..13)?];
    let rest = name.get(13..20)?;
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{rest}")).ok()
}

#[cfg(test)]
mod tests;
