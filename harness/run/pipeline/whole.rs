//! Whether the record of an earlier run says all that a job asks for.

use std::collections::BTreeMap;

use super::super::job::{Comparison, Job, JobId};
use super::{Context, parts_of_key, scenarios};
use crate::build::dir_state::is_there;
use crate::model::record::CellRecord;
use crate::store::record_dir::Loaded;

/// Whether a kept record says all that a job asks for. `keys` are those of the jobs with a
/// finished tree.
#[must_use]
pub fn is_whole(job: &Job, record: &CellRecord, keys: &BTreeMap<JobId, String>) -> bool {
    let is_compared = |comparison: &Comparison| {
        let key = keys.get(&comparison.with).map_or("", String::as_str);
        let mut known = record.comparisons.iter();
        known.any(|known| known.with == comparison.mode && known.job == key)
    };
    record.inspection.is_some()
        && record.error.is_none()
        && (!record.is_finished()
            || scenarios::are_all_in(job, record) && job.comparisons.iter().all(is_compared))
}

/// The record of a job, if it says all that the job asks for, so that nothing would run; `keys` are
/// those of the jobs with a finished build.
pub(in crate::run) fn whole_record(
    context: &Context<'_>,
    job: &Job,
    keys: &BTreeMap<JobId, String>,
) -> Option<Box<CellRecord>> {
    let place = context.layout.place(&job.cell);
    if context.fresh || !place.record.has_record() {
        return None;
    }
    let needed = job.needs().filter_map(|id| keys.get(&id));
    let parts = parts_of_key(context.layout, job, needed.map(String::as_str));
    let key = context.key.of(&job.cell, &parts);
    let Loaded::Same(record) = place.record.load_for(&key) else {
        return None;
    };
    let is_noted = !job.prepares || is_there(&place.prepared()) || !place.has_tree_of(&key);
    (is_noted && is_whole(job, &record, keys)).then_some(record)
}
