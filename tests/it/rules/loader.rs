//! `loader.*`, broken: what the module loader of the kernel would refuse, or find wrong.

use super::case::broken;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::recipes::Recipes;

broken! {
    the_linker_script_does_not_sort_the_exports: X86_64 Thin => ["loader.exports"]
        at "vmlinux" saying "'copy_words' comes after 'early_map'";
    vmlinux_is_linked_without_an_export: ARM64 ThinDist => ["loader.exports"]
        at "vmlinux" saying "lacks 1 symbols of vmlinux.symvers, 'ring_next' first";
    vmlinux_exports_what_is_not_listed: RISCV None => ["loader.exports"]
        at "vmlinux" saying "has 1 symbols that vmlinux.symvers lacks, 'ring_previous' first";
    a_module_is_linked_without_its_exports: LOONGARCH Thin => ["loader.exports"]
        at "drivers/m/m.ko" saying "lacks 1 symbols of Module.symvers, 'm_register' first";
    the_flags_are_in_another_order: X86_64 ThinDist => ["loader.licence"]
        at "vmlinux" saying "'wake_up_one' is for all modules, vmlinux.symvers has EXPORT_SYMBOL_GPL";
    a_module_has_another_licence: ARM64 Thin => ["loader.licence"]
        at "drivers/m/m.ko" saying "uses 'ring_next', which is GPL-only; its licence is Proprietary";
    a_module_uses_what_nothing_exports: RISCV ThinDist => ["loader.undefined"]
        at "drivers/m/m.ko" saying "uses 'ring_last', which Module.symvers does not list";
    a_module_does_not_import_a_namespace: LOONGARCH ThinDist => ["loader.namespace"]
        at "drivers/m/m.ko" saying "uses 'ring_next' of the namespace RINGS";
    a_module_is_of_another_release: X86_64 None => ["loader.vermagic"]
        at "drivers/m/m.ko" saying "'7.1.0 SMP mod_unload modversions ', the kernel is 7.2.0";
    a_module_does_not_say_what_it_is_for: ARM64 ThinDist => ["loader.vermagic"]
        at "drivers/m/m.ko" saying "it has none";
}

/// Links vmlinux from another table of exports than the one that stays.
fn link_vmlinux_with(tree: &mut Tree, change: impl FnOnce(&str) -> String) {
    let whole = tree.text(".vmlinux.export.c");
    tree.edit(".vmlinux.export.c", change);
    tree.make(Step::Vmlinux, Recipes::default());
    tree.write(".vmlinux.export.c", whole);
}

/// Everything about the two symbols trades its place: only the order is another.
fn the_linker_script_does_not_sort_the_exports(tree: &mut Tree) {
    link_vmlinux_with(tree, |text| {
        let lines: Vec<&str> = text.lines().collect();
        let of = |symbol| lines.iter().filter(move |line| line.contains(symbol));
        let (mut words, mut map) = (of("copy_words"), of("early_map"));
        let swapped = lines.iter().map(|line| match line {
            line if line.contains("copy_words") => map.next().unwrap(),
            line if line.contains("early_map") => words.next().unwrap(),
            line => line,
        });
        swapped.map(|line| format!("{line}\n")).collect()
    });
}

fn vmlinux_is_linked_without_an_export(tree: &mut Tree) {
    link_vmlinux_with(tree, |text| {
        let kept = text.lines().filter(|line| !line.contains("ring_next"));
        kept.map(|line| format!("{line}\n")).collect()
    });
}

/// It comes after `ring_next`.
fn vmlinux_exports_what_is_not_listed(tree: &mut Tree) {
    link_vmlinux_with(tree, |text| {
        let lines = text.lines().map(|line| match line {
            line if line.contains("ring_next") => {
                format!("{line}\n{}\n", line.replace("ring_next", "ring_previous"))
            }
            line => format!("{line}\n"),
        });
        lines.collect()
    });
}

/// Something compiles the module without what modpost wrote for it.
fn a_module_is_linked_without_its_exports(tree: &mut Tree) {
    tree.keeping_time("drivers/m/m.ko", || {
        tree.shell(
            "llvm-objcopy-22 --remove-section=__ksymtab --remove-section=__kcrctab \
             --remove-section=__kflagstab drivers/m/m.ko",
        );
    });
}

fn the_flags_are_in_another_order(tree: &mut Tree) {
    link_vmlinux_with(tree, |text| {
        let (one, other) = (
            "SYMBOL_FLAGS(system_state, 0x00)",
            "SYMBOL_FLAGS(wake_up_one, 0x01)",
        );
        let lines = text.lines().map(|line| match line {
            line if line.contains(one) => line.replace(one, other),
            line => line.replace(other, one),
        });
        lines.map(|line| line + "\n").collect()
    });
}

fn link_module_with(tree: &mut Tree, modinfo: fn(Vec<&str>) -> Vec<&str>) {
    tree.make(
        Step::Modules,
        Recipes {
            modinfo,
            ..Recipes::default()
        },
    );
}

fn a_module_has_another_licence(tree: &mut Tree) {
    link_module_with(tree, |mut entries| {
        entries[0] = "license=Proprietary";
        entries
    });
}

fn a_module_uses_what_nothing_exports(tree: &mut Tree) {
    tree.keeping_time("drivers/m/m.ko", || {
        tree.shell("llvm-objcopy-22 --redefine-sym=ring_next=ring_last drivers/m/m.ko");
    });
}

fn a_module_does_not_import_a_namespace(tree: &mut Tree) {
    link_module_with(tree, |mut entries| {
        entries.retain(|entry| !entry.starts_with("import_ns="));
        entries
    });
}

fn a_module_is_of_another_release(tree: &mut Tree) {
    link_module_with(tree, |mut entries| {
        entries[2] = "vermagic=7.1.0 SMP mod_unload modversions ";
        entries
    });
}

fn a_module_does_not_say_what_it_is_for(tree: &mut Tree) {
    link_module_with(tree, |mut entries| {
        entries.truncate(2);
        entries
    });
}

/// Names are looked at without MODVERSIONS, too.
#[test]
fn an_unknown_symbol_is_found_in_a_kernel_without_versions() {
    use crate::support::tree::layout::X86_64;
    use klto::model::cell::LtoMode;

    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    tree.edit_config(|text| text.replace("CONFIG_MODVERSIONS=y\n", ""));
    assert_eq!(tree.findings(), []);
    a_module_uses_what_nothing_exports(&mut tree);
    let findings = tree.findings();
    let keys: Vec<&str> = findings.iter().map(|finding| &*finding.key).collect();
    assert_eq!(keys, ["loader.undefined"]);
}
