//! What a maintainer may do to the makefiles, or a person to a tree, without harm: no rule
//! says anything.

use klto::model::cell::LtoMode;
use rstest::rstest;

use crate::support::tree::Tree;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use crate::support::tree::recipes::{Recipes, dot_cmd, native};
use crate::support::tree::toolchain;

/// Changes each back-end command.
fn edit_commands(tree: &Tree, change: impl Fn(&str) -> String) {
    for object in tree.text("vmlinux.thinlto-index").lines() {
        tree.edit(&dot_cmd(&native(object)), |text| change(text));
    }
}

/// The two parts of a text around `between`, and this.
fn parts<'a>(text: &'a str, between: &str) -> (&'a str, &'a str) {
    text.split_once(between)
        .unwrap_or_else(|| panic!("no '{between}' in {text}"))
}

fn the_input_comes_before_the_output(text: &str) -> String {
    let (begin, end) = parts(text.trim_end(), " -c -o ");
    let (output, input) = parts(end, " ");
    format!("{begin} -c {input} -o {output}\n")
}

fn the_index_comes_first(text: &str) -> String {
    let (begin, end) = parts(text, " -fthinlto-index=");
    let (index, end) = parts(end, " ");
    let (compiler, flags) = parts(begin, " -");
    format!("{compiler} -fthinlto-index={index} -{flags} {end}")
}

fn paths_begin_with_a_dot(text: &str) -> String {
    let (begin, end) = parts(text.trim_end(), " -c -o ");
    let (output, input) = parts(end, " ");
    format!("{begin} -c -o ./{output} ./{input}\n")
}

#[rstest]
#[case(X86_64, the_input_comes_before_the_output)]
#[case(ARM64, the_index_comes_first)]
#[case(RISCV, paths_begin_with_a_dot)]
fn the_back_end_may_be_written_otherwise(
    #[case] target: &'static Target,
    #[case] change: fn(&str) -> String,
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    edit_commands(&tree, change);
    assert_eq!(tree.findings(), []);
}

#[rstest]
fn the_front_end_may_name_its_input_first(
    #[values(LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(LOONGARCH, mode);
    tree.edit("lib/.ring.o.cmd", |text| {
        let (begin, end) = parts(text, " -c -o lib/ring.o ");
        let (input, rest) = parts(end, "\n");
        format!("{begin} -c {input} -o lib/ring.o\n{rest}")
    });
    assert_eq!(tree.findings(), []);
}

/// objtool works on machine code: kbuild then links a single object again.
#[rstest]
fn an_object_may_be_linked_again_at_once(#[values("lib/ring.o", "drivers/m/two.o")] object: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::Thin);
    tree.keeping_time(object, || {
        tree.shell(&format!(
            "ld.lld-22 -r -o relinked {object} && mv relinked {object}"
        ));
    });
    tree.edit(&dot_cmd(object), |text| {
        let (command, rest) = parts(text, "\n");
        format!("{command} ; ld.lld-22 -r -o .tmp {object}; mv .tmp {object}\n{rest}")
    });
    assert_eq!(tree.findings(), []);
}

/// `cp -r`, which gives each file the time of its copy.
#[rstest]
fn a_copy_without_its_times_is_not_out_of_date(
    #[values(X86_64, RISCV)] target: &'static Target,
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let mut tree = Tree::pristine(target, mode);
    tree.compile_commands(Recipes::default());
    // In the order of the names, which is not the order of the build.
    let copy = "find . -type f | LC_ALL=C sort | while read -r file; do touch \"$file\"; sleep 0.001; done";
    toolchain::shell(&tree.path(), copy).expect_ok();

    let inspection = tree.answer().unwrap().inspection;

    assert_eq!(inspection.findings, []);
    assert_eq!(inspection.unfinished, None);
    assert!(inspection.times_lost);
    let looked_at = |key: &str| {
        let rule = inspection.rules.iter().find(|rule| rule.key == key);
        rule.map(|rule| rule.looked_at)
    };
    assert_eq!(looked_at("archive.stale"), Some(0));
    assert_ne!(looked_at("archive.members"), Some(0), "the rest is judged");
}

/// Two files that somebody touched do not make the times of all others worthless.
#[test]
fn a_tree_with_its_times_is_taken_at_its_word() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    for object in ["lib/ring.o", "init/main.o"] {
        tree.touch(object);
    }
    let inspection = tree.answer().unwrap().inspection;
    assert!(!inspection.times_lost);
    assert_ne!(inspection.findings, []);
}

/// `TRIM_UNUSED_KSYMS` drops what no module uses.
#[test]
fn a_trimmed_kernel_exports_less_than_its_objects() {
    let tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    tree.edit("lib/.ring.o.cmd", |text| {
        format!("{text}#SYMVER ring_previous 0x00000007\n")
    });
    assert_ne!(tree.findings(), []);
    tree.edit_config(|text| format!("{text}CONFIG_TRIM_UNUSED_KSYMS=y\n"));
    assert_eq!(tree.findings(), []);
}

/// recordmcount writes each object again, after its `.cmd` file.
#[test]
fn recordmcount_does_not_make_the_times_of_a_tree_worthless() {
    let tree = Tree::pristine(X86_64, LtoMode::None);
    tree.shell("find . -name '.*.o.cmd' -exec touch -d 2020-01-01 {} +");
    let times_lost = || {
        let inspection = tree.answer().unwrap().inspection;
        assert_eq!(inspection.findings, []);
        inspection.times_lost
    };
    assert!(times_lost());
    tree.edit_config(|text| format!("{text}CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y\n"));
    assert!(!times_lost());
}
