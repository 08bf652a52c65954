//! `klto bisect` when something fails in the middle: the disk is full, the user's repository changes
//! or lacks objects, somebody interrupts. None of that is a verdict, nothing of the user's changes, and
//! the next call goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use crate::bisect::{BROKEN, History, UNREAD, assert_sure, ten};
use crate::support::git::files;
use crate::support::probed::{EARLY, Hanging, NOT_READ_BY_PREPARE, Probed, WRONG};
use crate::support::program::{Ended, finish, inside};

/// A command that finds the fault of [`ten`].
fn script() -> String {
    format!("! grep -q {WRONG} {EARLY}")
}

/// The same, which first counts its calls in a file of this folder, and does something at one of them.
fn at_call(around: &Path, call: u32, what: &str) -> String {
    let calls = around.join("calls");
    format!(
        "echo >>'{0}'; [ $(wc -l <'{0}') != {call} ] || {{ {what}; }}; {1}",
        calls.display(),
        script()
    )
}

fn record_of(ended: &Ended) -> Value {
    let json = ended.stdout.find("{\n").unwrap_or_default();
    serde_json::from_str(&ended.stdout[json..]).unwrap()
}

fn reused(record: &Value) -> Vec<bool> {
    let steps = record["steps"].as_array().unwrap().iter();
    steps.map(|step| step["reused"] == true).collect()
}

/// Runs `klto` in a work directory of its own on a small disk: once with text, and once with JSON after
/// the command `mend`, which finds the folder in `$0`.
fn on_a_small_disk(history: &History, size: &str, mend: &str, klto: &Command) -> Ended {
    let work = history.probed.kernel.work();
    fs::create_dir(&work).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs \"$0\" || exit 99
         \"$@\" --format text; echo \"code $?\" >&2
         {mend} || exit 99
         exec \"$@\" --format json"
    );
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(work)
        .current_dir(history.probed.kernel.dir());
    finish(&mut inside(unshare, klto))
}

/// The disk is that of the work directory.
#[rstest]
#[case::has_no_room_for_the_repository("8k")]
#[case::has_no_room_for_the_copy("150k")]
#[case::has_no_room_for_the_builds("400k")]
fn a_full_disk_is_said_and_the_next_search_is_right(#[case] size: &str) {
    let history = ten();
    let state = files(&history.probed.kernel.source());
    let klto = history.command(&["--good", &history.commits[0], "--bad", "main"]);
    let mend = "mount -o remount,size=1g \"$0\"";
    let ended = on_a_small_disk(&history, size, mend, &klto);
    let said = ended.stdout.clone() + &ended.stderr;
    assert!(ended.stderr.contains("code 125\n"), "{said}");
    assert!(said.to_lowercase().contains("no space left"), "{said}");
    assert!(!said.contains("fsck"), "{said}");
    let record = record_of(&ended);
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_sure(&record);
    assert!(files(&history.probed.kernel.source()) == state);
}

#[test]
fn a_disk_that_fills_in_a_search_ends_it_and_what_was_tested_is_kept() {
    let history = ten();
    let state = files(&history.probed.kernel.source());
    let work = history.probed.kernel.work();
    let fill = format!(
        "dd if=/dev/zero of='{}/ballast' bs=1k 2>/dev/null",
        work.display()
    );
    let run = at_call(history.probed.kernel.dir(), 4, &fill);
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let klto = history.command(&[&ends[..], &["--run", &run]].concat());
    let ended = on_a_small_disk(&history, "8m", "rm \"$0/ballast\"", &klto);
    assert!(ended.stderr.contains("code 125\n"), "{}", ended.stderr);
    let full = ended.stderr.to_lowercase();
    assert!(full.contains("no space left"), "{full}");
    assert!(full.contains("free some"), "{full}");
    assert!(ended.stderr.contains(work.to_str().unwrap()), "{full}");
    assert_eq!(ended.code, Some(0));
    let record = record_of(&ended);
    assert_eq!(reused(&record)[..4], [true, true, true, false]);
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_sure(&record);
    assert!(files(&history.probed.kernel.source()) == state);
}

/// What tests the commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Probe,
    Command,
}

/// Seven commits, of which the fifth brings the fault. The branches `fine` and `faulty` name the ends,
/// and only `faulty` has what comes after the first. Before each goal make runs the script `hook`.
fn two_branches() -> History {
    let probed = Probed::new();
    probed.append("Makefile", "_ := $(shell sh $(AROUND)/hook)\n");
    probed.around("hook", "");
    probed.git(&["init", "--quiet", "--initial-branch=fine"]);
    let mut history = History {
        commits: vec![probed.commit("base")],
        probed,
    };
    history.probed.git(&["checkout", "--quiet", "-b", "faulty"]);
    for number in 1..=7 {
        match number {
            5 => history.add(EARLY, &format!("{WRONG}\n")),
            _ => history.add(NOT_READ_BY_PREPARE, &format!("none {number}\n")),
        }
    }
    history.probed.git(&["checkout", "--quiet", "fine"]);
    history
}

/// Searches between the two branches; a script runs in the middle of it, if it did not run before.
fn search_with_harm(history: &History, by: By, harm: &str) -> Ended {
    let around = history.probed.kernel.dir();
    let at = |name: &str| around.join(name).display().to_string();
    let (harmed, goals) = (at("harmed"), at("goals"));
    let harm = format!(
        "[ -e '{harmed}' ] || {{ : >'{harmed}'; cd '{}'; {harm}; }} >'{}' 2>&1",
        history.probed.kernel.source().display(),
        at("harm.log")
    );
    fs::write(around.join("harm"), harm).unwrap();
    let hook = format!(
        "[ $(grep -c modpost '{goals}') -lt 2 ] || sh '{}'",
        at("harm")
    );
    fs::write(around.join("hook"), hook).unwrap();
    let run = at_call(around, 3, &format!("sh '{}'", at("harm")));
    let ends = ["--good", "fine", "--bad", "faulty", "--format", "json"];
    let ended = match by {
        By::Command => history.search(&[&ends[..], &["--run", &run]].concat()),
        By::Probe => history.search(&ends),
    };
    assert!(around.join("harmed").exists());
    eprintln!("{}", fs::read_to_string(around.join("harm.log")).unwrap());
    ended
}

const FORGET: &str =
    "git branch -D faulty && git reflog expire --expire=now --all && git gc --quiet --prune=now";

/// The names are those of the beginning.
#[rstest]
#[case::moved("git branch --force faulty fine")]
#[case::deleted("git branch -D faulty; git branch -m fine other")]
#[case::packed("git gc --quiet --prune=now")]
fn branches_may_change_while_a_search_goes_on(
    #[values(By::Probe, By::Command)] by: By,
    #[case] harm: &str,
) {
    let history = two_branches();
    let ended = search_with_harm(&history, by, harm);
    assert_eq!(ended.code, Some(0));
    let record = record_of(&ended);
    assert_eq!(history.place(&record["ended"]["commit"]), 5);
    assert_sure(&record);
}

#[rstest]
#[case::objects(FORGET, "objects of", "git fetch --quiet ../spare faulty:faulty")]
#[case::all_of_it(
    "mv ../source ../away",
    "the repository is not there any more",
    "mv ../away ../source"
)]
fn what_the_users_repository_lost_in_a_search_is_said_and_is_no_verdict(
    #[values(By::Probe, By::Command)] by: By,
    #[case] harm: &str,
    #[case] said: &str,
    #[case] mend: &str,
) {
    let history = two_branches();
    let source = history.probed.kernel.source();
    history
        .probed
        .git(&["clone", "--quiet", "--bare", ".", "../spare"]);
    let ended = search_with_harm(&history, by, harm);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout, "");
    let expected = format!("{}: {said}", source.display());
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    assert!(ended.stderr.contains("then run klto again"));
    assert!(!ended.stderr.contains("repositories"), "{}", ended.stderr);

    let mut shell = Command::new("sh");
    shell
        .args(["-c", mend])
        .current_dir(history.probed.kernel.tools());
    if source.exists() {
        shell.current_dir(&source);
    }
    assert_eq!(finish(&mut shell).code, Some(0));
    let ended = search_with_harm(&history, by, "");
    assert_eq!(ended.code, Some(0));
    let record = record_of(&ended);
    assert_eq!(history.place(&record["ended"]["commit"]), 5);
    assert_sure(&record);
    assert_eq!(reused(&record)[..2], [true, true]);
    let verdicts = history.steps(&record);
    assert!(verdicts.iter().all(|(_, verdict)| verdict != "unknown"));
}

/// The user presses Ctrl-C while a commit is tested.
#[rstest]
fn an_interrupted_search_leaves_no_process_and_goes_on(
    #[values(By::Probe, By::Command)] by: By,
    #[values(Signal::INT, Signal::TERM)] signal: Signal,
) {
    let history = ten();
    let state = files(&history.probed.kernel.source());
    let around = history.probed.kernel.dir().to_owned();
    let (stderr, hangs) = (around.join("stderr"), around.join("hangs"));
    let hang = format!(
        "sleep 300 & : >'{}'; trap '' INT; sleep 300",
        hangs.display()
    );
    let run = at_call(&around, 3, &hang);
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let mut command = match by {
        By::Probe => history.command(&ends),
        By::Command => history.command(&[&ends[..], &["--run", &run]].concat()),
    };
    command.stderr(fs::File::create(&stderr).unwrap());
    let mut is_searching = false;
    let mut hanging = history.probed.hang_by(&mut command, || {
        if by == By::Command {
            return hangs.exists();
        }
        let said = fs::read_to_string(&stderr).unwrap();
        if !is_searching && said.contains("left; testing") {
            is_searching = true;
            history.probed.around("hangs-in", "modpost");
        }
        history.probed.hangs_in_a_goal()
    });
    assert!(hanging.living().len() > 2);
    assert_eq!(hanging.end_by(signal), Some(125));
    assert_eq!(hanging.living(), [0; 0]);
    let said = fs::read_to_string(&stderr).unwrap();
    assert!(said.contains("interrupted; all child processes"), "{said}");
    assert_eq!(worktrees(&history), Vec::<PathBuf>::new());

    let more: &[&str] = match by {
        By::Probe => &[],
        By::Command => &["--run", &run],
    };
    let (ended, record) = history.found(more);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 6);
    assert_eq!(reused(&record)[..2], [true, true]);
    assert_sure(&record);
    assert!(files(&history.probed.kernel.source()) == state);
}

/// The worktrees that klto's own repositories know of.
fn worktrees(history: &History) -> Vec<PathBuf> {
    let own = history.probed.kernel.work().join("bisect/repositories");
    let own = fs::read_dir(own).unwrap().map(|entry| entry.unwrap());
    own.filter_map(|own| fs::read_dir(own.path().join(".git/worktrees")).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// A clone without blobs, or without blobs and trees, but for those of the checkout.
#[rstest]
fn a_partial_clone_is_named_with_its_remedy_and_gains_nothing(
    #[values("blob:none", "tree:0")] filter: &str,
    #[values(By::Probe, By::Command)] by: By,
    #[values(true, false)] is_reachable: bool,
) {
    let history = ten();
    let source = history.probed.kernel.source();
    let git = |args: &[&str]| history.probed.git(args);
    git(&["config", "uploadpack.allowFilter", "true"]);
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let clone = history.probed.kernel.dir().join("partial");
    let to = clone.to_str().unwrap();
    let url = format!("file://{}", source.display());
    let filter = format!("--filter={filter}");
    git(&["clone", "--quiet", &filter, &url, to]);
    if !is_reachable {
        git(&["-C", to, "remote", "set-url", "origin", "file:///absent"]);
    }
    let state = files(&clone);
    let run = script();
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    let ends = match by {
        By::Probe => ends.to_vec(),
        By::Command => [&ends[..], &["--run", &run]].concat(),
    };
    let json = [&ends[..], &["--format", "json"]].concat();
    let ended = finish(&mut history.command_at(&clone, &json));
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout, "");
    let remedy = format!("git -C {to} fetch --refetch --no-filter");
    for said in ["objects of", "are missing", "is partial", &remedy] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("repositories"), "{}", ended.stderr);
    assert!(files(&clone) == state);
    if is_reachable {
        let words: Vec<&str> = remedy.split(' ').skip(1).collect();
        git(&words);
        let ended = finish(&mut history.command_at(&clone, &json));
        assert_eq!(ended.code, Some(0));
        let record = record_of(&ended);
        assert_eq!(history.place(&record["ended"]["commit"]), 6);
        assert_sure(&record);
    }
}

#[test]
fn if_no_commit_between_the_ends_can_be_told_all_are_named_with_the_reason() {
    let mut history = History::of(&[(EARLY, "none 1\n"), (EARLY, BROKEN)]);
    history.add(EARLY, &format!("{BROKEN}\n"));
    history.add("arch/Kconfig", "config LTO_CLANG_THIN\n");
    history
        .probed
        .git(&["checkout", "main~3", "--", "arch/Kconfig"]);
    history.add(EARLY, WRONG);
    let ends = ["--good", "main~4", "--bad", "main"];
    let ended = history.search(&ends);
    assert_eq!(ended.code, Some(125));
    let (_, left) = ended.stdout.split_once("\nleft:\n").unwrap();
    for commit in &history.commits[2..] {
        assert!(left.contains(&commit[..12]), "{}", ended.stdout);
    }
    let said = "inconclusive: one of 4 commits brought the fault; none between them could be told";
    assert!(left.contains(said), "{left}");
    for why in ["because of build.failed", "LTO_CLANG_THIN_DIST"] {
        assert!(ended.stdout.contains(why), "{}", ended.stdout);
    }
}

/// The mode came after the good end.
#[test]
fn a_good_end_that_is_too_old_for_the_mode_is_unknown_and_the_reason_is_said() {
    let mut history = History::of(&[("arch/Kconfig", "config LTO_CLANG_THIN\n")]);
    history
        .probed
        .git(&["checkout", "main~1", "--", "arch/Kconfig"]);
    history.add(EARLY, WRONG);
    let ended = history.search(&["--good", "main~1", "--bad", "main"]);
    assert_eq!(ended.code, Some(125));
    let said = "nothing was searched: whether the good end has it could not be told";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("LTO_CLANG_THIN_DIST"),
        "{}",
        ended.stdout
    );
}

#[rstest]
#[case::good_has_it(6, 10, "the good end, ", ", is bad: the command exited 1")]
#[case::bad_has_it_not(0, 5, "the bad end, ", ", is good: the command exited 0")]
fn ends_that_a_command_says_otherwise_of_are_said(
    #[case] good: usize,
    #[case] bad: usize,
    #[case] end: &str,
    #[case] is: &str,
) {
    let history = ten();
    let (good, bad) = (&history.commits[good], &history.commits[bad]);
    let ended = history.search(&["--good", good, "--bad", bad, "--run", &script()]);
    assert_eq!(ended.code, Some(125));
    let of = if end.contains("good") { good } else { bad };
    let said = format!("inconclusive: nothing was searched: {end}{of}{is}");
    assert!(ended.stdout.contains(&said), "{}", ended.stdout);
}

/// Both ends are there, and what is between them is not.
#[test]
fn a_shallow_clone_with_a_gap_between_the_ends_is_refused_with_the_remedy() {
    let history = ten();
    let clone = history.probed.kernel.dir().join("shallow");
    let to = clone.to_str().unwrap();
    let url = format!("file://{}", history.probed.kernel.source().display());
    let git = |args: &[&str]| history.probed.git(args);
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    git(&["clone", "--quiet", "--depth=3", &url, to]);
    let good = &history.commits[2];
    git(&["-C", to, "fetch", "--quiet", "--depth=1", "origin", good]);
    let state = files(&clone);
    let ends = ["--good", good, "--bad", "main"];
    let ended = finish(&mut history.command_at(&clone, &ends));
    assert_eq!(ended.code, Some(2));
    let remedy = format!("git -C {to} fetch --unshallow");
    assert!(ended.stderr.contains(&remedy), "{}", ended.stderr);
    assert!(files(&clone) == state);
}

/// regzbot knows the commits of mainline, of stable and of linux-next.
#[rstest]
#[case::nowhere(&[], None)]
#[case::in_a_release(&["tag v7.3-rc1 main"], Some("v7.3-rc1"))]
#[case::not_in_a_release(&["tag v7.3-rc1 main~5"], None)]
#[case::in_a_tag_of_the_users(&["tag v3 main"], None)]
#[case::in_mainline(
    &["config remote.o.url https://example.org/torvalds/linux.git", "update-ref refs/remotes/o/m main"],
    Some("o/m")
)]
#[case::in_a_fork(
    &["config remote.o.url https://example.org/somebody/linux.git", "update-ref refs/remotes/o/m main"],
    None
)]
fn regzbot_is_offered_a_commit_of_a_tree_that_it_tracks(
    #[case] setup: &[&str],
    #[case] tracked: Option<&str>,
) {
    let history = ten();
    for command in setup {
        let words: Vec<&str> = command.split(' ').collect();
        history
            .probed
            .git(&[&["-c", "tag.gpgSign=false"], &words[..]].concat());
    }
    let run = script();
    let (_, record) = history.found(&["--run", &run]);
    assert_eq!(record["tracked"].as_str(), tracked);
    let ends = ["--good", &history.commits[0], "--bad", "main"];
    for format in ["text", "mail"] {
        let more = ["--run", &run, "--format", format];
        let said = history.search(&[&ends[..], &more].concat()).stdout;
        let is_offered = said.contains("#regzbot introduced: ");
        assert_eq!(is_offered, tracked.is_some(), "{said}");
    }
}

/// The commit changes four places, of which two bring the fault together. The search is killed while
/// the fifth commit of klto's is tested.
#[test]
fn what_took_the_commit_apart_is_kept_when_the_search_is_killed() {
    let text = |of: [&str; 4]| of.join("\nnone\nnone\nnone\n") + "\n";
    let mut history = History::of(&[(EARLY, &text(["none 1"; 4])), (UNREAD, "2\n")]);
    history.add(EARLY, &text(["none 2", "fault a", "none 2", "fault b"]));
    history.add(UNREAD, "4\n");
    let around = history.probed.kernel.dir().to_owned();
    let at = |name: &str| around.join(name).display().to_string();
    let run = format!(
        "if git log -1 --format=%s | grep -q '^without '; then
            git rev-parse HEAD >>'{made}'
            if [ $(wc -l <'{made}') = 5 ]; then : >'{hangs}'; sleep 300; fi
        fi
        ! grep -q 'fault a' {EARLY} || ! grep -q 'fault b' {EARLY}",
        made = at("made"),
        hangs = at("hangs"),
    );
    let ends = [
        "--good",
        &history.commits[0],
        "--bad",
        "main",
        "--run",
        &run,
    ];
    let mut hanging: Hanging = history
        .probed
        .hang_by(history.command(&ends).stderr(Stdio::null()), || {
            around.join("hangs").exists()
        });
    hanging.end_all();
    let made = || {
        let made = fs::read_to_string(around.join("made")).unwrap();
        made.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(made().len(), 5);

    let (ended, record) = history.found(&["--run", &run]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(history.place(&record["ended"]["commit"]), 3);
    assert_sure(&record);
    let hunks = record["hunks"].as_array().unwrap().iter();
    let hunks: Vec<&str> = hunks.map(|hunk| hunk["text"].as_str().unwrap()).collect();
    assert_eq!(hunks, ["fault a", "fault b"]);
    let made = made();
    let (before, after) = made.split_at(4);
    assert_eq!(before.len(), 4);
    assert_eq!(after[0], after[1], "the one that was interrupted");
    for (at, commit) in after.iter().enumerate().skip(1) {
        assert!(!before.contains(commit), "{commit} was tested again");
        assert!(!after[1..at].contains(commit), "{commit} was tested twice");
    }
}
