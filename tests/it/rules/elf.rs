//! `elf.*`, broken: machine code that is not there, not whole, or for another machine.

use super::case::broken;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::Language;
use crate::support::tree::recipes::Recipes;

broken! {
    the_back_end_meets_a_garbage_index: RISCV ThinDist => ["elf.empty", "log.index-load"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "0 bytes";
    an_imported_object_is_away_for_a_moment: ARM64 ThinDist => ["elf.empty", "log.index-load"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "0 bytes";
    an_empty_object_without_a_log_that_says_so: X86_64 ThinDist => ["elf.empty"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "0 bytes";
    an_interrupted_back_end_leaves_half_an_object: X86_64 ThinDist => ["elf.damaged"]
        at "init/main.thinlto-native.o" saying "ELF file";
    an_interrupted_assembler_leaves_half_an_object: ARM64 None => ["elf.damaged"]
        at "arch/ARCH/kernel/head.o" saying "ELF file";
    an_interrupted_front_end_leaves_half_an_object: RISCV Thin => ["elf.damaged"]
        at "kernel/sched/core.o" saying "damaged bitcode";
    the_disk_is_full_during_the_final_link: X86_64 Thin => ["elf.damaged"]
        at "vmlinux" saying "ELF file";
    the_disk_is_full_during_the_link_of_vmlinux_o: ARM64 ThinDist => ["elf.damaged"]
        at "vmlinux.o" saying "ELF file";
    a_text_file_under_the_name_of_an_object: LOONGARCH None => ["elf.damaged"]
        at "lib/ring.o" saying "the file begins with 3c 68 74 6d 6c 3e";
    the_disk_is_full_during_the_link_of_a_module: LOONGARCH Thin => ["elf.damaged"]
        at "drivers/m/m.ko" saying "ELF file";
    a_module_is_packed_and_not_linked: ARM64 Thin => ["elf.not-native"]
        at "drivers/m/m.ko" saying "holds bitcode for 'aarch64-unknown-linux-gnu'";
    the_back_end_does_not_turn_lto_off: X86_64 ThinDist => ["elf.not-native"]
        at "lib/ring.thinlto-native.o" saying "holds bitcode for 'x86_64-unknown-linux-gnu'";
    one_object_is_compiled_for_the_build_machine: ARM64 None => ["elf.machine"]
        at "init/version.o" saying "e_machine 62 (offset 0x12), 64-bit, little endian; arm64 has";
    most_objects_are_compiled_for_the_build_machine: RISCV None => ["elf.machine"]
        at "init/main.o" saying "e_machine 62";
    an_object_is_assembled_for_32_bits: X86_64 Thin => ["elf.machine"]
        at "lib/copy.o" saying "e_machine 62 (offset 0x12), 32-bit";
    one_object_is_compiled_for_another_float_abi: RISCV None => ["elf.flags"]
        at "virt/kvm/vcpu.o" saying "e_flags are 0x5";
    one_object_is_compiled_without_compressed_instructions: RISCV None => ["elf.flags"]
        at "virt/kvm/vcpu.o" saying "e_flags are 0x0, those of most objects 0x1";
    one_object_is_assembled_with_hardware_floats: LOONGARCH ThinDist => ["elf.flags"]
        at "arch/ARCH/kernel/entry.o" saying "e_flags are 0x43";
    the_back_end_was_given_the_stub_of_an_unused_member: LOONGARCH ThinDist => ["elf.no-symbols"]
        at "init/version.thinlto-native.o" saying "no global symbol, where its IR defines 1, 'linux_banner' first";
    an_object_is_cut_to_its_header: X86_64 ThinDist => ["elf.damaged"]
        at "arch/ARCH/kernel/entry.o" saying "ELF file";
    an_object_has_lost_its_sections: ARM64 ThinDist => ["elf.damaged"]
        at "arch/ARCH/kernel/entry.o" saying "ELF file without sections";
    an_object_is_a_program: RISCV ThinDist => ["elf.type"]
        at "lib/copy.o" saying "is a program, expected an object";
    vmlinux_is_linked_as_an_object: LOONGARCH Thin => ["elf.type"]
        at "vmlinux" saying "is an object, expected a program";
    vmlinux_is_stripped: ARM64 Thin => ["elf.stripped"]
        at "vmlinux" saying "it has no symbols";
    vmlinux_o_is_stripped: X86_64 None => ["elf.stripped"]
        at "vmlinux.o" saying "it has no symbols";
    vmlinux_is_of_another_release: RISCV None => ["elf.release"]
        at "vmlinux" saying "neither linux_banner nor init_uts_ns names 7.2.0";
    the_release_ends_in_a_control_character: ARM64 Thin => ["elf.release", "loader.vermagic"]
        at "vmlinux" saying "7.2.0";
    vmlinux_is_another_program: X86_64 ThinDist => ["elf.release", "loader.exports", "symbols.initcalls"]
        at "vmlinux" saying "neither linux_banner nor init_uts_ns names 7.2.0";
    an_object_is_compiled_on_after_the_front_end: X86_64 Thin => ["elf.kind"]
        at "lib/ring.o" saying "is machine code; its command has -flto=thin";
    an_object_of_a_module_is_compiled_on_after_the_front_end: X86_64 ThinDist => ["elf.kind"]
        at "drivers/m/two.o" saying "is machine code; its command has -flto=thin";
    an_object_that_opts_out_is_bitcode: X86_64 Thin => ["elf.kind"]
        at "arch/ARCH/mm/early.o" saying "is bitcode; its command has -fno-lto";
}

/// As another rule leaves it that compiles the object in its place.
fn compile_in_place(tree: &Tree, object: &str) {
    tree.keeping_time(object, || {
        let compile = "clang-22 -Wno-override-module -x ir -c";
        tree.shell(&format!(
            "{compile} {object} -o native && mv native {object}"
        ));
    });
}

fn an_object_is_cut_to_its_header(tree: &mut Tree) {
    tree.truncate(&format!("arch/{}/kernel/entry.o", tree.src()), 64);
}

/// `e_shoff`, `e_shnum` and `e_shstrndx` are 0.
fn an_object_has_lost_its_sections(tree: &mut Tree) {
    let object = format!("arch/{}/kernel/entry.o", tree.src());
    let mut header = tree.read(&object)[..64].to_vec();
    header[0x28..0x30].fill(0);
    header[0x3c..0x40].fill(0);
    tree.write(&object, header);
}

fn an_object_is_a_program(tree: &mut Tree) {
    tree.keeping_time("lib/copy.o", || {
        tree.shell("ld.lld-22 -e 0 --unresolved-symbols=ignore-all -o program lib/copy.o && mv program lib/copy.o");
    });
}

fn vmlinux_is_linked_as_an_object(tree: &mut Tree) {
    tree.keeping_time("vmlinux", || {
        tree.shell("ld.lld-22 -r -o vmlinux vmlinux.o .vmlinux.export.o");
    });
}

fn vmlinux_is_stripped(tree: &mut Tree) {
    tree.keeping_time("vmlinux", || {
        tree.shell("llvm-strip-22 vmlinux");
    });
}

fn vmlinux_o_is_stripped(tree: &mut Tree) {
    tree.keeping_time("vmlinux.o", || {
        tree.shell("llvm-objcopy-22 --strip-all-gnu vmlinux.o");
    });
}

fn vmlinux_is_of_another_release(tree: &mut Tree) {
    let mut vmlinux = tree.read("vmlinux");
    let banner = b"Linux version 7.2.0 ";
    let mut windows = vmlinux.windows(banner.len());
    let at = windows.position(|text| text == banner).unwrap();
    vmlinux[at + 16] = b'1';
    tree.write("vmlinux", vmlinux);
}

fn the_release_ends_in_a_control_character(tree: &mut Tree) {
    tree.write("include/config/kernel.release", "7.2.0\x0b");
}

fn vmlinux_is_another_program(tree: &mut Tree) {
    tree.keeping_time("vmlinux", || {
        let source = "printf '.globl _start\n_start: .long 0\n'";
        let assemble = "clang-22 --target=x86_64-linux-gnu -c -x assembler -o other.o -";
        tree.shell(&format!(
            "{source} | {assemble} && ld.lld-22 -o vmlinux other.o"
        ));
    });
}

fn an_object_is_compiled_on_after_the_front_end(tree: &mut Tree) {
    compile_in_place(tree, "lib/ring.o");
}

fn an_object_of_a_module_is_compiled_on_after_the_front_end(tree: &mut Tree) {
    compile_in_place(tree, "drivers/m/two.o");
}

/// The variable that turns LTO off for it was renamed, and make did not build it again.
fn an_object_that_opts_out_is_bitcode(tree: &mut Tree) {
    let command = tree.recorded_command("arch/x86/mm/.early.o.cmd");
    tree.keeping_time("arch/x86/mm/early.o", || {
        tree.shell(&format!("{command} -flto=thin"));
    });
}

/// A thin link that has no use for `init/version.o`.
const LAZY_LINK: &str = "cp lib/ring.o used.o && ld.lld-22 -r --thinlto-index-only=lazy-index used.o --start-lib init/version.o --end-lib";

/// clang prints 'Error loading index file', exits 0 and leaves an empty object. The next
/// thin link rewrites the index, but make sees nothing to do.
fn the_back_end_meets_a_garbage_index(tree: &mut Tree) {
    let summary = "virt/kvm/vcpu.o.thinlto.bc";
    let whole = tree.read(summary);
    tree.write(summary, "garbage");
    let ran = tree.shell(&tree.recorded_command("virt/kvm/.vcpu.thinlto-native.o.cmd"));
    tree.add_to_log(&ran.stderr);
    tree.write(summary, whole);
    tree.make_until_it_fails(Step::VmlinuxA, Recipes::default(), Step::VmlinuxO);
}

/// A second make compiles `lib/ring.o` while this one runs its back ends.
fn an_imported_object_is_away_for_a_moment(tree: &mut Tree) {
    tree.shell("mv lib/ring.o away");
    let ran = tree.shell(&tree.recorded_command("virt/kvm/.vcpu.thinlto-native.o.cmd"));
    tree.add_to_log(&ran.stderr);
    tree.shell("mv away lib/ring.o");
    tree.make_until_it_fails(Step::VmlinuxA, Recipes::default(), Step::VmlinuxO);
}

fn an_empty_object_without_a_log_that_says_so(tree: &mut Tree) {
    tree.truncate("virt/kvm/vcpu.thinlto-native.o", 0);
}

fn an_interrupted_back_end_leaves_half_an_object(tree: &mut Tree) {
    tree.truncate("init/main.thinlto-native.o", 500);
}

fn an_interrupted_assembler_leaves_half_an_object(tree: &mut Tree) {
    tree.truncate(&format!("arch/{}/kernel/head.o", tree.src()), 300);
}

fn an_interrupted_front_end_leaves_half_an_object(tree: &mut Tree) {
    let object = "kernel/sched/core.o";
    tree.truncate(object, tree.read(object).len() / 2);
}

fn the_disk_is_full_during_the_final_link(tree: &mut Tree) {
    tree.truncate("vmlinux", 1000);
}

fn the_disk_is_full_during_the_link_of_vmlinux_o(tree: &mut Tree) {
    tree.truncate("vmlinux.o", 1000);
}

/// A download that a proxy answered.
fn a_text_file_under_the_name_of_an_object(tree: &mut Tree) {
    tree.write("lib/ring.o", "<html>not found</html>\n");
}

fn the_disk_is_full_during_the_link_of_a_module(tree: &mut Tree) {
    tree.truncate("drivers/m/m.ko", 512);
}

fn a_module_is_packed_and_not_linked(tree: &mut Tree) {
    tree.replace("drivers/m/m.ko", "drivers/m/one.o");
}

fn the_back_end_does_not_turn_lto_off(tree: &mut Tree) {
    tree.make(
        Step::Natives,
        Recipes {
            back: |_, back| back.options = back.options.replace("-fno-lto", "-flto=thin"),
            ..Recipes::default()
        },
    );
}

fn one_object_is_compiled_for_the_build_machine(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "init/version.o" {
                    front.own = String::from("--target=x86_64-pc-linux-gnu -I../include");
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

/// Those that are not have `e_flags` of their own.
fn most_objects_are_compiled_for_the_build_machine(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if ["init/", "lib/", "kernel/"]
                    .iter()
                    .any(|dir| unit.object.starts_with(dir))
                {
                    front.own = String::from("--target=x86_64-pc-linux-gnu -I../include");
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn an_object_is_assembled_for_32_bits(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "lib/copy.o" {
                    front.own = front.own.replace("-m64", "-mx32");
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn one_object_is_compiled_for_another_float_abi(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "virt/kvm/vcpu.o" {
                    front.own = front
                        .own
                        .replace("-mabi=lp64 -march=rv64imac", "-mabi=lp64d -march=rv64gc");
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn one_object_is_compiled_without_compressed_instructions(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.object == "virt/kvm/vcpu.o" {
                    front.own = front.own.replace("-march=rv64imac", "-march=rv64ima");
                }
            },
            ..Recipes::default()
        },
    );
}

fn one_object_is_assembled_with_hardware_floats(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |unit, front| {
                if unit.language == Language::Assembly && unit.object.ends_with("entry.o") {
                    front.own = front.own.replace("lp64s", "lp64d").replace("gnusf", "gnu");
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn the_back_end_was_given_the_stub_of_an_unused_member(tree: &mut Tree) {
    let summary = "init/version.o.thinlto.bc";
    let whole = tree.read(summary);
    tree.keeping_time(summary, || {
        tree.shell(LAZY_LINK);
    });
    tree.keeping_time("init/version.thinlto-native.o", || {
        tree.shell(&tree.recorded_command("init/.version.thinlto-native.o.cmd"));
    });
    tree.write(summary, whole);
}
