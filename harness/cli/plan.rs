//! `klto plan`: what a matrix would build.

use super::args::Plan as Args;
use super::{Selected, load_matrix, print, select};
use crate::build::toolchain;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::plan::{ExcludedCell, Plan, PlannedCell};
use crate::model::record::FORMAT;
use crate::model::shard::{count_groups, deal};
use crate::report::plan::{MOST_JOBS, write};

pub fn run(args: &Args) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let Selected { cells, shard } = select(&matrix, &args.cells)?;
    let shards = match (&shard, args.shards) {
        (Some(record), _) => Some(record.shard.of),
        // More would have no cells.
        (None, Some(asked)) => Some(asked.get().min(count_groups(&cells))),
        (None, None) if args.format.has_jobs() => Some(count_groups(&cells).min(MOST_JOBS)),
        (None, None) => None,
    };
    let numbers: Vec<Option<usize>> = match (&shard, shards) {
        (Some(record), _) => vec![Some(record.shard.number); cells.len()],
        (None, Some(of)) => {
            let numbers = deal(cells.iter().map(Cell::group), of).into_iter();
            numbers.map(Some).collect()
        }
        (None, None) => vec![None; cells.len()],
    };
    let excluded = matrix.excluded.iter();
    let plan = Plan {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: matrix.name.clone(),
        shards,
        cells: std::iter::zip(&cells, numbers)
            .map(|(cell, shard)| planned(cell, shard))
            .collect(),
        excluded: excluded
            .map(|(cell, reason)| ExcludedCell {
                cell: cell.clone(),
                reason: reason.clone(),
            })
            .collect(),
    };
    let text = write(&plan, args.format, &args.include);
    print(&text.map_err(|why| Error::Usage(why.to_string()))?)?;
    Ok(Exit::Pass)
}

fn planned(cell: &Cell, shard: Option<usize>) -> PlannedCell {
    PlannedCell {
        cell: cell.name(),
        arch: cell.arch.name.clone(),
        config: cell.config_name.clone(),
        lto: cell.lto,
        toolchain: cell.toolchain_name.clone(),
        shard,
        make: toolchain::variables(cell),
        base: cell.begins_with(),
        symbols: cell.requested(),
        goals: cell.goals.clone(),
        scenarios: cell.scenarios.clone(),
        timeout_seconds: cell.timeout.as_secs(),
    }
}
