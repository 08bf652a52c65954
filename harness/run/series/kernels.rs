//! Builds the states of a series as whole kernels: the base and the last tree, or all of them.

use super::{Probed, State, check, say};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::model::imprint::{Imprint, Ripple};
use crate::model::record::{CellRecord, SkipReason};
use crate::run::whole::drive::Run;

/// Builds the cells of a matrix and adds their records to those of the probe. Without `per_patch`
/// the states between the first and the last are left out, and the records say so.
///
/// # Errors
/// If the machine fails before a first cell, or the user interrupts.
pub fn build_states(
    run: &Run<'_>,
    states: &[State],
    probed: &mut [Probed],
    per_patch: bool,
) -> Result<(), Error> {
    let mut before: Option<Vec<Option<Imprint>>> = None;
    for (at, (state, probed)) in std::iter::zip(states, probed).enumerate() {
        if at > 0 && at + 1 < states.len() && !per_patch {
            probed.cells.extend(run.cells.iter().map(left_out));
            continue;
        }
        let kernels = counted(run.cells.len(), "kernels");
        say(run.events, &format!("{}, {kernels}", state.name));
        let records = run.run(&state.sources)?.cells;
        check(run.cancel)?;
        let imprints = run.cells.iter().map(|cell| {
            let built = records.iter().find(|record| record.cell == cell.name());
            match built.is_some_and(CellRecord::is_finished) {
                true => run.record(&state.sources, cell).imprint(),
                false => Ok(None),
            }
        });
        let imprints = imprints.collect::<Result<Vec<_>, Error>>()?;
        probed.kernels = before.as_ref().and_then(|before| ripple(before, &imprints));
        before = Some(imprints);
        probed.cells.extend(records);
    }
    Ok(())
}

/// How far the patches between two states reach, over the cells that were built in both.
fn ripple(before: &[Option<Imprint>], after: &[Option<Imprint>]) -> Option<Ripple> {
    let both = std::iter::zip(before, after);
    let both = both.filter_map(|(before, after)| before.as_ref().zip(after.as_ref()));
    let ripples = both.map(|(before, after)| Ripple::between(before, after));
    ripples.reduce(Ripple::and)
}

fn left_out(cell: &Cell) -> CellRecord {
    CellRecord::skipped(cell.name(), SkipReason::BetweenEnds)
}
