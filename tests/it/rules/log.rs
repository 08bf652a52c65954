//! `log.*`, broken: messages of real tools in a build that still finishes.

use std::collections::BTreeMap;

use klto::model::cell::LtoMode;
use rstest::rstest;

use super::case::{broken, list};
use crate::support::tree::layout::X86_64;
use crate::support::tree::toolchain::shell;
use crate::support::tree::{Tree, keys};

broken! {
    an_object_of_another_target_is_linked: X86_64 Thin => ["log.target-triple"]
        at "line 25" saying "Linking two modules of different target triples";
    the_back_end_does_not_know_a_feature: ARM64 ThinDist => ["log.target-feature"]
        at "line 33" saying "is not a recognized feature for this target";
    the_back_end_overrides_the_target: ARM64 ThinDist => ["log.override-module"]
        at "line 33" saying "overriding the module target triple with x86_64";
    the_back_end_cannot_load_an_index: RISCV ThinDist => ["log.index-load"]
        at "line 33" saying "Error loading index file";
    modpost_finds_no_crc: X86_64 None => ["log.modversions"]
        at "line 25" saying "EXPORT symbol \"ring_next\" [vmlinux] version generation failed";
    modpost_of_7_3_finds_no_crc: LOONGARCH ThinDist => ["log.modversions"]
        at "line 33" saying "vmlinux: EXPORT symbol 'ring_next' version generation failed";
    sed_finds_no_file: X86_64 ThinDist => ["log.shell-tool"]
        at "line 33" saying "sed: can't read kvm/.vcpu.o.cmd: No such file or directory";
    the_archiver_does_not_know_thin: LOONGARCH ThinDist => ["log.shell-tool"]
        at "line 33" saying "ar: unrecognized option '--thin'";
    the_back_end_cannot_import_a_function: X86_64 ThinDist => ["log.index-load"]
        at "line 33" saying "Error running ThinLTO backend: ";
    a_tool_says_something_else: ARM64 Thin => ["log.unclassified"]
        at "line 25" saying "objtool: error: cannot do it";
    grep_is_given_a_bad_pattern: RISCV Thin => ["log.shell-tool"]
        at "line 25" saying "grep: ";
}

/// Runs what make would have run, leaving nothing but the message.
fn hear(tree: &Tree, command: &str) {
    let ran = shell(&tree.path(), command);
    assert_ne!(ran.stderr, "", "{command} says nothing");
    tree.add_to_log(&ran.stderr);
}

/// `lib/ring.o` as clang of an `x86_64` machine makes it where --target= is lost.
fn an_object_of_another_target_is_linked(tree: &mut Tree) {
    tree.shell(
        &tree
            .recorded_command("lib/.ring.o.cmd")
            .replace("--target=x86_64-linux-gnu", "--target=x86_64-pc-linux-gnu")
            .replace("-o lib/ring.o", "-o other.o"),
    );
    hear(tree, "ld.lld-22 -r -o linked.o kernel/sched/core.o other.o");
}

fn the_back_end_does_not_know_a_feature(tree: &mut Tree) {
    // The message that the target is overridden comes first, and has a rule of its own.
    hear(
        tree,
        "clang-22 --target=x86_64-pc-linux-gnu -Wno-override-module -x ir -c -o native.o virt/kvm/vcpu.o",
    );
}

fn the_back_end_overrides_the_target(tree: &mut Tree) {
    hear(
        tree,
        "clang-22 --target=x86_64-pc-linux-gnu -x ir -c -o native.o init/version.o",
    );
}

fn the_back_end_cannot_load_an_index(tree: &mut Tree) {
    tree.shell("echo garbage > garbage.bc");
    hear(
        tree,
        "clang-22 --target=riscv64-linux-gnu -x ir -fthinlto-index=garbage.bc -c -o native.o init/version.o",
    );
}

fn modpost_finds_no_crc(tree: &mut Tree) {
    tree.add_to_log(
        "WARNING: modpost: EXPORT symbol \"ring_next\" [vmlinux] version generation failed, symbol will not be versioned.\n\
         Is \"ring_next\" prototyped in <asm/asm-prototypes.h>?",
    );
}

fn modpost_of_7_3_finds_no_crc(tree: &mut Tree) {
    tree.add_to_log(
        "WARNING: modpost: vmlinux: EXPORT symbol 'ring_next' version generation failed, symbol will not be versioned.",
    );
}

/// The look-up of the saved flags of v11.
fn sed_finds_no_file(tree: &mut Tree) {
    hear(tree, "sed -n '/saved_c_flags_/s/.*:= //p' kvm/.vcpu.o.cmd");
}

/// GNU ar before 2.39, with only patch 1 of v12.
fn the_archiver_does_not_know_thin(tree: &mut Tree) {
    tree.add_to_log("ar: unrecognized option '--thin'\nUsage: ar [emulation options] [-]{dmpqrstx}[abcDfilMNoOPsSTuvV] [--plugin <name>] [member-name] [count] archive-file file...");
}

fn the_back_end_cannot_import_a_function(tree: &mut Tree) {
    tree.add_to_log("Error running ThinLTO backend: Invalid record");
}

fn a_tool_says_something_else(tree: &mut Tree) {
    tree.add_to_log("vmlinux.o: objtool: error: cannot do it");
}

fn grep_is_given_a_bad_pattern(tree: &mut Tree) {
    hear(tree, "grep -qx '[' modules.order");
}

#[rstest]
#[case::a_processor(
    "'generic-rv64' is not a recognized processor for this target (ignoring processor)",
    "log.target-feature"
)]
#[case::a_triple_overridden(
    "warning: overriding the module target triple with x86_64-pc-linux-gnu",
    "log.override-module"
)]
#[case::a_triple_overridden_as_an_error(
    "error: overriding [-Werror,-Woverride-module]",
    "log.override-module"
)]
#[case::an_imported_object(
    "Error loading imported file 'lib/ring.o': No such file or directory",
    "log.index-load"
)]
#[case::an_import(
    "Error running ThinLTO backend: Function Import: link error",
    "log.index-load"
)]
#[case::a_crc_that_is_missing(
    "WARNING: modpost: \"ring_next\" [drivers/m/m.ko] has no CRC!",
    "log.modversions"
)]
#[case::nm(
    "llvm-nm-22: error: init/main.o: No such file or directory",
    "log.shell-tool"
)]
#[case::objcopy("/bin/sh: 1: llvm-objcopy: not found", "log.shell-tool")]
#[case::awk(
    "awk: cannot open \"modules.order\" (No such file or directory)",
    "log.shell-tool"
)]
#[case::a_linker("ld: unrecognized option '--thinlto-index-only=x'", "log.shell-tool")]
#[case::printf("/bin/sh: 1: printf: %s: invalid directive", "log.shell-tool")]
#[case::xargs(
    "xargs: unmatched single quote; by default quotes are special to xargs",
    "log.shell-tool"
)]
#[case::ar("ar: init/main.o: No such file or directory", "log.shell-tool")]
#[case::llvm_ar(
    "llvm-ar-22: error: lib/copy.thinlto-native.o: No such file or directory",
    "log.shell-tool"
)]
fn a_message_is_found_by_its_key(#[case] line: &str, #[case] key: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.add_to_log(line);
    let findings = tree.findings();
    assert_eq!(findings.len(), 1, "{}", list(&findings));
    assert_eq!(findings[0].key, key);
    assert_eq!(findings[0].evidence, line);
}

#[rstest]
#[case::a_quiet_command("  CC      lib/sed.o")]
#[case::a_verbose_command("clang-22 -Woverride-module -c -o init/main.o ../init/main.c")]
#[case::a_warning_of_no_interest(
    "WARNING: Unable to reopen jobserver read-side pipe: FileNotFoundError(2, 'No such file or directory')"
)]
#[case::a_tool_in_prose("note: the archiver (ar) and sed are used as they are")]
#[case::an_object_without_symbols("nm: arch/x86/entry/vdso/note.o: no symbols")]
#[case::an_error_that_make_ignores("make[1]: [Makefile:9: clean] Error 1 (ignored)")]
#[case::nothing("")]
fn a_harmless_line_is_not_a_finding(#[case] line: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.add_to_log(line);
    assert_eq!(tree.findings(), []);
}

/// What a compiler says about a file that does not compile is about that file.
#[test]
fn errors_of_a_build_that_stopped_are_not_unclassified() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.add_to_log("init/main.c:3:1: error: unknown type name 'x'");
    let findings = tree.findings();
    assert_eq!(keys(&findings), ["log.unclassified"].into());
    tree.add_to_log("make[2]: *** [scripts/Makefile.build:289: init/main.o] Error 1");
    assert_eq!(tree.findings(), []);
}

/// As a CI system keeps it.
#[rstest]
#[case::time("2026-11-25T02:00:00.123Z ")]
#[case::job("[build] ")]
#[case::colours("\x1b[31m")]
fn what_stands_before_a_message_hides_nothing(#[case] before: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.add_to_log(&format!(
        "{before}sed: can't read x: No such file or directory"
    ));
    let findings = tree.findings();
    assert_eq!(keys(&findings), ["log.shell-tool"].into());
    assert_eq!(
        findings[0].evidence,
        "sed: can't read x: No such file or directory"
    );
}

/// They break no rule.
#[test]
fn warnings_are_counted_in_the_record() {
    let tree = Tree::pristine(X86_64, LtoMode::Thin);
    let warning = "init/main.c:1:1: warning: unused variable 'x' [-Wunused-variable]\n";
    tree.add_to_log(&warning.repeat(2));
    let inspection = tree.answer().unwrap().inspection;
    assert_eq!(inspection.findings, []);
    assert_eq!(
        inspection.warnings,
        BTreeMap::from([("-Wunused-variable".to_owned(), 2)])
    );
}
