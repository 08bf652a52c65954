//! A message in plain text about one run, in lines of at most 72 columns, but for what tools
//! printed. It has a subject and neither sender nor receiver. klto sends nothing: `git send-email`
//! does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::hidden::Hidden;
use super::shared::{Group, groups};
use super::test_tree::{self, Test, failures, of_cell, of_tree};
use super::wrapped::{HEADERS, LAST_LINE, sentence, wrap, write_command};
use super::{Reporter, printable};
use crate::judge::identity::{PartOf, Placed};
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Inspection, Outcome, RuleText, RunRecord};

/// Findings of a group that are shown.
const SHOWN: usize = 3;

/// Writes records as a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mail;

impl Reporter for Mail {
    fn run(&self, run: &RunRecord) -> String {
        let verdict = verdict(&run.cells);
        let what = run.title();
        let mut out = head(&format!("{what}: {verdict}"));
        write_tested(&mut out, run);
        out.push('\n');
        wrap(&mut out, "", &sentence(&verdict));
        let groups = groups(run);
        let mut reproduced: Vec<&str> = Vec::new();
        for group in groups.iter().filter(|group| group.allowed.is_none()) {
            write_group(&mut out, group);
            let cell = group.cells[0];
            if !reproduced.contains(&cell.cell.as_str()) {
                reproduced.push(&cell.cell);
                write_commands(&mut out, cell);
            }
        }
        write_known(&mut out, &groups);
        write_inconclusive(&mut out, &run.cells);
        write_skipped(&mut out, &run.cells);
        let built = run.cells.iter().filter(|cell| !is_skipped(cell));
        write_not_judged(&mut out, &built.map(of_cell).collect::<Vec<Test>>());
        out.push_str(LAST_LINE);
        out
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        of_tests(tree, &of_tree(inspection, rules))
    }
}

/// Tests of one thing, such as a build tree.
#[must_use]
pub fn of_tests(name: &str, tests: &[Test]) -> String {
    let failed = tests.iter().filter(|test| !test.is_ok()).count();
    let verdict = format!("{failed} of {} failed", counted(tests.len(), "tests"));
    let mut out = head(&format!("{name}: {verdict}"));
    wrap(
        &mut out,
        "",
        &format!("This is the result of klto on {name}."),
    );
    out.push('\n');
    wrap(&mut out, "", &sentence(&verdict));
    for failure in failures(tests) {
        out.push('\n');
        let (name, what) = (failure.name, failure.head());
        wrap(&mut out, "", &format!(">> {name}: {what}"));
        if !failure.evidence().is_empty() {
            out.push('\n');
        }
        for line in failure.evidence().iter().take(SHOWN) {
            wrap(&mut out, "   ", line);
        }
        if let Some(more @ 1..) = failure.evidence().len().checked_sub(SHOWN) {
            let _ = writeln!(out, "   and {more} more lines");
        }
    }
    write_not_judged(&mut out, tests);
    out.push_str(LAST_LINE);
    out
}

fn head(subject: &str) -> String {
    format!("Subject: klto: {}\n{HEADERS}", printable(subject))
}

/// `2 cells failed, 1 is inconclusive, 10 passed`, the worst first; nothing that is not there.
fn verdict(cells: &[CellRecord]) -> String {
    let count = |is: fn(&Outcome) -> bool| cells.iter().filter(|cell| is(&cell.outcome)).count();
    let parts = [
        (count(|outcome| *outcome == Outcome::Fail), "failed"),
        (count(|o| matches!(o, Outcome::Error(_))), "inconclusive"),
        (count(|outcome| *outcome == Outcome::Pass), "passed"),
        (
            cells.iter().filter(|cell| is_skipped(cell)).count(),
            "skipped",
        ),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let mut parts: Vec<String> = parts
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    match parts.first_mut() {
        None => "no cell was run".to_owned(),
        Some(first) => {
            let (number, what) = first.split_once(' ').unwrap_or_default();
            let unit = if number == "1" { "cell" } else { "cells" };
            *first = format!("{number} {unit} {what}");
            parts.join(", ")
        }
    }
}

fn is_skipped(cell: &CellRecord) -> bool {
    matches!(cell.outcome, Outcome::Skip(_))
}

/// Sources, cells, compilers, sandbox.
fn write_tested(out: &mut String, run: &RunRecord) {
    let cells = counted(run.cells.len(), "cells");
    let (matrix, kernel, revision) = (&run.matrix, &run.kernel, &run.revision);
    let revision = match revision == kernel {
        true => String::new(),
        false => format!(" (revision {revision})"),
    };
    let intro = format!(
        "This is the result of klto {} on Linux {kernel}{revision}{}: {cells} of {matrix}.",
        run.klto,
        run.with_and_shard()
    );
    wrap(out, "", &intro);
    out.push('\n');
    let names: Vec<&str> = run.cells.iter().map(|cell| cell.cell.as_str()).collect();
    wrap(out, "  ", &format!("cells: {}", names.join(", ")));
    let mut toolchains: Vec<&str> = run.cells.iter().map(|cell| &*cell.toolchain).collect();
    toolchains.retain(|toolchain| !toolchain.is_empty());
    toolchains.sort_unstable();
    toolchains.dedup();
    if !toolchains.is_empty() {
        wrap(out, "  ", &format!("with: {}", toolchains.join("; ")));
    }
    if let Some(enforced) = run.cells.iter().find_map(|cell| cell.sandbox) {
        wrap(out, "  ", &format!("built in a sandbox: {enforced}"));
    }
}

fn what(group: &Group<'_>) -> String {
    let number = group.findings.len();
    match group.cells[0].rules.get(group.key) {
        Some(rule) => counted(number, &rule.broken),
        None => counted(number, "findings"),
    }
}

fn names(cells: &[&CellRecord]) -> String {
    let names: Vec<&str> = cells.iter().map(|cell| cell.cell.as_str()).collect();
    names.join(", ")
}

fn write_group(out: &mut String, group: &Group<'_>) {
    out.push('\n');
    wrap(out, "", &format!(">> {}: {}", group.key, what(group)));
    wrap(out, "   ", &format!("in {}", names(&group.cells)));
    out.push('\n');
    let hidden = Hidden::of(group.cells[0]);
    for placed in group.findings.iter().take(SHOWN) {
        let finding = placed.finding;
        let place = place(*placed);
        let line = format!("{}{place}: {}", finding.object, finding.evidence);
        wrap(out, "   ", &hidden.of_line(&line));
        for line in &finding.details {
            let _ = writeln!(out, "     {}", hidden.of_line(line));
        }
    }
    if let Some(more @ 1..) = group.findings.len().checked_sub(SHOWN) {
        let _ = writeln!(out, "   and {more} more");
    }
    if let Some(rule) = group.cells[0].rules.get(group.key) {
        out.push('\n');
        wrap(out, "   ", &format!("Why it matters: {}.", rule.why));
    }
}

/// Where besides the build a finding is.
fn place(placed: Placed<'_>) -> String {
    match (placed.part, &placed.finding.step) {
        (PartOf::Build, _) => String::new(),
        (PartOf::Scenario(name), None) => format!(", in scenario {name}"),
        (PartOf::Scenario(name), Some(step)) => format!(", in scenario {name}, after '{step}'"),
        (PartOf::Comparison(mode), _) => format!(", compared with {mode}"),
    }
}

/// The commands that build a cell. Where the sources are on this machine concerns nobody else.
fn write_commands(out: &mut String, cell: &CellRecord) {
    if cell.reproduce.commands.is_empty() {
        return;
    }
    out.push('\n');
    let says = "To reproduce, with KERNEL as the sources and O as an empty folder:";
    wrap(out, "   ", says);
    out.push('\n');
    for command in &cell.reproduce.commands {
        write_command(out, &printable(command));
    }
}

/// What is broken as is known.
fn write_known(out: &mut String, groups: &[Group<'_>]) {
    let mut is_first = true;
    for group in groups {
        let Some(reason) = group.allowed else {
            continue;
        };
        if is_first {
            out.push('\n');
            is_first = false;
        }
        let (key, what, cells) = (group.key, what(group), names(&group.cells));
        wrap(
            out,
            "",
            &format!("known: {key}: {what} ({reason}), in {cells}"),
        );
    }
}

/// What kept klto from telling all, by the reason, with the cells.
fn write_inconclusive(out: &mut String, cells: &[CellRecord]) {
    let why = cells.iter().filter_map(|cell| {
        let outcome = match &cell.outcome {
            Outcome::Error(why) => Some(why),
            Outcome::Pass | Outcome::Fail | Outcome::Skip(_) => None,
        };
        let why = cell.error.as_ref().or(outcome)?;
        Some((cell, Hidden::of(cell).of_line(why)))
    });
    write_by_reason(out, "This is inconclusive:", why);
}

fn write_skipped(out: &mut String, cells: &[CellRecord]) {
    let why = cells.iter().filter_map(|cell| match &cell.outcome {
        Outcome::Skip(reason) => Some((cell, reason.to_string())),
        Outcome::Pass | Outcome::Fail | Outcome::Error(_) => None,
    });
    write_by_reason(out, "These cells were not built:", why);
}

fn write_by_reason<'a>(
    out: &mut String,
    title: &str,
    cells: impl Iterator<Item = (&'a CellRecord, String)>,
) {
    let mut reasons: Vec<(String, Vec<&CellRecord>)> = Vec::new();
    for (cell, why) in cells {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, cells)) => cells.push(cell),
            None => reasons.push((why, vec![cell])),
        }
    }
    if !reasons.is_empty() {
        let _ = writeln!(out, "\n{title}\n");
    }
    for (why, cells) in reasons {
        wrap(out, "  ", &format!("{}: {why}", names(&cells)));
    }
}

fn write_not_judged(out: &mut String, tests: &[Test]) {
    let not_judged = test_tree::not_judged(tests);
    if !not_judged.is_empty() {
        out.push_str("\nThis was not judged:\n\n");
    }
    for (reason, number) in &not_judged {
        wrap(
            out,
            "  ",
            &format!("{}: {reason}", counted(*number, "tests")),
        );
    }
}
