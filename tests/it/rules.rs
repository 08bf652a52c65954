//! Every rule of klto over build trees that real tools made: none fires on a correct
//! tree, and each fires, without any other, on a tree with the one defect it is for.

mod archive;
mod case;
mod compdb;
mod config;
mod counts;
mod crc;
mod damage;
mod elf;
mod flags;
mod harmless;
mod hostile;
mod index;
mod loader;
mod log;
mod modes;
mod symbols;
mod triple;
mod unfinished;

use std::collections::BTreeSet;

use crate::support::tree::Tree;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use klto::model::cell::LtoMode;
use rstest::rstest;

#[rstest]
fn a_tree_with_nothing_wrong_in_it_has_no_finding(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(target, mode);
    let checked = tree.answer().unwrap().inspection;
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
        loader::CASES,
        log::CASES,
        symbols::CASES,
        triple::CASES,
    ];
    let mut broken: BTreeSet<&str> = tables
        .iter()
        .flat_map(|cases| cases.iter().map(|case| case.keys[0]))
        .collect();
    broken.extend(config::ASKED_FOR);
    let rules: BTreeSet<&str> = klto::judge::check::rules().map(|rule| rule.key).collect();
    assert_eq!(broken, rules);
}
