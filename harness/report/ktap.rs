//! KTAP, the kernel's Test Anything Protocol
//! (`Documentation/dev-tools/ktap.rst`): a rule is a test, a cell a parent.

use std::fmt::Write as _;

use super::{groups, printable};
use crate::judge::check;
use crate::model::finding::Finding;
use crate::model::outcome::Verdict;
use crate::model::outcome::{CellResult, Checked, RunResult, ScenarioResult};

/// What `klto check` says, a test a rule.
#[must_use]
pub fn tree(checked: &Checked) -> String {
    format!("KTAP version 1\n{}", rules(checked, &[], ""))
}

/// What `klto run` says, a test a cell with its rules below.
#[must_use]
pub fn run(result: &RunResult) -> String {
    let mut out = format!("KTAP version 1\n1..{}\n", result.cells.len());
    for (n, cell) in result.cells.iter().enumerate() {
        if let Some(checked) = &cell.checked {
            out.push_str("  KTAP version 1\n");
            out.push_str(&rules(checked, &cell.scenarios, "  "));
        }
        if let Some(failure) = &cell.failure {
            for line in &failure.first_errors {
                let _ = writeln!(out, "  # {}", printable(line));
            }
        }
        let _ = writeln!(out, "{}", cell_line(n + 1, cell));
    }
    out
}

fn cell_line(number: usize, cell: &CellResult) -> String {
    let name = description(&cell.name);
    match &cell.verdict {
        Verdict::Skipped(reason) => format!("ok {number} {name} # SKIP {}", description(reason)),
        Verdict::Infra(reason) => {
            format!(
                "ok {number} {name} # SKIP cannot tell: {}",
                description(reason)
            )
        }
        Verdict::Missing => format!("ok {number} {name} # SKIP no cell of this matrix"),
        Verdict::Same
        | Verdict::Fixed
        | Verdict::Regressed
        | Verdict::Changed
        | Verdict::New
        | Verdict::Holds
        | Verdict::Broken => {
            let result = if cell.is_broken() { "not ok" } else { "ok" };
            format!("{result} {number} {name}")
        }
    }
}

/// The plan, one line a rule and one a scenario; what is found stands as diagnostics
/// before it.
fn rules(checked: &Checked, scenarios: &[ScenarioResult], indent: &str) -> String {
    let broken = groups(&checked.findings);
    let mut tests: Vec<(&str, Vec<&Finding>, Option<&str>)> = check::rules()
        .map(|rule| (rule.key, Vec::new(), None))
        .collect();
    for group in broken {
        match tests.iter_mut().find(|(key, ..)| *key == group.rule.key) {
            Some(test) => {
                test.2 = group.suppressed;
                test.1.extend(group.findings);
            }
            None => tests.push((group.rule.key, group.findings, group.suppressed)),
        }
    }
    let mut out = format!("{indent}1..{}\n", tests.len() + scenarios.len());
    for (n, (key, findings, reason)) in tests.iter().enumerate() {
        for finding in findings {
            let _ = writeln!(
                out,
                "{indent}# {}: {}",
                printable(&finding.object),
                printable(&finding.evidence)
            );
        }
        let open = findings.iter().any(|f| f.suppressed.is_none());
        let _ = match (open, reason) {
            (true, _) => writeln!(out, "{indent}not ok {} {key}", n + 1),
            (false, None) if !checked.rules.iter().any(|rule| rule.key == *key) => {
                writeln!(out, "{indent}ok {} {key} # SKIP not checked here", n + 1)
            }
            (false, None) if checked.unfinished.is_some() => {
                writeln!(
                    out,
                    "{indent}ok {} {key} # SKIP the build is not finished",
                    n + 1
                )
            }
            (false, None) => writeln!(out, "{indent}ok {} {key}", n + 1),
            (false, Some(reason)) => {
                writeln!(
                    out,
                    "{indent}ok {} {key} # SKIP allowed: {}",
                    n + 1,
                    description(reason)
                )
            }
        };
    }
    for (n, scenario) in scenarios.iter().enumerate() {
        let number = tests.len() + n + 1;
        for finding in &scenario.findings {
            let step = finding.step.as_deref().unwrap_or_default();
            let _ = writeln!(
                out,
                "{indent}# {}: {}: {}: {}",
                finding.rule.key,
                printable(&finding.object),
                printable(step),
                printable(&finding.evidence)
            );
        }
        let result = if scenario.open_findings().next().is_some() {
            "not ok"
        } else {
            "ok"
        };
        let note = match (&scenario.left_out[..], &scenario.findings[..]) {
            ([reason], []) => format!(" # SKIP {}", description(reason)),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "{indent}{result} {number} scenario {}{note}",
            scenario.name
        );
    }
    out
}

/// A `#` would begin a directive.
fn description(text: &str) -> String {
    printable(text).replace('#', "\\#")
}
