//! Compares two build trees. Pure. There is one rule for each thing that must be equal between
//! in-process and distributed mode, or before and after a patch ([`rules`]). The cause of a
//! difference is searched for in how its object was compiled ([`cause`]).

mod cause;
pub mod rules;

use crate::model::tolerances::Tolerances;

use crate::model::arch::Arch;
use crate::model::cell::LtoMode;
use crate::model::facts::Facts;
use crate::model::facts::linked::Linked;
use crate::model::finding::{Finding, Rule};
use crate::model::record::{Identity, NotCompared};
use cause::Causes;

/// One of the two trees.
#[derive(Debug)]
pub struct Side {
    pub identity: Identity,
    pub arch: &'static Arch,
    pub facts: Facts,
    pub linked: Linked,
}

/// A difference that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub rule: &'static Rule,
    /// The symbol, section or entry.
    pub item: String,
    /// How the two differ.
    pub how: String,
    /// Its cause, if it was found.
    pub cause: Option<String>,
}

impl Difference {
    /// The same as a finding on the second tree.
    #[must_use]
    pub fn into_finding(self) -> Finding {
        let evidence = match self.cause {
            Some(cause) => format!("{}; {cause}", self.how),
            None => self.how,
        };
        Finding {
            rule: self.rule,
            object: self.item,
            evidence,
        }
    }
}

/// How the two trees compare.
#[derive(Debug)]
pub struct Compared {
    pub identities: [Identity; 2],
    /// Whether a function that both have was optimised alike: if not, its code may differ.
    pub optimised_alike: bool,
    /// Symbols of the configuration that differ, other than by the LTO mode.
    pub config: Vec<String>,
    /// In the order of the rules.
    pub differences: Vec<Difference>,
    /// Rules that had nothing to compare.
    pub not_compared: Vec<NotCompared>,
    pub sizes: Sizes,
}

/// The sizes in the two trees.
#[derive(Debug, Default)]
pub struct Sizes {
    /// Functions whose size differs, largest growth first.
    pub functions: Vec<SizeChange>,
    /// Bytes of all functions, and of all variables.
    pub totals: Vec<SizeChange>,
    /// Bytes of all sections of a kind, with the gaps that alignment leaves.
    pub sections: Vec<SizeChange>,
    /// Functions that both have.
    pub compared: usize,
    /// Functions whose names differ only in the suffix of their promotion (`.llvm.<hash>`).
    pub promoted: usize,
}

/// Something that has a size in both trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeChange {
    pub name: String,
    /// Bytes in the first tree, and in the second.
    pub bytes: [u64; 2],
}

impl SizeChange {
    /// How many bytes more the second has than the first.
    #[must_use]
    pub fn growth(&self) -> i64 {
        let [a, b] = self.bytes.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        b - a
    }

    /// Whether the two differ by more than this percentage of the larger.
    #[must_use]
    pub fn exceeds(&self, percent: u32) -> bool {
        let [a, b] = self.bytes.map(u128::from);
        a.abs_diff(b) * 100 > a.max(b) * u128::from(percent)
    }
}

/// Compares two trees of one architecture.
#[must_use]
pub fn compare(a: &Side, b: &Side, tolerances: &Tolerances) -> Compared {
    let sizes = rules::sizes(a, b);
    let causes = Causes::of(a, b);
    let optimised_alike = are_optimised_alike(&a.identity, &b.identity);
    let pair = rules::Pair {
        a,
        b,
        optimised_alike,
        causes: &causes,
        sizes: &sizes,
        tolerances,
    };
    let mut differences = Vec::new();
    let mut not_compared = Vec::new();
    for (rule, find) in rules::TABLE {
        match find(&pair) {
            Ok(found) => differences.extend(found.into_iter().map(|found| Difference {
                rule,
                item: found.item,
                how: found.how,
                cause: found.cause,
            })),
            Err(why) => not_compared.push(NotCompared {
                key: rule.key.to_owned(),
                why,
            }),
        }
    }
    Compared {
        identities: [a, b].map(|side| side.identity.clone()),
        optimised_alike,
        config: rules::config(a, b),
        differences,
        not_compared,
        sizes,
    }
}

/// Whether the same compiler built both, and saw as much of the kernel at a time.
fn are_optimised_alike(a: &Identity, b: &Identity) -> bool {
    let scope = |mode| match mode {
        LtoMode::ThinDist => LtoMode::Thin,
        LtoMode::None | LtoMode::Thin | LtoMode::Full => mode,
    };
    a.compiler == b.compiler && scope(a.lto) == scope(b.lto)
}

/// Differences of one rule that have the same cause.
#[derive(Debug)]
pub struct Group<'a> {
    pub rule: &'static Rule,
    pub cause: Option<&'a str>,
    pub differences: Vec<&'a Difference>,
}

/// Groups differences by rule and cause, the largest group first.
#[must_use]
pub fn groups(differences: &[Difference]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for difference in differences {
        let cause = difference.cause.as_deref();
        let same =
            |group: &&mut Group| group.rule.key == difference.rule.key && group.cause == cause;
        match groups.iter_mut().find(same) {
            Some(group) => group.differences.push(difference),
            None => groups.push(Group {
                rule: difference.rule,
                cause,
                differences: vec![difference],
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.differences.len()));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case([100, 110], 10, false)]
    #[case([100, 112], 10, true)]
    #[case([112, 100], 10, true)]
    #[case([0, 1], 99, true)]
    #[case([0, 0], 0, false)]
    #[case([u64::MAX, 0], 100, false)]
    fn sizes_are_apart_by_a_part_of_the_larger(
        #[case] bytes: [u64; 2],
        #[case] percent: u32,
        #[case] exceeds: bool,
    ) {
        let grown = SizeChange {
            name: String::new(),
            bytes,
        };
        assert_eq!(grown.exceeds(percent), exceeds);
    }
}
