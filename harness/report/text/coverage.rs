//! How much the rules looked at: a rule that looked at nothing holds over nothing, and is
//! not counted as one that holds.

use std::collections::BTreeSet;

use crate::model::finding::counted;
use crate::model::record::{FindingRecord, RuleCount};
use crate::report::printable;

/// The units that a summary names.
const UNITS: [&str; 3] = ["objects", "symbols", "modules"];

/// How much a list of rules looked at.
#[derive(Debug)]
pub struct Coverage {
    /// Rules that looked at something.
    pub rules: usize,
    /// The most that one rule looked at, by unit.
    most: Vec<(&'static str, usize)>,
    /// Keys of rules that looked at nothing; `family.*` where that is the whole family.
    nothing: Vec<String>,
    /// How many rules those are.
    idle: usize,
}

impl Coverage {
    /// Adds up the rules. One that found something has looked at something, whatever it
    /// counted; a failed build is such a rule.
    pub fn of<'a>(
        rules: &[RuleCount],
        findings: impl IntoIterator<Item = &'a FindingRecord>,
    ) -> Coverage {
        let found: BTreeSet<&str> = findings.into_iter().map(|f| f.key.as_str()).collect();
        let is_idle = |rule: &&RuleCount| rule.looked_at == 0 && !found.contains(&*rule.key);
        let idle: Vec<&RuleCount> = rules.iter().filter(is_idle).collect();
        let listed: BTreeSet<&str> = rules.iter().map(|rule| rule.key.as_str()).collect();
        let most = UNITS.map(|unit| {
            let of_unit = rules.iter().filter(|rule| rule.unit == unit);
            (unit, of_unit.map(|rule| rule.looked_at).max().unwrap_or(0))
        });
        Coverage {
            rules: rules.len() - idle.len() + found.difference(&listed).count(),
            most: most.into_iter().filter(|(_, number)| *number > 0).collect(),
            nothing: compressed(rules, &idle),
            idle: idle.len(),
        }
    }

    /// ` over 501 objects, 2807 symbols`; empty where no unit is known.
    pub fn over(&self) -> String {
        let most = self.most.iter();
        let parts: Vec<String> = most.map(|(unit, number)| counted(*number, unit)).collect();
        if parts.is_empty() {
            return String::new();
        }
        format!(" over {}", parts.join(", "))
    }

    /// `6 rules had nothing to look at: compdb.*, crc.modules`, if there are any; `place`
    /// comes before the colon.
    pub fn nothing(&self, place: &str) -> Option<String> {
        let rules = counted(self.idle, "rules");
        let keys = self.nothing.join(", ");
        (self.idle > 0).then(|| {
            format!(
                "{rules} had nothing to look at{place}: {}",
                printable(&keys)
            )
        })
    }
}

/// The keys of `idle`, those of a whole family as one.
fn compressed(rules: &[RuleCount], idle: &[&RuleCount]) -> Vec<String> {
    let family = |rule: &RuleCount| rule.key.split('.').next().unwrap_or_default().to_owned();
    let mut keys: Vec<String> = Vec::new();
    for rule in idle {
        let name = family(rule);
        let listed = rules.iter().filter(|r| family(r) == name).count();
        let here = idle.iter().filter(|r| family(r) == name).count();
        let key = if listed == here && listed > 1 {
            format!("{name}.*")
        } else {
            rule.key.clone()
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::FindingRecord;

    fn rule(key: &str, looked_at: usize, unit: &str) -> RuleCount {
        RuleCount {
            key: key.to_owned(),
            looked_at,
            unit: unit.to_owned(),
        }
    }

    #[test]
    fn a_rule_that_looked_at_nothing_is_named_and_not_counted() {
        let rules = [
            rule("elf.type", 501, "objects"),
            rule("elf.arch", 1, "objects"),
            rule("log.lto", 900, "lines"),
            rule("crc.symbols", 1, "symbols"),
            rule("crc.modules", 0, "modules"),
            rule("compdb.lost", 0, "entries"),
            rule("compdb.stale", 0, "entries"),
            rule("triple.target", 0, "objects"),
        ];

        let coverage = Coverage::of(&rules, []);

        assert_eq!(coverage.rules, 4);
        assert_eq!(coverage.over(), " over 501 objects, 1 symbol");
        assert_eq!(
            coverage.nothing("").as_deref(),
            Some("4 rules had nothing to look at: crc.modules, compdb.*, triple.target")
        );
    }

    #[test]
    fn a_rule_that_found_something_has_looked() {
        let finding = |key: &str| FindingRecord {
            lapsed: None,
            key: key.to_owned(),
            object: String::new(),
            evidence: String::new(),
            details: Vec::new(),
            step: None,
            allowed: None,
        };
        let found = [finding("elf.type"), finding("build.failed")];

        let coverage = Coverage::of(&[rule("elf.type", 0, "objects")], &found);

        assert_eq!(coverage.rules, 2);
        assert_eq!(coverage.over(), "");
        assert_eq!(coverage.nothing(""), None);
    }
}
