//! What became of findings between two runs.

use rstest::rstest;

use super::*;
use crate::model::cell::LtoMode;
use crate::model::finding::Severity;
use crate::model::record::{Counts, FindingRecord, Identity, Inspection, RuleCount, RuleText};

const KEY: &str = "flags.backend-lacks";

/// A cell with these findings, each an object's, whose job has that key.
fn cell(name: &str, job: &str, objects: &[&str]) -> CellRecord {
    let mut record = CellRecord::new(name.to_owned());
    job.clone_into(&mut record.job);
    record.inspection = Some(Inspection {
        identity: Identity {
            arch: "arm64".to_owned(),
            lto: LtoMode::ThinDist,
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
        findings: objects.iter().map(|object| finding(object)).collect(),
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    });
    let text = RuleText {
        severity: Severity::Error,
        invariant: "the back end has the flags".to_owned(),
        broken: "commands lack a flag".to_owned(),
        why: "other code".to_owned(),
        fix: "pass them".to_owned(),
    };
    record.rules.add([(KEY.to_owned(), text)]);
    record.settle();
    record
}

fn finding(object: &str) -> FindingRecord {
    FindingRecord {
        key: KEY.to_owned(),
        object: object.to_owned(),
        evidence: "it lacks -O2".to_owned(),
        details: Vec::new(),
        step: None,
        allowed: None,
        lapsed: None,
    }
}

fn head(name: &str) -> RunHead {
    RunHead {
        run: name.to_owned(),
        recorded: String::new(),
        matrix: "full".to_owned(),
        kernel: "7.2".to_owned(),
        revision: "7.2".to_owned(),
        mutations: Vec::new(),
        shard: None,
        replaces: Vec::new(),
        cells: 0,
    }
}

fn compared(before: Vec<CellRecord>, after: Vec<CellRecord>) -> RunComparison {
    let run = |cells| RunRecord {
        format: FORMAT,
        klto: "0".to_owned(),
        matrix: "full".to_owned(),
        kernel: "7.2".to_owned(),
        revision: "7.2".to_owned(),
        mutations: Vec::new(),
        shard: None,
        unreferenced: Vec::new(),
        cells,
    };
    let (was, is) = (run(before), run(after));
    let (first, second) = (head("first"), head("second"));
    let before = Named {
        head: &first,
        run: &was,
    };
    let after = Named {
        head: &second,
        run: &is,
    };
    compare(before, after)
}

#[rstest]
#[case::new(&[], &["a.o"], "2", RunChange::New)]
#[case::fixed(&["a.o"], &[], "2", RunChange::Fixed)]
#[case::known(&["a.o"], &["a.o"], "2", RunChange::Known)]
#[case::comes_without_a_reason(&[], &["a.o"], "1", RunChange::Flaky)]
#[case::goes_without_a_reason(&["a.o"], &[], "1", RunChange::Flaky)]
fn a_finding_changes(
    #[case] before: &[&str],
    #[case] after: &[&str],
    #[case] job: &str,
    #[case] expected: RunChange,
) {
    let comparison = compared(vec![cell("x", "1", before)], vec![cell("x", job, after)]);
    let changes: Vec<RunChange> = comparison.findings.iter().map(|f| f.change).collect();
    assert_eq!(changes, [expected]);
    assert!(comparison.rules.contains_key(KEY));
}

#[test]
fn the_same_finding_of_several_cells_is_one() {
    let before = vec![cell("x", "1", &[]), cell("y", "1", &[])];
    let after = vec![cell("x", "2", &["a.o"]), cell("y", "2", &["a.o"])];
    let comparison = compared(before, after);
    let [finding] = &comparison.findings[..] else {
        panic!("{:?}", comparison.findings);
    };
    assert_eq!(finding.cells, ["x", "y"]);
}

#[test]
fn what_is_new_comes_first() {
    let before = vec![cell("x", "1", &["known.o", "fixed.o"])];
    let after = vec![cell("x", "2", &["known.o", "new.o"])];
    let comparison = compared(before, after);
    let objects: Vec<&str> = comparison
        .findings
        .iter()
        .map(|f| f.object.as_str())
        .collect();
    assert_eq!(objects, ["new.o", "fixed.o", "known.o"]);
}

#[test]
fn cells_of_one_run_only_are_named() {
    let before = vec![cell("x", "1", &[]), cell("old", "1", &["a.o"])];
    let after = vec![cell("x", "1", &[]), cell("more", "1", &["a.o"])];
    let comparison = compared(before, after);
    assert_eq!(
        (&comparison.added[..], &comparison.gone[..]),
        (&["more".to_owned()][..], &["old".to_owned()][..])
    );
    assert_eq!(comparison.findings, []);
}

#[test]
fn a_cell_without_a_verdict_is_undecided_in_its_run() {
    let mut failed = CellRecord::inconclusive("x".to_owned(), "the disk is full".to_owned());
    failed.outcome = Outcome::Error("the disk is full".to_owned());
    let comparison = compared(vec![cell("x", "1", &["a.o"])], vec![failed]);
    let undecided: Vec<(&str, &str)> = comparison
        .undecided
        .iter()
        .map(|cell| (cell.run.as_str(), cell.why.as_str()))
        .collect();
    assert_eq!(undecided, [("second", "the disk is full")]);
    // That the finding is gone does not show.
    assert_eq!(comparison.findings[0].change, RunChange::Known);
    let [outcome] = &comparison.outcomes[..] else {
        panic!("{:?}", comparison.outcomes);
    };
    assert_eq!(
        (outcome.before.as_str(), outcome.after.as_str()),
        ("fail", "error")
    );
}

#[test]
fn what_keeps_both_runs_from_a_verdict_is_said_once() {
    let failed = |why: &str| CellRecord::inconclusive("x".to_owned(), why.to_owned());
    let whys = |before: &str, after: &str| {
        let comparison = compared(vec![failed(before)], vec![failed(after)]);
        let undecided = comparison.undecided.into_iter();
        undecided.map(|cell| cell.run).collect::<Vec<_>>()
    };
    assert_eq!(whys("no emulator", "no emulator"), ["second"]);
    assert_eq!(whys("the disk is full", "no emulator"), ["first", "second"]);
}

#[test]
fn an_accepted_snapshot_without_a_cell_is_no_cell() {
    let gone = || CellRecord::skipped("x".to_owned(), SkipReason::NoCell);
    let comparison = compared(vec![gone()], vec![gone()]);
    assert_eq!(comparison.undecided, []);
}

#[test]
fn a_skipped_cell_is_not_judged() {
    let skipped = CellRecord::skipped("x".to_owned(), SkipReason::FailFast);
    let comparison = compared(vec![cell("x", "1", &[])], vec![skipped]);
    assert_eq!(comparison.undecided.len(), 1);
    assert_eq!(comparison.undecided[0].run, "second");
}
