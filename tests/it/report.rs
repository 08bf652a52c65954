//! The reports of one run with every outcome in it, as they are read; and what holds for
//! each format.

use std::collections::BTreeMap;
use std::time::Duration;

use klto::model::cell::LtoMode;
use klto::model::record::{CellRecord, Cost, Inspection, RunRecord, SkipReason};
use klto::report::json::TreeRecord;
use klto::report::{Around, Format, Named as _, Options, ReportFile};
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::ktap;
use crate::support::run_record::{finding, inspection, rules, run_record};
use crate::support::schema::faults;

const USUAL: Options = Options {
    all: false,
    allowed: false,
};
const EVERYTHING: Options = Options {
    all: true,
    allowed: true,
};

fn report(format: Format, options: Options, run: &RunRecord) -> String {
    let file = "report".into();
    let mut text = Vec::new();
    ReportFile { format, file }
        .write(options, run, &Around::default(), &mut text)
        .unwrap();
    String::from_utf8(text).unwrap()
}

/// What is written part by part is what is printed.
#[test]
fn a_report_file_has_what_is_printed() {
    let run = run_record();
    for format in Format::ALL {
        let printed = format.reporter(USUAL).run(&run);
        let printed = anstream::adapter::strip_str(&printed).to_string();
        assert_eq!(report(*format, USUAL, &run), printed, "{format}");
    }
}

fn report_of_tree(format: Format, inspection: &Inspection) -> String {
    let text = format
        .reporter(USUAL)
        .inspection("linux-build", inspection, &rules());
    anstream::adapter::strip_str(&text).to_string()
}

/// Trees to check, by name.
fn trees() -> [(&'static str, Inspection); 4] {
    let tree = |findings| inspection("x86_64", LtoMode::ThinDist, findings);
    let lost = |n| {
        let mut lost = finding("compdb.lost-entries", &format!("mm/{n}.o"), "no entry");
        lost.allowed = Some("known in 7.2, fixed in 7.4".to_owned());
        lost
    };
    let missing = finding(
        "flags.saved-missing",
        "init/main.o",
        "no saved_c_flags line",
    );
    let mut half = tree(Vec::new());
    half.unfinished = Some("vmlinux is missing".to_owned());
    [
        ("good", tree(vec![])),
        ("known", tree(vec![lost(1), lost(2)])),
        ("broken", tree(vec![missing, lost(1)])),
        ("unfinished", half),
    ]
}

#[test]
fn a_run_as_people_read_it() {
    insta::assert_snapshot!("run-text", report(Format::Text, USUAL, &run_record()));
}

#[test]
fn a_run_with_everything_shown() {
    insta::assert_snapshot!(
        "run-text-everything",
        report(Format::Text, EVERYTHING, &run_record())
    );
}

/// A run of three cells with findings in common: the second has all of the first and a scenario
/// of its own, the third has one of them and another.
fn run_with_common_findings() -> RunRecord {
    let run = run_record();
    let mut cells = [0, 1, 7].map(|n| run.cells[n].clone());
    let objects: [&[u32]; 3] = [&[1, 2, 3], &[1, 2, 3], &[2, 9]];
    for ((line, cell), objects) in (40..).zip(&mut cells).zip(objects) {
        cell.rules = rules().into();
        let tree = cell.inspection.as_mut().unwrap();
        tree.findings = objects
            .iter()
            .map(|n| {
                let evidence = format!("scripts/Makefile.thinlto:{line}: no saved_c_flags line");
                finding("flags.saved-missing", &format!("init/{n}.o"), &evidence)
            })
            .collect();
        cell.settle();
    }
    RunRecord {
        cells: cells.into(),
        ..run
    }
}

#[test]
fn a_finding_of_several_cells_is_shown_once_and_named_in_the_others() {
    let text = report(Format::Text, USUAL, &run_with_common_findings());
    insta::assert_snapshot!("run-text-shared", text);
}

#[test]
fn every_cell_shows_its_findings_if_all_are_asked_for() {
    let run = run_with_common_findings();
    let text = report(Format::Text, EVERYTHING, &run);
    for line in 40..43 {
        let evidence = format!("init/2.o: scripts/Makefile.thinlto:{line}: ");
        assert_eq!(text.matches(&evidence).count(), 1, "{text}");
    }
    assert!(!text.contains("as in "), "{text}");
    assert!(!text.contains("also in"), "{text}");
}

#[rstest]
#[case::known_first(0, 1)]
#[case::known_later(1, 0)]
fn what_is_known_in_one_cell_is_shown_where_it_is_not(#[case] known: usize, #[case] open: usize) {
    let mut run = run_with_common_findings();
    run.cells.truncate(2);
    let tree = run.cells[known].inspection.as_mut().unwrap();
    for finding in &mut tree.findings {
        finding.allowed = Some("known in 7.2".to_owned());
    }
    run.cells[known].settle();
    let evidence = format!("init/1.o: scripts/Makefile.thinlto:{}: ", 40 + open);
    let text = report(Format::Text, USUAL, &run);
    assert!(text.contains(&evidence), "{text}");
    assert!(
        !text.contains("as in ") && !text.contains("also in"),
        "{text}"
    );
    let mail = report(Format::Mail, USUAL, &run);
    let (shown, cell) = (">> flags.saved-missing: 3 objects", &run.cells[open].cell);
    assert!(mail.contains(shown), "{mail}");
    assert!(mail.contains(&format!("\n   in {cell}\n")), "{mail}");
    assert!(
        mail.contains("known: flags.saved-missing: 3 objects"),
        "{mail}"
    );
}

#[test]
fn a_run_in_ktap() {
    insta::assert_snapshot!("run-ktap", report(Format::Ktap, USUAL, &run_record()));
}

#[test]
fn a_cell_in_json() {
    let mut run = run_record();
    run.cells = run.cells.split_off(3);
    run.cells.truncate(1);
    insta::assert_snapshot!("run-json", report(Format::Json, USUAL, &run));
}

#[test]
fn trees_as_people_read_them() {
    let texts = trees().map(|(_, tree)| report_of_tree(Format::Text, &tree));
    insta::assert_snapshot!("trees-text", texts.join("----\n"));
}

#[test]
fn trees_in_ktap() {
    let texts = trees().map(|(_, tree)| report_of_tree(Format::Ktap, &tree));
    insta::assert_snapshot!("trees-ktap", texts.join("----\n"));
}

#[test]
fn json_is_what_its_schema_says() {
    let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let run = parse(report(Format::Json, USUAL, &run_record()));
    assert_eq!(faults("run", &run), [""; 0]);
    for (_, tree) in trees() {
        let tree = parse(report_of_tree(Format::Json, &tree));
        assert_eq!(faults("check", &tree), [""; 0]);
    }
}

#[rstest]
#[case::missing("/cells/3", "job", Value::Null)]
#[case::other_type("/cells/3/cost", "wall_seconds", json!("1 s"))]
#[case::unknown_word("/cells/3", "baseline", json!("unsure"))]
#[case::variant_without_its_reason("/cells/3", "outcome", json!({"is": "error"}))]
fn a_document_of_another_form_is_not_valid(
    #[case] place: &str,
    #[case] key: &str,
    #[case] value: Value,
) {
    let mut run = serde_json::to_value(run_record()).unwrap();
    let keys = run.pointer_mut(place).unwrap().as_object_mut().unwrap();
    assert!(keys.contains_key(key));
    match value {
        Value::Null => keys.remove(key),
        value => keys.insert(key.to_owned(), value),
    };
    let faults = faults("run", &run);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(place), "{faults:?}");
}

#[test]
fn json_is_read_back_equal() {
    let run = run_record();
    let text = report(Format::Json, USUAL, &run);
    assert_eq!(serde_json::from_str::<RunRecord>(&text).unwrap(), run);

    for (_, tree) in trees() {
        let text = report_of_tree(Format::Json, &tree);
        let read: TreeRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.tree, "linux-build");
        assert_eq!(read.inspection, tree);
        assert_eq!(read.rules, rules());
    }
}

#[test]
fn a_time_is_read_back_to_its_last_bit() {
    // One in twelve thousand is not, unless serde_json reads numbers exactly.
    let cost = Cost {
        wall_seconds: Duration::from_nanos(57_563_068_415).as_secs_f64(),
        ..Cost::default()
    };
    let text = serde_json::to_string(&cost).unwrap();
    assert_eq!(serde_json::from_str::<Cost>(&text).unwrap(), cost);
}

#[rstest]
#[case::junit("run-junit", Format::Junit)]
#[case::github("run-github", Format::Github)]
#[case::markdown("run-markdown", Format::Markdown)]
fn a_run_in_a_format_of_ci_systems(#[case] name: &str, #[case] format: Format) {
    insta::assert_snapshot!(name, report(format, USUAL, &run_record()));
}

#[test]
fn trees_in_the_formats_of_ci_systems() {
    for format in [Format::Junit, Format::Github, Format::Markdown] {
        let texts =
            trees().map(|(name, tree)| format!("{name}:\n{}", report_of_tree(format, &tree)));
        insta::assert_snapshot!(format!("trees-{format}"), texts.join("\n"));
    }
}

/// Without the style and the script; `html` tests the page in a browser.
#[test]
fn two_cells_as_a_page() {
    let mut run = run_record();
    run.cells = run.cells.split_off(3);
    run.cells.truncate(2);
    let page = report(Format::Html, USUAL, &run);
    let body = page.split_once("<body>").unwrap().1;
    let body = body.split_once("<script>").unwrap().0;
    insta::assert_snapshot!("run-html", body);
}

#[test]
fn junit_says_of_each_test_what_ktap_says() {
    let run = run_record();
    let suites = Report::deserialize_from_str(&report(Format::Junit, USUAL, &run)).unwrap();
    let tests = ktap::parse(&report(Format::Ktap, USUAL, &run));

    assert_eq!(suites.test_suites.len(), tests.len());
    for (suite, test) in suites.test_suites.iter().zip(&tests) {
        assert_eq!(suite.name.as_str(), test.name);
        let leaves = test.leaves();
        assert_eq!(suite.test_cases.len(), leaves.len(), "{}", test.name);
        for (case, leaf) in suite.test_cases.iter().zip(leaves) {
            let expected = match (leaf.ok, leaf.word()) {
                (true, None) => "success",
                (true, Some("SKIP" | "XFAIL")) => "skipped",
                (false, None) => "failure",
                (false, Some("ERROR" | "TIMEOUT")) => "error",
                other => panic!("{other:?}"),
            };
            let is = match &case.status {
                TestCaseStatus::Success { .. } => "success",
                TestCaseStatus::Skipped { .. } => "skipped",
                TestCaseStatus::NonSuccess { kind, .. } => match kind {
                    NonSuccessKind::Failure => "failure",
                    NonSuccessKind::Error => "error",
                },
            };
            assert_eq!(is, expected, "{}: {}", test.name, leaf.name);
        }
    }
}

#[rstest]
#[case::text(Format::Text)]
#[case::ktap(Format::Ktap)]
#[case::junit(Format::Junit)]
#[case::github(Format::Github)]
#[case::markdown(Format::Markdown)]
#[case::kcidb(Format::Kcidb)]
#[case::mail(Format::Mail)]
#[case::html(Format::Html)]
fn text_of_a_tree_moves_no_cursor_and_imitates_no_line(#[case] format: Format) {
    for options in [USUAL, EVERYTHING] {
        let text = report(format, options, &run_record());
        let hidden =
            |c: &char| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c);
        assert_eq!(text.chars().find(hidden), None);
        let imitated = |line: &&str| line.trim_start().starts_with("ok 2 forged");
        assert_eq!(text.lines().find(imitated), None);
    }
}

#[test]
fn ktap_is_well_formed_and_says_what_the_record_says() {
    let run = run_record();

    let tests = ktap::parse(&report(Format::Ktap, USUAL, &run));

    assert_eq!(tests.len(), run.cells.len());
    for (test, cell) in tests.iter().zip(&run.cells) {
        assert_eq!(test.name, cell.cell);
        let expected = match cell.outcome.name() {
            "pass" => (true, None),
            "fail" => (false, None),
            "error" if cell.cell.starts_with("arm64") => (false, Some("TIMEOUT")),
            "error" => (false, Some("ERROR")),
            _ => (true, Some("SKIP")),
        };
        assert_eq!((test.ok, test.word()), expected, "{}", cell.cell);
        let failed = test.leaves().iter().filter(|leaf| !leaf.ok).count();
        let mut open: Vec<(Option<&str>, &str)> = Vec::new();
        open.extend(
            cell.open_findings()
                .map(|f| (f.step.as_deref(), f.key.as_str())),
        );
        open.sort_unstable();
        open.dedup();
        let expected = open.len() + usize::from(cell.error.is_some());
        assert_eq!(failed, expected, "{}", cell.cell);
    }
}

#[test]
fn every_cell_is_in_the_table_with_its_outcome() {
    let run = run_record();
    let text = report(Format::Text, USUAL, &run);
    for cell in &run.cells {
        let row = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&cell.cell.as_str()) && words.get(1) == Some(&cell.outcome.name())
        };
        assert_eq!(text.lines().filter(row).count(), 1, "{}", cell.cell);
    }
}

/// The last line of a run with these cells.
fn last_line(cells: Vec<CellRecord>) -> String {
    let run = RunRecord {
        cells,
        ..run_record()
    };
    let text = report(Format::Text, USUAL, &run);
    text.lines().last().unwrap().to_owned()
}

#[test]
fn the_last_line_says_whether_all_is_well() {
    let passed = || CellRecord::new("a/b/thin/c".to_owned());
    let skipped = || CellRecord::skipped("d".to_owned(), SkipReason::FailFast);
    let error = || CellRecord::inconclusive("e".to_owned(), "no disk space".to_owned());

    assert_eq!(
        last_line(vec![passed()]),
        "1 cell of full, Linux 7.2.13: ok"
    );
    assert_eq!(
        last_line(vec![passed(), skipped()]),
        "2 cells of full, Linux 7.2.13: ok, 1 skipped"
    );
    assert_eq!(
        last_line(vec![passed(), error(), skipped()]),
        "3 cells of full, Linux 7.2.13: 1 inconclusive, 1 skipped"
    );
    assert_eq!(
        last_line(vec![skipped()]),
        "1 cell of full, Linux 7.2.13: nothing was judged, 1 skipped"
    );
}

#[test]
fn a_rule_without_its_text_is_told_by_its_key() {
    let tree = inspection(
        "arm64",
        LtoMode::Thin,
        vec![finding("retired.rule", "lib/crc.o", "expected 1, found 2")],
    );
    for &format in Format::ALL {
        let text = format
            .reporter(USUAL)
            .inspection("tree", &tree, &BTreeMap::new());
        assert!(text.contains("retired.rule"), "{text}");
        assert!(text.contains("lib/crc.o"), "{text}");
    }
}

#[test]
fn a_tree_without_the_times_of_its_build_says_so() {
    let says = "what is out of date does not show: the files do not have the times of the build\n";
    let mut tree = inspection("arm64", LtoMode::Thin, Vec::new());
    assert!(!report_of_tree(Format::Text, &tree).contains(says));
    tree.times_lost = true;
    assert!(report_of_tree(Format::Text, &tree).contains(says));
    assert!(report_of_tree(Format::Json, &tree).contains("\"times_lost\": true"));
}

#[rstest]
#[case::text(Format::Text)]
#[case::json(Format::Json)]
#[case::markdown(Format::Markdown)]
#[case::mail(Format::Mail)]
#[case::html(Format::Html)]
#[case::perfetto(Format::Perfetto)]
#[case::kcidb(Format::Kcidb)]
fn a_run_of_mutated_sources_says_so(#[case] format: Format) {
    let run = RunRecord {
        mutations: vec!["v11-flags-by-variable".to_owned()],
        ..run_record()
    };
    assert!(report(format, USUAL, &run).contains("v11-flags-by-variable"));
    assert!(!report(format, USUAL, &run_record()).contains("v11-flags-by-variable"));
}
