//! What earlier runs left of the jobs of a run: a job whose record only has to be read needs neither
//! time nor room.

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use super::queue::{Queue, Room};
use super::trees::replaced_kib;
use crate::judge::expected::Expected;
use crate::run::job::{Job, JobId};
use crate::run::pipeline::{Context, whole_record};

/// What a job takes whose record only has to be read.
const NOTHING: Expected = Expected {
    seconds: Some(0.0),
    memory_kib: Some(0),
    disk_kib: Some(0),
};

/// The queue of the jobs: those come first whose records only have to be read.
pub(super) fn queue<'a>(
    context: &Context<'_>,
    jobs: &'a [Job],
    policy: &Policy<'_>,
    at_once: usize,
    room: Room,
) -> Queue<'a> {
    if policy.until.is_none() && policy.machine.is_none() {
        return Queue::new(jobs, policy.expected, policy.ranks, at_once, room);
    }
    let whole = whole(context, jobs);
    let (mut expected, mut ranks) = (policy.expected.clone(), BTreeMap::new());
    let mut trees = BTreeMap::new();
    for job in jobs {
        let name = job.cell.name();
        let rank = policy.ranks.get(&name).copied().unwrap_or(0);
        if whole.contains(&job.id) {
            expected.insert(name, NOTHING);
            continue;
        }
        // Only what is known to need room can be said to need less.
        if expected.get(&name).is_some_and(|it| it.disk_kib.is_some()) {
            let place = context.layout.place(&job.cell);
            let record = place.record.load().ok().flatten();
            trees.insert(job.id, replaced_kib(&place, record.as_ref()));
        }
        ranks.insert(name, rank + 1);
    }
    Queue::new(jobs, &expected, &ranks, at_once, room).replacing(&trees)
}

/// The jobs whose records say all that they ask for, and those of which the kernel has no such cell.
fn whole(context: &Context<'_>, jobs: &[Job]) -> BTreeSet<JobId> {
    let of_run: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
    let (mut whole, mut keys) = (BTreeSet::new(), BTreeMap::new());
    for job in jobs {
        if context.sources.lacks(&job.cell).is_some() {
            whole.insert(job.id);
            continue;
        }
        // Of one that will be built, nobody knows yet how that ends.
        let is_built = |id: &JobId| of_run.contains(id) && !whole.contains(id);
        if job.uses().any(|id| is_built(&id)) {
            continue;
        }
        if let Some(record) = whole_record(context, job, &keys) {
            whole.insert(job.id);
            if record.is_finished() {
                keys.insert(job.id, record.job);
            }
        }
    }
    whole
}
