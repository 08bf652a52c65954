//! Reports in JUnit against the schema that Jenkins has, by xmllint.
//!
//! `KLTO_JUNIT_XSD` names the schema (`ci/junit-xsd` prints it). If it is not set,
//! `KLTO_SKIP_VALIDATORS=1` leaves the validation out, and says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use klto::model::cell::LtoMode;
use klto::report::test_tree::{Test, Verdict};
use klto::report::{Format, Options, junit};
use rstest::rstest;

use crate::support::foreign::foreign;
use crate::support::program::{Ended, finish};
use crate::support::run_record::{finding, inspection, rules, run_record};

/// A rule that holds in this cell of the run.
const HOLDS: (&str, &str) = ("arm64/tiny/thin/llvm-22", "crc.symbols");

fn flaky() -> BTreeSet<(String, String)> {
    let (cell, rule) = HOLDS;
    BTreeSet::from([(cell.to_owned(), rule.to_owned())])
}

fn validated(schema: &Path, report: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.xml");
    std::fs::write(&file, report).unwrap();
    let mut xmllint = Command::new("xmllint");
    xmllint.args(["--noout", "--nonet", "--schema"]).arg(schema);
    finish(xmllint.arg(&file))
}

/// Every report that klto writes in JUnit, by name.
fn reports() -> Vec<(&'static str, String)> {
    let reporter = Format::Junit.reporter(Options::default());
    let hostile = "a\u{1b}[31m\0 <b>&amp; \u{202e}\u{fffe}]]>\" skipped=\"1";
    let tree = inspection(
        "x86_64",
        LtoMode::ThinDist,
        vec![finding("archive.order", hostile, hostile)],
    );
    let mut run = run_record();
    hostile.clone_into(&mut run.matrix);
    hostile.clone_into(&mut run.cells[0].cell);
    run.cells[1].cost.wall_seconds = f64::NAN;
    let test = Test {
        diagnostics: vec![hostile.to_owned()],
        ..Test::new(hostile, Verdict::Error(hostile.to_owned()))
    };
    vec![
        ("run", reporter.run(&run_record())),
        ("hostile run", reporter.run(&run)),
        ("flaky run", junit::write(&run_record(), &flaky())),
        ("tree", reporter.inspection(hostile, &tree, &rules())),
        ("tests", junit::of_tests(hostile, &[test])),
    ]
}

#[test]
fn the_schema_of_jenkins_takes_every_report() {
    let Some(schema) = foreign("KLTO_JUNIT_XSD", "ci/junit-xsd") else {
        return;
    };
    for (name, report) in reports() {
        let ended = validated(&schema, &report);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
    }
}

#[rstest]
#[case::attribute(
    "<testsuites ",
    "<testsuites skipped=\"1\" ",
    "'skipped' is not allowed"
)]
#[case::element("<failure ", "<broken/><failure ", "This element is not expected")]
#[case::no_number(" tests=\"8\"", "", "'tests' is required but missing")]
#[case::time(" time=\"44.500\"", " time=\"44 s\"", "not accepted by the pattern")]
#[case::flaky_without_type("type=\"crc.symbols\"", "", "'type' is required but missing")]
fn the_schema_of_jenkins_refuses_a_damaged_report(
    #[case] from: &str,
    #[case] to: &str,
    #[case] says: &str,
) {
    let Some(schema) = foreign("KLTO_JUNIT_XSD", "ci/junit-xsd") else {
        return;
    };
    let report = junit::write(&run_record(), &flaky());
    assert!(report.contains(from), "{report}");
    let ended = validated(&schema, &report.replacen(from, to, 1));
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[test]
fn a_rule_that_holds_now_and_did_not_before_is_flaky() {
    let (cell, rule) = HOLDS;
    let steady = junit::write(&run_record(), &BTreeSet::new());
    assert!(!steady.contains("flaky"));
    let case = format!("<testcase name=\"{rule}\" classname=\"{cell}\"");
    let report = junit::write(&run_record(), &flaky());
    let expected = format!(
        "{case}>\n            <flakyFailure message=\"it was broken in another run of the same sources\" type=\"{rule}\">\n            </flakyFailure>\n        </testcase>"
    );
    assert!(report.contains(&expected), "{report}");
    // Nothing else differs.
    assert_eq!(report.replace(&expected, &format!("{case}/>")), steady);
}

#[rstest]
#[case::broken("x86_64/tiny/thin-dist/llvm-22", "flags.saved-missing")]
#[case::known("arm64/tiny/thin-dist/llvm-22", "compdb.lost-entries")]
#[case::not_judged("arm64/tiny/thin/llvm-22", "crc.modules")]
#[case::other_cell("no such cell", "crc.symbols")]
fn only_what_passed_is_flaky(#[case] cell: &str, #[case] rule: &str) {
    let flaky = BTreeSet::from([(cell.to_owned(), rule.to_owned())]);
    let report = junit::write(&run_record(), &flaky);
    let steady = junit::write(&run_record(), &BTreeSet::new());
    assert_eq!(report, steady);
}
