//! What a whole kernel and the miniature do differently: where a job is built, and how its
//! tree is prepared up to the first object. [`super::pipeline`] does the rest for both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use super::job::Job;
use super::pipeline::FinishedJob;
use super::place::Place;
use crate::build::compiler_cache::CompilerCache;
use crate::build::kbuild::{Build, BuildOutcome, Failure, Launcher, Target};
use crate::judge::check;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::{FindingRecord, Reproduce};
use crate::run::scenario::EditTargets;

/// How the jobs of a run are laid out on disk.
pub trait Layout: fmt::Debug + Sync {
    /// The folders of a cell.
    fn place(&self, cell: &Cell) -> Place;

    /// The folders of all cells that have some, also of other runs, each with its name.
    ///
    /// # Errors
    /// Where they cannot be listed.
    fn places(&self) -> Result<Vec<(String, Place)>, Error> {
        Ok(Vec::new())
    }

    /// The source tree that make is given. Jobs that share one do not run at the same time.
    fn source(&self, cell: &Cell) -> PathBuf;

    /// Held for reading by whoever builds from sources that others build from at the same time, and
    /// for writing by a scenario that edits them; `None` where each job has its own.
    fn shared_sources(&self) -> Option<&RwLock<()>> {
        None
    }

    /// How far builds go.
    fn target(&self) -> Target;

    /// What starts the compilers.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn launcher(&self, job: &Job, place: &Place) -> Result<Launcher, Error>;

    /// The compiler cache that a job's objects may come from, if that is more than what starts all
    /// compilers of a toolchain.
    fn compiler_cache(&self, _: &Job) -> Option<&CompilerCache> {
        None
    }

    /// Prepares the build tree up to the first object.
    ///
    /// # Errors
    /// Where the machine fails, the time is over or the user interrupts.
    fn prepare(
        &self,
        job: &Job,
        place: &Place,
        build: &Build<'_>,
        base: Option<&FinishedJob>,
    ) -> Result<Prepared, Error>;

    /// Called after each make, before what it left is judged.
    ///
    /// # Errors
    /// Where the sources are not what they were when the run began.
    fn check_sources(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Called after a make failed, before that is reported.
    ///
    /// # Errors
    /// Where klto is to blame, not the kernel.
    fn check_failure(&self, build: &Build<'_>) -> Result<(), Error>;

    /// Called before scenarios run: brings back the sources that an earlier one, which was
    /// killed, had edited.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn restore_sources(&self, cell: &Cell) -> Result<(), Error>;

    /// What a scenario may change of the sources.
    ///
    /// # Errors
    /// Where the list of what may be changed cannot be read.
    fn edit_targets(&self) -> Result<EditTargets, Error>;

    /// The tree whose `.gitignore` files count.
    fn gitignore<'a>(&'a self, source: &'a Path) -> PathBuf;

    /// Whether `switch` makes clean builds of its own.
    fn builds_other_modes(&self) -> bool;

    /// How to see the same by hand; `failed` is what a failed make was making.
    fn reproduce(&self, build: &Build<'_>, failed: Option<&str>) -> Reproduce;
}

/// Turns the configuration that is there into the cell's, and makes what comes before the first
/// object where that is asked for.
///
/// # Errors
/// As [`Layout::prepare`].
pub fn configure(build: &Build<'_>, prepare: bool) -> Result<Prepared, Error> {
    let cell = build.cell;
    let config = match build.configure()? {
        Ok(config) => config,
        Err(failure) => return Ok(Prepared::Failed(failure)),
    };
    let findings = check::config::check_config(&config, cell.lto, &cell.requested());
    if !findings.is_empty() {
        let findings = findings.into_iter().map(FindingRecord::from);
        return Ok(Prepared::Misconfigured(findings.collect()));
    }
    if prepare && let BuildOutcome::Failed(failure) = build.prepare()? {
        return Ok(Prepared::Failed(failure));
    }
    Ok(Prepared::Ready)
}

/// How preparing ended.
#[derive(Debug)]
pub enum Prepared {
    Ready,
    /// The configuration is not the one that was asked for.
    Misconfigured(Vec<FindingRecord>),
    Failed(Failure),
}
