//! Findings as people read them: what happened, where, why it matters, what to do.

use std::fmt::Write as _;

use anstyle::Style;

use super::{RED, Rules, YELLOW};
use crate::model::finding::{Severity, counted};
use crate::model::record::{FindingRecord, RuleText};
use crate::report::{Options, by_rule, printable, reasons};

/// Objects of a rule that are shown, unless all are asked for.
pub(in crate::report) const SHOWN: usize = 4;

/// Every rule with its open findings; with its allowed ones too, where they are asked for.
pub fn write_findings(
    out: &mut String,
    findings: &[FindingRecord],
    rules: &Rules,
    options: Options,
) {
    let (open, allowed): (Vec<_>, Vec<_>) = findings.iter().partition(|f| f.is_open());
    for (key, group) in by_rule(open) {
        let rule = rules.get(key);
        let (style, label) = match rule.map(|rule| rule.severity) {
            Some(Severity::Warning) => (YELLOW, Severity::Warning.name()),
            // Without its text, a rule's severity is not known.
            Some(Severity::Error) | None => (RED, Severity::Error.name()),
        };
        write_headline(out, style, label, key, &what(group.len(), rule));
        write_objects(out, &group, options.all);
        if let Some(rule) = rule {
            let _ = writeln!(out, "  why: {}", printable(&rule.why));
            let _ = writeln!(out, "  fix: {}", printable(&rule.fix));
        }
    }
    for (key, group) in by_rule(allowed).into_iter().filter(|_| options.allowed) {
        let what = what(group.len(), rules.get(key));
        write_headline(out, Style::new(), "allowed", key, &what);
        write_objects(out, &group, options.all);
        let _ = writeln!(out, "  allowed: {}", printable(&reasons(&group)));
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
