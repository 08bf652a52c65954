//! What the verdict on a series covers. Each place that a patch changes is taken out of the last
//! tree, and the cells that can see it are probed again. Where nothing is different, no verdict
//! says anything about these lines. And the converse: without which lines a finding is not there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Probed, State, check, likeliest, say};
use crate::judge::coverage::{Sight, difference};
use crate::judge::series::judge;
use crate::model::cell::Cell;
use crate::model::coverage::{ChangedPlace, Coverage, CoveredPlace, Reach};
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::model::imprint::Imprint;
use crate::model::record::{CellRecord, Outcome};
use crate::model::series::SeriesFinding;
use crate::run::probe::drive::{Caches, Probe};
use crate::source::copy::{Extent, SourceCopy};
use crate::source::series::apply::OwnRepository;
use crate::source::series::conditional;
use crate::source::series::hunk::Piece;
use crate::source::series::makefile;

/// A place that a patch changes, and how to take it out.
#[derive(Debug)]
pub struct Place {
    /// From 1.
    pub patch: usize,
    pub piece: Piece,
}

impl Place {
    fn changed(&self) -> ChangedPlace {
        ChangedPlace {
            patch: self.patch,
            file: self.piece.path.clone(),
            line: self.piece.line,
            lines: match self.piece.added {
                0 => self.piece.removed,
                added => added,
            },
            text: self.piece.text.clone(),
        }
    }
}

/// What is covered.
#[derive(Debug)]
pub struct Covered {
    pub coverage: Coverage,
    /// By the number of a finding, the places without any of which it is not there.
    pub brought_by: BTreeMap<String, Vec<ChangedPlace>>,
}

/// A series that was judged, and the repository to take its places out in.
#[derive(Debug, Clone, Copy)]
pub struct JudgedSeries<'a> {
    pub probe: &'a Probe<'a>,
    pub cells: &'a [Cell],
    pub states: &'a [State],
    pub probed: &'a [Probed],
    pub findings: &'a [SeriesFinding],
    pub own: &'a OwnRepository,
}

/// Takes the places out one by one. No more than `most` of those that a probe reads are tried.
///
/// # Errors
/// If the machine fails before a first cell, or the user interrupts.
pub fn cover(judged: JudgedSeries<'_>, places: &[Place], most: usize) -> Result<Covered, Error> {
    // What is built without a place is most of what is built with it.
    let last = judged.probed.last();
    let probe = Probe {
        caches: last.map_or(Caches::Own, |last| Caches::Of(&last.fingerprint)),
        ..*judged.probe
    };
    let judged = JudgedSeries {
        probe: &probe,
        ..judged
    };
    let mut covered = Covered {
        coverage: Coverage::default(),
        brought_by: BTreeMap::new(),
    };
    let mut tried = 0;
    for place in places {
        let reach = if !judged.is_read(&place.piece.path) {
            Reach::NotRead
        } else if tried == most {
            let why = format!("it is not one of the first {most}; --coverage full tries all");
            Reach::NotTried { why }
        } else {
            let reach = judged.reach(place)?;
            if reach != Reach::Comment {
                tried += 1;
                for id in judged.brings(place)? {
                    let places = covered.brought_by.entry(id).or_default();
                    places.push(place.changed());
                }
            }
            reach
        };
        let needs = match &reach {
            Reach::NotExercised => judged.needs(place)?,
            Reach::NotRead => conditional::needs(&place.piece.path, "", &(1..=1)),
            Reach::Exercised { .. } | Reach::Comment | Reach::NotTried { .. } => Vec::new(),
        };
        covered.coverage.places.push(CoveredPlace {
            place: place.changed(),
            reach,
            needs,
        });
    }
    Ok(covered)
}

/// The sources without a place.
struct TakenOut {
    state: State,
    /// The state that they are, but for the place.
    of: usize,
}

/// What a cell shows of a place.
enum Shown {
    Nothing,
    Changes(String),
    Unknown(String),
}

impl JudgedSeries<'_> {
    /// Takes a place out of the last tree; of the tree after its own patch, if a later one builds
    /// on it.
    fn take_out(&self, place: &Place) -> Result<Option<TakenOut>, Error> {
        for of in [self.states.len() - 1, place.patch] {
            if let Some(state) = self.without(place, of)? {
                return Ok(Some(TakenOut { state, of }));
            }
        }
        Ok(None)
    }

    /// Whether the place is a comment to make.
    fn is_comment(&self, path: &str, taken_out: &TakenOut) -> Result<bool, Error> {
        let with = self.states[taken_out.of].sources.read(path)?;
        let without = taken_out.state.sources.read(path)?;
        let (Some(with), Some(without)) = (with, without) else {
            return Ok(false);
        };
        let text = |bytes| str::from_utf8(bytes).ok();
        let both = text(&*with).zip(text(&*without));
        Ok(both.is_some_and(|(with, without)| makefile::reads_the_same(path, with, without)))
    }

    /// Whether a probe reads a file, in some state.
    fn is_read(&self, path: &str) -> bool {
        let mut read = self.probed.iter().flat_map(|probed| &probed.read);
        read.any(|read| read == path)
    }

    /// A state of the series without a place, if the rest applies without it.
    fn without(&self, place: &Place, of: usize) -> Result<Option<State>, Error> {
        let commit = self.own.without(&self.states[of].commit, &place.piece)?;
        let Some(commit) = commit else {
            return Ok(None);
        };
        let name = format!("without {} of patch {}", place.changed(), place.patch);
        State::of(commit, name, vec![place.piece.path.clone()]).map(Some)
    }

    /// What must be so for the lines to count.
    fn needs(&self, place: &Place) -> Result<Vec<String>, Error> {
        let path = place.piece.path.as_str();
        let text = self.states[place.patch].sources.read(path)?;
        let text = text.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = place.piece.line..=place.piece.line + place.piece.added.saturating_sub(1);
        Ok(conditional::needs(path, &text, &lines))
    }

    /// Whether something depends on a place: first in the cell most likely to show it, then in all
    /// others that can.
    fn reach(&self, place: &Place) -> Result<Reach, Error> {
        let path = place.piece.path.as_str();
        let not_tried = |why: &str| {
            let why = why.to_owned();
            Ok(Reach::NotTried { why })
        };
        let can_see = |cell: &&Cell| match conditional::architecture(path) {
            Some(arch) => cell.arch.src == arch,
            None => true,
        };
        let cells: Vec<Cell> = self.cells.iter().filter(can_see).cloned().collect();
        if cells.is_empty() {
            return Ok(Reach::NotRead);
        }
        let Some(taken_out) = self.take_out(place)? else {
            return not_tried("the patch does not apply in reverse");
        };
        if self.is_comment(path, &taken_out)? {
            return Ok(Reach::Comment);
        }
        let with = &self.probed[taken_out.of].cells;
        let is_finished = |cell: &&Cell| {
            let mut finished = with.iter().filter(|record| record.is_finished());
            finished.any(|record| record.cell == cell.name())
        };
        let cells: Vec<Cell> = cells.iter().filter(is_finished).cloned().collect();
        if cells.is_empty() {
            return not_tried(&match taken_out.of {
                last if last + 1 == self.states.len() => "the last tree does not build".to_owned(),
                patch => format!(
                    "a later patch changes it again, and after patch {patch} the tree does not build"
                ),
            });
        }
        self.probe_without(&taken_out, path, cells)
    }

    /// Probes the cells without the place until one shows it. One is enough for most places.
    fn probe_without(
        &self,
        taken_out: &TakenOut,
        path: &str,
        cells: Vec<Cell>,
    ) -> Result<Reach, Error> {
        let copy = self.probe.copy(&taken_out.state.sources)?;
        let first = likeliest(&cells, &[path]).cloned();
        let (first, rest): (Vec<Cell>, Vec<Cell>) = cells
            .into_iter()
            .partition(|cell| Some(cell) == first.as_ref());
        let mut unknown = None;
        for cells in [first, rest].iter().filter(|cells| !cells.is_empty()) {
            for without in self.run(&taken_out.state, &copy, cells)? {
                let cell = without.cell.clone();
                match self.compare(taken_out, &copy, &without)? {
                    Shown::Nothing => {}
                    Shown::Unknown(why) => unknown = Some(format!("{cell}: {why}")),
                    Shown::Changes(changes) => return Ok(Reach::Exercised { cell, changes }),
                }
            }
        }
        Ok(match unknown {
            Some(why) => Reach::NotTried { why },
            None => Reach::NotExercised,
        })
    }

    /// What a cell shows of a place: its record with it, and without.
    fn compare(
        &self,
        taken_out: &TakenOut,
        copy: &SourceCopy,
        without: &CellRecord,
    ) -> Result<Shown, Error> {
        let mut with = self.probed[taken_out.of].cells.iter();
        let Some(with) = with.find(|record| record.cell == without.cell) else {
            return Ok(Shown::Nothing);
        };
        if let Some(why) = why_unknown(without) {
            return Ok(Shown::Unknown(why));
        }
        let of = taken_out.of;
        let before = self.imprint(&self.states[of], &self.probed[of].fingerprint, with)?;
        let fingerprint = copy.fingerprint(Extent::All).to_hex();
        let after = self.imprint(&taken_out.state, &fingerprint, without)?;
        if before.is_none() || without.is_finished() && after.is_none() {
            let why = "what was kept of its build is damaged".to_owned();
            return Ok(Shown::Unknown(why));
        }
        let sight = |record, imprint| Sight { record, imprint };
        let changes = difference(sight(with, before.as_ref()), sight(without, after.as_ref()));
        Ok(changes.map_or(Shown::Nothing, Shown::Changes))
    }

    /// The imprint of a cell that was built to the end.
    fn imprint(
        &self,
        state: &State,
        fingerprint: &str,
        record: &CellRecord,
    ) -> Result<Option<Imprint>, Error> {
        let dir = self.probe.record(&state.sources, fingerprint, &record.cell);
        match record.is_finished() {
            true => dir.imprint(),
            false => Ok(None),
        }
    }

    /// The numbers of the findings that the place's patch brings, and that are not there without
    /// the place.
    fn brings(&self, place: &Place) -> Result<BTreeSet<String>, Error> {
        let findings = self.findings.iter();
        let findings = findings.filter(|f| f.change.worse_by() == Some(place.patch));
        let mut names: Vec<&str> = Vec::new();
        for finding in findings {
            let mut known = finding.cells.iter().map(String::as_str);
            if !known.any(|cell| names.contains(&cell)) {
                names.extend(finding.cells.first().map(String::as_str));
            }
        }
        let cells = self.cells.iter();
        let cells = cells.filter(|cell| names.contains(&cell.name().as_str()));
        let cells: Vec<Cell> = cells.cloned().collect();
        if cells.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Some(state) = self.without(place, place.patch)? else {
            return Ok(BTreeSet::new());
        };
        let copy = self.probe.copy(&state.sources)?;
        let without = self.run(&state, &copy, &cells)?;
        let with = &self.probed[place.patch].cells;
        let judged = judge(&[&without, with], &|_| false).findings.into_iter();
        let new = judged.filter(|finding| finding.change.is_worse());
        Ok(new.map(|finding| finding.id).collect())
    }

    /// Probes cells over a copy that is in step with the state.
    fn run(
        &self,
        state: &State,
        copy: &SourceCopy,
        cells: &[Cell],
    ) -> Result<Vec<CellRecord>, Error> {
        let name = format!("{}, {}", state.name, counted(cells.len(), "cells"));
        say(self.probe.events, &name);
        let run = self.probe.run(&state.sources, copy, cells)?;
        check(self.probe.cancel)?;
        Ok(run.cells)
    }
}

/// Why a cell says nothing, if it does.
fn why_unknown(record: &CellRecord) -> Option<String> {
    match (&record.outcome, &record.error) {
        (Outcome::Error(why), _) | (_, Some(why)) => Some(why.clone()),
        (Outcome::Skip(why), None) => Some(why.to_string()),
        (Outcome::Pass | Outcome::Fail, None) => None,
    }
}
