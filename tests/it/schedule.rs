//! How the cells of a run share the machine, over a fake kernel: jobs, memory, disk, time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fake_kernel::{CELL, FakeKernel};
use crate::support::program::{Ended, finish};

const THIN: &str = "x86_64/tiny/thin/llvm-22";
const NONE: &str = "x86_64/tiny/none/llvm-22";
const FULL: &str = "x86_64/tiny/full/llvm-22";

/// A fake kernel whose makefile has more lines, in which `@DIR@` stands for a folder outside of its
/// sources and `vmlinux` may get more to do.
fn with_lines(modes: &str, lines: &str) -> FakeKernel {
    let kernel = FakeKernel::new();
    kernel.matrix(modes, "2min");
    let makefile = kernel.source().join("Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    let lines = lines.replace("@DIR@", &kernel.dir().display().to_string());
    fs::write(makefile, text + &lines).unwrap();
    kernel
}

fn run(kernel: &FakeKernel, more: &[&str]) -> Ended {
    finish(kernel.run(&[]).args(more))
}

/// The cells of the last report by name.
fn cell(kernel: &FakeKernel, name: &str) -> Value {
    let report = kernel.report();
    let mut cells = report["cells"].as_array().unwrap().iter();
    cells.find(|cell| cell["cell"] == name).unwrap().clone()
}

/// Commands that note how many of them run at the same time, six in each cell.
const COUNTED: &str = "
PARTS := 1 2 3 4 5 6
vmlinux: $(addprefix part-, $(PARTS))
part-%: prepare
\t@mkdir @DIR@/at-work.$$$$; set -- @DIR@/at-work.*; echo $$# >>@DIR@/counts; \\
\t sleep 0.2; rm -r @DIR@/at-work.$$$$
";

/// The largest number of them that ran at the same time.
fn most_at_once(kernel: &FakeKernel) -> usize {
    let counts = fs::read_to_string(kernel.dir().join("counts")).unwrap();
    counts.lines().map(|n| n.parse().unwrap()).max().unwrap()
}

#[rstest]
#[case::two(&["--jobs", "2"], 2)]
#[case::three(&["--jobs", "3"], 3)]
#[case::one(&["--jobs", "1"], 1)]
#[case::one_cell_has_them_all(&["--jobs", "3", "--cells-at-once", "1"], 3)]
fn cells_share_the_jobs(#[case] options: &[&str], #[case] most: usize) {
    let kernel = with_lines("[thin-dist, none, full]", COUNTED);
    let ended = run(&kernel, options);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(most_at_once(&kernel), most);
}

#[test]
fn a_cell_that_the_machine_stopped_runs_again_as_often_as_asked() {
    let lines = "
vmlinux: stopped
stopped: prepare
\t@if [ $$(cat @DIR@/left) -gt 0 ]; then echo $$(($$(cat @DIR@/left) - 1)) >@DIR@/left; \\
\t echo 'cc: fatal error: No space left on device' >&2; exit 1; fi
";
    let kernel = with_lines("[none]", lines);
    let left = |times: usize| fs::write(kernel.dir().join("left"), times.to_string()).unwrap();
    left(2);
    let ended = run(&kernel, &["--retry-infra", "1"]);
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let record = cell(&kernel, NONE);
    assert_eq!(record["outcome"]["is"], "error");
    assert_eq!(record["earlier_errors"].as_array().unwrap().len(), 1);

    left(2);
    let ended = run(&kernel, &["--retry-infra", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let record = cell(&kernel, NONE);
    assert_eq!(record["outcome"]["is"], "pass");
    let earlier = record["earlier_errors"].as_array().unwrap();
    assert_eq!(earlier.len(), 2);
    assert!(
        earlier[0]
            .as_str()
            .unwrap()
            .contains("No space left on device")
    );
    assert_eq!(
        ended.stderr.matches("will run again: ").count(),
        2,
        "{}",
        ended.stderr
    );
}

#[test]
fn a_kernel_that_fails_does_not_run_again() {
    let kernel = FakeKernel::with_fault("compile-error");
    let ended = run(&kernel, &["--retry-infra", "3"]);
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stderr.contains("will run again"), "{}", ended.stderr);
}

#[test]
fn what_does_not_end_within_the_budget_is_left_out_and_runs_next_time() {
    let lines = "
vmlinux: slow
slow: prepare
\t@if grep -q _LTO_CLANG_FULL=y $(O)/.config && [ ! -e @DIR@/fast ]; then sleep 300; fi
";
    let kernel = with_lines("[none, full, thin-dist]", lines);
    let ended = run(&kernel, &["--budget", "8s", "--cells-at-once", "1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let budget = json!({ "is": "skip", "reason": { "why": "budget" } });
    let outcomes = || [NONE, FULL, CELL].map(|name| cell(&kernel, name)["outcome"].clone());
    let pass = || json!({ "is": "pass" });
    assert_eq!(outcomes(), [pass(), budget, pass()]);
    assert!(
        ended
            .stdout
            .contains("left out, for lack of time (--budget)"),
        "{}",
        ended.stdout
    );

    fs::write(kernel.dir().join("fast"), "").unwrap();
    let ended = run(&kernel, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(outcomes(), [pass(), pass(), pass()]);
    let reused = |name: &str| cell(&kernel, name)["reused"].clone();
    assert_eq!([reused(NONE), reused(FULL)], [json!(true), json!(false)]);
}

#[test]
fn cells_whose_records_are_there_need_no_time() {
    let kernel = FakeKernel::new();
    kernel.matrix("[none, thin, thin-dist]", "2min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\nscenarios: [build, noop]\n");
    let all = || [NONE, THIN, CELL].map(|name| cell(&kernel, name));
    // This kernel makes something whenever make runs.
    let fail = json!({ "is": "fail" });
    assert_eq!(run(&kernel, &["--cell", "*/thin*/*"]).code, Some(1));
    let ended = run(&kernel, &["--budget", "0s"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let [none, thin, dist] = all();
    assert_eq!(none["outcome"]["reason"]["why"], "budget");
    for cell in [thin, dist] {
        assert_eq!([&cell["outcome"], &cell["reused"]], [&fail, &json!(true)]);
    }
    // A record that is not to be used saves nothing, and a run that judged nothing says so.
    let ended = run(&kernel, &["--budget", "0s", "--fresh"]);
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    for cell in all() {
        assert_eq!(cell["outcome"]["reason"]["why"], "budget");
    }
}

fn trees(kernel: &FakeKernel, cells: &[&str]) -> Vec<bool> {
    let has = |name: &&str| kernel.cell_dir(name).join("build/vmlinux").exists();
    cells.iter().map(has).collect()
}

/// Makes the cell without LTO fail once its tree is there.
const BROKEN_NONE: &str = "
vmlinux: broken
broken: prepare
\t@if grep -q _LTO_NONE=y $(O)/.config; then : >$(O)/vmlinux; \\
\t echo 'scripts/x.c:1: error: no' >&2; exit 1; fi
";

#[rstest]
#[case::by_default(&[], "", [true, true])]
#[case::all(&["--keep", "all"], "keep: none\n", [true, true])]
#[case::failed(&["--keep", "failed"], "", [false, true])]
#[case::none(&["--keep", "none"], "", [false, false])]
#[case::as_the_matrix_says(&[], "keep: failed\n", [false, true])]
fn trees_stay_as_asked_and_records_always_do(
    #[case] options: &[&str],
    #[case] in_matrix: &str,
    #[case] expected: [bool; 2],
) {
    let kernel = with_lines("[full, none]", BROKEN_NONE);
    kernel.add_to_matrix(in_matrix);
    let first = run(&kernel, options);
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    assert_eq!(trees(&kernel, &[FULL, NONE]), expected);
    for name in [FULL, NONE] {
        for file in ["record.json", "build.log"] {
            assert!(kernel.cell_dir(name).join(file).exists(), "{name} {file}");
        }
    }
    // The records are used again without the trees.
    let again = run(&kernel, options);
    assert_eq!(again.code, Some(1));
    let reused = [FULL, NONE].map(|name| cell(&kernel, name)["reused"] == true);
    assert_eq!(reused, [true, true]);
}

#[test]
fn a_derived_cell_is_used_again_when_the_tree_that_it_began_with_is_gone() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "2min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\n");
    assert_eq!(run(&kernel, &["--keep", "none"]).code, Some(0));
    assert_eq!(cell(&kernel, THIN)["derived_from"], CELL);
    assert_eq!(trees(&kernel, &[CELL, THIN]), [false, false]);

    assert_eq!(run(&kernel, &["--keep", "none"]).code, Some(0));
    let reused = [CELL, THIN].map(|name| cell(&kernel, name)["reused"] == true);
    assert_eq!(reused, [true, true]);
    assert_eq!(
        cell(&kernel, THIN)["comparisons"].as_array().unwrap().len(),
        1
    );
    assert!(cell(&kernel, THIN)["comparisons"][0]["skipped"].is_null());

    // A new build of it begins with nothing.
    fs::remove_file(kernel.cell_dir(THIN).join("record.json")).unwrap();
    assert_eq!(run(&kernel, &["--keep", "none"]).code, Some(0));
    let thin = cell(&kernel, THIN);
    assert_eq!(
        [&thin["reused"], &thin["derived_from"]],
        [&json!(false), &json!(null)]
    );
}

#[test]
fn a_cell_waits_for_memory_that_its_history_predicts() {
    let lines = "
vmlinux: slow
slow: prepare
\t@sleep 1
";
    let kernel = with_lines("[none, full]", lines);
    let options = ["--jobs", "2"];
    assert_eq!(run(&kernel, &options).code, Some(0));
    let with = |memory: &str| {
        let ended = run(
            &kernel,
            &[&options[..], &["--fresh", "--memory", memory]].concat(),
        );
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    };
    let waits = "waiting: it is expected to need";
    assert!(!with("8GiB").contains(waits));
    // Too little for both, whatever a shell takes.
    let said = with("300KiB");
    assert!(said.contains(waits), "{said}");
    assert!(
        said.contains("MiB of memory, and 0 MiB can be had"),
        "{said}"
    );
}

#[test]
fn the_record_says_what_the_tree_takes_on_the_disk() {
    let kernel = FakeKernel::new();
    assert_eq!(run(&kernel, &[]).code, Some(0));
    let kib = || cell(&kernel, CELL)["cost"]["disk_kib"].as_u64().unwrap();
    let first = kib();
    assert!(first > 8, "{first}");
    assert_eq!(run(&kernel, &[]).code, Some(0));
    assert_eq!(kib(), first, "of a record that is used again");
}

#[rstest]
#[case::the_oldest_that_passed("", [false, false, true], [NONE, FULL])]
#[case::one_that_failed_stays(BROKEN_NONE, [true, false, false], [FULL, THIN])]
fn trees_go_that_are_too_much_for_the_disk_budget(
    #[case] lines: &str,
    #[case] expected: [bool; 3],
    #[case] gone: [&str; 2],
) {
    let kernel = with_lines("[none, full, thin]", lines);
    run(&kernel, &["--cell", "*/none/*"]);
    run(&kernel, &["--cell", "*/full/*"]);
    assert_eq!(trees(&kernel, &[NONE, FULL]), [true, true]);
    let kib = |name: &str| klto::build::dir_state::disk_kib(&kernel.cell_dir(name).join("build"));
    // Some more than the larger one: one of two has to go before the run, and one after it.
    let budget = format!("{}KiB", kib(NONE).max(kib(FULL)) + 16);
    let ended = run(&kernel, &["--cell", "*/thin/*", "--disk-budget", &budget]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(trees(&kernel, &[NONE, FULL, THIN]), expected);
    let removed = "was removed for --disk-budget; the cell passed";
    let said: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.ends_with(removed))
        .collect();
    assert_eq!(said.len(), 2, "{}", ended.stderr);
    for (line, cell) in said.iter().zip(gone) {
        assert!(
            line.starts_with(&format!("7.2.13/{cell}: ")),
            "{}",
            ended.stderr
        );
    }
    assert!(
        ended.stderr.contains(" of --disk-budget\n"),
        "{}",
        ended.stderr
    );
    for name in [NONE, FULL, THIN] {
        assert!(kernel.cell_dir(name).join("record.json").exists());
    }
}

#[test]
fn what_is_there_goes_before_a_run_and_a_tree_that_is_needed_stays_until_then() {
    let kernel = FakeKernel::new();
    kernel.matrix("[none, thin, thin-dist]", "2min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\n");
    assert_eq!(run(&kernel, &["--cell", "*/none/*"]).code, Some(0));
    let budget = ["--disk-budget", "1KiB", "--cell", "*/thin*/*"];
    let ended = run(&kernel, &budget);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = |what: &str| {
        let mut lines = ended.stderr.lines();
        lines.position(|line| line.contains(what)).expect(what)
    };
    let removed = |cell: &str| line(&format!("7.2.13/{cell}: the build tree ("));
    assert!(removed(NONE) < line(CELL));
    assert!(removed(CELL) > line(&format!("{THIN}: pass")));
    assert_eq!(cell(&kernel, THIN)["derived_from"], CELL);
    assert!(cell(&kernel, THIN)["comparisons"][0]["skipped"].is_null());
    assert_eq!(trees(&kernel, &[NONE, THIN, CELL]), [false, false, false]);
    let last = "build trees take 0 B, of the 1.0 KiB of --disk-budget\n";
    assert!(ended.stderr.contains(last), "{}", ended.stderr);
}

#[test]
fn a_scenario_edits_the_sources_while_no_other_cell_builds_from_them() {
    // One cell looks for three seconds whether somebody edits the header.
    let lines = "
vmlinux: look
look: prepare
\t@if grep -q _LTO_CLANG_FULL=y $(O)/.config; then : >@DIR@/looks; \\
\t for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do \\
\t if grep -q klto_declared kernel/sched/sched.h; then : >@DIR@/saw; fi; sleep 0.2; done; \\
\t else while [ ! -e @DIR@/looks ]; do sleep 0.1; done; fi
\t@if grep -q klto_declared kernel/sched/sched.h; then : >@DIR@/edited; fi
";
    let kernel = with_lines("[none, full]", lines);
    for file in ["init/do_mounts.c", "kernel/sched/sched.h"] {
        let file = kernel.source().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
    kernel.add_to_matrix("scenarios: [build, { name: touch, cells: \"*/none\" }]\n");
    let ended = run(&kernel, &["--jobs", "2"]);
    assert!(
        kernel.dir().join("edited").exists(),
        "the scenario ran: {}",
        ended.stderr
    );
    assert!(!kernel.dir().join("saw").exists(), "{}", ended.stderr);
    let waits = "waiting: others build from the sources, which a scenario is to edit";
    assert!(ended.stderr.contains(waits), "{}", ended.stderr);
    // What a cell is expected to take next time is without that.
    let cost = &cell(&kernel, NONE)["cost"];
    let waited = cost["waited_seconds"].as_f64().unwrap();
    assert!(waited > 0.0 && waited < cost["wall_seconds"].as_f64().unwrap());
    assert!(cell(&kernel, FULL)["cost"]["waited_seconds"].is_null());
}

/// A copy of klto, as `fork` makes it, takes longer the more memory klto has.
#[test]
fn commands_start_without_a_copy_of_klto() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin-dist, none]", "2min");
    let (plain, calls) = (kernel.run(&[]), kernel.dir().join("calls"));
    let mut strace = std::process::Command::new("strace");
    strace
        .args([
            "-f",
            "-qqq",
            "--seccomp-bpf",
            "-e",
            "trace=clone,clone3,fork,vfork",
        ])
        .arg("-o")
        .arg(&calls)
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(kernel.dir());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let path = std::env::var_os("PATH").unwrap();
    let folders = [kernel.tools()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    strace.env("PATH", std::env::join_paths(folders).unwrap());
    let ended = finish(&mut strace);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let calls = fs::read_to_string(calls).unwrap();
    let copies = copies_of_first(&calls);
    assert_eq!(copies, Vec::<&str>::new());
}

/// The calls by which the first process of a log of strace, or one of its threads, copied itself.
fn copies_of_first(calls: &str) -> Vec<&str> {
    let mut threads = BTreeSet::new();
    // What a thread is calling while others do.
    let mut unfinished = BTreeMap::new();
    let mut copies = Vec::new();
    for (thread, call) in calls.lines().filter_map(|line| line.split_once(' ')) {
        let call = call.trim();
        if threads.is_empty() {
            threads.insert(thread);
        }
        let begun = match call.starts_with("<...") {
            true => unfinished.remove(thread).unwrap_or(""),
            false => call,
        };
        if call.ends_with("<unfinished ...>") {
            unfinished.insert(thread, call);
        } else if !threads.contains(thread) || !begun.contains("clone") && !begun.contains("fork") {
            // Another process, or a signal.
        } else if begun.contains("CLONE_THREAD") {
            threads.extend(call.rsplit_once("= ").map(|(_, child)| child));
        } else if !begun.contains("CLONE_VFORK") && !begun.starts_with("vfork") {
            copies.push(begun);
        }
    }
    copies
}
