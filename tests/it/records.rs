//! A record and the facts beside it say what the build tree said, when that is gone. Every
//! synthetic tree that a test asks klto about, pristine or broken, is also judged by its
//! kept facts: see `Tree::ask`.

use std::path::Path;
use std::process::Command;

use klto::judge::inspect::{Expected, Inspected, judge_facts};
use klto::model::cell::LtoMode;
use klto::model::record::CellRecord;
use klto::store::facts_file;
use klto::store::record_dir::RecordDir;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::tree::Tree;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};

const CELL: &str = "x86_64/tiny/thin/llvm-22";
/// Set for the process that fills the disk.
const FULL: &str = "KLTO_TEST_FULL_DISK";

fn record(job: &str, inspected: &Inspected) -> CellRecord {
    CellRecord {
        job: job.to_owned(),
        inspection: Some(inspected.inspection.clone()),
        ..CellRecord::new(CELL.to_owned())
    }
}

#[rstest]
fn a_tree_that_is_gone_is_judged_by_its_record(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let folder = TempDir::new().unwrap();
    let tree = Tree::pristine(target, mode);
    tree.touch("built-in-fixup.a");
    let inspected = tree.inspect().unwrap();
    let dir = RecordDir::new(folder.path());
    dir.save(&record("a", &inspected), Some(&inspected.facts))
        .unwrap();
    drop(tree);

    let kept = dir.load().unwrap().unwrap();
    let facts = dir.facts().unwrap().unwrap();
    let again = judge_facts(facts, dir.path(), &Expected::of_record(&kept).unwrap()).unwrap();

    assert_eq!(kept, record("a", &inspected));
    assert_eq!(again.inspection, inspected.inspection);
    assert_eq!(again.snapshot, inspected.snapshot);
    let keys = again.inspection.findings.iter().map(|f| f.key.as_str());
    assert!(keys.clone().any(|key| key == "archive.stale"), "{keys:?}");
}

/// Another machine, and another user's folders, must not matter to what is kept.
#[rstest]
fn kept_facts_name_no_folder_of_the_machine(
    #[values(X86_64, RISCV)] target: &'static Target,
    #[values(LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(target, mode);
    let facts = tree.inspect().unwrap().facts;

    let content = postcard::to_stdvec(&facts).unwrap();

    let text = String::from_utf8_lossy(&content);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for name in [&*tree.path().to_string_lossy(), &*folder.to_string_lossy()] {
        assert!(!text.contains(name), "{name}");
    }
    let file = facts_file::encode(&facts, "a").unwrap();
    assert!(file.len() < content.len(), "it is compressed");
}

/// Facts that are damaged where no checksum sees it may say anything, but must not bring
/// klto down.
#[test]
fn damaged_facts_are_judged_without_a_panic() {
    let facts = Tree::pristine(X86_64, LtoMode::ThinDist)
        .inspect()
        .unwrap()
        .facts;
    let whole = postcard::to_stdvec(&facts).unwrap();
    let file = facts_file::encode(&facts, "a").unwrap();
    let header = &file[..=file.iter().position(|byte| *byte == b'\n').unwrap()];
    let none = std::collections::BTreeMap::new();
    let expected = Expected {
        arch: None,
        mode: None,
        requested: &none,
        only: &[],
    };
    let mut judged = 0;
    for (number, at) in (0..whole.len()).step_by(37).enumerate() {
        let mut content = whole.clone();
        content[at] ^= 1 << (number % 8);
        let frame = zstd::encode_all(&content[..], 1).unwrap();
        if let Ok(kept) = facts_file::decode(&[header, &frame].concat()) {
            let _ = judge_facts(kept.facts, Path::new("kept"), &expected);
            judged += 1;
        }
    }
    assert!(judged > 100, "{judged} of {} are facts still", whole.len());
}

/// The limit on the size of files stands for the disk: writing fails half way.
#[rstest]
#[case::the_facts("facts.klto")]
#[case::the_record("record.json")]
fn a_full_disk_keeps_the_old_record(#[case] file: &str) {
    let folder = TempDir::new().unwrap();
    let inspected = Tree::pristine(X86_64, LtoMode::ThinDist).inspect().unwrap();
    let new = CellRecord {
        logs: vec!["scenarios/step.log".to_owned(); 500],
        ..record("b", &inspected)
    };
    let elsewhere = RecordDir::new(folder.path().join("elsewhere"));
    elsewhere.save(&new, Some(&inspected.facts)).unwrap();
    let dir = RecordDir::new(folder.path().join("cell"));
    let old = CellRecord::new(CELL.to_owned());
    dir.save(&old, None).unwrap();

    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "records::fill_the_disk", "--nocapture"])
        .env(FULL, folder.path())
        .env("FILE", file)
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        said.contains("cannot write ") && said.contains(file),
        "{said}"
    );
    assert!(
        said.contains("a limit on the size of files is reached"),
        "{said}"
    );
    assert_eq!(dir.load().unwrap(), Some(old));
    let files = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(files.count(), 1, "nothing half written is left");
}

/// The process that [`a_full_disk_keeps_the_old_record`] starts; nothing without it.
#[test]
fn fill_the_disk() {
    let Some(folder) = std::env::var_os(FULL) else {
        return;
    };
    let folder = Path::new(&folder);
    let elsewhere = RecordDir::new(folder.join("elsewhere"));
    let record = elsewhere.load().unwrap().unwrap();
    let facts = elsewhere.facts().unwrap().unwrap();
    let with_facts = std::env::var("FILE").unwrap() == "facts.klto";

    let dir = RecordDir::new(folder.join("cell"));
    let error = dir.save(&record, with_facts.then_some(&facts));

    println!("{}", error.unwrap_err());
}
