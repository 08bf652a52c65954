//! Whatever the files contain, klto finishes without a panic: real files, cut and
//! flipped at random.

use std::path::Path;
use std::time::{Duration, Instant};

use klto::model::cell::LtoMode;
use klto::model::facts::NameTable;
use klto::tree::collect::cmd_file::Roots;
use klto::tree::collect::{
    archive, bitcode, build_log, cmd_file, compile_commands, elf, image, kconfig, loader, symvers,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::support::tree::Tree;
use crate::support::tree::layout::RISCV;
use crate::support::tree::recipes::Recipes;

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
    let names = NameTable::default();
    let text = String::from_utf8_lossy(bytes);
    let _ = bitcode::is_bitcode(bytes);
    if let Ok(object) = bitcode::read_object(bytes) {
        for symbol in object.symbols.iter().flatten() {
            assert!(symbol.name.len() <= bytes.len());
        }
    }
    let _ = bitcode::read_index(bytes);
    let _ = elf::parse_object(bytes, &names);
    let _ = image::read_vmlinux(bytes, Some("7.2.0"), &names);
    let _ = image::read_vmlinux_o(bytes, &names);
    let _ = image::initcall_script(&text, &names);
    let _ = loader::module_tables(bytes, &names);
    let _ = archive::parse(bytes, Path::new("lib"), &names);
    let spelling = cmd_file::Spelling {
        roots: &Roots::default(),
        saved_prefix: "saved_c_flags_",
    };
    let _ = cmd_file::parse(bytes, &spelling, &names);
    let _ = compile_commands::parse(bytes, &Roots::default(), &names);
    let _ = symvers::parse(&text, &names);
    let _ = symvers::export_crcs(bytes, &names);
    let _ = build_log::parse(bytes);
    let _ = kconfig::parse(&text);
}

/// Damages files of one tree at random; `each` is given a file and what becomes of it.
fn damage_files(tree: &Tree, each: impl Fn(&'static str, &[u8])) {
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (proptest::sample::select(&FILES[..]), damage());
    runner
        .run(&strategy, |(file, damage)| {
            each(file, &damage.applied_to(&tree.read(file)));
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

fn whole_tree() -> Tree {
    let mut tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    tree.compile_commands(Recipes::default());
    tree
}

#[test]
fn no_parser_panics_on_a_damaged_file() {
    let tree = whole_tree();
    damage_files(&tree, |file, damaged| {
        let start = Instant::now();
        parse_with_all(damaged);
        assert_quick(start, file);
    });
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
