//! What becomes of the jobs of a run, with something simpler in place of what builds them.

use std::collections::BTreeMap;
use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;

use super::queue::Room;
use super::*;
use crate::build::kbuild::Parallelism;
use crate::build::process::Cancel;
use crate::judge::test_records;
use crate::model::cell::LtoMode::{self, Thin, ThinDist};
use crate::run::events::Events;
use crate::run::job::plan;
use crate::run::job::tests::{ALL, cell};
use crate::run::key::CommonKey;
use crate::run::layout::Layout as _;
use crate::run::pair::usual_tolerances;
use crate::run::whole::WholeKernel;
use crate::source::sources::Sources;

const NO_PROGRAM: blake3::Hash = blake3::Hash::from_bytes([0; 32]);

/// A work directory, and jobs of a kernel.
struct Stage {
    work: TempDir,
    sources: Sources,
    key: CommonKey,
    jobs: Vec<Job>,
    fresh: bool,
    said: Said,
}

/// What was said of cells.
#[derive(Debug, Default)]
struct Said {
    waiting: Mutex<Vec<String>>,
    done: Mutex<Vec<String>>,
}

impl Events for Said {
    fn on(&self, event: &Event<'_>) {
        if let Event::Waiting { cell, .. } = event {
            self.waiting.lock().unwrap().push((*cell).to_owned());
        }
        if let Event::Done { record } = event {
            self.done.lock().unwrap().push(record.cell.clone());
        }
    }
}

impl Stage {
    fn new(modes: &[LtoMode]) -> Stage {
        let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/fake_kernel");
        let cells: Vec<_> = modes
            .iter()
            .map(|mode| cell("x86_64", *mode, &["build"]))
            .collect();
        Stage {
            work: tempfile::tempdir().unwrap(),
            sources: Sources::directory(&kernel, &[]).unwrap(),
            key: CommonKey::new(&blake3::hash(b"klto"), "sources", &[]),
            jobs: plan(&cells, ALL),
            fresh: false,
            said: Said::default(),
        }
    }

    fn layout(&self) -> WholeKernel<'_> {
        WholeKernel {
            work: self.work.path(),
            source: Path::new("sources"),
            revision: "7.2.13",
            program: &NO_PROGRAM,
            cache: None,
            source_names: None,
            caches: None,
            is_sandboxed: false,
            carried: None,
            of_the_user: None,
            shared: Default::default(),
        }
    }

    /// Runs the jobs; `work` is given the mode of each.
    fn run(
        &self,
        policy: &Policy<'_>,
        work: &(dyn Fn(LtoMode) -> CellRecord + Sync),
    ) -> BTreeMap<LtoMode, CellRecord> {
        let layout = self.layout();
        let context = Context {
            layout: &layout,
            key: &self.key,
            revision: "7.2.13",
            sources: &self.sources,
            snapshots: None,
            allows: &[],
            tolerances: &usual_tolerances().unwrap(),
            parallelism: Parallelism::Jobs(1),
            sandbox: None,
            has_shuffle: false,
            fresh: self.fresh,
            until: None,
            events: &self.said,
            cancel: &Cancel::new(),
        };
        let of_job = |_: &Context<'_>, job: &Job, _: &Finished| {
            let record = work(job.cell.lto);
            let name = job.cell.name();
            (
                CellRecord {
                    cell: name,
                    ..record
                },
                None,
            )
        };
        let records = run_with(&of_job, &context, &self.jobs, policy);
        let modes = self.jobs.iter().map(|job| (job.cell.name(), job.cell.lto));
        let modes: BTreeMap<String, LtoMode> = modes.collect();
        let named = records
            .into_iter()
            .map(|record| (modes[&record.cell], record));
        named.collect()
    }
}

/// A machine with so many KiB of disk.
#[derive(Debug)]
struct Disk(u64);

impl Machine for Disk {
    fn room(&self) -> Room {
        Room {
            memory_kib: Some(1024),
            disk_kib: Some(self.0),
        }
    }
}

impl Stage {
    /// What every job took in earlier runs.
    fn expected(&self, seconds: f64, disk_kib: u64) -> BTreeMap<String, Expected> {
        let takes = Expected {
            seconds: Some(seconds),
            memory_kib: Some(1),
            disk_kib: Some(disk_kib),
        };
        let names = self.jobs.iter().map(|job| job.cell.name());
        names.map(|name| (name, takes)).collect()
    }

    /// Leaves the records of an earlier run for jobs in these modes.
    fn leave_records(&self, modes: &[LtoMode]) {
        let mut keys: BTreeMap<JobId, String> = BTreeMap::new();
        for job in self.jobs.iter().filter(|job| modes.contains(&job.cell.lto)) {
            let needs = job.needs().filter_map(|id| keys.get(&id));
            let needs: Vec<&str> = needs.map(String::as_str).collect();
            let key = self.key.of(&job.cell, &needs);
            let record = CellRecord {
                job: key.clone(),
                ..test_records::record(&job.cell.name(), Vec::new())
            };
            let place = self.layout().place(&job.cell);
            place.record.save(&record, None).unwrap();
            keys.insert(job.id, key);
        }
    }
}

fn passed() -> CellRecord {
    test_records::record("", Vec::new())
}

#[rstest]
#[case(1, 1)]
#[case(2, 2)]
#[case(4, 3)]
#[case(64, 33)]
fn more_jobs_mean_more_cells_at_once(#[case] jobs: usize, #[case] cells: usize) {
    assert_eq!(usual_at_once(jobs), cells);
}

#[rstest]
#[case::one_worker(1)]
#[case::two_workers(2)]
fn a_panic_makes_its_cell_inconclusive_and_all_others_run(#[case] at_once: usize) {
    let stage = Stage::new(&[ThinDist, Thin, LtoMode::None]);
    let times = Mutex::new(0);
    let records = stage.run(
        &Policy {
            retries: 2,
            ..Policy::plain(at_once, false)
        },
        &|mode| {
            if mode == ThinDist {
                *times.lock().unwrap() += 1;
                let of = "nothing";
                panic!("an index of {of}");
            }
            passed()
        },
    );
    let why = "klto panicked: an index of nothing".to_owned();
    let first = &records[&ThinDist];
    assert_eq!(first.outcome, Outcome::Error(why.clone()));
    assert_eq!(first.error, Some(why));
    assert_eq!(*times.lock().unwrap(), 1, "it would panic again");
    for mode in [Thin, LtoMode::None] {
        assert_eq!(records[&mode].outcome, Outcome::Pass);
    }
}

/// The record of an attempt that the machine stopped.
fn stopped(why: &str) -> CellRecord {
    CellRecord {
        logs: vec!["build.log".to_owned()],
        ..CellRecord::inconclusive(String::new(), why.to_owned())
    }
}

fn is_inconclusive(record: &CellRecord, why: &str, earlier: &[&str]) {
    assert_eq!(record.outcome, Outcome::Error(why.to_owned()));
    assert_eq!(record.error.as_deref(), Some(why));
    assert_eq!(record.earlier_errors, earlier);
    assert_eq!(record.logs, ["build.log"], "of the attempt that was made");
}

/// What an attempt comes to; some last until the time is over.
#[derive(Clone, Copy)]
enum Attempt {
    Stopped(&'static str),
    StoppedLate(&'static str),
    PassedLate,
    Passed,
}

use Attempt::{Passed, PassedLate, Stopped as StoppedBy, StoppedLate};

#[rstest]
#[case::left_out_after_the_first(&[StoppedBy("no space")], &[PassedLate], "no space", &[])]
#[case::ended_in_the_second(
    &[StoppedBy("no space"), StoppedLate("timed out")],
    &[Passed],
    "no space",
    &["no space"]
)]
fn a_cell_that_the_machine_stopped_is_inconclusive_if_no_time_is_left_for_it(
    #[case] attempts: &[Attempt],
    #[case] of_the_other: &[Attempt],
    #[case] why: &str,
    #[case] earlier: &[&str],
) {
    let stage = Stage::new(&[ThinDist, LtoMode::None]);
    let until = Instant::now() + Duration::from_secs(2);
    let left = Mutex::new([attempts.iter(), of_the_other.iter()]);
    let records = stage.run(
        &Policy {
            retries: 3,
            until: Some(until),
            ..Policy::plain(1, false)
        },
        &|mode| {
            let of = usize::from(mode != ThinDist);
            let attempt = *left.lock().unwrap()[of].next().unwrap();
            if matches!(attempt, StoppedLate(_) | PassedLate) {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            match attempt {
                StoppedBy(why) | StoppedLate(why) => stopped(why),
                Passed | PassedLate => passed(),
            }
        },
    );
    is_inconclusive(&records[&ThinDist], why, earlier);
    assert_eq!(records[&LtoMode::None].outcome, Outcome::Pass);
}

#[test]
fn what_stopped_the_last_attempt_of_a_cell_is_no_earlier_error() {
    let last = Stopped {
        record: stopped("no memory"),
        reasons: ["no space", "no memory"].map(str::to_owned).to_vec(),
    };
    is_inconclusive(&last.without_more_time(), "no memory", &["no space"]);
}

#[test]
fn a_cell_that_never_began_is_left_out() {
    let stage = Stage::new(&[ThinDist]);
    let policy = Policy {
        until: Some(Instant::now()),
        ..Policy::plain(1, false)
    };
    let records = stage.run(&policy, &|_| unreachable!("the time is over"));
    let outcome = &records[&ThinDist].outcome;
    assert_eq!(*outcome, LEFT_OUT);
}

#[test]
fn a_build_that_may_fail_does_not_run_again() {
    let stage = Stage::new(&[ThinDist]);
    let times = Mutex::new(0);
    let policy = Policy {
        retries: 2,
        ..Policy::plain(1, false)
    };
    let records = stage.run(&policy, &|_| {
        *times.lock().unwrap() += 1;
        test_records::state('b')
    });
    let record = &records[&ThinDist];
    assert!(record.fails_as_allowed(), "{:?}", record.outcome);
    assert_eq!(*times.lock().unwrap(), 1);
    assert_eq!(record.earlier_errors, [""; 0]);
}

const LEFT_OUT: Outcome = Outcome::Skip(SkipReason::Budget);

#[rstest]
#[case::all(&[ThinDist, Thin, LtoMode::None], [true, true, true])]
#[case::one_that_needs_nothing(&[LtoMode::None], [false, false, true])]
#[case::what_others_begin_with(&[ThinDist], [true, false, false])]
// Nobody knows how its base ends, and its key depends on that.
#[case::one_whose_base_is_to_be_built(&[Thin], [false, false, false])]
fn a_cell_whose_record_is_there_needs_neither_time_nor_disk(
    #[case] there: &[LtoMode],
    #[case] runs: [bool; 3],
) {
    let stage = Stage::new(&[ThinDist, Thin, LtoMode::None]);
    stage.leave_records(there);
    let expected = stage.expected(3600.0, 2048);
    let in_time = Policy {
        expected: &expected,
        until: Some(Instant::now() + Duration::from_mins(1)),
        ..Policy::plain(1, false)
    };
    let on_disk = Policy {
        expected: &expected,
        machine: Some(&Disk(1024)),
        ..Policy::plain(1, false)
    };
    for policy in [in_time, on_disk] {
        let records = stage.run(&policy, &|_| passed());
        let outcome = |mode| records[&mode].outcome == Outcome::Pass;
        assert_eq!([ThinDist, Thin, LtoMode::None].map(outcome), runs);
    }
}

#[test]
fn records_are_read_first_and_also_if_the_time_is_over() {
    let stage = Stage::new(&[ThinDist, LtoMode::None, LtoMode::Full]);
    stage.leave_records(&[LtoMode::None]);
    let order = Mutex::new(Vec::new());
    let run = |until| {
        let policy = Policy {
            until: Some(until),
            ..Policy::plain(1, false)
        };
        stage.run(&policy, &|mode| {
            order.lock().unwrap().push(mode);
            passed()
        })
    };
    run(Instant::now() + Duration::from_mins(1));
    assert_eq!(order.lock().unwrap()[0], LtoMode::None);
    order.lock().unwrap().clear();
    let records = run(Instant::now());
    assert_eq!(*order.lock().unwrap(), [LtoMode::None]);
    assert_eq!(records[&ThinDist].outcome, LEFT_OUT);
}

#[test]
fn a_record_that_is_not_to_be_used_saves_nothing() {
    let mut stage = Stage::new(&[ThinDist]);
    stage.leave_records(&[ThinDist]);
    stage.fresh = true;
    let policy = Policy {
        until: Some(Instant::now()),
        ..Policy::plain(1, false)
    };
    let records = stage.run(&policy, &|_| passed());
    assert_eq!(records[&ThinDist].outcome, LEFT_OUT);
}

#[test]
fn a_tree_that_is_there_makes_room_for_the_one_that_replaces_it() {
    let stage = Stage::new(&[ThinDist]);
    let expected = stage.expected(1.0, 2048);
    let run = || {
        let policy = Policy {
            expected: &expected,
            machine: Some(&Disk(1024)),
            ..Policy::plain(1, false)
        };
        let mut records = stage.run(&policy, &|_| passed());
        records.remove(&ThinDist).unwrap()
    };
    assert!(run().stopped_by().unwrap().contains("MiB of disk"));
    let build = stage.layout().place(&stage.jobs[0].cell).build();
    std::fs::create_dir_all(&build).unwrap();
    std::fs::write(build.join("vmlinux"), vec![1; 1024 * 1024]).unwrap();
    assert_eq!(run().outcome, Outcome::Pass);
}

#[rstest]
#[case::passed(passed(), false)]
#[case::may_fail(test_records::state('b'), false)]
#[case::left_out(CellRecord::skipped(String::new(), SkipReason::Budget), false)]
#[case::no_such_mode(test_records::state('s'), false)]
#[case::stopped(stopped("no space"), true)]
fn the_tree_of_a_cell_that_passed_stays_only_for_one_that_the_machine_stopped(
    #[case] derived: CellRecord,
    #[case] stays: bool,
) {
    let stage = Stage::new(&[ThinDist, Thin]);
    let build = stage.layout().place(&stage.jobs[0].cell).build();
    std::fs::create_dir_all(&build).unwrap();
    let policy = Policy {
        keep: Keep::Failed,
        ..Policy::plain(1, false)
    };
    stage.run(&policy, &|mode| match mode {
        Thin => derived.clone(),
        ThinDist | LtoMode::None | LtoMode::Full => passed(),
    });
    assert_eq!(build.exists(), stays);
}

/// A machine with 8 MiB of memory.
#[derive(Debug)]
struct Memory;

impl Machine for Memory {
    fn room(&self) -> Room {
        Room {
            memory_kib: Some(8 * 1024),
            disk_kib: None,
        }
    }
}

#[test]
fn a_cell_that_is_passed_over_waits_from_then_on() {
    let stage = Stage::new(&[ThinDist, LtoMode::None, LtoMode::Full]);
    let [first, passed_over, last] = [0, 1, 2].map(|at| stage.jobs[at].cell.name());
    let takes = |seconds, mib: u64| Expected {
        seconds: Some(seconds),
        memory_kib: Some(mib * 1024),
        disk_kib: None,
    };
    let of = [(&first, 9.0, 5), (&passed_over, 8.0, 6), (&last, 1.0, 1)];
    let expected = of.map(|(name, seconds, mib)| (name.clone(), takes(seconds, mib)));
    let policy = Policy {
        expected: &expected.into(),
        machine: Some(&Memory),
        ..Policy::plain(2, false)
    };
    let both_run = std::sync::Barrier::new(2);
    stage.run(&policy, &|mode| {
        if mode != LtoMode::None {
            both_run.wait();
        }
        // All workers are busy until there is memory.
        while mode == LtoMode::Full && !stage.said.done.lock().unwrap().contains(&first) {
            std::thread::sleep(Duration::from_millis(1));
        }
        passed()
    });
    assert_eq!(*stage.said.waiting.lock().unwrap(), [passed_over]);
}
