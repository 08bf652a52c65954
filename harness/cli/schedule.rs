//! How the cells of a run share the machine: from options, and from what earlier runs took.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::jobs;
use super::options::ScheduleOptions;
use crate::build::process::Cancel;
use crate::input::matrix::Matrix;
use crate::judge::expected::{Expected, PastRun};
use crate::model::error::Error;
use crate::model::keep::Keep;
use crate::run::schedule::Policy;
use crate::run::schedule::machine::ThisMachine;
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
            until: options
                .budget
                .and_then(|time| Instant::now().checked_add(time)),
            keep: options.keep.or(matrix.keep).unwrap_or_default(),
            machine: ThisMachine {
                work: work.to_owned(),
                memory_kib: options.memory.map(|size| size.as_u64() / 1024),
            },
        }
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
            fail_fast,
            machine: Some(&self.machine),
        }
    }
}

/// Two cells fill the processors that one leaves idle while it links; with more processors, more
/// of them are idle.
fn usual_at_once(jobs: usize) -> usize {
    jobs.min(2 + jobs / 8)
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(1, 1)]
    #[case(2, 2)]
    #[case(8, 3)]
    #[case(64, 10)]
    fn more_jobs_mean_more_cells_at_once(#[case] jobs: usize, #[case] cells: usize) {
        assert_eq!(usual_at_once(jobs), cells);
    }
}
