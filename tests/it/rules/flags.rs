//! `flags.*`, broken: the flags that the front end saves, and those that the back end
//! gets. Several of these were defects of the series that brought distributed ThinLTO.

use std::collections::BTreeSet;

use klto::model::cell::LtoMode;

use super::case::broken;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::X86_64;
use crate::support::tree::recipes::{Recipes, dot_cmd, native};
use crate::support::tree::{Tree, keys};

broken! {
    objects_of_an_in_process_build_stay_after_the_switch: X86_64 ThinDist => ["flags.saved-missing"]
        at "kernel/sched/core.o" saying "kernel/sched/.core.o.cmd: no saved_c_flags line";
    objects_of_an_in_process_build_stay_on_a_cross_build: ARM64 ThinDist =>
        ["flags.saved-missing", "elf.machine", "log.override-module", "log.target-triple", "log.target-feature"]
        at "arch/ARCH/lib/copy.o" saying "no saved_c_flags line";
    all_evidence_of_flags_is_lost: X86_64 ThinDist => ["flags.saved-missing"]
        at "lib/ring.o" saying "lib/.ring.o.cmd: no saved_c_flags line";
    the_cmd_files_are_empty: RISCV ThinDist => ["flags.saved-missing", "archive.unrecorded"]
        at "init/version.o" saying "init/.version.o.cmd: no saved_c_flags line";
    flags_are_saved_again_without_fixdep: RISCV ThinDist => ["flags.saved-twice"]
        at "lib/ring.o" saying "2 lines, the second is lib/.ring.o.cmd:1";
    flags_are_saved_under_the_bare_file_name: LOONGARCH ThinDist => ["flags.saved-name"]
        at "init/main.o" saying "the line is for main.o";
    a_saved_line_is_cut: ARM64 ThinDist => ["flags.saved-syntax"]
        at "init/version.o" saying "the single quote opened at byte";
    quotes_in_flags_are_not_escaped: X86_64 ThinDist => ["flags.saved-syntax", "flags.saved-differs"]
        at "virt/kvm/vcpu.o" saying "the single quote opened at byte";
    saved_flags_lack_modkern_cflags: LOONGARCH ThinDist => ["flags.saved-differs"]
        at "init/main.o" saying "the saved line lacks '-fPIE -fdirect-access-external-data', which the front end has";
    saved_flags_stand_in_another_order: X86_64 ThinDist => ["flags.saved-differs"]
        at "lib/ring.o" saying "the same options in another order";
    the_back_end_is_not_recorded: ARM64 ThinDist => ["flags.backend-unrecorded"]
        at "init/version.thinlto-native.o" saying "init/.version.thinlto-native.o.cmd: no savedcmd line";
    saved_flags_are_looked_up_by_a_normalised_path: X86_64 ThinDist => ["flags.backend-lacks"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "the back end lacks '-D__KERNEL__ --target=x86_64-linux-gnu";
    saved_flags_are_looked_up_by_a_normalised_path_on_a_cross_build: RISCV ThinDist =>
        ["flags.backend-lacks", "elf.machine", "log.override-module", "log.target-triple", "log.target-feature"]
        at "virt/kvm/vcpu.thinlto-native.o" saying "--target=riscv64-linux-gnu";
    the_back_end_takes_the_first_index_of_the_directory: X86_64 ThinDist => ["flags.backend-command"]
        at "init/version.thinlto-native.o" saying "expected -fthinlto-index=init/version.o.thinlto.bc";
    the_language_comes_after_the_input: X86_64 ThinDist => ["flags.backend-command"]
        at "lib/ring.thinlto-native.o" saying "expected -x ir before the input";
    the_back_end_gets_another_language: LOONGARCH ThinDist => ["flags.backend-command"]
        at "lib/ring.thinlto-native.o" saying "expected -x ir";
    the_back_end_writes_elsewhere: RISCV ThinDist => ["flags.backend-command"]
        at "lib/ring.thinlto-native.o" saying "expected -o lib/ring.thinlto-native.o";
    the_back_end_reads_two_inputs: ARM64 ThinDist => ["flags.backend-command"]
        at "lib/ring.thinlto-native.o" saying "expected lib/ring.o as its only input";
    the_back_end_adds_an_option_of_its_own: ARM64 ThinDist => ["flags.backend-contradicts"]
        at "lib/ring.thinlto-native.o" saying "'-fPIE' undoes '-fno-PIE'";
    the_back_end_is_not_run_through_ccache: X86_64 ThinDist => ["flags.compiler"]
        at "init/main.thinlto-native.o" saying "front end 'env clang-22', back end 'clang-22'";
}

fn objects_of_an_in_process_build_stay_after_the_switch(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.saved_lines = 0,
            ..Recipes::default()
        },
    );
}

/// All that names the C files and their flags is lost, and with it what rules go by.
fn all_evidence_of_flags_is_lost(tree: &mut Tree) {
    for object in tree.text("vmlinux.thinlto-index").lines() {
        tree.edit(&dot_cmd(object), |text| {
            let of_flags = |line: &&str| {
                ["source_", "saved_c_flags_"]
                    .iter()
                    .any(|of_flags| line.starts_with(of_flags))
            };
            let kept = text.lines().filter(|line| !of_flags(line));
            kept.map(|line| format!("{line}\n")).collect()
        });
        tree.edit(&dot_cmd(&native(object)), |text| {
            let (begin, _) = text.split_once(" -").unwrap();
            let (_, end) = text.split_once(" -x ir").unwrap();
            format!("{begin} -x ir{end}")
        });
    }
}

/// As a write leaves it that failed.
fn the_cmd_files_are_empty(tree: &mut Tree) {
    for object in tree.text("vmlinux.thinlto-index").lines() {
        if !tree.text(&dot_cmd(object)).contains("#SYMVER") {
            tree.write(&dot_cmd(object), "");
        }
    }
}

fn objects_of_an_in_process_build_stay_on_a_cross_build(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |_, front| front.saved_lines = 0,
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

fn flags_are_saved_again_without_fixdep(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.saved_lines = 2,
            ..Recipes::default()
        },
    );
}

fn flags_are_saved_under_the_bare_file_name(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| {
                front.saved_for = front.saved_for.rsplit('/').next().unwrap().to_owned();
            },
            ..Recipes::default()
        },
    );
}

/// The disk was full for a moment.
fn a_saved_line_is_cut(tree: &mut Tree) {
    let cmd = "init/.version.o.cmd";
    tree.truncate(cmd, tree.read(cmd).len() - 4);
}

/// v4. Only `vcpu.o` has a quote inside of quotes; the others just lose theirs.
fn quotes_in_flags_are_not_escaped(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Objects,
        Recipes {
            front: |_, front| front.escsq = str::to_owned,
            ..Recipes::default()
        },
        Step::Natives,
    );
}

/// v10.
fn saved_flags_lack_modkern_cflags(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.saved = |front| front.own.clone(),
            ..Recipes::default()
        },
    );
}

fn saved_flags_stand_in_another_order(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.saved = |front| format!("{} {}", front.modkern, front.own),
            ..Recipes::default()
        },
    );
}

/// It need not come to its end.
#[test]
fn back_ends_are_judged_before_all_have_run() {
    let mut tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    saved_flags_are_looked_up_by_a_normalised_path(&mut tree);
    tree.remove("vmlinux.a");
    let inspection = tree.answer().unwrap().inspection;
    assert!(inspection.unfinished.is_some());
    assert_eq!(
        keys(&inspection.findings),
        BTreeSet::from(["flags.backend-lacks"])
    );
}

fn the_back_end_is_not_recorded(tree: &mut Tree) {
    tree.make(
        Step::Natives,
        Recipes {
            back: |_, back| back.recorded = false,
            ..Recipes::default()
        },
    );
}

/// v11. On a native build nothing but the command shows it.
fn saved_flags_are_looked_up_by_a_normalised_path(tree: &mut Tree) {
    tree.make(
        Step::Natives,
        Recipes {
            back: |unit, back| {
                if unit.spelled != unit.object {
                    back.saved.clear();
                }
            },
            ..Recipes::default()
        },
    );
}

fn saved_flags_are_looked_up_by_a_normalised_path_on_a_cross_build(tree: &mut Tree) {
    tree.make_until_it_fails(
        Step::Natives,
        Recipes {
            back: |unit, back| {
                if unit.spelled != unit.object {
                    back.saved.clear();
                }
            },
            ..Recipes::default()
        },
        Step::VmlinuxO,
    );
}

/// clang silently uses the index of another module.
fn the_back_end_takes_the_first_index_of_the_directory(tree: &mut Tree) {
    tree.make(
        Step::Natives,
        Recipes {
            back: |_, back| back.index = back.index.replace("init/version", "init/main"),
            ..Recipes::default()
        },
    );
}

const RECORDED: &str = "lib/.ring.thinlto-native.o.cmd";

fn the_back_end_gets_another_language(tree: &mut Tree) {
    tree.edit(RECORDED, |text| text.replace("-x ir", "-x c"));
}

fn the_back_end_writes_elsewhere(tree: &mut Tree) {
    tree.edit(RECORDED, |text| {
        text.replace("-o lib/ring.thinlto-native.o", "-o lib/ring.native.o")
    });
}

fn the_language_comes_after_the_input(tree: &mut Tree) {
    tree.edit(RECORDED, |text| {
        let text = text.replace(" -x ir", "");
        text.replace(" lib/ring.o\n", " lib/ring.o -x ir\n")
    });
}

fn the_back_end_reads_two_inputs(tree: &mut Tree) {
    tree.edit(RECORDED, |text| {
        text.replace(" lib/ring.o\n", " lib/ring.o init/version.o\n")
    });
}

fn the_back_end_adds_an_option_of_its_own(tree: &mut Tree) {
    tree.make(
        Step::Natives,
        Recipes {
            back: |_, back| back.options += " -fPIE",
            ..Recipes::default()
        },
    );
}

/// `env` stands for ccache, which is not on every machine.
fn the_back_end_is_not_run_through_ccache(tree: &mut Tree) {
    tree.make(
        Step::Objects,
        Recipes {
            front: |_, front| front.cc = format!("env {}", front.cc),
            ..Recipes::default()
        },
    );
}

#[test]
fn the_snapshot_has_the_usual_flags_and_names_the_objects_with_others() {
    let inspected = Tree::pristine(X86_64, LtoMode::ThinDist).inspect().unwrap();
    insta::assert_snapshot!(inspected.snapshot["flags"]);
}
