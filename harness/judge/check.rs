//! From facts to findings: pure functions, one rule family a file. A new family
//! is one file and one row of [`FAMILIES`]; a new rule is one `Rule` in its
//! family's list and the lines that add its findings.

pub mod archive;
pub mod compdb;
pub mod config;
pub mod crc;
pub mod elf;
pub mod flags;
pub mod index;
pub mod log;
pub mod symbols;
pub mod triple;

use std::collections::BTreeMap;

use crate::model::arch::Arch;
use crate::model::cell::LtoMode;
use crate::model::facts::Facts;
use crate::model::finding::{Finding, Rule, key_matches};

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

/// Rules that look at the same thing.
#[derive(Debug)]
pub struct Family {
    /// The part of its keys before the dot.
    pub name: &'static str,
    pub rules: &'static [&'static Rule],
    /// Whether there is anything for its rules to look at.
    pub applies: fn(&Subject) -> bool,
    pub check: fn(&Subject, &mut Findings),
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
    log::FAMILY,
    compdb::FAMILY,
];

/// Every rule of every family.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES
        .iter()
        .flat_map(|family| family.rules.iter().copied())
}

/// Runs the rules that apply and whose keys `only` covers (all, where it is
/// empty). Gives the rules that were run, and what they found.
#[must_use]
pub fn check(subject: &Subject, only: &[String]) -> (Vec<&'static Rule>, Vec<Finding>) {
    let wanted = |rule: &Rule| only.is_empty() || only.iter().any(|p| key_matches(p, rule.key));
    let mut run = Vec::new();
    let mut findings = Findings::default();
    for family in FAMILIES.iter().filter(|family| (family.applies)(subject)) {
        let rules = family.rules.iter().copied().filter(|rule| wanted(rule));
        let before = run.len();
        run.extend(rules);
        if run.len() > before {
            (family.check)(subject, &mut findings);
        }
    }
    findings.0.retain(|finding| wanted(finding.rule));
    (run, findings.0)
}

/// Collects what the rules find.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Notes that `rule` is broken at `object`.
    pub fn add(
        &mut self,
        rule: &'static Rule,
        object: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        self.0.push(Finding {
            rule,
            object: object.into(),
            evidence: evidence.into(),
            step: None,
            suppressed: None,
        });
    }

    /// Takes over findings made elsewhere.
    pub fn extend(&mut self, findings: Vec<Finding>) {
        self.0.extend(findings);
    }

    /// The findings, in the order in which they were added.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_unique_and_stands_in_its_family() {
        let mut keys = std::collections::BTreeSet::new();
        for family in FAMILIES {
            for rule in family.rules {
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
