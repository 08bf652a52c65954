//! What becomes of the jobs of a run, with something simpler in place of what builds them.

use std::collections::BTreeMap;
use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::build::kbuild::Parallelism;
use crate::build::process::Cancel;
use crate::judge::test_records;
use crate::model::cell::LtoMode::{self, Thin, ThinDist};
use crate::run::events::Silent;
use crate::run::job::plan;
use crate::run::job::tests::{ALL, cell};
use crate::run::key::CommonKey;
use crate::run::pair::usual_tolerances;
use crate::run::whole::WholeKernel;
use crate::source::sources::Sources;

/// A work directory, and jobs of a kernel.
struct Stage {
    work: TempDir,
    sources: Sources,
    key: CommonKey,
    jobs: Vec<Job>,
    fresh: bool,
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
        }
    }

    fn layout(&self) -> WholeKernel<'_> {
        WholeKernel {
            work: self.work.path(),
            source: Path::new("sources"),
            revision: "7.2.13",
            cache: None,
            caches: None,
            is_sandboxed: false,
            carried: None,
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
            events: &Silent,
            cancel: &Cancel::new(),
        };
        let of_job = |_: &Context<'_>, job: &Job, _: &Finished| {
            let record = work(job.cell.lto);
            let name = job.cell.name();
            (CellRecord { cell: name, ..record }, None)
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
    assert_eq!(*outcome, Outcome::Skip(SkipReason::Budget));
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
