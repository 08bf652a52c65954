//! How much each rule looks at, on trees with nothing wrong: all that there is for it, and
//! nothing where there is nothing. Of the tree's ten objects seven are compiled from C, and
//! six of these for LTO; a module has two more.

use klto::model::cell::LtoMode::{self, None, Thin, ThinDist};
use rstest::rstest;

use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, RISCV, Target, X86_64};
use crate::support::tree::recipes::Recipes;

#[rstest]
#[case::config(X86_64, ThinDist, "config", &[
    "lto-mode: 4 configuration symbols",
    "symbol: 1 configuration symbols",
    "edited: 11 configuration symbols",
    "linker: 1 configuration symbols",
    "tools: 1 tools",
])]
#[case::triple(ARM64, Thin, "triple", &["target: 6 objects", "producer: 6 objects"])]
#[case::flags(X86_64, ThinDist, "flags", &[
    "saved-missing: 7 objects",
    "saved-twice: 7 objects",
    "saved-name: 7 objects",
    "saved-syntax: 7 objects",
    "saved-differs: 7 objects",
    "backend-unrecorded: 6 objects",
    "backend-lacks: 6 objects",
    "backend-command: 6 objects",
    "backend-contradicts: 6 objects",
    "compiler: 6 objects",
])]
#[case::index(ARM64, ThinDist, "index", &[
    "not-listed: 6 objects",
    "not-ir: 6 list entries",
    "summary-missing: 6 objects",
    "summary-damaged: 6 files",
    "summary-other-module: 6 files",
    "summary-hash: 13 module hashes",
    "native-missing: 6 objects",
    "stale: 6 objects",
])]
#[case::elf(X86_64, ThinDist, "elf", &[
    "empty: 17 files",
    "damaged: 19 files",
    "not-native: 7 files",
    "machine: 13 files",
    "flags: 13 files",
    "type: 13 files",
    "stripped: 2 files",
    "release: 1 files",
    "no-symbols: 6 objects",
    "kind: 9 objects",
])]
#[case::elf_in_process(X86_64, Thin, "elf", &[
    "empty: 11 files",
    "damaged: 13 files",
    "not-native: 1 files",
    "machine: 7 files",
    "flags: 7 files",
    "type: 7 files",
    "stripped: 2 files",
    "release: 1 files",
    "no-symbols: 0 objects",
    "kind: 9 objects",
])]
#[case::archive(X86_64, ThinDist, "archive", &[
    "stale: 6 build steps",
    "damaged: 2 archives",
    "empty: 2 archives",
    "not-thin: 2 archives",
    "nondeterministic: 2 archives",
    "duplicate: 28 archive members",
    "member-missing: 10 archive members",
    "unrecorded: 10 archive members",
    "order-file: 10 list entries",
    "head-order: 1 objects",
    "members: 10 archive members",
    "bitcode: 6 objects",
    "no-bitcode: 7 objects",
    "not-linked: 1 files",
    "objs-file: 10 list entries",
])]
#[case::archive_in_process(ARM64, Thin, "archive", &[
    "stale: 4 build steps",
    "damaged: 2 archives",
    "empty: 2 archives",
    "not-thin: 2 archives",
    "nondeterministic: 2 archives",
    "duplicate: 28 archive members",
    "member-missing: 10 archive members",
    "unrecorded: 10 archive members",
    "order-file: 0 list entries",
    "head-order: 1 objects",
    "members: 10 archive members",
    "bitcode: 0 objects",
    "no-bitcode: 7 objects",
    "not-linked: 1 files",
    "objs-file: 10 list entries",
])]
#[case::symbols(X86_64, ThinDist, "symbols", &[
    "lost: 10 symbols",
    "promotion-unresolved: 5 references",
    "initcalls: 6 symbols",
])]
#[case::symbols_in_process(X86_64, Thin, "symbols", &[
    "lost: 0 symbols",
    "promotion-unresolved: 0 references",
    "initcalls: 6 symbols",
])]
#[case::crc(ARM64, ThinDist, "crc", &[
    "cmd-missing: 12 objects",
    "syntax: 23 lines",
    "missing: 8 symbols",
    "not-listed: 7 symbols",
    "zero: 8 symbols",
    "differs: 37 CRCs",
])]
#[case::loader(RISCV, ThinDist, "loader", &[
    "exports: 8 symbols",
    "licence: 9 symbols",
    "undefined: 2 references",
    "namespace: 1 references",
    "vermagic: 1 files",
])]
#[case::log(X86_64, Thin, "log", &[
    "target-triple: 4 log messages",
    "target-feature: 4 log messages",
    "override-module: 4 log messages",
    "index-load: 4 log messages",
    "modversions: 4 log messages",
    "shell-tool: 4 log messages",
    "unclassified: 4 log messages",
])]
#[case::compdb_not_asked_for(X86_64, Thin, "compdb", &[
    "damaged: 0 files",
    "lost-entries: 0 objects",
    "wrong-command: 0 objects",
])]
#[case::no_family_in_this_mode(X86_64, None, "flags", &[])]
fn each_rule_says_how_much_it_looked_at(
    #[case] target: &'static Target,
    #[case] mode: LtoMode,
    #[case] family: &str,
    #[case] expected: &[&str],
) {
    let tree = Tree::pristine(target, mode);
    // make has said two things already.
    tree.add_to_log("modpost: nothing to say\nmake[1]: all is well");
    assert_eq!(counts(&tree, family), expected);
}

#[test]
fn a_compilation_database_is_looked_at_where_it_was_asked_for() {
    let mut tree = Tree::pristine(X86_64, ThinDist);
    tree.compile_commands(Recipes::default());
    let expected = [
        "damaged: 1 files",
        "lost-entries: 9 objects",
        "wrong-command: 9 objects",
    ];
    assert_eq!(counts(&tree, "compdb"), expected);
}

#[test]
fn what_make_has_not_come_to_is_not_looked_at() {
    let tree = Tree::pristine(X86_64, ThinDist);
    tree.unmake(Step::VmlinuxA);
    assert_eq!(
        counts(&tree, "archive.members"),
        ["members: 0 archive members"]
    );
    assert_eq!(counts(&tree, "index.stale"), ["stale: 0 objects"]);
    assert_eq!(counts(&tree, "crc.missing"), ["missing: 0 symbols"]);
    assert_eq!(counts(&tree, "symbols.lost"), ["lost: 0 symbols"]);
}

fn counts(tree: &Tree, only: &str) -> Vec<String> {
    let (coverage, findings) = tree.check(&tree.facts(), &[only]);
    assert_eq!(findings, []);
    let name = |key: &str| key.split('.').nth(1).unwrap().to_owned();
    coverage
        .iter()
        .map(|row| {
            let (name, unit) = (name(row.rule.key), row.unit.name());
            format!("{name}: {} {unit}", row.looked_at)
        })
        .collect()
}
