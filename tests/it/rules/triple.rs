//! `triple.*`, broken: bitcode for another target, or from another compiler.

use super::case::broken;
use crate::support::tree::kbuild::Step;
use crate::support::tree::recipes::{Front, Recipes};
use crate::support::tree::toolchain::{clang_version, version_number};
use crate::support::tree::{Tree, bits};

broken! {
    one_object_loses_the_target_on_a_native_build: X86_64 ThinDist => ["triple.target"]
        at "arch/ARCH/lib/copy.o" saying "'x86_64-pc-linux-gnu', expected 'x86_64-unknown-linux-gnu'";
    one_object_loses_the_target_where_others_import_it: X86_64 ThinDist => ["triple.target", "log.target-triple"]
        at "lib/ring.o" saying "'x86_64-pc-linux-gnu'";
    one_object_loses_the_target_on_a_cross_build: ARM64 Thin => ["triple.target"]
        at "virt/kvm/vcpu.o" saying "'x86_64-pc-linux-gnu', expected 'aarch64-unknown-linux-gnu'";
    the_compiler_was_upgraded_below_the_tree: RISCV Thin => ["triple.producer", "config.tools"]
        at "lib/ring.o" saying "the configured compiler is 'LLVM19.1.7'";
    one_object_is_of_another_compiler: LOONGARCH ThinDist => ["triple.producer"]
        at "kernel/sched/core.o" saying "written by 'LLVM22.9.9'";
}

/// What Debian's clang takes by itself on an `x86_64` machine.
fn without_target(front: &mut Front) {
    let words = front.own.split(' ');
    let words = words.map(|word| match word.starts_with("--target=") {
        true => "--target=x86_64-pc-linux-gnu",
        false => word,
    });
    front.own = words.collect::<Vec<_>>().join(" ");
}

fn one_object_loses_the_target_on_a_native_build(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.source.ends_with("lib/copy.c") {
                    without_target(front);
                }
            },
            ..Recipes::default()
        },
    );
}

fn one_object_loses_the_target_where_others_import_it(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "lib/ring.o" {
                    without_target(front);
                }
            },
            ..Recipes::default()
        },
    );
}

fn one_object_loses_the_target_on_a_cross_build(tree: &mut Tree) {
    let stderr = tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "virt/kvm/vcpu.o" {
                    front.own = format!(
                        "--target=x86_64-pc-linux-gnu -flto=thin -I../include {}",
                        unit.flags
                    );
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
    assert!(stderr.contains("incompatible with aarch64"), "{stderr}");
}

fn the_compiler_was_upgraded_below_the_tree(tree: &mut Tree) {
    let version = version_number(&clang_version());
    tree.edit_config(|text| text.replace(&format!("_VERSION={version}"), "_VERSION=190107"));
}

fn one_object_is_of_another_compiler(tree: &mut Tree) {
    let object = "kernel/sched/core.o";
    let version = version_number(&clang_version());
    let producer = format!(
        "LLVM{}.{}.{}",
        version / 10_000,
        version / 100 % 100,
        version % 100
    );
    let bitcode = bits::replace_char6(&tree.read(object), &producer, "LLVM22.9.9");
    tree.write(object, bitcode);
}
