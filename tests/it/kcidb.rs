//! What klto writes for KCIDB: what its own validator takes, kcidb-io, and what no schema says.
//!
//! `KLTO_KCIDB_IO` names a Python that has kcidb-io (`ci/kcidb-io` prints it). If it is not set,
//! `KLTO_SKIP_VALIDATORS=1` leaves the validation out, and says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use klto::model::cell::LtoMode;
use klto::model::record::{CellRecord, Identity, RunRecord};
use klto::report::test_tree::{Test, Verdict};
use klto::report::{Format, Options, kcidb};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::foreign::foreign;
use crate::support::program::{Ended, finish};
use crate::support::run_record::{finding, inspection, rules, run_record};

/// Reads the file that it is given. Also a document of an older version is valid to kcidb-io.
const VALIDATE: &str = r#"
import json, sys
from kcidb_io.schema import LATEST
with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
LATEST.validate(document)
print(f"valid: {LATEST.major}.{LATEST.minor}")
"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn of_run(run: &RunRecord) -> Value {
    parsed(&Format::Kcidb.reporter(Options::default()).run(run))
}

fn of_tree(lto: LtoMode, unfinished: Option<&str>) -> Value {
    let mut tree = inspection(
        "x86_64",
        lto,
        vec![finding("archive.order", "vmlinux.a", "at 0x1f8")],
    );
    if let Some(why) = unfinished {
        tree.findings.clear();
        tree.unfinished = Some(why.to_owned());
    }
    let reporter = Format::Kcidb.reporter(Options::default());
    parsed(&reporter.inspection("/elsewhere/linux-build/", &tree, &rules()))
}

fn of_trees() -> Value {
    let names = ["/a/thin/".to_owned(), "/a/thin-dist".to_owned()];
    let trees = [LtoMode::Thin, LtoMode::ThinDist].map(|lto| Identity {
        arch: "arm64".to_owned(),
        lto,
        kernel: "7.2.13".to_owned(),
        compiler: "clang version 22.1.8".to_owned(),
    });
    let lost = Test {
        diagnostics: vec!["init_task: only in the first".to_owned()],
        ..Test::new("diff.symbols", Verdict::Fail)
    };
    let skipped = Test::new("diff.warnings", Verdict::Skip("there is no log".to_owned()));
    parsed(&kcidb::of_trees(&names, &trees, &[lost, skipped]))
}

/// A run whose texts and numbers are none that KCIDB takes.
fn hostile_run() -> RunRecord {
    let mut failed = finding("build.failed", "init\0main.o", "a\0b");
    failed.details = vec!["\u{fc}\0".repeat(20_000)];
    let mut tree = inspection("Foo-64\n", LtoMode::Thin, vec![failed]);
    tree.findings
        .push(finding("no rule..at all/\0", "x", "\u{1b}[31m"));
    let mut cell = CellRecord::new("Foo-64/\0/thin/\u{202e}".to_owned());
    cell.inspection = Some(tree);
    "yesterday".clone_into(&mut cell.started);
    "\0".clone_into(&mut cell.toolchain);
    cell.cost.wall_seconds = f64::NAN;
    cell.settle();
    RunRecord {
        matrix: "\0".to_owned(),
        revision: "7.3.0-rc7\0".to_owned(),
        cells: vec![cell, CellRecord::new(String::new())],
        ..run_record()
    }
}

/// Every document that klto writes for KCIDB, by name.
fn documents() -> Vec<(&'static str, Value)> {
    let empty = RunRecord {
        cells: Vec::new(),
        revision: String::new(),
        ..run_record()
    };
    let commit = RunRecord {
        revision: "7.3.0-rc7-g0123456789abcdef0123456789abcdef01234567".to_owned(),
        ..run_record()
    };
    vec![
        ("run", of_run(&run_record())),
        ("commit", of_run(&commit)),
        ("hostile", of_run(&hostile_run())),
        ("empty", of_run(&empty)),
        ("tree", of_tree(LtoMode::ThinDist, None)),
        ("half a tree", of_tree(LtoMode::Thin, Some("no vmlinux"))),
        ("trees", of_trees()),
    ]
}

fn validated(python: &Path, document: &Value) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(python);
    finish(command.args(["-c", VALIDATE]).arg(&file))
}

#[test]
fn the_validator_of_kcidb_takes_every_document() {
    let Some(python) = foreign("KLTO_KCIDB_IO", "ci/kcidb-io") else {
        return;
    };
    for (name, document) in documents() {
        let ended = validated(&python, &document);
        assert_eq!(ended.stdout, "valid: 5.3\n", "{name}: {}", ended.stderr);
        assert_eq!(document["version"], json!({"major": 5, "minor": 3}));
    }
}

#[rstest]
#[case::null("/builds/2/comment", Value::Null, "None is not of type 'string'")]
#[case::origin("/builds/2/origin", json!("klto-x"), "does not match '^[a-z0-9_]+$'")]
#[case::id("/tests/9/id", json!("x"), "'x' does not match")]
#[case::nul("/builds/2/command", json!("a\0"), "does not match")]
#[case::architecture("/builds/2/architecture", json!("X86"), "'X86' does not match")]
#[case::path("/tests/9/path", json!("klto..x"), "'klto..x' does not match")]
#[case::status("/tests/9/status", json!("BROKEN"), "'BROKEN' is not one of")]
#[case::excerpt("/tests/9/log_excerpt", json!("x".repeat(16385)), "is too long")]
#[case::time("/builds/2/start_time", json!("yesterday"), "is not a 'date-time'")]
#[case::unknown_key("/builds/2/host", json!("builder"), "'host' was unexpected")]
#[case::commit("/checkouts/0/git_commit_hash", json!("7.2.13"), "'7.2.13' does not match")]
fn the_validator_of_kcidb_refuses_a_damaged_document(
    #[case] place: &str,
    #[case] value: Value,
    #[case] says: &str,
) {
    let Some(python) = foreign("KLTO_KCIDB_IO", "ci/kcidb-io") else {
        return;
    };
    let mut document = of_run(&run_record());
    let (object, key) = place.rsplit_once('/').unwrap();
    document.pointer_mut(object).unwrap()[key] = value;
    let ended = validated(&python, &document);
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

/// The objects of one kind.
fn all<'a>(document: &'a Value, kind: &str) -> &'a [Value] {
    document[kind].as_array().unwrap()
}

fn ids<'a>(document: &'a Value, kind: &str) -> BTreeSet<&'a str> {
    let objects = all(document, kind).iter();
    objects
        .map(|object| object["id"].as_str().unwrap())
        .collect()
}

#[test]
fn every_object_has_its_own_id_and_names_objects_that_are_there() {
    for (name, document) in documents() {
        for kind in ["checkouts", "builds", "tests", "issues", "incidents"] {
            let (ids, objects) = (ids(&document, kind), all(&document, kind));
            assert_eq!(ids.len(), objects.len(), "{name}: {kind}");
        }
        for (kind, key, of) in [
            ("builds", "checkout_id", "checkouts"),
            ("tests", "build_id", "builds"),
            ("incidents", "issue_id", "issues"),
            ("incidents", "build_id", "builds"),
            ("incidents", "test_id", "tests"),
        ] {
            let known = ids(&document, of);
            for object in all(&document, kind) {
                let named = object.get(key).map(|id| id.as_str().unwrap());
                assert!(
                    named.is_none_or(|id| known.contains(id)),
                    "{name}: {object}"
                );
            }
        }
        for incident in all(&document, "incidents") {
            let is_in = |key: &str| incident.get(key).is_some();
            assert_ne!(is_in("build_id"), is_in("test_id"), "{incident}");
        }
    }
}

#[test]
fn the_same_run_is_the_same_document_and_a_later_one_has_other_builds() {
    let run = run_record();
    assert_eq!(of_run(&run), of_run(&run));
    let mut later = run.clone();
    for cell in &mut later.cells {
        cell.started = cell.started.replace("T02", "T03");
    }
    let (first, second) = (of_run(&run), of_run(&later));
    assert_eq!(ids(&first, "checkouts"), ids(&second, "checkouts"));
    assert_eq!(ids(&first, "issues"), ids(&second, "issues"));
    let of_skipped = 3;
    let both = ids(&first, "builds")
        .intersection(&ids(&second, "builds"))
        .count();
    assert_eq!(both, of_skipped);
}

/// The status of a build, and that of one of its tests.
fn statuses(document: &Value, cell: &str, path: &str) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let build = all(document, "builds")
        .iter()
        .find(|build| build["misc"]["cell"] == cell)
        .unwrap();
    let test = all(document, "tests")
        .iter()
        .find(|test| test["build_id"] == build["id"] && test["path"] == path);
    let test = test.unwrap_or(&Value::Null);
    (
        text(&build["status"]),
        text(&test["status"]),
        text(&test["comment"]),
    )
}

#[rstest]
#[case::holds("riscv/tiny/thin/llvm-22", "klto.crc.symbols", "PASS", "PASS", "")]
#[case::broken(
    "x86_64/tiny/thin-dist/llvm-22",
    "klto.flags.saved-missing",
    "PASS",
    "FAIL",
    "22 objects have no saved_c_flags line"
)]
#[case::known(
    "arm64/tiny/thin-dist/llvm-22",
    "klto.compdb.lost-entries",
    "PASS",
    "PASS",
    "known: known in 7.2, fixed in 7.4"
)]
#[case::known_in_a_scenario(
    "arm64/tiny/thin-dist/llvm-22",
    "klto.scenario.switch",
    "PASS",
    "PASS",
    "known: objects of another mode are kept"
)]
#[case::nothing_to_look_at(
    "riscv/tiny/thin/llvm-22",
    "klto.crc.modules",
    "PASS",
    "SKIP",
    "nothing to look at"
)]
#[case::not_applicable(
    "arm64/tiny/thin-dist/llvm-22",
    "klto.scenario.damage",
    "PASS",
    "SKIP",
    "does not apply to mode thin-dist"
)]
#[case::make_failed(
    "riscv/tiny/thin-dist/llvm-22",
    "klto.scenario.touch",
    "FAIL",
    "SKIP",
    "the build failed"
)]
#[case::make_failed_is_no_test("riscv/tiny/thin-dist/llvm-22", "klto.build.failed", "FAIL", "", "")]
#[case::scenario_failed(
    "loongarch/tiny/thin-dist/llvm-22",
    "klto.scenario.touch",
    "PASS",
    "FAIL",
    "2 files differ from those of a clean build"
)]
#[case::trees_differ(
    "x86_64/tiny/thin/llvm-22",
    "klto.comparison.thin-dist",
    "PASS",
    "FAIL",
    "1 symbol is in one of the two trees only"
)]
#[case::machine_after_the_build(
    "x86_64/tiny/thin/llvm-22",
    "klto.completed",
    "PASS",
    "MISS",
    "no emulator of x86_64 is installed"
)]
#[case::machine("x86_64/defconfig/thin/llvm-22", "", "MISS", "", "")]
#[case::timeout(
    "arm64/defconfig/thin/llvm-22",
    "klto.completed",
    "ERROR",
    "ERROR",
    "timed out after 2 h 00 min"
)]
#[case::not_built("powerpc/tiny/none/llvm-22", "", "SKIP", "", "")]
fn a_status_says_what_happened(
    #[case] cell: &str,
    #[case] path: &str,
    #[case] build: &str,
    #[case] test: &str,
    #[case] comment: &str,
) {
    let document = of_run(&run_record());
    let expected = (build.to_owned(), test.to_owned(), comment.to_owned());
    assert_eq!(statuses(&document, cell, path), expected);
}

#[test]
fn half_a_tree_is_an_error_and_its_rules_are_skipped() {
    let document = of_tree(LtoMode::Thin, Some("vmlinux is missing"));
    let (build, test, why) = statuses(&document, "linux-build", "klto.crc.symbols");
    assert_eq!((&*build, &*test), ("ERROR", "SKIP"));
    assert_eq!(why, "the build is not finished");
    let comment = &document["builds"][0]["comment"];
    assert_eq!(comment, "the build is not finished, vmlinux is missing");
    assert_eq!(all(&document, "builds").len(), 1);
}

#[test]
fn a_finding_of_several_cells_is_one_issue_and_an_incident_in_each() {
    let mut run = run_record();
    run.cells.truncate(3);
    for (line, cell) in (1..).zip(&mut run.cells) {
        let evidence = format!("scripts/Makefile.thinlto:{line}: no flags");
        let shared = finding("flags.backend-lacks", "init/main.o", &evidence);
        cell.inspection.as_mut().unwrap().findings.push(shared);
    }
    let document = of_run(&run);
    let of_rule = |issue: &&Value| issue["misc"]["rule"] == "flags.backend-lacks";
    let issues: Vec<&Value> = all(&document, "issues").iter().filter(of_rule).collect();
    assert_eq!(issues.len(), 1);
    let incidents = all(&document, "incidents").iter();
    let incidents = incidents.filter(|incident| incident["issue_id"] == issues[0]["id"]);
    let tests: BTreeSet<String> = incidents.map(|i| i["test_id"].to_string()).collect();
    assert_eq!(tests.len(), 3);
}

#[test]
fn no_path_and_no_name_of_the_machine_is_sent() {
    let mut run = run_record();
    let out_of_space = "cannot write /srv/klto/x86_64/defconfig/thin/llvm-22/build/vmlinux";
    run.cells[8].error = Some(out_of_space.to_owned());
    run.cells[8].settle();
    let document = of_run(&run);
    let (text, tree) = (
        document.to_string(),
        of_tree(LtoMode::Thin, None).to_string(),
    );
    assert!(text.contains("cannot write $O/vmlinux"), "{text}");
    for hidden in ["/srv/klto", "/src/linux stable", "builder"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    assert!(!tree.contains("/elsewhere"));
}

#[rstest]
#[case::directory("7.2.13", None, None)]
#[case::short_commit("7.3.0-rc7-g0123456789ab", Some("7.3.0-rc7-g0123456789ab"), None)]
#[case::whole_commit(
    "7.3.0-rc7-g0123456789abcdef0123456789abcdef01234567",
    Some("7.3.0-rc7-g0123456789abcdef0123456789abcdef01234567"),
    Some("0123456789abcdef0123456789abcdef01234567")
)]
#[case::no_hash("7.3.0-gnu", None, None)]
fn a_checkout_names_a_commit_only_if_it_is_one(
    #[case] revision: &str,
    #[case] name: Option<&str>,
    #[case] hash: Option<&str>,
) {
    let run = RunRecord {
        revision: revision.to_owned(),
        ..run_record()
    };
    let checkout = &of_run(&run)["checkouts"][0];
    assert_eq!(
        checkout.get("git_commit_name").map(|n| n.as_str().unwrap()),
        name
    );
    assert_eq!(
        checkout.get("git_commit_hash").map(|h| h.as_str().unwrap()),
        hash
    );
    assert_eq!(checkout["misc"]["revision"], revision);
    assert_eq!(checkout["start_time"], "2026-11-25T02:00:00Z");
}

#[test]
fn numbers_say_what_was_looked_at_and_what_it_took() {
    let mut run = run_record();
    run.cells.truncate(1);
    let tree = run.cells[0].inspection.as_mut().unwrap();
    tree.counts.image_bytes = 1 << 20;
    let document = of_run(&run);
    let number = |path: &str| {
        let mut tests = all(&document, "tests").iter();
        let test = tests.find(|test| test["path"] == path).unwrap();
        (test["status"].clone(), test["number"].clone())
    };
    let done = json!("DONE");
    let looked = json!({"value": 473, "unit": "objects"});
    assert_eq!(number("klto.flags.saved-missing"), (json!("PASS"), looked));
    let time = json!({"value": 44.5, "unit": "s"});
    assert_eq!(number("klto.measured.time"), (done.clone(), time));
    let bytes = |value: u64| json!({"value": value, "unit": "B", "prefix": "binary"});
    let memory = bytes(912_384 * 1024);
    assert_eq!(number("klto.measured.memory"), (done.clone(), memory));
    assert_eq!(number("klto.measured.image"), (done, bytes(1 << 20)));
    assert_eq!(number("klto.crc.modules").1, Value::Null);
}

#[test]
fn what_is_not_finished_is_not_measured() {
    let document = of_run(&run_record());
    let of_cell = |cell: &str| {
        let tests = all(&document, "tests").iter();
        let tests = tests.filter(|test| test["build_id"].as_str().unwrap().contains(cell));
        let measured = |test: &&Value| test["status"] == "DONE";
        tests.filter(measured).count()
    };
    assert_eq!(of_cell("riscv/tiny/thin/llvm-22"), 2);
    assert_eq!(of_cell("riscv/tiny/thin-dist/llvm-22"), 0);
    assert_eq!(of_cell("arm64/defconfig/thin/llvm-22"), 0);
}

#[test]
fn two_trees_are_two_builds_and_the_second_has_the_tests() {
    let document = of_trees();
    let builds = all(&document, "builds");
    let cells: Vec<&Value> = builds.iter().map(|build| &build["misc"]["cell"]).collect();
    assert_eq!(cells, ["thin", "thin-dist"]);
    let tests = all(&document, "tests").iter();
    let tests: Vec<_> = tests
        .filter(|test| test["build_id"] == builds[1]["id"])
        .collect();
    let said: Vec<_> = tests.iter().map(|t| (&t["path"], &t["status"])).collect();
    let expected = [
        ("klto.diff.symbols", "FAIL"),
        ("klto.diff.warnings", "SKIP"),
    ];
    assert_eq!(said.len(), expected.len());
    for ((path, status), expected) in said.into_iter().zip(expected) {
        assert_eq!((path, status), (&json!(expected.0), &json!(expected.1)));
    }
    assert_eq!(tests[0]["misc"]["compared_with"], "thin");
    assert_eq!(all(&document, "checkouts").len(), 1);
}

#[test]
fn some_cells_as_kcidb_has_them() {
    let mut run = run_record();
    run.cells = [3, 4, 6, 10].map(|n| run.cells[n].clone()).into();
    let text = Format::Kcidb.reporter(Options::default()).run(&run);
    insta::assert_snapshot!("run-kcidb", text);
}
