//! How the cells of a run share the machine: from options, and from what earlier runs took.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::jobs;
use super::options::ScheduleOptions;
use crate::build::process::Cancel;
use crate::input::matrix::Matrix;
use crate::judge::expected::{Expected, PastRun};
use crate::judge::worth::{Standing, concerns, last_result, ranks};
use crate::model::arch::Arch;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::keep::Keep;
use crate::run::schedule::machine::ThisMachine;
use crate::run::schedule::{Policy, usual_at_once};
use crate::source::commit::{Commit, changed_between};
use crate::source::sources::{Origin, Sources};
use crate::store::runs::RunStore;
use crate::store::runs::index::Index;

/// Runs of a cell that say what it takes.
const RUNS: usize = 5;

/// Everything that a [`Policy`] borrows.
#[derive(Debug)]
pub struct Schedule {
    pub jobs: usize,
    at_once: usize,
    expected: BTreeMap<String, Expected>,
    /// As [`Policy::ranks`].
    pub ranks: BTreeMap<String, usize>,
    until: Option<Instant>,
    keep: Keep,
    disk_budget_kib: Option<u64>,
    machine: ThisMachine,
}

impl Schedule {
    /// For the cells of a matrix, which are built in `work`.
    pub fn new(
        options: &ScheduleOptions,
        matrix: &Matrix,
        work: &Path,
        past: &BTreeMap<String, Vec<PastRun>>,
        is_sandboxed: bool,
    ) -> Schedule {
        let jobs = jobs(options.jobs, 1);
        let expected = past.iter();
        Schedule {
            jobs,
            at_once: options.cells_at_once.unwrap_or(match is_sandboxed {
                true => 1,
                false => usual_at_once(jobs),
            }),
            expected: expected
                .map(|(cell, runs)| (cell.clone(), Expected::of(runs)))
                .collect(),
            ranks: BTreeMap::new(),
            until: options.end_of_budget(),
            keep: options.keep.or(matrix.keep).unwrap_or_default(),
            disk_budget_kib: options.disk_budget.map(|size| size.as_u64() / 1024),
            machine: ThisMachine {
                work: work.to_owned(),
                memory_kib: options.memory.map(|size| size.as_u64() / 1024),
            },
        }
    }

    /// What a night does otherwise: cells that are worth most come first if not all may have the
    /// time, and trees of cells that passed go.
    ///
    /// # Errors
    /// If git fails.
    pub fn for_the_night(
        &mut self,
        options: &ScheduleOptions,
        matrix: &Matrix,
        cells: &[Cell],
        sources: &Sources,
        past: &BTreeMap<String, Vec<PastRun>>,
    ) -> Result<(), Error> {
        self.keep = options.keep.or(matrix.keep).unwrap_or(Keep::Failed);
        if self.until.is_none() {
            return Ok(());
        }
        let mut changed = ChangedSince::new(sources);
        let names: Vec<String> = cells.iter().map(Cell::name).collect();
        let mut standings = Vec::new();
        for (cell, name) in cells.iter().zip(&names) {
            let past = past.get(name).map_or(&[][..], Vec::as_slice);
            let is_changed = match last_result(past) {
                Some(last) => changed.concerns(&cell.arch, &last.revision)?,
                None => true,
            };
            standings.push(Standing {
                cell: name,
                past,
                is_changed,
            });
        }
        self.ranks = ranks(&standings);
        Ok(())
    }

    /// How jobs share the machine.
    pub fn policy(&self, retries: usize, fail_fast: bool) -> Policy<'_> {
        Policy {
            at_once: self.at_once,
            pool: None,
            expected: &self.expected,
            ranks: &self.ranks,
            until: self.until,
            retries,
            keep: self.keep,
            disk_budget_kib: self.disk_budget_kib,
            fail_fast,
            machine: Some(&self.machine),
        }
    }
}

impl ScheduleOptions {
    /// When the time is over, if it is limited and begins now.
    pub fn end_of_budget(&self) -> Option<Instant> {
        let time = self.budget?;
        Instant::now().checked_add(time)
    }
}

/// What has changed in the sources since earlier runs.
struct ChangedSince<'a> {
    sources: &'a Sources,
    /// By revision; `None` where everything may have changed.
    files: BTreeMap<String, Option<Vec<String>>>,
}

impl<'a> ChangedSince<'a> {
    fn new(sources: &'a Sources) -> ChangedSince<'a> {
        ChangedSince {
            sources,
            files: BTreeMap::new(),
        }
    }

    /// Whether kernels of an architecture may have changed since the run of a revision.
    fn concerns(&mut self, arch: &Arch, revision: &str) -> Result<bool, Error> {
        if !self.files.contains_key(revision) {
            let files = self.files_since(revision)?;
            self.files.insert(revision.to_owned(), files);
        }
        Ok(match &self.files[revision] {
            Some(files) => concerns(arch, files),
            None => true,
        })
    }

    fn files_since(&self, revision: &str) -> Result<Option<Vec<String>>, Error> {
        if revision == self.sources.revision() {
            return Ok(Some(Vec::new()));
        }
        let (Origin::Commit(now), Some((_, earlier))) =
            (self.sources.origin(), revision.rsplit_once("-g"))
        else {
            return Ok(None);
        };
        match Commit::find(now.git(), earlier) {
            Ok(earlier) => changed_between(now.git(), earlier.id(), now.id()).map(Some),
            // It may have been on a branch that is gone.
            Err(Error::Usage(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What earlier runs of a matrix took, by cell, the newest first; nothing if no runs are kept.
pub fn past(
    store: Option<&Path>,
    matrix: &str,
    cancel: &Cancel,
) -> Result<BTreeMap<String, Vec<PastRun>>, Error> {
    match store {
        Some(dir) => Index::open(&RunStore::open(dir)?, cancel)?.past(matrix, RUNS),
        None => Ok(BTreeMap::new()),
    }
}
