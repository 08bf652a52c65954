//! Records of one cell, for the tests of what judges them.

use crate::model::cell::LtoMode;
use crate::model::finding::BUILD_FAILED;
use crate::model::record::{
    CellRecord, Counts, FindingRecord, Identity as Tree, Inspection, RuleCount, SkipReason,
};

pub const CELL: &str = "arm64/probe/thin-dist/llvm-22";
pub const KEY: &str = "flags.backend-lacks";

pub fn finding(key: &str, object: &str, evidence: &str) -> FindingRecord {
    FindingRecord {
        key: key.to_owned(),
        object: object.to_owned(),
        evidence: evidence.to_owned(),
        details: Vec::new(),
        step: None,
        allowed: None,
        lapsed: None,
    }
}

pub fn record(cell: &str, findings: Vec<FindingRecord>) -> CellRecord {
    let mut record = CellRecord::new(cell.to_owned());
    record.inspection = Some(Inspection {
        identity: Tree {
            arch: "arm64".to_owned(),
            lto: LtoMode::ThinDist,
            kernel: "7.2".to_owned(),
            compiler: "cc".to_owned(),
        },
        counts: Counts::default(),
        warnings: Default::default(),
        rules: vec![RuleCount {
            key: KEY.to_owned(),
            looked_at: 3,
            unit: "objects".to_owned(),
        }],
        findings,
        unfinished: None,
        times_lost: false,
        requested: Default::default(),
    });
    record.settle();
    record
}

/// A state of one cell: `.` nothing wrong, `x` the finding, `f` the build fails, `e` the machine
/// failed, `s` the kernel has no such mode, `a` the finding is allowed, `b` the build fails, and may.
pub fn state(what: char) -> CellRecord {
    let the = || finding(KEY, "init/main.o", "lacks -O2");
    match what {
        '.' => record(CELL, Vec::new()),
        'x' => record(CELL, vec![the()]),
        'a' => {
            let mut allowed = the();
            allowed.allowed = Some("known".to_owned());
            record(CELL, vec![allowed])
        }
        'f' => {
            let mut failed = record(CELL, vec![finding(BUILD_FAILED.key, "x.o", "make fails")]);
            failed.inspection.as_mut().unwrap().unfinished = Some("no vmlinux".to_owned());
            failed
        }
        'b' => {
            let mut failed = state('f');
            let findings = failed.inspection.iter_mut().flat_map(|i| &mut i.findings);
            findings.for_each(|finding| finding.allowed = Some("known".to_owned()));
            failed.settle();
            failed
        }
        'e' => CellRecord::inconclusive(CELL.to_owned(), "no space".to_owned()),
        's' => CellRecord::skipped(
            CELL.to_owned(),
            SkipReason::NoDistributedMode {
                kernel: "7.1".to_owned(),
            },
        ),
        _ => unreachable!(),
    }
}
