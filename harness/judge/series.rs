//! What a patch series does, from what was found at its base and after each patch. Findings are
//! matched by what they are, and not by their number or the lines where they show. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{Checked, Identity, Placed, Presence};
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome, SkipReason};
use crate::model::series::{Change, SeriesFinding, Undecided};

/// What the states showed, the base first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The worst first; of the same kind in the order of patches, then of cells.
    pub findings: Vec<SeriesFinding>,
    pub undecided: Vec<Undecided>,
}

/// Judges a series. `states` has the records of the cells at the base and after each patch, in
/// the same order; `is_acknowledged` is asked for the number of a finding.
#[must_use]
pub fn judge(states: &[&[CellRecord]], is_acknowledged: &dyn Fn(&str) -> bool) -> Judged {
    let Some(cells) = states.first() else {
        return Judged {
            findings: Vec::new(),
            undecided: Vec::new(),
        };
    };
    let mut findings: Vec<SeriesFinding> = Vec::new();
    let mut undecided = Vec::new();
    for cell in *cells {
        let records: Vec<&CellRecord> = states
            .iter()
            .filter_map(|records| records.iter().find(|record| record.cell == cell.cell))
            .collect();
        if records.len() != states.len() {
            continue;
        }
        let mut unclear: BTreeMap<&str, usize> = BTreeMap::new();
        for (placed, record, change) in over_states(&records) {
            match change {
                Some(change) => {
                    let is_acknowledged = is_acknowledged(&placed.id());
                    add(&mut findings, placed, record, change, is_acknowledged);
                }
                None => *unclear.entry(&placed.finding.key).or_default() += 1,
            }
        }
        undecided.extend(not_told(&records));
        undecided.extend(unclear.into_iter().map(|(key, number)| Undecided {
            cell: cell.cell.clone(),
            state: states.len() - 1,
            why: format!(
                "{key}: {}, and nothing earlier shows whether that is new",
                counted(number, "findings are there")
            ),
        }));
    }
    findings.sort_by_key(|finding| finding.change);
    Judged {
        findings,
        undecided,
    }
}

/// Adds the finding of a cell to those of the series: to the same one of another cell, if there is
/// one to which the series does the same.
fn add(
    findings: &mut Vec<SeriesFinding>,
    placed: Placed<'_>,
    record: &CellRecord,
    change: Change,
    is_acknowledged: bool,
) {
    let (id, finding, cell) = (placed.id(), placed.finding, &record.cell);
    let known = findings
        .iter_mut()
        .find(|f| f.id == id && f.change == change);
    match known {
        Some(known) if known.cells.contains(cell) => {}
        Some(known) => known.cells.push(cell.clone()),
        None => findings.push(SeriesFinding {
            id,
            key: finding.key.clone(),
            object: finding.object.clone(),
            step: placed.step(),
            evidence: finding.evidence.clone(),
            details: finding.details.clone(),
            change,
            cells: vec![cell.clone()],
            is_acknowledged,
            brought_by: Vec::new(),
            reproduce: record.reproduce.clone(),
        }),
    }
}

/// The findings of one cell over all states, each once: with the record that has it first, and
/// what the series does to it; `None` if it is there and nothing shows whether it is new.
fn over_states<'a>(
    records: &[&'a CellRecord],
) -> Vec<(Placed<'a>, &'a CellRecord, Option<Change>)> {
    let found: Vec<BTreeSet<Identity>> = records
        .iter()
        .map(|record| Placed::all(record).map(Placed::identity).collect())
        .collect();
    let checked: Vec<Checked> = records.iter().map(|record| Checked::of(record)).collect();
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for record in records {
        for placed in Placed::all(record).filter(|placed| placed.finding.is_open()) {
            let identity = placed.identity();
            if seen.contains(&identity) {
                continue;
            }
            let presence: Vec<Presence> = std::iter::zip(&checked, &found)
                .map(|(checked, found)| {
                    Presence::of(found.contains(&identity), checked, &placed.place())
                })
                .collect();
            seen.insert(identity);
            changes.push((placed, *record, change(&presence)));
        }
    }
    changes
}

/// What the series does to a finding that is there in these states; `None` if too little is
/// known of the states before it or after it.
fn change(presence: &[Presence]) -> Option<Change> {
    use Presence::{Absent, Present, Unknown};

    let (base, end) = (presence.first()?, presence.last()?);
    let first = presence.iter().position(|p| *p == Present)?;
    let last = presence.iter().rposition(|p| *p == Present)?;
    let gone = |after: usize| (after + 1..presence.len()).find(|at| presence[*at] == Absent);
    let since = presence[..first].iter().rposition(|p| *p == Absent);
    match (base, end) {
        (Present, Present | Unknown) => Some(Change::Known),
        (Present, Absent) => gone(last).map(|by| Change::Mended { by }),
        (Absent | Unknown, Absent) => match since {
            Some(_) => gone(last).map(|mended| Change::BrokenBetween { by: first, mended }),
            None => None,
        },
        (Absent | Unknown, Present | Unknown) => since.map(|since| Change::New {
            since: since + 1,
            by: first,
        }),
    }
}

/// The states in which a cell has no verdict, or not a whole one.
fn not_told(records: &[&CellRecord]) -> Vec<Undecided> {
    let mut undecided = Vec::new();
    for (state, record) in records.iter().enumerate() {
        let mut add = |why: String| {
            undecided.push(Undecided {
                cell: record.cell.clone(),
                state,
                why,
            });
        };
        match (&record.outcome, &record.error) {
            (Outcome::Error(why), _) | (_, Some(why)) => add(why.clone()),
            (Outcome::Skip(SkipReason::NoDistributedMode { .. } | SkipReason::BetweenEnds), _) => {}
            (Outcome::Skip(why), _) => add(why.to_string()),
            // What else is wrong does not show in a tree that was not built.
            (Outcome::Pass | Outcome::Fail, None) if !record.is_finished() && state == 0 => {
                add("the build fails, so that the rules had nothing to check".to_owned());
            }
            (Outcome::Pass | Outcome::Fail, None) => {}
        }
    }
    undecided
}

#[cfg(test)]
mod tests;
