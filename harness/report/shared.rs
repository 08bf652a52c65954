//! Findings that several cells of a run have in common: what is the same by
//! [`crate::judge::identity`] is one finding.

use std::collections::HashMap;

use crate::judge::identity::{Identity, Placed};
use crate::model::record::{CellRecord, RunRecord};

/// A finding, and the cells that have it.
#[derive(Debug)]
pub struct Shared<'a> {
    /// As it is in the first cell.
    pub placed: Placed<'a>,
    /// In the order of the run.
    pub cells: Vec<&'a CellRecord>,
}

/// The findings of a run, each once, in the order in which they first occur. What an allow entry
/// covers in one cell and not in another is two findings.
#[must_use]
pub fn findings(run: &RunRecord) -> Vec<Shared<'_>> {
    let mut found: Vec<Shared<'_>> = Vec::new();
    let mut known: HashMap<(Identity, Option<&str>), usize> = HashMap::new();
    for cell in &run.cells {
        for placed in Placed::all(cell) {
            let allowed = placed.finding.allowed.as_deref();
            let at = *known
                .entry((placed.identity(), allowed))
                .or_insert(found.len());
            match found.get_mut(at) {
                None => found.push(Shared {
                    placed,
                    cells: vec![cell],
                }),
                Some(shared) if shared.is_last_in(cell) => {}
                Some(shared) => shared.cells.push(cell),
            }
        }
    }
    found
}

impl Shared<'_> {
    fn is_last_in(&self, cell: &CellRecord) -> bool {
        self.cells
            .last()
            .is_some_and(|last| std::ptr::eq(*last, cell))
    }
}

/// The cells of each finding that counts, in the order of the run.
#[must_use]
pub fn cells(run: &RunRecord) -> Cells<'_> {
    let open = findings(run).into_iter();
    let open = open.filter(|shared| shared.placed.finding.is_open());
    let cells = open.map(|shared| (shared.placed.identity(), shared.cells));
    cells.collect()
}

/// The cells of findings.
pub type Cells<'a> = HashMap<Identity, Vec<&'a CellRecord>>;

/// Findings of one rule that are in the same cells.
#[derive(Debug)]
pub struct Group<'a> {
    pub key: &'a str,
    /// The reason for which all of them are allowed, if they are.
    pub allowed: Option<&'a str>,
    /// At least one.
    pub findings: Vec<Placed<'a>>,
    pub cells: Vec<&'a CellRecord>,
}

/// Puts findings together that are of one rule and in the same cells.
#[must_use]
pub fn groups(run: &RunRecord) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Shared { placed, cells } in findings(run) {
        let key = placed.finding.key.as_str();
        let allowed = placed.finding.allowed.as_deref();
        let names = |cells: &[&CellRecord]| -> Vec<*const CellRecord> {
            cells.iter().map(|cell| std::ptr::from_ref(*cell)).collect()
        };
        let same = |group: &&mut Group<'_>| {
            group.key == key && group.allowed == allowed && names(&group.cells) == names(&cells)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.findings.push(placed),
            None => groups.push(Group {
                key,
                allowed,
                findings: vec![placed],
                cells,
            }),
        }
    }
    groups
}
