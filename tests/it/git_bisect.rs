//! `git bisect run klto …` as a person types it, over a small history of the fake
//! kernel: the right commit is found, inconclusive ones are skipped, and a mistyped
//! command blames no commit.

use std::fs;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

use crate::support::fake_kernel::FakeKernel;
use crate::support::git::git_in;
use crate::support::program::{Ended, finish};

/// A kernel under git, a commit for each fault; good where that is empty.
struct History {
    kernel: FakeKernel,
    commits: Vec<String>,
}

impl History {
    fn of(faults: &[&str]) -> Self {
        let kernel = FakeKernel::new();
        let mut history = Self {
            kernel,
            commits: Vec::new(),
        };
        history.git(&["init", "--quiet"]);
        for (number, fault) in faults.iter().enumerate() {
            history.kernel.set_fault(fault);
            let source = format!("int main(void) {{ return {number}; }}\n");
            fs::write(history.kernel.source().join("init/main.c"), source).unwrap();
            history.git(&["add", "."]);
            let title = format!("main: return {number}");
            history.git(&["commit", "--quiet", "--message", &title]);
            let commit = history.git(&["rev-parse", "HEAD"]).stdout;
            history.commits.push(commit.trim().to_owned());
        }
        history
    }

    /// Runs git, which must succeed.
    fn git(&self, args: &[&str]) -> Ended {
        let ended = finish(self.command().args(args));
        assert_eq!(ended.code, Some(0));
        ended
    }

    /// git in the source tree, with klto and make in `PATH` and the same author and
    /// time always.
    fn command(&self) -> Command {
        let klto = Path::new(env!("CARGO_BIN_EXE_klto")).parent().unwrap();
        let own = std::env::var_os("PATH").unwrap();
        let folders = [klto.to_owned()].into_iter();
        let folders = folders.chain(std::env::split_paths(&own));
        let folders = folders.chain([self.kernel.tools()]);
        let mut command = git_in(&self.kernel.source());
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", self.kernel.dir())
            .env_remove("KLTO_KERNEL");
        command
    }

    /// Bisects between the first and the last commit.
    fn bisect(&self, run: &[&str]) -> Ended {
        let (good, bad) = (&self.commits[0], &self.commits[self.commits.len() - 1]);
        self.git(&["bisect", "start", bad, good]);
        let ended = finish(self.command().args(["bisect", "run"]).args(run));
        self.git(&["bisect", "reset"]);
        let status = self.git(&["status", "--porcelain"]).stdout;
        assert_eq!(status, "", "the source tree is as it was");
        ended
    }
}

const RUN: [&str; 8] = [
    "klto",
    "--git-bisect",
    "run",
    "../matrices/fake.yaml",
    "--kernel",
    ".",
    "--work",
    "../work",
];

const GOOD: &str = "";
/// The build fails.
const FAILS: &str = "compile-error";
/// The build succeeds, and the kernel breaks a rule.
const WRONG: &str = "empty-object";
/// The machine fails.
const UNKNOWN: &str = "full-disk";

#[rstest]
#[case::a_build_breaks(&[GOOD, GOOD, GOOD, GOOD, GOOD, FAILS, FAILS, FAILS], 5)]
#[case::the_last_commit(&[GOOD, GOOD, GOOD, GOOD, GOOD, FAILS], 5)]
#[case::a_rule_breaks(&[GOOD, WRONG, WRONG, WRONG, WRONG], 1)]
#[case::some_cannot_be_told(
    &[GOOD, GOOD, UNKNOWN, GOOD, GOOD, WRONG, WRONG, UNKNOWN, FAILS, WRONG],
    5
)]
fn the_first_bad_commit_is_found(#[case] faults: &[&str], #[case] first_bad: usize) {
    let history = History::of(faults);

    let ended = history.bisect(&RUN);

    assert_eq!(ended.code, Some(0));
    let verdict = format!("{} is the first bad commit", history.commits[first_bad]);
    assert!(ended.stdout.contains(&verdict), "{verdict}");
}

#[test]
fn no_commit_is_blamed_if_its_parent_is_inconclusive() {
    let history = History::of(&[GOOD, GOOD, UNKNOWN, FAILS, FAILS]);

    let ended = history.bisect(&RUN);

    assert!(!ended.stdout.contains("is the first bad commit"));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("only 'skip'ped commits left to test"));
    for suspect in &history.commits[2..=3] {
        assert!(said.contains(suspect), "{suspect}");
    }
}

#[test]
fn a_build_tree_that_something_else_built_can_be_bisected_by_check() {
    let history = History::of(&[GOOD, GOOD, GOOD, WRONG, WRONG, WRONG]);
    let build = "
        rm -rf ../out
        make O=../out ARCH=x86_64 tinyconfig olddefconfig vmlinux || exit 125
        klto --git-bisect check ../out --only elf";

    let ended = history.bisect(&["sh", "-c", build]);

    assert_eq!(ended.code, Some(0));
    let verdict = format!("{} is the first bad commit", history.commits[3]);
    assert!(ended.stdout.contains(&verdict), "{verdict}");
}

#[rstest]
#[case::no_such_matrix(3, "../matrices/fak.yaml", "fak.yaml: No such file")]
#[case::no_kernel(5, "../matrices", "not a kernel source tree")]
#[case::no_such_option(4, "--kernle", "unexpected argument '--kernle'")]
fn a_mistyped_command_ends_the_bisect_and_blames_no_commit(
    #[case] argument: usize,
    #[case] mistyped: &str,
    #[case] says: &str,
) {
    let history = History::of(&[GOOD, GOOD, GOOD, FAILS, FAILS]);
    let mut run = RUN;
    run[argument] = mistyped;

    let ended = history.bisect(&run);

    assert!(ended.code.unwrap() >= 125, "git's own message of the end");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains(says), "{says}");
    assert!(said.contains("exit code 128"));
    assert!(!said.contains("first bad commit"));
}
