//! `crc.*`, broken: the CRC of an exported symbol on its way from genksyms to the module
//! loader.

use super::case::broken;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::recipes::{Recipes, dot_cmd};

broken! {
    the_cmd_file_of_an_object_is_deleted: X86_64 Thin => ["crc.cmd-missing", "archive.unrecorded"]
        at "virt/kvm/vcpu.o" saying "virt/kvm/.vcpu.o.cmd does not exist";
    the_cmd_file_of_an_ir_object_is_deleted: ARM64 ThinDist => ["crc.cmd-missing", "archive.unrecorded", "flags.saved-missing"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "virt/kvm/.vcpu.o.cmd does not exist";
    the_cmd_file_of_a_module_object_is_deleted: RISCV Thin => ["crc.cmd-missing"]
        at "drivers/m/two.o" saying "an object of the module drivers/m/m";
    genksyms_was_interrupted_and_ran_again: LOONGARCH ThinDist => ["crc.syntax"]
        at "lib/ring.thinlto-native.o" saying "'#SYMVER ring_ne'";
    a_symvers_file_has_a_line_too_short: X86_64 ThinDist => ["crc.syntax"]
        at "vmlinux.symvers" saying "line 3";
    a_symvers_file_has_a_damaged_module: RISCV ThinDist => ["crc.syntax"]
        at "vmlinux.symvers" saying "is of 'vm1inux', expected vmlinux";
    a_symvers_file_has_a_damaged_licence: LOONGARCH Thin => ["crc.syntax"]
        at "vmlinux.symvers" saying "line 1: expected '0xcrc symbol module licence namespace'";
    a_symvers_file_of_modules_is_no_text: ARM64 Thin => ["crc.syntax"]
        at "Module.symvers" saying "line 1";
    the_list_of_objects_is_deleted: RISCV ThinDist => ["crc.missing"]
        at ".vmlinux.objs" saying "does not exist, though vmlinux does";
    the_symvers_file_is_deleted: LOONGARCH Thin => ["crc.missing"]
        at "vmlinux.symvers" saying "does not exist, though vmlinux does";
    genksyms_runs_before_fixdep: RISCV ThinDist => ["crc.missing", "log.modversions"]
        at "wake_up_one" saying "exported, vmlinux.symvers has 0x00000000, but no linked object's .cmd file has";
    a_module_symbol_has_no_crc: ARM64 None => ["crc.missing"]
        at "m_register" saying "Module.symvers has";
    modpost_looks_beside_the_native_object: X86_64 ThinDist => ["crc.zero", "log.modversions"]
        at "schedule_hint" saying "vmlinux.symvers has 0, the .cmd file of kernel/sched/core.thinlto-native.o";
    the_symvers_file_is_empty: X86_64 ThinDist => ["crc.not-listed", "loader.exports"]
        at "ring_next" saying "lib/.ring.o.cmd has its CRC, vmlinux.symvers does not list it";
    the_symvers_file_is_a_line_short: ARM64 Thin => ["crc.not-listed", "loader.exports"]
        at "copy_words" saying "vmlinux.symvers does not list it";
    the_symvers_file_lists_a_symbol_twice: RISCV ThinDist => ["crc.not-listed"]
        at "early_map" saying "vmlinux.symvers lists it more than once";
    the_export_file_is_deleted: RISCV None => ["crc.missing"]
        at ".vmlinux.export.c" saying "does not exist, though vmlinux does";
    the_export_file_has_a_symbol_too_many: LOONGARCH ThinDist => ["crc.not-listed"]
        at "ring_previous" saying ".vmlinux.export.c has its CRC, vmlinux.symvers does not list it";
    modpost_did_not_see_an_export: X86_64 None => ["crc.not-listed"]
        at "ring_previous" saying "lib/.ring.o.cmd has its CRC, vmlinux.symvers does not list it";
    genksyms_computes_zero: LOONGARCH Thin => ["crc.zero"]
        at "copy_words" saying "computed as 0 for arch/ARCH/lib/copy.o";
    modpost_did_not_run_again: ARM64 ThinDist => ["crc.differs"]
        at "ring_next" saying "vmlinux.symvers has 0x1a289255, the .cmd file of lib/ring.thinlto-native.o 0x00000007";
    the_export_file_is_of_an_earlier_build: X86_64 Thin => ["crc.differs"]
        at "ring_next" saying ".vmlinux.export.c has 0x00000007, vmlinux.symvers 0x1a289255";
    vmlinux_is_linked_with_an_earlier_export_file: RISCV ThinDist => ["crc.differs"]
        at "ring_next" saying "__kcrctab of vmlinux has 0x00000007, vmlinux.symvers 0x1a289255";
    a_symbol_is_not_in_the_export_file: LOONGARCH None => ["crc.differs"]
        at "ring_next" saying ".vmlinux.export.c has no CRC";
    vmlinux_is_linked_without_a_crc: X86_64 Thin => ["crc.differs"]
        at "wake_up_one" saying "__kcrctab of vmlinux has no CRC";
    two_crcs_of_vmlinux_trade_places: ARM64 ThinDist => ["crc.differs"]
        at "ring_next" saying "vmlinux.symvers 0x1a289255";
    a_module_exports_another_crc: LOONGARCH None => ["crc.differs"]
        at "m_register" saying "__kcrctab of drivers/m/m.ko has 0x00000007, Module.symvers";
    a_module_asks_for_another_crc_than_it_was_built_with: RISCV Thin => ["crc.differs"]
        at "drivers/m/m.ko" saying "system_state: its version table has 0x00000007";
    modules_are_built_against_earlier_crcs: ARM64 ThinDist => ["crc.differs"]
        at "ring_next" saying "Module.symvers has 0x00000007, vmlinux.symvers 0x1a289255";
    a_module_is_of_an_earlier_build: X86_64 ThinDist => ["crc.differs"]
        at "m_register" saying "Module.symvers has 0x00000007, the .cmd file of drivers/m/one.o";
    a_module_asks_for_an_earlier_crc: RISCV ThinDist => ["crc.differs"]
        at "drivers/m/m.ko" saying "ring_next: its version table has 0x00000007, Module.symvers 0x1a289255";
    a_module_has_no_version_of_a_symbol: X86_64 None => ["crc.differs"]
        at "drivers/m/m.ko" saying "schedule_hint: its version table has no CRC";
    a_module_of_a_plain_make_has_no_version_of_a_symbol: ARM64 ThinDist => ["crc.differs"]
        at "drivers/m/m.ko" saying "schedule_hint: its version table has no CRC";
    two_objects_disagree: RISCV Thin => ["crc.differs"]
        at "ring_next" saying "in the .cmd file of kernel/sched/core.o, 0x1a289255 in that of lib/ring.o";
}

fn the_cmd_file_of_an_object_is_deleted(tree: &mut Tree) {
    tree.remove("virt/kvm/.vcpu.o.cmd");
}

fn the_cmd_file_of_an_ir_object_is_deleted(tree: &mut Tree) {
    tree.remove("virt/kvm/.vcpu.o.cmd");
}

fn the_cmd_file_of_a_module_object_is_deleted(tree: &mut Tree) {
    tree.remove("drivers/m/.two.o.cmd");
}

fn genksyms_was_interrupted_and_ran_again(tree: &mut Tree) {
    tree.edit("lib/.ring.o.cmd", |text| {
        text.replace("#SYMVER ", "#SYMVER ring_ne\n#SYMVER ")
    });
}

fn a_symvers_file_has_a_line_too_short(tree: &mut Tree) {
    tree.edit("vmlinux.symvers", |text| {
        text.replace("\tearly_map\tvmlinux\tEXPORT_SYMBOL\t", "\tearly_map")
    });
}

fn a_symvers_file_has_a_damaged_module(tree: &mut Tree) {
    tree.edit("vmlinux.symvers", |text| {
        text.replacen("\tvmlinux\t", "\tvm1inux\t", 1)
    });
}

fn a_symvers_file_has_a_damaged_licence(tree: &mut Tree) {
    tree.edit("vmlinux.symvers", |text| {
        text.replacen("\tEXPORT_SYMBOL", "\tEXPORT_5YMBOL", 1)
    });
}

fn a_symvers_file_of_modules_is_no_text(tree: &mut Tree) {
    tree.replace("Module.symvers", "drivers/m/m.o");
}

fn the_list_of_objects_is_deleted(tree: &mut Tree) {
    tree.remove(".vmlinux.objs");
}

fn the_symvers_file_is_deleted(tree: &mut Tree) {
    tree.remove("vmlinux.symvers");
    tree.remove("Module.symvers");
}

/// fixdep rewrites the file, and its content is lost.
fn genksyms_runs_before_fixdep(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.symvers = |_| String::new(),
            ..Recipes::default()
        },
    );
}

fn a_module_symbol_has_no_crc(tree: &mut Tree) {
    tree.edit("drivers/m/.one.o.cmd", |text| {
        text.replace("#SYMVER m_register", "#SYMVER m_registered")
    });
}

/// Before v4 of the series.
fn modpost_looks_beside_the_native_object(tree: &mut Tree) {
    tree.make(
        Step::Modpost,
        Recipes {
            crcs_of: dot_cmd,
            ..Recipes::default()
        },
    );
}

fn the_symvers_file_is_empty(tree: &mut Tree) {
    tree.write("vmlinux.symvers", "");
}

fn the_symvers_file_is_a_line_short(tree: &mut Tree) {
    tree.edit("vmlinux.symvers", |text| {
        let kept = text.lines().filter(|line| !line.contains("\tcopy_words\t"));
        kept.map(|line| format!("{line}\n")).collect()
    });
}

fn the_symvers_file_lists_a_symbol_twice(tree: &mut Tree) {
    tree.edit("vmlinux.symvers", |text| {
        let twice = text.lines().find(|line| line.contains("\tearly_map\t"));
        format!("{text}{}\n", twice.unwrap())
    });
}

fn the_export_file_is_deleted(tree: &mut Tree) {
    tree.remove(".vmlinux.export.c");
}

fn the_export_file_has_a_symbol_too_many(tree: &mut Tree) {
    tree.edit(".vmlinux.export.c", |text| {
        format!("{text}SYMBOL_CRC(ring_previous, 0x00000007);\n")
    });
}

fn modpost_did_not_see_an_export(tree: &mut Tree) {
    tree.edit("lib/.ring.o.cmd", |text| {
        format!("{text}#SYMVER ring_previous 0x00000007\n")
    });
}

fn genksyms_computes_zero(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object.ends_with("lib/copy.o") && unit.source.ends_with(".c") {
                    front.symvers = |_| "#SYMVER copy_words 0x00000000\n".to_owned();
                }
            },
            ..Recipes::default()
        },
    );
}

fn modpost_did_not_run_again(tree: &mut Tree) {
    tree.edit("lib/.ring.o.cmd", |text| {
        text.replace("0x1a289255", "0x00000007")
    });
}

fn the_export_file_is_of_an_earlier_build(tree: &mut Tree) {
    tree.edit(".vmlinux.export.c", |text| {
        text.replace("0x1a289255", "0x00000007")
    });
}

fn vmlinux_is_linked_with_an_earlier_export_file(tree: &mut Tree) {
    let whole = tree.text(".vmlinux.export.c");
    the_export_file_is_of_an_earlier_build(tree);
    tree.make(Step::Vmlinux, Recipes::default());
    tree.write(".vmlinux.export.c", whole);
}

fn a_symbol_is_not_in_the_export_file(tree: &mut Tree) {
    tree.edit(".vmlinux.export.c", |text| {
        text.replace("SYMBOL_CRC(ring_next, 0x1a289255);\n", "")
    });
}

fn vmlinux_is_linked_without_a_crc(tree: &mut Tree) {
    let whole = tree.text(".vmlinux.export.c");
    tree.edit(".vmlinux.export.c", |text| {
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("SYMBOL_CRC(copy_words, "));
        kept.map(|line| format!("{line}\n")).collect()
    });
    tree.make(Step::Vmlinux, Recipes::default());
    tree.write(".vmlinux.export.c", whole);
}

/// Each label still has its own value, but the module loader goes by the place.
fn two_crcs_of_vmlinux_trade_places(tree: &mut Tree) {
    let whole = tree.text(".vmlinux.export.c");
    tree.edit(".vmlinux.export.c", |text| {
        let crcs: Vec<&str> = text.lines().filter(|l| l.contains("SYMBOL_CRC(")).collect();
        let (one, other) = (crcs[2], crcs[3]);
        assert!(other.contains("ring_next"), "{other}");
        text.replace(&format!("{one}\n{other}"), &format!("{other}\n{one}"))
    });
    tree.make(Step::Vmlinux, Recipes::default());
    tree.write(".vmlinux.export.c", whole);
}

fn a_module_exports_another_crc(tree: &mut Tree) {
    let whole = tree.text("drivers/m/.one.o.cmd");
    tree.edit("drivers/m/.one.o.cmd", |text| {
        let (before, _) = text.split_once("#SYMVER m_register ").unwrap();
        format!("{before}#SYMVER m_register 0x00000007\n")
    });
    tree.make(Step::Modules, Recipes::default());
    tree.write("drivers/m/.one.o.cmd", whole);
}

/// The module does not use the symbol, but its table has it.
fn a_module_asks_for_another_crc_than_it_was_built_with(tree: &mut Tree) {
    link_modules_after(tree, |tree| {
        tree.edit("Module.symvers", |text| {
            let at = text.find("\tsystem_state\t").unwrap();
            format!("{}0x00000007{}", &text[..at - 10], &text[at..])
        });
    });
}

fn modules_are_built_against_earlier_crcs(tree: &mut Tree) {
    tree.edit("Module.symvers", |text| {
        text.replace("0x1a289255", "0x00000007")
    });
}

fn a_module_is_of_an_earlier_build(tree: &mut Tree) {
    tree.edit("Module.symvers", |text| {
        let (before, after) = text.split_once("\tm_register").unwrap();
        format!(
            "{}0x00000007\tm_register{after}",
            &before[..before.len() - 10]
        )
    });
}

fn a_module_asks_for_an_earlier_crc(tree: &mut Tree) {
    link_modules_after(tree, modules_are_built_against_earlier_crcs);
}

fn a_module_has_no_version_of_a_symbol(tree: &mut Tree) {
    link_modules_after(tree, |tree| {
        tree.edit("Module.symvers", |text| {
            text.replace("\tschedule_hint\t", "\tscheduled_hint\t")
        });
    });
}

/// Links modules with a `Module.symvers` that is not the one that stays.
fn link_modules_after(tree: &mut Tree, change: impl FnOnce(&mut Tree)) {
    let whole = tree.text("Module.symvers");
    change(tree);
    tree.make(Step::Modules, Recipes::default());
    tree.write("Module.symvers", whole);
}

/// One run of modpost is then for vmlinux and modules together.
fn a_module_of_a_plain_make_has_no_version_of_a_symbol(tree: &mut Tree) {
    a_module_has_no_version_of_a_symbol(tree);
    tree.remove("vmlinux.symvers");
}

fn two_objects_disagree(tree: &mut Tree) {
    tree.edit("kernel/sched/.core.o.cmd", |text| {
        format!("{text}#SYMVER ring_next 0x00000007\n")
    });
}
