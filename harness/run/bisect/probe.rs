//! Tests commits by probing one cell.

use super::{Clean, Confirms, Oracle, TestsCells, test_each};
use crate::judge::bisect::sought::{Sought, Tested};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::CellRecord;
use crate::run::probe::KEPT;
use crate::run::probe::drive::Probe;
use crate::source::commit::Commit;
use crate::source::sources::Sources;

/// Probes commits for a finding.
#[derive(Debug)]
pub struct ProbeOracle<'a> {
    pub probe: &'a Probe<'a>,
    /// The one that shows it.
    pub cell: Cell,
    pub sought: Sought,
    /// The folders under `arch/` that a probe reads.
    pub arches: Vec<&'static str>,
}

/// Probes the cells of a commit.
///
/// # Errors
/// If the user interrupts, the machine fails before the first cell, or the commit is no kernel.
pub fn probe_cells(
    probe: &Probe<'_>,
    cells: &[Cell],
    commit: &Commit,
) -> Result<Vec<CellRecord>, Error> {
    let sources = Sources::of_commit(commit.clone())?;
    let copy = probe.copy(&sources)?;
    let cells = probe.run(&sources, &copy, cells)?.cells;
    match probe.cancel.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(cells),
    }
}

impl Oracle for ProbeOracle<'_> {
    fn reads(&self, path: &str) -> bool {
        crate::source::copy::is_read(path, &self.arches)
    }

    fn test(&self, commit: &Commit) -> Result<Tested, Error> {
        self.run(commit, &self.cell, self.probe.fresh)
    }

    fn share(&self, path: &str) -> f64 {
        match self.reads(path) && crate::source::copy::is_read_by_prepare(path) {
            true => 1.0,
            false => 0.0,
        }
    }

    fn trees(&self) -> usize {
        KEPT
    }
}

impl TestsCells for ProbeOracle<'_> {
    fn test_as(&self, cell: &Cell, commit: &Commit) -> Result<Tested, Error> {
        self.run(commit, cell, self.probe.fresh)
    }
}

impl Confirms for ProbeOracle<'_> {
    fn test_clean(
        &self,
        commits: &[Commit],
        on: &mut dyn FnMut(Clean) -> Result<(), Error>,
    ) -> Result<(), Error> {
        test_each(commits, on, |commit| self.run(commit, &self.cell, true))
    }
}

impl ProbeOracle<'_> {
    /// Probes a commit as that cell.
    fn run(&self, commit: &Commit, cell: &Cell, fresh: bool) -> Result<Tested, Error> {
        let probe = Probe {
            fresh,
            ..*self.probe
        };
        let tested = match probe_cells(&probe, std::slice::from_ref(cell), commit) {
            Ok(records) => records.first().map(|record| self.sought.tested(record)),
            // What is no kernel has no verdict.
            Err(error @ Error::Usage(_)) => Some(Tested::unknown(error.in_one_line())),
            Err(error) => return Err(error),
        };
        Ok(tested.unwrap_or_else(|| Tested::unknown("the cell has no record")))
    }
}
