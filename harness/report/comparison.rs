//! What `klto compare` says of two runs, in each format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::json::pretty;
use super::test_tree::{Test, Verdict};
use super::text::{BOLD, GREEN, RED, YELLOW, reproduce};
use super::{Format, github, grouped, html, junit, ktap, mail, markdown, perfetto, printable};
use crate::model::finding::counted;
use crate::model::stored::{ComparedFinding, ComparisonVerdict, RunChange, RunComparison, RunHead};

/// Findings of a rule that are shown, unless all are asked for.
const OF_RULE: usize = 5;
/// Cells of a kind that are shown, unless all are asked for.
const SHOWN: usize = 20;
/// Names of cells that are shown.
const CELLS: usize = 4;

/// The report on two runs.
///
/// # Errors
/// Why the format has none, as a text.
pub fn write(
    comparison: &RunComparison,
    format: Format,
    all: bool,
) -> Result<String, &'static str> {
    let name = format!("{} and {}", comparison.before.run, comparison.after.run);
    let tests = || tests(comparison);
    Ok(match format {
        Format::Text => text(comparison, all),
        Format::Json => pretty(comparison),
        Format::Ktap => ktap::write(&tests()),
        Format::Junit => junit::of_tests(&name, &tests()),
        Format::Github => github::write(&tests()),
        Format::Markdown => markdown::write(&name, &tests()),
        Format::Html => html::two_runs::write(comparison),
        Format::Mail => mail::of_tests(&name, &tests()),
        Format::Perfetto => perfetto::write(&name, &tests()),
        Format::Kcidb => {
            return Err("KCIDB compares runs itself\n  'klto report RUN' writes each of them");
        }
    })
}

fn text(comparison: &RunComparison, all: bool) -> String {
    let mut out = String::new();
    for (which, head) in [("before", &comparison.before), ("after", &comparison.after)] {
        let _ = writeln!(out, "{which:7} {}", head_line(head));
    }
    for change in [RunChange::New, RunChange::Flaky, RunChange::Fixed] {
        let of_kind = |finding: &&ComparedFinding| finding.change == change;
        let findings: Vec<_> = comparison.findings.iter().filter(of_kind).collect();
        write_findings(&mut out, comparison, change, &findings, all);
    }
    write_rest(&mut out, comparison, all);
    let _ = writeln!(out, "\n{}", summary(comparison));
    out
}

/// `RUN: nightly, Linux 7.3.0-rc7-g0123456789ab, 8 cells`.
fn head_line(head: &RunHead) -> String {
    format!(
        "{BOLD}{}{BOLD:#}: {}, Linux {}, {}{}",
        printable(&head.run),
        printable(&head.matrix),
        printable(&head.revision),
        counted(head.cells, "cells"),
        printable(&head.with())
    )
}

fn write_findings(
    out: &mut String,
    comparison: &RunComparison,
    change: RunChange,
    findings: &[&ComparedFinding],
    all: bool,
) {
    if findings.is_empty() {
        return;
    }
    let style = match change {
        RunChange::New => RED,
        RunChange::Flaky => YELLOW,
        RunChange::Fixed | RunChange::Known => GREEN,
    };
    let number = counted(findings.len(), "findings");
    let _ = writeln!(out, "\n{style}{}{style:#}: {number}", change.name());
    for (key, of_rule) in by_rule(findings) {
        let broken = comparison.rules.get(key).map(|text| text.broken.as_str());
        let number = counted(of_rule.len(), broken.unwrap_or("findings"));
        let _ = writeln!(
            out,
            "  {BOLD}{}{BOLD:#}: {}",
            printable(key),
            printable(&number)
        );
        let shown = if all { of_rule.len() } else { OF_RULE };
        for finding in of_rule.iter().take(shown) {
            let _ = writeln!(out, "    {}", line(finding));
            for detail in &finding.details {
                let _ = writeln!(out, "      {}", printable(detail));
            }
            let _ = writeln!(out, "      in {}", cells(&finding.cells, all));
        }
        if let Some(more @ 1..) = of_rule.len().checked_sub(shown) {
            let _ = writeln!(out, "    … and {more} more; --all shows them");
        }
    }
    if let (RunChange::New, Some(first)) = (change, findings.first()) {
        let _ = writeln!(out, "  to reproduce the first:");
        for line in reproduce(&first.reproduce).iter().skip(1) {
            let _ = writeln!(out, "{line}");
        }
    }
}

/// Puts the findings of one rule together, in the order in which rules first occur.
pub(super) fn by_rule<'a>(
    findings: &[&'a ComparedFinding],
) -> Vec<(&'a str, Vec<&'a ComparedFinding>)> {
    grouped(findings.iter().copied(), |finding| finding.key.as_str())
}

/// `init/main.o, after 'noop: make again': the evidence`.
fn line(finding: &ComparedFinding) -> String {
    let step = finding.step.as_ref();
    let step = step.map(|step| format!(", after '{}'", printable(step)));
    format!(
        "{}{}: {}",
        printable(&finding.object),
        step.unwrap_or_default(),
        printable(&finding.evidence)
    )
}

fn cells(names: &[String], all: bool) -> String {
    let shown = if all { names.len() } else { CELLS };
    let mut text: Vec<_> = names
        .iter()
        .take(shown)
        .map(|name| printable(name))
        .collect();
    if let Some(more @ 1..) = names.len().checked_sub(shown) {
        text.push(format!("{more} more cells").into());
    }
    text.join(", ")
}

fn write_rest(out: &mut String, comparison: &RunComparison, all: bool) {
    let mut section = |head: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{BOLD}{head}{BOLD:#}:");
        let shown = if all { lines.len() } else { SHOWN };
        for line in lines.iter().take(shown) {
            let _ = writeln!(out, "    {}", printable(line));
        }
        if let Some(more @ 1..) = lines.len().checked_sub(shown) {
            let _ = writeln!(out, "    … and {more} more; --all shows them");
        }
    };
    let outcomes = comparison.outcomes.iter();
    let outcomes = outcomes.map(|o| format!("{}: {}, before {}", o.cell, o.after, o.before));
    section("another outcome", outcomes.collect());
    section("only in the later run", comparison.added.clone());
    section("only in the earlier run", comparison.gone.clone());
    let undecided = comparison.undecided.iter();
    let undecided = undecided.map(|cell| format!("{} in {}: {}", cell.cell, cell.run, cell.why));
    section("not judged", undecided.collect());
}

fn summary(comparison: &RunComparison) -> String {
    let (style, word) = match comparison.verdict() {
        ComparisonVerdict::NotWorse => (GREEN, "ok"),
        ComparisonVerdict::Inconclusive => (YELLOW, "inconclusive"),
        ComparisonVerdict::Flaky => (YELLOW, "flaky"),
        ComparisonVerdict::Worse => (RED, "worse"),
    };
    format!("{style}{word}{style:#}: {}", numbers(comparison))
}

/// `24 new, 0 flaky, 1 fixed, 5 in both; 2 cells were not judged`.
pub(super) fn numbers(comparison: &RunComparison) -> String {
    let count = |change: RunChange| {
        let findings = comparison.findings.iter();
        let number = findings.filter(|finding| finding.change == change).count();
        match change {
            RunChange::Known => format!("{number} in both"),
            RunChange::New | RunChange::Flaky | RunChange::Fixed => {
                format!("{number} {}", change.name())
            }
        }
    };
    let numbers = RunChange::ALL.map(count).join(", ");
    match comparison.undecided.len() {
        0 => numbers,
        undecided => format!("{numbers}; {} not judged", counted(undecided, "cells were")),
    }
}

/// One test per cell and rule whose findings changed, and one for each cell that was not judged.
fn tests(comparison: &RunComparison) -> Vec<Test> {
    let mut tests: BTreeMap<&str, Test> = BTreeMap::new();
    let mut add = |cell, test: Test| {
        let of_cell = tests.entry(cell);
        let subtests = &mut of_cell
            .or_insert_with(|| Test::new(cell, Verdict::Pass))
            .subtests;
        match subtests.iter_mut().find(|known| known.name == test.name) {
            Some(same) => same.diagnostics.extend(test.diagnostics),
            None => subtests.push(test),
        }
    };
    for finding in &comparison.findings {
        let (name, verdict) = match finding.change {
            RunChange::New => (finding.key.clone(), Verdict::Fail),
            RunChange::Flaky => (format!("{} (flaky)", finding.key), Verdict::Fail),
            RunChange::Fixed => (format!("{} (fixed)", finding.key), Verdict::Pass),
            RunChange::Known => (
                format!("{} (known)", finding.key),
                Verdict::ExpectedFailure("the earlier run has it, too".to_owned()),
            ),
        };
        for cell in &finding.cells {
            let mut test = Test::new(&name, verdict.clone());
            test.diagnostics.push(line(finding));
            add(cell, test);
        }
    }
    for cell in &comparison.undecided {
        let why = format!("in {}: {}", cell.run, cell.why);
        add(&cell.cell, Test::new("judged", Verdict::Error(why)));
    }
    tests.into_values().collect()
}
