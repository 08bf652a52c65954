//! Probes the states of a patch series: its base, and the tree after each patch. A state in
//! which the files that a probe reads are those of an earlier one is not built again. The cell
//! that is most likely to fail comes first, in every state, before all others.

pub mod coverage;
pub mod kernels;

use std::collections::{BTreeMap, BTreeSet};

use super::events::{Event, Events};
use super::probe::drive::{Caches, Probe};
use crate::build::process::Cancel;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::imprint::Ripple;
use crate::model::record::{CellRecord, Outcome, SkipReason};
use crate::model::series::StateRecord;
use crate::source::commit::Commit;
use crate::source::copy::Extent;
use crate::source::sources::Sources;

/// A state of the sources.
#[derive(Debug)]
pub struct State {
    pub sources: Sources,
    pub commit: String,
    /// What is said of it while it is probed: `patch 2 of 3, TITLE`.
    pub name: String,
    /// The files that its patch changes.
    pub files: Vec<String>,
}

impl State {
    /// The state of a commit.
    ///
    /// # Errors
    /// As [`Sources::of_commit`].
    pub fn of(commit: Commit, name: String, files: Vec<String>) -> Result<State, Error> {
        Ok(State {
            commit: commit.id().to_owned(),
            sources: Sources::of_commit(commit)?,
            name,
            files,
        })
    }
}

/// What the cells of a state showed.
#[derive(Debug)]
pub struct Probed {
    /// Of the files that a probe reads, in hex.
    pub fingerprint: String,
    /// The earlier state with the same files, if there is one.
    pub same_as: Option<usize>,
    /// Those of the files that any patch changes that a probe reads in this state.
    pub read: Vec<String>,
    /// In the order of the cells.
    pub cells: Vec<CellRecord>,
    /// How far the patch reaches, over all cells that were built before and after it.
    pub ripple: Option<Ripple>,
    /// The same in whole kernels: from the last state before it that was built.
    pub kernels: Option<Ripple>,
}

impl Probed {
    /// As it is kept.
    #[must_use]
    pub fn record(&self, state: &State) -> StateRecord {
        let outcome = |cell: &CellRecord| (cell.cell.clone(), cell.outcome.name().to_owned());
        StateRecord {
            commit: state.commit.clone(),
            fingerprint: self.fingerprint.clone(),
            same_as: self.same_as,
            outcomes: self
                .cells
                .iter()
                .filter(|cell| !is_left_out(cell))
                .map(outcome)
                .collect(),
            ripple: self.ripple,
            kernels: self.kernels,
        }
    }
}

/// Whether nobody asked for the cell in that state.
fn is_left_out(record: &CellRecord) -> bool {
    record.outcome == Outcome::Skip(SkipReason::BetweenEnds)
}

/// Probes the states, the base first. The caller has the lock on the copy of the sources.
///
/// # Errors
/// If the machine fails before a first cell, or the user interrupts.
pub fn probe_states(
    probe: &Probe<'_>,
    cells: &[Cell],
    states: &[State],
) -> Result<Vec<Probed>, Error> {
    // The base is the user's own. It is built as the patches are, so that only these differ.
    let base = Probe {
        caches: Caches::Trusted,
        ..*probe
    };
    let probe_of = |at: usize| if at == 0 { &base } else { probe };
    let mut fingerprints: Vec<String> = Vec::new();
    let mut read: Vec<Vec<String>> = Vec::new();
    let changed: BTreeSet<&str> = states
        .iter()
        .flat_map(|s| &s.files)
        .map(String::as_str)
        .collect();
    for (at, state) in states.iter().enumerate() {
        let probe = probe_of(at);
        if let Some(before) = at.checked_sub(1)
            && !probe.may_differ(&states[before].sources, &state.sources)?
        {
            fingerprints.push(fingerprints[before].clone());
            read.push(read[before].clone());
            continue;
        }
        let copy = probe.copy(&state.sources)?;
        let fingerprint = copy.fingerprint(Extent::All).to_hex().to_string();
        let is_new = !fingerprints.contains(&fingerprint);
        if let Some(cell) = likeliest(cells, &touched(states, state))
            && is_new
            && states.len() > 1
            && cells.len() > 1
        {
            say(probe.events, &state.name);
            probe.run(&state.sources, &copy, std::slice::from_ref(cell))?;
            check(probe.cancel)?;
        }
        fingerprints.push(fingerprint);
        let paths = copy.paths().filter(|path| changed.contains(path));
        read.push(paths.map(str::to_owned).collect());
    }
    let mut probed: Vec<Probed> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, (state, fingerprint)) in states.iter().zip(&fingerprints).enumerate() {
        let probe = probe_of(at);
        let same_as = known.get(fingerprint.as_str()).copied();
        let records = match same_as {
            Some(same) => probed[same].cells.clone(),
            None => {
                let copy = probe.copy(&state.sources)?;
                say(probe.events, &state.name);
                let run = probe.run(&state.sources, &copy, cells)?;
                check(probe.cancel)?;
                run.cells
            }
        };
        known.entry(fingerprint).or_insert(at);
        let ripple = match at.checked_sub(1) {
            Some(before) => ripple(
                probe,
                cells,
                &states[before..=at],
                &fingerprints[before..=at],
            )?,
            None => None,
        };
        probed.push(Probed {
            fingerprint: fingerprint.clone(),
            same_as,
            read: std::mem::take(&mut read[at]),
            cells: records,
            ripple,
            kernels: None,
        });
    }
    Ok(probed)
}

/// How far a patch reaches: from the first of two states to the second, over the cells that were
/// built in both.
fn ripple(
    probe: &Probe<'_>,
    cells: &[Cell],
    states: &[State],
    fingerprints: &[String],
) -> Result<Option<Ripple>, Error> {
    let mut sum: Option<Ripple> = None;
    for cell in cells {
        let mut imprints = Vec::new();
        for (state, fingerprint) in std::iter::zip(states, fingerprints) {
            let record = probe.record(&state.sources, fingerprint, &cell.name());
            imprints.extend(record.imprint()?);
        }
        if let [before, after] = imprints.as_slice() {
            let own = Ripple::between(before, after);
            sum = Some(sum.map_or(own, |sum| sum.and(own)));
        }
    }
    Ok(sum)
}

fn say(events: &dyn Events, text: &str) {
    events.on(&Event::Note { text });
}

fn check(cancel: &Cancel) -> Result<(), Error> {
    match cancel.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(()),
    }
}

/// The files of the state's patch; of the base, those of all patches.
fn touched<'a>(states: &'a [State], state: &'a State) -> Vec<&'a str> {
    let states = match state.files.is_empty() {
        true => states,
        false => std::slice::from_ref(state),
    };
    let files = states.iter().flat_map(|state| &state.files);
    files.map(String::as_str).collect()
}

/// The cell that is most likely to fail where these files change: of an architecture whose files
/// do, in distributed mode.
fn likeliest<'a>(cells: &'a [Cell], files: &[&str]) -> Option<&'a Cell> {
    cells.iter().min_by_key(|cell| {
        let folder = format!("arch/{}/", cell.arch.src);
        let is_touched = files.iter().any(|file| file.starts_with(&folder));
        let mode = match cell.lto {
            LtoMode::ThinDist => 0,
            LtoMode::Thin | LtoMode::Full => 1,
            LtoMode::None => 2,
        };
        (!is_touched, mode)
    })
}

#[cfg(test)]
mod tests;
