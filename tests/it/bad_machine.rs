//! `klto run` on a machine that fails it in ways that its own tools do not report: a log without
//! end, daemons, disks that are full or read-only for a while, and folders without locks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::fake_kernel::{CELL, FakeKernel};
use crate::support::machine::{Disk, living, marker};
use crate::support::program::{Ended, finish, inside, within};

const THIN: &str = "x86_64/tiny/thin/llvm-22";
const SOON: Duration = Duration::from_mins(1);

fn log(kernel: &FakeKernel) -> String {
    fs::read_to_string(kernel.cell_dir(CELL).join("build.log")).unwrap()
}

/// A program around `klto run`, which needs the tools of the machine, too.
fn around(outer: &[&str], run: &Command, kernel: &FakeKernel) -> Command {
    let mut command = Command::new(outer[0]);
    command.args(&outer[1..]);
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::env::split_paths(&path);
    let path = std::env::join_paths([kernel.tools()].into_iter().chain(folders)).unwrap();
    let mut command = inside(command, run);
    command.env("PATH", path).current_dir(kernel.dir());
    command
}

/// `klto run` with something else in place of a system call.
fn run_with(call: &str, inject: &str, kernel: &FakeKernel) -> Ended {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{inject}"));
    #[rustfmt::skip]
    let strace = ["strace", "-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    finish(&mut around(&strace, &kernel.run(&[]), kernel))
}

#[test]
fn a_log_that_floods_is_cut_and_no_verdict_is_given_on_it() {
    let kernel = FakeKernel::with_fault("floods");
    for time in ["the first time", "the second time"] {
        let ended = finish(&mut kernel.run(&[]));

        assert_eq!(ended.code, Some(125), "{time}");
        let cell = kernel.cell();
        assert_eq!(cell["outcome"]["is"], "error", "{time}");
        let why = cell["error"].as_str().unwrap();
        assert!(why.starts_with("make wrote too much: "), "{why}");
        assert!(ended.stdout.contains("make wrote too much: "));
    }
    let log = log(&kernel);
    assert!(log.len() < 140 << 20, "{}", log.len());
    assert!(log.starts_with("+ "), "the head is kept");
    let tail = &log[log.len() - 2000..];
    assert!(tail.contains("\nthe last line of the flood\n"), "{tail}");
    let note = log.lines().find(|line| line.starts_with("klto: left out "));
    let bytes = note.unwrap().split(' ').nth(3).unwrap();
    assert!(kernel.cell()["error"].as_str().unwrap().contains(bytes));
}

#[test]
fn a_log_that_floods_where_nothing_can_be_left_out_ends_its_build() {
    let kernel = FakeKernel::with_fault("floods");

    let ended = run_with("fallocate", "error=EOPNOTSUPP", &kernel);

    assert_eq!(ended.code, Some(125));
    let why = kernel.cell()["error"].as_str().unwrap().to_owned();
    let log = kernel.cell_dir(CELL).join("build.log");
    let says = format!(
        "the log {} is longer than 268435456 bytes, and its file system cannot free the middle of a file: 'env -u AR -u ARCH",
        log.display()
    );
    assert!(why.starts_with(&says), "{why}");
    assert!(why.contains("use a folder on another file system"), "{why}");
}

#[test]
fn a_build_that_fails_after_a_flood_is_the_kernels_fault() {
    let kernel = FakeKernel::with_fault("floods-and-fails");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(1));
    let finding = &kernel.cell()["inspection"]["findings"][0];
    assert_eq!(finding["key"], "build.failed");
    assert_eq!(finding["object"], "init/main.o");
}

#[rstest]
#[case::in_the_namespace_of_its_caller(&["env"])]
// Process 1 is a shell, which becomes no other program.
#[case::in_one_of_its_own(&["unshare", "-Urpf", "--mount-proc", "sh", "-c", "\"$@\"; exit $?", "sh"])]
fn a_daemon_ends_with_the_build_that_left_it_and_fails_no_kernel(#[case] container: &[&str]) {
    let kernel = FakeKernel::with_fault("leaves-daemon");
    let marker = marker(&kernel);
    let mut run = kernel.run(&[]);
    run.env("KLTO_TEST_MARKER", &marker);

    let ended = finish(&mut around(container, &run, &kernel));

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(living(&marker), [0; 0]);
    let log = log(&kernel);
    let note = log
        .lines()
        .find(|line| line.starts_with("# klto: ended what was left running: "));
    assert!(note.unwrap().ends_with("('sleep 300')"), "{log}");
    let cell = kernel.cell();
    assert_eq!(cell["inspection"]["warnings"], json!({}));
    assert!(!cell["reproduce"].to_string().contains("KLTO_"), "{cell:#}");
}

#[test]
fn one_run_leaves_the_daemons_of_another() {
    let (first, second) = (
        FakeKernel::with_fault("leaves-daemon-and-hangs"),
        FakeKernel::with_fault("leaves-daemon"),
    );
    let (marker, other) = (marker(&first), marker(&second));
    let mut hanging = first
        .run(&[])
        .env("KLTO_TEST_MARKER", &marker)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = || {
        let all = living(&marker).into_iter();
        all.filter(|process| is_in_own_session(*process)).count()
    };
    assert!(within(SOON, || daemon() == 1 && living(&marker).len() > 4));

    let ended = finish(second.run(&[]).env("KLTO_TEST_MARKER", &other));
    assert_eq!(ended.code, Some(0));
    assert_eq!(living(&other), [0; 0]);
    assert_eq!(daemon(), 1, "it is another run's");

    let number = i32::try_from(hanging.id()).unwrap();
    kill_process(Pid::from_raw(number).unwrap(), Signal::INT).unwrap();
    assert_eq!(hanging.wait().unwrap().code(), Some(125));
    assert_eq!(living(&marker), [0; 0]);
}

/// Whether a process leads a session.
fn is_in_own_session(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after_name.split_ascii_whitespace().nth(3) == Some(&process.to_string())
}

/// The outcome of each cell, by mode, and whether it was used again.
fn outcomes(work: &Path) -> Vec<(String, String, bool)> {
    let text = fs::read_to_string(work.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let cells = report["cells"].as_array().unwrap().iter();
    let cell = |cell: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reused = cell["reused"].as_bool().unwrap();
        (text(&cell["cell"]), text(&cell["outcome"]["is"]), reused)
    };
    cells.map(cell).collect()
}

#[rstest]
#[case::full_in_the_middle(true)]
#[case::read_only(false)]
fn a_disk_that_fails_costs_one_cell_until_it_is_mended(#[case] fills: bool) {
    let kernel = FakeKernel::new();
    kernel.matrix("[none, thin]", "1m");
    let Some(disk) = Disk::mount(&kernel.dir().join("disk")) else {
        eprintln!("left out: this user cannot mount a tmpfs");
        return;
    };
    let work = disk.path().join("work");
    let run = || kernel.run_in(&kernel.source(), &work);
    assert_eq!(finish(run().args(["--cell", "*/none/*"])).code, Some(0));

    let (ended, says) = match fills {
        true => {
            let ended = finish(run().env("KLTO_TEST_FILLS", "1"));
            let report = ended.stdout.to_lowercase();
            assert!(
                report.contains(THIN) && report.contains("no space left on"),
                "{report}"
            );
            (ended, "no space left on")
        }
        false => {
            disk.remount("ro");
            (finish(&mut run()), "the file system is mounted read-only: ")
        }
    };

    assert_eq!(ended.code, Some(125));
    let said = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    assert!(said.contains(says), "{said}");

    // Somebody frees space, or mounts it again.
    disk.remount("rw");
    let _ = fs::remove_file(work.join("cells/7.2.13").join(THIN).join("build/core"));
    let ended = finish(&mut run());
    assert_eq!(ended.code, Some(0));
    let kept = |cell: &str, reused| (cell.to_owned(), "pass".to_owned(), reused);
    let none = THIN.replace("/thin/", "/none/");
    assert_eq!(outcomes(&work), [kept(&none, true), kept(THIN, false)]);
}

#[rstest]
#[case::no_lock_service("error=ENOLCK", "No locks available")]
#[case::not_supported("error=EOPNOTSUPP", "Operation not supported")]
#[case::not_implemented("error=ENOSYS", "Function not implemented")]
#[case::given_to_all("retval=0", "two have the same lock at once")]
fn a_folder_without_locks_is_refused_with_a_remedy(#[case] inject: &str, #[case] why: &str) {
    let kernel = FakeKernel::new();

    let ended = run_with("flock", inject, &kernel);

    assert_eq!(ended.code, Some(125));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    // The first folder that is locked: the cell's.
    let expected = format!(
        "{}: locks do not work on this file system: {why}",
        kernel.cell_dir(CELL).display()
    );
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("with --work or --store"), "{said}");
}

#[test]
fn locks_that_work_are_believed() {
    let kernel = FakeKernel::new();
    let ended = run_with("flock", "delay_exit=1000", &kernel);
    assert_eq!(ended.code, Some(0));
}

/// Two klto share a work directory, and the other one keeps no trees.
#[test]
fn a_tree_that_another_klto_has_removed_is_not_begun_with() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin-dist, none, thin]", "2min");
    let tree = kernel.cell_dir(CELL);
    let tree = tree.display();
    let makefile = kernel.source().join("Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    let others = format!(
        "\nvmlinux: other\nother: prepare\n\
         \t@if grep -q _LTO_NONE=y $(O)/.config; then rm -r {tree}/tree.key {tree}/build; fi\n"
    );
    fs::write(makefile, text + &others).unwrap();
    let ended = finish(kernel.run(&[]).args(["--cells-at-once", "1"]));
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let report = kernel.report();
    let thin = report["cells"].as_array().unwrap().iter();
    let thin = thin.clone().find(|cell| cell["cell"] == THIN).unwrap();
    assert_eq!(
        [&thin["outcome"]["is"], &thin["derived_from"]],
        [&json!("pass"), &Value::Null]
    );
}
