//! The registry: every rule that can be reported.

use std::collections::BTreeMap;

use crate::build::boot;
use crate::input::allow::KnownNames;
use crate::judge::{check, diff};
use crate::model::cell::SCENARIOS;
use crate::model::error::Error;
use crate::model::finding::{BUILD_FAILED, Rule, SANDBOX_PLANTED, SANDBOX_REFUSED};
use crate::model::record::RuleText;
use crate::run::scenario;

/// Every rule that can be reported: over a tree, over a build, over what make does with a
/// tree that is there.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    check::rules()
        .chain([&BUILD_FAILED, &SANDBOX_REFUSED, &SANDBOX_PLANTED])
        .chain(scenario::rules::RULES.iter().copied())
        .chain(boot::console::RULES)
        .chain(diff::rules::rules())
}

/// The texts of the rules with these keys; a key that no rule has gets none.
#[must_use]
pub fn texts<'a>(keys: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, RuleText> {
    let all: BTreeMap<&str, &Rule> = rules().map(|rule| (rule.key, rule)).collect();
    let known = |key: &str| Some((key.to_owned(), RuleText::from(*all.get(key)?)));
    keys.into_iter().filter_map(known).collect()
}

/// Keys that rules had earlier, each with the one it has now: allow files and scripts name
/// keys.
pub const RENAMED: &[(&str, &str)] = &[
    ("boot.no-line", "boot.no-init"),
    ("fault.silent", "damage.silent"),
    ("fault.stuck", "damage.stuck"),
    ("order.differs", "shuffle.differs"),
    ("where.differs", "location.differs"),
];

/// What an allow entry may name.
///
/// # Errors
/// When an embedded file is broken, which a unit test rules out.
pub fn known_names() -> Result<KnownNames, Error> {
    let mut scenarios = BTreeMap::from([
        ("build".to_owned(), Some(Vec::new())),
        ("compare".to_owned(), Some(Vec::new())),
    ]);
    for name in SCENARIOS.into_iter().filter(|name| *name != "build") {
        let steps = scenario::by_name(name)?.step_names();
        scenarios.insert(name.to_owned(), steps);
    }
    Ok(KnownNames {
        keys: rules().map(|rule| rule.key).collect(),
        renamed_keys: RENAMED,
        scenarios,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::counted;

    #[test]
    fn a_key_that_was_renamed_is_no_rule_any_more_and_its_new_one_is() {
        let keys: Vec<&str> = rules().map(|rule| rule.key).collect();
        for (old, new) in RENAMED {
            assert!(!keys.contains(old) && keys.contains(new), "{old} {new}");
        }
    }

    /// One finding of each rule, as a report counts it: read these lines when a phrase
    /// changes.
    #[test]
    fn one_finding_of_each_rule_reads_as_a_sentence() {
        let lines: Vec<String> = rules()
            .map(|rule| format!("{}: {}", rule.key, counted(1, rule.broken)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// A kernel log and a mail are ASCII. `tests/it/english.rs` checks the words.
    #[test]
    fn the_texts_are_in_ascii() {
        for rule in rules() {
            for text in [rule.invariant, rule.broken, rule.why, rule.fix] {
                assert!(text.is_ascii(), "{}: {text}", rule.key);
                assert!(!text.ends_with(['.', ' ']), "{}: {text}", rule.key);
                assert!(!text.contains("objects break it"), "{}: {text}", rule.key);
            }
        }
    }
}
