//! The rules that are broken, each with its text once: a finding that many cells have is shown
//! once, with the cells.

use std::collections::HashMap;

use super::budget::Budget;
use crate::model::finding::{Severity, counted};
use crate::model::record::{CellRecord, FindingRecord, RuleText, RunRecord};

/// Findings of a group that are open to see, and those that can be opened besides.
const SHOWN: usize = 8;
const MORE: usize = 200;
/// Groups of a rule.
const GROUPS: usize = 60;
/// Cells of a group that are open to see.
const CELLS: usize = 12;

/// A rule that is broken somewhere.
#[derive(Debug)]
pub struct Broken<'a> {
    pub key: &'a str,
    /// `error`, `warning`; `allowed` if only allowed findings are meant.
    pub severity: &'static str,
    /// `22 objects have no saved_c_flags line`.
    pub head: String,
    /// How many cells have one of its findings.
    pub cells: usize,
    /// `None` if the record has no text of it.
    pub text: Option<&'a RuleText>,
    /// Those with most cells first.
    pub groups: Vec<Group<'a>>,
    /// How many groups are not shown.
    pub left: usize,
}

/// Findings that the same cells have.
#[derive(Debug)]
pub struct Group<'a> {
    pub cells: Vec<Cell<'a>>,
    /// Cells beyond those that are open to see.
    pub more_cells: Vec<Cell<'a>>,
    /// How many cells are not shown.
    pub left_cells: usize,
    pub findings: Vec<&'a FindingRecord>,
    /// Findings beyond those that are open to see.
    pub more: Vec<&'a FindingRecord>,
    /// How many findings are not shown.
    pub left: usize,
}

impl Group<'_> {
    /// How many cells it is about.
    #[must_use]
    pub fn number(&self) -> usize {
        self.cells.len() + self.more_cells.len() + self.left_cells
    }
}

/// A cell, to be linked.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Its number in the run, from 0.
    pub id: usize,
    pub name: &'a str,
}

/// What makes two findings the same: all of them but whether an entry allows it.
type Same<'a> = (&'a str, Option<&'a str>, &'a str, &'a [String]);

/// The rules with a finding that `is_meant`, errors first, then by the number of cells.
#[must_use]
pub fn rules<'a>(
    run: &'a RunRecord,
    budget: &mut Budget,
    is_meant: fn(&FindingRecord) -> bool,
) -> Vec<Broken<'a>> {
    let mut keys: Vec<(&str, Found<'_>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (id, cell) in run.cells.iter().enumerate() {
        for finding in cell.findings().filter(|finding| is_meant(finding)) {
            let at = *places.entry(&finding.key).or_insert_with(|| {
                keys.push((&finding.key, Found::default()));
                keys.len() - 1
            });
            keys[at].1.add(id, cell, finding);
        }
    }
    let mut rules: Vec<Broken<'_>> = Vec::new();
    keys.sort_by_key(|(_, found)| (found.severity(), std::cmp::Reverse(found.cells)));
    for (key, found) in keys {
        rules.push(found.rule(key, run, budget));
    }
    rules
}

/// What was found of one rule.
#[derive(Debug, Default)]
struct Found<'a> {
    findings: Vec<(&'a FindingRecord, Vec<usize>)>,
    known: HashMap<Same<'a>, usize>,
    last: Option<usize>,
    cells: usize,
    text: Option<&'a RuleText>,
}

impl<'a> Found<'a> {
    fn add(&mut self, id: usize, cell: &'a CellRecord, finding: &'a FindingRecord) {
        let same: Same<'a> = (
            &finding.object,
            finding.step.as_deref(),
            &finding.evidence,
            &finding.details,
        );
        let at = *self.known.entry(same).or_insert_with(|| {
            self.findings.push((finding, Vec::new()));
            self.findings.len() - 1
        });
        let cells = &mut self.findings[at].1;
        if cells.last() != Some(&id) {
            cells.push(id);
        }
        self.cells += usize::from(self.last != Some(id));
        self.last = Some(id);
        self.text = self.text.or_else(|| cell.rules.get(&finding.key));
    }

    fn severity(&self) -> Severity {
        // Without its text, a rule's severity is not known.
        self.text.map_or(Severity::Error, |text| text.severity)
    }

    fn rule(self, key: &'a str, run: &'a RunRecord, budget: &mut Budget) -> Broken<'a> {
        let number = self.findings.len();
        let (severity, cells, text) = (self.severity(), self.cells, self.text);
        let mut groups: Vec<(Vec<usize>, Vec<&FindingRecord>)> = Vec::new();
        let mut places: HashMap<Vec<usize>, usize> = HashMap::new();
        for (finding, cells) in self.findings {
            let at = *places.entry(cells).or_insert_with_key(|cells| {
                groups.push((cells.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(finding);
        }
        groups.sort_by_key(|(cells, _)| std::cmp::Reverse(cells.len()));
        let shown = budget.take(groups.len().min(GROUPS));
        let left = groups.len() - shown;
        let groups = groups.into_iter().take(shown);
        Broken {
            key,
            severity: severity.name(),
            head: match text {
                Some(text) => counted(number, &text.broken),
                None => counted(number, "findings"),
            },
            cells,
            text,
            groups: groups
                .map(|(cells, findings)| group(&cells, findings, run, budget))
                .collect(),
            left,
        }
    }
}

fn group<'a>(
    cells: &[usize],
    mut findings: Vec<&'a FindingRecord>,
    run: &'a RunRecord,
    budget: &mut Budget,
) -> Group<'a> {
    let link = |id: &usize| Cell {
        id: *id,
        name: &run.cells[*id].cell,
    };
    let shown = budget.take(cells.len());
    let mut linked: Vec<Cell<'_>> = cells.iter().take(shown).map(link).collect();
    let left_cells = cells.len() - linked.len();
    let more_cells = linked.split_off(linked.len().min(CELLS));
    let all = findings.len();
    let lines = findings.iter().map(|finding| 1 + finding.details.len());
    findings.truncate(budget.fit(lines.take(SHOWN + MORE)));
    let left = all - findings.len();
    let more = findings.split_off(findings.len().min(SHOWN));
    Group {
        cells: linked,
        more_cells,
        left_cells,
        findings,
        more,
        left,
    }
}
