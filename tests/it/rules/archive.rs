//! `archive.*`, broken: the steps between the objects and the link.

use super::case::broken;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::RISCV;
use crate::support::tree::recipes::Recipes;
use klto::model::cell::LtoMode;

broken! {
    a_cmd_file_lost_its_command: LOONGARCH Thin => ["archive.unrecorded"]
        at "lib/copy.o" saying "lib/.copy.o.cmd: no savedcmd line";
    a_cmd_file_is_random_bytes: ARM64 None => ["archive.unrecorded"]
        at "init/version.o" saying "init/.version.o.cmd: no savedcmd line";
    a_command_is_cut_within_a_quote: X86_64 Thin => ["archive.unrecorded"]
        at "virt/kvm/vcpu.o" saying "the single quote opened at byte";
    make_stopped_after_a_new_archive: X86_64 ThinDist => ["archive.stale"]
        at "builtin.order" saying "older than built-in-fixup.a";
    the_final_link_did_not_run_again: ARM64 Thin => ["archive.stale"]
        at "vmlinux" saying "older than vmlinux.o";
    the_disk_is_full_during_the_archiver: RISCV ThinDist => ["archive.damaged"]
        at "vmlinux.a" saying "after 5 members";
    the_archive_of_all_objects_is_cut: X86_64 ThinDist => ["archive.damaged"]
        at "built-in-fixup.a" saying "after 5 members";
    an_archive_is_empty: LOONGARCH Thin => ["archive.damaged"]
        at "vmlinux.a" saying "(0 bytes)";
    the_list_of_objects_is_empty: X86_64 ThinDist => ["archive.empty"]
        at "built-in-fixup.a" saying "no members";
    the_archiver_does_not_make_a_thin_archive: X86_64 ThinDist => ["archive.not-thin", "archive.members"]
        at "vmlinux.a" saying "begins with '!<arch>', expected '!<thin>'";
    the_archiver_does_not_leave_out_the_date: ARM64 ThinDist => ["archive.nondeterministic"]
        at "vmlinux.a" saying "arch/ARCH/kernel/head.o: ";
    an_object_is_appended_by_two_directories: X86_64 Thin => ["archive.duplicate"]
        at "init/version.o" saying "built-in-fixup.a: again as member 11";
    vmlinux_a_names_a_native_object_twice: ARM64 ThinDist => ["archive.duplicate", "archive.members", "archive.objs-file"]
        at "lib/ring.thinlto-native.o" saying "vmlinux.a: again as member 11";
    the_list_of_objects_names_one_twice: RISCV ThinDist => ["archive.order-file", "archive.members"]
        at "builtin.order" saying "11 entries, expected 10: lib/ring.o more than once";
    an_object_is_deleted: RISCV Thin => ["archive.member-missing"]
        at "lib/ring.o" saying "named by built-in-fixup.a";
    an_object_is_deleted_in_distributed_mode: X86_64 ThinDist => ["archive.member-missing"]
        at "lib/ring.o" saying "named by built-in-fixup.a";
    the_order_is_sorted: LOONGARCH ThinDist => ["archive.order-file"]
        at "builtin.order" saying "place 1: arch/ARCH/kernel/entry.o, expected arch/ARCH/kernel/head.o";
    the_head_is_not_moved: ARM64 ThinDist => ["archive.head-order"]
        at "arch/ARCH/kernel/head.o" saying "comes after init/main.o in built-in-fixup.a";
    the_head_is_not_moved_in_an_in_process_build: RISCV Thin => ["archive.head-order"]
        at "arch/ARCH/kernel/head.o" saying "comes after init/main.o";
    names_are_matched_loosely: X86_64 ThinDist => ["archive.members"]
        at "vmlinux.a" saying "lacks 1: lib/copy.o; has 1 too many: lib/copy.thinlto-native.o";
    the_order_is_lost_in_vmlinux_a: ARM64 ThinDist => ["archive.members"]
        at "vmlinux.a" saying "place 1: ";
    vmlinux_a_is_of_an_earlier_build: X86_64 None => ["archive.members"]
        at "vmlinux.a" saying "lacks 1: virt/kvm/vcpu.o";
    one_name_is_not_matched: LOONGARCH ThinDist => ["archive.bitcode"]
        at "virt/kvm/vcpu.o" saying "vmlinux.a, member 8: bitcode, expected virt/kvm/vcpu.thinlto-native.o";
    an_object_of_an_lto_build_stays_after_the_switch: ARM64 None => ["archive.bitcode"]
        at "kernel/sched/core.o" saying "holds bitcode in a build without LTO";
    lto_is_turned_off_after_its_options: RISCV Thin => ["archive.no-bitcode"]
        at "built-in-fixup.a" saying "objects compiled from C holds bitcode";
    another_archive_is_linked: X86_64 ThinDist => ["archive.not-linked"]
        at "vmlinux.o" saying ".vmlinux.o.cmd links built-in-fixup.a whole, expected vmlinux.a";
    vmlinux_a_is_not_linked_whole: LOONGARCH Thin => ["archive.not-linked"]
        at "vmlinux.o" saying "links no archive whole, expected vmlinux.a";
    modpost_lists_another_archive: X86_64 ThinDist => ["archive.objs-file"]
        at ".vmlinux.objs" saying "lacks 6: init/main.thinlto-native.o";
    the_list_for_modpost_has_an_object_too_many: ARM64 Thin => ["archive.objs-file"]
        at ".vmlinux.objs" saying "has 1 too many: lib/other.o";
    the_list_for_modpost_lacks_the_library: RISCV ThinDist => ["archive.objs-file"]
        at ".vmlinux.objs" saying "lacks 1: lib/ring.o";
    a_directory_appends_an_object_twice: LOONGARCH ThinDist => ["archive.duplicate"]
        at "init/main.o" saying "more than once in built-in.a";
}

fn vmlinux_a_is_not_linked_whole(tree: &mut Tree) {
    tree.edit(".vmlinux.o.cmd", |text| {
        text.replace("--whole-archive vmlinux.a --no-whole-archive", "vmlinux.a")
    });
}

fn the_list_for_modpost_has_an_object_too_many(tree: &mut Tree) {
    tree.edit(".vmlinux.objs", |text| format!("{text}lib/other.o\n"));
}

/// modpost finds no CRCs of what the linker takes from there.
fn the_list_for_modpost_lacks_the_library(tree: &mut Tree) {
    tree.edit(".vmlinux.o.cmd", |text| {
        let libraries = "--no-whole-archive --start-group ./lib/lib.a --end-group";
        text.replace("--no-whole-archive", libraries)
    });
}

/// Then nothing is said of a list that they would be in.
#[test]
fn the_members_of_a_damaged_library_are_not_known() {
    let mut tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    the_list_for_modpost_lacks_the_library(&mut tree);
    let members = || tree.facts().library_members.map(|members| members.len());
    assert_eq!(members(), Some(tree.members("lib/lib.a").len()));
    tree.truncate("lib/lib.a", tree.read("lib/lib.a").len() - 10);
    assert_eq!(members(), None);
}

/// The archiver of the whole kernel drops it, for now.
fn a_directory_appends_an_object_twice(tree: &mut Tree) {
    let members = tree.members("built-in.a");
    let mut twice: Vec<&str> = members.iter().map(String::as_str).collect();
    twice.push("init/main.o");
    tree.archive("built-in.a", "cDPqST", &twice);
}

/// make was killed between two lines of a recipe.
fn a_cmd_file_lost_its_command(tree: &mut Tree) {
    tree.edit("lib/.copy.o.cmd", |text| {
        let (_, rest) = text.split_once('\n').unwrap();
        rest.to_owned()
    });
}

fn a_cmd_file_is_random_bytes(tree: &mut Tree) {
    tree.write("init/.version.o.cmd", [0x9d, 0x0a, 0xf7, 0x00, 0x1b, 0x0a]);
}

fn a_command_is_cut_within_a_quote(tree: &mut Tree) {
    let cmd = "virt/kvm/.vcpu.o.cmd";
    let quote = tree.text(cmd).find('\'').unwrap();
    tree.truncate(cmd, quote + 4);
}

fn another_archive_is_linked(tree: &mut Tree) {
    tree.make(
        Step::VmlinuxO,
        Recipes {
            linked: "built-in-fixup.a",
            ..Recipes::default()
        },
    );
}

fn lto_is_turned_off_after_its_options(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.own = front.own.replace("-flto=thin -fsplit-lto-unit", ""),
            ..Recipes::default()
        },
    );
}

fn make_stopped_after_a_new_archive(tree: &mut Tree) {
    tree.touch("built-in-fixup.a");
}

fn the_final_link_did_not_run_again(tree: &mut Tree) {
    tree.touch("vmlinux.o");
}

fn the_disk_is_full_during_the_archiver(tree: &mut Tree) {
    let file = "vmlinux.a";
    // 60 bytes a header, with nothing between them.
    tree.truncate(file, tree.read(file).len() - 4 * 60 - 30);
}

fn the_archive_of_all_objects_is_cut(tree: &mut Tree) {
    let file = "built-in-fixup.a";
    tree.truncate(file, tree.read(file).len() - 4 * 60 - 30);
}

fn an_archive_is_empty(tree: &mut Tree) {
    tree.truncate("vmlinux.a", 0);
}

/// `KBUILD_VMLINUX_OBJS` is lost on its way to `scripts/Makefile.vmlinux_a`. The command
/// that moves the head objects then fails.
fn the_list_of_objects_is_empty(tree: &mut Tree) {
    tree.archive("built-in-fixup.a", "cDPrST", &[]);
    tree.unmake(Step::Order);
}

/// A full archive keeps no folders, so modpost finds no `.cmd` file; for the same reason
/// its members cannot be the right ones, and `archive.members` always joins in.
fn the_archiver_does_not_make_a_thin_archive(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::VmlinuxA,
        Recipes {
            vmlinux_a: &["cDPrS"],
            ..Recipes::default()
        },
        Step::Modpost,
    );
}

fn the_archiver_does_not_leave_out_the_date(tree: &mut Tree) {
    tree.make(
        Step::VmlinuxA,
        Recipes {
            vmlinux_a: &["cUPrS", "--thin"],
            ..Recipes::default()
        },
    );
}

/// `q` appends unconditionally.
fn an_object_is_appended_by_two_directories(tree: &mut Tree) {
    let members = tree.members("built-in-fixup.a");
    let mut twice: Vec<&str> = members.iter().map(String::as_str).collect();
    twice.push("init/version.o");
    tree.archive("built-in-fixup.a", "cDPqST", &twice);
    tree.make_until_it_fails(Step::VmlinuxA, Recipes::default(), Step::VmlinuxO);
}

/// The loop that fills vmlinux.a prints a name again after it was replaced.
fn vmlinux_a_names_a_native_object_twice(tree: &mut Tree) {
    let members = tree.members("vmlinux.a");
    let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
    members.push("lib/ring.thinlto-native.o");
    tree.archive("vmlinux.a", "qcDPST", &members);
}

fn the_list_of_objects_names_one_twice(tree: &mut Tree) {
    tree.edit("builtin.order", |text| format!("{text}lib/ring.o\n"));
}

fn an_object_is_deleted(tree: &mut Tree) {
    tree.remove("lib/ring.o");
}

fn an_object_is_deleted_in_distributed_mode(tree: &mut Tree) {
    tree.remove("lib/ring.o");
}

fn the_order_is_sorted(tree: &mut Tree) {
    tree.make(
        Step::Order,
        Recipes {
            order: |mut members| {
                members.sort();
                members
            },
            ..Recipes::default()
        },
    );
}

fn the_head_is_not_moved(tree: &mut Tree) {
    tree.make(
        Step::Fixup,
        Recipes {
            heads_first: false,
            ..Recipes::default()
        },
    );
}

fn the_head_is_not_moved_in_an_in_process_build(tree: &mut Tree) {
    the_head_is_not_moved(tree);
}

/// v10, `grep -F` without `x`: `lib/copy.o` is assembled, but its name is the end of a
/// name in the index. That the archiver finds a native object of it is due to an earlier
/// configuration that had it in C.
fn names_are_matched_loosely(tree: &mut Tree) {
    let copy = format!("arch/{}/lib/copy.thinlto-native.o", tree.src());
    std::fs::copy(tree.file(&copy), tree.file("lib/copy.thinlto-native.o")).unwrap();
    tree.make_until_it_fails(
        Step::VmlinuxA,
        Recipes {
            listed: |object, index| index.iter().any(|line| line.contains(object)),
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn the_order_is_lost_in_vmlinux_a(tree: &mut Tree) {
    let mut members = tree.members("vmlinux.a");
    members.sort();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    tree.archive("vmlinux.a", "cDPrST", &members);
    tree.make(Step::VmlinuxO, Recipes::default());
}

fn vmlinux_a_is_of_an_earlier_build(tree: &mut Tree) {
    let members = tree.members("vmlinux.a");
    let members = members.iter().filter(|m| *m != "virt/kvm/vcpu.o");
    let members: Vec<&str> = members.map(String::as_str).collect();
    tree.archive("vmlinux.a", "cDPrST", &members);
    tree.make_until_it_fails(Step::VmlinuxO, Recipes::default(), Step::Vmlinux);
}

fn one_name_is_not_matched(tree: &mut Tree) {
    tree.make(
        Step::VmlinuxA,
        Recipes {
            listed: |object, index| {
                object != "virt/kvm/vcpu.o" && index.iter().any(|line| line == object)
            },
            ..Recipes::default()
        },
    );
}

fn an_object_of_an_lto_build_stays_after_the_switch(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "kernel/sched/core.o" {
                    front.own += " -flto=thin -fsplit-lto-unit";
                }
            },
            ..Recipes::default()
        },
    );
}

fn modpost_lists_another_archive(tree: &mut Tree) {
    tree.make(
        Step::Modpost,
        Recipes {
            objs_from: "built-in-fixup.a",
            ..Recipes::default()
        },
    );
}
