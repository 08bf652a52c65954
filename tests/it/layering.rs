//! The rules between the layers that `DESIGN.md` names, held against the sources of the
//! harness. Each rule is also shown to fail, on a line that breaks it.

use std::path::Path;

use rstest::rstest;

use crate::support::sources::{Source, read_all, rust_files};

/// The wings of the harness, a floor a row, from the ground up: each with the wings that it
/// may import. A row names rows above it only, so that no two wings import each other.
const FLOORS: &[(&str, &[&str])] = &[
    ("file", &[]),
    ("model", &[]),
    ("input", &["file", "model"]),
    ("tree", &["file", "model"]),
    ("build", &["file", "model", "input", "tree"]),
    ("source", &["file", "model", "input", "build"]),
    ("judge", &["model", "input", "tree"]),
    ("store", &["file", "model", "tree", "build", "judge"]),
    (
        "run",
        &[
            "file", "model", "input", "tree", "build", "source", "judge", "store",
        ],
    ),
    ("report", &["model", "input", "judge"]),
    (
        "cli",
        &[
            "file", "model", "input", "tree", "build", "source", "judge", "store", "run", "report",
        ],
    ),
];

/// Within a wing: what a module may see of the harness beyond itself.
const ROOMS: &[(&str, &[&str])] = &[
    // A rule sees facts and the cell.
    (
        "judge::check",
        &["model", "tree::clang_options", "tree::path"],
    ),
    (
        "judge::diff",
        &["model", "judge::snapshot", "tree::clang_options"],
    ),
    ("judge::baseline", &["model", "judge::snapshot"]),
    ("judge::identity", &["model"]),
    // Starting processes needs nothing of kernels.
    (
        "build::process",
        &[
            "model::error",
            "model::sandbox",
            "model::utilization",
            "file::bounded_log",
        ],
    ),
    ("build::dir_state", &["model"]),
    ("source::git", &["model", "build"]),
    // Of what people write, a report needs the nearest name only.
    (
        "report",
        &["model", "input::suggest", "judge::diff", "judge::identity"],
    ),
    // A scenario runs on a finished tree, whatever built it.
    (
        "run::scenario",
        &["file", "model", "input", "tree", "build", "source", "judge"],
    ),
];

/// The same answer for the same input: no files, processes, environment or clock.
const PURE: &[&str] = &[
    "model",
    "judge::allowed",
    "judge::baseline",
    "judge::bisect",
    "judge::check",
    "judge::diff",
    "judge::identity",
    "judge::snapshot",
    "report",
    "run::slurm::arrays",
    "run::slurm::submit::again",
    "store::facts_file",
    "tree::clang_options",
    "tree::path",
];

/// What reaches out of the program, or to its clock.
const OUTSIDE: [&str; 14] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::net",
    "std::os",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "rustix",
    "duct",
    "tempfile",
];
/// Methods of `Path` that ask the file system.
const ASKS_FILES: [&str; 8] = [
    "canonicalize",
    "exists",
    "is_dir",
    "is_file",
    "metadata",
    "read_dir",
    "read_link",
    "try_exists",
];
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// A rule: what it says, and what in a source breaks it.
type Rule = fn(&Source) -> Vec<String>;

/// A wing imports what its floor allows.
fn floors(source: &Source) -> Vec<String> {
    let wing = source.layer();
    match FLOORS.iter().find(|(name, _)| *name == wing) {
        Some((name, allowed)) => named_but_for(source, &[&[*name], *allowed].concat()),
        None if ["lib.rs", "main.rs"].contains(&source.file.as_str()) => Vec::new(),
        None => vec!["stands on no floor".to_owned()],
    }
}

/// Some modules see less than their wing.
fn rooms(source: &Source) -> Vec<String> {
    let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| source.is_in(room)) else {
        return Vec::new();
    };
    named_but_for(source, &[&[*room], *allowed].concat())
}

/// What is pure reaches for nothing outside.
fn pure(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|pure| source.is_in(pure)) {
        return Vec::new();
    }
    let mut broken = owned(OUTSIDE.iter().filter(|item| source.names(item)));
    broken.extend(owned(
        ASKS_FILES.iter().filter(|m| source.methods.contains(**m)),
    ));
    broken
}

/// Only `build::process` starts and signals processes.
fn processes(source: &Source) -> Vec<String> {
    if source.is_in("build::process") {
        return Vec::new();
    }
    let items = [
        "std::process::Command",
        "std::process::Child",
        "std::process::Stdio",
        "std::process::*",
        "std::os::unix::process",
        "duct",
        "rustix::process",
        "signal_hook",
    ];
    owned(items.iter().filter(|item| source.names(item)))
}

/// Only `main.rs` exits, and it is short.
fn exits(source: &Source) -> Vec<String> {
    let items = ["exit", "abort", "ExitCode", "Termination"].map(|i| format!("std::process::{i}"));
    if source.file != "main.rs" {
        return owned(items.iter().filter(|item| source.names(item)));
    }
    let lines = source.text.lines().count();
    owned((lines > 40).then(|| format!("{lines} lines")))
}

/// Output is written only where a closed pipe does not panic.
fn prints(source: &Source) -> Vec<String> {
    owned(PRINTS.iter().filter(|name| source.macros.contains(**name)))
}

/// Matches over outcomes, verdicts and modes name every variant, and by its type.
fn exhaustive(source: &Source) -> Vec<String> {
    let enums = ["Outcome", "Baseline", "Verdict", "LtoMode"];
    let catch_alls = source
        .catch_alls
        .iter()
        .filter(|types| enums.iter().any(|name| types.contains(*name)))
        .map(|_| "a catch-all arm".to_owned());
    let imported = source.paths.iter().filter(|path| {
        enums
            .iter()
            .any(|name| path.ends_with(&format!("::{name}::*")))
    });
    catch_alls.chain(imported.cloned()).collect()
}

/// A file says what it is for, is named for it, and is small.
fn shape(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    if !source.text.starts_with("//! ") {
        broken.push("does not open with `//!`".to_owned());
    }
    let name = source.file.rsplit('/').next().unwrap_or_default();
    if ["mod.rs", "utils.rs", "util.rs", "helpers.rs", "imp.rs"].contains(&name) {
        broken.push(format!("`{name}` says nothing"));
    }
    let lines = lines_without_tests(&source.text);
    if lines > 600 {
        broken.push(format!("{lines} lines without its tests"));
    }
    broken
}

/// What is switched off is switched off for a reason.
fn reasons(source: &Source) -> Vec<String> {
    let attributes = source
        .text
        .match_indices("#[")
        .chain(source.text.match_indices("#!["));
    attributes
        .filter_map(|(at, _)| source.text[at..].split_once(")]"))
        .map(|(attribute, _)| attribute)
        .filter(|text| text.contains("[allow(") || text.contains("[expect("))
        .filter(|text| !text.contains("reason = "))
        .map(str::to_owned)
        .collect()
}

fn owned(items: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// The modules of ours that the source names, but for those that are allowed and all below
/// them.
fn named_but_for(source: &Source, allowed: &[&str]) -> Vec<String> {
    let is_allowed = |path: &&str| {
        allowed.iter().any(|allowed| {
            path.strip_prefix(allowed)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    let named = source.paths.iter();
    let ours = named.filter_map(|path| path.strip_prefix("crate::"));
    owned(ours.filter(|path| !is_allowed(path)))
}

/// Lines, not counting modules under `#[cfg(test)]`, which rustfmt ends at a `}` that
/// begins its line.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_module = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(is_module) {
            lines.find(|line| *line == "}");
        } else {
            count += 1;
        }
    }
    count
}

fn harness() -> Vec<Source> {
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("harness"))
}

#[rstest]
#[case::floors(floors)]
#[case::rooms(rooms)]
#[case::pure(pure)]
#[case::processes(processes)]
#[case::exits(exits)]
#[case::prints(prints)]
#[case::exhaustive(exhaustive)]
#[case::shape(shape)]
#[case::reasons(reasons)]
fn the_harness_keeps_the_rule(#[case] rule: Rule) {
    let sources = harness();
    assert!(sources.len() > 40, "the sources are found");

    let broken: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            let file = &source.file;
            let broken = rule(source).into_iter();
            broken.map(move |what| format!("harness/{file}: {what}"))
        })
        .collect();

    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_wing_stands_on_a_floor_above_what_it_imports() {
    for (floor, (wing, allowed)) in FLOORS.iter().enumerate() {
        for below in *allowed {
            let known = FLOORS[..floor].iter().any(|(name, _)| name == below);
            assert!(known, "{wing} imports {below}, which is not below it");
        }
    }
}

#[test]
fn the_modules_that_the_rules_name_exist() {
    let sources = harness();
    let floors = FLOORS.iter().map(|(wing, _)| *wing);
    let rooms = ROOMS
        .iter()
        .flat_map(|(room, allowed)| [&[*room], *allowed].concat());
    for module in floors.chain(rooms).chain(PURE.iter().copied()) {
        let file = format!("{}.rs", module.replace("::", "/"));
        assert!(sources.iter().any(|source| source.file == file), "{file}");
    }
}

#[test]
fn every_file_of_the_tests_says_what_it_is_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for file in rust_files(&folder) {
        let text = std::fs::read_to_string(folder.join(&file)).unwrap();
        assert!(text.starts_with("//! "), "tests/{file}");
    }
}

#[rstest]
#[case::model_imports(floors, "model/facts.rs", "use crate::tree::path;")]
#[case::model_by_super(floors, "model/cell.rs", "use super::super::input;")]
#[case::model_in_a_signature(floors, "model/error.rs", "fn f(x: crate::input::yaml::Y) {}")]
#[case::build_knows_runs(floors, "build/kbuild.rs", "use crate::run::rules;")]
#[case::judge_builds(floors, "judge/inspect.rs", "use crate::build::kbuild::Build;")]
#[case::report_stores(floors, "report/text.rs", "fn f() { crate::store::open(); }")]
#[case::no_floor(floors, "helpers.rs", "fn f() {}")]
#[case::a_rule_reads(rooms, "judge/check/elf.rs", "use crate::tree::collect::elf;")]
#[case::a_rule_renders(rooms, "judge/check.rs", "fn f() { crate::judge::snapshot::of(); }")]
#[case::a_scenario_schedules(rooms, "run/scenario/engine.rs", "use crate::run::schedule::run;")]
#[case::process_knows_kernels(rooms, "build/process.rs", "use crate::build::kbuild;")]
#[case::pure_reads(pure, "judge/check/crc.rs", "fn f() { std::fs::read(\"x\"); }")]
#[case::pure_imports(pure, "report.rs", "use std::{fmt, fs};")]
#[case::pure_renames(pure, "report.rs", "use std::fs as files;")]
#[case::pure_by_a_module(pure, "report.rs", "use std::time; fn f() { time::Instant::now(); }")]
#[case::pure_by_an_alias(pure, "report.rs", "use std as s; fn f() { s::env::var(\"X\"); }")]
#[case::pure_by_a_glob(pure, "report.rs", "use std::*;")]
#[case::pure_by_a_glob_below(pure, "report.rs", "use std::time::*;")]
#[case::pure_in_a_macro(pure, "report.rs", "fn f() { format!(\"{}\", g(std::env::args())); }")]
#[case::pure_clock(pure, "judge/baseline.rs", "use std::time::{Duration, SystemTime};")]
#[case::pure_asks(
    pure,
    "tree/path.rs",
    "fn f(p: &std::path::Path) -> bool { p.exists() }"
)]
#[case::pure_prints(pure, "model/finding.rs", "fn f() { std::io::stdout(); }")]
#[case::process_std(processes, "build/kbuild.rs", "use std::process::Command;")]
#[case::process_below(
    processes,
    "build/kbuild.rs",
    "use std::process; fn f() { process::Command::new(\"x\"); }"
)]
#[case::process_by_duct(processes, "run/cell.rs", "fn f() { duct::cmd!(\"x\"); }")]
#[case::process_signals(processes, "store.rs", "use rustix::process::kill_process;")]
#[case::exit_call(exits, "cli.rs", "fn f() { std::process::exit(1) }")]
#[case::exit_code(exits, "cli/run.rs", "use std::process::ExitCode;")]
#[case::prints_an_error(prints, "cli.rs", "fn f() { eprintln!(\"x\"); }")]
#[case::prints_by_path(prints, "run/progress.rs", "fn f() { anstream::println!(\"x\"); }")]
#[case::wildcard(
    exhaustive,
    "a.rs",
    "fn f(m: LtoMode) -> u8 { match m { LtoMode::Thin => 1, _ => 2 } }"
)]
#[case::wildcard_by_name(
    exhaustive,
    "a.rs",
    "fn f(m: LtoMode) -> u8 { match m { LtoMode::Thin => 1, other => 2 } }"
)]
#[case::wildcard_of_self(
    exhaustive,
    "a.rs",
    "impl Outcome { fn f(self) -> u8 { match self { Self::Pass => 1, _ => 2 } } }"
)]
#[case::wildcard_in_a_tuple(
    exhaustive,
    "a.rs",
    "fn f() { match (v, 1) { (Outcome::Pass, 1) => 1, (_, _) => 2 }; }"
)]
#[case::wildcard_in_or(
    exhaustive,
    "a.rs",
    "fn f() { match v { cell::LtoMode::Thin => 1, LtoMode::Full | _ => 2 }; }"
)]
#[case::wildcard_below(
    exhaustive,
    "a.rs",
    "fn f() { if a { g(|| match v { Outcome::Pass => 1, _ => 2 }) } }"
)]
#[case::variants_imported(exhaustive, "a.rs", "use crate::model::record::Outcome::*;")]
#[case::no_purpose(shape, "a.rs", "fn f() {}")]
#[case::no_name(shape, "a/mod.rs", "//! Says what it is for.")]
#[case::bare_allow(reasons, "a.rs", "#[allow(dead_code)] fn f() {}")]
#[case::bare_allow_of_all(reasons, "a.rs", "#![allow(dead_code)]")]
fn a_line_that_breaks_the_rule_is_found(
    #[case] rule: Rule,
    #[case] file: &str,
    #[case] text: &str,
) {
    let broken = rule(&Source::parse(file, text));

    assert_ne!(broken, [""; 0]);
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(600));
    assert_eq!(
        shape(&Source::parse("a.rs", &long)),
        ["601 lines without its tests"]
    );
    let main = format!("//! Long.\n{}", "fn f() {}\n".repeat(40));
    assert_eq!(exits(&Source::parse("main.rs", &main)), ["41 lines"]);
}

#[rstest]
#[case::own_wing(
    floors,
    "model/cell/tests.rs",
    "use crate::model::cell::Cell; use super::Arch;"
)]
#[case::lower_wing(floors, "build/kbuild.rs", "use crate::model::cell::Cell;")]
#[case::report_words(
    floors,
    "report/json.rs",
    "use super::Format; use crate::model::record::Outcome;"
)]
#[case::a_rule_sees_facts(
    rooms,
    "judge/check/elf.rs",
    "use super::Found; use crate::model::facts::Facts;"
)]
#[case::duration(pure, "report.rs", "use std::time::Duration; use std::io::Write as _;")]
#[case::tests(
    pure,
    "report.rs",
    "#[cfg(test)] mod tests { use std::fs; fn f() { x.exists() } }"
)]
#[case::test_function(pure, "report.rs", "#[cfg(test)] fn f() { std::fs::read(\"x\"); }")]
#[case::a_word_in_a_text(pure, "report.rs", "const X: &str = \"std::fs\"; // std::fs")]
#[case::process(processes, "build/process/group.rs", "use std::process::Command;")]
#[case::our_command(
    processes,
    "build/kbuild.rs",
    "use crate::build::process::{self, Command};"
)]
#[case::main_exits(exits, "main.rs", "//! x\nuse std::process::ExitCode;")]
#[case::our_exit(exits, "cli.rs", "use crate::error::Exit; fn exit() { Exit::Pass; }")]
#[case::all_named(
    exhaustive,
    "a.rs",
    "fn f() { match m { LtoMode::Thin => 1, LtoMode::Full => 2 }; }"
)]
#[case::other_enum(
    exhaustive,
    "a.rs",
    "fn f() { match m { Some(LtoModes::Thin) => 1, _ => 2 }; }"
)]
#[case::half_a_tuple(
    exhaustive,
    "a.rs",
    "fn f() { match v { (Outcome::Pass, _) => 1, (_, true) => 2 }; }"
)]
#[case::guarded(
    exhaustive,
    "a.rs",
    "fn f() { match v { Outcome::Pass => 1, x if y => 3, Outcome::Fail => 2 }; }"
)]
#[case::reason(reasons, "a.rs", "#[expect(dead_code, reason = \"why\")] fn f() {}")]
#[case::derive(reasons, "a.rs", "#[derive(Debug)] struct A;")]
fn a_line_that_keeps_the_rule_is_accepted(
    #[case] rule: Rule,
    #[case] file: &str,
    #[case] text: &str,
) {
    assert_eq!(rule(&Source::parse(file, text)), [""; 0]);
}

#[test]
fn tests_do_not_count_as_lines() {
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n".repeat(300);
    let text = format!("//! Short.\n{tests}fn f() {{}}\n");
    assert_eq!(lines_without_tests(&text), 2);
    let outside = "#[cfg(test)]\nmod tests;\nfn f() {}\n";
    assert_eq!(lines_without_tests(outside), 3);
}
