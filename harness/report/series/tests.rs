//! A verdict with everything that a series can do, in every format.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::model::coverage::{ChangedPlace, Coverage, CoveredPlace, Reach};
use crate::model::finding::Severity;
use crate::model::imprint::{Changed, Ripple};
use crate::model::record::{Reproduce, RuleText};
use crate::model::series::{BaseRecord, FORMAT, PatchRecord, StateRecord, Thread, Undecided};

fn finding(id: &str, key: &str, change: Change, cells: &[&str]) -> SeriesFinding {
    SeriesFinding {
        id: id.to_owned(),
        key: key.to_owned(),
        object: format!("kernel/{id}.o"),
        step: None,
        evidence: "the back end lacks -mcmodel=kernel".to_owned(),
        details: Vec::new(),
        change,
        cells: cells.iter().map(|cell| format!("{cell}/llvm-22")).collect(),
        brought_by: Vec::new(),
        is_acknowledged: false,
        reproduce: Reproduce {
            kernel: "/src/linux".to_owned(),
            build: "/w/build".to_owned(),
            commands: vec![
                "klto probe --kernel \"$KERNEL\" --arch arm64 --lto thin-dist".to_owned(),
                "make".to_owned(),
            ],
        },
    }
}

/// `at` is the number of a patch, a file and a line of it.
fn covered(at: (usize, &str, usize), reach: Reach, needs: &[&str]) -> CoveredPlace {
    let (patch, file, line) = at;
    CoveredPlace {
        place: ChangedPlace {
            patch,
            file: file.to_owned(),
            line,
            lines: line % 4 + 1,
            text: "x := \u{1b}[31m".to_owned(),
        },
        reach,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    }
}

fn coverage() -> Coverage {
    Coverage {
        places: vec![
            covered(
                (1, "scripts/Makefile.x", 9),
                Reach::Exercised {
                    cell: "arm64/probe/thin/llvm-22".to_owned(),
                    changes: "3 of 55 back-end commands".to_owned(),
                },
                &[],
            ),
            covered(
                (2, "scripts/Makefile.x", 16),
                Reach::NotExercised,
                &["in 'ifdef CONFIG_X' (line 12)"],
            ),
            covered(
                (2, "arch/mips/x.c", 3),
                Reach::NotRead,
                &["in '#ifdef CONFIG_X' (line 2)", "on architecture mips"],
            ),
            covered((2, "scripts/Makefile.x", 30), Reach::Comment, &[]),
            covered((2, "Documentation/x.rst", 3), Reach::NotRead, &[]),
            covered((2, "Documentation/x.rst", 30), Reach::NotRead, &[]),
            covered(
                (3, "scripts/Makefile.x", 40),
                Reach::NotTried {
                    why: "it is not one of the first 40".to_owned(),
                },
                &[],
            ),
        ],
    }
}

fn patch(number: usize, title: &str) -> PatchRecord {
    PatchRecord {
        number,
        title: title.to_owned(),
        message_id: format!("{number}@example.org"),
        patch_id: number.to_string().repeat(40),
        commit: number.to_string().repeat(40),
        files: vec!["scripts/Makefile.lib".to_owned()],
        is_merged: number == 2,
    }
}

fn state(commit: &str, same_as: Option<usize>) -> StateRecord {
    StateRecord {
        commit: commit.repeat(40),
        fingerprint: commit.repeat(64),
        same_as,
        outcomes: BTreeMap::new(),
        kernels: (commit == "3").then(|| Ripple {
            cells: 1,
            back: Changed {
                changed: 7,
                of: 473,
            },
            ..Ripple::default()
        }),
        ripple: match commit {
            "0" => None,
            "1" => Some(Ripple {
                cells: 3,
                ..Ripple::default()
            }),
            _ => Some(Ripple {
                cells: 2,
                front: Changed {
                    changed: 3,
                    of: 660,
                },
                links: Changed { changed: 1, of: 24 },
                ..Ripple::default()
            }),
        },
    }
}

/// A series of three patches that does everything that a series can do.
fn series() -> SeriesRecord {
    let new = Change::New { since: 2, by: 2 };
    let mut step = finding(
        "3",
        "rebuild.failed",
        Change::BrokenBetween { by: 1, mended: 3 },
        &["x86_64/probe/thin"],
    );
    step.step = Some("noop: make again".to_owned());
    step.details = vec!["make: *** [Makefile:9: x] Error 1".to_owned()];
    let places = [(1, "scripts/Makefile.x", 9), (1, "Makefile", 2)];
    step.brought_by = places
        .map(|at| covered(at, Reach::NotRead, &[]).place)
        .into();
    let mut acknowledged = finding("6", "crc.zero", new, &["riscv/probe/none"]);
    acknowledged.is_acknowledged = true;
    SeriesRecord {
        format: FORMAT,
        klto: "0.1.0".to_owned(),
        judged: "2026-01-01T00:00:00Z".to_owned(),
        title: "kbuild: in three steps \u{1b}[31m".to_owned(),
        version: 4,
        from: "thread.mbox".to_owned(),
        notes: vec!["v4 was taken, the newest; v3 was passed over".to_owned()],
        base: BaseRecord {
            commit: "0123456789abcdef".repeat(3),
            kernel: "7.2.13".to_owned(),
            why: "which its base-commit line names".to_owned(),
        },
        toolchain: "clang version 22.1.8, LLD 22.1.8".to_owned(),
        cells: ["x86_64/probe/thin", "arm64/probe/thin", "arm64/probe/thin-dist"]
            .map(|cell| format!("{cell}/llvm-22"))
            .to_vec(),
        kernels: vec!["arm64/tiny/thin/llvm-22".to_owned()],
        per_patch: false,
        patches: vec![patch(1, "one"), patch(2, "two"), patch(3, "three")],
        states: vec![state("0", None), state("1", None), state("2", None), state("3", Some(2))],
        findings: vec![
            finding("1", "flags.backend-lacks", new, &["arm64/probe/thin-dist", "x86_64/probe/thin"]),
            finding("2", "flags.backend-lacks", new, &["arm64/probe/thin-dist"]),
            step,
            acknowledged,
            finding("4", "crc.zero", Change::Known, &["arm64/probe/thin"]),
            finding("5", "crc.zero", Change::Mended { by: 3 }, &["arm64/probe/thin"]),
        ],
        coverage: Some(coverage()),
        undecided: vec![Undecided {
            cell: "arm64/probe/thin/llvm-22".to_owned(),
            state: 3,
            why: "no space left".to_owned(),
        }],
        rules: BTreeMap::from([(
            "flags.backend-lacks".to_owned(),
            RuleText {
                severity: Severity::Error,
                invariant: "the back end has the flags of the front end".to_owned(),
                broken: "objects lack flags in the back end".to_owned(),
                why: "the code is compiled for another machine, or with other assumptions than the rest of the kernel".to_owned(),
                fix: "look at the command".to_owned(),
            },
        )]),
        sandbox: None,
        mbox: Some("/w/series.mbox".to_owned()),
        thread: Some(Thread {
            message_id: "0@example.org".to_owned(),
            references: vec!["before@example.org".to_owned()],
            subject: "[PATCH v4 0/3] kbuild: in three steps".to_owned(),
            from: "A Developer <dev@example.org>".to_owned(),
            to: vec!["list@example.org".to_owned()],
            cc: vec!["Another <other@example.org>".to_owned()],
        }),
    }
}

#[rstest]
#[case::text(Format::Text)]
#[case::mail(Format::Mail)]
#[case::terse(Format::Terse)]
#[case::b4(Format::B4)]
fn a_verdict_reads_well(#[case] format: Format) {
    let report = format.report(&series(), None, false);
    let report = anstream::adapter::strip_str(&report).to_string();
    insta::assert_snapshot!(format!("{format}"), report);
}

#[test]
fn a_verdict_in_json_is_the_record() {
    let series = series();
    let json = Format::Json.report(&series, None, false);
    assert_eq!(serde_json::from_str::<SeriesRecord>(&json).unwrap(), series);
}

#[test]
fn no_line_of_a_mail_is_longer_than_72_columns() {
    let report = Format::Mail.report(&series(), None, false);
    let (_, body) = report.split_once("\n\n").unwrap();
    let long: Vec<&str> = body
        .lines()
        .filter(|line| line.chars().count() > 72)
        .collect();
    assert_eq!(long, [""; 0]);
}

#[rstest]
#[case::worse(Some(1), Verdict::Worse, "fail")]
#[case::worse_by_another_rule(Some(2), Verdict::Worse, "fail")]
#[case::mended_and_not_told(Some(3), Verdict::Inconclusive, "warn")]
#[case::all(None, Verdict::Worse, "fail")]
fn each_patch_has_a_verdict_of_its_own(
    #[case] patch: Option<usize>,
    #[case] expected: Verdict,
    #[case] status: &str,
) {
    let series = series();
    assert_eq!(verdict(&series, patch), expected);
    let answer = Format::B4.report(&series, patch, false);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer[0]["status"], status);
}

#[test]
fn a_patch_without_a_complaint_gets_no_line() {
    let mut series = series();
    series.undecided.clear();
    assert_eq!(Format::Terse.report(&series, Some(3), false), "");
    assert_eq!(verdict(&series, Some(3)), Verdict::Ok);
    assert!(
        Format::Terse
            .report(&series, Some(2), false)
            .starts_with("ERROR: flags.backend-lacks")
    );
}

#[test]
fn what_a_stranger_wrote_moves_no_cursor() {
    for format in [Format::Text, Format::Mail, Format::Terse, Format::B4] {
        let report = format.report(&series(), None, true);
        let report = anstream::adapter::strip_str(&report).to_string();
        assert!(!report.contains('\u{1b}'), "{report}");
    }
}

#[test]
fn a_path_with_a_space_is_one_word_of_the_command() {
    let mut series = series();
    series.mbox = Some("/my work/series.mbox".to_owned());
    let report = Format::Text.report(&series, None, false);
    let expected = "am -3 --patch-format=mboxrd '/my work/series.mbox'\n";
    assert!(report.contains(expected), "{report}");
}

#[rstest]
#[case(&["arm64/probe/thin/llvm-22"], "arm64 thin")]
#[case(&["arm64/probe/thin/llvm-22", "riscv/probe/none/llvm-22", "arm64/probe/none/llvm-22"], "arm64 thin, none; riscv none")]
fn cells_are_said_by_architecture(#[case] cells: &[&str], #[case] expected: &str) {
    assert_eq!(said(cells), expected);
}
