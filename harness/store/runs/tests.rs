//! Runs are added, found again, removed and carried to another machine.

use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;

use super::file::tests::{record, run};
use super::index::Index;
use super::portable::Imported;
use super::*;
use crate::model::facts::Facts;
use crate::store::facts_file::tests::sample;

/// A store, and folders of records with facts and logs.
struct Stand {
    dir: TempDir,
    store: RunStore,
}

impl Stand {
    fn new() -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::open(&dir.path().join("store")).unwrap();
        Stand { dir, store }
    }

    /// A cell whose record has that log, and facts with that kernel release.
    fn cell(&self, name: &str, log: &str, release: &str) -> CellRecord {
        let mut cell = record(name);
        let path = self.dir.path().join(format!("{name}.log"));
        std::fs::write(&path, log).unwrap();
        cell.logs = vec![path.display().to_string()];
        let facts = facts_of(release);
        self.record_dir(&cell).save(&cell, Some(&facts)).unwrap();
        cell
    }

    fn record_dir(&self, cell: &CellRecord) -> RecordDir {
        RecordDir::new(self.dir.path().join("records").join(&cell.cell))
    }

    fn add(&self, cells: Vec<CellRecord>) -> Added {
        let of = |cell: &CellRecord| Some(self.record_dir(cell));
        self.store.add(&run(cells), &of, &Cancel::new()).unwrap()
    }

    fn objects(&self) -> Vec<String> {
        files(&self.store.path().join(OBJECTS))
    }

    fn remove(&self, name: &str) -> Removed {
        self.store
            .remove(&[name.to_owned()], &Cancel::new())
            .unwrap()
    }

    fn export(&self, name: &str) -> PathBuf {
        let file = self.dir.path().join("exported");
        self.store.export(name, &file, &Cancel::new()).unwrap();
        file
    }

    fn import(&self, file: &Path) -> Result<Imported, Error> {
        self.store.import(file, &Cancel::new())
    }
}

fn facts_of(release: &str) -> Facts {
    let mut facts = sample();
    release.clone_into(&mut facts.kernel);
    facts
}

/// The names of all files below a folder.
fn files(dir: &Path) -> Vec<String> {
    let all = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter();
    all.map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.file_name().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_run_is_kept_with_its_facts_and_logs() {
    let stand = Stand::new();
    let cell = stand.cell("a", "  CC      init/main.o\n", "7.2");
    let added = stand.add(vec![cell.clone()]);
    assert_eq!((added.missing, added.clock_went_back), (vec![], None));

    let kept = stand.store.load(&added.head.run).unwrap();
    assert_eq!(kept.run.cells, [cell]);
    let objects = stand.store.objects();
    let log = objects.log(kept.kept[0].logs[0].as_ref().unwrap()).unwrap();
    assert_eq!(log, "  CC      init/main.o\n");
    let facts = objects.facts(kept.kept[0].facts.as_ref().unwrap()).unwrap();
    assert_eq!(facts.kernel, "7.2");
}

#[test]
fn what_is_equal_is_kept_once() {
    let stand = Stand::new();
    stand.add(vec![
        stand.cell("a", "log", "7.2"),
        stand.cell("b", "log", "7.2"),
    ]);
    let mut tomorrow = stand.cell("a", "log", "7.2");
    // Another job: its commit changed nothing of this cell.
    tomorrow.job = "beef".to_owned();
    stand
        .record_dir(&tomorrow)
        .save(&tomorrow, Some(&facts_of("7.2")))
        .unwrap();
    stand.add(vec![tomorrow]);
    assert_eq!(stand.objects().len(), 2, "one of facts, one log");
    assert_eq!(stand.store.names().unwrap().len(), 2);
}

#[test]
fn facts_of_another_job_and_a_log_that_is_gone_are_reported() {
    let stand = Stand::new();
    let mut cell = stand.cell("a", "log", "7.2");
    cell.job = "beef".to_owned();
    std::fs::remove_file(&cell.logs[0]).unwrap();
    let added = stand.add(vec![cell]);
    let [facts, log] = &added.missing[..] else {
        panic!("{:?}", added.missing);
    };
    assert!(
        facts.ends_with("of another job by now; the facts are not kept"),
        "{facts}"
    );
    assert!(log.ends_with("is gone, and is not kept"), "{log}");
    assert_eq!(
        stand.store.load(&added.head.run).unwrap().kept[0].facts,
        None
    );
}

#[test]
fn a_pipe_in_the_place_of_a_log_is_not_read() {
    let stand = Stand::new();
    let cell = stand.cell("a", "log", "7.2");
    let log = Path::new(&cell.logs[0]);
    std::fs::remove_file(log).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        log,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(stand.add(vec![cell]).missing.len(), 1);
}

#[rstest]
#[case::usual("2026-11-25T02:00:00.500Z", "2026-11-25T02:00:00.500Z", None)]
#[case::the_same_moment("2026-11-25T02:00:00.000Z", "2026-11-25T02:00:00.001Z", None)]
#[case::a_second_behind("2026-11-25T01:59:59.000Z", "2026-11-25T02:00:00.001Z", None)]
#[case::a_day_behind("2026-11-24T02:00:00.000Z", "2026-11-25T02:00:00.001Z", Some(86_400))]
fn a_run_is_recorded_after_every_other_even_if_the_clock_went_back(
    #[case] now: &str,
    #[case] expected: &str,
    #[case] back: Option<u64>,
) {
    let stand = Stand::new();
    let last = stand.store.file("20261125T020000.000Z-00000000");
    std::fs::write(last, "").unwrap();
    let now = humantime::parse_rfc3339(now).unwrap();
    let (recorded, went_back) = stand.store.next_time(now).unwrap();
    assert_eq!(recorded, expected);
    assert_eq!(went_back, back.map(Duration::from_secs));
}

#[test]
fn runs_that_are_added_at_once_have_different_names() {
    let stand = Stand::new();
    let cell = stand.cell("a", "log", "7.2");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| stand.add(vec![cell.clone()]));
        }
    });
    assert_eq!(stand.store.names().unwrap().len(), 8);
}

#[test]
fn removing_a_run_removes_what_no_other_needs() {
    let stand = Stand::new();
    let first = stand.add(vec![
        stand.cell("a", "own", "7.2"),
        stand.cell("b", "shared", "7.2"),
    ]);
    let second = stand.add(vec![stand.cell("b", "shared", "7.2")]);
    // What a killed writer left.
    for folder in [RUNS, "objects/ab"] {
        let folder = stand.store.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{PARTIAL}x")), "half").unwrap();
    }
    let removed = stand.remove(&first.head.run);
    assert_eq!(
        (removed.runs, removed.objects),
        (1, 2),
        "a log, and half a file"
    );
    assert_eq!(stand.objects().len(), 2);
    let kept = stand.store.load(&second.head.run).unwrap();
    for (kind, name) in kept.kept[0].objects() {
        assert!(stand.store.objects().path(kind, name).is_file());
    }
    assert_eq!(
        files(&stand.store.path().join(RUNS)).len(),
        2,
        "a run and a lock"
    );
}

#[test]
fn where_a_run_cannot_be_read_no_facts_and_logs_are_removed() {
    let stand = Stand::new();
    let first = stand.add(vec![stand.cell("a", "own", "7.2")]);
    let second = stand.add(vec![stand.cell("b", "other", "7.3")]);
    let file = stand.store.file(&second.head.run);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    let names = [first.head.run];
    let error = stand.store.remove(&names, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("it is cut off after"), "{error}");
    assert!(error.to_string().contains("klto runs remove 2"), "{error}");
    assert_eq!(stand.objects().len(), 4);
}

#[test]
fn a_run_is_the_same_on_another_machine() {
    let (here, there) = (Stand::new(), Stand::new());
    let name = here.add(vec![here.cell("a", "log", "7.2")]).head.run;
    let file = here.export(&name);
    let imported = there.import(&file).unwrap();
    assert_eq!(
        (imported.head.run.as_str(), imported.was_there),
        (name.as_str(), false)
    );
    assert_eq!(
        there.store.load(&name).unwrap(),
        here.store.load(&name).unwrap()
    );
    assert_eq!(there.objects(), here.objects());
    assert!(there.import(&file).unwrap().was_there);
}

#[test]
fn an_exported_run_that_is_cut_off_changes_nothing() {
    let (here, there) = (Stand::new(), Stand::new());
    let name = here.add(vec![here.cell("a", "log", "7.2")]).head.run;
    let whole = std::fs::read(here.export(&name)).unwrap();
    let run_ends = whole.len() - 2048;
    let cut = there.dir.path().join("cut");
    for length in (0..run_ends).step_by(97) {
        std::fs::write(&cut, &whole[..length]).unwrap();
        assert!(
            there.import(&cut).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
        assert_eq!(there.store.names().unwrap(), [""; 0]);
    }
}

/// An archive with these entries.
fn archive(dir: &Path, entries: &[(&str, &[u8])]) -> PathBuf {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    let path = dir.join("hostile");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[rstest]
#[case::out_of_the_store("../../../x", "it has '../../../x'")]
#[case::absolute("/tmp/x", "it has '/tmp/x'")]
#[case::no_hash("objects/../../x.facts", "it has 'objects/../../x.facts'")]
#[case::no_run("x.jsonl.zst", "it has 'x.jsonl.zst'")]
#[case::other_content(
    "objects/abababababababababababababababababababababababababababababababab.facts",
    "not a facts file of klto"
)]
#[case::a_run_that_is_none(
    "20261125T020000.000Z-00000000.jsonl.zst",
    "20261125T020000.000Z-00000000: it is"
)]
fn an_archive_with_something_else_is_refused(#[case] entry: &str, #[case] expected: &str) {
    let stand = Stand::new();
    let file = archive(stand.dir.path(), &[(entry, b"x")]);
    let error = stand.import(&file).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(stand.objects(), [""; 0]);
    assert_eq!(stand.store.names().unwrap(), [""; 0]);
}

#[test]
fn facts_under_the_name_of_others_are_refused() {
    let (here, there) = (Stand::new(), Stand::new());
    here.add(vec![here.cell("a", "log", "7.2")]);
    let facts = here
        .objects()
        .into_iter()
        .find(|name| name.ends_with(".facts"));
    let path = here
        .store
        .objects()
        .path(Kind::Facts, facts.unwrap().strip_suffix(".facts").unwrap());
    let bytes = std::fs::read(path).unwrap();
    let entry = format!("objects/{}.facts", "ab".repeat(32));
    let error = there.import(&archive(there.dir.path(), &[(&entry, &bytes)]));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("its content is not that of its name"),
        "{error}"
    );
    assert_eq!(there.objects(), [""; 0]);
}

#[test]
fn a_run_whose_objects_are_not_with_it_is_refused() {
    let (here, there) = (Stand::new(), Stand::new());
    let name = here.add(vec![here.cell("a", "log", "7.2")]).head.run;
    let bytes = std::fs::read(here.store.file(&name)).unwrap();
    let file = archive(there.dir.path(), &[(&format!("{name}{SUFFIX}"), &bytes)]);
    let error = there.import(&file).unwrap_err().to_string();
    assert!(error.contains("which is not in it"), "{error}");
}

#[test]
fn another_run_of_the_same_name_is_refused() {
    let (here, there) = (Stand::new(), Stand::new());
    let name = here.add(vec![here.cell("a", "log", "7.2")]).head.run;
    let file = here.export(&name);
    std::fs::write(there.store.file(&name), "another").unwrap();
    let error = there.import(&file).unwrap_err().to_string();
    assert!(
        error.contains("the store has another run of the name"),
        "{error}"
    );
    assert_eq!(std::fs::read(there.store.file(&name)).unwrap(), b"another");
}

#[test]
fn a_run_under_another_name_is_refused() {
    let (here, there) = (Stand::new(), Stand::new());
    let name = here.add(vec![here.cell("a", "log", "7.2")]).head.run;
    let bytes = std::fs::read(here.store.file(&name)).unwrap();
    let other = "20261125T020000.000Z-00000000";
    let file = archive(there.dir.path(), &[(&format!("{other}{SUFFIX}"), &bytes)]);
    let error = there.import(&file).unwrap_err().to_string();
    assert!(error.contains("its content is not that of run"), "{error}");
    std::fs::write(there.store.file(other), &bytes).unwrap();
    let error = there.store.load(other).unwrap_err().to_string();
    assert!(error.contains("it says that it is run"), "{error}");
}

#[rstest]
#[case("20261127T091312.123Z-5d41402a", true)]
#[case("20261127T091312.123Z-5d41402A", false)]
#[case("20261127T091312.123Z-5d41402", false)]
#[case("20261127T091312x123Z-5d41402a", false)]
#[case("../61127T091312.123Z-5d41402a", false)]
fn a_name_of_a_run_has_one_form(#[case] name: &str, #[case] expected: bool) {
    assert_eq!(is_name(name), expected);
}

#[test]
fn a_folder_with_other_files_is_no_store_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
    let error = RunStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
    assert!(RunStore::existing(dir.path()).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The names of the runs that the index has.
fn indexed(store: &RunStore) -> Vec<String> {
    let index = Index::open(store, &Cancel::new()).unwrap();
    let runs = index.runs().unwrap().into_iter();
    runs.map(|run| run.head.run).collect()
}

#[test]
fn the_index_follows_the_runs() {
    let stand = Stand::new();
    let first = stand.add(vec![stand.cell("a", "log", "7.2")]).head.run;
    assert_eq!(indexed(&stand.store), std::slice::from_ref(&first));
    let second = stand.add(vec![stand.cell("b", "log", "7.2")]).head.run;
    assert_eq!(indexed(&stand.store), [first.clone(), second.clone()]);
    stand.remove(&first);
    assert_eq!(indexed(&stand.store), [second]);
    let cells = Index::open(&stand.store, &Cancel::new())
        .unwrap()
        .cells()
        .unwrap();
    assert_eq!(cells, [("nightly".to_owned(), "b".to_owned())]);
}
