//! The table of a run, one line per cell, and the line that sums it up.

use std::fmt::Write as _;

use anstyle::Style;

use super::{BOLD, GREEN, RED, YELLOW, duration};
use crate::model::finding::counted;
use crate::model::record::{Baseline, CellRecord, Outcome, RunRecord};
use crate::report::printable;

/// Writes both.
pub fn write(out: &mut String, run: &RunRecord) {
    let names: Vec<_> = run.cells.iter().map(|cell| printable(&cell.cell)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let width = longest.unwrap_or_default().max("cell".len());
    let _ = writeln!(
        out,
        "{BOLD}{:width$}  {:7}  {:9}  {:>8}  {:>7}  {:>7}  time{BOLD:#}",
        "cell", "outcome", "baseline", "findings", "objects", "exports"
    );
    for (cell, name) in run.cells.iter().zip(names) {
        let open = match (cell.open_findings().count(), &cell.inspection) {
            (0, None) => "-".to_owned(),
            (open, _) => open.to_string(),
        };
        let (objects, exports) = match cell.inspection.as_ref().map(|i| i.counts) {
            Some(counts) => (
                counts.objects.to_string(),
                counts.exported_symbols.to_string(),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let (first, second) = (outcome_style(&cell.outcome), baseline_style(cell.baseline));
        let _ = writeln!(
            out,
            "{name:width$}  {first}{:7}{first:#}  {second}{:9}{second:#}  {open:>8}  {objects:>7}  {exports:>7}  {}",
            cell.outcome.name(),
            baseline(cell.baseline),
            note(cell),
        );
    }
    let _ = writeln!(
        out,
        "\n{} of {}, Linux {}{}: {}",
        counted(run.cells.iter().filter(|c| !is_gone(c)).count(), "cells"),
        printable(&run.matrix),
        printable(&run.kernel),
        printable(&run.with_and_shard()),
        summary(&run.cells)
    );
}

fn is_gone(cell: &CellRecord) -> bool {
    cell.baseline == Baseline::Gone
}

fn outcome_style(outcome: &Outcome) -> Style {
    match outcome {
        Outcome::Pass => GREEN,
        Outcome::Fail => RED,
        Outcome::Error(_) | Outcome::Skip(_) => YELLOW,
    }
}

fn baseline_style(baseline: Baseline) -> Style {
    match baseline {
        Baseline::None => Style::new(),
        Baseline::Same | Baseline::Fixed => GREEN,
        Baseline::Regressed => RED,
        Baseline::Changed | Baseline::Gone => YELLOW,
    }
}

fn baseline(baseline: Baseline) -> &'static str {
    match baseline {
        Baseline::None => "-",
        Baseline::Same
        | Baseline::Fixed
        | Baseline::Regressed
        | Baseline::Changed
        | Baseline::Gone => baseline.name(),
    }
}

/// How long it took and where it began, or why there is no verdict.
fn note(cell: &CellRecord) -> String {
    let time = duration(cell.cost.wall_seconds);
    match (&cell.outcome, &cell.derived_from) {
        (Outcome::Skip(reason), _) => printable(&reason.to_string()).into_owned(),
        (Outcome::Error(why), _) => format!("{time}: {}", printable(why)),
        (Outcome::Pass | Outcome::Fail, Some(from)) => {
            format!("{time}, derived from {}", printable(from))
        }
        (Outcome::Pass | Outcome::Fail, None) => time,
    }
}

/// `ok`; `2 failed, 1 inconclusive`; what was skipped and what differs is shown beside it.
pub fn summary(cells: &[CellRecord]) -> String {
    let count = |is: fn(&&CellRecord) -> bool| cells.iter().filter(is).count();
    let failed = count(|cell| cell.outcome == Outcome::Fail);
    let inconclusive = count(|cell| matches!(cell.outcome, Outcome::Error(_)));
    let passed = count(|cell| cell.outcome == Outcome::Pass);
    let skipped = count(|cell| matches!(cell.outcome, Outcome::Skip(_)) && !is_gone(cell));
    let differ = count(|cell| {
        let differs = [Baseline::Fixed, Baseline::Regressed, Baseline::Changed];
        differs.contains(&cell.baseline)
    });
    let gone = count(|cell| is_gone(cell));

    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{RED}{failed} failed{RED:#}"));
    }
    if inconclusive > 0 {
        parts.push(format!("{YELLOW}{inconclusive} inconclusive{YELLOW:#}"));
    }
    if parts.is_empty() {
        parts.push(match passed {
            0 => format!("{YELLOW}nothing was judged{YELLOW:#}"),
            _ => format!("{GREEN}ok{GREEN:#}"),
        });
    }
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    if differ > 0 {
        parts.push(format!("{differ} not as accepted"));
    }
    if gone > 0 {
        parts.push(format!("{gone} gone"));
    }
    parts.join(", ")
}
