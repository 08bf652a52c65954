//! `klto night`: a matrix, every night.

use std::collections::BTreeMap;

use super::args::Night as Args;
use super::output::print;
use super::run::{Done, How, carry_out};
use crate::build::process::Cancel;
use crate::judge::history::{Known, of_cell};
use crate::judge::night::compare_with_last;
use crate::judge::runs::Named;
use crate::model::error::{Error, Exit};
use crate::model::record::{CellRecord, Outcome};
use crate::model::stored::{CellHistory, ComparisonVerdict, RunComparison};
use crate::report::night::{Night, write};
use crate::report::{Format, Options};
use crate::run::events::say;
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
    let last = last_results(&store, &done);
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

/// The last earlier result of each cell, of the runs that can be read.
fn last_results(store: &RunStore, done: &Done) -> BTreeMap<String, CellRecord> {
    let mut runs = BTreeMap::new();
    let mut last = BTreeMap::new();
    for cell in &done.run.cells {
        let past = done.past.get(&cell.cell).into_iter().flatten();
        for run in past.filter(|run| run.is_result()) {
            let cells: &BTreeMap<String, CellRecord> = runs
                .entry(&run.run)
                .or_insert_with(|| results_of(store, &run.run));
            if let Some(record) = cells.get(&cell.cell) {
                last.insert(cell.cell.clone(), record.clone());
                break;
            }
        }
    }
    last
}

/// The records of a kept run, by cell; none if it can no longer be read: somebody may have removed it
/// during the night.
fn results_of(store: &RunStore, run: &str) -> BTreeMap<String, CellRecord> {
    match store.load(run) {
        Ok(kept) => {
            let cells = kept.run.cells.into_iter();
            cells.map(|cell| (cell.cell.clone(), cell)).collect()
        }
        Err(error) => {
            say(format_args!(
                "klto: an earlier night is not compared with: {}",
                error.in_one_line()
            ));
            BTreeMap::new()
        }
    }
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
