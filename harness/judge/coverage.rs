//! Whether a build depends on lines of the sources: what it shows with them and without. Pure.

use std::collections::BTreeMap;

use super::identity::ids;
use crate::model::imprint::Imprint;
use crate::model::record::{CellRecord, Skip};

/// What a cell showed of one state of the sources.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    pub record: &'a CellRecord,
    /// `None` if the build failed.
    pub imprint: Option<&'a Imprint>,
}

/// What is not the same without the lines, in words; `None` if everything is. What rules look at
/// follows from the files, but for their times, which no two builds have in common.
#[must_use]
pub fn difference(with: Sight<'_>, without: Sight<'_>) -> Option<String> {
    let (before, after) = match (with.imprint, without.imprint) {
        (Some(before), Some(after)) => (before, after),
        (Some(_), None) => return Some("the build fails without it".to_owned()),
        (None, Some(_)) => return Some("the build fails with it".to_owned()),
        (None, None) => return None,
    };
    let mut changes = Vec::new();
    if ids(with.record) != ids(without.record) {
        changes.push("the findings".to_owned());
    }
    changes.extend(before.differences(after));
    if warnings(with.record) != warnings(without.record) {
        changes.push("the warnings in the log".to_owned());
    }
    if skipped(with.record) != skipped(without.record) {
        changes.push("the steps that could run".to_owned());
    }
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn warnings(record: &CellRecord) -> Option<&BTreeMap<String, usize>> {
    let inspection = record.inspection.as_ref();
    inspection.map(|inspection| &inspection.warnings)
}

fn skipped(record: &CellRecord) -> Vec<(&str, &[Skip])> {
    let scenarios = record.scenarios.iter();
    let scenarios = scenarios.map(|scenario| (scenario.name.as_str(), &*scenario.skipped));
    scenarios.collect()
}

#[cfg(test)]
mod tests;
