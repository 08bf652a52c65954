//! How a run differs from an earlier one. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::series::judge;
use crate::model::record::{CellRecord, FORMAT, Outcome, RunRecord, SkipReason};
use crate::model::series::{Change, SeriesFinding, Undecided};
use crate::model::stored::{
    ComparedFinding, OutcomeChange, RunChange, RunComparison, RunHead, UndecidedCell,
};

/// A run and its name in the store.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub head: &'a RunHead,
    pub run: &'a RunRecord,
}

/// Compares two runs, the earlier one first.
#[must_use]
pub fn compare(before: Named<'_>, after: Named<'_>) -> RunComparison {
    let runs = [before, after];
    let cells = runs.map(|run| by_name(run.run));
    let [was, is] = &cells;
    let both: Vec<&str> = was
        .keys()
        .filter(|name| is.contains_key(*name))
        .copied()
        .collect();
    let only = |these: &BTreeMap<&str, &CellRecord>, others: &BTreeMap<&str, &CellRecord>| {
        let missing = these.keys().filter(|name| !others.contains_key(*name));
        missing
            .map(|name| (*name).to_owned())
            .collect::<Vec<String>>()
    };
    let pairs: Vec<[&CellRecord; 2]> = both.iter().map(|name| [was[name], is[name]]).collect();
    let mut findings = Findings::default();
    let mut undecided = Vec::new();
    for pair in &pairs {
        let judged = judge(&pair.map(std::slice::from_ref), &|_| false);
        let is_same_job = pair[0].job == pair[1].job && !pair[0].job.is_empty();
        for finding in judged.findings {
            findings.add(finding, is_same_job);
        }
        let (earlier, later): (Vec<_>, Vec<_>) = judged
            .undecided
            .into_iter()
            .partition(|cell| cell.state == 0);
        let is_said = |cell: &&Undecided| !later.iter().any(|known| known.why == cell.why);
        let earlier = earlier.iter().filter(is_said);
        undecided.extend(earlier.chain(&later).map(|cell| UndecidedCell {
            cell: cell.cell.clone(),
            run: runs[cell.state.min(1)].head.run.clone(),
            why: cell.why.clone(),
        }));
    }
    let mut findings = findings.all;
    findings.sort_by_key(|finding| finding.change);
    let keys: BTreeSet<&str> = findings
        .iter()
        .map(|finding| finding.key.as_str())
        .collect();
    let texts = pairs
        .iter()
        .flat_map(|[before, after]| after.rules.iter().chain(before.rules.iter()));
    let mut rules = BTreeMap::new();
    for (key, text) in texts.filter(|(key, _)| keys.contains(key.as_str())) {
        rules.entry(key.clone()).or_insert_with(|| text.clone());
    }
    RunComparison {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        before: before.head.clone(),
        after: after.head.clone(),
        undecided,
        outcomes: pairs.iter().filter_map(outcome_change).collect(),
        added: only(is, was),
        gone: only(was, is),
        rules,
        findings,
    }
}

fn by_name(run: &RunRecord) -> BTreeMap<&str, &CellRecord> {
    // An accepted snapshot without a cell was not to be built.
    let is_cell = |cell: &&CellRecord| cell.outcome != Outcome::Skip(SkipReason::NoCell);
    let cells = run.cells.iter().filter(is_cell);
    cells.map(|cell| (cell.cell.as_str(), cell)).collect()
}

fn outcome_change([before, after]: &[&CellRecord; 2]) -> Option<OutcomeChange> {
    let [was, is] = [before, after].map(|record| record.outcome.name());
    (was != is).then(|| OutcomeChange {
        cell: after.cell.clone(),
        before: was.to_owned(),
        after: is.to_owned(),
    })
}

/// The findings of all cells.
#[derive(Debug, Default)]
struct Findings {
    all: Vec<ComparedFinding>,
    places: BTreeMap<(String, RunChange), usize>,
}

impl Findings {
    /// Adds the finding of a cell: to the same one of another cell, if there is one that changed
    /// alike.
    fn add(&mut self, finding: SeriesFinding, is_same_job: bool) {
        let change = change(finding.change, is_same_job);
        match self.places.entry((finding.id.clone(), change)) {
            Entry::Occupied(place) => self.all[*place.get()].cells.extend(finding.cells),
            Entry::Vacant(place) => {
                place.insert(self.all.len());
                self.all.push(ComparedFinding {
                    id: finding.id,
                    key: finding.key,
                    object: finding.object,
                    step: finding.step,
                    evidence: finding.evidence,
                    details: finding.details,
                    change,
                    cells: finding.cells,
                    reproduce: finding.reproduce,
                });
            }
        }
    }
}

fn change(change: Change, is_same_job: bool) -> RunChange {
    match (change, is_same_job) {
        (Change::Known, _) => RunChange::Known,
        (Change::New { .. } | Change::BrokenBetween { .. } | Change::Mended { .. }, true) => {
            RunChange::Flaky
        }
        (Change::New { .. } | Change::BrokenBetween { .. }, false) => RunChange::New,
        (Change::Mended { .. }, false) => RunChange::Fixed,
    }
}

#[cfg(test)]
mod tests;
