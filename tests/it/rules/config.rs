//! `config.*`, broken: the configuration is not the one that was asked for.

use std::collections::BTreeMap;

use klto::model::cell::LtoMode;
use rstest::rstest;

use super::case::broken;
use crate::support::tree::layout::X86_64;
use crate::support::tree::{Asked, Tree, keys};

broken! {
    two_modes_after_a_merge_of_config_fragments: X86_64 ThinDist => ["config.lto-mode"]
        at "the choice of LTO modes" saying "CONFIG_LTO_CLANG_THIN=y, CONFIG_LTO_CLANG_THIN_DIST=y";
    the_configuration_is_changed_after_the_build: ARM64 ThinDist => ["config.edited"]
        at "CONFIG_LTO_NONE" saying ".config has y, the build has n";
    a_number_is_changed_after_the_build: RISCV None => ["config.edited"]
        at "CONFIG_HZ" saying ".config has 1000, the build has 250";
    the_linker_is_of_another_version: RISCV ThinDist => ["config.linker"]
        at "CONFIG_LLD_VERSION" saying "190107, CONFIG_CLANG_VERSION is 22";
    a_command_names_a_linker_of_another_version: ARM64 ThinDist => ["config.tools"]
        at "ld.lld-19" saying "CONFIG_CLANG_VERSION is 22";
    nm_is_of_another_version: LOONGARCH Thin => ["config.tools"]
        at "llvm-nm-19" saying "CONFIG_CLANG_VERSION is 22";
}

/// `make LLVM=-22 LD=ld.lld-19` in a configured tree.
fn a_command_names_a_linker_of_another_version(tree: &mut Tree) {
    tree.edit(".vmlinux.o.cmd", |text| {
        let (before, after) = text.split_once("ld.lld").unwrap();
        format!("{before}ld.lld-19{}", &after[after.find(' ').unwrap()..])
    });
}

/// No command of nm is recorded; the log shows it where make is verbose, and what klto gave make.
fn nm_is_of_another_version(tree: &mut Tree) {
    tree.add_to_log("+ env LC_ALL=C make LLVM=-22 NM=llvm-nm-19 vmlinux");
}

fn two_modes_after_a_merge_of_config_fragments(tree: &mut Tree) {
    tree.edit_config(|text| format!("{text}CONFIG_LTO_CLANG_THIN=y\n"));
}

fn the_configuration_is_changed_after_the_build(tree: &mut Tree) {
    tree.edit(".config", |text| {
        text.replace("CONFIG_LTO_CLANG_THIN_DIST=y", "CONFIG_LTO_NONE=y")
    });
}

fn a_number_is_changed_after_the_build(tree: &mut Tree) {
    let build = "include/config/auto.conf";
    tree.edit(build, |text| format!("{text}CONFIG_HZ=250\n"));
    tree.edit(".config", |text| format!("{text}CONFIG_HZ=1000\n"));
}

/// `make LLVM=-22 LD=ld.lld-19`.
fn the_linker_is_of_another_version(tree: &mut Tree) {
    tree.edit_config(|text| {
        let lines = text.lines().map(|line| match line {
            line if line.starts_with("CONFIG_LLD_VERSION=") => "CONFIG_LLD_VERSION=190107",
            line => line,
        });
        lines.map(|line| format!("{line}\n")).collect()
    });
}

/// Rules whose broken tree is a right one that was not asked for: the tables cannot say
/// that, the tests below do.
pub const ASKED_FOR: &[&str] = &["config.symbol"];

#[rstest]
#[case::dropped_by_olddefconfig("CONFIG_KASAN", "y", Some("left n"))]
#[case::another_value(
    "CONFIG_CLANG_VERSION",
    "190107",
    Some("asked for CONFIG_CLANG_VERSION=190107")
)]
#[case::still_on("CONFIG_MODULES", "n", Some("left y"))]
#[case::as_asked_for("CONFIG_MODVERSIONS", "y", None)]
#[case::off_as_asked_for("CONFIG_KASAN", "n", None)]
fn a_symbol_must_have_the_value_that_was_asked_for(
    #[case] symbol: &str,
    #[case] value: &str,
    #[case] evidence: Option<&str>,
) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);

    let answer = tree.ask(&Asked {
        requested: BTreeMap::from([(symbol.to_owned(), value.to_owned())]),
        ..Asked::default()
    });

    let findings = answer.unwrap().inspection.findings;
    match evidence {
        None => assert_eq!(findings, []),
        Some(evidence) => {
            let [finding] = &findings[..] else {
                panic!("one finding: {findings:#?}")
            };
            assert_eq!(finding.key, "config.symbol");
            assert_eq!(finding.object, symbol);
            assert!(finding.evidence.contains(evidence), "{finding:?}");
        }
    }
}

#[rstest]
#[case::distributed_fell_back_to_in_process(LtoMode::ThinDist, LtoMode::Thin)]
#[case::in_process_was_not_switched(LtoMode::Thin, LtoMode::ThinDist)]
#[case::no_lto_was_not_switched(LtoMode::None, LtoMode::Thin)]
fn a_tree_in_another_mode_than_was_asked_for_is_reported(
    #[case] asked: LtoMode,
    #[case] built: LtoMode,
) {
    let tree = Tree::pristine(X86_64, built);

    let answer = tree.ask(&Asked {
        mode: Some(asked),
        ..Asked::default()
    });

    let findings = answer.unwrap().inspection.findings;
    assert!(keys(&findings).contains("config.lto-mode"), "{findings:#?}");
}
