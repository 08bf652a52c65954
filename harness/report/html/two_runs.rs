//! The page of two runs: what `klto compare` found.

use askama::Template;

use super::{Shell, rendered};
use crate::model::finding::counted;
use crate::model::record::RuleText;
use crate::model::stored::{
    ComparedFinding, ComparisonVerdict, OutcomeChange, RunChange, RunComparison, RunHead,
    UndecidedCell,
};
use crate::report::comparison::{by_rule, numbers};
use crate::report::printable;
use crate::report::text::reproduce;

/// Findings of a rule that are open to see, and those that can be opened besides.
const SHOWN: usize = 8;
const MORE: usize = 400;
/// Rows of a list of cells.
const ROWS: usize = 400;

#[derive(Debug, Template)]
#[template(path = "two_runs.html")]
struct Page<'a> {
    shell: Shell,
    verdict: String,
    outcome: &'static str,
    runs: [(&'static str, &'a RunHead, String); 2],
    changes: Vec<Changed<'a>>,
    commands: String,
    outcomes: &'a [OutcomeChange],
    added: &'a [String],
    gone: &'a [String],
    undecided: &'a [UndecidedCell],
    /// How many rows of these lists are not shown.
    left: usize,
}

/// Findings that changed alike.
#[derive(Debug)]
struct Changed<'a> {
    change: &'static str,
    head: String,
    rules: Vec<Rule<'a>>,
}

/// Those of one rule.
#[derive(Debug)]
struct Rule<'a> {
    key: &'a str,
    head: String,
    text: Option<&'a RuleText>,
    findings: Vec<&'a ComparedFinding>,
    /// Findings beyond those that are open to see.
    more: Vec<&'a ComparedFinding>,
    left: usize,
}

/// The page of a comparison.
#[must_use]
pub fn write(comparison: &RunComparison) -> String {
    let (before, after) = (&comparison.before, &comparison.after);
    let first_new = comparison
        .findings
        .first()
        .filter(|f| f.change == RunChange::New);
    let commands = first_new.map(|finding| reproduce(&finding.reproduce));
    let (outcomes, left_outcomes) = first(&comparison.outcomes);
    let (added, left_added) = first(&comparison.added);
    let (gone, left_gone) = first(&comparison.gone);
    let (undecided, left_undecided) = first(&comparison.undecided);
    rendered(&Page {
        shell: Shell::new(format!(
            "klto: {} and {}",
            printable(&before.run),
            printable(&after.run)
        )),
        verdict: numbers(comparison),
        outcome: match comparison.verdict() {
            ComparisonVerdict::Worse => "fail",
            ComparisonVerdict::Flaky | ComparisonVerdict::Inconclusive => "error",
            ComparisonVerdict::NotWorse => "pass",
        },
        runs: [
            ("Before", before, about(before)),
            ("After", after, about(after)),
        ],
        changes: RunChange::ALL
            .into_iter()
            .filter_map(|change| changed(comparison, change))
            .collect(),
        commands: lines(commands.unwrap_or_default()),
        outcomes,
        added,
        gone,
        undecided,
        left: left_outcomes + left_added + left_gone + left_undecided,
    })
}

fn about(head: &RunHead) -> String {
    format!("{}{}", counted(head.cells, "cells"), head.with())
}

/// What is to be typed, without the title.
fn lines(commands: Vec<String>) -> String {
    let lines: Vec<&str> = commands
        .iter()
        .skip(1)
        .map(|line| line.trim_start())
        .collect();
    lines.join("\n")
}

/// The first rows of a list, and how many more there are.
fn first<T>(all: &[T]) -> (&[T], usize) {
    let (shown, left) = all.split_at(all.len().min(ROWS));
    (shown, left.len())
}

/// The findings that changed so, if there are any.
fn changed(comparison: &RunComparison, change: RunChange) -> Option<Changed<'_>> {
    let of_kind = |finding: &&ComparedFinding| finding.change == change;
    let findings: Vec<&ComparedFinding> = comparison.findings.iter().filter(of_kind).collect();
    let rules = by_rule(&findings).into_iter().map(|(key, mut findings)| {
        let text = comparison.rules.get(key);
        let broken = text.map_or("findings", |text| text.broken.as_str());
        let head = counted(findings.len(), broken);
        let left = findings.len().saturating_sub(SHOWN + MORE);
        findings.truncate(SHOWN + MORE);
        let more = findings.split_off(findings.len().min(SHOWN));
        Rule {
            key,
            head,
            text,
            findings,
            more,
            left,
        }
    });
    (!findings.is_empty()).then(|| Changed {
        change: change.name(),
        head: counted(findings.len(), "findings"),
        rules: rules.collect(),
    })
}
