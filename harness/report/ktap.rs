//! KTAP, the kernel's Test Anything Protocol: a cell is a test, and below it a rule, a
//! scenario and a comparison are one each.

pub mod stream;

use std::collections::BTreeMap;

use self::stream::{Test, Verdict};
use super::{Reporter, by_rule, reasons};
use crate::model::finding::counted;
use crate::model::record::{
    Baseline, CellRecord, ComparisonRecord, FindingRecord, Inspection, Outcome, RuleText,
    RunRecord, ScenarioRecord,
};

/// Findings of a rule that are shown; JSON has them all.
const SHOWN: usize = 20;

/// The test that fails where something kept klto from finishing.
const COMPLETED: &str = "completed";

type Rules = BTreeMap<String, RuleText>;

/// Writes records as KTAP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ktap;

impl Reporter for Ktap {
    fn run(&self, run: &RunRecord) -> String {
        let cells: Vec<Test> = run.cells.iter().map(cell).collect();
        stream::write(&cells)
    }

    fn inspection(&self, _tree: &str, inspection: &Inspection, rules: &Rules) -> String {
        let mut tests = inspected(inspection, rules);
        if let Some(why) = &inspection.unfinished {
            let why = format!("the build is not finished, {why}");
            tests.push(Test::new(COMPLETED, Verdict::Error(why)));
        }
        stream::write(&tests)
    }
}

fn cell(record: &CellRecord) -> Test {
    let rules = &record.rules;
    let mut test = Test::new(&record.cell, verdict(record));
    let inspection = record.inspection.iter();
    test.subtests
        .extend(inspection.flat_map(|inspection| inspected(inspection, rules)));
    test.subtests
        .extend(record.scenarios.iter().map(|s| scenario(s, rules)));
    test.subtests
        .extend(record.comparisons.iter().map(|c| comparison(c, rules)));
    if let (Some(why), false) = (&record.error, test.subtests.is_empty()) {
        test.subtests.push(Test::new(COMPLETED, error(why)));
    }
    test.diagnostics = diagnostics(record);
    test
}

fn verdict(record: &CellRecord) -> Verdict {
    match &record.outcome {
        Outcome::Pass => Verdict::Pass,
        Outcome::Fail => Verdict::Fail,
        Outcome::Error(why) => error(why),
        Outcome::Skip(reason) => Verdict::Skip(reason.to_string()),
    }
}

fn error(why: &str) -> Verdict {
    if why.starts_with("timed out") {
        Verdict::Timeout(why.to_owned())
    } else {
        Verdict::Error(why.to_owned())
    }
}

/// Diagnostics of a cell as a whole.
fn diagnostics(record: &CellRecord) -> Vec<String> {
    let mut lines = Vec::new();
    let parts: Vec<&str> = record.differences.iter().map(|d| d.part.as_str()).collect();
    match record.baseline {
        Baseline::None | Baseline::Same | Baseline::Gone => {}
        Baseline::Fixed | Baseline::Regressed | Baseline::Changed => lines.push(format!(
            "baseline {}: {}",
            record.baseline.name(),
            parts.join(", ")
        )),
    }
    lines.extend(record.logs.iter().map(|log| format!("log: {log}")));
    lines
}

/// One test per rule: those that were checked, then those that only findings name, such as a
/// failed build.
fn inspected(inspection: &Inspection, rules: &Rules) -> Vec<Test> {
    let mut found = by_rule(&inspection.findings);
    let mut tests = Vec::new();
    for rule in &inspection.rules {
        let at = found.iter().position(|(key, _)| *key == rule.key);
        tests.push(match (at, &inspection.unfinished) {
            (Some(at), _) => broken(&rule.key, &found.remove(at).1, rules),
            (None, _) if rule.looked_at == 0 => {
                Test::new(&rule.key, Verdict::Skip("nothing to look at".to_owned()))
            }
            (None, Some(_)) => Test::new(
                &rule.key,
                Verdict::Skip("the build is not finished".to_owned()),
            ),
            (None, None) => Test::new(&rule.key, Verdict::Pass),
        });
    }
    let more = found
        .iter()
        .map(|(key, findings)| broken(key, findings, rules));
    tests.extend(more);
    tests
}

/// A rule with its findings, of which there is at least one.
fn broken(key: &str, findings: &[&FindingRecord], rules: &Rules) -> Test {
    let open = findings.iter().filter(|finding| finding.is_open()).count();
    let (verdict, number) = match open {
        0 => (Verdict::ExpectedFailure(reasons(findings)), findings.len()),
        _ => (Verdict::Fail, open),
    };
    let mut test = Test::new(key, verdict);
    if let Some(text) = rules.get(key) {
        test.diagnostics.push(counted(number, &text.broken));
    }
    for finding in findings.iter().take(SHOWN) {
        test.diagnostics.push(evidence(finding));
        let details = finding.details.iter();
        test.diagnostics
            .extend(details.map(|line| format!("  {line}")));
    }
    if let Some(more @ 1..) = findings.len().checked_sub(SHOWN) {
        test.diagnostics
            .push(format!("and {more} more, which the JSON report has"));
    }
    test
}

fn evidence(finding: &FindingRecord) -> String {
    let allowed = if finding.is_open() { "" } else { "allowed: " };
    let step = finding.step.as_ref();
    let step = step.map(|s| format!(", after '{s}'")).unwrap_or_default();
    format!("{allowed}{}{step}: {}", finding.object, finding.evidence)
}

/// A scenario, with the rules that it found broken.
fn scenario(record: &ScenarioRecord, rules: &Rules) -> Test {
    let mut test = with_findings(format!("scenario {}", record.name), &record.findings, rules);
    match &record.skipped[..] {
        [whole] if whole.step.is_none() && record.findings.is_empty() => {
            test.verdict = Verdict::Skip(whole.reason.to_string());
        }
        skipped => test
            .diagnostics
            .extend(skipped.iter().map(|skip| format!("not judged: {skip}"))),
    }
    test
}

/// A comparison, with the rules that it found broken.
fn comparison(record: &ComparisonRecord, rules: &Rules) -> Test {
    let name = format!("comparison with {}", record.with);
    let mut test = with_findings(name, &record.findings, rules);
    if let Some(reason) = &record.skipped {
        test.verdict = Verdict::Skip(reason.to_string());
    }
    let not_compared = record.not_compared.iter();
    test.diagnostics
        .extend(not_compared.map(|n| format!("not judged: {}: {}", n.key, n.why)));
    test
}

fn with_findings(name: String, findings: &[FindingRecord], rules: &Rules) -> Test {
    let groups = by_rule(findings);
    let subtests = groups.iter().map(|(key, group)| broken(key, group, rules));
    Test {
        subtests: subtests.collect(),
        ..Test::new(name, Verdict::Pass)
    }
}
