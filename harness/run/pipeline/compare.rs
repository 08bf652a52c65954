//! Compares the finished trees of two jobs: two modes of one kernel.

use std::time::Instant;

use super::super::pair::{BuiltTree, compare_trees};
use super::{AtWork, FinishedTree};
use crate::judge::diff::Difference;
use crate::model::error::Error;
use crate::model::record::{CellRecord, ComparisonRecord, SkipReason};
use crate::store::lock::Sharing;

/// Compares the job's tree with those of the jobs that its plan names; what a record that is
/// used again says of the same trees stays.
///
/// # Errors
/// Where a lock cannot be had, or a tree cannot be read.
pub(super) fn compare(work: &AtWork<'_>, record: &mut CellRecord) -> Result<(), Error> {
    let known = std::mem::take(&mut record.comparisons);
    for comparison in &work.job.comparisons {
        let other = work.finished.get(&comparison.with);
        let key = other.map_or("", |tree| tree.key.as_str());
        let is_known = |old: &&ComparisonRecord| old.with == comparison.mode && old.job == key;
        let compared = match (known.iter().find(is_known), other) {
            (Some(known), Some(_)) => known.clone(),
            (_, Some(other)) => {
                let begins = work.now();
                record.reused = false;
                let compared = compare_with(work, comparison.is_first, other);
                work.note(
                    record,
                    format!("comparison with {}", comparison.mode),
                    begins,
                );
                compared?
            }
            (_, None) => ComparisonRecord {
                with: comparison.mode,
                job: String::new(),
                seconds: 0.0,
                findings: Vec::new(),
                not_compared: Vec::new(),
                growth: Vec::new(),
                skipped: Some(SkipReason::NoTree {
                    mode: comparison.mode,
                }),
            },
        };
        record.comparisons.push(compared);
    }
    Ok(())
}

fn compare_with(
    work: &AtWork<'_>,
    is_first: bool,
    other: &FinishedTree,
) -> Result<ComparisonRecord, Error> {
    let started = Instant::now();
    let _lock = work.lock(&other.place, Sharing::Shared)?;
    let [own, others] = [work.place, &other.place].map(|place| BuiltTree {
        dir: place.build(),
        log: Some(place.log()).filter(|log| log.is_file()),
    });
    let trees = match is_first {
        true => [&own, &others],
        false => [&others, &own],
    };
    let compared = compare_trees(trees, work.context.tolerances)?;
    let findings = compared
        .differences
        .into_iter()
        .map(Difference::into_finding);
    Ok(ComparisonRecord {
        with: other.cell.lto,
        job: other.key.clone(),
        findings: findings.map(Into::into).collect(),
        not_compared: compared.not_compared,
        growth: Vec::new(),
        skipped: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}
