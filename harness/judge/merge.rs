//! Joins the runs of the shards of a matrix to one run, as if one machine had run all cells. Pure.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::identity::ids;
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome, RunRecord, SkipReason};
use crate::model::shard::{Shard, ShardRecord};

/// A run that is joined with others.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its name in the store, or the file that it was exported to; for messages.
    pub name: &'a str,
    pub run: &'a RunRecord,
}

/// Runs that were joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    pub run: RunRecord,
    /// Of each cell, which part has it, and the place among the cells of that; `None` if its shard is
    /// missing.
    pub from: Vec<Option<(usize, usize)>>,
    /// The shards that are missing; those that have no cells do not count.
    pub missing: Vec<Shard>,
}

/// Why runs cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MergeError {
    #[error(
        "none of the runs is a shard, so it is not known which cells there are\n  name runs of 'klto run --shard I/N'; 'klto runs' lists those that are kept"
    )]
    NoShard,
    #[error(
        "{first} and {second} are not parts of one run: {what}\n  merge shards of the same matrix, kernel and mutations"
    )]
    Unlike {
        first: String,
        second: String,
        /// What differs.
        what: String,
    },
    #[error("shard {shard} is there twice: {first} and {second}\n  leave one of them out")]
    Twice {
        shard: Shard,
        first: String,
        second: String,
    },
    #[error(
        "{part} has the cell {cell}, which is not among the cells that were divided into shards\n  leave that run out, or merge runs of the same --cell"
    )]
    Stray { part: String, cell: String },
    #[error("the cell {cell} has different results: {first}, and {second}, {why}")]
    Contradiction {
        cell: String,
        /// `fail in RUN`.
        first: String,
        second: String,
        why: &'static str,
    },
    #[error(
        "{} missing, with {}\n  name the missing runs, too; with --partial these cells are inconclusive instead", are(.shards), counted(*.cells, "cells")
    )]
    Missing { shards: Vec<Shard>, cells: usize },
}

/// `shard 2/4 is`, `shards 2/4, 3/4 are`.
fn are(shards: &[Shard]) -> String {
    match shards {
        [one] => format!("shard {one} is"),
        many => {
            let names: Vec<String> = many.iter().map(Shard::to_string).collect();
            format!("shards {} are", names.join(", "))
        }
    }
}

/// Joins runs: the shards of one division, and runs of some of their cells that were not divided.
/// Cells are in the order of the matrix. If `partial`, the cells of missing shards are inconclusive.
///
/// # Errors
/// If the runs are not parts of one run, contradict each other, or a shard is missing.
pub fn merge(parts: &[Part<'_>], partial: bool) -> Result<Merged, MergeError> {
    let plan = division(parts)?;
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let record = |(part, at): (usize, usize)| &parts[part].run.cells[at];
    for (part, Part { run, .. }) in parts.iter().enumerate() {
        for (at, cell) in run.cells.iter().enumerate() {
            let known = places.get(cell.cell.as_str()).copied();
            let is_better = match known {
                None => true,
                Some(place) => is_better(parts[place.0], record(place), parts[part], cell)?,
            };
            if is_better {
                places.insert(&cell.cell, (part, at));
            }
        }
    }
    let mut cells = Vec::new();
    let mut from = Vec::new();
    let mut missing = BTreeSet::new();
    let mut lacking = 0;
    for placed in &plan.cells {
        let place = places.remove(placed.cell.as_str());
        cells.push(place.map_or_else(
            || {
                let shard = Shard {
                    number: placed.shard,
                    of: plan.shard.of,
                };
                missing.insert(shard);
                lacking += 1;
                CellRecord::inconclusive(placed.cell.clone(), format!("shard {shard} is missing"))
            },
            |place| record(place).clone(),
        ));
        from.push(place);
    }
    let missing: Vec<Shard> = missing.into_iter().collect();
    if !missing.is_empty() && !partial {
        return Err(MergeError::Missing {
            shards: missing,
            cells: lacking,
        });
    }
    // What is left is accepted, and no cell of the matrix: in the order of the run that has it.
    let mut gone: Vec<(usize, usize)> = places.into_values().collect();
    gone.sort_unstable();
    cells.extend(gone.iter().map(|place| record(*place).clone()));
    from.extend(gone.into_iter().map(Some));
    let first = parts[0].run;
    let mut unreferenced = Vec::new();
    for more in parts.iter().flat_map(|part| &part.run.unreferenced) {
        if !unreferenced.contains(more) {
            unreferenced.push(more.clone());
        }
    }
    let run = RunRecord {
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        shard: None,
        cells,
        unreferenced,
        ..first.clone()
    };
    Ok(Merged { run, from, missing })
}

/// How the cells were divided, if the runs are parts of one.
fn division<'a>(parts: &[Part<'a>]) -> Result<&'a ShardRecord, MergeError> {
    let (first, others) = parts.split_first().ok_or(MergeError::NoShard)?;
    for other in others {
        alike(*first, *other)?;
    }
    let sharded = |part: &Part<'a>| part.run.shard.as_ref().map(|shard| (part.name, shard));
    let mut shards = parts.iter().filter_map(sharded);
    let (name, plan) = shards.next().ok_or(MergeError::NoShard)?;
    let mut known = BTreeMap::from([(plan.shard.number, name)]);
    for (other, record) in shards {
        let what = if record.shard.of != plan.shard.of {
            format!("they are shards {} and {}", plan.shard, record.shard)
        } else if record.matrix != plan.matrix {
            "the matrix file was changed between them".to_owned()
        } else if record.cells != plan.cells {
            "other cells were asked for".to_owned()
        } else {
            if let Some(first) = known.insert(record.shard.number, other) {
                return Err(MergeError::Twice {
                    shard: record.shard,
                    first: first.to_owned(),
                    second: other.to_owned(),
                });
            }
            continue;
        };
        return Err(MergeError::Unlike {
            first: name.to_owned(),
            second: other.to_owned(),
            what,
        });
    }
    let is_known = |cell: &&CellRecord| plan.cells.iter().any(|known| known.cell == cell.cell);
    for part in parts {
        let is_cell = |cell: &&CellRecord| cell.outcome != Outcome::Skip(SkipReason::NoCell);
        let mut cells = part.run.cells.iter().filter(is_cell);
        if let Some(cell) = cells.find(|cell| !is_known(cell)) {
            return Err(MergeError::Stray {
                part: part.name.to_owned(),
                cell: cell.cell.clone(),
            });
        }
    }
    Ok(plan)
}

/// Whether two runs are of the same matrix, kernel and mutations.
fn alike(first: Part<'_>, second: Part<'_>) -> Result<(), MergeError> {
    let mutations = |part: Part<'_>| match &part.run.mutations[..] {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let [a, b] = [first.run, second.run];
    let pairs = [
        ("matrix", a.matrix.clone(), b.matrix.clone()),
        ("revision", a.revision.clone(), b.revision.clone()),
        ("kernel", a.kernel.clone(), b.kernel.clone()),
        ("mutations", mutations(first), mutations(second)),
    ];
    let differs = pairs.into_iter().find(|(_, one, other)| one != other);
    differs.map_or(Ok(()), |(what, one, other)| {
        Err(MergeError::Unlike {
            first: first.name.to_owned(),
            second: second.name.to_owned(),
            what: format!("{what} '{one}' and '{other}'"),
        })
    })
}

/// Whether the second result of a cell is to be taken in place of the first: only it is finished.
fn is_better(
    first_part: Part<'_>,
    first: &CellRecord,
    second_part: Part<'_>,
    second: &CellRecord,
) -> Result<bool, MergeError> {
    let why = match (is_finished(first), is_finished(second)) {
        (false, finished) => return Ok(finished),
        (true, false) => return Ok(false),
        (true, true) if result(first) == result(second) => return Ok(false),
        (true, true) if first.job == second.job => {
            "although nothing that it depends on differs: it is flaky\n  leave one of the runs out"
        }
        (true, true) => {
            "which was built from other sources, with other tools or elsewhere\n  leave one of the runs out"
        }
    };
    let in_part =
        |part: Part<'_>, record: &CellRecord| format!("{} in {}", record.outcome.name(), part.name);
    Err(MergeError::Contradiction {
        cell: first.cell.clone(),
        first: in_part(first_part, first),
        second: in_part(second_part, second),
        why,
    })
}

/// Whether a record says something of the kernel.
fn is_finished(record: &CellRecord) -> bool {
    match &record.outcome {
        Outcome::Pass | Outcome::Fail => true,
        // The others say something of the sources.
        Outcome::Skip(reason) => !matches!(reason, SkipReason::FailFast | SkipReason::Budget),
        Outcome::Error(_) => false,
    }
}

/// What two records of a cell with the same result have in common.
fn result(record: &CellRecord) -> (&'static str, BTreeSet<String>) {
    (record.outcome.name(), ids(record))
}

#[cfg(test)]
mod tests;
