//! JUnit's XML, as Jenkins and other CI systems read it: a cell is a suite, and in it a rule is a
//! case. What kept klto from telling is an `error`, and a known defect is `skipped`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::test_tree::{COMPLETED, Test, Verdict, leaves, of_cell, of_tree};
use super::{Around, Reporter, printable};
use crate::model::record::{CellRecord, Inspection, RuleText, RunRecord};

/// Writes records as JUnit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Junit;

impl Reporter for Junit {
    fn run(&self, run: &RunRecord) -> String {
        write(run, &BTreeSet::new())
    }

    fn kept_run(&self, run: &RunRecord, around: &Around) -> String {
        write(run, &around.flaky)
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

/// A run. `flaky` has the cells and the rules in them that were broken in another run of the same
/// sources; it matters only for those that hold now.
#[must_use]
pub fn write(run: &RunRecord, flaky: &BTreeSet<(String, String)>) -> String {
    let mut report = Report::new(format!("klto {}", printable(&run.matrix)));
    let seconds: f64 = run.cells.iter().map(|cell| cell.cost.wall_seconds).sum();
    report.set_time(duration(seconds));
    let suites = run.cells.iter().map(|record| {
        let of_cell = flaky.iter().filter(|(cell, _)| *cell == record.cell);
        of_record(record, &of_cell.map(|(_, rule)| rule.as_str()).collect())
    });
    report.add_test_suites(suites);
    written(&report)
}

/// Tests of one thing, such as a build tree.
#[must_use]
pub fn of_tests(name: &str, tests: &[Test]) -> String {
    let mut report = Report::new("klto");
    report.add_test_suite(suite(name, tests, &BTreeSet::new()));
    written(&report)
}

fn of_record(record: &CellRecord, flaky: &BTreeSet<&str>) -> TestSuite {
    let test = of_cell(record);
    let mut suite = match test.subtests.as_slice() {
        // A cell that was not built has no rules.
        [] => {
            let whole = Test::new(COMPLETED, test.verdict.clone());
            suite(&record.cell, &[whole], flaky)
        }
        tests => suite(&record.cell, tests, flaky),
    };
    suite.set_time(duration(record.cost.wall_seconds));
    if let Ok(started) = DateTime::parse_from_rfc3339(&record.started) {
        suite.set_timestamp(started);
    }
    let properties = [
        ("kernel", &record.kernel),
        ("revision", &record.revision),
        ("toolchain", &record.toolchain),
        ("job", &record.job),
    ];
    for (name, value) in properties
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    {
        suite.add_property((name, &*printable(value)));
    }
    if !test.diagnostics.is_empty() {
        suite.set_system_out(lines(&test.diagnostics));
    }
    suite
}

fn suite(name: &str, tests: &[Test], flaky: &BTreeSet<&str>) -> TestSuite {
    let name = printable(name);
    let mut suite = TestSuite::new(&*name);
    for (place, test) in leaves(tests) {
        let case = match place.as_str() {
            "" => test.name.clone(),
            place => format!("{place}: {}", test.name),
        };
        let mut status = status(test);
        if test.verdict == Verdict::Pass && flaky.contains(&*test.name) {
            status.add_rerun(broken_before(&test.name));
        }
        let mut case = TestCase::new(&*printable(&case), status);
        case.set_classname(&*name);
        if test.is_ok() && !test.diagnostics.is_empty() {
            case.set_system_out(lines(&test.diagnostics));
        }
        suite.add_test_case(case);
    }
    suite
}

fn status(test: &Test) -> TestCaseStatus {
    let (mut status, message) = match &test.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => {
            let message = test.diagnostics.first().map_or("", String::as_str);
            let failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
            (failure, message.to_owned())
        }
        Verdict::Error(why) | Verdict::Timeout(why) => {
            let error = TestCaseStatus::non_success(NonSuccessKind::Error);
            (error, why.clone())
        }
        Verdict::Skip(reason) | Verdict::NotApplicable(reason) => {
            (TestCaseStatus::skipped(), reason.clone())
        }
        Verdict::ExpectedFailure(reason) => (TestCaseStatus::skipped(), format!("known: {reason}")),
    };
    status.set_message(&*printable(&message));
    if !test.is_ok() {
        status.set_type(&*printable(&test.name));
        status.set_description(lines(&test.diagnostics));
    }
    status
}

/// The other run, in which the rule did not hold.
fn broken_before(rule: &str) -> TestRerun {
    let mut run = TestRerun::new(NonSuccessKind::Failure);
    run.set_message("it was broken in another run of the same sources");
    run.set_type(&*printable(rule));
    run
}

fn lines(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| printable(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Into memory, which does not fail.
fn written(report: &Report) -> String {
    let text = report.to_string().unwrap_or_default();
    // quick-junit 0.8 says at the top how many are skipped; Jenkins' schema has that only of a suite.
    // A quote within an attribute is escaped, so that the first such text is that attribute.
    text.replacen(&format!(" skipped=\"{}\"", report.skipped), "", 1)
}
