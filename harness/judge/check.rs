//! From facts to findings: pure functions, one rule family a file, one row a rule. A new
//! family is one file and one row of [`FAMILIES`]; a new rule is one `Rule`, its function,
//! and one row of its family.

pub mod archive;
pub mod compdb;
pub mod config;
pub mod crc;
pub mod elf;
pub mod flags;
pub mod index;
pub mod loader;
pub mod log;
pub mod symbols;
pub mod triple;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::model::arch::Arch;
use crate::model::cell::LtoMode;
use crate::model::facts::{Facts, Ir, Name, ObjectFile};
use crate::model::finding::{Finding, Rule, key_matches};
use crate::model::record::RuleCount;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub facts: &'a Facts,
    pub arch: &'a Arch,
    pub mode: LtoMode,
    /// Symbols that the cell asked for, with `CONFIG_`, and their values; empty
    /// where a tree is checked without a cell.
    pub requested: &'a BTreeMap<String, String>,
}

/// The subject, and what several rules of one family need: made by the first that asks.
#[derive(Debug)]
pub struct Context<'a> {
    subject: Subject<'a>,
    replaced: OnceCell<Option<archive::Replaced>>,
    listed: OnceCell<index::Listed<'a>>,
    crcs: OnceCell<Option<crc::Crcs<'a>>>,
    signs: OnceCell<Vec<log::Sign<'a>>>,
    sources: OnceCell<compdb::Sources>,
}

impl<'a> Context<'a> {
    fn new(subject: &Subject<'a>) -> Context<'a> {
        Context {
            subject: *subject,
            replaced: OnceCell::new(),
            listed: OnceCell::new(),
            crcs: OnceCell::new(),
            signs: OnceCell::new(),
            sources: OnceCell::new(),
        }
    }

    fn facts(&self) -> &'a Facts {
        self.subject.facts
    }
}

/// Rules that look at the same thing.
#[derive(Debug)]
pub struct Family {
    /// The part of its keys before the dot.
    pub name: &'static str,
    pub rows: &'static [Row],
    /// Whether its rules make sense in a mode.
    pub applies: fn(LtoMode) -> bool,
}

impl Family {
    /// Its rules, in the order of its rows.
    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.rows.iter().map(|row| row.rule)
    }
}

/// A rule and the function that checks it, and it only.
#[derive(Debug)]
pub struct Row {
    pub rule: &'static Rule,
    /// What the function counts.
    pub unit: Unit,
    /// Gives how much it looked at. What a precondition keeps it from judging does not count.
    pub look: fn(&Context, &mut Found) -> usize,
}

const fn row(rule: &'static Rule, unit: Unit, look: fn(&Context, &mut Found) -> usize) -> Row {
    Row { rule, unit, look }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Archives,
    ConfigSymbols,
    Crcs,
    /// Lines of a list of objects.
    Entries,
    Files,
    Hashes,
    /// Lines that hold a CRC.
    Lines,
    Members,
    Messages,
    Objects,
    References,
    Steps,
    Symbols,
    /// Programs of LLVM.
    Tools,
}

impl Unit {
    /// As it is printed after a number.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Archives => "archives",
            Unit::ConfigSymbols => "configuration symbols",
            Unit::Crcs => "CRCs",
            Unit::Entries => "list entries",
            Unit::Files => "files",
            Unit::Hashes => "module hashes",
            Unit::Lines => "lines",
            Unit::Members => "archive members",
            Unit::Messages => "log messages",
            Unit::Objects => "objects",
            Unit::References => "references",
            Unit::Steps => "build steps",
            Unit::Symbols => "symbols",
            Unit::Tools => "tools",
        }
    }
}

/// A rule that was checked, and over how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub rule: &'static Rule,
    /// A rule that looked at nothing holds over nothing.
    pub looked_at: usize,
    pub unit: Unit,
}

impl From<&Coverage> for RuleCount {
    fn from(coverage: &Coverage) -> RuleCount {
        RuleCount {
            key: coverage.rule.key.to_owned(),
            looked_at: coverage.looked_at,
            unit: coverage.unit.name().to_owned(),
        }
    }
}

/// Every rule there is, in the order in which findings are reported: what
/// explains much comes before what it explains.
pub const FAMILIES: &[Family] = &[
    config::FAMILY,
    triple::FAMILY,
    flags::FAMILY,
    index::FAMILY,
    elf::FAMILY,
    archive::FAMILY,
    symbols::FAMILY,
    crc::FAMILY,
    loader::FAMILY,
    log::FAMILY,
    compdb::FAMILY,
];

/// Every rule of every family.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.iter().flat_map(Family::rules)
}

/// Runs the rules that make sense in the subject's mode and whose keys `only` covers (all,
/// where it is empty). Gives the rules that were run and what they found, both in the order
/// of the rules.
#[must_use]
pub fn check(subject: &Subject, only: &[String]) -> (Vec<Coverage>, Vec<Finding>) {
    let wanted =
        |row: &&Row| only.is_empty() || only.iter().any(|only| key_matches(only, row.rule.key));
    let context = Context::new(subject);
    let mut findings = Vec::new();
    let coverage = FAMILIES
        .iter()
        .filter(|family| (family.applies)(subject.mode))
        .flat_map(|family| family.rows)
        .filter(wanted)
        .map(|row| {
            let mut found = Found::of(row.rule);
            let looked_at = (row.look)(&context, &mut found);
            findings.append(&mut found.findings);
            Coverage {
                rule: row.rule,
                looked_at,
                unit: row.unit,
            }
        })
        .collect();
    (coverage, findings)
}

/// Collects what one rule finds.
#[derive(Debug)]
pub struct Found {
    rule: &'static Rule,
    findings: Vec<Finding>,
}

impl Found {
    fn of(rule: &'static Rule) -> Found {
        Found {
            rule,
            findings: Vec::new(),
        }
    }

    /// Notes that the rule is broken at `object`.
    fn add(&mut self, object: impl Into<String>, evidence: impl Into<String>) {
        self.findings.push(Finding {
            rule: self.rule,
            object: object.into(),
            evidence: evidence.into(),
        });
    }

    /// Looks at each of `items`, and gives how many there were.
    fn each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut look: impl FnMut(&mut Found, T),
    ) -> usize {
        let mut looked_at = 0;
        for item in items {
            looked_at += 1;
            look(self, item);
        }
        looked_at
    }
}

/// The objects that hold bitcode.
fn ir_objects(facts: &Facts) -> impl Iterator<Item = (Name, &Ir)> {
    facts
        .objects
        .iter()
        .filter_map(|object| match &object.file {
            ObjectFile::Ir(ir) => Some((object.name, &**ir)),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_unique_and_stands_in_its_family() {
        let mut keys = std::collections::BTreeSet::new();
        for family in FAMILIES {
            for rule in family.rules() {
                assert!(keys.insert(rule.key), "{} twice", rule.key);
                assert!(
                    key_matches(family.name, rule.key) && rule.key != family.name,
                    "{} in {}",
                    rule.key,
                    family.name
                );
            }
        }
    }
}
