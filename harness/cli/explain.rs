//! `klto explain`: a rule's invariant, why it matters, and how to fix it.

use std::fmt::Write as _;

use super::{check::unknown_key, print};
use crate::cli::args::Explain;
use crate::model::error::{Error, Exit};
use crate::model::finding::{Rule, key_matches};
use crate::run::rules;

pub fn run(args: &Explain) -> Result<Exit, Error> {
    let rules: Vec<&Rule> = rules::rules()
        .filter(|rule| {
            args.key
                .as_ref()
                .is_none_or(|key| key_matches(key, rule.key))
        })
        .collect();
    match (&args.key, rules.is_empty()) {
        (Some(key), true) => Err(unknown_key(key)),
        _ => {
            print(&if args.markdown {
                markdown(&rules)
            } else {
                plain(&rules)
            })?;
            Ok(Exit::Pass)
        }
    }
}

fn plain(rules: &[&Rule]) -> String {
    let mut out = String::new();
    for rule in rules {
        let _ = writeln!(
            out,
            "{} ({})\n  invariant: {}\n  why:       {}\n  fix:       {}\n",
            rule.key,
            rule.severity.name(),
            rule.invariant,
            rule.why,
            rule.fix
        );
    }
    out
}

/// The text of `docs/rules.md`.
#[must_use]
pub fn markdown(rules: &[&Rule]) -> String {
    let mut out = String::from(
        "# Rules\n\n`klto` checks build trees against these rules. `klto explain KEY` shows the same texts.\n`klto explain --markdown` writes this file, and a test compares the two.\n",
    );
    let mut family = "";
    for rule in rules {
        let this = rule.key.split('.').next().unwrap_or_default();
        if this != family {
            family = this;
            let _ = write!(out, "\n## {family}\n");
        }
        let _ = write!(
            out,
            "\n### `{}`\n\n{}: {}.\n\n- Why: {}.\n- How to fix: {}.\n",
            rule.key,
            rule.severity.name(),
            rule.invariant,
            rule.why,
            rule.fix
        );
    }
    out
}
