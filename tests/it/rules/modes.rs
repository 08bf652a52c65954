//! Files left by a build in another mode are not checked: stale files are normal, the
//! archives say what counts.

use std::collections::BTreeSet;

use klto::model::cell::LtoMode;
use rstest::rstest;

use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, RISCV, Target, X86_64};
use crate::support::tree::recipes::{Recipes, native};
use crate::support::tree::{Tree, keys};

/// Files that distributed mode makes and nothing deletes.
const DISTRIBUTED: [&str; 6] = [
    "builtin.order",
    "vmlinux.thinlto-index",
    "init/main.thinlto-native.o",
    "init/.main.thinlto-native.o.cmd",
    "init/main.o.thinlto.bc",
    "virt/kvm/vcpu.thinlto-native.o",
];

#[rstest]
fn what_distributed_mode_left_is_nothing_in_another(
    #[values(LtoMode::None, LtoMode::Thin)] mode: LtoMode,
    #[values(X86_64, ARM64)] target: &'static Target,
    #[values("", "garbage")] content: &str,
) {
    let tree = Tree::pristine(target, mode);
    for file in DISTRIBUTED {
        std::fs::write(tree.file(file), content).unwrap();
    }
    assert_eq!(tree.findings(), []);
}

#[rstest]
#[case::for_another_object("saved_c_flags_lib/other.o := -O3\n")]
#[case::that_no_shell_parses("saved_c_flags_lib/ring.o := -DX='\n")]
#[case::twice("saved_c_flags_lib/ring.o := -O2\nsaved_c_flags_lib/ring.o := -O3\n")]
fn saved_lines_mean_nothing_in_process(#[case] saved: &str) {
    let tree = Tree::pristine(RISCV, LtoMode::Thin);
    tree.edit("lib/.ring.o.cmd", |text| {
        text.replace("#SYMVER", &format!("{saved}#SYMVER"))
    });
    assert_eq!(tree.findings(), []);
}

/// The object is assembled now; its bitcode's companions are still there.
#[test]
fn companions_of_an_object_that_is_bitcode_no_more_are_nothing() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    for file in [
        "lib/copy.o.thinlto.bc",
        "lib/copy.thinlto-native.o",
        "lib/.copy.thinlto-native.o.cmd",
        "arch/x86/mm/early.thinlto-native.o",
    ] {
        std::fs::write(tree.file(file), "garbage").unwrap();
    }
    assert_eq!(tree.findings(), []);
}

/// Nothing but the thin link's own list says what is compiled by the back end.
#[test]
fn a_native_object_that_the_index_does_not_list_is_nothing() {
    const OBJECT: &str = "virt/kvm/vcpu.o";

    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == OBJECT {
                    front.remove("-flto=thin");
                    front.remove("-fsplit-lto-unit");
                }
            },
            ..Recipes::default()
        },
    );
    tree.truncate(&native(OBJECT), 0);
    assert_eq!(tree.findings(), []);
}

#[rstest]
#[case::in_process(LtoMode::Thin)]
#[case::distributed(LtoMode::ThinDist)]
fn a_kernel_without_modversions_has_no_crc(#[case] mode: LtoMode) {
    let tree = Tree::pristine(X86_64, mode);
    tree.edit_config(|text| text.replace("CONFIG_MODVERSIONS=y\n", ""));
    for file in ["vmlinux.symvers", "Module.symvers"] {
        tree.edit(file, |text| {
            let line = |line: &str| format!("0x00000000{}\n", &line[10..]);
            text.lines().map(line).collect()
        });
    }
    tree.edit("lib/.ring.o.cmd", |text| {
        text.lines()
            .filter(|line| !line.starts_with("#SYMVER"))
            .map(|line| format!("{line}\n"))
            .collect()
    });
    assert_eq!(tree.findings(), []);
}

/// If only vmlinux is built, modules of an earlier, perhaps different, build stay.
#[test]
fn modules_of_an_earlier_build_are_not_judged() {
    let tree = Tree::pristine(ARM64, LtoMode::Thin);
    tree.truncate("drivers/m/m.ko", 512);
    for file in [
        "vmlinux.o",
        "vmlinux.symvers",
        ".vmlinux.export.c",
        "vmlinux",
    ] {
        tree.touch(file);
    }
    assert_eq!(tree.findings(), []);
    tree.touch("Module.symvers");
    assert_eq!(keys(&tree.findings()), BTreeSet::from(["elf.damaged"]));
}

/// modpost has written a new table of versions, and make stopped before the link.
#[test]
fn a_module_that_is_not_linked_again_yet_is_not_judged() {
    let tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    tree.truncate("drivers/m/m.ko", 512);
    tree.touch("drivers/m/m.mod.c");
    assert_eq!(tree.findings(), []);
}
