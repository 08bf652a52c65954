//! `index.*`, broken: what the thin link wrote, and what was done with it.

use super::case::broken;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::recipes::Recipes;

broken! {
    one_object_is_compiled_for_full_lto: X86_64 ThinDist => ["index.not-listed"]
        at "virt/kvm/vcpu.o" saying "without a ThinLTO summary (full LTO)";
    one_object_is_skipped_of_the_thin_link: RISCV ThinDist => ["index.not-listed"]
        at "init/version.o" saying "bitcode with a ThinLTO summary";
    the_thin_link_is_given_an_object_too_many: ARM64 ThinDist => ["index.not-ir"]
        at "drivers/m/two.o" saying "not a member of built-in-fixup.a";
    a_stale_index_lists_an_object_that_is_assembled_now: X86_64 ThinDist => ["index.not-ir"]
        at "arch/ARCH/kernel/entry.o" saying "it holds machine code";
    the_index_lists_an_object_twice: RISCV ThinDist => ["index.not-ir"]
        at "lib/ring.o" saying "lists it twice";
    someone_deletes_a_summary: LOONGARCH ThinDist => ["index.summary-missing"]
        at "kernel/sched/core.o.thinlto.bc" saying "vmlinux.thinlto-index lists kernel/sched/core.o";
    the_disk_is_full_during_the_thin_link: ARM64 ThinDist => ["index.summary-damaged"]
        at "init/main.o.thinlto.bc" saying "";
    a_summary_is_empty: RISCV ThinDist => ["index.summary-damaged"]
        at "lib/ring.o.thinlto.bc" saying "";
    a_summary_stands_beside_another_object: X86_64 ThinDist => ["index.summary-other-module"]
        at "init/version.o.thinlto.bc" saying "does not describe init/version.o, but arch/ARCH/lib/copy.o";
    a_summary_is_that_of_an_importer: RISCV ThinDist => ["index.summary-other-module"]
        at "kernel/sched/core.o.thinlto.bc" saying "describes 2 of the 3 definitions of kernel/sched/core.o";
    a_summary_is_the_stub_of_an_unused_member: ARM64 ThinDist => ["index.summary-other-module"]
        at "init/version.o.thinlto.bc" saying "the stub for a member that is not linked";
    an_object_changes_without_a_new_thin_link: LOONGARCH ThinDist => ["index.summary-hash"]
        at "init/main.o.thinlto.bc" saying "for lib/ring.o, whose own hash is";
    a_native_object_is_deleted: RISCV ThinDist => ["index.native-missing"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "vmlinux.thinlto-index lists virt/kvm/vcpu.o";
    the_back_end_did_not_see_a_new_summary: X86_64 ThinDist => ["index.stale"]
        at "kernel/sched/core.thinlto-native.o" saying "older than kernel/sched/core.o.thinlto.bc";
    a_native_object_is_older_than_its_object: LOONGARCH ThinDist => ["index.stale"]
        at "lib/ring.thinlto-native.o" saying "older than lib/ring.o";
    a_front_end_ran_without_make: ARM64 ThinDist => ["index.stale"]
        at "init/main.o.thinlto.bc" saying "older than init/main.o";
}

/// `CFLAGS_vcpu.o := -flto`. Its bitcode stays in `vmlinux.a`.
fn one_object_is_compiled_for_full_lto(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "virt/kvm/vcpu.o" {
                    front.own = front.own.replace("-flto=thin", "-flto=full");
                }
            },
            ..Recipes::default()
        },
    );
}

/// The thin link reads another list than `builtin.order`.
fn one_object_is_skipped_of_the_thin_link(tree: &mut Tree) {
    tree.shell("grep -v version builtin.order > shorter.order");
    tree.make(
        Step::Index,
        Recipes {
            thin_link: |args| *args.last_mut().unwrap() = String::from("@shorter.order"),
            ..Recipes::default()
        },
    );
}

fn the_thin_link_is_given_an_object_too_many(tree: &mut Tree) {
    tree.make(
        Step::Index,
        Recipes {
            thin_link: |args| args.push("drivers/m/two.o".to_owned()),
            ..Recipes::default()
        },
    );
}

fn a_stale_index_lists_an_object_that_is_assembled_now(tree: &mut Tree) {
    let src = tree.src();
    tree.edit("vmlinux.thinlto-index", |text| {
        format!("{text}arch/{src}/kernel/entry.o\n")
    });
}

fn the_index_lists_an_object_twice(tree: &mut Tree) {
    tree.edit("vmlinux.thinlto-index", |text| {
        format!("{text}lib/ring.o\n")
    });
}

fn someone_deletes_a_summary(tree: &mut Tree) {
    tree.remove("kernel/sched/core.o.thinlto.bc");
}

fn the_disk_is_full_during_the_thin_link(tree: &mut Tree) {
    let summary = "init/main.o.thinlto.bc";
    tree.truncate(summary, tree.read(summary).len() / 2);
}

fn a_summary_is_empty(tree: &mut Tree) {
    tree.truncate("lib/ring.o.thinlto.bc", 0);
}

fn a_summary_stands_beside_another_object(tree: &mut Tree) {
    let other = format!("arch/{}/lib/copy.o.thinlto.bc", tree.src());
    tree.replace("init/version.o.thinlto.bc", &other);
}

/// What the linker writes for a member of an archive that nothing pulls in.
/// `init/main.o` imports from it, so that the module is in that summary as well.
fn a_summary_is_that_of_an_importer(tree: &mut Tree) {
    tree.replace("kernel/sched/core.o.thinlto.bc", "init/main.o.thinlto.bc");
}

fn a_summary_is_the_stub_of_an_unused_member(tree: &mut Tree) {
    let summary = "init/version.o.thinlto.bc";
    tree.keeping_time(summary, || {
        tree.shell("cp lib/ring.o used.o && ld.lld-22 -r --thinlto-index-only=lazy-index used.o --start-lib init/version.o --end-lib");
    });
}

/// The same symbols, another content, and dates that hide it.
fn an_object_changes_without_a_new_thin_link(tree: &mut Tree) {
    let command = tree.recorded_command("lib/.ring.o.cmd");
    tree.keeping_time("lib/ring.o", || {
        tree.shell(&command.replace("-Os", "-O2"));
    });
}

fn a_native_object_is_deleted(tree: &mut Tree) {
    tree.remove("virt/kvm/vcpu.thinlto-native.o");
}

fn the_back_end_did_not_see_a_new_summary(tree: &mut Tree) {
    tree.touch("kernel/sched/core.o.thinlto.bc");
}

fn a_native_object_is_older_than_its_object(tree: &mut Tree) {
    tree.touch("lib/ring.o");
    tree.touch("lib/ring.o.thinlto.bc");
}

fn a_front_end_ran_without_make(tree: &mut Tree) {
    tree.shell(&tree.recorded_command("init/.main.o.cmd"));
}
