//! What `klto history` and `klto check --store` say: how findings came and went.

use std::fmt::Write as _;

use super::json::pretty;
use super::text::{BOLD, GREEN, RED, YELLOW};
use super::{Named, printable};
use crate::model::finding::counted;
use crate::model::stored::{CellHistory, Course, FindingHistory, History, Red, RunAt};

/// Findings of a cell that are shown, unless all are asked for.
const SHOWN: usize = 20;

/// The formats of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
}

impl Named for Format {
    const ALL: &'static [Format] = &[Self::Text, Self::Json];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The report on a history; with `all`, also cells in which nothing was ever found.
#[must_use]
pub fn write(history: &History, format: Format, all: bool) -> String {
    match format {
        Format::Text => text(history, all),
        Format::Json => pretty(history),
    }
}

fn text(history: &History, all: bool) -> String {
    let mut out = String::new();
    let is_shown = |cell: &&CellHistory| all || cell.red.is_some() || !cell.findings.is_empty();
    let shown: Vec<&CellHistory> = history.cells.iter().filter(is_shown).collect();
    for cell in &shown {
        write_cell(&mut out, cell, all);
    }
    for why in &history.unreadable {
        let _ = writeln!(out, "{YELLOW}not read{YELLOW:#}: {}", printable(why));
    }
    let red = history
        .cells
        .iter()
        .filter(|cell| cell.red.is_some())
        .count();
    let is_there = |finding: &&FindingHistory| finding.course.is_there();
    let there: usize = history
        .cells
        .iter()
        .map(|cell| cell.findings.iter().filter(is_there).count())
        .sum();
    let cells = counted(history.cells.len(), "cells");
    let _ = match (red, there) {
        (0, 0) => writeln!(out, "{GREEN}ok{GREEN:#}: {cells}, and none of them fails"),
        (red, there) => writeln!(
            out,
            "{RED}failing{RED:#}: {red} of {cells}; {} there now",
            counted(there, "findings are")
        ),
    };
    out
}

fn write_cell(out: &mut String, cell: &CellHistory, all: bool) {
    let name = format!("{}: {}", printable(&cell.matrix), printable(&cell.cell));
    let _ = write!(out, "{BOLD}{name}{BOLD:#}: ");
    match &cell.red {
        Some(red) => write_red(out, red),
        None => write_not_red(out, cell),
    }
    let shown = if all { cell.findings.len() } else { SHOWN };
    for finding in cell.findings.iter().take(shown) {
        write_finding(out, finding);
    }
    if let Some(more @ 1..) = cell.findings.len().checked_sub(shown) {
        let _ = writeln!(out, "  … and {more} more; --all shows them");
    }
}

/// `red for 21 runs, since DATE, and since the 3rd of them with another finding`.
fn write_red(out: &mut String, red: &Red) {
    let _ = write!(
        out,
        "{RED}red{RED:#} for {}, since {}",
        counted(red.runs, "runs"),
        at(&red.since)
    );
    for (number, worse) in red.worse.iter().enumerate() {
        let comma = if number == 0 { ", and" } else { " and" };
        let _ = write!(
            out,
            "{comma} since the {} of them with {}",
            ordinal(worse.nth),
            match worse.findings.len() {
                1 => "another finding".to_owned(),
                n => format!("{n} other findings"),
            }
        );
    }
    out.push('\n');
    let _ = match &red.passed {
        Some(passed) => writeln!(
            out,
            "  it passed on {}{}",
            at(passed),
            commits(passed, &red.since)
        ),
        None => writeln!(out, "  no run here shows that it ever passed"),
    };
}

fn write_not_red(out: &mut String, cell: &CellHistory) {
    let of = |outcome: &str| {
        cell.runs
            .iter()
            .filter(|run| run.outcome == outcome)
            .count()
    };
    let (passed, error) = (of("pass"), of("error"));
    let _ = match (passed, error) {
        (0, 0) => writeln!(out, "not built in {}", counted(cell.runs.len(), "runs")),
        (0, _) => writeln!(
            out,
            "{YELLOW}inconclusive{YELLOW:#} in {}",
            counted(error, "runs")
        ),
        _ => writeln!(
            out,
            "{GREEN}green{GREEN:#}: passed in {} of {}",
            passed,
            counted(cell.runs.len(), "runs")
        ),
    };
}

fn write_finding(out: &mut String, finding: &FindingHistory) {
    let step = finding.step.as_ref();
    let step = step.map(|step| format!(", after '{}'", printable(step)));
    let style = if finding.course.is_there() {
        RED
    } else {
        GREEN
    };
    let _ = writeln!(
        out,
        "  {style}{}{style:#} [{}] {}{}: {}",
        finding.course.name(),
        printable(&finding.key),
        printable(&finding.object),
        step.unwrap_or_default(),
        printable(&finding.evidence)
    );
    let _ = writeln!(out, "      {}", course(&finding.course));
}

fn course(course: &Course) -> String {
    match course {
        Course::New { by, after } => {
            format!(
                "the last run has it, {}; {} does not{}",
                at(by),
                at(after),
                commits(after, by)
            )
        }
        Course::Since { first, after, runs } => format!(
            "in {} since {}; {} does not have it{}",
            counted(*runs, "runs"),
            at(first),
            at(after),
            commits(after, first)
        ),
        Course::Always { first, runs } => {
            format!(
                "in each of {} that looked, the first on {}",
                counted(*runs, "runs"),
                at(first)
            )
        }
        Course::Flaky {
            is_there,
            with,
            without,
        } => format!(
            "of {} of one job, from the same sources with the same tools, {with} have it; the last one {}",
            counted(with + without, "runs"),
            if *is_there { "does" } else { "does not" }
        ),
        Course::Fixed { last, by } => {
            format!(
                "last seen on {}, gone on {}{}",
                at(last),
                at(by),
                commits(last, by)
            )
        }
    }
}

/// `2026-11-04 (7.3.0-rc3-g0123456789ab, run 20261104T…)`.
fn at(run: &RunAt) -> String {
    let date = run.recorded.get(..10).unwrap_or(&run.recorded);
    format!(
        "{date} ({}, run {})",
        printable(&run.revision),
        printable(&run.run)
    )
}

/// The commits between two runs, as a command.
fn commits(before: &RunAt, after: &RunAt) -> String {
    match (commit(&before.revision), commit(&after.revision)) {
        (Some(a), Some(b)) if a == b => "\n      both are of the same commit".to_owned(),
        (Some(a), Some(b)) => format!("\n      git log --oneline {a}..{b}"),
        (_, _) => String::new(),
    }
}

/// The commit in `7.3.0-rc7-g0123456789ab`.
fn commit(revision: &str) -> Option<&str> {
    let (_, hash) = revision.rsplit_once("-g")?;
    let is_hash = hash.len() >= 7 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(hash)
}

fn ordinal(n: usize) -> String {
    let suffix = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        (_, _) => "th",
    };
    format!("{n}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(1, "1st")]
    #[case(2, "2nd")]
    #[case(3, "3rd")]
    #[case(4, "4th")]
    #[case(11, "11th")]
    #[case(12, "12th")]
    #[case(13, "13th")]
    #[case(21, "21st")]
    #[case(112, "112th")]
    fn numbers_are_counted_as_people_do(#[case] n: usize, #[case] expected: &str) {
        assert_eq!(ordinal(n), expected);
    }

    #[rstest]
    #[case::a_commit("7.3.0-rc7-g0123456789ab", Some("0123456789ab"))]
    #[case::a_release("7.2.13", None)]
    #[case::no_hash("7.3.0-gnu", None)]
    fn a_revision_may_name_a_commit(#[case] revision: &str, #[case] expected: Option<&str>) {
        assert_eq!(commit(revision), expected);
    }
}
