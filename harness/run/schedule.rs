//! Runs the jobs of a plan side by side: each as soon as what it needs is there, and the machine
//! has room for it.

pub mod machine;
pub mod queue;
mod there;
pub mod trees;

use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::machine::Machine;
use self::queue::{Held, Next, Now, Queue};
use self::trees::Trees;
use super::events::Event;
use super::job::{Job, JobId};
use super::pipeline::{Context, Finished, FinishedJob, run_job};
use crate::build::process::JobServer;
use crate::judge::expected::Expected;
use crate::model::keep::Keep;
use crate::model::record::{CellRecord, Outcome, SkipReason};

/// How often jobs that wait are looked at: memory and disk become free without a job that ends.
const LOOK: Duration = Duration::from_secs(1);

/// How jobs share the machine.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// Jobs that run at the same time.
    pub at_once: usize,
    /// The pool from which their makes take tokens.
    pub pool: Option<&'a JobServer>,
    /// By cell.
    pub expected: &'a BTreeMap<String, Expected>,
    /// By cell: those of a lower rank come first. 0 for a cell that has none.
    pub ranks: &'a BTreeMap<String, usize>,
    /// When no more jobs start, and those that run end.
    pub until: Option<Instant>,
    /// How often a job runs again that the machine stopped.
    pub retries: usize,
    pub keep: Keep,
    /// The most that all build trees of the work directory may take, in KiB, if that is limited.
    pub disk_budget_kib: Option<u64>,
    /// The first cell that fails ends all others.
    pub fail_fast: bool,
    pub machine: Option<&'a dyn Machine>,
}

impl Policy<'_> {
    /// Several jobs at once, and nothing else.
    #[must_use]
    pub fn plain(at_once: usize, fail_fast: bool) -> Policy<'static> {
        static NOTHING_EXPECTED: BTreeMap<String, Expected> = BTreeMap::new();
        static NO_RANKS: BTreeMap<String, usize> = BTreeMap::new();
        Policy {
            at_once,
            pool: None,
            expected: &NOTHING_EXPECTED,
            ranks: &NO_RANKS,
            until: None,
            retries: 0,
            keep: Keep::All,
            disk_budget_kib: None,
            fail_fast,
            machine: None,
        }
    }
}

/// How many cells run at once, unless the user says otherwise, with that many jobs. A quarter of a
/// kernel's time on two processors is one command after the other; `docs/scale.md` has how many cells it takes
/// to fill more processors.
#[must_use]
pub fn usual_at_once(jobs: usize) -> usize {
    jobs.min(1 + jobs / 2)
}

/// What the workers share.
#[derive(Default)]
struct State {
    /// Jobs that a worker has taken.
    taken: BTreeSet<JobId>,
    running: BTreeSet<JobId>,
    records: BTreeMap<JobId, CellRecord>,
    finished: Finished,
    /// Jobs whose trees are not kept.
    reduced: BTreeSet<JobId>,
    /// Those of the work directory, if they have a budget.
    trees: Option<Trees>,
    /// Jobs that the machine stopped, and that are to run again.
    again: BTreeSet<JobId>,
    /// What the machine stopped, as long as it may run again.
    stopped: BTreeMap<JobId, Stopped>,
    /// Jobs of which was said that they wait, and when.
    held: BTreeMap<JobId, Instant>,
    /// A cell failed, and no more are wanted.
    is_over: bool,
}

/// What runs a job: [`run_job`], unless a test has another.
type Work<'a> =
    &'a (dyn Fn(&Context<'_>, &Job, &Finished) -> (CellRecord, Option<FinishedJob>) + Sync);

/// What is known of a job that the machine stopped.
struct Stopped {
    /// Of its last attempt.
    record: CellRecord,
    /// What stopped each attempt.
    reasons: Vec<String>,
}

/// What a job left.
struct Ended {
    record: CellRecord,
    done: Option<FinishedJob>,
    /// A fault of klto's own, which would come again.
    is_panic: bool,
}

/// The jobs, and how they run.
struct Run<'a> {
    work: Work<'a>,
    context: Context<'a>,
    policy: Policy<'a>,
    jobs: &'a [Job],
    by_id: BTreeMap<JobId, &'a Job>,
    queue: Queue<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Runs the jobs; records are in the order of the matrix. A job does not wait for one that is not
/// among them. After an interrupt, what is left is inconclusive.
#[must_use]
pub fn run_jobs(context: &Context<'_>, jobs: &[Job], policy: &Policy<'_>) -> Vec<CellRecord> {
    run_with(&run_job, context, jobs, policy)
}

fn run_with(
    work: Work<'_>,
    context: &Context<'_>,
    jobs: &[Job],
    policy: &Policy<'_>,
) -> Vec<CellRecord> {
    // Ends running cells, but not as if the user had interrupted.
    let cancel = context.cancel.linked();
    let room = policy.machine.map(Machine::room).unwrap_or_default();
    let at_once = policy.at_once.clamp(1, jobs.len().max(1));
    let run = Run {
        work,
        context: Context {
            cancel: &cancel,
            until: policy.until,
            ..*context
        },
        policy: *policy,
        jobs,
        by_id: jobs.iter().map(|job| (job.id, job)).collect(),
        queue: there::queue(context, jobs, policy, at_once, room),
        state: Mutex::default(),
        changed: Condvar::new(),
    };
    let mut names: Vec<(JobId, String)> = jobs.iter().map(|j| (j.id, j.cell.name())).collect();
    names.sort();
    let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    context.events.on(&Event::Planned { cells: &names });
    run.look_at_trees();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| run.work());
        }
    });
    if let Some(trees) = &run.lock().trees {
        let text = trees.summary();
        context.events.on(&Event::Note { text: &text });
    }
    context.events.on(&Event::Finished);
    let state = run
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    state.records.into_values().collect()
}

impl Run<'_> {
    /// Takes jobs until none is left.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let (next, passed) = self.next(&state);
            self.say_held(&mut state, passed);
            match next {
                Next::Done => {
                    self.changed.notify_all();
                    return;
                }
                Next::Start(id) => {
                    state.taken.insert(id);
                    state.running.insert(id);
                    state.held.remove(&id);
                    self.say_queue(&state);
                    let job = self.job(id);
                    let used = job
                        .uses()
                        .filter_map(|id| state.finished.get_key_value(&id));
                    let finished = used.map(|(id, job)| (*id, job.clone())).collect();
                    drop(state);
                    let ended = self.run(job, &finished);
                    state = self.lock();
                    state.running.remove(&id);
                    self.take_in(&mut state, job, ended);
                }
                Next::LeaveOut(id) => {
                    let record = match state.stopped.remove(&id) {
                        Some(stopped) => stopped.without_more_time(),
                        None => self.skipped(id, SkipReason::Budget),
                    };
                    self.leave_out(&mut state, id, record);
                }
                Next::NoRoom(id, why) => {
                    let name = self.job(id).cell.name();
                    let stopped = state.stopped.remove(&id);
                    let record = CellRecord {
                        earlier_errors: stopped.map_or_else(Vec::new, |stopped| stopped.reasons),
                        ..CellRecord::inconclusive(name, why.to_string())
                    };
                    self.leave_out(&mut state, id, record);
                }
                Next::Wait(_) => {
                    let waited = self.changed.wait_timeout(state, LOOK);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// What to do next, and which jobs that passes over.
    fn next(&self, state: &State) -> (Next, Vec<(JobId, Held)>) {
        let room = self.policy.machine.map(Machine::room);
        let waits = state.held.iter();
        let waits = waits.map(|(id, since)| (*id, since.elapsed().as_secs_f64()));
        self.queue.look(&Now {
            taken: &state.taken,
            running: &state.running,
            again: &state.again,
            waits: &waits.collect(),
            room: room.unwrap_or_default(),
            seconds_left: self.policy.until.map(|until| {
                let left = until.saturating_duration_since(Instant::now());
                left.as_secs_f64()
            }),
        })
    }

    /// Runs a job, with the token that its first command needs. What a panic leaves of it is
    /// inconclusive: others wait for its end.
    fn run(&self, job: &Job, finished: &Finished) -> Ended {
        let run = || {
            let slot = self.policy.pool.map(JobServer::slot).transpose();
            match slot {
                Ok(_slot) if self.lock().is_over => {
                    (self.skipped(job.id, SkipReason::FailFast), None)
                }
                Ok(_slot) => (self.work)(&self.context, job, finished),
                Err(error) => {
                    let record = CellRecord::inconclusive(job.cell.name(), error.in_one_line());
                    (record, None)
                }
            }
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok((record, done)) => Ended {
                record,
                done,
                is_panic: false,
            },
            Err(panic) => Ended {
                record: CellRecord::inconclusive(job.cell.name(), panicked(&*panic)),
                done: None,
                is_panic: true,
            },
        }
    }

    /// Takes in what a job left; a job that the machine stopped may run again.
    fn take_in(&self, state: &mut MutexGuard<'_, State>, job: &Job, ended: Ended) {
        let is_past = self
            .policy
            .until
            .is_some_and(|until| Instant::now() >= until);
        let Ended {
            record,
            done,
            is_panic,
        } = ended;
        let stopped = state.stopped.remove(&job.id);
        let reasons = stopped.as_ref().map(|stopped| stopped.reasons.clone());
        let mut reasons = reasons.unwrap_or_default();
        let mut record = match (record.stopped_by(), stopped) {
            // A cell that was interrupted because another failed was not ended by the user.
            (Some(_), _) if state.is_over => self.skipped(job.id, SkipReason::FailFast),
            (Some(_), _) if is_panic || self.context.cancel.is_cancelled() => record,
            // That the time was over is no news of a cell that the machine had stopped before.
            (Some(_), Some(stopped)) if is_past => stopped.record,
            (Some(_), None) if is_past => self.skipped(job.id, SkipReason::Budget),
            (Some(why), _) if reasons.len() < self.policy.retries => {
                self.context.events.on(&Event::Again {
                    cell: &record.cell,
                    why,
                });
                reasons.push(why.to_owned());
                state.stopped.insert(job.id, Stopped { record, reasons });
                state.taken.remove(&job.id);
                state.again.insert(job.id);
                self.changed.notify_all();
                return;
            }
            (Some(_) | None, _) => record,
        };
        record.earlier_errors = reasons;
        if self.policy.fail_fast && record.outcome == Outcome::Fail {
            state.is_over = true;
            // Twice: nobody waits for running cells.
            self.context.cancel.cancel();
            self.context.cancel.cancel();
        }
        state.finished.extend(done.map(|done| (job.id, done)));
        self.end(state, job.id, record);
    }

    fn leave_out(&self, state: &mut MutexGuard<'_, State>, id: JobId, record: CellRecord) {
        state.taken.insert(id);
        self.end(state, id, record);
    }

    fn end(&self, state: &mut MutexGuard<'_, State>, id: JobId, record: CellRecord) {
        self.context.events.on(&Event::Done { record: &record });
        self.enter_tree(state, id, &record);
        state.records.insert(id, record);
        self.reduce(state);
        self.keep_budget(state);
        self.changed.notify_all();
    }

    /// Finds the trees of the work directory, if they have a budget, and keeps it.
    fn look_at_trees(&self) {
        let Some(budget_kib) = self.policy.disk_budget_kib else {
            return;
        };
        let mut state = self.lock();
        match self.context.layout.places() {
            Ok(places) => state.trees = Some(Trees::of(places, budget_kib)),
            Err(error) => {
                let text = format!("--disk-budget is not kept: {}", error.in_one_line());
                self.context.events.on(&Event::Note { text: &text });
            }
        }
        self.keep_budget(&mut state);
    }

    /// Enters the tree that a job left, or notes that it has none.
    fn enter_tree(&self, state: &mut State, id: JobId, record: &CellRecord) {
        let place = self.context.layout.place(&self.job(id).cell);
        if let Some(trees) = &mut state.trees {
            let name = format!("{}/{}", self.context.revision, record.cell);
            trees.enter(name, place, Some(record));
        }
    }

    /// Removes trees that no job of this run needs, until the others are within the budget.
    fn keep_budget(&self, state: &mut State) {
        let State { records, trees, .. } = state;
        let may_remove = !self.context.cancel.is_cancelled();
        let Some(trees) = trees.as_mut().filter(|t| may_remove && t.are_too_much()) else {
            return;
        };
        let left = self
            .jobs
            .iter()
            .filter(|job| !records.contains_key(&job.id));
        let ids = left.flat_map(|job| job.uses().chain([job.id]));
        let folder = |id| self.context.layout.place(&self.job(id).cell).folder;
        let needed: BTreeSet<PathBuf> = ids.map(folder).collect();
        trees.fit(&needed, self.context.cancel, self.context.events);
    }

    /// Removes the trees that are not to be kept, once no job needs them.
    fn reduce(&self, state: &mut MutexGuard<'_, State>) {
        if self.policy.keep == Keep::All {
            return;
        }
        let may_go = |record: &CellRecord| self.policy.keep.lets_go(record);
        // One that the machine stopped needs it in the next run. One that was left out can be built from
        // nothing: of a commit that no run builds again, trees would never go.
        let is_done = |job: &Job| match state.records.get(&job.id) {
            Some(record) => record.stopped_by().is_none(),
            None => false,
        };
        let needed: BTreeSet<JobId> = self
            .jobs
            .iter()
            .filter(|job| !is_done(job))
            .flat_map(Job::uses)
            .collect();
        let goes = |(id, record): &(&JobId, &CellRecord)| {
            !state.reduced.contains(id) && !needed.contains(id) && may_go(record)
        };
        let gone: Vec<JobId> = state
            .records
            .iter()
            .filter(goes)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            state.reduced.insert(id);
            let cell = &self.job(id).cell;
            let place = self.context.layout.place(cell);
            if let Err(error) = trees::remove(&place, self.context.cancel) {
                let text = format!("{}: not removed: {}", cell.name(), error.in_one_line());
                self.context.events.on(&Event::Note { text: &text });
            } else if let Some(trees) = &mut state.trees {
                trees.forget(&place);
            }
        }
    }

    /// Says which jobs wait for the machine, each once.
    fn say_held(&self, state: &mut MutexGuard<'_, State>, held: Vec<(JobId, Held)>) {
        for (id, why) in held {
            if let Entry::Vacant(place) = state.held.entry(id) {
                place.insert(Instant::now());
                self.context.events.on(&Event::Waiting {
                    cell: &self.job(id).cell.name(),
                    why: &why.to_string(),
                });
            }
        }
    }

    /// Says how many jobs run and wait.
    fn say_queue(&self, state: &State) {
        let left = self
            .jobs
            .iter()
            .filter(|job| !state.taken.contains(&job.id));
        let (mut ready, mut after_others) = (0, 0);
        for job in left {
            match job
                .runs_after()
                .all(|id| state.records.contains_key(&id) || !self.by_id.contains_key(&id))
            {
                true => ready += 1,
                false => after_others += 1,
            }
        }
        self.context.events.on(&Event::Queue {
            running: state.running.len(),
            ready,
            after_others,
        });
    }

    fn job(&self, id: JobId) -> &Job {
        self.by_id[&id]
    }

    fn skipped(&self, id: JobId, why: SkipReason) -> CellRecord {
        CellRecord::skipped(self.job(id).cell.name(), why)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stopped {
    /// What the job comes to if there is no time to run it again.
    fn without_more_time(mut self) -> CellRecord {
        // The last is the record's own.
        self.reasons.pop();
        CellRecord {
            earlier_errors: self.reasons,
            ..self.record
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("klto panicked: {}", text.unwrap_or("it does not say why"))
}

#[cfg(test)]
mod tests;
