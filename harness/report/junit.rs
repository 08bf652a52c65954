//! JUnit's XML, as Jenkins and other CI systems read it: a cell is a suite, and in it a rule is a
//! case. What kept klto from telling is an `error`, and a known defect is `skipped`.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::test_tree::{COMPLETED, Test, Verdict, leaves, of_cell, of_tree};
use super::{Reporter, printable};
use crate::model::record::{CellRecord, Inspection, RuleText, RunRecord};

/// Writes records as JUnit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Junit;

impl Reporter for Junit {
    fn run(&self, run: &RunRecord) -> String {
        let mut report = Report::new(format!("klto {}", printable(&run.matrix)));
        let seconds: f64 = run.cells.iter().map(|cell| cell.cost.wall_seconds).sum();
        report.set_time(duration(seconds));
        report.add_test_suites(run.cells.iter().map(of_record));
        written(&report)
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        write(tree, &of_tree(inspection, rules))
    }
}

/// Tests of one thing, such as a build tree.
#[must_use]
pub fn write(name: &str, tests: &[Test]) -> String {
    let mut report = Report::new("klto");
    report.add_test_suite(suite(name, tests));
    written(&report)
}

fn of_record(record: &CellRecord) -> TestSuite {
    let test = of_cell(record);
    let mut suite = match test.subtests.as_slice() {
        // A cell that was not built has no rules.
        [] => {
            let whole = Test::new(COMPLETED, test.verdict.clone());
            suite(&record.cell, &[whole])
        }
        tests => suite(&record.cell, tests),
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

fn suite(name: &str, tests: &[Test]) -> TestSuite {
    let name = printable(name);
    let mut suite = TestSuite::new(&*name);
    for (place, test) in leaves(tests) {
        let case = match place.as_str() {
            "" => test.name.clone(),
            place => format!("{place}: {}", test.name),
        };
        let mut case = TestCase::new(&*printable(&case), status(test));
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

fn lines(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| printable(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Into memory, which does not fail.
fn written(report: &Report) -> String {
    report.to_string().unwrap_or_default()
}
