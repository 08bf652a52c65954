//! What a series does follows from the states in which a finding is there.

use rstest::rstest;

use super::*;
use crate::judge::test_records::{CELL, KEY, finding, record, state};
use crate::model::finding::BUILD_FAILED;
use crate::model::record::{ScenarioRecord, Skip};

fn judged(states: &[Vec<CellRecord>]) -> Judged {
    let states: Vec<&[CellRecord]> = states.iter().map(Vec::as_slice).collect();
    judge(&states, &|_| false)
}

#[rstest]
#[case::clean("...", &[])]
#[case::new("..x", &["new by patch 2"])]
#[case::new_at_once(".xx", &["new by patch 1"])]
#[case::between(".x.", &["broken by patch 1 and mended by patch 2"])]
#[case::twice(".x.x", &["new by patch 1"])]
#[case::known("xxx", &["known in the base"])]
#[case::known_but_for_a_while("x.x", &["known in the base"])]
#[case::mended("xx.", &["mended by patch 2"])]
#[case::mended_at_once("x..", &["mended by patch 1"])]
#[case::mode_is_introduced("ss.x", &["new by patch 3"])]
#[case::allowed("..a", &[])]
#[case::allowed_in_the_base("aa.", &[])]
// A build that fails shows nothing else: what was there may be there still.
#[case::masked("xff", &["known in the base", "new by patch 1"])]
#[case::masked_between("xfx", &["known in the base", "broken by patch 1 and mended by patch 2"])]
#[case::hidden_by_a_failure(".fx", &["new by one of the patches 1 to 2", "broken by patch 1 and mended by patch 2"])]
#[case::hidden_by_the_machine(".ex", &["new by one of the patches 1 to 2"])]
#[case::base_is_not_known("e.x", &["new by patch 2"])]
#[case::nothing_is_known_before("eex", &[])]
#[case::mended_in_the_dark(".xe.", &["broken by patch 1 and mended by patch 3"])]
#[case::never_told_again(".xe", &["new by patch 1"])]
fn the_states_tell_what_the_series_does(#[case] states: &str, #[case] expected: &[&str]) {
    let states: Vec<_> = states.chars().map(|what| vec![state(what)]).collect();
    let mut told: Vec<String> = judged(&states)
        .findings
        .iter()
        .map(|finding| finding.change.to_string())
        .collect();
    told.sort();
    let mut expected: Vec<&str> = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[rstest]
#[case::machine(".e", &[(1, "no space")])]
#[case::base_fails("ff", &[(0, "the build fails, so that the rules had nothing to check")])]
#[case::patch_fails(".f", &[])]
#[case::no_such_mode("s.", &[])]
#[case::finding_without_a_base("ex", &[
    (0, "no space"),
    (1, "flags.backend-lacks: 1 finding is there, and nothing earlier shows whether that is new"),
])]
fn what_could_not_be_told_is_named(#[case] states: &str, #[case] expected: &[(usize, &str)]) {
    let states: Vec<_> = states.chars().map(|what| vec![state(what)]).collect();
    let undecided = judged(&states).undecided;
    let told: Vec<_> = undecided
        .iter()
        .map(|u| (u.state, u.why.as_str()))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn the_same_finding_of_two_cells_is_told_once() {
    let other = "riscv/probe/thin-dist/llvm-22";
    let the = || vec![finding(KEY, "init/main.o", "lacks -O2")];
    let states = [
        vec![record(CELL, Vec::new()), record(other, Vec::new())],
        vec![record(CELL, the()), record(other, the())],
    ];
    let judged = judged(&states);
    assert_eq!(judged.findings.len(), 1);
    assert_eq!(judged.findings[0].cells, [CELL, other]);
}

#[test]
fn what_is_worse_comes_first() {
    let known = finding(KEY, "a.o", "x");
    let new = finding(KEY, "b.o", "x");
    let states = [
        vec![record(CELL, vec![known.clone()])],
        vec![record(CELL, vec![known, new])],
    ];
    let objects: Vec<_> = judged(&states)
        .findings
        .into_iter()
        .map(|f| f.object)
        .collect();
    assert_eq!(objects, ["b.o", "a.o"]);
}

#[rstest]
#[case::line(
    "scripts/Makefile.lib:12: missing separator",
    "scripts/Makefile.lib:14: missing separator",
    true
)]
#[case::path("/a/b/vmlinux.o: x", "/c/vmlinux.o: x", true)]
#[case::hash("hash 8f3a2b11 is not 0x1122", "hash 8f3a2b12 is not 0x1123", true)]
#[case::offset("differs at 120", "differs at 140", true)]
#[case::number("has 1 too many", "has 2 too many", false)]
#[case::name("lacks -O2", "lacks -O3", false)]
#[case::option_with_a_number("lacks -march=armv8.4-a", "lacks -march=armv8.5-a", false)]
#[case::word_of_hex_letters("no facade", "no decade", false)]
fn lines_and_paths_do_not_make_another_finding(
    #[case] first: &str,
    #[case] second: &str,
    #[case] is_same: bool,
) {
    let states = [
        vec![record(CELL, vec![finding(KEY, "a.o", first)])],
        vec![record(CELL, vec![finding(KEY, "a.o", second)])],
    ];
    let changes: Vec<_> = judged(&states)
        .findings
        .into_iter()
        .map(|f| f.change)
        .collect();
    assert_eq!(changes == [Change::Known], is_same, "{changes:?}");
}

#[test]
fn a_build_that_fails_for_another_reason_is_another_finding() {
    let failed = |why: &str| {
        let mut failed = finding(BUILD_FAILED.key, "vmlinux", "make fails");
        failed.details = vec![why.to_owned()];
        vec![record(CELL, vec![failed])]
    };
    let changes = |first: &str, second: &str| -> Vec<Change> {
        let judged = judged(&[failed(first), failed(second)]);
        judged.findings.into_iter().map(|f| f.change).collect()
    };
    assert_eq!(changes("Makefile:1: a", "Makefile:2: a"), [Change::Known]);
    let two = changes("Makefile:1: a", "Makefile:1: b");
    assert!(two.contains(&Change::Known) && two.len() == 1, "{two:?}");
}

#[rstest]
#[case::ran(None, "mended by patch 1")]
#[case::skipped(Some("make again"), "known in the base")]
#[case::another_step_was_skipped(Some("touch"), "mended by patch 1")]
fn a_step_that_was_skipped_shows_nothing(#[case] skipped: Option<&str>, #[case] expected: &str) {
    let scenario = |findings, skipped: Option<&str>| {
        let mut record = record(CELL, Vec::new());
        let skipped = skipped.map(|step| Skip {
            step: Some(step.to_owned()),
            reason: SkipReason::StepFailed,
        });
        record.scenarios = vec![ScenarioRecord {
            name: "noop".to_owned(),
            seconds: 0.0,
            findings,
            skipped: skipped.into_iter().collect(),
        }];
        record.settle();
        record
    };
    let mut wrong = finding("rebuild.command", "x.o", "ran again");
    wrong.step = Some("make again".to_owned());
    let states = [
        vec![scenario(vec![wrong], None)],
        vec![scenario(Vec::new(), skipped)],
    ];
    let judged = judged(&states);
    assert_eq!(judged.findings[0].change.to_string(), expected);
    assert_eq!(judged.findings[0].step.as_deref(), Some("noop: make again"));
}

#[rstest]
#[case::not_tried_before(&[false, true], "new by patch 1")]
#[case::tried_by_the_base(&[true, true], "known in the base")]
#[case::tried_by_a_later_patch(&[false, false, true], "new by patch 2")]
#[case::given_up(&[true, false], "mended by patch 1")]
fn what_the_sandbox_refuses_is_known_if_the_base_tried_it(
    #[case] tried: &[bool],
    #[case] expected: &str,
) {
    let state = |tried: &bool| {
        let refused = tried.then(|| finding("sandbox.refused", "/etc/x", "no"));
        let mut record = record(CELL, refused.into_iter().collect());
        record.sandbox = Some(Default::default());
        vec![record]
    };
    let states: Vec<_> = tried.iter().map(state).collect();
    let judged = judged(&states);
    assert_eq!(judged.findings[0].change.to_string(), expected);
    assert!(judged.undecided.is_empty());
}

#[test]
fn an_acknowledged_finding_is_known_by_its_number() {
    let states = [vec![state('.')], vec![state('x')]];
    let states: Vec<&[CellRecord]> = states.iter().map(Vec::as_slice).collect();
    let id = judge(&states, &|_| false).findings[0].id.clone();
    assert_eq!(id.len(), 10);
    assert!(judge(&states, &|asked| asked == id).findings[0].is_acknowledged);
}
