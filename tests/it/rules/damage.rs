//! Whatever the files contain, klto finishes without a panic: real files, cut and
//! flipped at random.

use std::time::{Duration, Instant};

use klto::model::cell::LtoMode;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::support::tree::Tree;
use crate::support::tree::layout::RISCV;
use crate::support::tree::recipes::Recipes;

#[path = "../../fuzz/targets.rs"]
mod targets;
use targets::TARGETS;

/// What people write, and what klto keeps, in a few lines.
const TEXTS: [&str; 6] = [
    "name: m\ntoolchains:\n  a: { make: { LLVM: \"-22\" } }\nconfigs:\n  c: { base: tinyconfig, set: { A: 0x1 } }\n\
     axes: { arch: [arm64], config: [c], lto: [thin], toolchain: [a] }\ntimeout: 2h\n",
    "- { key: flags.saved-missing, cells: \"x86_64/*\", reason: \"known\", until: \"7.4\" }\n",
    "# Linux/x86 7.2.0\nCONFIG_A=y\nCONFIG_B=\"b\\\"c\"\n# CONFIG_C is not set\n",
    "From: A <a@example.org>\nSubject: [PATCH v2 1/3] kbuild: x\nMessage-ID: <1@x>\n\
     In-Reply-To: <0@x>\nContent-Type: text/plain; charset=utf-8\n\nWhy.\n---\n a | 2 +-\n\n\
     diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+y\n-- \n2.1\n",
    "# bad: [1111111111111111111111111111111111111111] x\ngit bisect start 'main' 'v1'\n\
     # good: [2222222222222222222222222222222222222222] y\ngit bisect good 2222222222222222222222222222222222222222\n",
    "[    0.000000] Linux version 7.2.0 (a@b)\r\n[    1.0] WARNING: CPU: 0\r\nklto: init runs on Linux 7.2.0\r\n",
];

/// Files of every kind that klto reads.
const FILES: [&str; 21] = [
    "init/main.o",
    "lib/ring.o",
    "lib/copy.o",
    "init/main.o.thinlto.bc",
    "init/main.thinlto-native.o",
    "virt/kvm/.vcpu.o.cmd",
    "virt/kvm/.vcpu.thinlto-native.o.cmd",
    "built-in-fixup.a",
    "vmlinux.a",
    "builtin.order",
    "vmlinux.thinlto-index",
    ".vmlinux.objs",
    "vmlinux.symvers",
    ".vmlinux.export.c",
    "vmlinux.o",
    "vmlinux",
    "Module.symvers",
    "modules.order",
    "drivers/m/m.mod",
    "include/config/auto.conf",
    "compile_commands.json",
];

/// What happens to a file: some bytes change, and its end may be lost.
#[derive(Debug, Clone)]
struct Damage {
    bytes: Vec<(Index, u8)>,
    cut: Option<Index>,
}

impl Damage {
    fn applied_to(&self, content: &[u8]) -> Vec<u8> {
        let mut damaged = content.to_vec();
        for (at, byte) in &self.bytes {
            let at = at.index(damaged.len());
            damaged[at] = *byte;
        }
        if let Some(cut) = &self.cut {
            damaged.truncate(cut.index(content.len()));
        }
        damaged
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..8);
    (bytes, proptest::option::of(any::<Index>())).prop_map(|(bytes, cut)| Damage { bytes, cut })
}

fn assert_quick(start: Instant, what: &str) {
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{what} takes {took:?}");
}

/// Every parser, on any input: any file may have any name.
fn parse_with_all(bytes: &[u8]) {
    for (name, parse) in TARGETS {
        let start = Instant::now();
        parse(bytes);
        assert_quick(start, name);
    }
}

/// Damages one of several things at random, so many times; `each` gets which, and the damage.
fn damage_some(names: &'static [&'static str], cases: u32, each: impl Fn(&'static str, &Damage)) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(
            &(proptest::sample::select(names), damage()),
            |(name, damage)| {
                each(name, &damage);
                Ok(())
            },
        )
        .unwrap_or_else(|e| panic!("{e}"));
}

/// The same with the files of a tree; `each` is given a file and what becomes of it.
fn damage_files(tree: &Tree, each: impl Fn(&'static str, &[u8])) {
    damage_some(&FILES, 64, |file, damage| {
        each(file, &damage.applied_to(&tree.read(file)));
    });
}

fn whole_tree() -> Tree {
    let mut tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    tree.compile_commands(Recipes::default());
    tree
}

#[test]
fn no_parser_panics_on_a_damaged_file() {
    let tree = whole_tree();
    damage_files(&tree, |_, damaged| parse_with_all(damaged));
}

#[test]
fn no_parser_panics_on_a_damaged_text() {
    damage_some(&TEXTS, 512, |text, damage| {
        parse_with_all(&damage.applied_to(text.as_bytes()));
    });
}

#[test]
fn each_target_has_a_program_for_libfuzzer() {
    let package = include_str!("../../fuzz/Cargo.toml");
    let programs = package.split("[[bin]]\n").skip(1);
    let programs: Vec<&str> = programs
        .map(|program| program.split('"').nth(1).unwrap())
        .collect();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(programs, names);
}

#[test]
fn a_tree_with_a_damaged_file_is_checked_to_the_end() {
    let tree = whole_tree();
    damage_files(&tree, |file, damaged| {
        let whole = tree.read(file);
        tree.write(file, damaged);
        let start = Instant::now();
        // Findings, or an error that says where: both are answers.
        let answer = tree.answer();
        tree.write(file, whole);
        assert_quick(start, file);
        if let Err(error) = answer {
            let said = error.to_string();
            assert!(said.contains(tree.path().to_str().unwrap()), "{said}");
        }
    });
}
