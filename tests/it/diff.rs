//! `klto diff` over build trees that real tools made: nothing differs between the modes of
//! one kernel, and each rule is broken only by its own cause.

use std::collections::BTreeSet;

use crate::support::program::{finish, klto};
use crate::support::schema::faults;
use crate::support::tree::Tree;
use crate::support::tree::kbuild::Step;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use crate::support::tree::recipes::Recipes;
use klto::judge::diff::Compared;
use klto::model::cell::LtoMode;
use klto::model::error::Error;
use klto::model::tolerances::Tolerances;
use klto::run::pair::{BuiltTree, compare_trees, usual_tolerances};
use rstest::rstest;

/// Sizes do not matter.
const LOOSE: Tolerances = Tolerances {
    function_bytes: u64::MAX,
    function_percent: 100,
    total_percent: 100,
};
/// Every function's size counts.
const STRICT: Tolerances = Tolerances {
    function_bytes: 0,
    function_percent: 0,
    total_percent: 100,
};

fn compare(a: &Tree, b: &Tree) -> Compared {
    compare_with(a, b, &usual_tolerances().unwrap())
}

fn compare_with(a: &Tree, b: &Tree, tolerances: &Tolerances) -> Compared {
    compare_or_fail(a, b, tolerances).unwrap()
}

fn compare_or_fail(a: &Tree, b: &Tree, tolerances: &Tolerances) -> Result<Compared, Error> {
    let [a, b] = [a, b].map(|tree| BuiltTree::with_log_beside(&tree.path()));
    compare_trees([&a, &b], tolerances)
}

fn keys(compared: &Compared) -> BTreeSet<&str> {
    compared.differences.iter().map(|d| d.rule.key).collect()
}

/// Item and difference, of the first.
fn first(compared: &Compared) -> (&str, &str) {
    let difference = compared.differences.first().expect("something differs");
    (&difference.item, &difference.how)
}

#[rstest]
fn the_modes_of_one_kernel_are_equal(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
) {
    let thin = Tree::pristine(target, LtoMode::Thin);
    let distributed = Tree::pristine(target, LtoMode::ThinDist);
    let compared = compare(&thin, &distributed);
    assert_eq!(compared.differences, []);
    assert_eq!(compared.not_compared, []);
    assert_eq!(compared.config, [""; 0], "but for the mode itself");
    assert!(compared.sizes.compared > 5, "{:?}", compared.sizes);
    assert!(compared.sizes.promoted > 0, "ring_step() is promoted");
}

/// Which local names another module refers to may differ from mode to mode.
#[test]
fn a_name_that_is_promoted_only_in_one_tree_is_not_a_difference() {
    let whole = Tree::pristine(X86_64, LtoMode::ThinDist);
    let changed = with_plain_ring_step();
    objcopy(&changed, "vmlinux.o", "--localize-symbol=ring_step");
    assert_eq!(compare(&whole, &changed).differences, []);
}

/// From LLVM 23 on the kernel has in-process mode promote without a new name.
#[rstest]
#[case::function("ring_step", "--globalize-symbol=ring_step")]
#[case::string(".str", "--add-symbol=.str=.rodata:0,object,global")]
fn a_local_that_is_promoted_under_its_own_name_is_not_a_difference(
    #[case] name: &str,
    #[case] option: &str,
) {
    let whole = Tree::pristine(X86_64, LtoMode::ThinDist);
    let changed = with_plain_ring_step();
    objcopy(&changed, "vmlinux.o", option);
    let symbols = changed.shell("llvm-nm-22 -g vmlinux.o").stdout;
    let is_it = |line: &str| line.ends_with(&format!(" {name}"));
    assert!(symbols.lines().any(is_it), "{symbols}");
    let compared = compare(&whole, &changed);
    assert_eq!(compared.differences, []);
    assert_eq!(
        compared.sizes.promoted,
        compare(&whole, &whole).sizes.promoted
    );
}

/// A local of the same name in another object does not hide it.
#[test]
fn a_global_that_only_one_kernel_defines_is_a_difference() {
    let whole = Tree::pristine(X86_64, LtoMode::ThinDist);
    let changed = with_plain_ring_step();
    let head = format!("arch/{}/kernel/head.o", changed.src());
    let add = "--add-symbol=ring_step=.text:0,function,global";
    objcopy(&changed, &head, add);
    let compared = compare(&whole, &changed);
    assert_eq!(keys(&compared), BTreeSet::from(["diff.symbols"]));
    assert_eq!(
        first(&compared),
        ("ring_step", "is only in the second tree")
    );
}

/// A tree in which the promoted `ring_step()` has the name that it had as a local.
fn with_plain_ring_step() -> Tree {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    let names = tree.shell("llvm-nm-22 vmlinux.o | sed -n 's/.* \\(ring_step.llvm.*\\)/\\1/p'");
    let promoted = names.stdout.trim();
    assert!(!promoted.is_empty());
    objcopy(
        &tree,
        "vmlinux.o",
        &format!("--redefine-sym={promoted}=ring_step"),
    );
    tree
}

/// What is done to the second tree, the key, the item and the difference.
#[rstest]
#[case::crc(
    |tree: &mut Tree| tree.edit("vmlinux.symvers", |text| format!("0xffffffff{}", &text[10..])),
    "diff.exports", "", "CRC '"
)]
#[case::licence(
    |tree: &mut Tree| tree.edit("vmlinux.symvers", |text| text.replacen("EXPORT_SYMBOL\t", "EXPORT_SYMBOL_GPL\t", 1)),
    "diff.exports", "", "licence 'EXPORT_SYMBOL' against 'EXPORT_SYMBOL_GPL'"
)]
#[case::namespace(
    |tree: &mut Tree| tree.edit("vmlinux.symvers", |text| text.replacen("EXPORT_SYMBOL\t\n", "EXPORT_SYMBOL\tN\n", 1)),
    "diff.exports", "", "namespace '' against 'N'"
)]
#[case::export_lost(
    |tree: &mut Tree| tree.edit("vmlinux.symvers", |text| text.split_inclusive('\n').skip(1).collect()),
    "diff.exports", "", "is only in the first tree"
)]
#[case::symbol(
    |tree: &mut Tree| objcopy(tree, "vmlinux.o", "--localize-symbol=wake_up_one"),
    "diff.symbols", "wake_up_one", "is only in the first tree"
)]
#[case::section(
    |tree: &mut Tree| objcopy(tree, "vmlinux", "--rename-section=.rodata=.elsewhere,alloc,readonly,data"),
    "diff.sections", ".elsewhere", "is only in the second tree"
)]
#[case::access(
    |tree: &mut Tree| objcopy(tree, "vmlinux", "--set-section-flags=.rodata=alloc,data"),
    "diff.sections", ".rodata", "read-only data against data"
)]
#[case::entry(
    |tree: &mut Tree| {
        let address = "llvm-nm-22 vmlinux | sed -n 's/ [Tt] start_kernel$//p'";
        let address = tree.shell(address).stdout;
        objcopy(tree, "vmlinux", &format!("--set-start=0x{}", address.trim()));
    },
    "diff.entry", "vmlinux", "against 'start_kernel'"
)]
#[case::parameter(
    |tree: &mut Tree| std::fs::write(tree.file("modules.builtin.modinfo"), "m.parm=x\0").unwrap(),
    "diff.modinfo", "m.parm=x", "is only in the second tree"
)]
#[case::initcall(
    |tree: &mut Tree| objcopy(tree, "vmlinux", "--add-symbol=__initcall__kmod_a__1_2_three6=.text:24,local"),
    "diff.initcalls", "level 6: a three6", "is only in the second tree"
)]
#[case::initcall_of_rootfs(
    |tree: &mut Tree| {
        for symbol in ["__initcallrootfs_start=.text:20", "__initcall__kmod_a__1_2_threerootfs=.text:24,local"] {
            objcopy(tree, "vmlinux", &format!("--add-symbol={symbol}"));
        }
    },
    "diff.initcalls", "level rootfs: a threerootfs", "is only in the second tree"
)]
#[case::section_mismatch(
    |tree: &mut Tree| tree.add_to_log("WARNING: modpost: vmlinux: section mismatch in reference: a+0x12 (section: .text) -> b (section: .init.text)"),
    "diff.warnings", "vmlinux: a -> b", "only in the log of the second tree, line "
)]
#[case::objtool(
    |tree: &mut Tree| tree.add_to_log("vmlinux.o: warning: objtool: f+0x1: unreachable instruction"),
    "diff.warnings", "f: unreachable instruction", "vmlinux.o: warning: objtool: f+0x1: unreachable instruction"
)]
#[case::link_of_a_module(
    |tree: &mut Tree| tree.edit("drivers/m/.m.ko.cmd", |text| text.replace("-z noexecstack", "-z execstack")),
    "diff.module-link", "drivers/m/m.ko", "-z noexecstack only in the first tree, -z execstack only in the second tree"
)]
#[case::link_of_its_objects(
    |tree: &mut Tree| tree.edit("drivers/m/.m.o.cmd", |text| text.replace("-mllvm -import-instr-limit=5", "")),
    "diff.module-link", "drivers/m/m.o", "-mllvm -import-instr-limit=5 only in the first tree"
)]
fn a_difference_breaks_only_its_rule(
    #[case] change: fn(&mut Tree),
    #[case] key: &str,
    #[case] item: &str,
    #[case] how: &str,
) {
    let whole = with_initcalls([8, 16]);
    let mut changed = with_initcalls([8, 16]);
    change(&mut changed);
    let compared = compare(&whole, &changed);
    assert_eq!(keys(&compared), BTreeSet::from([key]), "{compared:#?}");
    let (found, evidence) = first(&compared);
    assert!(item.is_empty() || found == item, "{compared:#?}");
    assert!(evidence.contains(how), "{compared:#?}");
    assert_eq!(compare(&whole, &whole).differences, []);
}

#[test]
fn a_call_that_moves_is_reported_with_both_positions() {
    let compared = compare(&with_initcalls([8, 16]), &with_initcalls([16, 8]));
    assert_eq!(keys(&compared), BTreeSet::from(["diff.initcalls"]));
    let (one, two) = (
        "is call 4 in the first tree, 5 in the second",
        "is call 5 in the first tree, 4 in the second",
    );
    let (item, how) = first(&compared);
    // Each of the two may be the one that moved.
    assert!(
        [("level 6: a one6", one), ("level 6: a two6", two)].contains(&(item, how)),
        "{item}: {how}"
    );
}

/// A kernel with two calls of level 6, at these places.
fn with_initcalls(places: [u32; 2]) -> Tree {
    let tree = Tree::pristine(X86_64, LtoMode::ThinDist);
    let [one, two] = places;
    let symbols = [
        "__initcall6_start=.text:8".to_owned(),
        format!("__initcall__kmod_a__7_12_one6=.text:{one},local"),
        format!("__initcall__kmod_a__8_13_two6=.text:{two},local"),
    ];
    for symbol in symbols {
        objcopy(&tree, "vmlinux", &format!("--add-symbol={symbol}"));
    }
    tree
}

fn objcopy(tree: &Tree, file: &str, option: &str) {
    tree.keeping_time(file, || {
        tree.shell(&format!("llvm-objcopy-22 '{option}' {file}"));
    });
}

/// v10's mistake: the back end does not get the flags of the code model.
#[rstest]
#[case::x86_64(X86_64, "-mcmodel=kernel", "R_X86_64_")]
#[case::riscv(RISCV, "-mcmodel=medany", "R_RISCV_")]
fn another_code_model_is_reported_with_its_relocations_and_its_flag(
    #[case] target: &'static Target,
    #[case] flag: &'static str,
    #[case] relocation: &str,
) {
    let whole = Tree::pristine(target, LtoMode::Thin);
    let mut changed = Tree::pristine(target, LtoMode::ThinDist);
    let back: fn(&crate::support::tree::layout::Unit, &mut crate::support::tree::recipes::Back) =
        match target.name {
            "x86_64" => |_, back| {
                back.saved = back
                    .saved
                    .replace("-mcmodel=kernel", "-fPIE -mcmodel=small");
            },
            _ => |_, back| back.saved = back.saved.replace("-mcmodel=medany", "-mcmodel=medlow"),
        };
    changed.make(
        Step::Natives,
        Recipes {
            back,
            ..Recipes::default()
        },
    );
    let compared = compare_with(&whole, &changed, &LOOSE);
    assert_eq!(
        keys(&compared),
        BTreeSet::from(["diff.relocations"]),
        "{compared:#?}"
    );
    let caused = |d: &&klto::judge::diff::Difference| {
        d.cause
            .as_ref()
            .is_some_and(|cause| cause.contains(&format!("{flag} only in the first tree")))
    };
    assert!(
        compared.differences.iter().any(|d| caused(&d)),
        "{compared:#?}"
    );
    assert!(first(&compared).1.contains(relocation), "{compared:#?}");

    changed.edit("include/config/auto.conf", |text| {
        text.replace("clang version", "another version")
    });
    let compared = compare_with(&whole, &changed, &LOOSE);
    assert!(!compared.optimised_alike);
    let [all] = &*compared.differences else {
        panic!("{compared:#?}");
    };
    assert_eq!(all.item, "all functions");
    assert!(all.how.contains(relocation), "{compared:#?}");
}

#[test]
fn a_function_that_grows_is_reported_with_the_missing_option() {
    let whole = Tree::pristine(ARM64, LtoMode::ThinDist);
    let mut changed = Tree::pristine(ARM64, LtoMode::ThinDist);
    let back: fn(&crate::support::tree::layout::Unit, &mut crate::support::tree::recipes::Back) =
        |_, back| back.saved = back.saved.replace("-Os", "-O0");
    changed.make(
        Step::Natives,
        Recipes {
            back,
            ..Recipes::default()
        },
    );
    let compared = compare_with(&whole, &changed, &STRICT);
    assert_eq!(
        keys(&compared),
        BTreeSet::from(["diff.size"]),
        "{compared:#?}"
    );
    let cause = compared.differences[0].cause.as_deref();
    assert_eq!(
        cause,
        Some("compiled with -Os only in the first tree, -O0 only in the second tree")
    );
    assert!(compared.sizes.functions[0].growth() > 0);
    let total = Tolerances {
        total_percent: 1,
        ..LOOSE
    };
    let compared = compare_with(&whole, &changed, &total);
    assert_eq!(first(&compared).0, "all functions", "{compared:#?}");
}

/// Without LTO each function may legitimately differ, and the kernel generates no stubs.
#[test]
fn what_was_optimised_differently_is_not_compared_function_by_function() {
    let plain = Tree::pristine(X86_64, LtoMode::None);
    let thin = Tree::pristine(X86_64, LtoMode::Thin);
    let stubs = ["__initstub__kmod_a__1_2_three6", "__UNIQUE_ID_hook_1"];
    for stub in stubs {
        let symbol = format!("--add-symbol={stub}=.text:0,function,global");
        objcopy(&thin, "vmlinux.o", &symbol);
    }
    let compared = compare_with(&plain, &thin, &STRICT);
    assert_eq!(compared.differences, []);
    assert!(!compared.optimised_alike);
    assert!(!compared.sizes.functions.is_empty(), "{compared:#?}");

    let distributed = Tree::pristine(X86_64, LtoMode::ThinDist);
    let compared = compare(&thin, &distributed);
    assert!(compared.optimised_alike);
    let items: Vec<&str> = compared.differences.iter().map(|d| &*d.item).collect();
    assert_eq!(
        items,
        ["__UNIQUE_ID_hook_1", "__initstub__kmod_a__1_2_three6"]
    );
    let report = finish(&mut klto([
        &"diff".into(),
        &plain.path().into_os_string(),
        &thin.path().into_os_string(),
    ]));
    assert!(
        report
            .stdout
            .contains("\noptimised differently, by mode or compiler: "),
        "{}",
        report.stdout
    );
}

#[test]
fn what_a_tree_lacks_is_reported_as_one_cause() {
    let whole = Tree::pristine(RISCV, LtoMode::Thin);
    let mut changed = Tree::pristine(RISCV, LtoMode::Thin);
    changed.drop_object("lib/copy.o");
    changed.make(Step::Fixup, Recipes::default());
    let compared = compare_with(&whole, &changed, &LOOSE);
    let lost: Vec<_> = compared
        .differences
        .iter()
        .filter(|d| d.rule.key == "diff.symbols")
        .collect();
    let cause = Some("objects that the second tree does not have".to_owned());
    assert!(
        !lost.is_empty() && lost.iter().all(|d| d.cause == cause),
        "{compared:#?}"
    );
}

#[test]
fn trees_of_two_architectures_are_refused() {
    let (a, b) = (
        Tree::pristine(ARM64, LtoMode::Thin),
        Tree::pristine(RISCV, LtoMode::Thin),
    );
    let ended = finish(&mut klto([
        &"diff".into(),
        &a.path().into_os_string(),
        &b.path().into_os_string(),
    ]));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("nothing in them can be compared"),
        "{}",
        ended.stderr
    );
}

#[rstest]
#[case::missing("vmlinux.o", "the build is not finished: vmlinux.o is missing")]
#[case::missing_kernel("vmlinux", "the build is not finished: vmlinux is missing")]
fn half_a_tree_cannot_be_compared(#[case] file: &str, #[case] says: &str) {
    let (a, b) = (
        Tree::pristine(ARM64, LtoMode::Thin),
        Tree::pristine(ARM64, LtoMode::Thin),
    );
    b.remove(file);
    let error = compare_or_fail(&a, &b, &STRICT).unwrap_err();
    assert!(matches!(error, Error::Unfinished { .. }));
    assert!(error.to_string().contains(says), "{error}");
    b.shell(&format!("head -c 100 /dev/zero >{file}"));
    let error = compare_or_fail(&a, &b, &STRICT).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert_eq!(error.exit().code(), 125);
}

#[test]
fn every_format_says_the_same() {
    let whole = with_initcalls([8, 16]);
    let changed = with_initcalls([8, 16]);
    objcopy(&changed, "vmlinux.o", "--localize-symbol=wake_up_one");
    let report = |format: &str| {
        let trees = [&whole, &changed].map(|tree| tree.path().into_os_string());
        let mut command = klto(["diff", "--format", format]);
        let ended = finish(command.args(trees));
        assert_eq!(ended.code, Some(1));
        ended.stdout
    };
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(faults("diff", &json), [""; 0]);
    assert_eq!(json["differences"][0]["key"], "diff.symbols");
    assert_eq!(json["differences"][0]["item"], "wake_up_one");
    assert_eq!(json["second"]["lto"], "thin-dist");
    let trace: serde_json::Value = serde_json::from_str(&report("perfetto")).unwrap();
    let marks = trace["traceEvents"].as_array().unwrap().iter();
    let marks: Vec<_> = marks.filter(|event| event["ph"] == "i").collect();
    assert_eq!(marks.len(), 1, "{trace:#}");
    assert_eq!(marks[0]["name"], "diff.symbols");
    let evidence = ["wake_up_one: is only in the first tree"];
    assert_eq!(marks[0]["args"]["evidence"], serde_json::json!(evidence));
    let ktap = report("ktap");
    assert!(
        ktap.contains(
            "\nok 1 diff.exports\n# wake_up_one: is only in the first tree\nnot ok 2 diff.symbols\n"
        ),
        "{ktap}"
    );
    let text = report("text");
    assert!(
        text.contains("error[diff.symbols]: 1 symbol is defined in only one kernel\n"),
        "{text}"
    );
    assert!(text.ends_with("\ndifferent: 1 difference\n"), "{text}");
}

const MISMATCH: &str = "WARNING: modpost: vmlinux: section mismatch in reference: x_console+0x8 (section: .data) -> x_setup (section: .init.text)";

#[test]
fn a_mismatch_of_a_promoted_name_is_reported_with_its_cause() {
    let [plain, promoted] = [(); 2].map(|()| Tree::pristine(X86_64, LtoMode::ThinDist));
    promoted.add_to_log(&MISMATCH.replace("x_console", "x_console.llvm.123456"));
    let compared = compare(&plain, &promoted);
    assert_eq!(
        first(&compared).0,
        "vmlinux: x_console -> x_setup",
        "{compared:#?}"
    );
    let cause = compared.differences[0].cause.as_deref().unwrap_or_default();
    assert!(
        cause.starts_with("the name is promoted in that build: modpost"),
        "{compared:#?}"
    );

    plain.add_to_log(MISMATCH);
    assert_eq!(compare(&plain, &promoted).differences, []);

    plain.add_to_log(&MISMATCH.replace("x_console", "plain"));
    let compared = compare(&plain, &promoted);
    assert_eq!(compared.differences[0].cause, None, "{compared:#?}");
}

/// modpost does not check sections such as `.data.x`, which only in-process LTO makes.
#[rstest]
#[case::data_out_of_process(LtoMode::ThinDist, ".data", true)]
#[case::data_in_process(LtoMode::Thin, ".data", false)]
#[case::code(LtoMode::ThinDist, ".text", false)]
fn a_mismatch_of_data_that_only_in_process_lto_hides_is_reported_with_its_cause(
    #[case] mode: LtoMode,
    #[case] section: &str,
    #[case] has_cause: bool,
) {
    let (thin, other) = (
        Tree::pristine(X86_64, LtoMode::Thin),
        Tree::pristine(X86_64, mode),
    );
    other.add_to_log(&MISMATCH.replace(".data", section));
    let compared = compare(&thin, &other);
    let cause = compared.differences[0].cause.as_deref();
    assert_eq!(
        cause.is_some_and(|cause| cause.starts_with("in-process LTO gives each variable")),
        has_cause,
        "{compared:#?}"
    );
}

/// Without LTO objtool reads each object, and functions are inlined elsewhere.
#[test]
fn warnings_of_a_build_without_lto_are_compared_without_their_functions() {
    let plain = Tree::pristine(X86_64, LtoMode::None);
    let thin = Tree::pristine(X86_64, LtoMode::Thin);
    plain.add_to_log("lib/a.o: warning: objtool: f+0x1: call to g() with UACCESS enabled");
    thin.add_to_log("vmlinux.o: warning: objtool: h+0x9: call to g() with UACCESS enabled");
    plain.add_to_log(&MISMATCH.replace("x_console", "f"));
    thin.add_to_log(&MISMATCH.replace("x_console", "h"));
    let compared = compare_with(&plain, &thin, &LOOSE);
    assert_eq!(compared.differences, []);
    assert_eq!(compared.not_compared, []);
}

/// A rule that had nothing to compare is named, and is not counted.
#[test]
fn without_logs_and_modules_nothing_is_said_of_them() {
    let [a, b] = [(); 2].map(|()| Tree::pristine(X86_64, LtoMode::Thin));
    for tree in [&a, &b] {
        tree.remove("modules.order");
    }
    let log = b.file("../build.log");
    std::fs::write(&log, "  CC      a.o\n").unwrap();
    let report = |format: &str| {
        let trees = [&a, &b].map(|tree| tree.path().into_os_string());
        let ended = finish(klto(["diff", "--format", format]).args(trees));
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        ended.stdout
    };
    let text = report("text");
    assert!(
        text.ends_with(
            "\nnot judged:\n\
             \x20   diff.warnings: the log of the second tree does not show that vmlinux.o was linked\n\
             \x20   diff.module-link: neither tree has linked modules\n\
             \nok: the two are equal by 8 rules\n"
        ),
        "{text}"
    );
    std::fs::remove_file(log).unwrap();
    let ktap = report("ktap");
    assert!(
        ktap.contains(
            "\nok 9 diff.warnings # SKIP there is no build log of the second tree\n\
             ok 10 diff.module-link # SKIP neither tree has linked modules\n"
        ),
        "{ktap}"
    );
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(faults("diff", &json), [""; 0]);
    assert_eq!(json["not_compared"][1]["key"], "diff.module-link");
}

/// What make has not linked again is of another build.
#[test]
fn a_module_that_is_not_linked_yet_is_not_compared() {
    let [a, b] = [(); 2].map(|()| Tree::pristine(X86_64, LtoMode::Thin));
    b.edit("drivers/m/.m.ko.cmd", |text| {
        text.replace("-z noexecstack", "")
    });
    b.remove("drivers/m/m.ko");
    let compared = compare(&a, &b);
    assert_eq!(compared.differences, []);
    let [rule] = &*compared.not_compared else {
        panic!("{compared:#?}");
    };
    assert_eq!(rule.key, "diff.module-link");
    assert_eq!(rule.why, "the second tree has no linked modules");
}

#[test]
fn a_log_that_is_not_kept_whole_is_not_compared() {
    let [a, b] = [(); 2].map(|()| Tree::pristine(X86_64, LtoMode::Thin));
    a.add_to_log(&"note: x\n".repeat(20_001));
    a.add_to_log(MISMATCH);
    let compared = compare(&a, &b);
    assert_eq!(compared.differences, []);
    let why = &compared.not_compared[0].why;
    assert_eq!(
        why,
        "the log of the first tree has more messages than klto keeps"
    );
}

#[test]
fn logs_that_are_named_are_the_ones_that_are_compared() {
    let [a, b] = [(); 2].map(|()| Tree::pristine(X86_64, LtoMode::Thin));
    let [first, second] = ["first.log", "second.log"].map(|name| a.file(name));
    std::fs::write(&first, format!("{}\n{MISMATCH}\n", a.log())).unwrap();
    std::fs::write(&second, b.log()).unwrap();
    let diff = |logs: &[&std::path::Path]| {
        let mut command = klto(["diff"]);
        command.args([a.path(), b.path()]);
        for log in logs {
            command.arg("--log").arg(log);
        }
        finish(&mut command)
    };
    assert_eq!(diff(&[]).code, Some(0));
    let named = diff(&[&first, &second]);
    assert_eq!(named.code, Some(1));
    assert!(
        named.stdout.contains("only in the log of the first tree"),
        "{}",
        named.stdout
    );
    let one = diff(&[&first]);
    assert_eq!(one.code, Some(2));
    assert!(one.stderr.contains("pass --log twice"), "{}", one.stderr);
}
