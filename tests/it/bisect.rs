//! `klto bisect` from the outside, over histories of the fake kernel: the commit that brought a
//! fault is found among others, other faults are not taken for it, and nothing of the user's
//! changes.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use crate::support::git::files;
use crate::support::probed::{EARLY, NOT_READ_BY_PREPARE, Probed, WRONG};
use crate::support::program::{Ended, finish, klto, within};
use crate::support::schema::faults;

/// A file that no probe reads.
pub const UNREAD: &str = "Documentation/x.rst";
/// Another fault than [`WRONG`], which hides it: nothing is built.
pub const BROKEN: &str = "compile-error";

/// A kernel under git (the fake kernel takes no notice of a line with `none`): the commits of its branch, in their order.
pub struct History {
    pub probed: Probed,
    pub commits: Vec<String>,
}

impl History {
    /// Each commit writes a file: its path and its text.
    pub fn of(commits: &[(&str, &str)]) -> History {
        let probed = Probed::new();
        probed.git(&["init", "--quiet", "--initial-branch=main"]);
        let mut history = History {
            commits: vec![probed.commit("base")],
            probed,
        };
        for (path, text) in commits {
            history.add(path, text);
        }
        history
    }

    pub fn add(&mut self, path: &str, text: &str) {
        self.probed.write(path, text);
        let title = format!("step {}", self.commits.len());
        self.commits.push(self.probed.commit(&title));
    }

    pub fn command(&self, more: &[&str]) -> Command {
        self.command_at(&self.probed.kernel.source(), more)
    }

    pub fn command_at(&self, kernel: &Path, more: &[&str]) -> Command {
        let mut command = klto(["bisect"]);
        if !more.contains(&"--run") && !more.contains(&"--matrix") {
            command.args(["--arch", "x86_64", "--lto", "thin-dist"]);
        }
        command
            .arg("--kernel")
            .arg(kernel)
            .arg("--work")
            .arg(self.probed.kernel.work())
            .args(more)
            .env("PATH", self.probed.path())
            .env_remove("KLTO_PROBE_WORK")
            .current_dir(self.probed.kernel.dir());
        command
    }

    pub fn search(&self, more: &[&str]) -> Ended {
        finish(&mut self.command(more))
    }

    /// From the first commit to the last.
    fn ends(&self) -> [&str; 6] {
        let first = &self.commits[0];
        ["--good", first, "--bad", "main", "--format", "json"]
    }

    /// Searches from the first commit to the last.
    pub fn found(&self, more: &[&str]) -> (Ended, Value) {
        let ended = self.search(&[&self.ends()[..], more].concat());
        let record = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(faults("bisect", &record), [""; 0]);
        (ended, record)
    }

    /// Searches from the first commit to the last, and is killed, with all that it started, as soon as it
    /// says something.
    fn kill_when_it_says(&self, last: &str, more: &[&str]) {
        let stderr = self.probed.kernel.dir().join("stderr");
        let mut killed = self
            .command(&[&self.ends()[..], more].concat())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&stderr).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let has_said = || fs::read_to_string(&stderr).unwrap().contains(last);
        assert!(within(Duration::from_mins(1), has_said));
        killed.kill().unwrap();
        killed.wait().unwrap();
    }

    pub fn place(&self, commit: &Value) -> usize {
        let id = commit["commit"].as_str().unwrap();
        self.commits.iter().position(|known| known == id).unwrap()
    }

    /// The verdicts, with the places of their commits.
    pub fn steps(&self, record: &Value) -> Vec<(usize, String)> {
        let steps = record["steps"].as_array().unwrap().iter();
        let step = |step: &Value| (self.place(&step["commit"]), text(&step["verdict"]));
        steps.map(step).collect()
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What was checked, and whether it holds.
pub fn checks(record: &Value) -> Vec<(String, Option<bool>)> {
    let checks = record["checks"].as_array().unwrap().iter();
    let check = |check: &Value| (text(&check["what"]), check["holds"].as_bool());
    checks.map(check).collect()
}

/// All was checked, and holds.
pub fn assert_sure(record: &Value) {
    let expected = [
        "the commit is bad",
        "its parent is good",
        "the bad end without the commit is good",
    ];
    assert_eq!(
        checks(record),
        expected.map(|what| (what.to_owned(), Some(true)))
    );
}

/// Ten commits, of which the sixth brings the fault.
pub fn ten() -> History {
    let mut history = History::of(&[(EARLY, "none 1\n"), (UNREAD, "2\n"), (EARLY, "none 3\n")]);
    history.add(UNREAD, "4\n");
    history.add(EARLY, "none 5\n");
    history.add(EARLY, &format!("{WRONG}\n"));
    history.add(UNREAD, "7\n");
    history.add(NOT_READ_BY_PREPARE, "none 8\n");
    history.add(UNREAD, "9\n");
    history.add(NOT_READ_BY_PREPARE, "none 10\n");
    history
}

#[test]
fn the_commit_that_brought_the_fault_is_found_and_made_sure_of() {
    let history = ten();
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(record["ended"]["is"], "culprit");
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(record["commits"], 10);
    assert_eq!(
        record["suspects"], 6,
        "the others change nothing that is read"
    );
    assert_sure(&record);
    let hunks = record["hunks"].as_array().unwrap();
    assert_eq!(hunks.len(), 1);
    assert_eq!(hunks[0]["file"], EARLY);
    assert_eq!(hunks[0]["text"], WRONG);
    let tested = history.steps(&record);
    assert!(
        tested.iter().all(|(at, _)| ![2, 4, 7, 9].contains(at)),
        "{tested:?}"
    );
}

#[test]
fn a_search_that_is_repeated_tests_nothing() {
    let history = ten();
    let (_, first) = history.found(&[]);
    history.probed.goals();
    let (ended, again) = history.found(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(again["ended"], first["ended"]);
    assert_eq!(history.probed.goals(), [""; 0]);
}

/// Two commits cannot be built, and one has the rule broken for another reason.
#[test]
fn another_fault_is_not_taken_for_the_one_that_is_searched_for() {
    let mut history = History::of(&[(EARLY, "none 1\n"), (EARLY, BROKEN), (EARLY, "none 3\n")]);
    history.add(EARLY, &format!("{WRONG}\n"));
    history.add(EARLY, BROKEN);
    history.add(EARLY, &format!("{WRONG}\nnone 6\n"));
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 4);
    for (at, verdict) in history.steps(&record) {
        let expected = match at {
            2 | 5 => "unknown",
            0..=3 => "good",
            _ => "bad",
        };
        assert_eq!(verdict, expected, "step {at}");
    }
}

#[test]
fn commits_that_cannot_be_told_apart_are_all_named() {
    let mut history = History::of(&[(EARLY, "none 1\n"), (EARLY, BROKEN)]);
    history.add(EARLY, &format!("{BROKEN}\n"));
    history.add(EARLY, WRONG);
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(125));
    assert_eq!(record["ended"]["is"], "among");
    let left = record["ended"]["commits"].as_array().unwrap();
    let left: Vec<usize> = left.iter().map(|commit| history.place(commit)).collect();
    assert_eq!(left, [2, 3, 4]);
    assert!(record["checks"].as_array().unwrap().is_empty());
}

/// The fault came in a branch, and was merged.
#[test]
fn the_commit_is_found_on_the_branch_that_was_merged() {
    let mut history = History::of(&[(UNREAD, "1\n")]);
    let git = |args: &[&str]| history.probed.git(args);
    git(&["checkout", "--quiet", "-b", "topic"]);
    history.probed.write(EARLY, "none topic\n");
    history.probed.commit("topic 1");
    history.probed.write(EARLY, &format!("{WRONG}\n"));
    let culprit = history.probed.commit("topic 2");
    git(&["checkout", "--quiet", "main"]);
    history.add(NOT_READ_BY_PREPARE, "none 2\n");
    history
        .probed
        .git(&["merge", "--quiet", "--no-edit", "topic"]);
    let (_, record) = history.found(&[]);
    assert_eq!(record["ended"]["commit"]["commit"], culprit.as_str());

    let (_, record) = history.found(&["--first-parent"]);
    let merge = history.probed.git(&["rev-parse", "main"]);
    assert_eq!(record["ended"]["commit"]["commit"], merge.trim());
}

/// A commit with a fault that another commit brings, too.
#[test]
fn that_the_commit_is_not_all_of_it_is_said() {
    let mut history = History::of(&[(EARLY, "none 1\n")]);
    history.add(EARLY, &format!("{WRONG}\n"));
    history.add(NOT_READ_BY_PREPARE, &format!("{WRONG}\n"));
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 2);
    let last = checks(&record).pop().unwrap();
    assert_eq!(
        last,
        (
            "the bad end without the commit is good".to_owned(),
            Some(false)
        )
    );
    let notes = record["notes"].to_string();
    assert!(notes.contains("only uncovers it"), "{notes}");
}

#[test]
fn the_places_that_are_not_needed_are_left_out() {
    let lines = |first: &str, last: &str| format!("{first}\n{}{last}\n", "none\n".repeat(2));
    let mut history = History::of(&[(EARLY, &lines("none a", "none b"))]);
    history.probed.write(UNREAD, "in the same commit\n");
    history.probed.write(NOT_READ_BY_PREPARE, "none harmless\n");
    history.add(EARLY, &lines("none a2", WRONG));
    let (_, record) = history.found(&[]);
    let hunks = record["hunks"].as_array().unwrap();
    assert_eq!(hunks.len(), 1, "{hunks:?}");
    assert_eq!(hunks[0]["line"], 4);
}

#[test]
fn a_fault_that_comes_and_goes_names_nobody() {
    let history = ten();
    // What no fingerprint covers makes every build from now on wrong.
    let stderr = history.probed.kernel.dir().join("stderr");
    let mut command = history.command(&["--good", &history.commits[0], "--bad", "main"]);
    command.args(["--format", "json"]).stdout(Stdio::piped());
    let child = command
        .stderr(fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let has_said = || {
        fs::read_to_string(&stderr)
            .unwrap()
            .contains("testing its parent again")
    };
    assert!(within(Duration::from_mins(1), has_said));
    history.probed.around("fault", WRONG);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["ended"]["is"], "contradiction");
    let why = text(&record["ended"]["why"]);
    assert!(why.contains("was bad in 1 of 2 tests"), "{why}");

    // Whoever asks again gets no other answer by chance.
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(125));
    assert_eq!(text(&record["ended"]["why"]), why);
}

#[rstest]
#[case::good_has_it(6, 10, "a good end has it, too")]
#[case::bad_has_it_not(0, 5, "the bad end has no such finding")]
fn ends_that_are_not_what_was_said_are_told(
    #[case] good: usize,
    #[case] bad: usize,
    #[case] why: &str,
) {
    let history = ten();
    let ends = [
        "--good",
        &history.commits[good],
        "--bad",
        &history.commits[bad],
    ];
    let ended = history.search(&ends);
    assert_eq!(ended.code, Some(125));
    let said = format!("inconclusive: nothing was searched: {why}");
    assert!(ended.stdout.contains(&said), "{}", ended.stdout);
}

#[rstest]
#[case::swapped("main", "main~5", "is in the history of the good one")]
#[case::equal("main", "main", "are the same commit")]
#[case::absent("absent", "main", "'absent' names no commit")]
#[case::unrelated("alone", "main", "have no commit in common")]
fn ends_that_cannot_be_searched_between_are_refused(
    #[case] good: &str,
    #[case] bad: &str,
    #[case] said: &str,
) {
    let history = ten();
    history
        .probed
        .git(&["checkout", "--quiet", "--orphan", "alone"]);
    history.probed.commit("another history");
    let ended = history.search(&["--good", good, "--bad", bad]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(history.probed.goals(), [""; 0]);
}

#[test]
fn a_shallow_clone_that_ends_between_the_ends_is_refused_with_the_remedy() {
    let history = ten();
    let clone = history.probed.kernel.dir().join("shallow");
    let source = format!("file://{}", history.probed.kernel.source().display());
    let to = clone.to_str().unwrap();
    history
        .probed
        .git(&["clone", "--quiet", "--depth", "3", &source, to]);
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let ended = finish(&mut history.command_at(&clone, &ends));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("fetch --unshallow"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_good_end_on_another_branch_has_its_merge_base_tested() {
    let history = ten();
    history
        .probed
        .git(&["checkout", "--quiet", "-b", "other", "main~8"]);
    history.probed.write(UNREAD, "other\n");
    history.probed.commit("on another branch");
    let ended = history.search(&["--good", "other", "--bad", "main", "--format", "json"]);
    let record: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(history.place(&record["good"][1]), 2);
    assert!(record["notes"].to_string().contains("their merge base"));
}

#[test]
fn a_command_of_the_users_tests_commits_as_git_has_it() {
    let history = ten();
    let script = format!("test -f Makefile || exit 200; ! grep -q {WRONG} {EARLY}");
    let (ended, record) = history.found(&["--run", &script]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(record["finding"], Value::Null);
}

/// A file that only a whole kernel has: a probe would see nothing.
#[test]
fn whole_kernels_are_searched_in_a_tree_that_is_carried() {
    let late = "drivers/fault";
    let mut history = History::of(&[(late, "none 1\n"), ("arch/riscv/x.c", "2\n")]);
    history.add(late, BROKEN);
    history.add(late, "none 4\n");
    history.add(UNREAD, "5\n");
    history.add(late, &format!("{WRONG}\n"));
    history.add("drivers/net/net.c", "int net_2;\n");
    history.probed.kernel.matrix("[thin, thin-dist]", "10min");
    let matrix = history.probed.kernel.matrix_file();
    let whole = [
        "--matrix",
        matrix.to_str().unwrap(),
        "--cell",
        "*/thin-dist",
    ];
    let (ended, record) = history.found(&whole);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(record["suspects"], 6, "documentation is not built");
    assert_sure(&record);
    history.probed.goals();
    let (_, again) = history.found(&whole);
    assert_eq!(again["ended"], record["ended"]);
    assert_eq!(history.probed.goals(), [""; 0]);
}

/// Without a key, kernels of the ends say what to search for; the commit and its parent are built either
/// way.
#[test]
fn the_probe_goes_first_where_it_sees_the_rule_broken_and_kernels_make_sure() {
    let history = ten();
    history.probed.kernel.matrix("[thin-dist]", "10min");
    let matrix = history.probed.kernel.matrix_file();
    let whole = ["--matrix", matrix.to_str().unwrap()];
    let (_, without_key) = history.found(&whole);
    let key = text(&without_key["finding"]["key"]);
    assert_eq!(kernels_built(&history), 4);
    let (_, with_key) = history.found(&[&whole[..], &["--key", &key]].concat());
    assert_eq!(kernels_built(&history), 2);
    for record in [without_key, with_key] {
        assert_eq!(history.place(&record["ended"]["commit"]), 6);
        assert_sure(&record);
        let notes = record["notes"].to_string();
        assert!(notes.contains("whole kernels made sure"), "{notes}");
        let cell = text(&record["finding"]["cell"]);
        assert!(!cell.contains("/probe/"), "the finding of a kernel: {cell}");
        let clean = record["steps"].as_array().unwrap().iter();
        let clean = clean.filter(|step| step["is_clean"] == true).count();
        assert_eq!(clean, 2);
    }
    let kept = history.probed.kernel.work().join("bisect");
    let names = std::fs::read_dir(kept).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let is_clean = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("clean-");
    assert!(
        !names.iter().any(is_clean),
        "builds that nobody needs: {names:?}"
    );
}

/// How many kernels were built since the last call.
fn kernels_built(history: &History) -> usize {
    let goals = history.probed.goals();
    goals.iter().filter(|goal| *goal == "vmlinux").count()
}

#[rstest]
#[case::cannot_be_told("exit 125", 125, "the command exited 125")]
#[case::ends_the_search("exit 130", 125, "more ends the search")]
fn a_command_that_does_not_tell_is_no_verdict(
    #[case] script: &str,
    #[case] code: i32,
    #[case] said: &str,
) {
    let history = ten();
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let ended = history.search(&[&ends[..], &["--run", script]].concat());
    assert_eq!(ended.code, Some(code));
    assert!((ended.stdout + &ended.stderr).contains(said));
}

#[test]
fn only_commits_of_the_paths_are_searched() {
    let history = ten();
    let (_, record) = history.found(&["--", EARLY]);
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(record["suspects"], 4);

    let (ended, record) = history.found(&["--", NOT_READ_BY_PREPARE]);
    assert_eq!(
        ended.code,
        Some(125),
        "one that the paths allow is found, and is not it"
    );
    let why = text(&record["ended"]["why"]);
    assert!(
        why.contains("but that its parent is good does not hold"),
        "{why}"
    );
}

/// What git says of the same history when it takes the log.
#[test]
fn git_takes_the_log_and_comes_to_the_same_commit() {
    let history = ten();
    let log = history.probed.kernel.dir().join("bisect.log");
    let report = format!("log={}", log.display());
    let (_, first) = history.found(&["--report", &report]);
    let clone = history.probed.kernel.dir().join("clone");
    let (clone, log) = (clone.to_str().unwrap(), log.to_str().unwrap());
    history.probed.git(&["clone", "--quiet", ".", clone]);
    let said = history.probed.git(&["-C", clone, "bisect", "replay", log]);
    let found = format!("{} is the first bad commit", history.commits[6]);
    assert!(said.lines().any(|line| line == found), "{said}");
    // And klto takes git's.
    let of_git = history.probed.git(&["-C", clone, "bisect", "log"]);
    let file = history.probed.kernel.dir().join("git.log");
    fs::write(&file, of_git).unwrap();
    let ended = history.search(&["--replay", file.to_str().unwrap(), "--format", "json"]);
    let record: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    let steps_of_log = first["steps"].as_array().unwrap().iter();
    let steps_of_log = steps_of_log.filter(|step| step["is_clean"] == false);
    let steps = record["steps"].as_array().unwrap().iter();
    let of_log = steps.filter(|step| text(&step["why"]).contains("of the log says so"));
    assert_eq!(of_log.count(), steps_of_log.count());
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let history = ten();
    let file = history.probed.kernel.dir().join("no.log");
    fs::write(&file, "git bisect start\ngit bisect worse 1\n").unwrap();
    let ended = history.search(&["--replay", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("no.log: not a log of a bisect: line 2"),
        "{}",
        ended.stderr
    );
}

/// The user is in the middle of a bisect of their own.
#[rstest]
#[case::probe(&[])]
#[case::command(&["--run", "! grep -q empty-object include/fault.h"])]
fn nothing_of_the_users_repository_changes(#[case] more: &[&str]) {
    let history = ten();
    history.probed.git(&["bisect", "start", "main", "main~10"]);
    history.probed.append(UNREAD, "not committed\n");
    let state = files(&history.probed.kernel.source());
    let (ended, _) = history.found(more);
    assert_eq!(ended.code, Some(0));
    assert!(files(&history.probed.kernel.source()) == state);
}

#[rstest]
#[case::at_an_end("testing the good end")]
#[case::in_the_search("left; testing")]
#[case::in_a_check("testing the commit again")]
#[case::in_the_next_check("testing its parent again")]
#[case::without_the_commit("testing the bad end without")]
fn a_search_that_was_killed_goes_on_where_it_was(#[case] last: &str) {
    let history = ten();
    history.kill_when_it_says(last, &[]);
    let (ended, record) = history.found(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_sure(&record);
}

/// The builds of the two kernels are there, and so is what they show.
#[test]
fn a_search_that_was_killed_after_its_kernels_were_built_builds_none_again() {
    let history = ten();
    history.probed.kernel.matrix("[thin-dist]", "10min");
    let matrix = history.probed.kernel.matrix_file();
    let more = ["--matrix", matrix.to_str().unwrap(), "--key", "elf.empty"];
    history.kill_when_it_says("testing the bad end without", &more);
    assert_eq!(kernels_built(&history), 2);
    let (_, record) = history.found(&more);
    assert_eq!(kernels_built(&history), 0);
    let cell = text(&record["finding"]["cell"]);
    assert_eq!(cell, "x86_64/tiny/thin-dist/llvm-22");
    assert_sure(&record);
    let (_, again) = history.found(&more);
    assert_eq!(again["finding"], record["finding"]);
    assert_eq!(again["reproduce"], record["reproduce"]);
}

/// The records of the commits are gone: what the other search found out is not.
#[test]
fn a_search_between_other_commits_takes_over_the_verdicts_of_one_that_found_the_commit() {
    let history = ten();
    history.found(&[]);
    history.probed.forget();
    let ends = [
        "--good",
        &history.commits[2],
        "--bad",
        "main",
        "--format",
        "json",
    ];
    let ended = history.search(&ends);
    let record: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    let steps = record["steps"].as_array().unwrap().iter();
    let tested: Vec<usize> = steps
        .filter(|step| step["reused"] == false && step["is_clean"] == false)
        .map(|step| history.place(&step["commit"]))
        .collect();
    assert_eq!(tested, [0; 0], "of these another search knows the verdict");
}

/// What a command said is kept by nobody else: at its fourth call this one ends the search.
#[test]
fn a_command_is_not_asked_again_about_what_it_said_before() {
    let history = ten();
    let calls = history.probed.kernel.dir().join("calls");
    let script = format!(
        "echo >>'{0}'; [ $(wc -l <'{0}') != 4 ] || exit 200; ! grep -q {WRONG} {EARLY}",
        calls.display()
    );
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let run = [&ends[..], &["--run", &script]].concat();
    assert_eq!(history.search(&run).code, Some(125));
    let (ended, record) = history.found(&["--run", &script]);
    assert_eq!(ended.code, Some(0));
    let steps = record["steps"].as_array().unwrap();
    let reused: Vec<bool> = steps.iter().map(|step| step["reused"] == true).collect();
    assert_eq!(reused[..4], [true, true, true, false]);
    assert_sure(&record);
}

/// The text for people, and the mail to the author.
#[test]
fn the_reports_name_the_commit_and_how_sure_that_is() {
    let history = ten();
    history.probed.git(&["tag", "v7.3-rc1"]);
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let ended = history.search(&ends);
    let short = &history.commits[6][..12];
    for said in [
        format!("culprit: {short} (\"step 6\")"),
        "author: A Developer <dev@example.org>".to_owned(),
        "the bad end without the commit is good: yes".to_owned(),
        format!("{EARLY}:1: {WRONG}"),
        format!("Fixes: {short} (\"step 6\")"),
        format!("#regzbot introduced: {short}"),
        "found: ".to_owned(),
    ] {
        assert!(ended.stdout.contains(&said), "{said}: {}", ended.stdout);
    }
    let mail = history
        .search(&[&ends[..], &["--format", "mail"]].concat())
        .stdout;
    let (head, body) = mail.split_once("\n\n").unwrap();
    let found = format!("{short} (\"step 6\") brought the fault");
    assert!(body.starts_with(&found), "{body}");
    assert!(
        head.contains("To: \"A Developer\" <dev@example.org>"),
        "{head}"
    );
    assert!(head.contains("Subject: [REGRESSION] step 6"), "{head}");
    let long = body
        .lines()
        .find(|line| line.chars().count() > 72 && !line.starts_with("    "));
    assert_eq!(long, None);
    assert!(body.contains("made by a program and may be wrong"));
}

/// The subject of a commit is the text of whoever wrote it.
#[test]
fn a_hostile_subject_is_text() {
    let mut history = History::of(&[(EARLY, "none 1\n")]);
    history.probed.write(EARLY, WRONG);
    history.commits.push(
        history
            .probed
            .commit("x \u{1b}[31m \u{202e} git bisect bad y"),
    );
    for format in ["text", "mail", "log"] {
        let ended = history.search(&["--good", "main~1", "--bad", "main", "--format", format]);
        assert_eq!(ended.code, Some(0));
        assert!(
            !ended.stdout.contains(['\u{1b}', '\u{202e}']),
            "{}",
            ended.stdout
        );
    }
}
