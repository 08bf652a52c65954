//! Every rule of klto over build trees that real tools made: none fires where nothing is
//! wrong, and each fires, alone, where the one thing is wrong that it is about.

#[path = "rules/case.rs"]
mod case;
#[path = "support/tree.rs"]
mod tree;

#[path = "rules/archive.rs"]
mod archive;
#[path = "rules/compdb.rs"]
mod compdb;
#[path = "rules/config.rs"]
mod config;
#[path = "rules/crc.rs"]
mod crc;
#[path = "rules/damage.rs"]
mod damage;
#[path = "rules/elf.rs"]
mod elf;
#[path = "rules/flags.rs"]
mod flags;
#[path = "rules/hostile.rs"]
mod hostile;
#[path = "rules/index.rs"]
mod index;
#[path = "rules/log.rs"]
mod log;
#[path = "rules/modes.rs"]
mod modes;
#[path = "rules/symbols.rs"]
mod symbols;
#[path = "rules/triple.rs"]
mod triple;
#[path = "rules/unfinished.rs"]
mod unfinished;

use std::collections::BTreeSet;

use klto::cell::LtoMode;
use rstest::rstest;
use tree::Tree;
use tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};

#[rstest]
fn a_tree_with_nothing_wrong_in_it_has_no_finding(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(target, mode);
    let checked = tree.answer().unwrap().checked;
    assert_eq!(checked.findings, []);
    assert_eq!(checked.unfinished, None);
    assert_eq!(checked.counts.objects, 10);
}

/// The table's own table of contents: a new rule needs a broken tree.
#[test]
fn every_rule_has_a_broken_tree() {
    let tables = [
        archive::CASES,
        compdb::CASES,
        config::CASES,
        crc::CASES,
        elf::CASES,
        flags::CASES,
        index::CASES,
        log::CASES,
        symbols::CASES,
        triple::CASES,
    ];
    let mut broken: BTreeSet<&str> = tables
        .iter()
        .flat_map(|cases| cases.iter().map(|case| case.keys[0]))
        .collect();
    broken.extend(config::ASKED_FOR);
    let rules: BTreeSet<&str> = klto::check::rules().map(|rule| rule.key).collect();
    assert_eq!(broken, rules);
}
