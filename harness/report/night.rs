//! What a night comes to, after the report of its run: what is new, what has been red for how long,
//! and what was not told.

use std::fmt::Write as _;

use super::comparison;
use super::text::{BOLD, RED, YELLOW};
use super::{Format, printable};
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome, RunRecord, SkipReason};
use crate::model::stored::{CellHistory, RunComparison};

/// Cells of a kind that are shown.
const SHOWN: usize = 20;

/// A night that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Night<'a> {
    pub run: &'a RunRecord,
    /// With the last result of each cell.
    pub comparison: &'a RunComparison,
    /// The cells that are not passed, up to this night.
    pub histories: &'a [CellHistory],
}

/// The night as text.
#[must_use]
pub fn write(night: &Night<'_>) -> String {
    let mut out = comparison::write(night.comparison, Format::Text, false).unwrap_or_default();
    let red: Vec<String> = night.histories.iter().filter_map(red).collect();
    section(&mut out, &format!("{RED}red{RED:#}"), &red);
    let cells = || night.run.cells.iter();
    let left_out = cells().filter(|cell| cell.outcome == Outcome::Skip(SkipReason::Budget));
    let left_out: Vec<String> = left_out.map(name).collect();
    let title = format!("{YELLOW}left out{YELLOW:#}, for lack of time");
    section(&mut out, &title, &left_out);
    let stopped: Vec<String> = cells().filter_map(stopped).collect();
    section(
        &mut out,
        &format!("{YELLOW}stopped by the machine{YELLOW:#}"),
        &stopped,
    );
    let may_fail = cells().filter(|cell| cell.fails_as_allowed());
    let may_fail: Vec<String> = may_fail.map(name).collect();
    section(
        &mut out,
        "not built, for reasons that are allowed",
        &may_fail,
    );
    let again: Vec<String> = cells().filter_map(again).collect();
    section(&mut out, "ran again", &again);
    out
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}: {}", counted(lines.len(), "cells"));
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(out, "  {line}");
    }
    if let Some(more @ 1..) = lines.len().checked_sub(SHOWN) {
        let _ = writeln!(out, "  … and {more} more");
    }
}

fn name(cell: &CellRecord) -> String {
    printable(&cell.cell).into_owned()
}

/// Since when a cell has been red, if it is: a week of red must not become what everyone is used
/// to.
fn red(history: &CellHistory) -> Option<String> {
    let red = history.red.as_ref()?;
    let day = red.since.recorded.get(..10).unwrap_or(&red.since.recorded);
    Some(format!(
        "{BOLD}{}{BOLD:#}: since {} (Linux {}), in {}",
        printable(&history.cell),
        printable(day),
        printable(&red.since.revision),
        counted(red.runs, "runs")
    ))
}

fn stopped(cell: &CellRecord) -> Option<String> {
    let why = cell.stopped_by()?;
    Some(format!("{}: {}", name(cell), printable(why)))
}

fn again(cell: &CellRecord) -> Option<String> {
    let first = cell.earlier_errors.first()?;
    let times = counted(cell.earlier_errors.len(), "times");
    Some(format!(
        "{}: the machine stopped it {times}, first: {}",
        name(cell),
        printable(first)
    ))
}
