//! A build that has not come to its end is unfinished, not broken: at each stage nothing
//! is found, and klto says what is missing.

use klto::model::cell::LtoMode;
use rstest::rstest;

use super::case::list;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64, units};
use crate::support::tree::recipes::{Recipes, dot_cmd, native};
use crate::support::tree::{MADE, Tree, keys};

fn assert_unfinished(tree: &Tree, stage: &str) {
    let checked = tree.answer().unwrap().inspection;
    assert!(
        checked.findings.is_empty(),
        "{stage}:\n{}",
        list(&checked.findings)
    );
    assert!(checked.unfinished.is_some(), "{stage}");
}

#[rstest]
fn a_build_on_its_way_has_no_finding(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(target, mode);
    let distributed = mode == LtoMode::ThinDist;
    let objects: Vec<String> = units(target).into_iter().map(|unit| unit.object).collect();
    for (step, file) in MADE.iter().rev() {
        if !tree.exists(file) {
            assert!(!distributed, "{file} is missing");
            continue;
        }
        tree.remove(file);
        assert_unfinished(&tree, &format!("{file} is not made yet"));
        if *step == Step::VmlinuxA && distributed {
            for object in objects.iter().rev() {
                let native = native(object);
                if tree.exists(&native) {
                    tree.remove(&dot_cmd(&native));
                    assert_unfinished(&tree, &format!("{native} is not recorded yet"));
                    tree.remove(&native);
                    assert_unfinished(&tree, &format!("{native} is not made yet"));
                }
            }
        }
        if *step == Step::Index {
            for object in &objects {
                let summary = format!("{object}.thinlto.bc");
                if tree.exists(&summary) {
                    tree.remove(&summary);
                    assert_unfinished(&tree, &format!("{summary} is not made yet"));
                }
            }
        }
    }
    for object in objects.iter().rev() {
        tree.remove(object);
        tree.remove(&dot_cmd(object));
        assert_unfinished(&tree, &format!("{object} is not made yet"));
    }
}

#[test]
fn a_configured_tree_that_was_never_built_has_no_finding() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    for entry in std::fs::read_dir(tree.path()).unwrap() {
        let path = entry.unwrap().path();
        let keep = [".config", "include", "source"].map(|name| tree.file(name));
        if keep.contains(&path) {
            continue;
        }
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
    }
    let checked = tree.answer().unwrap().inspection;
    assert_eq!(checked.findings, []);
    assert_eq!(
        checked.unfinished.as_deref(),
        Some("built-in-fixup.a is missing")
    );
}

/// The flags changed, and make stopped before it came to all back ends: the native
/// objects of the earlier build are older than their objects, and will be rebuilt.
#[test]
fn native_objects_that_make_has_not_come_to_again_are_not_judged() {
    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |_, front| front.own += " -O2",
            back: |unit, back| {
                if unit.object == "kernel/sched/core.o" {
                    back.options += " -fno-such-option";
                }
            },
            ..Recipes::default()
        },
        Step::Natives,
    );
    assert_unfinished(&tree, "the back end of kernel/sched/core.o fails");
}

/// A change that shows in every file of the build: an object less, another one with LTO,
/// other flags, another CRC.
fn change() -> Recipes {
    Recipes {
        front: |unit, front| {
            front.own += " -O2";
            if unit.object.ends_with("mm/early.o") {
                front.own += " -flto=thin -fsplit-lto-unit";
            }
            front.symvers = |genksyms| {
                let other = |line: &str| format!("{}0x00000007\n", &line[..line.len() - 10]);
                genksyms.lines().map(other).collect()
            };
        },
        ..Recipes::default()
    }
}

/// Files of the earlier build are one finding, not as many as they differ in.
#[rstest]
fn an_interrupted_rebuild_is_stale_and_nothing_else(
    #[values(LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
    #[values(
        Step::Fixup,
        Step::Order,
        Step::Index,
        Step::Natives,
        Step::VmlinuxA,
        Step::VmlinuxO,
        Step::Modpost
    )]
    last: Step,
) {
    let mut tree = Tree::pristine(X86_64, mode);
    tree.drop_object("lib/copy.o");
    tree.make_until(Step::Objects, last, change());
    let findings = tree.findings();
    assert_eq!(
        keys(&findings),
        ["archive.stale"].into(),
        "\n{}",
        list(&findings)
    );
}

#[rstest]
fn a_finished_rebuild_has_no_finding(#[values(LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode) {
    let mut tree = Tree::pristine(X86_64, mode);
    tree.drop_object("lib/copy.o");
    tree.make(Step::Objects, change());
    assert_eq!(tree.findings(), []);
}

/// make was killed between the compiler and the `.cmd` file, in a build that turned LTO off.
#[test]
fn an_object_is_not_held_against_the_command_of_an_earlier_build() {
    let tree = Tree::pristine(X86_64, LtoMode::Thin);
    tree.shell("clang-22 -Wno-override-module -x ir -c lib/ring.o -o new && mv new lib/ring.o");
    assert_eq!(keys(&tree.findings()), ["elf.kind"].into());
    tree.unmake(Step::VmlinuxA);
    assert_unfinished(&tree, "vmlinux.a is not made yet");
}
