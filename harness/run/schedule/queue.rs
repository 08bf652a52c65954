//! Which job starts next, and what the others wait for. Pure: the caller says what runs, what has
//! ended and what is free.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::judge::expected::Expected;
use crate::run::job::{Job, JobId};

/// What the machine has for jobs, in KiB; `None` where that is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Memory that can be had now.
    pub memory_kib: Option<u64>,
    /// Free space where the build trees are.
    pub disk_kib: Option<u64>,
}

/// What is happening.
#[derive(Debug, Clone, Copy)]
pub struct Now<'a> {
    /// Jobs that run, have ended or were left out.
    pub taken: &'a BTreeSet<JobId>,
    pub running: &'a BTreeSet<JobId>,
    /// Jobs that ran and are to run again: they come last.
    pub again: &'a BTreeSet<JobId>,
    /// For how long jobs have waited for the machine, in seconds.
    pub waits: &'a BTreeMap<JobId, f64>,
    pub room: Room,
    /// Until the time is over, if it is limited; 0 or less afterwards.
    pub seconds_left: Option<f64>,
}

/// For how long a job lets others pass that need less memory. Then none starts before it: what passes
/// takes the memory again that has just become free.
pub const PATIENCE_SECONDS: f64 = 600.0;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Start(JobId),
    /// The time that is left is too short for it.
    LeaveOut(JobId),
    /// Nothing runs that could free what it lacks.
    NoRoom(JobId, Held),
    /// Jobs run. Those that could start, but for what they wait for.
    Wait(Vec<(JobId, Held)>),
    Done,
}

/// What a job that could start waits for, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Memory { needs_kib: u64, free_kib: u64 },
    Disk { needs_kib: u64, free_kib: u64 },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, needs, free) = match self {
            Held::Memory {
                needs_kib,
                free_kib,
            } => ("memory", needs_kib, free_kib),
            Held::Disk {
                needs_kib,
                free_kib,
            } => ("disk", needs_kib, free_kib),
        };
        let mib = |kib: &u64| kib.div_ceil(1024);
        write!(
            f,
            "it is expected to need {} MiB of {what}, and {} MiB can be had",
            mib(needs),
            mib(free)
        )
    }
}

/// Jobs in the order in which they should start.
#[derive(Debug)]
pub struct Queue<'a> {
    jobs: Vec<Planned<'a>>,
    /// Their numbers: nothing waits for another job.
    known: BTreeSet<JobId>,
    at_once: usize,
    /// What there was when nothing ran.
    room: Room,
}

#[derive(Debug)]
struct Planned<'a> {
    job: &'a Job,
    expected: Expected,
    /// What its place has now, in KiB: that goes before a new tree is written.
    has_kib: u64,
}

impl<'a> Queue<'a> {
    /// The jobs of a plan. Those of a lower rank come first, then those after which, with the jobs
    /// that need them, most time is expected to pass; then in the order of the plan. `room` is what
    /// there is while nothing runs.
    #[must_use]
    pub fn new(
        jobs: &'a [Job],
        expected: &BTreeMap<String, Expected>,
        ranks: &BTreeMap<String, usize>,
        at_once: usize,
        room: Room,
    ) -> Queue<'a> {
        let mut planned: Vec<Planned<'a>> = jobs
            .iter()
            .map(|job| Planned {
                job,
                expected: expected.get(&job.cell.name()).copied().unwrap_or_default(),
                has_kib: 0,
            })
            .collect();
        let seconds = with_dependents(&planned);
        let rank = ranks_with_dependents(jobs, ranks);
        planned.sort_by(|one, other| {
            let (one, other) = (one.job.id, other.job.id);
            let by_rank = rank[&one].cmp(&rank[&other]);
            // The longest first.
            by_rank.then(seconds[&other].total_cmp(&seconds[&one]))
        });
        Queue {
            jobs: planned,
            known: jobs.iter().map(|job| job.id).collect(),
            at_once: at_once.max(1),
            room,
        }
    }

    /// The same, where jobs have trees of that many KiB, which they replace.
    #[must_use]
    pub fn replacing(mut self, trees: &BTreeMap<JobId, u64>) -> Queue<'a> {
        for planned in &mut self.jobs {
            planned.has_kib = trees.get(&planned.job.id).copied().unwrap_or(0);
        }
        self
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self, now: &Now<'_>) -> Next {
        self.look(now).0
    }

    /// What to do next, and which jobs could start before that, but for what they wait for.
    #[must_use]
    pub fn look(&self, now: &Now<'_>) -> (Next, Vec<(JobId, Held)>) {
        let mut held = Vec::new();
        let mut is_left = false;
        // Whether no job was seen yet that waits for memory.
        let mut is_first = true;
        let is_again = |planned: &&Planned<'_>| now.again.contains(&planned.job.id);
        let first = self.jobs.iter().filter(|planned| !is_again(planned));
        for planned in first.chain(self.jobs.iter().filter(is_again)) {
            let id = planned.job.id;
            if now.taken.contains(&id) {
                continue;
            }
            is_left = true;
            if now
                .seconds_left
                .is_some_and(|left| planned.is_too_long(left))
            {
                return (Next::LeaveOut(id), held);
            }
            let has_ended = |id: &JobId| {
                let is_over = now.taken.contains(id) && !now.running.contains(id);
                is_over || !self.known.contains(id)
            };
            if now.running.len() >= self.at_once
                || !planned.job.runs_after().all(|id| has_ended(&id))
            {
                continue;
            }
            match self.lacks(planned, now) {
                None => return (Next::Start(id), held),
                Some(why @ Held::Disk { .. }) => held.push((id, why)),
                Some(why @ Held::Memory { .. }) => {
                    held.push((id, why));
                    let waits = now.waits.get(&id).copied().unwrap_or(0.0);
                    if is_first && waits >= PATIENCE_SECONDS {
                        break;
                    }
                    is_first = false;
                }
            }
        }
        // The first job starts with whatever memory there is: what these lack is disk.
        if now.running.is_empty()
            && let Some((id, why)) = held.first()
        {
            return (Next::NoRoom(*id, *why), Vec::new());
        }
        match is_left || !now.running.is_empty() {
            true => (Next::Wait(held.clone()), held),
            false => (Next::Done, held),
        }
    }

    /// What a job lacks beside those that run. The first job of all starts with whatever memory
    /// there is: what is expected may be of another machine.
    fn lacks(&self, planned: &Planned<'_>, now: &Now<'_>) -> Option<Held> {
        let running = || {
            let jobs = self.jobs.iter();
            jobs.filter(|other| now.running.contains(&other.job.id))
        };
        if let (Some(needs_kib), Some(free)) = (planned.expected.disk_kib, now.room.disk_kib) {
            let needs_kib = needs_kib.saturating_sub(planned.has_kib);
            // What they have written already counts twice, and what they replace may be gone already:
            // a full disk costs more than waiting.
            let promised: u64 = running().filter_map(|job| job.expected.disk_kib).sum();
            let free_kib = free.saturating_sub(promised);
            if needs_kib > free_kib {
                return Some(Held::Disk {
                    needs_kib,
                    free_kib,
                });
            }
        }
        let (Some(all), Some(free)) = (self.room.memory_kib, now.room.memory_kib) else {
            return None;
        };
        if now.running.is_empty() {
            return None;
        }
        // Of a job of which nothing is known, as many run as may run at once.
        let usual = all / self.at_once as u64;
        let needs = |planned: &Planned<'_>| planned.expected.memory_kib.unwrap_or(usual);
        let needs_kib = needs(planned);
        let promised: u64 = running().map(needs).sum();
        // Less than that is free if others use the machine, more if a job has not begun to link.
        let is_known = planned.expected.memory_kib.is_some();
        let free_kib = match is_known {
            true => free.min(all.saturating_sub(promised)),
            false => all.saturating_sub(promised),
        };
        (needs_kib > free_kib).then_some(Held::Memory {
            needs_kib,
            free_kib,
        })
    }
}

impl Planned<'_> {
    /// Whether it cannot end within so many seconds. A job that takes none always can.
    fn is_too_long(&self, seconds: f64) -> bool {
        match self.expected.seconds {
            Some(takes) => takes > seconds.max(0.0),
            None => seconds <= 0.0,
        }
    }
}

/// For each job the seconds until it, and the longest chain of jobs that need it, are expected to
/// have ended. A job of which nothing is known counts as the average of the others.
fn with_dependents(jobs: &[Planned<'_>]) -> BTreeMap<JobId, f64> {
    let known = jobs.iter().filter_map(|p| p.expected.seconds);
    let known: Vec<f64> = known.filter(|seconds| *seconds > 0.0).collect();
    let usual = match known.len() {
        0 => 1.0,
        #[expect(clippy::cast_precision_loss, reason = "an average of seconds")]
        count => known.iter().sum::<f64>() / count as f64,
    };
    let mut seconds = BTreeMap::new();
    // Dependents come after what they need.
    for planned in jobs.iter().rev() {
        let id = planned.job.id;
        let after: f64 = *seconds.entry(id).or_insert(0.0);
        let whole = after + planned.expected.seconds.unwrap_or(usual);
        seconds.insert(id, whole);
        for needed in planned.job.runs_after() {
            let longest = seconds.entry(needed).or_insert(0.0);
            *longest = longest.max(whole);
        }
    }
    seconds
}

/// The rank of each job: that of the cell, or of a job that needs it, whichever comes first.
fn ranks_with_dependents(jobs: &[Job], ranks: &BTreeMap<String, usize>) -> BTreeMap<JobId, usize> {
    let mut all = BTreeMap::new();
    for job in jobs.iter().rev() {
        let own = ranks.get(&job.cell.name()).copied().unwrap_or(0);
        let rank = own.min(all.get(&job.id).copied().unwrap_or(usize::MAX));
        all.insert(job.id, rank);
        for needed in job.runs_after() {
            let first = all.entry(needed).or_insert(usize::MAX);
            *first = rank.min(*first);
        }
    }
    all
}

#[cfg(test)]
mod tests;
