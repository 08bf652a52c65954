//! Findings as people read them: what happened, where, why it matters, what to do.

use std::fmt::Write as _;

use anstyle::Style;

use super::{RED, Rules, YELLOW};
use crate::model::finding::{Severity, counted};
use crate::model::record::{CellRecord, FindingRecord, RuleText};
use crate::report::{Options, by_rule, grouped, printable, reasons};

/// Objects of a rule that are shown, unless all are asked for.
pub(in crate::report) const SHOWN: usize = 4;

/// A finding of a cell, and all cells of the run that have it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub finding: &'a FindingRecord,
    /// In the order of the run; empty where there is one tree only.
    pub cells: &'a [&'a CellRecord],
}

impl<'a> Seen<'a> {
    /// The cell before `here` at which it is shown in full, if it is.
    fn shown_at(self, here: Option<&CellRecord>) -> Option<&'a str> {
        let first = *self.cells.first()?;
        let is_here = here.is_some_and(|here| std::ptr::eq(first, here));
        (!is_here).then_some(first.cell.as_str())
    }
}

/// Every rule with its open findings, those that an earlier cell has in one line; with its allowed
/// ones too, where they are asked for.
pub fn write_findings(
    out: &mut String,
    here: Option<&CellRecord>,
    findings: &[Seen<'_>],
    rules: &Rules,
    options: Options,
) {
    let (open, allowed): (Vec<_>, Vec<_>) = findings.iter().partition(|f| f.finding.is_open());
    let (earlier, first): (Vec<_>, Vec<_>) = open
        .into_iter()
        .partition(|seen: &Seen<'_>| !options.all && seen.shown_at(here).is_some());
    for (key, group) in grouped(first, |seen| seen.finding.key.as_str()) {
        let rule = rules.get(key);
        let (style, label) = severity(rule);
        write_headline(out, style, label, key, &what(group.len(), rule));
        let findings: Vec<&FindingRecord> = group.iter().map(|seen| seen.finding).collect();
        write_objects(out, &findings, options.all);
        if !options.all {
            write_other_cells(out, &group);
        }
        if let Some(rule) = rule {
            let _ = writeln!(out, "  why: {}", printable(&rule.why));
            let _ = writeln!(out, "  fix: {}", printable(&rule.fix));
        }
    }
    write_earlier(out, here, earlier, rules);
    let allowed = allowed.into_iter().map(|seen| seen.finding);
    for (key, group) in by_rule(allowed).into_iter().filter(|_| options.allowed) {
        let what = what(group.len(), rules.get(key));
        write_headline(out, Style::new(), "allowed", key, &what);
        write_objects(out, &group, options.all);
        let _ = writeln!(out, "  allowed: {}", printable(&reasons(&group)));
    }
}

fn severity(rule: Option<&RuleText>) -> (Style, &'static str) {
    match rule.map(|rule| rule.severity) {
        Some(Severity::Warning) => (YELLOW, Severity::Warning.name()),
        // Without its text, a rule's severity is not known.
        Some(Severity::Error) | None => (RED, Severity::Error.name()),
    }
}

/// The later cells that have all of the findings, and those that have some.
fn write_other_cells(out: &mut String, group: &[Seen<'_>]) {
    let others = group.iter().flat_map(|seen| seen.cells.iter().skip(1));
    let others = grouped(others, |cell| cell.cell.as_str()).into_iter();
    let others: Vec<String> = others
        .map(|(cell, found)| match found.len() == group.len() {
            true => printable(cell).into_owned(),
            false => format!("{} ({} of them)", printable(cell), found.len()),
        })
        .collect();
    if !others.is_empty() {
        let _ = writeln!(out, "  also in: {}", others.join(", "));
    }
}

/// A line for the findings of each rule that an earlier cell has, too.
fn write_earlier(
    out: &mut String,
    here: Option<&CellRecord>,
    earlier: Vec<Seen<'_>>,
    rules: &Rules,
) {
    let key = |seen: &Seen<'_>| {
        (
            seen.finding.key.clone(),
            seen.shown_at(here).map(str::to_owned),
        )
    };
    for (number, ((key, cell), group)) in grouped(earlier, key).into_iter().enumerate() {
        if number == 0 {
            out.push('\n');
        }
        let rule = rules.get(&key);
        let ((style, label), what) = (severity(rule), what(group.len(), rule));
        let (key, cell) = (printable(&key), cell.unwrap_or_default());
        let cell = printable(&cell);
        let _ = writeln!(out, "{style}{label}[{key}]{style:#}: as in {cell}: {what}");
    }
}

/// One line for each rule with allowed findings.
pub fn write_allowed<'a>(
    out: &mut String,
    findings: impl IntoIterator<Item = &'a FindingRecord>,
    rules: &Rules,
) {
    let allowed = findings.into_iter().filter(|finding| !finding.is_open());
    for (number, (key, group)) in by_rule(allowed).into_iter().enumerate() {
        if number == 0 {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "allowed[{}]: {} ({}; --allowed shows {})",
            printable(key),
            what(group.len(), rules.get(key)),
            printable(&reasons(&group)),
            if group.len() == 1 { "it" } else { "them" }
        );
    }
}

fn write_headline(out: &mut String, style: Style, label: &str, key: &str, what: &str) {
    let key = printable(key);
    let _ = writeln!(out, "\n{style}{label}[{key}]{style:#}: {what}");
}

/// `473 objects have no saved_c_flags line`.
fn what(number: usize, rule: Option<&RuleText>) -> String {
    match rule {
        Some(rule) => printable(&counted(number, &rule.broken)).into_owned(),
        None => {
            let findings = counted(number, "findings");
            format!("{findings}; the record has no text for this rule")
        }
    }
}

fn write_objects(out: &mut String, findings: &[&FindingRecord], all: bool) {
    let shown = if all { findings.len() } else { SHOWN };
    for finding in findings.iter().take(shown) {
        let step = finding.step.as_ref();
        let step = step.map(|s| format!(", after '{}'", printable(s)));
        let _ = writeln!(
            out,
            "    {}{}: {}",
            printable(&finding.object),
            step.unwrap_or_default(),
            printable(&finding.evidence)
        );
        for line in &finding.details {
            let _ = writeln!(out, "        {}", printable(line));
        }
    }
    if let Some(more @ 1..) = findings.len().checked_sub(shown) {
        let _ = writeln!(out, "    … and {more} more; --all shows them");
    }
}
