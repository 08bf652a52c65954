//! JSON for programs, described in `docs/formats.md`. Keys are stable: they are
//! only ever added.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::finding::{Finding, Severity};
use crate::model::outcome::{CellResult, Checked, RunResult, ScenarioResult};
use crate::model::outcome::{Difference, Verdict};

/// Counts up when a key changes its meaning.
pub(super) const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Tree<'a> {
    schema: u32,
    #[serde(rename = "tree")]
    dir: &'a str,
    #[serde(flatten)]
    checked: CheckedJson<'a>,
}

#[derive(Serialize)]
struct CheckedJson<'a> {
    arch: &'a str,
    lto: &'static str,
    kernel: &'a str,
    compiler: &'a str,
    objects: usize,
    ir_objects: usize,
    exported_symbols: usize,
    warnings: &'a BTreeMap<String, usize>,
    rules: Vec<&'a str>,
    unfinished: Option<&'a str>,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    key: &'a str,
    severity: Severity,
    object: &'a str,
    evidence: &'a str,
    step: Option<&'a str>,
    holds: &'a str,
    why: &'a str,
    fix: &'a str,
    allowed: Option<&'a str>,
}

#[derive(Serialize)]
struct Run<'a> {
    schema: u32,
    matrix: &'a str,
    kernel: &'a str,
    cells: Vec<CellJson<'a>>,
}

#[derive(Serialize)]
struct CellJson<'a> {
    cell: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    broken: bool,
    seconds: f64,
    derived_from: Option<&'a str>,
    build_failure: Option<FailureJson<'a>>,
    checked: Option<CheckedJson<'a>>,
    scenarios: Vec<ScenarioJson<'a>>,
    differences: &'a [Difference],
    reproduce: &'a [String],
}

#[derive(Serialize)]
struct ScenarioJson<'a> {
    scenario: &'a str,
    seconds: f64,
    left_out: &'a [String],
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    summary: &'a str,
    first_errors: &'a [String],
    log: &'a str,
}

/// What `klto check` says.
#[must_use]
pub fn tree(tree: &str, checked: &Checked) -> String {
    text(&Tree {
        schema: SCHEMA,
        dir: tree,
        checked: checked_json(checked),
    })
}

/// What `klto run` says: the content of `report.json`.
#[must_use]
pub fn run(result: &RunResult) -> String {
    text(&Run {
        schema: SCHEMA,
        matrix: &result.matrix,
        kernel: &result.kernel,
        cells: result.cells.iter().map(cell_json).collect(),
    })
}

fn cell_json(cell: &CellResult) -> CellJson<'_> {
    CellJson {
        cell: &cell.name,
        verdict: &cell.verdict,
        broken: cell.is_broken(),
        seconds: cell.seconds,
        derived_from: cell.derived_from.as_deref(),
        build_failure: cell.failure.as_ref().map(|failure| FailureJson {
            summary: &failure.summary,
            first_errors: &failure.first_errors,
            log: &failure.log,
        }),
        checked: cell.checked.as_ref().map(checked_json),
        scenarios: cell.scenarios.iter().map(scenario_json).collect(),
        differences: &cell.differences,
        reproduce: &cell.reproduce,
    }
}

fn scenario_json(scenario: &ScenarioResult) -> ScenarioJson<'_> {
    ScenarioJson {
        scenario: &scenario.name,
        seconds: scenario.seconds,
        left_out: &scenario.left_out,
        findings: scenario.findings.iter().map(finding_json).collect(),
    }
}

fn checked_json(checked: &Checked) -> CheckedJson<'_> {
    let id = &checked.identity;
    CheckedJson {
        arch: &id.arch,
        lto: id.mode.name(),
        kernel: &id.kernel,
        compiler: &id.compiler,
        objects: checked.counts.objects,
        ir_objects: checked.counts.ir,
        exported_symbols: checked.counts.exports,
        warnings: &checked.warnings,
        rules: checked.rules.iter().map(|rule| rule.key).collect(),
        unfinished: checked.unfinished.as_deref(),
        findings: checked.findings.iter().map(finding_json).collect(),
    }
}

fn finding_json(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        key: finding.rule.key,
        severity: finding.rule.severity,
        object: &finding.object,
        evidence: &finding.evidence,
        step: finding.step.as_deref(),
        holds: finding.rule.invariant,
        why: finding.rule.why,
        fix: finding.rule.fix,
        allowed: finding.suppressed.as_deref(),
    }
}

pub(super) fn text(value: &impl Serialize) -> String {
    // Plain structs of text and numbers always serialise.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
