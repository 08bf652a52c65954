//! `compdb.*`, broken: `compile_commands.json`, which the kernel's script makes of `.cmd`
//! files, and which exists only if it was requested.

use klto::model::cell::LtoMode;
use klto::model::record::{FindingRecord, RuleCount};
use rstest::rstest;
use serde_json::{Value, json};

use super::case::{broken, list};
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use crate::support::tree::recipes::{Recipes, dot_cmd, front_cmd};
use crate::support::tree::toolchain::{AR, run};
use crate::support::tree::{Tree, keys};

const FILE: &str = "compile_commands.json";

/// `gen_compile_commands.py` of 7.2.
fn of_7_2() -> Recipes {
    Recipes {
        entry_source: dot_cmd,
        entry_command: dot_cmd,
        ..Recipes::default()
    }
}

broken! {
    the_script_reads_beside_native_objects: X86_64 ThinDist => ["compdb.lost-entries"]
        at "init/main.o" saying "compile_commands.json: no entry for ../init/main.c";
    a_source_that_is_spelled_by_a_detour_is_lost: ARM64 ThinDist => ["compdb.lost-entries"]
        at "virt/kvm/vcpu.o" saying "no entry for ../virt/kvm/vcpu.c";
    the_target_forgets_the_modules: RISCV Thin => ["compdb.lost-entries"]
        at "drivers/m/two.o" saying "no entry for ../drivers/m/two.c";
    the_script_finds_no_cmd_file: LOONGARCH None => ["compdb.lost-entries"]
        at "arch/ARCH/mm/early.o" saying "no entry for ../arch/ARCH/mm/early.c";
    one_entry_is_lost: LOONGARCH Thin => ["compdb.lost-entries"]
        at "lib/ring.o" saying "no entry for ../lib/ring.c";
    entries_have_the_command_of_the_back_end: RISCV ThinDist => ["compdb.wrong-command"]
        at "lib/ring.o" saying "the command for ../lib/ring.c ends in 'lib/ring.o', and names no source file";
    a_disk_is_full: X86_64 Thin => ["compdb.damaged"]
        at "compile_commands.json" saying "EOF while parsing";
    nothing_is_written: ARM64 None => ["compdb.damaged"]
        at "compile_commands.json" saying "EOF while parsing";
    it_is_no_array: ARM64 Thin => ["compdb.damaged"]
        at "compile_commands.json" saying "invalid type: map, expected a sequence";
    an_entry_names_no_file: RISCV None => ["compdb.damaged"]
        at "compile_commands.json" saying "missing field `file` at line ";
    an_entry_has_no_command: LOONGARCH ThinDist => ["compdb.damaged"]
        at "compile_commands.json" saying "entry 2, for ";
}

fn the_script_reads_beside_native_objects(tree: &mut Tree) {
    tree.compile_commands(of_7_2());
}

fn a_source_that_is_spelled_by_a_detour_is_lost(tree: &mut Tree) {
    tree.compile_commands(of_7_2());
}

fn the_target_forgets_the_modules(tree: &mut Tree) {
    tree.compile_commands(Recipes {
        entries_of_modules: false,
        ..Recipes::default()
    });
}

fn the_script_finds_no_cmd_file(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    tree.write(FILE, "[]");
}

fn one_entry_is_lost(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    edit_entries(tree, |entries| {
        let before = entries.len();
        entries.retain(|entry| !text(entry, "file").ends_with("/lib/ring.c"));
        assert_eq!(entries.len() + 1, before);
    });
}

/// The source is looked up for the IR object, but the command still for the member.
fn entries_have_the_command_of_the_back_end(tree: &mut Tree) {
    tree.compile_commands(Recipes {
        entry_source: front_cmd,
        entry_command: dot_cmd,
        ..Recipes::default()
    });
}

fn a_disk_is_full(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    tree.truncate(FILE, 4096);
}

fn nothing_is_written(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    tree.truncate(FILE, 0);
}

fn it_is_no_array(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    tree.edit(FILE, |text| format!("{{\"entries\": {text}}}"));
}

fn an_entry_names_no_file(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    edit_entries(tree, |entries| {
        entries[1].as_object_mut().unwrap().remove("file");
    });
}

fn an_entry_has_no_command(tree: &mut Tree) {
    tree.compile_commands(Recipes::default());
    edit_entries(tree, |entries| {
        entries[1].as_object_mut().unwrap().remove("command");
    });
}

fn text<'e>(entry: &'e Value, key: &str) -> &'e str {
    entry[key].as_str().unwrap()
}

fn edit_entries(tree: &Tree, change: impl FnOnce(&mut Vec<Value>)) {
    tree.edit(FILE, |text| {
        let mut entries: Vec<Value> = serde_json::from_str(text).unwrap();
        change(&mut entries);
        serde_json::to_string_pretty(&entries).unwrap()
    });
}

fn assert_nothing_found(tree: &Tree) {
    let findings = tree.findings();
    assert!(findings.is_empty(), "\n{}", list(&findings));
}

#[rstest]
fn a_tree_with_its_file_has_no_finding(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let mut tree = Tree::pristine(target, mode);
    tree.compile_commands(Recipes::default());
    let checked = tree.answer().unwrap().inspection;
    assert!(checked.findings.is_empty(), "\n{}", list(&checked.findings));
    assert_eq!(rules_run(&tree), 3);
}

/// How many of these rules had something to look at.
fn rules_run(tree: &Tree) -> usize {
    let rules = tree.answer().unwrap().inspection.rules;
    let of_family = |rule: &&RuleCount| rule.key.starts_with("compdb.") && rule.looked_at > 0;
    rules.iter().filter(of_family).count()
}

#[test]
fn a_tree_without_the_file_has_nothing_for_these_rules() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    assert_eq!(rules_run(&tree), 0);
}

/// Each object that lost its entry, and no other: not what is assembled, nor the C object
/// without bitcode, which has no native object.
#[test]
fn what_7_2_loses_is_what_the_index_lists() {
    let mut tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.compile_commands(of_7_2());
    let mut lost: Vec<String> = tree.findings().into_iter().map(|f| f.object).collect();
    let index = tree.text("vmlinux.thinlto-index");
    let mut listed: Vec<&str> = index.lines().collect();
    lost.sort();
    listed.sort_unstable();
    assert_eq!(lost, listed);
}

/// The synthetic file is the one that the kernel's own script makes, before or after the
/// defect of 7.2 was mended.
#[rstest]
fn the_kernel_makes_the_same_file(
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let Some(kernel) = std::env::var_os("KLTO_KERNEL") else {
        eprintln!("left out: KLTO_KERNEL names no kernel source");
        return;
    };
    let script = std::path::Path::new(&kernel).join("scripts/clang-tools/gen_compile_commands.py");
    let mut tree = Tree::pristine(ARM64, mode);
    let args = [
        "-a",
        AR,
        "-o",
        "by-the-script",
        "vmlinux.a",
        "modules.order",
    ];
    let args = [script.to_str().unwrap()].into_iter().chain(args);
    run(&tree.path(), "python3", args).expect_ok();
    let read = |file: &str| serde_json::from_str::<Value>(&tree.text(file)).unwrap();
    let by_the_script = read("by-the-script");
    let ours = [of_7_2(), Recipes::default()].map(|recipes| {
        tree.compile_commands(recipes);
        serde_json::from_str::<Value>(&tree.text(FILE)).unwrap()
    });
    assert!(ours.contains(&by_the_script), "{by_the_script:#}");
}

#[test]
fn what_assembly_lacks_is_nothing() {
    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    tree.compile_commands(Recipes::default());
    edit_entries(&tree, |entries| {
        entries.retain(|entry| text(entry, "file").ends_with(".c"));
    });
    assert_nothing_found(&tree);
}

fn with_arguments(entry: &mut Value) {
    let arguments: Vec<&str> = text(entry, "command").split(' ').collect();
    *entry = json!({
        "arguments": arguments,
        "directory": entry["directory"],
        "file": entry["file"],
        "output": "x.o",
    });
}

fn with_a_file_from_its_directory(entry: &mut Value) {
    let (_, file) = text(entry, "command").rsplit_once(' ').unwrap();
    entry["file"] = json!(file);
}

fn with_the_output_last(entry: &mut Value) {
    let command = text(entry, "command");
    entry["command"] = json!(format!("{command} -o x.o"));
}

fn with_quotes(entry: &mut Value) {
    let (before, file) = text(entry, "command").rsplit_once(' ').unwrap();
    entry["command"] = json!(format!("{before} \"{file}\" "));
}

/// Other tools write the same format in other ways.
#[rstest]
#[case(with_arguments)]
#[case(with_a_file_from_its_directory)]
#[case(with_the_output_last)]
#[case(with_quotes)]
fn an_entry_may_be_written_otherwise(#[case] change: fn(&mut Value)) {
    let mut tree = Tree::pristine(RISCV, LtoMode::ThinDist);
    tree.compile_commands(Recipes::default());
    edit_entries(&tree, |entries| entries.iter_mut().for_each(change));
    assert_nothing_found(&tree);
}

/// The kernel's script writes where links lead, the `.cmd` file what make was given.
#[rstest]
#[case::a_folder("mv ../drivers/m ../../m && ln -s ../../m ../drivers/m")]
#[case::a_file("mv ../init/main.c ../init/other.c && ln -s other.c ../init/main.c")]
fn a_source_that_a_link_leads_to_is_the_same_source(#[case] link: &str) {
    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.shell(link);
    tree.compile_commands(Recipes::default());
    assert_nothing_found(&tree);
}

/// A tree that was built in a container, or copied from another machine.
#[rstest]
#[case::with_nothing_wrong(Recipes::default(), &[])]
#[case::that_7_2_made(of_7_2(), &["compdb.lost-entries"])]
fn a_tree_is_judged_wherever_it_lies(#[case] recipes: Recipes, #[case] expected: &[&str]) {
    let mut tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.compile_commands(recipes);
    let source = tree.file("..").canonicalize().unwrap();
    tree.edit(FILE, |text| {
        text.replace(source.to_str().unwrap(), "/elsewhere/linux")
    });
    let findings = tree.findings();
    let expected = expected.iter().copied().collect();
    assert_eq!(keys(&findings), expected, "\n{}", list(&findings));
}

/// The same with the sources where kbuild names them by an absolute path.
#[rstest]
#[case::with_nothing_wrong(Recipes::default(), &[])]
#[case::that_7_2_made(of_7_2(), &["compdb.lost-entries"])]
fn a_tree_apart_from_its_sources_is_judged(#[case] recipes: Recipes, #[case] expected: &[&str]) {
    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.compile_commands(recipes);
    let source = tree.file("..").canonicalize().unwrap();
    tree.edit(FILE, |text| {
        text.replace(source.to_str().unwrap(), "/elsewhere/linux")
    });
    for object in tree.members("built-in-fixup.a") {
        tree.edit(&dot_cmd(&object), |text| {
            text.replace(".o := ../", ".o := /elsewhere/linux/")
        });
    }
    tree.shell("ln -sfn /elsewhere/linux source");
    let findings = tree.findings();
    let expected = expected.iter().copied().collect();
    assert_eq!(keys(&findings), expected, "\n{}", list(&findings));
    let shown = |finding: &FindingRecord| finding.evidence.contains("$(srctree)/");
    assert!(findings.iter().all(shown), "\n{}", list(&findings));
}

/// An editor is given one file for several builds.
#[test]
fn entries_of_another_build_are_nothing() {
    let mut tree = Tree::pristine(RISCV, LtoMode::Thin);
    tree.compile_commands(Recipes::default());
    edit_entries(&tree, |entries| {
        let other = json!({"directory": "/another/build", "file": "x.c", "command": "cc x.o"});
        entries.insert(0, other);
    });
    assert_nothing_found(&tree);
}

/// Nobody makes it again for every build: what it lacks may have come later.
#[test]
fn a_file_of_an_earlier_build_is_not_judged() {
    let mut tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.compile_commands(of_7_2());
    tree.shell("touch -r init/main.o compile_commands.json");
    assert_nothing_found(&tree);
}

#[rstest]
#[case::the_list_of_modules("modules.order")]
#[case::the_list_of_its_objects("drivers/m/m.mod")]
fn modules_that_were_built_later_are_not_judged(#[case] later: &str) {
    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    tree.compile_commands(Recipes::default());
    tree.write(FILE, "[]");
    let all = tree.findings().len();
    tree.touch(later);
    let findings = tree.findings();
    assert_eq!(findings.len() + 2, all, "\n{}", list(&findings));
    let of_module = |object: &str| object.starts_with("drivers/m/");
    assert!(!findings.iter().any(|finding| of_module(&finding.object)));
}

/// `modules.order` stays when modules are switched off in a built tree.
#[test]
fn modules_of_an_earlier_configuration_are_not_judged() {
    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    the_target_forgets_the_modules(&mut tree);
    assert_eq!(tree.findings().len(), 2);
    tree.edit_config(|config| config.replace("CONFIG_MODULES=y\n", ""));
    assert_nothing_found(&tree);
}

/// Files outside the tree say nothing about it.
#[test]
fn a_module_outside_of_the_tree_is_not_asked_when_it_was_built() {
    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    the_target_forgets_the_modules(&mut tree);
    tree.edit("modules.order", |order| format!("{order}../outside.o\n"));
    tree.shell("echo outside.o > ../outside.mod");
    tree.touch("../outside.mod");
    assert_eq!(tree.findings().len(), 2);
}

#[test]
fn an_interrupted_rebuild_says_nothing_of_it() {
    let mut tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.compile_commands(of_7_2());
    let again = Recipes {
        front: |_, front| front.own += " -O2",
        ..Recipes::default()
    };
    tree.make_until(Step::Objects, Step::Fixup, again);
    let findings = tree.findings();
    assert_eq!(
        keys(&findings),
        ["archive.stale"].into(),
        "\n{}",
        list(&findings)
    );
}

#[test]
fn an_object_in_two_modules_is_one_finding() {
    let mut tree = Tree::pristine(X86_64, LtoMode::Thin);
    let order = tree.text("modules.order");
    tree.write("modules.order", format!("{order}drivers/m/n.o\n"));
    tree.shell("cp -p drivers/m/m.mod drivers/m/n.mod");
    tree.compile_commands(Recipes {
        entries_of_modules: false,
        ..Recipes::default()
    });
    let objects: Vec<String> = tree.findings().into_iter().map(|f| f.object).collect();
    assert_eq!(objects, ["drivers/m/one.o", "drivers/m/two.o"]);
}
