//! Jobs from the outside, over a fake kernel: a result is kept the moment it is there, used
//! again while nothing that it depends on has changed, and never otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use klto::model::utilization::CpuUtilization;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fake_kernel::{CELL, FakeKernel, end_makes, listing};
use crate::support::program::{Ended, finish, klto, within};

const THIN: &str = "x86_64/tiny/thin/llvm-22";
const SOON: Duration = Duration::from_mins(1);
const NONE: &str = "x86_64/tiny/none/llvm-22";

/// A fake kernel that notes each build outside of its sources, and hangs in a mode when a
/// file there says so.
struct Noted(FakeKernel);

impl Noted {
    fn new(modes: &str) -> Noted {
        let kernel = FakeKernel::new();
        kernel.matrix(modes, "2min");
        let around = kernel.dir().display();
        let more = format!(
            "\nvmlinux: note\nnote: prepare\n\
             \t@sed -n 's/^CONFIG_LTO_\\(.*\\)=y/\\1/p' $(O)/.config >>{around}/builds\n\
             \t@if grep -q \"^CONFIG_LTO_$$(cat {around}/hang)=y\" $(O)/.config; then \
             echo hanging; sleep 300; fi\n"
        );
        let makefile = kernel.source().join("Makefile");
        let text = fs::read_to_string(&makefile).unwrap();
        fs::write(makefile, text + &more).unwrap();
        let noted = Noted(kernel);
        noted.hang_in("nothing");
        noted.builds();
        noted
    }

    /// The LTO mode, as Kconfig names it, whose build hangs from now on.
    fn hang_in(&self, mode: &str) {
        fs::write(self.0.dir().join("hang"), mode).unwrap();
    }

    /// The modes that were built since this was asked last.
    fn builds(&self) -> Vec<String> {
        let file = self.0.dir().join("builds");
        let builds = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, "").unwrap();
        builds.lines().map(str::to_owned).collect()
    }

    fn start(&self, more: &[&str]) -> Child {
        let stderr = fs::File::create(self.0.dir().join("stderr")).unwrap();
        let mut run = self.0.run(&[]);
        run.args(more).stdin(Stdio::null()).stdout(Stdio::null());
        run.stderr(stderr).spawn().unwrap()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.0.dir().join("stderr")).unwrap()
    }

    fn waits_for_the_hang_of(&self, cell: &str) {
        let log = self.0.cell_dir(cell).join("build.log");
        let hangs = || fs::read_to_string(&log).is_ok_and(|log| log.contains("hanging"));
        assert!(within(SOON, hangs), "make does not hang");
    }

    /// The cells of the last report: name, outcome, whether it was used again.
    fn cells(&self) -> Vec<(String, String, bool)> {
        let report = self.0.report();
        let cell = |cell: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let reused = cell["reused"].as_bool().unwrap();
            (text(&cell["cell"]), text(&cell["outcome"]["is"]), reused)
        };
        report["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(cell)
            .collect()
    }

    fn run(&self, more: &[&str]) -> Ended {
        finish(self.0.run(&[]).args(more))
    }
}

fn passed(cell: &str, reused: bool) -> (String, String, bool) {
    (cell.to_owned(), "pass".to_owned(), reused)
}

#[test]
fn a_run_that_was_killed_goes_on_at_the_cell_that_it_was_at() {
    let noted = Noted::new("[thin-dist, thin, none]");
    noted.hang_in("NONE");
    let mut run = noted.start(&["--cells-at-once", "1"]);
    noted.waits_for_the_hang_of(NONE);

    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(noted.builds(), ["CLANG_THIN_DIST", "CLANG_THIN", "NONE"]);
    assert!(!noted.0.work().join("report.json").exists());

    // The make that it left still holds the cell: the next run waits for it.
    noted.hang_in("nothing");
    let mut next = noted.start(&[]);
    assert!(within(SOON, || noted
        .stderr()
        .contains("left when it ended is at work on it")));
    end_makes(&noted.0);
    assert_eq!(next.wait().unwrap().code(), Some(0), "{}", noted.stderr());
    assert_eq!(noted.builds(), ["NONE"]);
    assert_eq!(
        noted.cells(),
        [passed(CELL, true), passed(THIN, true), passed(NONE, false)]
    );
    assert!(noted.stderr().contains(&format!("{THIN}: pass, reused")));
}

/// What was there before the first object is noted only if a scenario needs it; the cell that the
/// tree comes from is built again then.
#[test]
fn a_scenario_that_is_new_gets_what_was_prepared_of_the_cell_that_the_tree_comes_from() {
    let noted = Noted::new("[thin-dist, thin]");
    assert_eq!(noted.run(&[]).code, Some(0));
    noted.builds();
    noted
        .0
        .add_to_matrix("scenarios: [build, { name: clean, cells: \"*/thin\" }]\n");

    let ended = noted.run(&[]);

    let thin = &noted.0.report()["cells"][1];
    assert_eq!(thin["error"], Value::Null, "{}", ended.stderr);
    assert_eq!(thin["scenarios"][0]["name"], "clean");
    assert_eq!(thin["derived_from"], CELL);
}

/// What happens between two runs.
type Change = fn(&FakeKernel);

#[rstest]
#[case::nothing(|_: &FakeKernel| (), &[], &[])]
#[case::fresh(|_: &FakeKernel| (), &["--fresh"], &["CLANG_THIN_DIST", "CLANG_THIN"])]
#[case::source(|k: &FakeKernel| fs::write(k.source().join("init/main.c"), "int x;\n").unwrap(),
    &[], &["CLANG_THIN_DIST", "CLANG_THIN"])]
#[case::new_source(|k: &FakeKernel| fs::write(k.source().join("init/new.c"), "").unwrap(),
    &[], &["CLANG_THIN_DIST", "CLANG_THIN"])]
#[case::compiler(|k: &FakeKernel| fs::write(k.tools().join("clang-22"), "#!/bin/sh\n#\n").unwrap(),
    &[], &["CLANG_THIN_DIST", "CLANG_THIN"])]
#[case::symbol_that_is_asked_for(|k: &FakeKernel| {
    let matrix = fs::read_to_string(k.matrix_file()).unwrap();
    fs::write(k.matrix_file(), matrix.replace("[MODULES, ", "[")).unwrap();
}, &[], &["CLANG_THIN_DIST", "CLANG_THIN"])]
#[case::time_limit(|k: &FakeKernel| k.matrix("[thin-dist, thin]", "5min"), &[], &[])]
#[case::record_is_garbage(|k: &FakeKernel| {
    fs::write(k.cell_dir(THIN).join("record.json"), "{").unwrap();
}, &[], &["CLANG_THIN"])]
#[case::record_of_a_newer_klto(|k: &FakeKernel| {
    let file = k.cell_dir(THIN).join("record.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replacen("\"format\": 1", "\"format\": 2", 1)).unwrap();
}, &[], &["CLANG_THIN"])]
fn what_nothing_changed_for_is_not_run_again(
    #[case] change: Change,
    #[case] options: &[&str],
    #[case] builds: &[&str],
) {
    let noted = Noted::new("[thin-dist, thin]");
    assert_eq!(noted.run(&[]).code, Some(0));
    noted.builds();

    change(&noted.0);

    let ended = noted.run(options);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(noted.builds(), builds);
    assert_eq!(noted.run(&[]).code, Some(0));
    assert_eq!(noted.builds(), [""; 0], "and is kept");
}

#[test]
fn allow_entries_and_accepted_snapshots_are_applied_to_kept_results() {
    let noted = Noted::new("[thin-dist]");
    noted.0.set_fault("empty-object");
    assert_eq!(noted.run(&[]).code, Some(1));
    noted.builds();

    let allow = noted.0.dir().join("allow.yaml");
    let entry = "- { key: elf, cells: '*', reason: known, until: '9.0' }\n\
                 - { key: log, cells: '*', reason: known, until: '9.0' }\n";
    fs::write(&allow, entry).unwrap();
    let allowed = noted.run(&["--allow", allow.to_str().unwrap()]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stdout);
    assert!(
        allowed.stdout.contains("allowed[elf.empty]"),
        "{}",
        allowed.stdout
    );
    assert_eq!(noted.run(&[]).code, Some(1), "the entry is gone again");

    fs::create_dir(noted.0.dir().join("snapshots")).unwrap();
    assert_eq!(noted.run(&[]).code, Some(1));
    assert_eq!(noted.0.cell()["baseline"], "none");
    assert_eq!(
        finish(klto(["accept"]).arg(noted.0.matrix_file())).code,
        Some(0)
    );
    assert_eq!(noted.run(&[]).code, Some(1), "accepted, and still broken");
    assert_eq!(noted.0.cell()["baseline"], "same");
    assert_eq!(noted.builds(), [""; 0]);
}

/// What was looked at stays in the record.
#[test]
fn a_record_names_what_it_is_of_and_what_it_cost() {
    let noted = Noted::new("[thin-dist]");
    assert_eq!(noted.run(&[]).code, Some(0));

    let file = noted.0.cell_dir(CELL).join("record.json");
    let record: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(record["format"], 1);
    assert_eq!(record["klto"], env!("CARGO_PKG_VERSION"));
    assert_eq!([&record["cell"], &record["kernel"]], [CELL, "7.2.13"]);
    assert_eq!(record["job"].as_str().unwrap().len(), 32);
    assert!(humantime::parse_rfc3339(record["started"].as_str().unwrap()).is_ok());
    assert_ne!(record["host"], "");
    assert!(record["cost"]["wall_seconds"].as_f64().unwrap() > 0.0);
    let used = |name: &str| record["cost"][name].as_f64().unwrap();
    assert!(
        used("user_seconds") + used("system_seconds") > 0.0,
        "{}",
        record["cost"]
    );
    let log = record["logs"][0].as_str().unwrap();
    assert!(Path::new(log).is_file(), "{log}");
    assert!(record["rules"]["archive.members"]["why"].is_string());
}

/// The stages in the record of a cell: name, begin, end. None begins before the one before it
/// ended, and none ends after the job.
fn stages(cell: &Value) -> Vec<(String, f64, f64)> {
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap();
    let stages = cell["stages"].as_array().unwrap().iter().map(|stage| {
        let begin = number(stage, "begins_seconds");
        let name = stage["name"].as_str().unwrap().to_owned();
        (name, begin, begin + number(stage, "seconds"))
    });
    let stages: Vec<_> = stages.collect();
    let mut now = 0.0;
    for (name, begin, end) in &stages {
        assert!(*begin > now - 1e-6 && end >= begin, "{name}: {stages:?}");
        now = *end;
    }
    assert!(
        now <= number(&cell["cost"], "wall_seconds") + 1e-6,
        "{cell:#}"
    );
    stages
}

fn names(stages: &[(String, f64, f64)]) -> Vec<&str> {
    stages.iter().map(|(name, _, _)| name.as_str()).collect()
}

#[test]
fn a_record_says_when_each_stage_began_and_how_long_it_took() {
    let noted = Noted::new("[thin-dist, thin]");
    let run = |scenarios: &str| {
        noted.0.matrix("[thin-dist, thin]", "2min");
        let lines = format!("compare: [thin, thin-dist]\nscenarios: [build{scenarios}]\n");
        noted.0.add_to_matrix(&lines);
        noted.run(&[]);
        noted.0.report()["cells"].clone()
    };
    let cells = run(", noop");
    let (first, second) = (stages(&cells[0]), stages(&cells[1]));
    let all = [
        "configure",
        "compile",
        "inspect",
        "copy tree",
        "scenario noop",
        "comparison with thin-dist",
    ];
    assert_eq!(names(&first), all[..5]);
    assert_eq!(names(&second), all);

    // A record that is used again says what it said.
    let again = run(", noop");
    assert_eq!([&again[0]["reused"], &again[1]["reused"]], [true, true]);
    assert_eq!(stages(&again[0]), first);
    assert_eq!(stages(&again[1]), second);

    // A scenario that is asked for later goes on after what there is; one of another mode does
    // nothing.
    let more = run(", noop, clean, { name: damage, cells: \"*/thin\" }");
    let extended = stages(&more[0]);
    assert_eq!(extended[..5], first);
    assert_eq!(names(&extended[5..]), ["copy tree", "scenario clean"]);
    let before = cells[0]["cost"]["wall_seconds"].as_f64();
    assert!(Some(extended[5].1) >= before, "{:#}", more[0]);
    let extended = stages(&more[1]);
    assert_eq!(extended[..6], second);
    assert_eq!(names(&extended[6..]), ["copy tree", "scenario clean"]);
    assert!(more[1]["scenarios"][2]["skipped"][0]["reason"].is_object());
}

#[test]
fn a_record_says_how_many_processors_were_in_use_when() {
    let noted = Noted::new("[thin-dist]");
    let makefile = noted.0.source().join("Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    // The first build takes its time; the burst of work in the scenario comes soon.
    let napped = noted.0.dir().join("napped");
    let napped = napped.display();
    let more = format!(
        "\nvmlinux: nap\nnap:\n\t@test -e {napped} || sleep 2; echo >{napped}\n\
         clean:\n\t@i=0; while [ $$i -lt 400000 ]; do i=$$((i+1)); done\n"
    );
    fs::write(makefile, text + &more).unwrap();
    let run = |scenarios: &str| {
        noted.0.matrix("[thin-dist]", "2min");
        noted
            .0
            .add_to_matrix(&format!("scenarios: [{scenarios}]\n"));
        noted.run(&[]);
        let cell = &noted.0.report()["cells"][0];
        let of_cost = |name: &str| cell["cost"][name].as_f64().unwrap();
        let in_use = serde_json::from_value(cell["cpu_utilization"].clone());
        let in_use: CpuUtilization = in_use.unwrap();
        let wall = of_cost("wall_seconds");
        // It has what the sum has, but for the digits that it lacks.
        let used = of_cost("user_seconds") + of_cost("system_seconds");
        let differs = (in_use.processor_seconds() - used).abs();
        assert!(used > 0.0 && differs < 0.1 + wall * 0.005, "{cell:#}");
        (in_use, wall)
    };
    let (first, wall) = run("build, noop");
    assert_eq!(run("build, noop"), (first.clone(), wall));

    // What is asked for later comes after what there is.
    let (extended, _) = run("build, noop, clean");
    let ends = (1_u32..).map(|number| f64::from(number) * extended.interval_seconds);
    let before = extended.processors.iter().zip(ends);
    let before = before.take_while(|(_, end)| *end <= wall);
    let before: f64 = before.map(|(in_use, _)| in_use).sum();
    let [used, before, all] = [
        first.processor_seconds(),
        before * extended.interval_seconds,
        extended.processor_seconds(),
    ];
    assert!(before < used + 0.05, "{first:?}, then {extended:?}");
    assert!(all > used + 0.05, "{first:?}, then {extended:?}");
}

#[test]
fn a_build_that_the_machine_stopped_says_what_it_was_at() {
    let kernel = FakeKernel::with_fault("full-disk");

    assert_eq!(finish(&mut kernel.run(&[])).code, Some(125));

    let cell = kernel.cell();
    assert_eq!(names(&stages(&cell)), ["configure", "compile"]);
    assert_eq!(cell["outcome"]["is"], "error");
}

#[test]
fn a_comparison_that_is_asked_for_later_is_kept_too() {
    let noted = Noted::new("[thin-dist, thin]");
    assert_eq!(noted.run(&[]).code, Some(0));
    noted.0.add_to_matrix("compare: [thin, thin-dist]\n");

    assert_eq!(noted.run(&[]).code, Some(0));

    assert_eq!(noted.builds(), ["CLANG_THIN_DIST", "CLANG_THIN"]);
    assert_eq!(noted.cells(), [passed(CELL, true), passed(THIN, false)]);
    let file = noted.0.cell_dir(THIN).join("record.json");
    let record: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(record["comparisons"][0]["with"], "thin-dist");
    let last = names(&stages(&record)).pop().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("comparison with thin-dist"));
}

#[test]
fn kept_facts_are_judged_as_the_tree_was() {
    let noted = Noted::new("[thin-dist]");
    noted.0.set_fault("empty-object");
    assert_eq!(noted.run(&[]).code, Some(1));
    let folder = noted.0.cell_dir(CELL);
    let found = noted.0.cell()["inspection"]["findings"].clone();
    fs::remove_dir_all(folder.join("build")).unwrap();

    let check = |more: &[&str]| finish(klto(["check"]).arg(&folder).args(more));
    let ended = check(&["--format", "json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let checked: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(checked["inspection"]["findings"], found);

    let wrong = check(&["--log", "x"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .stderr
            .contains("this is a record, and --log is about a build tree")
    );
    fs::write(folder.join("record.json"), "{").unwrap();
    let damaged = check(&[]);
    assert_eq!(damaged.code, Some(2));
    assert!(
        damaged
            .stderr
            .contains("the record is cut off after 1 bytes"),
        "{}",
        damaged.stderr
    );
}

#[test]
fn with_fail_fast_nothing_begins_after_a_failure() {
    let noted = Noted::new("[thin-dist, thin, none]");
    let script = noted.0.source().join("scripts/fake-kbuild");
    let text = fs::read_to_string(&script).unwrap();
    let thin =
        "compile/*)\n\tif grep -q '^CONFIG_LTO_CLANG_THIN=y' \"$out/.config\"; then exit 1; fi\n";
    fs::write(&script, text.replacen("compile/*)\n", thin, 1)).unwrap();

    let ended = noted.run(&["--fail-fast", "--cells-at-once", "1"]);

    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let outcome = |cell: usize| noted.0.report()["cells"][cell]["outcome"].clone();
    assert_eq!(outcome(0), json!({ "is": "pass" }));
    assert_eq!(outcome(1), json!({ "is": "fail" }));
    assert_eq!(
        outcome(2),
        json!({ "is": "skip", "reason": { "why": "fail-fast" } })
    );
    assert_eq!(noted.run(&[]).code, Some(1));
    assert_eq!(outcome(2), json!({ "is": "pass" }), "it was not kept");
}

#[test]
fn events_name_every_cell_and_stage() {
    let noted = Noted::new("[thin-dist]");
    noted.0.add_to_matrix("scenarios: [build, noop]\n");
    let file = noted.0.dir().join("events");

    noted.run(&["--events", file.to_str().unwrap()]);

    let text = fs::read_to_string(file).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let mut names: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    names.dedup();
    assert_eq!(
        names,
        [
            "planned", "queue", "started", "stage", "scenario", "done", "finished"
        ]
    );
    let of = |name: &'static str| events.iter().filter(move |e| e["event"] == name);
    let scenarios: Vec<&Value> = of("scenario").map(|e| &e["scenario"]["name"]).collect();
    assert_eq!(scenarios, ["build", "noop"]);
    let done = of("done").next().unwrap();
    assert_eq!(done["record"]["cell"], CELL);
}

#[test]
fn a_report_file_is_written_in_each_format_that_is_asked_for() {
    let noted = Noted::new("[thin-dist]");
    let file = |name: &str| noted.0.dir().join(name);
    let option = |format: &str| format!("{format}={}", file(format).display());
    let ended = noted.run(&["--report", &option("json"), "--report", &option("ktap")]);

    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stdout.contains("1 cell of fake"),
        "the text is printed all the same"
    );
    let json = fs::read_to_string(file("json")).unwrap();
    assert_eq!(
        json,
        fs::read_to_string(noted.0.work().join("report.json")).unwrap()
    );
    assert!(
        fs::read_to_string(file("ktap"))
            .unwrap()
            .starts_with("KTAP version 1\n")
    );

    let elsewhere = noted.run(&["--report", "json=/nowhere/report"]);
    assert_eq!(elsewhere.code, Some(125));
    assert!(
        elsewhere.stderr.contains("/nowhere/report"),
        "{}",
        elsewhere.stderr
    );
    assert!(
        elsewhere.stdout.contains("1 cell of fake"),
        "{}",
        elsewhere.stdout
    );
}

/// The kernel under git, good at first and broken then.
struct History {
    noted: Noted,
    good: String,
    broken: String,
}

impl History {
    fn new() -> History {
        let noted = Noted::new("[thin-dist]");
        let source = noted.0.source();
        git(&source, &["init", "--quiet"]);
        let commit = |title: &str| {
            git(&source, &["add", "."]);
            git(&source, &["commit", "--quiet", "--message", title]);
            git(&source, &["rev-parse", "HEAD"]).trim().to_owned()
        };
        noted.0.set_fault("");
        let good = commit("good");
        noted.0.set_fault("empty-object");
        let broken = commit("broken");
        // What is checked out, and what is not committed, is another matter.
        noted.0.set_fault("compile-error");
        History {
            noted,
            good,
            broken,
        }
    }

    fn run(&self, reference: &str) -> Option<i32> {
        self.noted.run(&["--ref", reference]).code
    }
}

fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(args);
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
    ] {
        command.env(name, value);
    }
    let ended = finish(&mut command);
    assert_eq!(ended.code, Some(0));
    ended.stdout
}

#[test]
fn a_commit_is_built_without_touching_the_checkout() {
    let history = History::new();
    let kernel = &history.noted.0;
    let tool = |name: &str| which(name);
    std::os::unix::fs::symlink(tool("git"), kernel.tools().join("git.real")).unwrap();
    let _ = fs::remove_file(kernel.tools().join("git"));
    std::os::unix::fs::symlink(tool("git"), kernel.tools().join("git")).unwrap();
    let state = || {
        let mut files = listing(&kernel.source());
        files.retain(|path, _| !path.to_string_lossy().contains(".git/worktrees"));
        let own = [
            kernel.source().join(".git"),
            kernel.source().join(".git/objects"),
        ];
        files.retain(|path, _| !own.contains(path));
        files
    };
    let before = state();

    assert_eq!(history.run(&history.broken), Some(1));
    assert_eq!(history.run(&history.good), Some(0));
    assert_eq!(history.noted.builds().len(), 2);
    assert_eq!(history.run("HEAD"), Some(1));
    assert_eq!(history.run("HEAD~"), Some(0));
    assert_eq!(history.noted.builds(), [""; 0], "both results are kept");

    assert_eq!(state(), before);
    let revision = format!("7.2.13-g{}", &history.good[..12]);
    let cells = kernel.work().join("cells");
    assert!(
        cells
            .join(&revision)
            .join(CELL)
            .join("record.json")
            .is_file()
    );
    assert_eq!(kernel.report()["revision"], revision.as_str());

    let wrong = history.noted.run(&["--ref", "nothing"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("nothing"), "{}", wrong.stderr);
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let file = std::env::split_paths(&path).map(|folder| folder.join(program));
    file.into_iter().find(|file| file.is_file()).unwrap()
}

/// The base of a cell that runs scenarios has to be prepared for it, though it runs none.
#[test]
fn a_tree_that_began_as_another_cells_knows_what_was_prepared() {
    let noted = Noted::new("[thin-dist, thin]");
    noted
        .0
        .add_to_matrix("scenarios: [build, { name: noop, cells: \"*/thin\" }]\n");

    noted.run(&[]);

    assert_eq!(noted.0.report()["cells"][1]["derived_from"], CELL);
    let prepared = |cell: &str| {
        let text = fs::read_to_string(noted.0.cell_dir(cell).join("prepared.json")).unwrap();
        let files: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        files.into_keys().collect::<Vec<_>>()
    };
    let files = [
        ".config",
        "include/config/auto.conf",
        "include/config/kernel.release",
    ];
    assert_eq!(prepared(CELL), files);
    assert_eq!(prepared(THIN), files);
}

/// The findings of a configuration, and of a make that fails, are findings like any other.
#[rstest]
#[case::configuration("drop-symbol", "config.symbol")]
#[case::failed_make("compile-error", "build.failed")]
#[case::nothing_made("no-vmlinux", "build.failed")]
fn an_allow_entry_covers_what_kept_a_kernel_from_being_built(
    #[case] fault: &str,
    #[case] key: &str,
) {
    let noted = Noted::new("[thin-dist]");
    noted.0.set_fault(fault);
    let allow = noted.0.dir().join("allow.yaml");
    let entry = format!("- {{ key: {key}, cells: '*', reason: known, until: '9.0' }}\n");
    fs::write(&allow, entry).unwrap();
    assert_eq!(noted.run(&[]).code, Some(1));

    let ended = noted.run(&["--allow", allow.to_str().unwrap()]);

    let findings = noted.0.cell()["inspection"]["findings"].clone();
    let allowed: Vec<&Value> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["allowed"])
        .collect();
    assert_eq!(allowed, ["known"], "{findings:#}");
    // Nothing is wrong that counts; and nothing was shown of the kernel.
    assert_eq!(ended.code, Some(125), "{}", ended.stdout);
}

#[rstest]
#[case::key("key: flags.saved-mising", "did you mean 'flags.saved-missing'?")]
#[case::old_key("key: fault.silent", "the key 'fault.silent' is 'damage.silent' now")]
#[case::scenario("key: flags, scenario: swich", "did you mean 'switch'?")]
#[case::step(
    "key: flags, scenario: touch, step: a header",
    "has no step 'a header'"
)]
fn an_allow_entry_that_names_nothing_is_refused(#[case] entry: &str, #[case] says: &str) {
    let noted = Noted::new("[thin-dist]");
    let allow = noted.0.dir().join("allow.yaml");
    let text = format!("- {{ {entry}, cells: '*', reason: known, until: '9.0' }}\n");
    fs::write(&allow, &text).unwrap();
    let by_file = noted.run(&["--allow", allow.to_str().unwrap()]);
    assert_eq!(by_file.code, Some(2));
    assert!(by_file.stderr.contains(says), "{}", by_file.stderr);
    assert!(
        by_file.stderr.contains("allow.yaml:1:"),
        "{}",
        by_file.stderr
    );

    noted.0.add_to_matrix(&format!("allow:\n{text}"));
    let by_matrix = noted.run(&[]);
    assert_eq!(by_matrix.code, Some(2));
    assert!(by_matrix.stderr.contains(says), "{}", by_matrix.stderr);
}
