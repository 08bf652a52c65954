//! What a maintainer may do to the makefiles, or a person to a tree, without harm: no rule
//! says anything.

use klto::model::cell::LtoMode;
use klto::model::error::Exit;
use klto::model::facts::ObjectFile;
use rstest::rstest;

use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use crate::support::tree::recipes::{Recipes, dot_cmd, native};
use crate::support::tree::toolchain;
use crate::support::tree::{Tree, keys};

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

fn the_output_begins_with_a_dot(text: &str) -> String {
    let (begin, end) = parts(text.trim_end(), " -c -o ");
    let (output, input) = parts(end, " ");
    format!("{begin} -c -o ./{output} {input}\n")
}

#[rstest]
#[case(X86_64, the_input_comes_before_the_output)]
#[case(ARM64, the_index_comes_first)]
#[case(RISCV, the_output_begins_with_a_dot)]
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

/// What is left out of a log may be what a rule looks for.
#[test]
fn a_log_that_was_cut_is_not_judged_and_breaks_nothing() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    let looked_at = || {
        let inspection = tree.answer().unwrap().inspection;
        assert_eq!(inspection.findings, []);
        let rules = inspection.rules.into_iter();
        let log = rules.filter(|rule| rule.key.starts_with("log."));
        log.map(|rule| rule.looked_at).collect::<Vec<_>>()
    };
    assert!(looked_at().iter().all(|looked_at| *looked_at > 0));
    tree.add_to_log("klto: left out 4096 bytes of the output here");
    assert!(looked_at().iter().all(|looked_at| *looked_at == 0));
    let sign = "Error loading index file";
    tree.add_to_log(sign);
    let findings = tree.findings();
    assert_eq!(findings.len(), 1, "what is there still counts");
    assert_eq!(findings[0].evidence, sign);
}

/// A clock that is set back during the build gives what is written first the later time.
#[rstest]
#[case::files_are_from_a_time_to_come("+1 hour", "")]
#[case::make_says_so(
    "-1 minute",
    "make[2]: warning:  Clock skew detected.  Your build may be incomplete.\n"
)]
fn a_clock_that_went_back_makes_no_file_out_of_date(#[case] time: &str, #[case] said: &str) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.shell("find . -type f -exec touch -d '-1 hour' {} +");
    // What was written before the clock went back.
    for file in ["lib/ring.o", "lib/.ring.o.cmd"] {
        tree.shell(&format!("touch -d '{time}' {file}"));
    }
    tree.add_to_log(said);
    let inspection = tree.answer().unwrap().inspection;
    assert_eq!(inspection.findings, []);
    assert!(inspection.times_lost);
}

/// Code that runs before the kernel is relocated refers to such symbols.
#[test]
fn a_hidden_symbol_of_the_linker_script_is_no_promoted_local() {
    let tree = Tree::pristine(ARM64, LtoMode::ThinDist);
    let native = "init/main.thinlto-native.o";
    tree.keeping_time(native, || {
        tree.shell(&format!(
            "printf '.hidden __bss_start\\n.quad __bss_start\\n' | clang-22 --target=aarch64-linux-gnu -c -x assembler - -o refers.o && \
             ld.lld-22 -r {native} refers.o -o both.o && mv both.o {native} && rm refers.o"
        ));
    });
    let facts = tree.facts();
    let refers = facts
        .objects
        .iter()
        .filter_map(|object| match &object.backend.as_ref()?.file {
            ObjectFile::Elf(elf) => Some(elf.hidden_undefined.iter()),
            _ => None,
        });
    assert!(
        refers
            .flatten()
            .any(|name| facts.text(*name) == "__bss_start")
    );
    let (_, findings) = tree.check(&facts, &["symbols.promotion-unresolved"]);
    assert_eq!(findings, []);
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

/// What the makefiles record of the list of objects, the thin link and `vmlinux.a`.
fn record_commands(tree: &Tree, order: &str, index: &str, native: &str) {
    for (file, command) in [
        (order, format!("llvm-ar t built-in-fixup.a > {order}")),
        (
            index,
            format!("ld.lld -r --thinlto-index-only={index} @{order}"),
        ),
        (
            "vmlinux.a",
            format!(
                "rm -f vmlinux.a; while read -r obj; do if grep -Fqx $${{obj}} {index}; then echo $${{obj%.o}}{native}; else echo $${{obj}}; fi; done < {order} | xargs llvm-ar cDPrS --thin vmlinux.a"
            ),
        ),
    ] {
        let text = format!("savedcmd_{file} := {command}\n");
        std::fs::write(tree.file(&dot_cmd(file)), text).unwrap();
    }
}

fn rename_order(tree: &Tree) {
    tree.shell("mv builtin.order built-in.list");
    record_commands(
        tree,
        "built-in.list",
        "vmlinux.thinlto-index",
        ".thinlto-native.o",
    );
}

fn rename_index(tree: &Tree) {
    tree.shell("mv vmlinux.thinlto-index .indexed");
    record_commands(tree, "builtin.order", ".indexed", ".thinlto-native.o");
}

fn rename_lists(tree: &Tree) {
    tree.shell("mv builtin.order .objects; mv vmlinux.thinlto-index .indexed");
    record_commands(tree, ".objects", ".indexed", ".thinlto-native.o");
    tree.edit("..indexed.cmd", |text| text.replace('@', "@./"));
}

/// The archiver is asked for the objects where they are needed.
fn keep_no_order(tree: &Tree) {
    tree.remove("builtin.order");
    for (file, command) in [
        (
            "vmlinux.thinlto-index",
            "ld.lld -r --thinlto-index-only=vmlinux.thinlto-index $$(llvm-ar t built-in-fixup.a)",
        ),
        (
            "vmlinux.a",
            "sh members built-in-fixup.a vmlinux.thinlto-index | xargs llvm-ar cDPrST vmlinux.a",
        ),
    ] {
        let text = format!("savedcmd_{file} := {command}\n");
        std::fs::write(tree.file(&dot_cmd(file)), text).unwrap();
    }
}

/// Gives each native object the name that `name` makes of its own.
fn rename_natives(tree: &Tree, name: impl Fn(&str) -> String) {
    let index = tree.text("vmlinux.thinlto-index");
    let mut members = tree.members("vmlinux.a");
    for old in index.lines().map(native) {
        let new = name(&old);
        let (old_cmd, new_cmd) = (dot_cmd(&old), dot_cmd(&new));
        tree.shell(&format!("mv {old} {new}; mv {old_cmd} {new_cmd}"));
        tree.edit(&new_cmd, |text| text.replace(&old, &new));
        let member = members.iter_mut().find(|member| **member == old);
        *member.unwrap() = new;
    }
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    tree.archive("vmlinux.a", "cDPrST", &members);
    tree.write(".vmlinux.objs", members.join("\n") + "\n");
}

fn another_suffix(native: &str) -> String {
    native.replace(".thinlto-native.o", ".lto.o")
}

fn an_added_suffix(native: &str) -> String {
    native.replace(".thinlto-native.o", ".o.native.o")
}

/// Each `.cmd` file that has saved flags.
fn saved_flags(tree: &Tree) -> Vec<String> {
    let files = tree
        .shell("grep -rl --include='.*.cmd' '^saved_c_flags_' .")
        .stdout;
    files.lines().map(str::to_owned).collect()
}

fn rename_saved_lines(tree: &Tree) {
    for file in saved_flags(tree) {
        tree.edit(&file, |text| {
            text.replace("\nsaved_c_flags_", "\nbe_cflags_")
        });
    }
}

/// Names of files and variables belong to the kernel.
#[rstest]
#[case::order(X86_64, rename_order)]
#[case::index(ARM64, rename_index)]
#[case::lists(RISCV, rename_lists)]
#[case::no_order(RISCV, keep_no_order)]
#[case::natives(X86_64, |tree: &Tree| rename_natives(tree, another_suffix))]
#[case::natives_with_a_suffix_more(LOONGARCH, |tree: &Tree| rename_natives(tree, an_added_suffix))]
#[case::saved_lines(ARM64, rename_saved_lines)]
#[case::all(X86_64, |tree: &Tree| {
    rename_natives(tree, another_suffix);
    rename_saved_lines(tree);
    rename_index(tree);
})]
fn a_kernel_may_name_its_files_otherwise(
    #[case] target: &'static Target,
    #[case] rename: fn(&Tree),
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    let usual = tree.answer().unwrap().inspection;
    rename(&tree);
    let inspection = tree.answer().unwrap().inspection;
    assert_eq!(inspection.findings, []);
    assert_eq!(inspection.unfinished, None);
    let counts = |inspection: &klto::model::record::Inspection| {
        let rules = inspection.rules.iter();
        // The list that is not kept cannot be compared.
        let rules =
            rules.filter(|rule| rule.key != "archive.order-file" && rule.key != "archive.stale");
        rules
            .map(|rule| (rule.key.clone(), rule.looked_at))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        counts(&inspection),
        counts(&usual),
        "the rules look at as much"
    );
}

/// The flags of an object may be kept in a file beside it.
#[test]
fn flags_may_reach_the_back_end_in_another_way() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    for file in saved_flags(&tree) {
        tree.edit(&file, |text| {
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("saved_c_flags_"));
            lines.map(|line| format!("{line}\n")).collect()
        });
    }
    assert_eq!(tree.findings(), []);
    tree.edit("lib/.ring.thinlto-native.o.cmd", |text| {
        text.replacen(" -mcmodel=kernel", "", 1)
    });
    assert_eq!(keys(&tree.findings()), ["flags.saved-missing"].into());
}

#[rstest]
#[case::order(rename_order, |tree: &Tree| tree.edit("built-in.list", |text| {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(2, 3);
    lines.join("\n") + "\n"
}), &["archive.order-file", "archive.members"])]
#[case::index(rename_index, |tree: &Tree| tree.edit(".indexed", |text| {
    text.replace("lib/ring.o\n", "")
}), &["index.not-listed", "archive.members"])]
#[case::no_native(|tree: &Tree| rename_natives(tree, another_suffix), |tree: &Tree| {
    tree.remove("lib/ring.lto.o");
}, &["index.native-missing"])]
#[case::another_native(|tree: &Tree| rename_natives(tree, another_suffix), |tree: &Tree| {
    tree.replace("lib/ring.lto.o", "init/main.lto.o");
}, &["symbols.lost"])]
#[case::a_flag_less(rename_saved_lines, |tree: &Tree| {
    tree.edit("lib/.ring.thinlto-native.o.cmd", |text| text.replacen(" -mcmodel=kernel", "", 1));
}, &["flags.backend-lacks"])]
#[case::no_saved_line(rename_saved_lines, |tree: &Tree| {
    tree.edit("lib/.ring.o.cmd", |text| text.replace("\nbe_cflags_", "\n#"));
}, &["flags.saved-missing"])]
fn what_is_broken_is_found_under_another_name(
    #[case] rename: fn(&Tree),
    #[case] damage: fn(&Tree),
    #[case] expected: &[&str],
) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    rename(&tree);
    damage(&tree);
    let found = tree.findings();
    for key in expected {
        assert!(keys(&found).contains(key), "{key} is not in {found:#?}");
    }
}

/// Where no command shows what a file is, nothing is said against the kernel.
#[rstest]
#[case::index(|tree: &Tree| { tree.shell("mv vmlinux.thinlto-index index"); })]
#[case::natives(|tree: &Tree| rename_natives(tree, |native| {
    let (folder, file) = native.rsplit_once('/').unwrap();
    format!("{folder}/native-{file}").replace(".thinlto-native", "")
}))]
fn names_that_cannot_be_told_are_not_judged(#[case] rename: fn(&Tree)) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    rename(&tree);
    let error = tree.answer().unwrap_err();
    assert!(error.to_string().contains("otherwise"), "{error}");
    assert_eq!(error.exit(), Exit::Inconclusive);
}

/// Edits the command of each back end.
#[rstest]
#[case::removed_first(|text: &str| {
    let (begin, command) = parts(text, " := ");
    format!("{begin} := rm -f native.o; {command}")
})]
#[case::moved_into_place(|text: &str| {
    let (begin, end) = parts(text.trim_end(), " -c -o ");
    let (output, input) = parts(end, " ");
    format!("{begin} -c -o .tmp.o {input}; mv -f .tmp.o {output}\n")
})]
fn the_back_end_may_do_more_than_compile(#[case] change: fn(&str) -> String) {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    edit_commands(&tree, change);
    assert_eq!(tree.findings(), []);
}

/// What is moved to another place is not the native object.
#[test]
fn an_output_that_is_moved_elsewhere_is_found() {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    tree.edit("lib/.ring.thinlto-native.o.cmd", |text| {
        let (begin, end) = parts(text.trim_end(), " -c -o ");
        let (_, input) = parts(end, " ");
        format!("{begin} -c -o .tmp.o {input}; mv .tmp.o lib/other.o\n")
    });
    assert_eq!(keys(&tree.findings()), ["flags.backend-command"].into());
}

#[rstest]
#[case::with_a_dot("--whole-archive ./vmlinux.a --no-whole-archive")]
#[case::state("--push-state --whole-archive vmlinux.a --pop-state other.a")]
#[case::one_dash("-whole-archive vmlinux.a -no-whole-archive other.a")]
fn the_whole_archive_may_be_asked_for_otherwise(#[case] options: &str) {
    let tree = Tree::pristine(RISCV, LtoMode::Thin);
    let usual = "--whole-archive vmlinux.a --no-whole-archive";
    tree.edit(".vmlinux.o.cmd", |text| text.replace(usual, options));
    assert_eq!(tree.findings(), []);
}
