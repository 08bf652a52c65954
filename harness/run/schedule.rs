//! Runs the jobs of a plan, several side by side: each as soon as what it needs is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use super::events::Event;
use super::job::{Job, JobId};
use super::pipeline::{Context, Finished, run_job};
use crate::model::record::{CellRecord, Outcome, SkipReason};

/// What the workers share.
#[derive(Default)]
struct State {
    /// Jobs that a worker has taken.
    taken: BTreeSet<JobId>,
    records: BTreeMap<JobId, CellRecord>,
    finished: Finished,
    /// A cell failed, and no more are wanted.
    stopped: bool,
}

/// Runs the jobs; records are in the order of the matrix. A job does not wait for one that is not
/// among them. After an interrupt, what is left is inconclusive. With `fail_fast` the first cell that fails ends all others.
#[must_use]
pub fn run_jobs(
    context: &Context<'_>,
    jobs: &[Job],
    workers: usize,
    fail_fast: bool,
) -> Vec<CellRecord> {
    let state = Mutex::new(State::default());
    let changed = Condvar::new();
    // Ends running cells, but not as if the user had interrupted.
    let cancel = context.cancel.linked();
    let context = Context {
        cancel: &cancel,
        ..*context
    };
    let mut names: Vec<(JobId, String)> = jobs.iter().map(|j| (j.id, j.cell.name())).collect();
    names.sort();
    let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    context.events.on(&Event::Planned { cells: &names });
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| work(&context, jobs, &state, &changed, fail_fast));
        }
    });
    context.events.on(&Event::Finished);
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.records.into_values().collect()
}

/// Takes jobs until none is left.
fn work(
    context: &Context<'_>,
    jobs: &[Job],
    state: &Mutex<State>,
    changed: &Condvar,
    fail_fast: bool,
) {
    let mut shared = state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let left = jobs.iter().filter(|job| !shared.taken.contains(&job.id));
        let is_over =
            |id: JobId| shared.records.contains_key(&id) || jobs.iter().all(|job| job.id != id);
        let is_ready = |job: &&Job| job.runs_after().all(is_over);
        let Some(job) = left.clone().find(is_ready) else {
            if left.count() == 0 {
                return;
            }
            shared = changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        shared.taken.insert(job.id);
        let (record, tree) = if shared.stopped {
            (stopped(job), None)
        } else {
            let finished = shared.finished.clone();
            drop(shared);
            let done = run_job(context, job, &finished);
            shared = state.lock().unwrap_or_else(PoisonError::into_inner);
            // A cell that was interrupted because another failed was not ended by the user.
            let is_interrupted = matches!(done.0.outcome, Outcome::Error(_));
            if shared.stopped && is_interrupted {
                (stopped(job), None)
            } else {
                done
            }
        };
        if fail_fast && record.outcome == Outcome::Fail {
            shared.stopped = true;
            // Twice: nobody waits for running cells.
            context.cancel.cancel();
            context.cancel.cancel();
        }
        context.events.on(&Event::Done { record: &record });
        shared.records.insert(job.id, record);
        shared.finished.extend(tree.map(|tree| (job.id, tree)));
        changed.notify_all();
    }
}

fn stopped(job: &Job) -> CellRecord {
    CellRecord::skipped(job.cell.name(), SkipReason::FailFast)
}
