//! `klto night`: a matrix, every night.

use std::collections::{BTreeMap, BTreeSet};

use super::args::Night as Args;
use super::output::print;
use super::run::{Done, How, carry_out};
use crate::build::process::Cancel;
use crate::judge::history::{Known, of_cell};
use crate::judge::night::compare_with_last;
use crate::judge::runs::Named;
use crate::judge::worth::last_result;
use crate::model::error::{Error, Exit};
use crate::model::record::{CellRecord, Outcome};
use crate::model::stored::{CellHistory, ComparisonVerdict, RunComparison};
use crate::report::night::{Night, write};
use crate::report::{Format, Options};
use crate::store::runs::RunStore;
use crate::store::runs::index::Index;

/// Runs of a cell that are looked at to find since when it is red.
const RUNS: usize = 200;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let how = How {
        retries: args.retry_infra,
        is_night: true,
    };
    let done = carry_out(&args.matrix, how)?;
    let Some((store, head)) = &done.kept else {
        return Err(Error::Machine("the night was not kept".to_owned()));
    };
    let store = RunStore::existing(store)?;
    let last = last_results(&store, &done)?;
    let comparison = compare_with_last(
        &last,
        Named {
            head,
            run: &done.run,
        },
    );
    let histories = histories(&store, &done)?;
    let text = write(&Night {
        run: &done.run,
        comparison: &comparison,
        histories: &histories,
    });
    if args.matrix.reporting.format == Format::Text {
        print(&format!("\n{text}"))?;
    }
    write_reports(&done, &text)?;
    done.written?;
    Ok(exit(&done.run.cells, &comparison))
}

/// The last earlier result of each cell.
fn last_results(store: &RunStore, done: &Done) -> Result<BTreeMap<String, CellRecord>, Error> {
    let past = |cell: &CellRecord| last_result(done.past.get(&cell.cell)?);
    let runs = done.run.cells.iter().filter_map(past);
    let runs: BTreeSet<&str> = runs.map(|run| run.run.as_str()).collect();
    let mut last = BTreeMap::new();
    for run in runs {
        let cells = store.load(run)?.run.cells.into_iter();
        last.extend(
            cells
                .filter(|cell| past(cell).is_some_and(|last| last.run == run))
                .map(|cell| (cell.cell.clone(), cell)),
        );
    }
    Ok(last)
}

/// Of the cells that did not pass.
fn histories(store: &RunStore, done: &Done) -> Result<Vec<CellHistory>, Error> {
    let Some((_, head)) = &done.kept else {
        return Ok(Vec::new());
    };
    let failed = done.run.cells.iter();
    let failed = failed.filter(|cell| cell.outcome == Outcome::Fail);
    let names: Vec<&str> = failed.map(|cell| cell.cell.as_str()).collect();
    let index = Index::open(store, &Cancel::install()?)?;
    let mut known = Known::default();
    let entries = index.until(&head.run, RUNS, &head.matrix, &names)?;
    let mut histories = Vec::new();
    for (cell, entries) in names.into_iter().zip(entries) {
        index.look_up(&entries, &mut known)?;
        histories.push(of_cell(&head.matrix, cell, &entries, &known));
    }
    Ok(histories)
}

/// The reports that every night leaves in its work directory, beside those of every run.
fn write_reports(done: &Done, text: &str) -> Result<(), Error> {
    let formats = [
        (Format::Html, "report.html"),
        (Format::Markdown, "report.md"),
        (Format::Junit, "report.xml"),
    ];
    let mut written = done
        .work
        .write_report("night.txt", &anstream::adapter::strip_str(text).to_string());
    for (format, file) in formats {
        let text = format.reporter(Options::default()).run(&done.run);
        written = written.and(done.work.write_report(file, &text));
    }
    written
}

/// Fails if something is new. What the machine stopped is inconclusive, and what was left out for
/// lack of time is not.
fn exit(cells: &[CellRecord], comparison: &RunComparison) -> Exit {
    let is_stopped = cells.iter().any(|cell| cell.stopped_by().is_some());
    match comparison.verdict() {
        ComparisonVerdict::Worse => Exit::Fail,
        _ if is_stopped => Exit::Inconclusive,
        ComparisonVerdict::Flaky | ComparisonVerdict::Inconclusive => Exit::Inconclusive,
        ComparisonVerdict::NotWorse => Exit::Pass,
    }
}
