//! A matrix night after night, over a fake kernel: what is new decides, and nothing is built twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fake_kernel::{CELL, FakeKernel, end_makes};
use crate::support::git::git;
use crate::support::program::{Ended, finish, klto, within};

const THIN: &str = "x86_64/tiny/thin/llvm-22";
const NONE: &str = "x86_64/tiny/none/llvm-22";
const SOON: Duration = Duration::from_mins(1);

/// A kernel in a git repository, and the modes of its matrix.
struct Nights(FakeKernel);

impl Nights {
    fn new(modes: &str) -> Nights {
        let kernel = FakeKernel::new();
        kernel.matrix(modes, "2min");
        let nights = Nights(kernel);
        git(&nights.0.source(), &["init", "-q"]);
        nights.commit();
        nights
    }

    /// Commits what is there.
    fn commit(&self) {
        git(&self.0.source(), &["add", "-A"]);
        git(&self.0.source(), &["commit", "-q", "-m", "a change"]);
    }

    fn set_fault(&self, fault: &str) {
        self.0.set_fault(fault);
        self.commit();
    }

    /// Adds lines to the makefile; `@DIR@` is a folder outside of the sources.
    fn add_lines(&self, lines: &str) {
        let makefile = self.0.source().join("Makefile");
        let text = fs::read_to_string(&makefile).unwrap();
        let lines = lines.replace("@DIR@", &self.0.dir().display().to_string());
        fs::write(makefile, text + &lines).unwrap();
        self.commit();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = klto(["night"]);
        let git = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .find(|folder| folder.join("git").is_file())
            .unwrap();
        let tools = self.0.tools();
        let _ = fs::remove_file(tools.join("git"));
        std::os::unix::fs::symlink(git.join("git"), tools.join("git")).unwrap();
        command
            .arg(self.0.matrix_file())
            .args(["--ref", "HEAD", "--kernel"])
            .arg(self.0.source())
            .arg("--work")
            .arg(self.0.work())
            .arg("--store")
            .arg(self.0.dir().join("store"))
            .args(more)
            .env("PATH", tools)
            .current_dir(self.0.dir());
        command
    }

    fn night(&self, more: &[&str]) -> Ended {
        finish(&mut self.command(more))
    }

    fn cell(&self, name: &str) -> Value {
        let report = self.0.report();
        let mut cells = report["cells"].as_array().unwrap().iter();
        cells.find(|cell| cell["cell"] == name).unwrap().clone()
    }

    fn reused(&self, cells: &[&str]) -> Vec<bool> {
        let reused = |name: &&str| self.cell(name)["reused"] == true;
        cells.iter().map(reused).collect()
    }
}

/// The night before is gone when it ends: it compares with the one before that, and reports.
#[test]
fn a_run_that_is_removed_during_the_night_costs_neither_its_report_nor_its_verdict() {
    let nights = Nights::new("[thin-dist]");
    nights.set_fault("compile-error");
    assert_eq!(nights.night(&[]).code, Some(1));
    let second = nights.night(&["--fresh"]);
    assert_eq!(second.code, Some(0), "{}{}", second.stdout, second.stderr);
    // The names of runs begin with their times.
    nights.add_lines(
        "\nvmlinux: forget\nforget:\n\t@for run in @DIR@/store/runs/2*; do last=$$run; done; rm \"$$last\"\n",
    );
    let third = nights.night(&[]);
    let said = &third.stderr;
    assert!(
        said.contains("klto: an earlier night is not compared with: "),
        "{said}"
    );
    assert_eq!(third.code, Some(0), "{}{said}", third.stdout);
    assert!(nights.0.work().join("report.html").is_file());
}

#[test]
fn a_finding_fails_the_night_in_which_it_is_new_and_no_other() {
    let nights = Nights::new("[thin-dist, none]");
    let first = nights.night(&[]);
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);

    nights.set_fault("compile-error");
    let second = nights.night(&[]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(
        second.stdout.contains("\nnew: 1 finding\n"),
        "{}",
        second.stdout
    );
    assert!(
        second.stdout.contains("\nred: 2 cells\n"),
        "{}",
        second.stdout
    );

    // Another commit, with the same fault.
    fs::write(nights.0.source().join("README"), "of the kernel").unwrap();
    nights.commit();
    let third = nights.night(&[]);
    assert_eq!(third.code, Some(0), "{}{}", third.stdout, third.stderr);
    assert!(!third.stdout.contains("\nnew:"), "{}", third.stdout);
    assert!(third.stdout.contains(", in 2 runs\n"), "{}", third.stdout);
    assert_eq!(nights.reused(&[CELL, NONE]), [false, false]);

    nights.set_fault("");
    let last = nights.night(&[]);
    assert_eq!(last.code, Some(0), "{}", last.stderr);
    assert!(
        last.stdout.contains("\nfixed: 1 finding\n"),
        "{}",
        last.stdout
    );
    assert!(!last.stdout.contains("\nred"), "{}", last.stdout);
}

#[test]
fn what_the_first_night_finds_is_new() {
    let nights = Nights::new("[none]");
    nights.set_fault("compile-error");
    let night = nights.night(&[]);
    assert_eq!(night.code, Some(1), "{}", night.stderr);
    assert!(
        night.stdout.contains("\nnew: 1 finding\n"),
        "{}",
        night.stdout
    );
}

#[test]
fn nothing_is_built_when_nothing_has_changed_and_trees_that_passed_are_gone() {
    let nights = Nights::new("[thin, thin-dist]");
    assert_eq!(nights.night(&[]).code, Some(0));
    let trees = walkdir::WalkDir::new(nights.0.work()).into_iter().flatten();
    assert_eq!(
        trees.filter(|entry| entry.file_name() == "vmlinux").count(),
        0
    );
    let again = nights.night(&[]);
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert_eq!(nights.reused(&[CELL, THIN]), [true, true]);
    for file in [
        "report.html",
        "report.md",
        "report.xml",
        "report.json",
        "report.ktap",
        "night.txt",
    ] {
        assert!(nights.0.work().join(file).is_file(), "{file}");
    }
}

#[test]
fn the_users_repository_and_checkout_stay_as_they_are() {
    let nights = Nights::new("[none]");
    fs::write(nights.0.source().join("fault"), "compile-error").unwrap();
    let state = || {
        let status = git(&nights.0.source(), &["status", "--porcelain"]);
        (status, git(&nights.0.source(), &["for-each-ref"]))
    };
    let before = state();
    // The commit is built, not the file that was not committed.
    assert_eq!(nights.night(&[]).code, Some(0));
    assert_eq!(state(), before);
}

#[test]
fn a_machine_that_fails_makes_the_night_inconclusive_and_not_red() {
    let nights = Nights::new("[thin-dist, none]");
    assert_eq!(nights.night(&[]).code, Some(0));
    nights.set_fault("full-disk");
    let night = nights.night(&["--retry-infra", "1"]);
    assert_eq!(night.code, Some(125), "{}{}", night.stdout, night.stderr);
    assert!(
        night.stdout.contains("\nstopped by the machine: 2 cells\n"),
        "{}",
        night.stdout
    );
    assert!(
        night.stdout.contains("\nran again: 2 cells\n"),
        "{}",
        night.stdout
    );
    // The finding of the night after is new: the night between said nothing.
    nights.set_fault("compile-error");
    assert_eq!(nights.night(&[]).code, Some(1));
}

#[test]
fn a_night_without_time_says_what_it_left_out_and_the_next_one_begins_with_that() {
    let nights = Nights::new("[none, full]");
    assert_eq!(nights.night(&["--cell", "*/none"]).code, Some(0));
    fs::write(nights.0.source().join("README"), "of the kernel").unwrap();
    nights.add_lines("\nvmlinux: slow\nslow: prepare\n\t@echo at $(O) >>@DIR@/order; sleep 20\n");
    let night = nights.night(&["--budget", "6s", "--cells-at-once", "1"]);
    assert_eq!(night.code, Some(0), "{}{}", night.stdout, night.stderr);
    let order = fs::read_to_string(nights.0.dir().join("order")).unwrap();
    assert_eq!(order.lines().count(), 1, "{order}");
    // It never ran, and so comes before one that passed.
    assert!(order.contains("/full/"), "{order}");
    assert!(
        night
            .stdout
            .contains("left out, for lack of time: 2 cells\n"),
        "{}",
        night.stdout
    );
    let skipped = json!({ "is": "skip", "reason": { "why": "budget" } });
    assert_eq!(nights.cell(NONE)["outcome"], skipped);
}

/// Starts a night whose makefile hangs in a mode until there is a file.
fn hanging(nights: &Nights) {
    nights.add_lines(
        "\nvmlinux: hang\nhang: prepare\n\
         \t@echo built >>@DIR@/builds; if grep -q _LTO_NONE=y $(O)/.config; then \
         : >@DIR@/hangs; while [ ! -e @DIR@/go ]; do sleep 0.1; done; fi\n",
    );
}

fn builds(dir: &Path) -> usize {
    fs::read_to_string(dir.join("builds"))
        .unwrap()
        .lines()
        .count()
}

#[test]
fn a_night_that_was_killed_goes_on_where_it_was() {
    let nights = Nights::new("[thin-dist, none]");
    hanging(&nights);
    let mut night = nights.command(&["--cells-at-once", "1"]);
    let mut night = night
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let dir = nights.0.dir();
    assert!(
        within(SOON, || dir.join("hangs").exists()),
        "make does not hang"
    );
    night.kill().unwrap();
    night.wait().unwrap();
    assert_eq!(builds(dir), 2);
    end_makes(&nights.0);

    fs::write(dir.join("go"), "").unwrap();
    let again = nights.night(&[]);
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert_eq!(nights.reused(&[CELL, NONE]), [true, false]);
    assert_eq!(builds(dir), 3);
}

#[test]
fn two_nights_at_once_build_each_cell_once() {
    let nights = Nights::new("[thin-dist, none]");
    hanging(&nights);
    let start = || {
        let mut night = nights.command(&[]);
        night
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let first = start();
    let dir = nights.0.dir();
    assert!(
        within(SOON, || dir.join("hangs").exists()),
        "make does not hang"
    );
    let second = start();
    fs::write(dir.join("go"), "").unwrap();
    for night in [first, second] {
        let ended = night.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
    assert_eq!(builds(dir), 2);
}

/// Starts a night that will have to wait for another, and what it says.
fn second(nights: &Nights, more: &[&str]) -> (Child, PathBuf) {
    let says = nights.0.dir().join("second.txt");
    let mut night = nights.command(more);
    let night = night
        .stdout(Stdio::null())
        .stderr(fs::File::create(&says).unwrap())
        .spawn()
        .unwrap();
    let waits = || {
        let said = fs::read_to_string(&says).unwrap();
        said.contains("waiting for process ")
            && said.contains(", which uses the same copy of the sources")
    };
    assert!(within(SOON, waits), "it does not wait");
    (night, says)
}

/// A night whose make hangs.
fn first_that_hangs(nights: &Nights) -> Child {
    let mut first = nights.command(&[]);
    let first = first.stdout(Stdio::null()).stderr(Stdio::piped());
    let first = first.spawn().unwrap();
    let hangs = nights.0.dir().join("hangs");
    assert!(within(SOON, || hangs.exists()), "make does not hang");
    first
}

#[test]
fn a_night_that_waited_for_another_knows_what_that_one_found() {
    let nights = Nights::new("[none]");
    hanging(&nights);
    nights.set_fault("compile-error");
    let dir = nights.0.dir();
    let first = first_that_hangs(&nights);
    let (mut second, says) = second(&nights, &[]);
    fs::write(dir.join("go"), "").unwrap();
    let first = first.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&first.stderr);
    assert_eq!(first.status.code(), Some(1), "{said}");
    let code = second.wait().unwrap().code();
    let said = fs::read_to_string(says).unwrap();
    assert_eq!(code, Some(0), "it is not new any more: {said}");
}

#[test]
fn a_night_waits_for_another_no_longer_than_its_budget() {
    let nights = Nights::new("[none]");
    hanging(&nights);
    let dir = nights.0.dir();
    let first = first_that_hangs(&nights);
    let (mut second, says) = second(&nights, &["--budget", "1s"]);
    let mut ended = None;
    within(SOON, || {
        ended = second.try_wait().unwrap();
        ended.is_some()
    });
    fs::write(dir.join("go"), "").unwrap();
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(0));
    let said = fs::read_to_string(says).unwrap();
    let code = ended.and_then(|status| status.code());
    assert_eq!(code, Some(125), "{said}");
    assert!(said.contains("timed out while waiting for "), "{said}");
}

#[test]
fn a_build_that_may_fail_is_nothing_new_and_no_fault_of_the_machine() {
    let nights = Nights::new("[thin-dist, none]");
    nights.0.add_to_matrix(
        "allow:\n- { key: build.failed, cells: '*/none', reason: known, until: '9.0' }\n",
    );
    nights.add_lines(
        "\nvmlinux: broken\nbroken: prepare\n\
         \t@if grep -q _LTO_NONE=y $(O)/.config; then echo built >>@DIR@/builds; \
         echo 'scripts/x.c:1: error: no' >&2; exit 1; fi\n",
    );
    for _ in 0..2 {
        let night = nights.night(&["--retry-infra", "2"]);
        assert_eq!(night.code, Some(0), "{}{}", night.stdout, night.stderr);
        for absent in ["\nstopped by the machine", "\nran again", "\nundecided"] {
            assert!(!night.stdout.contains(absent), "{}", night.stdout);
        }
        let says =
            "\nnot built, for reasons that are allowed: 1 cell\n  x86_64/tiny/none/llvm-22\n";
        assert!(night.stdout.contains(says), "{}", night.stdout);
        assert_eq!(nights.cell(NONE)["outcome"]["is"], "error");
    }
    assert_eq!(builds(nights.0.dir()), 1, "it would fail again");
}

#[test]
fn a_night_needs_a_store() {
    let nights = Nights::new("[none]");
    let mut command = nights.command(&[]);
    let store = nights.0.dir().join("store");
    fs::write(&store, "").unwrap();
    let ended = finish(&mut command);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("store"), "{}", ended.stderr);
}

#[test]
fn a_night_that_cannot_be_kept_ends_before_it_builds() {
    let nights = Nights::new("[none]");
    fs::write(nights.0.dir().join("file"), "").unwrap();
    let mut command = klto(["night"]);
    command
        .arg(nights.0.matrix_file())
        .arg("--kernel")
        .arg(nights.0.source())
        .arg("--work")
        .arg(nights.0.work())
        .env_remove("KLTO_STORE")
        .env("XDG_DATA_HOME", nights.0.dir().join("file/below"))
        .env("PATH", nights.0.tools());
    let ended = finish(&mut command);
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let says = "a night needs a store of runs, to tell what is new\n  name one with --store";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert!(!nights.0.work().exists(), "nothing was built");
}
