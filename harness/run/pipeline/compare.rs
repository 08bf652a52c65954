//! Compares the finished trees of two jobs: two modes of one kernel.

use std::time::Instant;

use super::super::job::Comparison;
use super::super::pair::{BuiltTree, compare_trees};
use super::{AtWork, FinishedJob};
use crate::judge::diff::{Difference, SizeChange};
use crate::model::error::Error;
use crate::model::record::{CellRecord, ComparisonRecord, Growth, MOST_GROWTH, SkipReason};

/// Compares the job's tree with those of the jobs that its plan names; what a record that is
/// used again says of the same trees stays.
///
/// # Errors
/// Where a lock cannot be had, or a tree cannot be read.
pub(super) fn compare(work: &AtWork<'_>, record: &mut CellRecord) -> Result<(), Error> {
    let known = std::mem::take(&mut record.comparisons);
    for comparison in &work.job.comparisons {
        let other = work.finished.get(&comparison.with);
        let compared = match (known_of(&known, comparison, other), other) {
            (Some(known), _) => known.clone(),
            (None, Some(other)) if other.has_tree => {
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
            (None, _) => ComparisonRecord {
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

/// What is known of a comparison with the same tree.
fn known_of<'a>(
    known: &'a [ComparisonRecord],
    comparison: &Comparison,
    other: Option<&FinishedJob>,
) -> Option<&'a ComparisonRecord> {
    let key = &other?.key;
    let is_known = |old: &&ComparisonRecord| old.with == comparison.mode && old.job == *key;
    known.iter().find(is_known)
}

/// Whether a comparison is to be made that a kept record does not have.
pub(super) fn is_missing(work: &AtWork<'_>, kept: &CellRecord) -> bool {
    let mut comparisons = work.job.comparisons.iter();
    comparisons.any(|comparison| {
        let other = work.finished.get(&comparison.with);
        let can_be_made = other.is_some_and(|other| other.has_tree);
        can_be_made && known_of(&kept.comparisons, comparison, other).is_none()
    })
}

fn compare_with(
    work: &AtWork<'_>,
    is_first: bool,
    other: &FinishedJob,
) -> Result<ComparisonRecord, Error> {
    let started = Instant::now();
    let _lock = work.lock_tree(other)?;
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
        growth: growth(&compared.sizes.functions, is_first),
        skipped: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The functions whose sizes differ most, the largest difference first; `is_first` says which of
/// the two trees is the cell's own.
fn growth(functions: &[SizeChange], is_first: bool) -> Vec<Growth> {
    let mut most: Vec<&SizeChange> = functions.iter().collect();
    let difference = |function: &SizeChange| function.growth().unsigned_abs();
    most.sort_by(|one, other| {
        let order = difference(other).cmp(&difference(one));
        order.then_with(|| one.name.cmp(&other.name))
    });
    let most = most.into_iter().take(MOST_GROWTH);
    most.map(|function| {
        let [first, second] = function.bytes;
        let (bytes, bytes_there) = match is_first {
            true => (first, second),
            false => (second, first),
        };
        Growth {
            function: function.name.clone(),
            bytes,
            bytes_there,
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, first: u64, second: u64) -> SizeChange {
        SizeChange {
            name: name.to_owned(),
            bytes: [first, second],
        }
    }

    fn grown(function: &str, bytes: u64, bytes_there: u64) -> Growth {
        Growth {
            function: function.to_owned(),
            bytes,
            bytes_there,
        }
    }

    #[test]
    fn the_largest_difference_comes_first_whichever_tree_has_more() {
        let functions = [
            change("more", 10, 40),
            change("few", 10, 11),
            change("less", 90, 20),
            change("equally_less", 40, 10),
        ];
        assert_eq!(
            growth(&functions, true),
            [
                grown("less", 90, 20),
                grown("equally_less", 40, 10),
                grown("more", 10, 40),
                grown("few", 10, 11),
            ]
        );
        assert_eq!(growth(&functions, false)[0], grown("less", 20, 90));
    }

    #[test]
    fn only_the_functions_that_differ_most_are_kept() {
        let functions: Vec<SizeChange> = (1..=100)
            .map(|more| change(&format!("f{more}"), 100, 100 + more))
            .collect();
        let growth = growth(&functions, true);
        assert_eq!(growth.len(), MOST_GROWTH);
        assert_eq!(growth[0], grown("f100", 100, 200));
        assert_eq!(growth[MOST_GROWTH - 1], grown("f81", 100, 181));
    }
}
