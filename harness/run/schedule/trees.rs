//! The build trees of a work directory: which of them go, so that all together take at most what
//! the user allows (`--disk-budget`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use bytesize::ByteSize;

use crate::build::dir_state::{disk_kib, is_there};
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::model::record::{CellRecord, Outcome};
use crate::run::events::{Event, Events};
use crate::run::place::Place;
use crate::store::lock::{Lock, Patience, Sharing};

/// What became of the cell that a tree is of. In the order in which trees go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Passed,
    Failed,
    /// It was stopped, or its record is gone: a later run may go on with the tree.
    Stopped,
}

impl Standing {
    fn of(record: Option<&CellRecord>) -> Standing {
        let Some(record) = record else {
            return Standing::Stopped;
        };
        match &record.outcome {
            Outcome::Pass => Standing::Passed,
            Outcome::Fail => Standing::Failed,
            Outcome::Error(_) if record.fails_as_allowed() => Standing::Failed,
            Outcome::Error(_) | Outcome::Skip(_) => Standing::Stopped,
        }
    }

    fn of_which(self) -> &'static str {
        match self {
            Standing::Passed => "the cell passed",
            Standing::Failed => "the cell failed",
            Standing::Stopped => "the cell did not come to its end",
        }
    }
}

/// One build tree.
#[derive(Debug, Clone)]
struct Tree {
    place: Place,
    /// Revision and cell.
    name: String,
    standing: Standing,
    /// When its cell began, in RFC 3339; empty if that is not known.
    began: String,
    kib: u64,
    /// Another klto, or a process that one left, has it now.
    is_locked: bool,
}

/// The trees of a work directory, and what they may take.
#[derive(Debug, Clone)]
pub struct Trees {
    all: Vec<Tree>,
    budget_kib: u64,
    /// The folders of trees of which was said that they could not be removed.
    said: BTreeSet<PathBuf>,
}

impl Trees {
    /// The trees of these places; each has a name.
    #[must_use]
    pub fn of(places: Vec<(String, Place)>, budget_kib: u64) -> Trees {
        let mut trees = Trees {
            all: Vec::new(),
            budget_kib,
            said: BTreeSet::new(),
        };
        for (name, place) in places {
            // What is damaged says nothing, and can go.
            let record = place.record.load().ok().flatten();
            trees.enter(name, place, record.as_ref());
        }
        trees
    }

    /// Enters the tree of a cell that has ended, if it has one.
    pub fn enter(&mut self, name: String, place: Place, record: Option<&CellRecord>) {
        self.forget(&place);
        if !has_tree(&place) {
            return;
        }
        let noted = record.map_or(0, |record| record.cost.disk_kib);
        self.all.push(Tree {
            name,
            standing: Standing::of(record),
            began: record.map_or_else(String::new, |record| record.started.clone()),
            kib: match noted {
                0 => kib_of(&place),
                noted => noted,
            },
            is_locked: false,
            place,
        });
    }

    /// The tree of a place is gone.
    pub fn forget(&mut self, place: &Place) {
        self.all.retain(|tree| tree.place.folder != place.folder);
    }

    /// Removes trees until the others fit, and says which. Those in `needed`, by the folders of
    /// their places, and those that another klto uses, stay.
    pub fn fit(&mut self, needed: &BTreeSet<PathBuf>, cancel: &Cancel, events: &dyn Events) {
        for tree in &mut self.all {
            tree.is_locked = false;
        }
        while let Some(at) = next_to_go(&self.all, needed, self.budget_kib) {
            let tree = &mut self.all[at];
            let text = match remove(&tree.place, cancel) {
                Ok(()) => {
                    let tree = self.all.remove(at);
                    let (name, size, why) = (&tree.name, size(tree.kib), tree.standing.of_which());
                    format!("{name}: the build tree ({size}) was removed for --disk-budget; {why}")
                }
                Err(error) => {
                    tree.is_locked = true;
                    if !self.said.insert(tree.place.folder.clone()) {
                        continue;
                    }
                    format!("{}: not removed: {}", tree.name, error.in_one_line())
                }
            };
            events.on(&Event::Note { text: &text });
        }
    }

    /// Whether they take more than they may.
    #[must_use]
    pub fn are_too_much(&self) -> bool {
        taken(&self.all) > self.budget_kib
    }

    /// What they take, of what they may.
    #[must_use]
    pub fn summary(&self) -> String {
        let all = taken(&self.all);
        let over = match self.are_too_much() {
            true => "; what is left is still needed, or could not be removed",
            false => "",
        };
        format!(
            "build trees take {}, of the {} of --disk-budget{over}",
            size(all),
            size(self.budget_kib)
        )
    }
}

/// `812.0 MiB`.
fn size(kib: u64) -> String {
    ByteSize::kib(kib).display().iec().to_string()
}

fn taken(trees: &[Tree]) -> u64 {
    trees
        .iter()
        .map(|tree| tree.kib)
        .fold(0, u64::saturating_add)
}

/// The tree that goes next, if they do not fit: of a cell that passed if there is one, otherwise of
/// one that failed, otherwise of one that was stopped; of these the oldest. Pure.
fn next_to_go(trees: &[Tree], needed: &BTreeSet<PathBuf>, budget_kib: u64) -> Option<usize> {
    if taken(trees) <= budget_kib {
        return None;
    }
    let may_go = |tree: &Tree| !tree.is_locked && !needed.contains(&tree.place.folder);
    let places = (0..trees.len()).filter(|at| may_go(&trees[*at]));
    places.min_by_key(|at| {
        let tree = &trees[*at];
        (tree.standing, &tree.began, &tree.name)
    })
}

fn kib_of(place: &Place) -> u64 {
    let trees = [place.build(), place.built()];
    trees.iter().map(|dir| disk_kib(dir)).sum()
}

/// What a new build of a place would replace, in KiB.
#[must_use]
pub fn replaced_kib(place: &Place, record: Option<&CellRecord>) -> u64 {
    // Of a build that was stopped, the record is not of what is there.
    let noted = record.filter(|record| place.has_tree_of(&record.job));
    match noted.map(|record| record.cost.disk_kib) {
        _ if !has_tree(place) => 0,
        Some(kib @ 1..) => kib,
        Some(0) | None => kib_of(place),
    }
}

/// Whether there is something that [`Place::reduce`] would remove.
fn has_tree(place: &Place) -> bool {
    is_there(&place.build()) || is_there(&place.built())
}

/// Removes the tree of a place, unless another klto uses it now.
///
/// # Errors
/// If another klto uses it, or a file cannot be removed.
pub fn remove(place: &Place, cancel: &Cancel) -> Result<(), Error> {
    if !has_tree(place) {
        return Ok(());
    }
    let patience = Patience {
        until: Some(Instant::now()),
        cancel,
    };
    let _lock = Lock::take(&place.folder, Sharing::Exclusive, patience, &mut |_| {})?;
    place.reduce()
}

#[cfg(test)]
mod tests;
