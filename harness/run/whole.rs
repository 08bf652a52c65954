//! Whole kernels: each cell is built in a folder of its own, whose path has the revision in
//! it; the tree stays, and another cell may begin with a copy of it.

pub mod drive;

use std::path::{Path, PathBuf};
use std::sync::RwLock;

use walkdir::WalkDir;

use super::compilers::Compilers;
use super::job::Job;
use super::layout::{Layout, Prepared, configure};
use super::pipeline::FinishedJob;
use super::place::Place;
use super::scenario::EditTargets;
use crate::build::compiler_cache::CompilerCache;
use crate::build::dir_state::{create_dir, is_gone, mirror, remove_file};
use crate::build::kbuild::{self, Build, BuildOutcome, Launcher, Target};
use crate::build::launcher::{self, Cached};
use crate::build::process::Command;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::Reproduce;
use crate::source::unchanged::SourceState;
use crate::store::lock::was_locked;
use crate::store::record_dir::RecordDir;

/// Whole kernels of one revision, in a work directory.
#[derive(Debug)]
pub struct WholeKernel<'a> {
    pub work: &'a Path,
    pub source: &'a Path,
    /// As paths have it.
    pub revision: &'a str,
    /// Distinguishes this program from any other.
    pub program: &'a blake3::Hash,
    /// What compiles the jobs whose builds are no measure, if anything but the compilers does.
    pub cache: Option<&'a CompilerCache>,
    /// The folder for what it and the launcher keep, where that is not the user's.
    pub caches: Option<PathBuf>,
    /// Distinguishes the names of all files in the sources from any other, where there is a cache.
    pub source_names: Option<blake3::Hash>,
    /// Whether makes run in a sandbox.
    pub is_sandboxed: bool,
    /// The folder of trees that are carried from one revision to the next: make finds what the last
    /// one left, and makes only what differs. `None` if each revision has trees of its own.
    pub carried: Option<&'a Path>,
    /// The sources as they were when the run began, if they are the user's own.
    pub of_the_user: Option<SourceState>,
    /// Scenarios that edit the sources have them to themselves.
    pub shared: RwLock<()>,
}

/// The folder of cells in the work directory.
const CELLS: &str = "cells";

/// The folder of a cell.
fn folder(work: &Path, revision: &str, cell: &Cell) -> PathBuf {
    work.join(CELLS).join(revision).join(cell.name())
}

/// The places below a folder, each with its path from there: whoever works in one has locked it.
fn places(cells: &Path) -> Result<Vec<(String, Place)>, Error> {
    let mut found = Vec::new();
    let mut folders = WalkDir::new(cells).into_iter();
    while let Some(entry) = folders.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) if is_gone(&e) => continue,
            Err(e) => return Err(Error::io(cells, "read")(e.into())),
        };
        if !entry.file_type().is_dir() || !was_locked(entry.path()) {
            continue;
        }
        folders.skip_current_dir();
        let folder = entry.into_path();
        let name = folder.strip_prefix(cells).unwrap_or(&folder);
        let (name, record) = (name.display().to_string(), RecordDir::new(&folder));
        found.push((name, Place { folder, record }));
    }
    Ok(found)
}

/// Where the record of a cell is, of a carried tree.
fn carried_record(carried: &Path, revision: &str, cell: &Cell) -> RecordDir {
    RecordDir::new(carried.join(revision).join(cell.name()))
}

impl Layout for WholeKernel<'_> {
    fn place(&self, cell: &Cell) -> Place {
        let own = folder(self.work, self.revision, cell);
        match self.carried {
            None => Place {
                record: RecordDir::new(&own),
                folder: own,
            },
            Some(carried) => Place {
                record: carried_record(carried, self.revision, cell),
                folder: carried.join("tree").join(cell.name()),
            },
        }
    }

    fn places(&self) -> Result<Vec<(String, Place)>, Error> {
        match self.carried {
            None => places(&self.work.join(CELLS)),
            Some(_) => Ok(Vec::new()),
        }
    }

    fn source(&self, _: &Cell) -> PathBuf {
        self.source.to_owned()
    }

    fn shared_sources(&self) -> Option<&RwLock<()>> {
        Some(&self.shared)
    }

    fn target(&self) -> Target {
        kbuild::KERNEL
    }

    fn launcher(&self, job: &Job, place: &Place) -> Result<Launcher, Error> {
        let compilers = Compilers {
            work: self.work,
            program: self.program,
            is_sandboxed: self.is_sandboxed,
            kept: self.caches.as_deref(),
        };
        let installed = compilers.install(&job.cell, &[])?.into_iter();
        let mut environment: Vec<_> = installed.map(|(name, value)| (name, Some(value))).collect();
        let mut statistics = None;
        let cached = match self.compiler_cache(job) {
            None => Cached::Nothing,
            Some(cache) => {
                let own = self.caches.as_ref().map(|caches| caches.join("ccache"));
                // What runs in a sandbox could write what it likes there.
                statistics = (!self.is_sandboxed).then(|| place.cache_statistics());
                let of_cache = cache.environment(&job.cell, own.as_deref(), statistics.as_deref());
                environment.extend(of_cache);
                let names = self.source_names.map(|names| names.to_hex());
                let names = names.map(|names| names.as_str().into());
                environment.push((launcher::SOURCE_NAMES.into(), names));
                cache.cached()
            }
        };
        environment.push((launcher::CACHED.into(), Some(cached.name().into())));
        Ok(Launcher {
            environment,
            statistics,
        })
    }

    fn compiler_cache(&self, job: &Job) -> Option<&CompilerCache> {
        self.cache.filter(|_| !job.is_measure)
    }

    fn prepare(
        &self,
        job: &Job,
        _: &Place,
        build: &Build<'_>,
        base: Option<&FinishedJob>,
    ) -> Result<Prepared, Error> {
        if self.carried.is_none() {
            remove_file(build.dir)?;
        }
        match base {
            Some(tree) => mirror(&tree.place.build(), build.dir)?,
            None => {
                create_dir(build.dir)?;
                if let BuildOutcome::Failed(failure) = build.make_base()? {
                    return Ok(Prepared::Failed(failure));
                }
            }
        }
        // What was prepared for the other mode is there already.
        configure(build, job.prepares && base.is_none())
    }

    fn check_sources(&self) -> Result<(), Error> {
        self.of_the_user.as_ref().map_or(Ok(()), SourceState::check)
    }

    fn check_failure(&self, _: &Build<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn restore_sources(&self, _: &Cell) -> Result<(), Error> {
        // The copy of the sources was brought back when the run began.
        Ok(())
    }

    fn edit_targets(&self) -> Result<EditTargets, Error> {
        EditTargets::kernel()
    }

    fn gitignore<'a>(&'a self, source: &'a Path) -> PathBuf {
        source.to_owned()
    }

    fn builds_other_modes(&self) -> bool {
        false
    }

    fn reproduce(&self, build: &Build<'_>, failed: Option<&str>) -> Reproduce {
        let places = [(build.dir, "O"), (build.source, "KERNEL")];
        let check = Command::new("klto").arg("check").arg(build.dir);
        let commands = build.reproduce(failed).into_iter().chain([check]);
        Reproduce {
            kernel: build.source.display().to_string(),
            build: build.dir.display().to_string(),
            commands: commands.map(|c| c.shell_words_in(&places)).collect(),
        }
    }
}
