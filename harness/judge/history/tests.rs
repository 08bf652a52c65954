//! How findings came and went, told from a few runs in which they are there or not.

use rstest::rstest;

use super::super::identity::Part;
use super::*;
use crate::model::record::{CellRecord, Counts, Identity, Inspection, RuleCount};

const KEY: &str = "flags.backend-lacks";

fn checked(is_checked: bool) -> Checked {
    let mut record = CellRecord::new("a".to_owned());
    record.inspection = is_checked.then(|| Inspection {
        identity: Identity {
            arch: "arm64".to_owned(),
            lto: crate::model::cell::LtoMode::ThinDist,
            kernel: "7.2".to_owned(),
            compiler: "cc".to_owned(),
        },
        counts: Counts::default(),
        warnings: BTreeMap::new(),
        rules: vec![RuleCount {
            key: KEY.to_owned(),
            looked_at: 3,
            unit: "objects".to_owned(),
        }],
        findings: Vec::new(),
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    });
    Checked::of(&record)
}

/// Every finding is of one rule; that with number N is of object `N.o`.
fn known() -> Known {
    let finding = |number: i64| KnownFinding {
        id: format!("id{number}"),
        place: Place {
            part: Part::Build,
            key: KEY.to_owned(),
            step: None,
        },
        object: format!("{number}.o"),
        evidence: "it lacks -O2".to_owned(),
    };
    Known {
        checked: BTreeMap::from([(0, checked(false)), (1, checked(true))]),
        findings: (1..=3).map(|number| (number, finding(number))).collect(),
    }
}

/// One word for each run: the numbers of its findings, `-` for none, `?` for a run without a
/// verdict; after a colon its job, which is another one for each run unless it is named.
fn entries(runs: &str) -> Vec<Entry> {
    let entry = |(at, word): (usize, &str)| {
        let (found, job) = match word.split_once(':') {
            Some((found, job)) => (found, job.parse().unwrap()),
            None => (word, 1000 + i64::try_from(at).unwrap()),
        };
        let numbers = found.chars().filter_map(|c| c.to_digit(10));
        let findings: BTreeMap<i64, bool> = numbers.map(|n| (i64::from(n), true)).collect();
        Entry {
            run: CellRun {
                at: run(at + 1),
                outcome: match (found, findings.is_empty()) {
                    ("?", _) => "error".to_owned(),
                    (_, true) => "pass".to_owned(),
                    (_, false) => "fail".to_owned(),
                },
                seconds: 1.0,
                image_bytes: 0,
            },
            job,
            checked: i64::from(found != "?"),
            findings,
        }
    };
    runs.split_whitespace().enumerate().map(entry).collect()
}

/// The run with that number.
fn run(number: usize) -> RunAt {
    RunAt {
        run: format!("r{number}"),
        recorded: format!("2026-11-{number:02}T02:00:00.000Z"),
        revision: "7.2".to_owned(),
    }
}

fn history(runs: &str) -> CellHistory {
    of_cell("full", "a", &entries(runs), &known())
}

#[rstest]
#[case::new("- 1", Course::New { by: run(2), after: run(1) })]
#[case::new_after_a_run_without_a_verdict("- ? 1", Course::New { by: run(3), after: run(1) })]
#[case::since("- 1 1 1", Course::Since { first: run(2), after: run(1), runs: 3 })]
#[case::runs_without_a_verdict_do_not_count("- 1 ? 1", Course::Since { first: run(2), after: run(1), runs: 2 })]
#[case::it_came_back("1 - 1 1", Course::Since { first: run(3), after: run(2), runs: 2 })]
#[case::always("1 1", Course::Always { first: run(1), runs: 2 })]
#[case::in_the_only_run("1", Course::Always { first: run(1), runs: 1 })]
#[case::before_it_nothing_could_be_told("? 1", Course::Always { first: run(2), runs: 1 })]
#[case::fixed("1 1 - -", Course::Fixed { last: run(2), by: run(3) })]
#[case::fixed_and_then_no_verdict("1 - ?", Course::Fixed { last: run(1), by: run(2) })]
#[case::flaky_there("1:7 -:7 1:7", Course::Flaky { is_there: true, with: 2, without: 1 })]
#[case::flaky_not_there("1:7 -:7", Course::Flaky { is_there: false, with: 1, without: 1 })]
#[case::another_job_is_a_reason("1:7 -:8", Course::Fixed { last: run(1), by: run(2) })]
#[case::no_verdict_is_no_other_result("1:7 ?:7 1:7", Course::Always { first: run(1), runs: 2 })]
fn a_finding_has_a_course(#[case] runs: &str, #[case] expected: Course) {
    let history = history(runs);
    let courses: Vec<&Course> = history.findings.iter().map(|f| &f.course).collect();
    assert_eq!(courses, [&expected]);
}

/// The run since when, the last that passed, how many failed; which of them had which more.
type Failing = (usize, Option<usize>, usize, Vec<(usize, &'static str)>);

#[rstest]
#[case::green("1 -", None)]
#[case::never_a_verdict("? ?", None)]
#[case::always_red("1 1 1", Some((1, None, 3, vec![])))]
#[case::after_a_pass("- 1 1", Some((2, Some(1), 2, vec![])))]
#[case::no_verdict_in_between("- 1 ? 1", Some((2, Some(1), 2, vec![])))]
#[case::no_verdict_at_the_end("- 1 ?", Some((2, Some(1), 1, vec![])))]
#[case::since_the_third_with_another("- 1 1 12 12", Some((2, Some(1), 4, vec![(3, "id2")])))]
#[case::instead_of_the_first("- 1 2", Some((2, Some(1), 2, vec![(2, "id2")])))]
#[case::the_same_after_no_verdict("- 12 ? 12", Some((2, Some(1), 2, vec![])))]
#[case::gone_and_back("- 12 1 12", Some((2, Some(1), 3, vec![(3, "id2")])))]
fn a_failing_cell_says_since_when_and_with_what(
    #[case] runs: &str,
    #[case] expected: Option<Failing>,
) {
    let red = history(runs).red;
    let expected = expected.map(|(since, passed, failed, worse)| Red {
        since: run(since),
        passed: passed.map(run),
        runs: failed,
        worse: worse
            .into_iter()
            .map(|(nth, id)| Worse {
                // Each of these runs failed, so the first is `since`.
                at: run(since + nth - 1),
                nth,
                findings: vec![id.to_owned()],
            })
            .collect(),
    });
    assert_eq!(red, expected);
}

#[test]
fn what_is_there_comes_before_what_is_fixed() {
    let history = history("1 12 2");
    let ids: Vec<&str> = history.findings.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(ids, ["id2", "id1"]);
}

#[test]
fn what_is_allowed_in_every_run_is_not_in_the_history() {
    let mut entries = entries("- 1");
    entries[1].findings.insert(1, false);
    assert_eq!(of_cell("full", "a", &entries, &known()).findings, []);
}

#[test]
fn what_was_allowed_before_is_not_new() {
    let mut entries = entries("- 1 1");
    entries[1].findings.insert(1, false);
    let history = of_cell("full", "a", &entries, &known());
    let since = Course::Since {
        first: run(2),
        after: run(1),
        runs: 2,
    };
    assert_eq!(history.findings[0].course, since);
}
