//! `config.*`: the configuration is the one that was asked for. `olddefconfig`
//! silently drops a symbol whose dependencies do not hold.

use std::collections::BTreeMap;

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::finding::{Finding, Rule, Severity};

pub const FAMILY: Family = Family {
    name: "config",
    rules: &[&LTO_MODE, &SYMBOL],
    applies: |_| true,
    check,
};

const LTO_MODE: Rule = Rule {
    key: "config.lto-mode",
    severity: Severity::Error,
    invariant: "exactly one LTO mode is on, and it is the one that was asked for",
    broken: "objects break it",
    why: "a tree configured for another mode passes the rules of that mode and proves nothing about this one",
    fix: "look in .config why the choice fell elsewhere: an unmet dependency of LTO_CLANG_THIN_DIST, or an older linker or compiler",
};

const SYMBOL: Rule = Rule {
    key: "config.symbol",
    severity: Severity::Error,
    invariant: "every symbol that was asked for has that value in include/config/auto.conf after olddefconfig",
    broken: "objects break it",
    why: "Kconfig drops a symbol whose dependencies are not met without a word, and the test then runs without it",
    fix: "add what the symbol depends on to the matrix's config, or drop the symbol",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let found = check_config(&subject.facts.config, subject.mode, subject.requested);
    findings.extend(found);
}

/// Checks a configuration (symbols with `CONFIG_`) before anything is built.
#[must_use]
pub fn check_config(
    config: &BTreeMap<String, String>,
    mode: LtoMode,
    requested: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    let value = |symbol: &str| config.get(symbol).map_or("n", String::as_str);
    let wanted = mode.config_symbol();
    let on: Vec<&str> = LtoMode::ALL
        .iter()
        .map(|mode| mode.config_symbol())
        .filter(|symbol| value(&format!("CONFIG_{symbol}")) == "y")
        .collect();
    // Kernels before 5.12 have no such choice.
    let no_choice = on.is_empty() && mode == LtoMode::None;
    if on != [wanted] && !no_choice {
        let found = match on[..] {
            [] => "no LTO mode at all".to_owned(),
            _ => format!("CONFIG_{}=y", on.join("=y, CONFIG_")),
        };
        findings.add(
            &LTO_MODE,
            "the choice of LTO modes",
            format!("expected CONFIG_{wanted}=y alone, found {found}"),
        );
    }
    let mode_symbol = format!("CONFIG_{wanted}");
    for (symbol, asked) in requested
        .iter()
        .filter(|(symbol, _)| **symbol != mode_symbol)
    {
        let found = value(symbol);
        // .config quotes strings, auto.conf does not.
        if found.trim_matches('"') != asked.trim_matches('"') {
            findings.add(
                &SYMBOL,
                symbol,
                format!("asked for {symbol}={asked}, olddefconfig left {found}"),
            );
        }
    }
    findings.into_vec()
}
