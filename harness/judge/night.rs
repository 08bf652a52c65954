//! How a night compares with the last result of each of its cells. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::runs::{Named, compare};
use crate::model::record::{CellRecord, Outcome, RunRecord};
use crate::model::stored::{RunComparison, RunHead};

/// Compares a run with the last earlier result of each of its cells, which may be of several runs.
/// A cell that has none is compared with the same cell without a finding: whatever is found in it is
/// new. Cells that were left out on purpose do not count.
#[must_use]
pub fn compare_with_last(last: &BTreeMap<String, CellRecord>, run: Named<'_>) -> RunComparison {
    let is_judged = |cell: &&CellRecord| !matches!(cell.outcome, Outcome::Skip(_));
    let after: Vec<CellRecord> = run.run.cells.iter().filter(is_judged).cloned().collect();
    let before: Vec<CellRecord> = after
        .iter()
        .map(|cell| last.get(&cell.cell).cloned().unwrap_or_else(|| clean(cell)))
        .collect();
    let revisions: BTreeSet<&str> = before.iter().map(|cell| cell.revision.as_str()).collect();
    let head = RunHead {
        run: "the last result of each cell".to_owned(),
        revision: match revisions.len() {
            1 => revisions.into_iter().collect(),
            _ => "of several revisions".to_owned(),
        },
        cells: before.len(),
        ..run.head.clone()
    };
    let of_cells = |cells: Vec<CellRecord>| RunRecord {
        cells,
        ..run.run.clone()
    };
    let (before, after) = (of_cells(before), of_cells(after));
    compare(
        Named {
            head: &head,
            run: &before,
        },
        Named {
            head: run.head,
            run: &after,
        },
    )
}

/// The record as it would be if nothing had been found.
fn clean(cell: &CellRecord) -> CellRecord {
    let mut cell = cell.clone();
    // Otherwise what is found would have come under the same job, by chance.
    cell.job.clear();
    cell.error = None;
    if let Some(inspection) = &mut cell.inspection {
        inspection.findings.clear();
        inspection.unfinished = None;
    }
    for scenario in &mut cell.scenarios {
        scenario.findings.clear();
    }
    for comparison in &mut cell.comparisons {
        comparison.findings.clear();
    }
    cell.outcome = Outcome::Pass;
    cell
}
