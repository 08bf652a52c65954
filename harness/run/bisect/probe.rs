//! Tests commits by probing one cell.

use super::{How, Oracle};
use crate::judge::bisect::sought::{Sought, Tested};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::CellRecord;
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

    fn test(&self, commit: &Commit, how: How) -> Result<Tested, Error> {
        let cells = std::slice::from_ref(&self.cell);
        let run = |fresh: bool| {
            let probe = Probe {
                fresh,
                ..*self.probe
            };
            match probe_cells(&probe, cells, commit) {
                Ok(records) => Ok(records.first().map(|record| self.sought.tested(record))),
                // What is no kernel has no verdict.
                Err(error @ Error::Usage(_)) => Ok(Some(Tested::unknown(error.in_one_line()))),
                Err(error) => Err(error),
            }
        };
        let fresh = how == How::Clean || self.probe.fresh;
        Ok(run(fresh)?.unwrap_or_else(|| Tested::unknown("the cell has no record")))
    }
}
