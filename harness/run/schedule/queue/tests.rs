//! Which job starts next: by hand, and over random plans that run to their end.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::cell::{Cell, LtoMode};
use crate::run::job::plan;
use crate::run::job::tests::{ALL, cell};

use LtoMode::{Full, None as No, Thin, ThinDist};

/// The jobs of a matrix of these kernels in these modes; in-process ones begin with distributed
/// trees.
fn jobs(kernels: usize, modes: &[LtoMode]) -> Vec<Job> {
    let kernels = (0..kernels).flat_map(|kernel| {
        modes.iter().map(move |mode| Cell {
            config_name: format!("k{kernel}"),
            ..cell("x86_64", *mode, &["build"])
        })
    });
    plan(&kernels.collect::<Vec<_>>(), ALL)
}

fn takes(seconds: f64, memory_mib: u64, disk_mib: u64) -> Expected {
    Expected {
        seconds: Some(seconds),
        memory_kib: Some(memory_mib * 1024),
        disk_kib: Some(disk_mib * 1024),
    }
}

const ROOM: Room = Room {
    memory_kib: Some(8 * 1024),
    disk_kib: Some(100 * 1024),
};

/// Says what is next, where these have started and those of them have ended.
fn next(queue: &Queue<'_>, started: &[usize], ended: &[usize], left: Option<f64>) -> Next {
    let taken: BTreeSet<JobId> = started.iter().map(|id| JobId(*id)).collect();
    let ended: BTreeSet<JobId> = ended.iter().map(|id| JobId(*id)).collect();
    queue.next(&Now {
        taken: &taken,
        running: &taken.difference(&ended).copied().collect(),
        again: &BTreeSet::new(),
        waits: &BTreeMap::new(),
        room: ROOM,
        seconds_left: left,
    })
}

fn expected(jobs: &[Job], of: impl Fn(usize) -> Expected) -> BTreeMap<String, Expected> {
    let named = jobs.iter().map(|job| (job.cell.name(), of(job.id.0)));
    named.collect()
}

fn queue<'a>(jobs: &'a [Job], expected: &BTreeMap<String, Expected>, at_once: usize) -> Queue<'a> {
    Queue::new(jobs, expected, &BTreeMap::new(), at_once, ROOM)
}

#[test]
fn the_longest_chain_starts_first() {
    let jobs = jobs(3, &[ThinDist, Thin]);
    // 0 and its derived 1 take 10 seconds, 2 and 3 take 12, 4 and 5 take 11.
    let seconds = [9.0, 1.0, 4.0, 8.0, 10.0, 1.0];
    let expected = expected(&jobs, |id| takes(seconds[id], 1, 1));
    let queue = queue(&jobs, &expected, 2);
    assert_eq!(next(&queue, &[], &[], None), Next::Start(JobId(2)));
    assert_eq!(next(&queue, &[2], &[], None), Next::Start(JobId(4)));
    assert_eq!(next(&queue, &[2, 4], &[], None), Next::Wait(vec![]));
    assert_eq!(next(&queue, &[2, 4], &[4], None), Next::Start(JobId(0)));
    assert_eq!(next(&queue, &[2, 4], &[2], None), Next::Start(JobId(0)));
    assert_eq!(
        next(&queue, &[2, 4, 0], &[2, 0], None),
        Next::Start(JobId(3))
    );
    assert_eq!(
        next(&queue, &[2, 4, 0, 3, 1, 5], &[2, 4, 0, 3, 1], None),
        Next::Wait(vec![])
    );
    assert_eq!(
        next(&queue, &[2, 4, 0, 3, 1, 5], &[2, 4, 0, 3, 1, 5], None),
        Next::Done
    );
}

#[test]
fn a_lower_rank_comes_before_a_longer_job_and_brings_its_source_along() {
    let jobs = jobs(2, &[ThinDist, Thin]);
    let expected = expected(&jobs, |id| takes(if id < 2 { 9.0 } else { 1.0 }, 1, 1));
    let rank = |job: &Job| if job.id.0 == 3 { 1 } else { 2 };
    let ranks = jobs
        .iter()
        .map(|job| (job.cell.name(), rank(job)))
        .collect();
    let queue = Queue::new(&jobs, &expected, &ranks, 1, ROOM);
    assert_eq!(next(&queue, &[], &[], None), Next::Start(JobId(2)));
    assert_eq!(next(&queue, &[2], &[2], None), Next::Start(JobId(3)));
    assert_eq!(next(&queue, &[2, 3], &[2, 3], None), Next::Start(JobId(0)));
}

#[test]
fn a_job_waits_for_memory_and_a_smaller_one_passes_it() {
    let jobs = jobs(3, &[ThinDist]);
    let memory = [5, 4, 3];
    let expected = expected(&jobs, |id| takes(9.0, memory[id], 1));
    let queue = queue(&jobs, &expected, 3);
    assert_eq!(next(&queue, &[0], &[], None), Next::Start(JobId(2)));
    let held = Held::Memory {
        needs_kib: 4 * 1024,
        free_kib: 0,
    };
    assert_eq!(
        next(&queue, &[0, 2], &[], None),
        Next::Wait(vec![(JobId(1), held)])
    );
    assert_eq!(
        held.to_string(),
        "it is expected to need 4 MiB of memory, and 0 MiB can be had"
    );
    assert_eq!(next(&queue, &[0, 2], &[0], None), Next::Start(JobId(1)));
}

#[rstest]
#[case::not_for_long(&[(1, PATIENCE_SECONDS - 1.0)], Next::Start(JobId(3)))]
#[case::for_too_long(&[(1, PATIENCE_SECONDS)], Next::Wait(vec![(JobId(1), held(6, 4))]))]
// It waits for the first of them, whatever that waits for.
#[case::another_for_too_long(&[(1, 1.0), (2, PATIENCE_SECONDS)], Next::Start(JobId(3)))]
fn nothing_passes_a_job_that_has_waited_for_memory_for_too_long(
    #[case] waits: &[(usize, f64)],
    #[case] then: Next,
) {
    let jobs = jobs(4, &[ThinDist]);
    let seconds = [9.0, 8.0, 7.0, 1.0];
    let expected = expected(&jobs, |id| takes(seconds[id], [4, 6, 5, 1][id], 1));
    let queue = queue(&jobs, &expected, 4);
    let next = |ended: bool| {
        let first = BTreeSet::from([JobId(0)]);
        let none = BTreeSet::new();
        queue.next(&Now {
            taken: &first,
            running: if ended { &none } else { &first },
            again: &none,
            waits: &waits.iter().map(|(id, secs)| (JobId(*id), *secs)).collect(),
            room: ROOM,
            seconds_left: None,
        })
    };
    assert_eq!(next(false), then);
    assert_eq!(next(true), Next::Start(JobId(1)));
}

fn held(needs_mib: u64, free_mib: u64) -> Held {
    Held::Memory {
        needs_kib: needs_mib * 1024,
        free_kib: free_mib * 1024,
    }
}

#[test]
fn a_job_that_waits_for_disk_lets_all_others_pass() {
    let jobs = jobs(3, &[ThinDist]);
    let expected = expected(&jobs, |id| takes([9.0, 8.0, 1.0][id], 1, [50, 60, 1][id]));
    let queue = queue(&jobs, &expected, 3);
    let first = BTreeSet::from([JobId(0)]);
    let next = queue.next(&Now {
        taken: &first,
        running: &first,
        again: &BTreeSet::new(),
        waits: &BTreeMap::from([(JobId(1), 10.0 * PATIENCE_SECONDS)]),
        room: ROOM,
        seconds_left: None,
    });
    assert_eq!(next, Next::Start(JobId(2)));
}

#[test]
fn a_job_that_never_fitted_starts_once_nothing_runs() {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |_| takes(9.0, 99, 1));
    let queue = queue(&jobs, &expected, 2);
    assert_eq!(next(&queue, &[], &[], None), Next::Start(JobId(0)));
    assert!(matches!(next(&queue, &[0], &[], None), Next::Wait(held) if held.len() == 1));
    assert_eq!(next(&queue, &[0], &[0], None), Next::Start(JobId(1)));
}

#[test]
fn others_on_the_machine_leave_less_memory() {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |_| takes(9.0, 3, 1));
    let queue = queue(&jobs, &expected, 2);
    let one = BTreeSet::from([JobId(0)]);
    let with_free = |mib: u64| {
        queue.next(&Now {
            taken: &one,
            running: &one,
            again: &BTreeSet::new(),
            waits: &BTreeMap::new(),
            room: Room {
                memory_kib: Some(mib * 1024),
                ..ROOM
            },
            seconds_left: None,
        })
    };
    assert_eq!(with_free(3), Next::Start(JobId(1)));
    assert!(matches!(with_free(2), Next::Wait(held) if held.len() == 1));
}

#[test]
fn jobs_of_which_nothing_is_known_share_the_memory_evenly() {
    let jobs = jobs(3, &[ThinDist]);
    let queue = queue(&jobs, &BTreeMap::new(), 2);
    assert_eq!(next(&queue, &[0], &[], None), Next::Start(JobId(1)));
    assert_eq!(next(&queue, &[0, 1], &[], None), Next::Wait(vec![]));
}

#[test]
fn a_job_waits_for_disk_as_long_as_others_may_free_it_and_no_longer() {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |id| takes(9.0, 1, [60, 50][id]));
    let queue = queue(&jobs, &expected, 2);
    let held = |free_mib: u64| Held::Disk {
        needs_kib: 50 * 1024,
        free_kib: free_mib * 1024,
    };
    assert_eq!(
        next(&queue, &[0], &[], None),
        Next::Wait(vec![(JobId(1), held(40))])
    );
    let ended = BTreeSet::from([JobId(0)]);
    let with_free = |mib: u64| {
        queue.next(&Now {
            taken: &ended,
            running: &BTreeSet::new(),
            again: &BTreeSet::new(),
            waits: &BTreeMap::new(),
            room: Room {
                disk_kib: Some(mib * 1024),
                ..ROOM
            },
            seconds_left: None,
        })
    };
    assert_eq!(with_free(49), Next::NoRoom(JobId(1), held(49)));
    assert_eq!(with_free(50), Next::Start(JobId(1)));
}

#[test]
fn a_tree_that_is_replaced_makes_room_for_the_new_one_and_for_no_other() {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |id| takes(9.0, 1, [120, 30][id]));
    let has = BTreeMap::from([(JobId(0), 40 * 1024)]);
    let queue = queue(&jobs, &expected, 2).replacing(&has);
    assert_eq!(next(&queue, &[], &[], None), Next::Start(JobId(0)));
    // The old tree may be gone by now, and the new one not yet there.
    let held = Held::Disk {
        needs_kib: 30 * 1024,
        free_kib: 0,
    };
    assert_eq!(
        next(&queue, &[0], &[], None),
        Next::Wait(vec![(JobId(1), held)])
    );
}

#[test]
fn a_job_that_does_not_fit_on_the_disk_comes_after_all_that_do() {
    let jobs = jobs(3, &[ThinDist]);
    let expected = expected(&jobs, |id| takes([9.0, 8.0, 1.0][id], 1, [101, 102, 1][id]));
    let queue = queue(&jobs, &expected, 1);
    let held = Held::Disk {
        needs_kib: 101 * 1024,
        free_kib: 100 * 1024,
    };
    assert_eq!(next(&queue, &[], &[], None), Next::Start(JobId(2)));
    assert_eq!(next(&queue, &[2], &[], None), Next::Wait(vec![]));
    assert_eq!(next(&queue, &[2], &[2], None), Next::NoRoom(JobId(0), held));
}

#[rstest]
#[case::time_enough(Some(9.0), Next::Start(JobId(0)))]
#[case::too_short_for_the_first(Some(8.9), Next::LeaveOut(JobId(0)))]
#[case::over(Some(0.0), Next::LeaveOut(JobId(0)))]
#[case::long_over(Some(-1.0), Next::LeaveOut(JobId(0)))]
#[case::no_limit(None, Next::Start(JobId(0)))]
fn a_job_that_cannot_end_in_time_is_left_out(#[case] left: Option<f64>, #[case] then: Next) {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |id| takes([9.0, 1.0][id], 1, 1));
    assert_eq!(next(&queue(&jobs, &expected, 1), &[], &[], left), then);
}

#[rstest]
#[case(Some(0.0))]
#[case(Some(-1.0))]
fn a_job_that_takes_no_time_starts_when_the_time_is_over(#[case] left: Option<f64>) {
    let jobs = jobs(1, &[ThinDist]);
    let expected = expected(&jobs, |_| takes(0.0, 0, 0));
    let queue = queue(&jobs, &expected, 1);
    assert_eq!(next(&queue, &[], &[], left), Next::Start(JobId(0)));
}

#[test]
fn a_job_that_runs_again_comes_last() {
    let jobs = jobs(2, &[ThinDist]);
    let expected = expected(&jobs, |id| takes([9.0, 1.0][id], 1, 1));
    let queue = queue(&jobs, &expected, 2);
    let next = |taken: &[usize], again: &[usize]| {
        let ids = |ids: &[usize]| ids.iter().map(|id| JobId(*id)).collect::<BTreeSet<_>>();
        queue.next(&Now {
            taken: &ids(taken),
            running: &BTreeSet::new(),
            again: &ids(again),
            waits: &BTreeMap::new(),
            room: ROOM,
            seconds_left: None,
        })
    };
    assert_eq!(next(&[], &[]), Next::Start(JobId(0)));
    assert_eq!(next(&[], &[0]), Next::Start(JobId(1)));
    assert_eq!(next(&[1], &[0]), Next::Start(JobId(0)));
}

#[test]
fn a_job_of_unknown_length_starts_in_the_last_second() {
    let jobs = jobs(1, &[ThinDist]);
    let queue = queue(&jobs, &BTreeMap::new(), 1);
    assert_eq!(next(&queue, &[], &[], Some(0.1)), Next::Start(JobId(0)));
}

/// Runs a plan to its end: what started first ends first. Returns the jobs in the order in
/// which they started, and those that did not.
fn run_all(
    queue: &Queue<'_>,
    count: usize,
    seconds: Option<f64>,
    waits: &BTreeMap<JobId, f64>,
) -> (Vec<JobId>, Vec<JobId>) {
    let (mut taken, mut running) = (BTreeSet::new(), Vec::new());
    let (mut started, mut left_out) = (Vec::new(), Vec::new());
    let mut left = seconds;
    for _ in 0..=4 * count {
        let now: BTreeSet<JobId> = running.iter().copied().collect();
        assert!(now.len() <= queue.at_once);
        match queue.next(&Now {
            taken: &taken,
            running: &now,
            again: &BTreeSet::new(),
            waits,
            room: queue.room,
            seconds_left: left,
        }) {
            Next::Start(id) => {
                assert!(taken.insert(id), "started twice");
                running.push(id);
                started.push(id);
            }
            Next::LeaveOut(id) | Next::NoRoom(id, _) => {
                assert!(taken.insert(id), "left out twice");
                left_out.push(id);
            }
            Next::Wait(_) => {
                assert!(!running.is_empty(), "waits for nothing");
                running.remove(0);
                left = left.map(|left| left - 1.0);
            }
            Next::Done => {
                assert_eq!((taken.len(), running.len()), (count, 0));
                return (started, left_out);
            }
        }
    }
    panic!("never done");
}

proptest! {
    #[test]
    fn every_job_starts_once_after_what_it_needs_and_within_the_memory(
        kernels in 1_usize..6,
        at_once in 1_usize..5,
        seconds in proptest::collection::vec(proptest::option::of(0.1_f64..9.0), 24),
        memory in proptest::collection::vec(proptest::option::of(1_u64..12), 24),
        waits in proptest::collection::vec(0.0..2.0 * PATIENCE_SECONDS, 24),
        disk in proptest::collection::vec(proptest::option::of(1_u64..120), 24),
        rank in proptest::collection::vec(0_usize..3, 24),
        limit in proptest::option::of(0.0_f64..9.0),
    ) {
        let jobs = jobs(kernels, &[Thin, ThinDist, No, Full]);
        let expected = expected(&jobs, |id| Expected {
            seconds: seconds[id],
            memory_kib: memory[id].map(|mib| mib * 1024),
            disk_kib: disk[id].map(|mib| mib * 1024),
        });
        let ranks = jobs.iter().map(|job| (job.cell.name(), rank[job.id.0])).collect();
        let queue = Queue::new(&jobs, &expected, &ranks, at_once, ROOM);
        let waits = jobs.iter().map(|job| (job.id, waits[job.id.0])).collect();
        let (started, left_out) = run_all(&queue, jobs.len(), limit, &waits);
        for (place, id) in started.iter().enumerate() {
            let job = jobs.iter().find(|job| job.id == *id).unwrap();
            for needed in job.runs_after() {
                prop_assert!(started[..place].contains(&needed) || left_out.contains(&needed));
            }
        }
        for id in left_out {
            let too_large = disk[id.0].is_some_and(|mib| mib > 100);
            prop_assert!(too_large || limit.is_some());
        }
    }
}
