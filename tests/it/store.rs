//! Runs that are kept: listed, reported, compared, asked for their history and judged again, as a
//! user does it; and a store whose writer is killed, or whose disk is full, at each call in turn.

use std::path::{Path, PathBuf};
use std::process::Command;

use klto::build::process::Cancel;
use klto::model::cell::LtoMode;
use klto::model::record::{CellRecord, RunRecord};
use klto::store::record_dir::RecordDir;
use klto::store::runs::RunStore;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish, klto};
use crate::support::run_record::{finding, inspection, run_record};
use crate::support::schema::faults;
use crate::support::tree::Tree;
use crate::support::tree::layout::X86_64;

const CELL: &str = "x86_64/tiny/thin-dist/llvm-22";
/// The rule that touching an archive breaks.
const STALE: &str = "archive.stale";

/// A store of runs, and the folders of their records.
struct Stand {
    dir: TempDir,
    store: RunStore,
}

impl Stand {
    fn new() -> Stand {
        let dir = TempDir::new().unwrap();
        let store = RunStore::open(&dir.path().join("store")).unwrap();
        Stand { dir, store }
    }

    fn add(&self, run: &RunRecord) -> String {
        let records = |cell: &CellRecord| Some(RecordDir::new(self.records().join(&cell.cell)));
        let added = self.store.add(run, &records, &Cancel::new()).unwrap();
        added.head.run
    }

    fn records(&self) -> PathBuf {
        self.dir.path().join("records")
    }

    /// A night in which a tree was built, with an archive that is stale or not, by a klto that did
    /// not look at that.
    fn add_night(&self, job: &str, is_stale: bool) -> String {
        let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
        if is_stale {
            tree.touch("built-in-fixup.a");
        }
        let inspected = tree.inspect().unwrap();
        let mut inspection = inspected.inspection.clone();
        inspection.findings.retain(|finding| finding.key != STALE);
        inspection.rules.retain(|rule| rule.key != STALE);
        let mut cell = CellRecord {
            job: job.to_owned(),
            inspection: Some(inspection),
            ..CellRecord::new(CELL.to_owned())
        };
        cell.settle();
        let dir = RecordDir::new(self.records().join(CELL));
        dir.save(&cell, Some(&inspected.facts)).unwrap();
        self.add(&RunRecord {
            cells: vec![cell],
            ..run_record()
        })
    }

    fn ask(&self, args: &[&str]) -> Ended {
        ask(self.store.path(), args)
    }
}

fn ask(store: &Path, args: &[&str]) -> Ended {
    finish(klto(args).env("KLTO_STORE", store))
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_kept_run_is_reported_as_it_was() {
    let stand = Stand::new();
    let run = run_record();
    let name = stand.add(&run);
    let listed = stand.ask(&["runs"]);
    assert_eq!(listed.code, Some(0));
    assert!(listed.stdout.contains(&name), "{}", listed.stdout);

    for word in ["latest", &name, &name[..12], &run.matrix] {
        let report = stand.ask(&["report", word, "--format", "json"]);
        assert_eq!(json(&report), serde_json::to_value(&run).unwrap(), "{word}");
        assert_eq!(report.code, Some(1), "the run has failed");
    }
}

#[test]
fn the_texts_of_a_run_are_those_of_the_day_it_was_made() {
    let stand = Stand::new();
    stand.add(&run_record());
    let text = stand.ask(&["report"]).stdout;
    // The sample's own words, which no rule of klto has.
    assert!(
        text.contains("objects have no saved_c_flags line"),
        "{text}"
    );
}

#[test]
fn two_nights_are_compared_in_each_format() {
    let stand = Stand::new();
    let mut before = run_record();
    for cell in &mut before.cells {
        if let Some(inspection) = &mut cell.inspection {
            inspection.findings.clear();
        }
    }
    for cell in &mut before.cells {
        cell.job = "before".to_owned();
    }
    stand.add(&before);
    stand.add(&run_record());
    for format in [
        "text", "html", "json", "ktap", "junit", "github", "markdown", "mail", "perfetto",
    ] {
        let compared = stand.ask(&["compare", "--format", format]);
        assert_eq!(compared.code, Some(1), "{format}");
        assert!(
            compared.stdout.contains("flags.saved-missing"),
            "{}",
            compared.stdout
        );
    }
    let compared = json(&stand.ask(&["compare", "latest~1", "latest", "--format", "json"]));
    assert_eq!(faults("compare", &compared), [""; 0]);
    let new: Vec<&Value> = compared["findings"].as_array().unwrap().iter().collect();
    assert!(
        new.iter().any(|finding| finding["change"] == "new"),
        "{new:?}"
    );
}

#[test]
fn two_equal_nights_have_nothing_new() {
    let stand = Stand::new();
    stand.add_night("1", false);
    stand.add_night("1", false);
    let compared = stand.ask(&["compare"]);
    assert_eq!(compared.code, Some(0));
    assert!(
        compared
            .stdout
            .ends_with("ok: 0 new, 0 flaky, 0 fixed, 0 in both\n")
    );
}

#[test]
fn a_rule_that_came_later_finds_in_old_facts_since_when_it_is_broken() {
    let stand = Stand::new();
    stand.add_night("1", false);
    let broken = stand.add_night("2", true);
    // What klto said at the time.
    let history = stand.ask(&["history"]);
    assert_eq!(history.stdout, "ok: 1 cell, and none of them fails\n");
    // What it says today.
    let again = stand.ask(&["check", "--store", "--only", STALE, "--format", "json"]);
    assert_eq!(again.code, Some(1));
    let again = json(&again);
    assert_eq!(faults("history", &again), [""; 0]);
    let finding = &again["cells"][0]["findings"][0];
    assert_eq!(
        (&finding["key"], &finding["course"]["is"]),
        (&STALE.into(), &"new".into())
    );
    assert_eq!(finding["course"]["by"]["run"], broken.as_str());

    // What every released kernel does wrong is known, as it is in a run.
    let all = stand.ask(&["check", "--store"]);
    assert!(
        !all.stdout.contains("compdb.lost-entries"),
        "{}",
        all.stdout
    );

    let fine = stand.ask(&["check", "--store", "--only", "crc.zero"]);
    assert_eq!(fine.code, Some(0), "another rule finds nothing");
}

#[test]
fn facts_that_are_gone_are_reported_and_nothing_is_called_fine() {
    let stand = Stand::new();
    stand.add_night("1", false);
    std::fs::remove_dir_all(stand.store.path().join("objects")).unwrap();
    let again = stand.ask(&["check", "--store"]);
    assert_eq!(again.code, Some(125));
    assert!(
        again.stdout.contains("it is gone, although a run names it"),
        "{}",
        again.stdout
    );
}

#[test]
fn another_machine_gives_the_same_answers() {
    let (here, there) = (Stand::new(), Stand::new());
    let names = [here.add_night("1", false), here.add_night("2", true)];
    for name in &names {
        let file = here.dir.path().join("exported");
        let file = file.to_str().unwrap();
        assert_eq!(here.ask(&["runs", "export", name, file]).code, Some(0));
        assert_eq!(there.ask(&["runs", "import", file]).code, Some(0));
    }
    for question in [
        &["runs"][..],
        &["history", "--all", "--format", "json"],
        &["compare", "--format", "json"],
        &["report", "--format", "json"],
        &["check", "--store", "--format", "json"],
    ] {
        let [a, b] = [&here, &there].map(|stand| stand.ask(question));
        assert_eq!((a.stdout, a.code), (b.stdout, b.code), "{question:?}");
    }
}

#[test]
fn only_the_latest_runs_of_each_matrix_are_kept() {
    let stand = Stand::new();
    stand.add_night("1", false);
    let kept = [stand.add_night("2", false), stand.add_night("3", true)];
    let collected = stand.ask(&["runs", "gc", "--keep", "2"]);
    assert_eq!(collected.code, Some(0));
    assert_eq!(stand.store.names().unwrap(), kept);
    assert!(
        collected.stdout.starts_with("removed 1 run"),
        "{}",
        collected.stdout
    );
}

#[test]
fn runs_that_are_too_much_for_the_disk_go_but_no_last_result() {
    let stand = Stand::new();
    let gone = stand.add_night("1", false);
    let last = stand.add_night("2", false);
    let listed = stand.ask(&["runs"]).stdout;
    assert!(listed.contains("\nruns, facts and logs take "), "{listed}");
    let collected = stand.ask(&["runs", "gc", "--disk", "1GiB"]);
    assert_eq!(collected.code, Some(0), "{}", collected.stderr);
    assert_eq!(stand.store.names().unwrap(), [gone.clone(), last.clone()]);
    assert!(
        !collected.stdout.contains("more than"),
        "{}",
        collected.stdout
    );

    let before = stand.store.disk_kib();
    let collected = stand.ask(&["runs", "gc", "--disk", "1KiB"]);
    assert_eq!(collected.code, Some(0), "{}", collected.stderr);
    assert_eq!(stand.store.names().unwrap(), [last]);
    let said = "more than was asked for: each run that is left has the last result of a cell\n";
    assert!(collected.stdout.ends_with(said), "{}", collected.stdout);
    let after = stand.store.disk_kib();
    assert!(after > 0 && after < before, "{before} {after}");
}

#[test]
fn a_green_run_goes_before_an_older_one_with_a_finding() {
    let stand = Stand::new();
    let add_night = |job: &str, findings| {
        let mut cell = CellRecord {
            job: job.to_owned(),
            inspection: Some(inspection("x86_64", LtoMode::ThinDist, findings)),
            ..CellRecord::new(CELL.to_owned())
        };
        cell.settle();
        stand.add(&RunRecord {
            cells: vec![cell],
            ..run_record()
        })
    };
    let red = add_night("1", vec![finding("crc.differs", "vmlinux", "x")]);
    let green = add_night("2", Vec::new());
    let last = add_night("3", Vec::new());
    assert_eq!(
        stand.store.names().unwrap(),
        [red.clone(), green, last.clone()]
    );
    let one_less = format!("{}KiB", stand.store.disk_kib() - 1);

    let collected = stand.ask(&["runs", "gc", "--disk", &one_less]);

    assert_eq!(collected.code, Some(0), "{}", collected.stderr);
    assert_eq!(stand.store.names().unwrap(), [red, last]);
}

#[test]
fn what_to_keep_has_to_be_said() {
    let stand = Stand::new();
    let ended = stand.ask(&["runs", "gc"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("--keep <N>|--disk <SIZE>"),
        "{}",
        ended.stderr
    );
}

#[rstest]
#[case::no_such_run(&["report", "ltest"], "'ltest' is not a run: no run has that name; did you mean 'latest'?")]
#[case::too_far_back(&["report", "latest~5"], "there are only 1 before it")]
#[case::no_number(&["report", "latest~x"], "'latest~x' is not a run")]
#[case::several(&["report", "2"], "the names of 2 runs begin so")]
#[case::no_such_cell(&["history", "--cell", "arm65/*"], "no run has a cell that matches 'arm65/*'")]
#[case::no_such_matrix(&["history", "--matrix", "ful"], "no run is of the matrix 'ful'; did you mean 'full'?")]
#[case::no_such_key(&["history", "--key", "archive.stael"], "did you mean 'archive.stale'?")]
#[case::no_time(&["history", "--since", "yesterday-ish"], "'yesterday-ish' is not a time")]
#[case::a_format_of_one_run(&["check", "--store", "--format", "ktap"], "is written as text or json")]
#[case::no_comparison_in_a_format(&["compare", "--format", "kcidb"], "--format kcidb: KCIDB compares runs itself")]
#[case::an_option_of_a_store(&["check", "/nowhere", "--since", "1d"], "--since is about a store")]
fn what_is_not_there_is_refused_with_what_there_is(#[case] args: &[&str], #[case] expected: &str) {
    let stand = Stand::new();
    stand.add_night("1", false);
    stand.add_night("2", false);
    let ended = stand.ask(args);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn each_run_of_a_matrix_is_kept() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin]", "1m");
    let data = kernel.dir().join("data");
    let run = |kernel: &FakeKernel| {
        let mut run = kernel.run(&[]);
        finish(run.env_remove("KLTO_STORE").env("XDG_DATA_HOME", &data))
    };
    let kept = run(&kernel);
    assert!(
        kept.stderr.contains("klto: kept as run 2"),
        "{}",
        kept.stderr
    );
    let store = RunStore::existing(&data.join("klto/runs")).unwrap();
    let names = store.names().unwrap();
    let stored = store.load(&names[0]).unwrap();
    assert_eq!(serde_json::to_value(&stored.run).unwrap(), kernel.report());
    assert!(stored.kept[0].facts.is_some() && stored.kept[0].logs[0].is_some());

    assert_eq!(run(&kernel).code, kept.code);
    assert_eq!(store.names().unwrap().len(), 2);
}

#[test]
fn where_no_run_can_be_kept_a_run_says_so_and_goes_on() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin]", "1m");
    std::fs::write(kernel.dir().join("file"), "").unwrap();
    let data = kernel.dir().join("file/below");
    let mut run = kernel.run(&[]);
    let ended = finish(run.env_remove("KLTO_STORE").env("XDG_DATA_HOME", &data));
    assert!(
        ended.stderr.contains("klto: this run will not be kept: "),
        "{}",
        ended.stderr
    );
    assert!(kernel.work().join("report.json").exists());

    let asked = finish(kernel.run(&[]).arg("--store").arg(&data));
    assert!(
        !asked.stderr.contains("will not be kept"),
        "{}",
        asked.stderr
    );
    assert_eq!(asked.code, Some(125), "it was asked for");
}

#[test]
fn without_a_store_the_error_says_how_to_get_one() {
    let dir = TempDir::new().unwrap();
    let ended = ask(&dir.path().join("none"), &["history"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("there is no store of runs"),
        "{}",
        ended.stderr
    );
    assert!(!dir.path().join("none").exists());
}

#[rstest]
#[case::the_last_day("1d", 1)]
#[case::a_date_to_come("2999-01-01", 0)]
#[case::a_date_gone("2001-01-01", 1)]
fn only_runs_since_then_are_asked(#[case] since: &str, #[case] cells: usize) {
    let stand = Stand::new();
    stand.add_night("1", false);
    let history = stand.ask(&["history", "--since", since, "--format", "json"]);
    assert_eq!(json(&history)["cells"].as_array().unwrap().len(), cells);
}

/// What changes files or is asked about them on the way of a run into the store.
const CALLS: [&str; 9] = [
    "write",
    "pwrite64",
    "openat",
    "linkat",
    "rename",
    "renameat2",
    "fsync",
    "mkdir",
    "ftruncate",
];

/// Runs `program` and has the kernel do something at the Nth `call` of one of its threads.
fn at_call(
    program: &Path,
    args: &[&str],
    store: &Path,
    call: &str,
    inject: &str,
    nth: usize,
) -> Ended {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qqq", "-o", "/dev/null"])
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{inject}:when={nth}")])
        .arg(program)
        .args(args)
        .env("KLTO_STORE", store)
        .env("RAYON_NUM_THREADS", "1");
    finish(&mut command)
}

fn synthetic_store() -> PathBuf {
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    klto.with_file_name("examples").join("synthetic-store")
}

/// The store has these runs and can read them and say so, whatever happened to a writer.
#[track_caller]
fn assert_intact(store: &RunStore, at_least: &[String], what: &str) {
    let names = store.names().unwrap();
    assert!(
        at_least.iter().all(|name| names.contains(name)),
        "{what}: {names:?}"
    );
    for name in &names {
        let run = store
            .load(name)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        for log in run.kept.iter().flat_map(|kept| kept.logs.iter().flatten()) {
            assert!(store.objects().log(log).is_ok(), "{what}");
        }
    }
    let listed = ask(store.path(), &["runs"]);
    assert_eq!(listed.code, Some(0), "{what}");
    // A line each, and the first and the last.
    assert_eq!(listed.stdout.lines().count(), names.len() + 2, "{what}");
}

/// At the Nth call of a kind, for each N that there is.
fn at_each_call(
    inject: &str,
    program: &Path,
    args: &[&str],
    store: &RunStore,
    mut check: impl FnMut(&Ended, &str),
) {
    for call in CALLS {
        for nth in 1.. {
            let ended = at_call(program, args, store.path(), call, inject, nth);
            let what = format!("{inject} at {call} {nth}");
            let is_over = ended.code == Some(0);
            check(&ended, &what);
            if is_over {
                break;
            }
            assert!(nth < 1000, "{what}: it never ends well");
        }
    }
}

#[rstest]
#[case::killed("signal=KILL")]
#[case::the_disk_is_full("error=ENOSPC")]
#[case::the_disk_is_broken("error=EIO")]
fn a_run_is_wholly_there_or_not_whatever_happens_at_a_call(#[case] inject: &str) {
    let dir = TempDir::new().unwrap();
    let store = RunStore::open(&dir.path().join("store")).unwrap();
    let path = store.path().to_str().unwrap().to_owned();
    let args = [path.as_str(), "1", "2", "1000"];
    let first = finish(Command::new(synthetic_store()).args(args));
    assert_eq!(first.code, Some(0));
    let mut known = store.names().unwrap();
    at_each_call(inject, &synthetic_store(), &args, &store, |ended, what| {
        assert_intact(&store, &known, what);
        let now = store.names().unwrap();
        if ended.code == Some(0) {
            assert!(
                now.len() > known.len(),
                "{what}: it says that it kept the run"
            );
        }
        known = now;
    });
    // What killed writers left goes with the next removal, and nothing else does.
    let collected = ask(store.path(), &["runs", "gc", "--keep", "2"]);
    assert_eq!(collected.code, Some(0));
    let names = store.names().unwrap();
    assert_eq!(names, known[known.len() - 2..]);
    assert_intact(&store, &names, "after gc");
    let partial = walkdir::WalkDir::new(store.path())
        .into_iter()
        .filter(|entry| {
            let name = entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .into_owned();
            name.starts_with(".klto-partial")
        });
    assert_eq!(partial.count(), 0);
}

#[rstest]
#[case::killed("signal=KILL")]
#[case::the_disk_is_broken("error=EIO")]
fn a_removal_that_is_interrupted_takes_nothing_that_another_run_needs(#[case] inject: &str) {
    let stand = Stand::new();
    let names = [stand.add_night("1", false), stand.add_night("2", true)];
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    for nth in 1.. {
        let copy = stand.dir.path().join(format!("copy-{nth}"));
        let copied = Command::new("cp")
            .arg("-a")
            .arg(stand.store.path())
            .arg(&copy)
            .status();
        assert!(copied.unwrap().success());
        let store = RunStore::existing(&copy).unwrap();
        let args = ["runs", "remove", names[0].as_str()];
        let ended = at_call(klto, &args, &copy, "unlink", inject, nth);
        assert_intact(&store, &names[1..], &format!("{inject} at unlink {nth}"));
        let again = ask(&copy, &["check", "--store", "--only", STALE]);
        assert_eq!(
            again.code,
            Some(1),
            "{inject} at unlink {nth}: the facts are there"
        );
        if ended.code == Some(0) {
            assert!(nth > 2, "the run, its facts and its log were to be removed");
            break;
        }
    }
}

#[rstest]
#[case::killed("signal=KILL")]
#[case::the_disk_is_full("error=ENOSPC")]
fn an_index_that_was_interrupted_at_a_call_is_right_the_next_time(#[case] inject: &str) {
    let stand = Stand::new();
    let names = [stand.add_night("1", false), stand.add_night("2", true)];
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    let expected = stand.ask(&["history", "--all"]).stdout;
    let index = |suffix: &str| {
        stand
            .store
            .path()
            .join(format!("index/index.sqlite{suffix}"))
    };
    for call in [
        "pwrite64",
        "openat",
        "fsync",
        "fdatasync",
        "ftruncate",
        "unlink",
    ] {
        for nth in 1.. {
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(index(suffix));
            }
            let args = ["history", "--all"];
            let ended = at_call(klto, &args, stand.store.path(), call, inject, nth);
            assert_intact(&stand.store, &names, &format!("{inject} at {call} {nth}"));
            assert_eq!(
                stand.ask(&args).stdout,
                expected,
                "{inject} at {call} {nth}"
            );
            if ended.code == Some(0) {
                assert_eq!(ended.stdout, expected, "{inject} at {call} {nth}");
                // A call that is not needed may fail; but one that never comes is the end.
                if !is_reached(klto, &args, stand.store.path(), call, nth + 1) {
                    break;
                }
            }
        }
    }
}

/// Whether there is an Nth call: a kill there shows.
fn is_reached(program: &Path, args: &[&str], store: &Path, call: &str, nth: usize) -> bool {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(store.join(format!("index/index.sqlite{suffix}")));
    }
    at_call(program, args, store, call, "signal=KILL", nth)
        .code
        .is_none()
}

#[test]
fn a_page_of_a_kept_run_has_its_logs_and_earlier_runs() {
    let stand = Stand::new();
    let mut run = run_record();
    let log = stand.dir.path().join("build.log");
    std::fs::write(
        &log,
        "  CC      init/main.o\ninit/x.c:1:1: error: what it says\n",
    )
    .unwrap();
    for cell in &mut run.cells {
        cell.logs = vec![log.display().to_string()];
    }
    let first = stand.add(&run);
    stand.add(&run);
    let page = stand.ask(&["report", "--html"]);
    assert!(
        page.stdout.starts_with("<!DOCTYPE html>"),
        "{}",
        page.stdout
    );
    assert!(page.stdout.contains("error: what it says"));
    assert!(page.stdout.contains(&first), "the run before");
}

#[test]
fn a_rule_that_passes_after_it_failed_in_the_same_job_is_flaky_in_junit() {
    let stand = Stand::new();
    let mut run = run_record();
    stand.add(&run);
    for inspection in run
        .cells
        .iter_mut()
        .filter_map(|cell| cell.inspection.as_mut())
    {
        inspection
            .findings
            .retain(|finding| finding.key != "flags.saved-missing");
    }
    run.cells.iter_mut().for_each(CellRecord::settle);
    stand.add(&run);
    let flaky = stand.ask(&["report", "--format", "junit"]).stdout;
    assert!(flaky.contains("<flakyFailure"), "{flaky}");
    let first = stand
        .ask(&["report", "latest~1", "--format", "junit"])
        .stdout;
    assert!(!first.contains("<flakyFailure"), "{first}");
}

#[test]
fn the_time_line_of_a_kept_run_is_had_by_one_word() {
    let stand = Stand::new();
    stand.add(&run_record());
    let [word, format] = [
        &["report", "--perfetto"][..],
        &["report", "--format", "perfetto"],
    ];
    assert_eq!(stand.ask(word).stdout, stand.ask(format).stdout);
}
