//! Records as a tree of tests, for the formats that know nothing else: a cell is a test, and below
//! it a rule, a scenario and a comparison are one each.

use std::collections::BTreeMap;

use super::{Reporter, by_rule, reasons};
use crate::model::finding::counted;
use crate::model::record::{
    Baseline, CellRecord, ComparisonRecord, FindingRecord, Inspection, Outcome, RuleText,
    RunRecord, ScenarioRecord, SkipReason,
};

/// Findings of a rule that are shown; JSON has them all.
const SHOWN: usize = 20;

/// The test that fails where something kept klto from finishing.
pub(super) const COMPLETED: &str = "completed";

type Rules = BTreeMap<String, RuleText>;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    pub name: String,
    pub verdict: Verdict,
    /// Lines before the result.
    pub diagnostics: Vec<String>,
    pub subtests: Vec<Test>,
}

/// The result of a test, and its directive with the text after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
    Skip(String),
    /// Skipped, and nothing is missing for that: it is no test of this thing.
    NotApplicable(String),
    /// It fails, as is known. That counts as `ok`, as in the kernel's own
    /// `tools/testing/selftests/kselftest.h`: a reader that does not know XFAIL must not
    /// take it for a new failure.
    ExpectedFailure(String),
    Error(String),
    Timeout(String),
}

impl Verdict {
    fn is_ok(&self) -> bool {
        match self {
            Verdict::Pass
            | Verdict::Skip(_)
            | Verdict::NotApplicable(_)
            | Verdict::ExpectedFailure(_) => true,
            Verdict::Fail | Verdict::Error(_) | Verdict::Timeout(_) => false,
        }
    }

    /// Why nothing could be told, if that is so.
    fn unknown(&self) -> Option<&str> {
        match self {
            Verdict::Error(why) | Verdict::Timeout(why) => Some(why),
            Verdict::Pass
            | Verdict::Fail
            | Verdict::Skip(_)
            | Verdict::NotApplicable(_)
            | Verdict::ExpectedFailure(_) => None,
        }
    }

    /// The directive of KTAP, and the text after it.
    pub(super) fn directive(&self) -> Option<(&'static str, &str)> {
        match self {
            Verdict::Pass | Verdict::Fail => None,
            Verdict::Skip(reason) | Verdict::NotApplicable(reason) => Some(("SKIP", reason)),
            Verdict::ExpectedFailure(reason) => Some(("XFAIL", reason)),
            Verdict::Error(reason) => Some(("ERROR", reason)),
            Verdict::Timeout(reason) => Some(("TIMEOUT", reason)),
        }
    }
}

impl Test {
    /// A test without diagnostics and subtests.
    pub fn new(name: impl Into<String>, verdict: Verdict) -> Test {
        Test {
            name: name.into(),
            verdict,
            diagnostics: Vec::new(),
            subtests: Vec::new(),
        }
    }

    /// Why nothing could be told, if that is so.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.verdict.unknown()
    }

    /// A test fails if one of its subtests does.
    pub fn is_ok(&self) -> bool {
        self.verdict.is_ok() && self.subtests.iter().all(Test::is_ok)
    }
}

/// Writes records in a format that knows nothing but tests.
#[derive(Debug, Clone, Copy)]
pub struct OfTests(pub fn(&[Test]) -> String);

impl Reporter for OfTests {
    fn run(&self, run: &RunRecord) -> String {
        let OfTests(write) = self;
        let cells: Vec<Test> = run.cells.iter().map(of_cell).collect();
        write(&cells)
    }

    fn inspection(&self, _tree: &str, inspection: &Inspection, rules: &Rules) -> String {
        let OfTests(write) = self;
        write(&of_tree(inspection, rules))
    }
}

/// The tests of one build tree.
#[must_use]
pub fn of_tree(inspection: &Inspection, rules: &Rules) -> Vec<Test> {
    let mut tests = inspected(inspection, rules);
    if let Some(why) = &inspection.unfinished {
        let why = format!("the build is not finished, {why}");
        tests.push(Test::new(COMPLETED, Verdict::Error(why)));
    }
    tests
}

/// A cell, with its tests.
#[must_use]
pub fn of_cell(record: &CellRecord) -> Test {
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

pub(super) fn error(why: &str) -> Verdict {
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
pub(super) fn inspected(inspection: &Inspection, rules: &Rules) -> Vec<Test> {
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
pub(super) fn scenario(record: &ScenarioRecord, rules: &Rules) -> Test {
    let mut test = with_findings(format!("scenario {}", record.name), &record.findings, rules);
    match &record.skipped[..] {
        [whole] if whole.step.is_none() && record.findings.is_empty() => {
            test.verdict = skipped(&whole.reason);
        }
        skipped => test
            .diagnostics
            .extend(skipped.iter().map(|skip| format!("not judged: {skip}"))),
    }
    test
}

fn skipped(reason: &SkipReason) -> Verdict {
    let why = reason.to_string();
    match reason.is_expected() {
        true => Verdict::NotApplicable(why),
        false => Verdict::Skip(why),
    }
}

/// A comparison, with the rules that it found broken.
pub(super) fn comparison(record: &ComparisonRecord, rules: &Rules) -> Test {
    let name = format!("comparison with {}", record.with);
    let mut test = with_findings(name, &record.findings, rules);
    if let Some(reason) = &record.skipped {
        test.verdict = skipped(reason);
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

/// Tests that fail for one reason: a rule that is broken, in however many cells, or what kept klto
/// from telling.
#[derive(Debug)]
pub struct Failure<'a> {
    pub name: &'a str,
    /// Why nothing could be told, if that is what it is.
    pub unknown: Option<&'a str>,
    /// The tests themselves, each with the names of those above it; at least one.
    pub tests: Vec<(String, &'a Test)>,
}

impl Failure<'_> {
    /// `2 objects lack saved flags`, or why nothing could be told.
    #[must_use]
    pub fn head(&self) -> &str {
        let (_, first) = &self.tests[0];
        let said = self
            .unknown
            .or(first.diagnostics.first().map(String::as_str));
        said.unwrap_or("failed")
    }

    /// What the first of the tests says besides.
    #[must_use]
    pub fn evidence(&self) -> &[String] {
        let (_, first) = &self.tests[0];
        let in_head = usize::from(self.unknown.is_none());
        first.diagnostics.get(in_head..).unwrap_or_default()
    }

    /// Where the first of the tests is; empty where nothing is above it.
    #[must_use]
    pub fn first_place(&self) -> &str {
        let (place, _) = &self.tests[0];
        place
    }

    /// Where else it fails.
    pub fn other_places(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tests[1..].iter().map(|(place, _)| place.as_str())
    }
}

/// The tests that fail and have none below them, those of one reason together: first what is
/// broken.
#[must_use]
pub fn failures(tests: &[Test]) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    for (place, test) in leaves(tests) {
        if test.is_ok() {
            continue;
        }
        let (name, unknown) = (test.name.as_str(), test.unknown());
        let mut known = failures.iter_mut();
        match known.find(|known| known.name == name && known.unknown == unknown) {
            Some(known) => known.tests.push((place, test)),
            None => failures.push(Failure {
                name,
                unknown,
                tests: vec![(place, test)],
            }),
        }
    }
    failures.sort_by_key(|failure| failure.unknown.is_some());
    failures
}

/// The tests that were not judged, by their reasons, with how often each is there.
#[must_use]
pub fn not_judged(tests: &[Test]) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for (_, test) in leaves(tests) {
        if let Verdict::Skip(reason) = &test.verdict {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    reasons
}

/// The tests that have none below them, each with the names of those above it.
pub(super) fn leaves(tests: &[Test]) -> Vec<(String, &Test)> {
    let mut found = Vec::new();
    for test in tests {
        if test.subtests.is_empty() {
            found.push((String::new(), test));
        }
        for (place, leaf) in leaves(&test.subtests) {
            let place = match place.as_str() {
                "" => test.name.clone(),
                below => format!("{}, {below}", test.name),
            };
            found.push((place, leaf));
        }
    }
    found
}
