//! `klto run`: builds the cells of a matrix and checks each.

use std::collections::BTreeMap;

use super::{check_place, exit, jobs, load_allows, load_matrix, print, select, source_dir};
use crate::cell::{Cell, LtoMode};
use crate::cli::Run as Args;
use crate::compare::Verdict;
use crate::doctor;
use crate::error::{Error, Exit};
use crate::kbuild::{self, SourceTree};
use crate::outcome::{CellResult, RunResult};
use crate::process::Cancel;
use crate::progress::say;
use crate::report::{Format, json, ktap, text};
use crate::store::{SnapshotDir, WorkDir};
use crate::verify::cell::{Finished, Run, verify};

pub fn run(args: &Args) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let mut allows = load_allows(&args.allow)?;
    allows.extend(matrix.allow.iter().cloned());
    let kernel = source_dir(&args.kernel)?;
    let arches: Vec<_> = cells.iter().map(|cell| &*cell.arch).collect();
    let source = SourceTree::open(&kernel, &arches)?;
    check_place(&args.work, &kernel)?;
    let work = WorkDir::open(&args.work)?;
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name);
    let cancel = Cancel::install().map_err(kbuild::process_error)?;
    let run = Run {
        source: &source,
        work: &work,
        snapshots: snapshots.as_ref(),
        allows: &allows,
        jobs: jobs(args.jobs, 1),
        ccache: args.ccache,
        cancel: &cancel,
    };

    let mut results = verify_all(&run, &cells, !args.no_reuse);
    if let Some(snapshots) = run.snapshots.filter(|_| args.cells.patterns.is_empty()) {
        let known: Vec<String> = matrix.cells().iter().map(Cell::name).collect();
        let gone = snapshots
            .cells()?
            .into_iter()
            .filter(|name| !known.contains(name));
        results.extend(gone.map(|name| CellResult::without_build(name, Verdict::Missing)));
    }
    let result = RunResult {
        matrix: matrix.name.clone(),
        kernel: source.version.clone(),
        cells: results,
    };
    report(args, &work, &result)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(exit(&result, args.strict))
}

/// Verifies the cells, each distributed one first, since the in-process cell
/// beside it can start from its finished tree. Results are in matrix order; after
/// an interrupt the cells that are left cannot be told.
fn verify_all(run: &Run, cells: &[Cell], reuse: bool) -> Vec<CellResult> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|at| {
        let first_of_group = cells
            .iter()
            .position(|other| beside(other) == beside(&cells[*at]))
            .unwrap_or(*at);
        (first_of_group, cells[*at].lto != LtoMode::ThinDist)
    });
    let mut finished: BTreeMap<_, Finished> = BTreeMap::new();
    let mut results: BTreeMap<usize, CellResult> = BTreeMap::new();
    for at in order {
        let cell = &cells[at];
        let from = match cell.lto {
            LtoMode::Thin if reuse => finished.get(&beside(cell)),
            LtoMode::None | LtoMode::Thin | LtoMode::ThinDist | LtoMode::Full => None,
        };
        let (result, tree) = match doctor::missing_for(cell, run.ccache) {
            Some(reason) => (
                CellResult::without_build(cell.name(), Verdict::Infra(reason)),
                None,
            ),
            None => verify(run, cell, from),
        };
        if let (LtoMode::ThinDist, Some(tree)) = (cell.lto, tree) {
            finished.insert(beside(cell), tree);
        }
        let broken = if result.is_broken() { ", broken" } else { "" };
        say(format_args!(
            "{}: {}{broken}",
            result.name,
            result.verdict.name()
        ));
        results.insert(at, result);
    }
    results.into_values().collect()
}

/// What the modes of one kernel have in common.
fn beside(cell: &Cell) -> (String, String, String) {
    (
        cell.arch.name.clone(),
        cell.config_name.clone(),
        cell.toolchain_name.clone(),
    )
}

/// Writes the report files, then prints: a failure of one does not silence the other.
fn report(args: &Args, work: &WorkDir, result: &RunResult) -> Result<(), Error> {
    let (json, ktap) = (json::run(result), ktap::run(result));
    let written = work
        .write_report("report.json", &json)
        .and(work.write_report("report.ktap", &ktap));
    print(&match args.format {
        Format::Text => text::run(result, args.all),
        Format::Json => json,
        Format::Ktap => ktap,
    })?;
    if args.format == Format::Text && written.is_ok() {
        say(format_args!(
            "reports: {}/report.json, report.ktap",
            work.path().display()
        ));
    }
    written
}
