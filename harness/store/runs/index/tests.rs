//! The index is made from the runs, and rebuilt where it is damaged.

use rstest::rstest;
use tempfile::TempDir;

use super::super::StoredRun;
use super::super::file::tests::{record, run};
use super::*;
use crate::build::process::Cancel;
use crate::judge::history::Known;
use crate::model::record::{CellRecord, FindingRecord, RuleCount, SkipReason};

/// A store with two runs of one cell; the later one has a finding.
fn store() -> (TempDir, RunStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::open(&dir.path().join("store")).unwrap();
    for objects in [&[][..], &["init/main.o"][..]] {
        add(&store, objects, "5d41", &[]);
    }
    (dir, store)
}

fn add(store: &RunStore, objects: &[&str], job: &str, mutations: &[&str]) -> String {
    let mut cell = record("arm64/tiny/thin-dist/llvm-22");
    cell.logs.clear();
    job.clone_into(&mut cell.job);
    let inspection = cell.inspection.as_mut().unwrap();
    inspection.rules.push(RuleCount {
        key: "flags.backend-lacks".to_owned(),
        looked_at: 3,
        unit: "objects".to_owned(),
    });
    inspection.findings = objects.iter().map(|object| finding(object)).collect();
    cell.settle();
    let mut run = run(vec![cell]);
    run.mutations = mutations.iter().map(|name| (*name).to_owned()).collect();
    let added = store.add(&run, &|_| None, &Cancel::new()).unwrap();
    added.head.run
}

fn finding(object: &str) -> FindingRecord {
    FindingRecord {
        key: "flags.backend-lacks".to_owned(),
        object: object.to_owned(),
        evidence: "it lacks -O2".to_owned(),
        details: Vec::new(),
        step: None,
        allowed: None,
        lapsed: None,
    }
}

#[test]
fn what_a_cell_took_is_without_its_waits_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::open(&dir.path().join("store")).unwrap();
    let mut cell = record("arm64/tiny/thin-dist/llvm-22");
    cell.logs.clear();
    cell.cost.wall_seconds = 7300.0;
    cell.cost.waited_seconds = 7200.0;
    let cells = run(vec![cell]);
    store.add(&cells, &|_| None, &Cancel::new()).unwrap();
    let index = Index::open(&store, &Cancel::new()).unwrap();
    let past = index.past(&cells.matrix, 1).unwrap();
    let seconds: Vec<f64> = past.values().flatten().map(|run| run.seconds).collect();
    assert_eq!(seconds, [100.0]);
}

/// What the index says of the cell.
fn answer(index: &Index) -> (Vec<(String, usize)>, Known) {
    let entries = index
        .entries("nightly", "arm64/tiny/thin-dist/llvm-22", "")
        .unwrap();
    let mut known = Known::default();
    index.look_up(&entries, &mut known).unwrap();
    let runs = entries.iter();
    let runs = runs.map(|entry| (entry.run.outcome.clone(), entry.findings.len()));
    (runs.collect(), known)
}

fn expected() -> Vec<(String, usize)> {
    vec![("pass".to_owned(), 0), ("fail".to_owned(), 1)]
}

#[test]
fn the_index_has_the_findings_of_each_run() {
    let (_dir, store) = store();
    let (runs, known) = answer(&Index::open(&store, &Cancel::new()).unwrap());
    assert_eq!(runs, expected());
    let finding = known.findings.values().next().unwrap();
    assert_eq!(finding.object, "init/main.o");
    assert!(
        known
            .checked
            .values()
            .all(|checked| checked.would_have(&finding.place))
    );
}

#[test]
fn an_index_that_is_deleted_is_rebuilt_from_the_runs() {
    let (_dir, store) = store();
    let before = answer(&Index::open(&store, &Cancel::new()).unwrap());
    delete(&store.path().join(FOLDER).join(FILE)).unwrap();
    let index = Index::open(&store, &Cancel::new()).unwrap();
    assert_eq!(answer(&index), before);
    assert_eq!(index.note, None);
}

#[rstest]
#[case::other_file(b"this is not a database, but it is long enough to be taken for one if nobody looked at its first bytes\n".to_vec())]
#[case::cut_off(Vec::new())]
fn an_index_that_is_damaged_is_rebuilt_and_that_is_said(#[case] content: Vec<u8>) {
    let (_dir, store) = store();
    drop(Index::open(&store, &Cancel::new()).unwrap());
    let path = store.path().join(FOLDER).join(FILE);
    let bytes = match content.is_empty() {
        true => std::fs::read(&path).unwrap()[..6000].to_vec(),
        false => content,
    };
    delete(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();

    let index = Index::open(&store, &Cancel::new()).unwrap();
    assert_eq!(answer(&index).0, expected());
    let note = index.note.unwrap();
    assert!(note.contains("the index was damaged"), "{note}");
    assert_eq!(store.names().unwrap().len(), 2);
}

#[test]
fn an_index_of_a_newer_klto_is_refused_and_stays_as_it_is() {
    let (_dir, store) = store();
    drop(Index::open(&store, &Cancel::new()).unwrap());
    let path = store.path().join(FOLDER).join(FILE);
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);

    let error = Index::open(&store, &Cancel::new()).unwrap_err();
    assert!(matches!(error, Error::Kept { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("the index was made by a newer klto"),
        "{message}"
    );
    assert!(message.contains("delete the index"), "{message}");
    let db = Connection::open(&path).unwrap();
    let version: i64 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_run_that_cannot_be_read_is_left_out_and_named_each_time() {
    let (_dir, store) = store();
    let bad = store.names().unwrap().remove(1);
    let file = store.file(&bad);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    for _ in 0..2 {
        let index = Index::open(&store, &Cancel::new()).unwrap();
        let [why] = &index.unreadable[..] else {
            panic!("{:?}", index.unreadable);
        };
        assert!(
            why.contains(&bad) && why.contains("it is cut off after"),
            "{why}"
        );
        assert_eq!(answer(&index).0, expected()[..1]);
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(
        answer(&Index::open(&store, &Cancel::new()).unwrap()).0,
        expected()
    );
}

#[test]
fn runs_of_mutated_sources_are_no_part_of_the_history() {
    let (_dir, store) = store();
    add(&store, &["init/main.o"], "f00d", &["v11-flags-by-variable"]);
    let index = Index::open(&store, &Cancel::new()).unwrap();
    assert_eq!(answer(&index).0, expected());
    assert_eq!(index.runs().unwrap().len(), 3);
}

#[test]
fn a_store_that_cannot_be_written_is_read_without_an_index_file() {
    let (dir, store) = store();
    // A link that leads nowhere: the file can be neither opened nor made.
    let path = store.path().join(FOLDER).join(FILE);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(dir.path().join("missing/folder/index"), &path).unwrap();
    assert_eq!(
        answer(&Index::open(&store, &Cancel::new()).unwrap()).0,
        expected()
    );
}

#[test]
fn two_indexes_that_are_made_at_once_agree() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        let open = || scope.spawn(|| answer(&Index::open(&store, &Cancel::new()).unwrap()).0);
        for opened in [open(), open(), open()] {
            assert_eq!(opened.join().unwrap(), expected());
        }
    });
}

/// The outcomes of the runs that count, the newest first.
fn outcomes(index: &Index, most: usize) -> Vec<String> {
    let past = index.past("nightly", most).unwrap();
    let runs = past.into_values().flatten();
    runs.map(|run| run.outcome).collect()
}

/// Many nights in a row have no time for a cell, or a machine that stops it.
#[test]
fn results_count_however_long_ago_and_what_was_left_out_does_not() {
    let (_dir, store) = store();
    let name = || "arm64/tiny/thin-dist/llvm-22".to_owned();
    let stopped = CellRecord::inconclusive(name(), "no space".to_owned());
    let left_out = CellRecord::skipped(name(), SkipReason::Budget);
    for cell in [&stopped, &left_out, &stopped, &left_out, &stopped] {
        let run = run(vec![cell.clone()]);
        store.add(&run, &|_| None, &Cancel::new()).unwrap();
    }
    let index = Index::open(&store, &Cancel::new()).unwrap();
    assert_eq!(outcomes(&index, 1), ["error", "fail"]);
    assert_eq!(
        outcomes(&index, 9),
        ["error", "error", "error", "fail", "pass"]
    );
}

#[test]
fn a_run_that_was_merged_into_another_counts_there() {
    let (_dir, store) = store();
    let names = store.names().unwrap();
    let parts: Vec<StoredRun> = names.iter().map(|name| store.load(name).unwrap()).collect();
    let last = parts.last().unwrap();
    store
        .add_merged(&last.run, &last.kept, names, &Cancel::new())
        .unwrap();
    let index = Index::open(&store, &Cancel::new()).unwrap();
    assert_eq!(outcomes(&index, 9), ["fail"]);
}
