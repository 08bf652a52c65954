//! What the reports on kept runs say, word by word: the history of cells, and two runs compared.

use klto::judge::runs::{Named, compare};
use klto::model::record::{CellRecord, FORMAT, Outcome, RunRecord};
use klto::model::stored::{
    CellHistory, CellRun, Course, FindingHistory, History, Red, RunAt, RunComparison, RunHead,
    Worse,
};
use klto::report::{Format, comparison, history};

use crate::support::run_record::{finding, run_record};

/// The run of that night of November.
fn night(number: usize) -> RunAt {
    RunAt {
        run: format!("202611{number:02}T020000.000Z-5d41402a"),
        recorded: format!("2026-11-{number:02}T02:00:00.000Z"),
        revision: format!("7.3.0-rc7-g{number:012x}"),
    }
}

fn cell(name: &str, outcomes: &[(usize, &str)], red: Option<Red>) -> CellHistory {
    let run = |(number, outcome): &(usize, &str)| CellRun {
        at: night(*number),
        outcome: (*outcome).to_owned(),
        seconds: 200.0,
        image_bytes: 0,
    };
    CellHistory {
        matrix: "nightly".to_owned(),
        cell: name.to_owned(),
        runs: outcomes.iter().map(run).collect(),
        red,
        findings: Vec::new(),
    }
}

fn found(object: &str, course: Course) -> FindingHistory {
    FindingHistory {
        id: format!("id of {object}"),
        key: "flags.backend-lacks".to_owned(),
        object: object.to_owned(),
        step: None,
        evidence: "the back end lacks '-O2'".to_owned(),
        course,
    }
}

fn sample() -> History {
    let red = Red {
        since: night(4),
        passed: Some(night(3)),
        runs: 21,
        worse: vec![Worse {
            at: night(6),
            nth: 3,
            findings: vec!["id of kernel/fork.o".to_owned()],
        }],
    };
    let mut failing = cell(
        "arm64/tiny/thin-dist/llvm-22",
        &[(3, "pass"), (4, "fail")],
        Some(red),
    );
    failing.findings = vec![
        found(
            "init/main.o",
            Course::Since {
                first: night(4),
                after: night(3),
                runs: 21,
            },
        ),
        found(
            "kernel/fork.o",
            Course::New {
                by: night(6),
                after: night(5),
            },
        ),
        FindingHistory {
            step: Some("noop: make again".to_owned()),
            ..found(
                "kernel/\u{1b}[31mexit.o",
                Course::Flaky {
                    is_there: true,
                    with: 1,
                    without: 2,
                },
            )
        },
        found(
            "lib/crc.o",
            Course::Fixed {
                last: night(4),
                by: night(5),
            },
        ),
    ];
    let always = Red {
        since: night(1),
        passed: None,
        runs: 2,
        worse: Vec::new(),
    };
    let mut always_red = cell(
        "riscv/tiny/thin/llvm-22",
        &[(1, "fail"), (2, "fail")],
        Some(always),
    );
    always_red.findings = vec![found(
        "init/main.o",
        Course::Always {
            first: night(1),
            runs: 2,
        },
    )];
    History {
        format: FORMAT,
        klto: "0.1.0".to_owned(),
        cells: vec![
            failing,
            always_red,
            cell(
                "x86_64/tiny/thin/llvm-22",
                &[(1, "pass"), (2, "pass")],
                None,
            ),
            cell("x86_64/tiny/none/llvm-22", &[(1, "error")], None),
            cell("x86_64/tiny/full/llvm-22", &[(1, "skip")], None),
        ],
        unreadable: vec!["a run: it is cut off after 9 bytes".to_owned()],
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_history_reads_well() {
    let text = history::write(&sample(), history::Format::Text, false);
    insta::assert_snapshot!("history", plain(&text));
}

#[test]
fn with_all_a_history_has_the_cells_in_which_nothing_was_found() {
    let text = history::write(&sample(), history::Format::Text, true);
    insta::assert_snapshot!("history-all", plain(&text));
}

#[test]
fn a_history_is_what_its_schema_says() {
    let json = history::write(&sample(), history::Format::Json, false);
    let json = serde_json::from_str(&json).unwrap();
    assert_eq!(crate::support::schema::faults("history", &json), [""; 0]);
}

/// Two runs: the later one has findings that are new, known and flaky, and one less.
fn compared() -> RunComparison {
    let head = |number: usize, cells: usize| RunHead {
        run: night(number).run,
        recorded: night(number).recorded,
        matrix: "nightly".to_owned(),
        kernel: "7.3.0-rc7".to_owned(),
        revision: night(number).revision,
        mutations: Vec::new(),
        shard: None,
        replaces: Vec::new(),
        cells,
    };
    let after = run_record();
    let mut before = after.clone();
    let with_findings = |cell: &&mut CellRecord| {
        cell.inspection
            .as_ref()
            .is_some_and(|i| !i.findings.is_empty())
    };
    let mut broken = before.cells.iter_mut().filter(with_findings);
    let fixed = broken.next().unwrap();
    "other".clone_into(&mut fixed.job);
    let findings = &mut fixed.inspection.as_mut().unwrap().findings;
    findings.push(finding(
        "flags.saved-missing",
        "lib/fixed.o",
        "it was there",
    ));
    let new = broken.next().unwrap();
    "other".clone_into(&mut new.job);
    new.inspection.as_mut().unwrap().findings.clear();
    let with_scenarios =
        |cell: &&mut CellRecord| cell.scenarios.iter().any(|s| !s.findings.is_empty());
    let flaky = before.cells.iter_mut().find(with_scenarios).unwrap();
    flaky.scenarios.iter_mut().for_each(|s| s.findings.clear());
    before.cells.remove(0);
    before.cells.push(CellRecord {
        outcome: Outcome::Pass,
        ..CellRecord::new("arm64/old/thin/llvm-22".to_owned())
    });
    let named = |head, run| Named { head, run };
    let (first, second) = (head(24, before.cells.len()), head(25, after.cells.len()));
    compare(named(&first, &before), named(&second, &after))
}

#[test]
fn two_compared_runs_read_well() {
    let text = comparison::write(&compared(), Format::Text, false).unwrap();
    insta::assert_snapshot!("compared", plain(&text));
}

#[test]
fn two_compared_runs_are_tests() {
    let text = comparison::write(&compared(), Format::Ktap, false).unwrap();
    insta::assert_snapshot!("compared-ktap", text);
}

#[test]
fn a_comparison_with_nothing_new_is_ok() {
    let run = RunRecord {
        cells: Vec::new(),
        ..run_record()
    };
    let compared = compared();
    let same = compare(
        Named {
            head: &compared.before,
            run: &run,
        },
        Named {
            head: &compared.after,
            run: &run,
        },
    );
    let text = comparison::write(&same, Format::Text, false).unwrap();
    assert!(
        plain(&text).ends_with("\nok: 0 new, 0 flaky, 0 fixed, 0 in both\n"),
        "{text}"
    );
}
