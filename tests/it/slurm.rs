//! `klto run --engine slurm` over a fake kernel, on a real Slurm with two nodes: the report is that
//! of a local run, whatever happens to nodes, queue and controller.

use std::fs;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::support::fake_kernel::{CELL, FakeKernel};
use crate::support::git::files;
use crate::support::program::{finish, within};
use crate::support::slurm::{OnSlurm, Started};

const THIN: &str = "x86_64/tiny/thin/llvm-22";

/// A report without what differs between two runs: times, and paths in the work directory.
fn comparable(mut report: Value, kernel: &FakeKernel, work: &str) -> Value {
    for cell in report["cells"].as_array_mut().unwrap() {
        let cell = cell.as_object_mut().unwrap();
        for key in ["job", "started", "cost", "stages", "cpu_utilization"] {
            cell.remove(key);
        }
        // The fake kernel writes .cmd files and objects within one tick of the clock, or not.
        let inspection = cell["inspection"].as_object_mut().unwrap();
        inspection.remove("times_lost");
        for rule in inspection["rules"].as_array_mut().unwrap() {
            if rule["key"] == "archive.stale" {
                rule["looked_at"] = Value::Null;
            }
        }
        for part in ["comparisons", "scenarios"] {
            for one in cell[part].as_array_mut().unwrap() {
                one["seconds"] = Value::Null;
                one["job"] = Value::Null;
            }
        }
    }
    let folder = kernel.dir().join(work).display().to_string();
    serde_json::from_str(&report.to_string().replace(&folder, "WORK")).unwrap()
}

#[test]
fn a_matrix_through_slurm_gives_the_report_of_a_local_run() {
    let on = OnSlurm::new("[none, thin, thin-dist, full]", &[]);
    on.kernel.add_to_matrix(
        "compare: [thin, thin-dist]\n\
         scenarios: [build, { name: noop, cells: \"*/thin\" }]\n",
    );
    let allow = on.kernel.dir().join("allow.yaml");
    let entry = "- { key: rebuild, cells: \"*\", scenario: noop, reason: known, until: \"9.0\" }\n";
    fs::write(&allow, entry).unwrap();
    let allow = allow.to_str().unwrap();
    let mut local = on.kernel.run(&[]);
    let ended = finish(local.args(["--jobs", "1", "--allow", allow]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let local = comparable(on.kernel.report(), &on.kernel, "work");

    let ended = finish(on.run(&[]).args(["--allow", allow]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains(": 4 cells; the plan is "));
    let report = on.kernel.report();
    assert_eq!(report["cells"][1]["cell"], THIN, "matrix order");
    assert_eq!(report["cells"][1]["derived_from"], CELL);
    assert_eq!(comparable(report, &on.kernel, "scratch"), local);
    assert_eq!(on.tasks(), []);
    assert!(ended.stderr.contains("klto: kept as run "));

    // Another machine has nothing but the shared folder, and takes all of it from there.
    fs::remove_dir_all(on.scratch()).unwrap();
    let started = Instant::now();
    let ended = finish(on.run(&[]).args(["--allow", allow]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("to Slurm as"), "{}", ended.stderr);
    assert!(started.elapsed() < Duration::from_secs(10));
    let mut report = comparable(on.kernel.report(), &on.kernel, "scratch");
    for cell in report["cells"].as_array_mut().unwrap() {
        assert_eq!(cell["reused"], true);
        cell["reused"] = false.into();
    }
    assert_eq!(report, local);

    // A cell that is new brings the tree that it begins with.
    fs::remove_dir_all(on.scratch()).unwrap();
    on.kernel.matrix("[none, thin, thin-dist, full]", "10min");
    on.kernel
        .add_to_matrix("scenarios: [build, { name: clean, cells: \"*/thin\" }]\n");
    let ended = finish(&mut on.run(&[]));
    assert!(ended.stderr.contains(": 1 cell; the plan is "));
    let thin = &on.kernel.report()["cells"][1];
    assert_eq!(thin["derived_from"], CELL);
    assert_eq!(thin["scenarios"][0]["name"], "clean");
    assert_eq!(thin["error"], Value::Null, "{}", ended.stderr);
}

/// Two nodes must not share what git keeps of a worktree: each has a repository of its own.
#[test]
fn a_commit_is_built_without_a_worktree_of_the_users_repository() {
    let on = OnSlurm::new("[thin-dist, thin, none]", &[]);
    on.commit();
    let before = files(&on.kernel.source());

    let ended = finish(on.run(&[]).args(["--ref", "HEAD"]));

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(files(&on.kernel.source()), before);
    let ended = finish(on.run(&[]).args(["--ref", "HEAD"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for cell in on.kernel.report()["cells"].as_array().unwrap() {
        assert_eq!(cell["reused"], true, "{}", ended.stderr);
    }
}

/// A site may set variables for each task; what a build can see is part of a job's key.
#[test]
fn a_task_has_the_environment_of_the_run() {
    let on = OnSlurm::new("[thin-dist]", &[]);
    assert_eq!(finish(&mut on.run(&[])).code, Some(0));
    fs::remove_file(on.plan().join("done/0.json")).unwrap();

    let task = on.run(&[]);
    let program = task.get_program().to_owned();
    let mut again = std::process::Command::new(program);
    let variables = task
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    again
        .arg("task")
        .arg(on.plan())
        .args(["0", "0"])
        .envs(variables)
        .envs([("KCONFIG_ALLCONFIG", "1"), ("SLURM_JOB_ID", "99")]);
    let ended = finish(&mut again);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let done = &on.done()[0];
    assert_eq!(done["record"]["reused"], true, "{}", ended.stderr);
    assert_eq!(done["task"], "99");
}

#[test]
fn two_runs_at_once_build_a_cell_once() {
    let on = OnSlurm::new("[thin-dist]", &[]);
    on.hold();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Started::new(&mut on.run(&[]), first.path());
    on.wait_for_running(1);
    let first_plan = on.plan();
    let second = Started::new(&mut on.run(&[]), second.path());
    on.wait_for_running(2);
    let second_plan = on.plan();
    assert_ne!(first_plan, second_plan);
    let waits = || {
        let logs = fs::read_dir(second_plan.join("logs")).unwrap();
        let mut logs = logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap());
        logs.any(|log| log.contains(" is at work on it on n"))
    };
    assert!(within(Duration::from_secs(30), waits));
    on.release();

    let (first, second) = (first.end(), second.end());

    assert_eq!((first.code, second.code), (Some(0), Some(0)));
    let record = on.done()[0]["record"].clone();
    assert_eq!(record["reused"], true, "{record:#}");
    let task = on.done()[0]["task"].as_str().unwrap().to_owned();
    assert!(task.ends_with("_0"), "a place in an array: {task}");
}

/// The job that is there for a klto that is killed.
#[test]
fn the_report_is_written_also_if_nobody_waits_for_it() {
    let on = OnSlurm::new("[thin-dist, thin]", &[]);
    on.hold();
    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    let has_report = || {
        on.slurm
            .ask(&["squeue", "-h", "-o", "%k"])
            .contains("report")
    };
    assert!(within(Duration::from_secs(30), has_report));
    drop(klto);
    on.release();

    let report = on.plan().join("report.json");
    assert!(within(Duration::from_mins(1), || report.is_file()));
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    for cell in report["cells"].as_array().unwrap() {
        assert_eq!(cell["outcome"]["is"], "pass", "{report:#}");
    }
}

#[test]
fn what_a_lost_node_was_at_is_done_by_another() {
    let on = OnSlurm::new("[thin-dist, thin]", &[]);
    on.hold();
    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    let node = on.wait_for_running(1).remove(0);
    let building = || {
        on.scratch()
            .join("cells/7.2.13")
            .join(CELL)
            .join("build")
            .exists()
    };
    assert!(within(Duration::from_secs(30), building));
    on.slurm.call("kill-node", &[&node]);
    on.release();

    let ended = klto.end();

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let cells = on.kernel.report()["cells"].clone();
    for cell in cells.as_array().unwrap() {
        assert_eq!(cell["outcome"]["is"], "pass", "{}", ended.stderr);
    }
    for done in on.done() {
        assert!(done["node"] != node.as_str(), "{done:#}");
    }
    let claims = fs::read_dir(on.shared().join("claims")).unwrap();
    assert_eq!(claims.count(), 0);
}

#[test]
fn a_task_that_is_killed_is_submitted_again_for_another_node() {
    let on = OnSlurm::new("[thin-dist]", &[]);
    on.hold();
    let klto = Started::new(on.run(&[]).args(["--retry-infra", "1"]), on.kernel.dir());
    let node = on.wait_for_running(1).remove(0);
    let shown = on.slurm.ask(&["squeue", "-h", "-r", "-t", "R", "-o", "%i"]);
    let kill = ["scancel", "--batch", "--signal=KILL", shown.trim()];
    on.slurm.ask(&kill);
    on.release();

    let ended = klto.end();

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let earlier = &on.kernel.cell()["earlier_errors"];
    let why = earlier[0].as_str().unwrap();
    let said = format!("task {} ended without a result: ", shown.trim());
    assert!(why.starts_with(&said), "{why}");
    assert!(on.done()[0]["node"] != node.as_str());
}

#[test]
fn a_full_queue_makes_tasks_wait_and_nothing_else() {
    let on = OnSlurm::new("[none, thin, thin-dist]", &["--max-jobs", "2"]);

    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    let ended = klto.end();

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the queue is full, "),
        "{}",
        ended.stderr
    );
    for cell in on.kernel.report()["cells"].as_array().unwrap() {
        assert_eq!(cell["outcome"]["is"], "pass");
    }
}

#[test]
fn a_controller_that_is_away_for_a_while_is_asked_again() {
    let on = OnSlurm::new("[thin-dist, thin, none]", &[]);
    on.hold();
    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    on.wait_for_running(1);
    on.slurm.call("stop-controller", &[]);
    on.release();
    klto.wait_for("Slurm does not answer, klto asks again: ");
    on.slurm.call("start-controller", &[]);

    let ended = klto.end();

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = on.kernel.report();
    for cell in report["cells"].as_array().unwrap() {
        assert_eq!(cell["outcome"]["is"], "pass", "{}", ended.stderr);
    }
}

#[test]
fn an_interrupt_cancels_the_tasks_and_reports_what_is_there() {
    let on = OnSlurm::new("[none, thin-dist]", &[]);
    assert_eq!(finish(on.run(&[]).args(["--cell", "*/none"])).code, Some(0));
    let on_hold = on.kernel.dir().join("hold");
    let make = on.kernel.tools().join("make");
    let real = fs::read_link(&make).unwrap();
    fs::remove_file(&make).unwrap();
    let text = format!(
        "#!/bin/sh\nwhile [ -e {} ]; do sleep 0.1; done\nexec {} \"$@\"\n",
        on_hold.display(),
        real.display()
    );
    fs::write(&make, text).unwrap();
    fs::set_permissions(&make, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // The toolchain differs by now, and so do the keys.
    assert_eq!(finish(on.run(&[]).args(["--cell", "*/none"])).code, Some(0));
    fs::write(&on_hold, "").unwrap();

    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    on.wait_for_running(1);
    let term = std::process::Command::new("kill")
        .arg(klto.id().to_string())
        .status();
    assert!(term.unwrap().success());
    let ended = klto.end();

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let report = on.kernel.report();
    assert_eq!(report["cells"][0]["outcome"]["is"], "pass");
    let reason = &report["cells"][1]["outcome"]["reason"];
    assert_eq!(reason, "interrupted", "{}", ended.stderr);
    assert!(within(Duration::from_secs(30), || on.tasks().is_empty()));
    fs::remove_file(on_hold).unwrap();
}

#[test]
fn a_task_that_somebody_cancels_is_inconclusive_and_says_where() {
    let on = OnSlurm::new("[none, thin-dist, thin]", &[]);
    on.hold();
    let klto = Started::new(on.run(&[]).args(["--nodes", "1"]), on.kernel.dir());
    on.wait_for_running(1);
    let shown = on
        .slurm
        .ask(&["squeue", "-h", "-r", "-t", "R", "-o", "%i %N"]);
    let (task, node) = shown.trim().split_once(' ').unwrap();
    on.slurm.ask(&["scancel", task]);
    on.release();

    let ended = klto.end();

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let report = on.kernel.report();
    let cells = report["cells"].as_array().unwrap();
    let lost = cells
        .iter()
        .find(|cell| cell["outcome"]["is"] == "error")
        .unwrap();
    let reason = lost["outcome"]["reason"].as_str().unwrap();
    let said =
        format!("task {task} ended without a result: Slurm says CANCELLED on {node}; its log is ");
    assert!(reason.starts_with(&said), "{reason}");
    let passed = cells.iter().filter(|cell| cell["outcome"]["is"] == "pass");
    assert_eq!(
        passed.count(),
        2,
        "a cell whose source is lost is built from nothing"
    );
}

#[rstest]
#[case::no_engine(&["--shared", "s"], "--shared is for a cluster\n  add --engine slurm, or leave it out")]
#[case::no_shared(&["--engine", "slurm"], "--shared <DIR>")]
#[case::no_cluster(&["--partition", "p"], "--shared <DIR>")]
#[case::nobody(&["--engine", "slurm", "--shared", "s", "--nodes", "0"], "'--nodes <N>'")]
#[case::inside(&["--engine", "slurm", "--shared", "s", "--scratch", "source/w"], "the work directory is inside the source tree")]
#[case::one_machine(&["--engine", "slurm", "--shared", "s", "--disk-budget", "1GiB"], "--disk-budget is for one machine")]
#[case::at_once(&["--engine", "slurm", "--shared", "s", "--cells-at-once", "2"], "--cells-at-once is for one machine")]
fn options_of_a_cluster_that_do_not_fit_are_a_usage_error(
    #[case] options: &[&str],
    #[case] says: &str,
) {
    let kernel = FakeKernel::new();
    let ended = finish(kernel.run(&[]).args(options));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[test]
fn a_machine_without_slurm_is_inconclusive_and_says_so() {
    let kernel = FakeKernel::new();
    let options = ["--engine", "slurm", "--shared", "s"];
    let ended = finish(kernel.run(&[]).args(options).args(["--scratch", "w"]));
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let says = "'scontrol' not found; install it";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[rstest]
#[case::no_plan(&["p", "0", "0"], "p: there is no plan\n  'klto run --engine slurm' writes plans")]
#[case::no_number(&["p", "first", "0"], "found 'first'")]
#[case::no_task(&["p", "0"], "found '0'")]
fn a_task_of_no_plan_is_a_usage_error(#[case] args: &[&str], #[case] says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::support::program::klto(["task"]);
    let ended = finish(command.args(args).current_dir(dir.path()));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}
