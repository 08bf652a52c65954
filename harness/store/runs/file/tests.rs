//! The file of a run is read back as it was written, or says what is wrong with it.

use rstest::rstest;

use super::*;
use crate::model::cell::LtoMode;
use crate::model::finding::Severity;
use crate::model::record::{
    ComparisonRecord, CompilerCacheUse, Counts, Identity, Inspection, RuleCount, ScenarioRecord,
};

/// A record in which nothing is at its default that changes from night to night.
pub(in super::super) fn record(cell: &str) -> CellRecord {
    let mut record = CellRecord::new(cell.to_owned());
    record.job = "5d41402abc4b2a76".to_owned();
    record.revision = "7.3.0-rc7-g0123456789ab".to_owned();
    record.kernel = "7.3.0-rc7".to_owned();
    record.host = "builder".to_owned();
    record.started = "2026-11-25T02:00:00Z".to_owned();
    record.cost.wall_seconds = 123.456;
    record.stages = vec![StageTime {
        name: "compile".to_owned(),
        begins_seconds: 1.5,
        seconds: 60.25,
    }];
    record.cpu_utilization.processors = vec![0.25, 1.75];
    record.compiler_cache = Some(CompilerCacheUse {
        program: "ccache".to_owned(),
        version: "4.7.5".to_owned(),
        hits: 480,
        misses: 21,
        uncacheable: 812,
    });
    record.reused = true;
    record.reproduce.build = "/srv/klto/build".to_owned();
    record.logs = vec!["/srv/klto/build.log".to_owned()];
    record.inspection = Some(Inspection {
        identity: Identity {
            arch: "arm64".to_owned(),
            lto: LtoMode::ThinDist,
            kernel: "7.3.0-rc7-g0123456789ab".to_owned(),
            compiler: "clang".to_owned(),
        },
        counts: Counts {
            objects: 501,
            ..Counts::default()
        },
        warnings: BTreeMap::new(),
        rules: Vec::new(),
        findings: Vec::new(),
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    });
    record.scenarios = vec![ScenarioRecord {
        name: "noop".to_owned(),
        seconds: 12.5,
        findings: Vec::new(),
        skipped: Vec::new(),
    }];
    record.comparisons = vec![ComparisonRecord {
        with: LtoMode::Thin,
        job: "f00d".to_owned(),
        seconds: 2.25,
        findings: Vec::new(),
        not_compared: Vec::new(),
        growth: Vec::new(),
        skipped: None,
    }];
    record
}

pub(in super::super) fn run(cells: Vec<CellRecord>) -> RunRecord {
    RunRecord {
        format: RECORD_FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: "nightly".to_owned(),
        kernel: "7.3.0-rc7".to_owned(),
        revision: "7.3.0-rc7-g0123456789ab".to_owned(),
        mutations: Vec::new(),
        shard: None,
        unreferenced: Vec::new(),
        cells,
    }
}

fn head(run: &RunRecord, name: &str) -> RunHead {
    RunHead {
        run: name.to_owned(),
        recorded: "2026-11-25T02:00:00.000Z".to_owned(),
        matrix: run.matrix.clone(),
        kernel: run.kernel.clone(),
        revision: run.revision.clone(),
        mutations: Vec::new(),
        shard: None,
        replaces: Vec::new(),
        cells: run.cells.len(),
    }
}

fn written(run: &RunRecord) -> Vec<u8> {
    let kept = vec![Kept::default(); run.cells.len()];
    let body = body(run, &kept).unwrap();
    encode(&head(run, &name("2026-11-25T02:00:00.000Z", &body)), &body).unwrap()
}

#[test]
fn a_run_is_read_back_as_it_was_written() {
    let run = run(vec![record("arm64/tiny/thin-dist/llvm-22"), record("b")]);
    let kept = Kept {
        facts: Some("ab".repeat(32)),
        logs: vec![None, Some("cd".repeat(32))],
    };
    let body = body(&run, &[kept.clone(), Kept::default()]).unwrap();
    let head = head(&run, &name("2026-11-25T02:00:00.000Z", &body));
    let opened = open(&encode(&head, &body).unwrap()).unwrap();
    assert_eq!(opened.name(), head.run);
    let read = opened.read().unwrap();
    assert_eq!(read.run, run);
    assert_eq!(read.kept, [kept, Kept::default()]);
    assert_eq!(read.head, head);
}

/// A rule's text, with that advice.
fn text(fix: &str) -> RuleText {
    RuleText {
        severity: Severity::Error,
        invariant: "the back end has the flags".to_owned(),
        broken: "commands lack a flag".to_owned(),
        why: "other code".to_owned(),
        fix: fix.to_owned(),
    }
}

/// A record of a cell in which these rules were checked.
fn checked(cell: &str, rules: &[&str]) -> CellRecord {
    let mut record = record(cell);
    let count = |key: &&str| RuleCount {
        key: (*key).to_owned(),
        looked_at: 1,
        unit: "objects".to_owned(),
    };
    record.inspection.as_mut().unwrap().rules = rules.iter().map(count).collect();
    let texts = rules.iter().map(|key| ((*key).to_owned(), text("fix it")));
    record.rules.add(texts);
    record
}

/// Thousands of cells with texts of their own would take a third of the memory of a page.
#[test]
fn cells_with_the_same_rules_share_their_texts() {
    let run = run(vec![
        checked("a", &["x.one", "x.two"]),
        checked("b", &["x.one"]),
        checked("c", &["x.one", "x.two"]),
    ]);
    let read = open(&written(&run)).unwrap().read().unwrap().run;
    let texts = |n: usize| std::ptr::from_ref(&*read.cells[n].rules);
    assert_eq!(texts(0), texts(2));
    assert_ne!(texts(0), texts(1));
    let keys = |n: usize| read.cells[n].rules.keys().collect::<Vec<_>>();
    assert_eq!(keys(0), ["x.one", "x.two"]);
    assert_eq!(keys(1), ["x.one"]);
    assert_eq!(read, run);
}

#[test]
fn a_text_that_differs_from_that_of_the_run_stays_with_its_cell() {
    let mut other = checked("b", &["x.one", "x.two"]);
    let own = BTreeMap::from([("x.one".to_owned(), text("another way"))]);
    other.rules = own.into();
    other.rules.add([("x.two".to_owned(), text("fix it"))]);
    let run = run(vec![checked("a", &["x.one", "x.two"]), other]);
    let read = open(&written(&run)).unwrap().read().unwrap().run;
    assert_eq!(read, run);
}

#[test]
fn what_changes_from_night_to_night_is_not_in_the_record() {
    let tonight = record("a");
    let mut tomorrow = tonight.clone();
    let now = take_now(&mut tomorrow);
    // Each value of it is changed: where one stays in the record, the two would differ.
    put_back(Now::default(), &mut tomorrow);
    tomorrow.reused = !now.reused;
    tomorrow.cost.wall_seconds = 1.0;
    tomorrow.scenarios[0].seconds = 1.0;
    tomorrow.comparisons[0].seconds = 1.0;
    tomorrow.comparisons[0].job = "beef".to_owned();
    let bytes = [written(&run(vec![tonight])), written(&run(vec![tomorrow]))];
    let [a, b] = bytes.map(|bytes| open(&bytes).unwrap().cell(0).unwrap().hash());
    assert_eq!(a, b);
}

#[test]
fn a_cell_with_another_result_has_another_record() {
    let mut other = record("a");
    other.inspection.as_mut().unwrap().counts.objects = 502;
    let bytes = [written(&run(vec![record("a")])), written(&run(vec![other]))];
    let [a, b] = bytes.map(|bytes| open(&bytes).unwrap().cell(0).unwrap().hash());
    assert_ne!(a, b);
}

#[test]
fn the_job_of_a_compared_tree_is_part_of_what_the_result_depends_on() {
    let mut record = record("a");
    let now = take_now(&mut record);
    let mut other = now.clone();
    other.comparisons[0].1 = "beef".to_owned();
    assert_ne!(now.job_number(), other.job_number());
    let mut same = now.clone();
    same.comparisons[0].0 = 9.0;
    assert_eq!(now.job_number(), same.job_number());
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_refused() {
    let whole = written(&run(vec![record("a"), record("b")]));
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_run_with_any_byte_flipped_is_refused_or_unchanged() {
    let run = run(vec![record("a")]);
    let whole = written(&run);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        if let Ok(opened) = open(&damaged) {
            assert_eq!(opened.read().unwrap().run, run, "byte {at}");
        }
    }
}

/// Text in a frame, as a run is.
fn frame(text: &str) -> Vec<u8> {
    frame::seal(Vec::new(), LEVEL, LIMITS, None, |writer| {
        writer.write_all(text.as_bytes())
    })
    .unwrap()
}

#[rstest]
#[case::of_a_newer_klto(
    "{\"format\":2,\"klto\":\"9.0\",\"whatever\":1}\n",
    "it is of format 2, written by klto 9.0"
)]
#[case::nothing("", "it is damaged: its last line does not end")]
#[case::no_json("x\n", "it is damaged: expected value at line 1 column 1")]
#[case::cells_are_missing(
    "{\"format\":1,\"klto\":\"0\",\"run\":\"r\",\"recorded\":\"\",\"matrix\":\"m\",\"kernel\":\"\",\"revision\":\"\",\"cells\":3,\"rules\":{}}\n",
    "it is damaged: it has 0 of 3 cells"
)]
fn what_is_no_run_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(open(&frame(text)).unwrap_err().to_string(), expected);
}
