//! Two sights of a cell differ if any of their parts does.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::model::cell::LtoMode;
use crate::model::finding::BUILD_FAILED;
use crate::model::record::{
    Counts, FindingRecord, Identity, Inspection, ScenarioRecord, SkipReason,
};

fn record() -> CellRecord {
    let mut record = CellRecord::new("arm64/probe/thin-dist/llvm-22".to_owned());
    record.inspection = Some(Inspection {
        identity: Identity {
            arch: "arm64".to_owned(),
            lto: LtoMode::ThinDist,
            kernel: "7.2".to_owned(),
            compiler: "cc".to_owned(),
        },
        counts: Counts::default(),
        warnings: BTreeMap::new(),
        rules: Vec::new(),
        findings: Vec::new(),
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    });
    record
}

fn imprint() -> Imprint {
    let map = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
    Imprint {
        front: map("init/main.o"),
        files: map("vmlinux"),
        ..Imprint::default()
    }
}

fn sight<'a>(record: &'a CellRecord, imprint: &'a Imprint) -> Sight<'a> {
    Sight {
        record,
        imprint: Some(imprint),
    }
}

type Change = fn(&mut CellRecord, &mut Imprint);

const CHANGES: [(Change, Option<&str>); 7] = [
    (|_, _| {}, None),
    (|record, _| record.cost.wall_seconds = 9.0, None),
    (
        |_, imprint| *imprint.front.get_mut("init/main.o").unwrap() = "2".to_owned(),
        Some("1 of 1 front-end commands"),
    ),
    (
        |_, imprint| {
            imprint
                .files
                .insert("builtin.order".to_owned(), "2".to_owned());
        },
        Some("1 of 2 files"),
    ),
    (
        |record, _| {
            let warnings = &mut record.inspection.as_mut().unwrap().warnings;
            warnings.insert("modpost".to_owned(), 1);
        },
        Some("the warnings in the log"),
    ),
    (
        |record, _| {
            let finding = FindingRecord::new(&BUILD_FAILED, "x.o", "y");
            record.inspection.as_mut().unwrap().findings.push(finding);
        },
        Some("the findings"),
    ),
    (
        |record, _| {
            let skipped = ScenarioRecord::skipped("noop", SkipReason::StepFailed);
            record.scenarios.push(skipped);
        },
        Some("the steps that could run"),
    ),
];

#[test]
fn any_part_of_a_sight_tells_it_from_another() {
    for (number, (change, expected)) in CHANGES.into_iter().enumerate() {
        let (with, before) = (record(), imprint());
        let (mut without, mut after) = (record(), imprint());
        change(&mut without, &mut after);
        let found = difference(sight(&with, &before), sight(&without, &after));
        assert_eq!(found.as_deref(), expected, "case {number}");
    }
}

#[rstest]
#[case::fails_without(true, false, Some("the build fails without it"))]
#[case::fails_with(false, true, Some("the build fails with it"))]
#[case::fails_anyway(false, false, None)]
fn a_build_that_fails_is_a_difference(
    #[case] before: bool,
    #[case] after: bool,
    #[case] expected: Option<&str>,
) {
    let (record, imprint) = (record(), imprint());
    let sight = |is_finished: bool| Sight {
        record: &record,
        imprint: is_finished.then_some(&imprint),
    };
    assert_eq!(difference(sight(before), sight(after)).as_deref(), expected);
}
