//! `symbols.*`, broken: native objects that do not add up to what their IR defined.

use std::collections::BTreeSet;

use super::case::broken;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, RISCV};
use crate::support::tree::recipes::Recipes;
use crate::support::tree::{Tree, keys};
use klto::model::cell::LtoMode;

broken! {
    the_thin_link_runs_as_the_final_link: X86_64 ThinDist => ["symbols.lost"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "'vcpu_stop' first";
    a_cache_answers_with_another_object: ARM64 ThinDist => ["symbols.lost"]
        at "init/version.thinlto-native.o" saying "lacks 1 of 1 symbols, 'linux_banner' first";
    the_back_end_compiles_another_input: RISCV ThinDist => ["symbols.lost", "flags.backend-command"]
        at "init/version.thinlto-native.o" saying "'linux_banner' first";
    an_object_is_compiled_with_the_index_of_another_link: X86_64 ThinDist => ["symbols.promotion-unresolved"]
        at "kernel/sched/core.thinlto-native.o" saying "refers to 'ring_step.llvm.";
    vmlinux_o_is_linked_from_other_natives: RISCV ThinDist => ["symbols.promotion-unresolved"]
        at "vmlinux.o" saying "'ring_step.llvm.";
    the_back_end_names_promoted_locals_otherwise: LOONGARCH ThinDist => ["symbols.promotion-unresolved"]
        at "init/main.thinlto-native.o" saying "refers to 'ring_step.llvm.";
    the_script_lost_an_initcall: X86_64 ThinDist => ["symbols.initcalls"]
        at "vmlinux.o" saying "its linker script lacks '__initcall__kmod_core__1_2_schedule_hint6'";
    vmlinux_o_is_linked_without_the_script: ARM64 ThinDist => ["symbols.initcalls"]
        at "vmlinux.o" saying "its linker script lacks 3 initcalls, '__initcall__kmod_core__1_2_schedule_hint6' first";
    the_script_is_empty: RISCV Thin => ["symbols.initcalls"]
        at "vmlinux.o" saying "its linker script lacks 3 initcalls";
    the_script_has_another_order: ARM64 Thin => ["symbols.initcalls"]
        at "vmlinux" saying "it has '__initcall__kmod_core__1_2_schedule_hint6' before '__initcall__kmod_early__1_2_early_map6'";
    the_script_names_an_initcall_twice: RISCV Thin => ["symbols.initcalls"]
        at "vmlinux.o" saying "its linker script has '__initcall__kmod_ring__1_2_ring_next6' twice";
    vmlinux_lost_an_initcall: LOONGARCH None => ["symbols.initcalls"]
        at "vmlinux" saying "it lacks '__initcall__kmod_ring__1_2_ring_next6'";
    one_back_end_does_not_rename_promoted_locals: ARM64 ThinDist => ["symbols.promotion-unresolved"]
        at "init/main.thinlto-native.o" saying "refers to 'ring_step', which no object defines";
}

/// The link that comes next may bring it.
#[test]
fn what_an_earlier_link_lacks_says_nothing_of_this_one() {
    let mut tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    vmlinux_o_is_linked_from_other_natives(&mut tree);
    assert_eq!(
        keys(&tree.findings()),
        BTreeSet::from(["symbols.promotion-unresolved"])
    );
    tree.touch("vmlinux.a");
    assert_eq!(keys(&tree.findings()), BTreeSet::from(["archive.stale"]));
}

/// The kernel is right: the script was cut after the link.
fn the_script_lost_an_initcall(tree: &mut Tree) {
    tree.edit(".tmp_initcalls.lds", |text| {
        let kept = text.lines().filter(|line| !line.contains("schedule_hint"));
        kept.map(|line| format!("{line}\n")).collect()
    });
}

/// The condition around the script is that of another mode.
fn vmlinux_o_is_linked_without_the_script(tree: &mut Tree) {
    tree.edit(".vmlinux.o.cmd", |text| {
        text.replace(" -T .tmp_initcalls.lds", "")
    });
}

fn the_script_is_empty(tree: &mut Tree) {
    tree.write(".tmp_initcalls.lds", "SECTIONS {\n}\n");
}

/// Without LTO the makefiles have no such script.
#[test]
fn a_kernel_without_lto_needs_no_script() {
    let mut tree = Tree::pristine(ARM64, LtoMode::None);
    vmlinux_o_is_linked_without_the_script(&mut tree);
    assert_eq!(tree.findings(), []);
}

/// The script is made from a list that is not in the order of the archive.
fn the_script_has_another_order(tree: &mut Tree) {
    tree.make(
        Step::VmlinuxO,
        Recipes {
            initcalls: |mut calls| {
                calls.swap(0, 1);
                calls
            },
            ..Recipes::default()
        },
    );
}

fn the_script_names_an_initcall_twice(tree: &mut Tree) {
    tree.make(
        Step::VmlinuxO,
        Recipes {
            initcalls: |mut calls| {
                calls.push(calls[2]);
                calls
            },
            ..Recipes::default()
        },
    );
}

fn vmlinux_lost_an_initcall(tree: &mut Tree) {
    tree.keeping_time("vmlinux", || {
        tree.shell("llvm-objcopy-22 --strip-symbol=__initcall__kmod_ring__1_2_ring_next6 vmlinux");
    });
}

/// From LLVM 23 on, each back end has an option for this.
fn one_back_end_does_not_rename_promoted_locals(tree: &mut Tree) {
    keep_the_name_of_ring_step(tree, "init/main.thinlto-native.o");
}

#[test]
fn promoted_locals_that_keep_their_names_are_resolved() {
    let tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    let references = |tree: &Tree| {
        let (coverage, findings) = tree.check(&tree.facts(), &["symbols.promotion-unresolved"]);
        assert_eq!(findings, []);
        coverage[0].looked_at
    };
    let before = references(&tree);
    for native in tree.members("vmlinux.a") {
        keep_the_name_of_ring_step(&tree, &native);
    }
    assert!(before > 0);
    assert_eq!(references(&tree), before);
}

fn keep_the_name_of_ring_step(tree: &Tree, native: &str) {
    let find = format!("llvm-nm-22 {native} | sed -n 's/.* \\(ring_step.llvm.*\\)/\\1/p'");
    let promoted = tree.shell(&find).stdout;
    if let Some(promoted) = promoted.lines().next() {
        let rename = format!("llvm-objcopy-22 --redefine-sym={promoted}=ring_step {native}");
        tree.keeping_time(native, || {
            tree.shell(&rename);
        });
    }
}

/// Without `-r` the linker keeps what the entry point needs, and the rest is local or gone.
fn the_thin_link_runs_as_the_final_link(tree: &mut Tree) {
    tree.make(
        Step::Index,
        Recipes {
            thin_link: |args| {
                args.retain(|arg| arg != "-r");
                args.extend(["-e", "_start"].map(str::to_owned));
            },
            ..Recipes::default()
        },
    );
}

/// ccache before 4.13 does not know what `-fthinlto-index` means.
fn a_cache_answers_with_another_object(tree: &mut Tree) {
    let copy = format!("arch/{}/lib/copy.thinlto-native.o", tree.src());
    tree.replace("init/version.thinlto-native.o", &copy);
}

fn the_back_end_compiles_another_input(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Natives,
        Recipes {
            back: |_, back| back.object = back.object.replace("init/version.o", "virt/kvm/vcpu.o"),
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

/// In that link nothing was imported, so nothing had to be promoted.
fn an_object_is_compiled_with_the_index_of_another_link(tree: &mut Tree) {
    let summary = "lib/ring.o.thinlto.bc";
    let whole = tree.read(summary);
    tree.keeping_time(summary, || {
        tree.shell("ld.lld-22 -r --thinlto-index-only=other-index lib/ring.o");
    });
    tree.keeping_time("lib/ring.thinlto-native.o", || {
        tree.shell(&tree.recorded_command("lib/.ring.thinlto-native.o.cmd"));
    });
    tree.write(summary, whole);
}

/// The native object is right by now, `vmlinux.o` was linked before.
fn vmlinux_o_is_linked_from_other_natives(tree: &mut Tree) {
    let native = "lib/ring.thinlto-native.o";
    let right = tree.read(native);
    an_object_is_compiled_with_the_index_of_another_link(tree);
    tree.make_until_it_fails(Step::VmlinuxO, Recipes::default(), Step::Vmlinux);
    tree.write(native, right);
}

/// v7: an option that changes promotion and that only one side is given.
fn the_back_end_names_promoted_locals_otherwise(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Natives,
        Recipes {
            back: |unit, back| {
                if unit.object == "lib/ring.o" {
                    back.options += " -mllvm -use-source-filename-for-promoted-locals";
                }
            },
            ..Recipes::default()
        },
        Step::Vmlinux,
    );
}
