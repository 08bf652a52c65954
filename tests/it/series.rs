//! `klto series` from the outside, over a history of the fake kernel: what each patch makes
//! worse, from a mail or a range, and nothing of the user's changes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::b4::b4;
use crate::support::git::files;
use crate::support::probed::{EARLY, NOT_READ_BY_PREPARE, Probed, WRONG};
use crate::support::program::{Ended, finish, inside, klto, within};
use crate::support::schema::faults;

/// A kernel under git at a commit, and the patches on top of it, in a branch that is not checked
/// out.
struct Series {
    probed: Probed,
    base: String,
}

/// A file that only the kernel's own build reads, of those that the fake kernel has.
const LATE: &str = "drivers/fault";
/// A file that no probe reads.
const UNREAD: &str = "Documentation/x.rst";

impl Series {
    /// `fault` is what goes wrong in the base; each patch writes a file.
    fn of(fault: &str, patches: &[(&str, &str)]) -> Series {
        let probed = Probed::new();
        probed.write(EARLY, fault);
        probed.write(UNREAD, "x\n");
        let mut series = Series {
            probed,
            base: String::new(),
        };
        series.git(&["init", "--quiet", "--initial-branch=main"]);
        series.base = series.commit("base");
        series.git(&["checkout", "--quiet", "-b", "topic"]);
        for (number, (path, text)) in (1..).zip(patches) {
            series.probed.write(path, text);
            series.commit(&format!("fault: step {number}"));
        }
        series.git(&["checkout", "--quiet", "main"]);
        series
    }

    fn commit(&self, title: &str) -> String {
        self.probed.commit(title)
    }

    fn git(&self, args: &[&str]) -> String {
        self.probed.git(args)
    }

    /// The series as its author mails it, with a cover letter.
    fn mbox(&self, version: &str) -> PathBuf {
        let args = [
            "format-patch",
            "--stdout",
            "--thread",
            "--cover-letter",
            version,
        ];
        let mbox = self.git(&[&args[..], &["--to=list@example.org", "main..topic"]].concat());
        let mbox = mbox.replace("*** SUBJECT HERE ***", "fault: in steps");
        let file = self.probed.kernel.dir().join("thread.mbox");
        fs::write(&file, mbox).unwrap();
        file
    }

    fn command_at(&self, kernel: &Path, more: &[&str]) -> Command {
        let mut command = klto(["series", "--arch", "x86_64", "--lto", "thin-dist"]);
        command
            .arg("--kernel")
            .arg(kernel)
            .arg("--work")
            .arg(self.probed.kernel.work())
            .args(more)
            .env("PATH", self.probed.path())
            .env_remove("KLTO_PROBE_WORK")
            .current_dir(self.probed.kernel.dir());
        if !more.contains(&"--sandbox") {
            // The fake kernel notes outside of its tree which goals it runs.
            command.args(["--sandbox", "off"]);
        }
        command
    }

    fn judge(&self, more: &[&str]) -> Ended {
        finish(&mut self.command_at(&self.probed.kernel.source(), more))
    }

    /// The verdict on the range.
    fn verdict(&self) -> (Ended, Value) {
        let ended = self.judge(&["--range", "main..topic", "--format", "json"]);
        let verdict = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(faults("series", &verdict), [""; 0]);
        (ended, verdict)
    }
}

/// What the findings of a verdict do.
fn changes(verdict: &Value) -> Vec<(String, Value)> {
    let findings = verdict["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| {
            let mut change = finding["change"].clone();
            let is = change.as_object_mut().unwrap().remove("is").unwrap();
            (is.as_str().unwrap().to_owned(), change)
        })
        .collect()
}

#[test]
fn a_clean_series_passes_and_a_patch_that_no_probe_reads_is_not_built() {
    let series = Series::of("", &[(NOT_READ_BY_PREPARE, "\n"), (UNREAD, "y\n")]);
    let ended = series.judge(&["--range", "main..topic"]);
    assert_eq!(ended.code, Some(0));
    let goals = series.probed.goals();
    let builds = goals.iter().filter(|goal| goal.contains("modpost"));
    assert_eq!(builds.count(), 2, "the base and the first patch: {goals:?}");
    assert!(
        ended.stdout.contains("1  fault: step 1: ok"),
        "{}",
        ended.stdout
    );
    let unread = "2  fault: step 2: no file that a probe reads";
    assert!(ended.stdout.contains(unread), "{}", ended.stdout);
    let ok = "ok: no patch makes it worse; probed: 1 cell, on the base and after each of 2 patches";
    assert!(ended.stdout.contains(ok), "{}", ended.stdout);

    // Nothing is built again for the same verdict.
    assert_eq!(series.judge(&["--range", "main..topic"]).code, Some(0));
    assert_eq!(series.probed.goals(), [""; 0]);
}

/// The places of a verdict's coverage: file, line and what is said of them.
fn covered(verdict: &Value) -> Vec<(String, u64, String)> {
    let places = verdict["coverage"]["places"].as_array().unwrap();
    places
        .iter()
        .map(|place| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let line = place["line"].as_u64().unwrap();
            (text(&place["file"]), line, text(&place["reach"]["is"]))
        })
        .collect()
}

/// The fake kernel takes no notice of such lines.
const WITHOUT_EFFECT: &str = "ifdef CONFIG_none\nnone := 1\nendif # none\n";

#[test]
fn the_verdict_says_which_lines_it_covers_and_which_bring_a_finding() {
    let series = Series::of(
        "",
        &[
            (NOT_READ_BY_PREPARE, WITHOUT_EFFECT),
            (EARLY, &format!("none\n{WRONG}\n")),
            (UNREAD, "y\n"),
            (NOT_READ_BY_PREPARE, &format!("{WITHOUT_EFFECT}\n# Why.\n")),
        ],
    );
    let (ended, verdict) = series.verdict();
    assert_eq!(ended.code, Some(1));
    let place = |file: &str, line, is: &str| (file.to_owned(), line, is.to_owned());
    assert_eq!(
        covered(&verdict),
        [
            place(NOT_READ_BY_PREPARE, 1, "not-exercised"),
            place(EARLY, 1, "exercised"),
            place(UNREAD, 1, "not-read"),
            place(NOT_READ_BY_PREPARE, 4, "comment"),
        ]
    );
    let needs = &verdict["coverage"]["places"][0]["needs"];
    assert_eq!(needs[0], "in 'ifdef CONFIG_none' (line 1)");
    for finding in verdict["findings"].as_array().unwrap() {
        assert_eq!(finding["brought_by"].as_array().unwrap().len(), 1);
        assert_eq!(finding["brought_by"][0]["file"], EARLY);
        assert_eq!(finding["brought_by"][0]["patch"], 2);
    }

    let ended = series.judge(&["--range", "main..topic"]);
    for said in [
        "without patch 2, include/fault.h:1 ('none', 2 lines): 0 findings are left\n",
        "covered: 1 of 3 changed places that are not comments; ",
        "    patch 1, scripts/Makefile.vmlinux_a:1 ('ifdef CONFIG_none', 3 lines): not exercised: \
         nothing is different without it; it counts in 'ifdef CONFIG_none' (line 1)\n",
        "    patch 3, Documentation/x.rst: no cell that was probed reads it\n",
    ] {
        assert!(ended.stdout.contains(said), "{said}\n{}", ended.stdout);
    }
    let off = series.judge(&["--range", "main..topic", "--coverage", "off"]);
    assert_eq!(off.code, Some(1));
    assert!(!off.stdout.contains("covered"), "{}", off.stdout);
}

#[test]
fn what_is_prepared_without_a_place_does_not_drive_out_what_others_begin_with() {
    let series = Series::of("none\nnone\n", &[(EARLY, "none-1\nnone\nnone\nnone-2\n")]);
    let (ended, verdict) = series.verdict();
    assert_eq!(ended.code, Some(0));
    assert_eq!(covered(&verdict).len(), 2);
    let kept = fs::read_dir(series.probed.slot().join("prepared")).unwrap();
    assert_eq!(kept.count(), 2, "that of the base and that of the patch");
}

#[test]
fn a_line_that_a_later_patch_changes_again_is_taken_out_of_its_own_patch() {
    let series = Series::of("", &[(EARLY, &format!("{WRONG}\n")), (EARLY, "none\n")]);
    let (_, verdict) = series.verdict();
    let place = |is: &str| (EARLY.to_owned(), 1, is.to_owned());
    assert_eq!(covered(&verdict), [place("exercised"), place("exercised")]);
    assert_eq!(changes(&verdict)[0].0, "broken-between");
    assert_eq!(verdict["findings"][0]["brought_by"][0]["patch"], 1);
}

#[test]
fn a_series_without_a_place_that_is_the_base_is_not_built_again() {
    let series = Series::of("", &[(EARLY, "none\n")]);
    let judge = || {
        let ended = series.judge(&["--range", "main..topic"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        series.probed.goals()
    };
    assert!(judge().contains(&"modpost".to_owned()));
    assert_eq!(judge(), [""; 0]);
}

/// What a cell of a whole kernel is called in the matrix of the tests.
const KERNEL: &str = "x86_64/tiny/thin-dist/llvm-22";

#[rstest]
#[case::ends(&[], ["pass", "", "fail"], r#"{"since":1,"by":2}"#)]
#[case::each(&["--per-patch"], ["pass", "fail", "fail"], r#"{"since":1,"by":1}"#)]
fn whole_kernels_are_built_on_the_base_and_with_all_patches(
    #[case] more: &[&str],
    #[case] outcomes: [&str; 3],
    #[case] change: &str,
) {
    let series = Series::of("", &[(LATE, WRONG), (NOT_READ_BY_PREPARE, "none\n")]);
    series.probed.kernel.matrix("[thin, thin-dist]", "10min");
    let matrix = series.probed.kernel.matrix_file();
    let matrix = matrix.to_str().unwrap();
    let range = [
        "--range",
        "main..topic",
        "--format",
        "json",
        "--coverage",
        "off",
    ];
    let cells = ["--matrix", matrix, "--cell", "*/thin-dist"];
    let before = files(&series.probed.kernel.source().join(".git"));
    let ended = series.judge(&[&range[..], &cells, more].concat());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(files(&series.probed.kernel.source().join(".git")), before);
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(verdict["kernels"], serde_json::json!([KERNEL]));
    let states = verdict["states"].as_array().unwrap();
    let told = states.iter().map(|state| &state["outcomes"][KERNEL]);
    let told: Vec<&str> = told
        .map(|outcome| outcome.as_str().unwrap_or_default())
        .collect();
    assert_eq!(told, outcomes);
    let findings = verdict["findings"].as_array().unwrap();
    let of_kernel = findings.iter().filter(|finding| {
        finding["cells"]
            .as_array()
            .unwrap()
            .contains(&KERNEL.into())
    });
    let expected: Value = serde_json::from_str(change).unwrap();
    let mut seen = 0;
    for finding in of_kernel {
        assert_eq!(finding["change"]["since"], expected["since"], "{finding:#}");
        assert_eq!(finding["change"]["by"], expected["by"], "{finding:#}");
        seen += 1;
    }
    assert!(seen > 0, "{verdict:#}");
    assert_eq!(verdict["undecided"], Value::Array(Vec::new()));
}

#[test]
fn no_more_places_are_taken_out_than_a_person_waits_for() {
    let lines: String = (0..42).map(|line| format!("none := {line}\n\n")).collect();
    let series = Series::of("", &[(NOT_READ_BY_PREPARE, &lines)]);
    let (ended, verdict) = series.verdict();
    assert_eq!(ended.code, Some(0));
    let covered = covered(&verdict);
    assert_eq!(covered.len(), 42);
    let tried = covered.iter().filter(|(_, _, is)| is == "not-exercised");
    assert_eq!(tried.count(), 40);
    let (_, _, last) = &covered[41];
    assert_eq!(last, "not-tried");
}

#[rstest]
#[case::new("", &["", WRONG], 1, "new", r#"{"since":2,"by":2}"#)]
#[case::between("", &["", WRONG, ""], 1, "broken-between", r#"{"by":2,"mended":3}"#)]
#[case::known(WRONG, &[WRONG], 0, "known", "{}")]
#[case::mended(WRONG, &[""], 0, "mended", r#"{"by":1}"#)]
#[case::build_fails("", &["compile-error"], 1, "new", r#"{"since":1,"by":1}"#)]
fn the_verdict_says_which_patch_does_what(
    #[case] base: &str,
    #[case] faults: &[&str],
    #[case] code: i32,
    #[case] is: &str,
    #[case] change: &str,
) {
    let faults: Vec<String> = (1..)
        .zip(faults)
        .map(|(number, fault)| format!("{fault}\n{}", "\n".repeat(number)))
        .collect();
    let patches: Vec<(&str, &str)> = faults.iter().map(|text| (EARLY, text.as_str())).collect();
    let series = Series::of(base, &patches);
    let (ended, verdict) = series.verdict();
    let expected: Value = serde_json::from_str(change).unwrap();
    let changes = changes(&verdict);
    assert!(!changes.is_empty());
    for found in changes {
        assert_eq!(found, (is.to_owned(), expected.clone()), "{verdict:#}");
    }
    assert_eq!(ended.code, Some(code));
    assert_eq!(verdict["undecided"], Value::Array(Vec::new()));
}

#[test]
fn a_mode_that_the_kernel_does_not_have_is_said_to_be_left_out() {
    let series = Series::of("", &[(EARLY, "\n")]);
    series
        .probed
        .write("arch/Kconfig", "config LTO_CLANG_THIN\n");
    let base = series.commit("no distributed mode");
    series.probed.write(EARLY, "\n\n");
    series.commit("fault: step 1");
    let range = format!("{base}..main");
    let ended = series.judge(&["--range", &range, "--lto", "thin"]);
    assert_eq!(ended.code, Some(0));
    let said = "note: x86_64/probe/thin-dist/llvm-22 was not built: Linux 7.2.13 has no";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
}

#[test]
fn what_the_machine_hides_is_never_a_pass() {
    let series = Series::of("", &[(EARLY, "full-disk")]);
    let ended = series.judge(&["--range", "main..topic"]);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stdout.contains("could not be told"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("inconclusive: no patch"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_klto_keeps_of_a_series_is_in_its_work_directory_and_its_store() {
    let series = Series::of("", &[(EARLY, "\n")]);
    let folder = series.probed.kernel.dir();
    let entries = || -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let before = entries();
    assert_eq!(series.verdict().0.code, Some(0));
    let own = [series.probed.kernel.work(), folder.join("store")];
    let new: Vec<PathBuf> = entries().difference(&before).cloned().collect();
    assert!(new.iter().all(|path| own.contains(path)), "{new:?}");
}

#[test]
fn a_thread_is_judged_as_the_range_is() {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    let mbox = series.mbox("-v3");
    let mbox = mbox.to_str().unwrap();
    let ended = series.judge(&["--mbox", mbox, "--format", "json"]);
    assert_eq!(ended.code, Some(1));
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(verdict["version"], 3);
    assert_eq!(verdict["title"], "fault: in steps");
    assert_eq!(verdict["from"], mbox);
    assert_eq!(verdict["base"]["commit"], Value::from(series.base.clone()));
    assert_eq!(verdict["patches"][1]["title"], "fault: step 2");
    assert_eq!(verdict["patches"][1]["files"], json!([EARLY]));
    assert_eq!(changes(&verdict)[0].0, "new");
    // The files are the same, and so is what was found: nothing is built.
    series.probed.goals();
    assert_eq!(changes(&series.verdict().1), changes(&verdict));
    assert_eq!(series.probed.goals(), [""; 0]);

    // From patch files it is the same series.
    let args = ["format-patch", "--quiet", "-o", "../patches", "main..topic"];
    series.git(&args);
    let mut files: Vec<_> = fs::read_dir(series.probed.kernel.dir().join("patches"))
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let ended = series.judge(&[&files[..], &["--format", "json"]].concat());
    let of_files: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(changes(&of_files), changes(&verdict));
}

#[test]
fn an_acknowledged_finding_stays_acknowledged_in_the_next_version() {
    let series = Series::of("", &[(EARLY, WRONG)]);
    let mbox = series.mbox("-v1");
    let args = ["--mbox", mbox.to_str().unwrap()];
    let judge = |more: &[&str]| series.judge(&[&args, more].concat());
    let ended = judge(&["--format", "json"]);
    assert_eq!(ended.code, Some(1));
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    let findings = verdict["findings"].as_array().unwrap();
    let ids: Vec<&str> = findings.iter().map(|f| f["id"].as_str().unwrap()).collect();

    let wrong = judge(&["--ack", "0123456789"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("brings a finding '0123456789'"),
        "{}",
        wrong.stderr
    );

    let acks: Vec<&str> = ids.iter().flat_map(|id| ["--ack", id]).collect();
    let ended = judge(&acks);
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stdout.contains("new by patch 1, acknowledged"),
        "{}",
        ended.stdout
    );
    series.mbox("-v2");
    assert_eq!(judge(&[]).code, Some(0));
    // Of another series it is not.
    assert_eq!(series.judge(&["--range", "main..topic"]).code, Some(1));
}

#[test]
fn other_tools_are_answered_from_the_verdict_that_is_kept() {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    let mbox = series.mbox("-v1");
    let messages = fs::read_to_string(&mbox).unwrap();
    let file = |name: &str, text: &str| {
        let file = series.probed.kernel.dir().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let parts: Vec<String> = messages
        .split("\nFrom ")
        .enumerate()
        .map(|(at, text)| format!("{}{text}\n", if at == 0 { "" } else { "From " }))
        .collect();
    let [cover, one, two] = &parts[..] else {
        panic!("{parts:?}")
    };
    let (cover, one, two) = (file("cover", cover), file("one", one), file("two", two));
    let ask = |format: &str, file: &str| series.judge(&["--format", format, "--mbox", file]);
    let status = |file: &str| {
        let ended = ask("b4", file);
        assert_eq!(ended.code, Some(0));
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(answer[0]["tool"], "klto");
        answer[0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&one), "warn", "it was not judged");
    assert!(
        ask("terse", &one)
            .stdout
            .starts_with("WARNING: klto has not judged")
    );

    series.judge(&["--mbox", mbox.to_str().unwrap()]);
    series.probed.goals();
    assert_eq!(
        [status(&cover), status(&one), status(&two)],
        ["fail", "pass", "fail"]
    );
    assert_eq!(ask("terse", &one).stdout, "");
    let complaint = ask("terse", &two).stdout;
    assert!(complaint.starts_with("ERROR: "), "{complaint}");
    assert!(complaint.contains("new by patch 2"), "{complaint}");
    assert_eq!(series.probed.goals(), [""; 0]);
}

#[test]
fn the_reply_is_plain_text_in_the_thread() {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    let mbox = series.mbox("-v2");
    let reply = series.probed.kernel.dir().join("reply.eml");
    let report = format!("mail={}", reply.display());
    let ended = series.judge(&["--mbox", mbox.to_str().unwrap(), "--report", &report]);
    assert_eq!(ended.code, Some(1));
    let reply = fs::read_to_string(reply).unwrap();
    let (head, body) = reply.split_once("\n\n").unwrap();
    let thread = fs::read_to_string(&mbox).unwrap();
    let id = thread.lines().find_map(|line| {
        line.strip_prefix("Message-ID: ")
            .or(line.strip_prefix("Message-Id: "))
    });
    for line in [
        "Subject: Re: [PATCH v2 0/2] fault: in steps".to_owned(),
        "To: A Developer <dev@example.org>".to_owned(),
        "Cc: list@example.org".to_owned(),
        format!("In-Reply-To: {}", id.unwrap()),
        format!("References: {}", id.unwrap()),
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    assert!(
        body.lines().all(|line| line.chars().count() <= 72),
        "{body}"
    );
    assert!(body.contains("\n>> "), "{body}");
    assert!(body.contains("new by patch 2"), "{body}");
    assert!(body.contains("git -C \"$KERNEL\" am -3"), "{body}");
    assert!(
        body.contains("made by a program and may be wrong"),
        "{body}"
    );
}

/// Its report names a cell by architecture and mode.
#[test]
fn a_series_is_judged_with_one_toolchain() {
    let series = Series::of("", &[(EARLY, "\n")]);
    let mbox = series.mbox("-v1");
    let toolchains = ["--toolchain", "-22,-23"];
    let ended = series.judge(&[&["--mbox", mbox.to_str().unwrap()], &toolchains[..]].concat());
    assert_eq!(ended.code, Some(2));
    let said = "--toolchain -22,-23: a series is judged with one toolchain";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn a_hostile_patch_is_refused_before_it_is_applied() {
    let series = Series::of("", &[(EARLY, "\n")]);
    let mbox = series.mbox("-v1");
    let hostile = fs::read_to_string(&mbox).unwrap();
    let hostile = hostile.replace("include/fault.h", "../fault.h");
    fs::write(&mbox, hostile).unwrap();
    let ended = series.judge(&["--mbox", mbox.to_str().unwrap()]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("patch 1 ('fault: step 1') is refused"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("leads out of the tree"),
        "{}",
        ended.stderr
    );
    assert!(!series.probed.kernel.dir().join("fault.h").exists());
    assert_eq!(series.probed.goals(), [""; 0]);
}

#[test]
fn what_a_patch_tries_and_the_sandbox_refuses_is_new_by_that_patch() {
    let out = tempfile::Builder::new()
        .prefix("klto-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let out = out.unwrap();
    let secret = out.path().join("out");
    let write = format!("$(shell echo x >{})\n", secret.display());
    let series = Series::of("", &[(NOT_READ_BY_PREPARE, "\n")]);
    let makefile = series.git(&["show", "main:Makefile"]);
    series.git(&["checkout", "--quiet", "topic"]);
    series
        .probed
        .write("Makefile", &format!("{makefile}{write}"));
    series.commit("fault: step 2");
    series.git(&["checkout", "--quiet", "main"]);
    let args = ["--range", "main..topic", "--format", "json", "--sandbox"];
    if std::env::var_os("KLTO_SKIP_SANDBOX").is_some() {
        eprintln!("left out: KLTO_SKIP_SANDBOX is set");
        return;
    }
    let ended = series.judge(&[&args[..], &["require"]].concat());
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(!secret.exists(), "{verdict:#}");
    let keys: Vec<&Value> = verdict["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["key"])
        .collect();
    assert!(keys.contains(&&Value::from("sandbox.refused")), "{keys:?}");
    assert!(
        verdict["sandbox"]["landlock"].as_u64() > Some(0),
        "{verdict:#}"
    );
    assert_eq!(ended.code, Some(1));
    // Outside of a sandbox it does what it likes.
    series.judge(&[&args[..], &["off"]].concat());
    assert!(secret.exists());
}

/// The base is built as the patches are.
#[test]
fn what_the_base_tries_and_the_sandbox_refuses_is_known() {
    if std::env::var_os("KLTO_SKIP_SANDBOX").is_some() {
        eprintln!("left out: KLTO_SKIP_SANDBOX is set");
        return;
    }
    let out = tempfile::Builder::new()
        .prefix("klto-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let out = out.unwrap();
    let write = format!("$(shell echo x >{})\n", out.path().join("out").display());
    let series = Series::of("", &[(EARLY, "\n"), (LATE, "\n")]);
    series.probed.append("Makefile", &write);
    series.commit("its makefile writes elsewhere");
    series.git(&["rebase", "--quiet", "main", "topic"]);
    series.git(&["checkout", "--quiet", "main"]);
    series.probed.kernel.matrix("[thin, thin-dist]", "10min");
    let matrix = series.probed.kernel.matrix_file();
    let matrix = matrix.to_str().unwrap();
    let args = ["--range", "main..topic", "--format", "json", "--sandbox"];
    let cells = ["--matrix", matrix, "--cell", "*/thin-dist"];
    let ended = series.judge(&[&args[..], &["require"], &cells].concat());
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    let refused: Vec<&Value> = verdict["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["key"] == "sandbox.refused")
        .collect();
    let cells: String = refused.iter().map(|f| f["cells"].to_string()).collect();
    assert!(cells.contains("x86_64/probe/thin-dist"), "{verdict:#}");
    assert!(cells.contains(KERNEL), "{verdict:#}");
    for finding in refused {
        assert_eq!(finding["change"]["is"], "known", "{finding:#}");
    }
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // What a compiler answers in the sandbox is not taken for its answer outside.
    for answers in fs::read_dir(series.probed.kernel.work().join("answers")).unwrap() {
        let name = answers.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with("-sandboxed"), "{name}");
    }
}

#[test]
fn a_patch_that_does_not_apply_is_inconclusive_and_told_where() {
    let series = Series::of("", &[(UNREAD, "y\n"), (UNREAD, "z\n")]);
    let mbox = series.mbox("-v1");
    series.probed.write(UNREAD, "other\n");
    let other = series.commit("other");
    let ended = series.judge(&["--mbox", mbox.to_str().unwrap(), "--base", &other]);
    assert_eq!(ended.code, Some(125));
    for said in [
        "patch 1 of 2 ('fault: step 1') does not apply to",
        "which --base names",
        "this part of Documentation/x.rst does not fit:",
        "    -x",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[rstest]
#[case::clean(&[])]
#[case::detached_head(&["checkout --quiet --detach"])]
#[case::staged_change(&["rm --quiet --cached Documentation/x.rst"])]
#[case::in_the_middle_of_a_rebase(&["checkout --quiet topic", "rebase --exec false main"])]
#[case::other_worktree(&["worktree add --quiet ../other topic"])]
fn nothing_of_the_users_repository_changes(#[case] before: &[&str]) {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    let mbox = series.mbox("-v1");
    for args in before {
        // A rebase that stops fails.
        let mut command = Command::new("git");
        command
            .args(args.split(' '))
            .current_dir(series.probed.kernel.source())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_NAME", "A Developer")
            .env("GIT_COMMITTER_EMAIL", "dev@example.org");
        finish(&mut command);
    }
    series.probed.append(UNREAD, "not committed\n");
    let state = files(&series.probed.kernel.source());
    let base = series.base.as_str();
    let ended = series.judge(&["--mbox", mbox.to_str().unwrap(), "--base", base]);
    assert_eq!(ended.code, Some(1));
    assert!(files(&series.probed.kernel.source()) == state);
}

/// What is the same in each run over the same series.
fn judgement(verdict: &Value) -> (Vec<(String, Value)>, Value, Value) {
    let coverage = verdict["coverage"].clone();
    (changes(verdict), verdict["undecided"].clone(), coverage)
}

/// The disk is that of the work directory.
#[rstest]
#[case::has_no_room_for_the_repository(8)]
#[case::has_no_room_for_the_copy(100)]
#[case::has_no_room_for_the_builds(400)]
fn a_full_disk_is_said_and_the_next_run_is_right(#[case] kib: u32) {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    let (_, expected) = series.verdict();
    fs::remove_dir_all(series.probed.kernel.work()).unwrap();
    fs::create_dir(series.probed.kernel.work()).unwrap();
    let state = files(&series.probed.kernel.source());
    let script = format!(
        "mount -t tmpfs -o size={kib}k tmpfs \"$0\" || exit 99
         \"$@\" --format text; echo \"code $?\" >&2
         mount -o remount,size=1g \"$0\" || exit 99
         exec \"$@\" --format json"
    );
    let range = ["--range", "main..topic"];
    let klto = series.command_at(&series.probed.kernel.source(), &range);
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(series.probed.kernel.work())
        .current_dir(series.probed.kernel.dir());
    let ended = finish(&mut inside(unshare, &klto));
    let said = ended.stdout.clone() + &ended.stderr;
    assert!(ended.stderr.contains("code 125\n"), "{said}");
    assert!(said.to_lowercase().contains("no space left"), "{said}");
    assert_eq!(ended.code, Some(1), "{said}");
    let json = ended.stdout.find("\n{").map_or(0, |at| at + 1);
    let verdict: Value = serde_json::from_str(&ended.stdout[json..]).unwrap();
    assert_eq!(judgement(&verdict), judgement(&expected));
    assert!(files(&series.probed.kernel.source()) == state);
}

/// It is killed, with all that it started, as soon as it says something.
#[rstest]
#[case::at_the_base("the base, ")]
#[case::at_a_patch("patch 2 of 2, ")]
#[case::in_a_build("configure")]
#[case::without_a_place("without include/")]
#[case::in_a_whole_kernel(KERNEL)]
fn a_series_that_was_killed_is_judged_as_any_other_the_next_time(#[case] last: &str) {
    let series = Series::of("", &[(EARLY, "\n"), (LATE, WRONG)]);
    series.probed.kernel.matrix("[thin, thin-dist]", "10min");
    let matrix = series.probed.kernel.matrix_file();
    let matrix = matrix.to_str().unwrap();
    let more = ["--range", "main..topic", "--format", "json"];
    let kernels = ["--matrix", matrix, "--cell", "*/thin-dist"];
    let more = [&more[..], &kernels].concat();
    let expected = series.judge(&more);
    fs::remove_dir_all(series.probed.kernel.work()).unwrap();
    let state = files(&series.probed.kernel.source());

    let stderr = series.probed.kernel.dir().join("stderr");
    let mut command = series.command_at(&series.probed.kernel.source(), &more);
    let mut killed = command
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let has_said = || fs::read_to_string(&stderr).unwrap().contains(last);
    assert!(within(Duration::from_mins(1), has_said));
    killed.kill().unwrap();
    killed.wait().unwrap();

    let ended = series.judge(&more);
    assert_eq!(ended.code, expected.code, "{}", ended.stderr);
    let verdict = |ended: &Ended| serde_json::from_str::<Value>(&ended.stdout).unwrap();
    assert_eq!(judgement(&verdict(&ended)), judgement(&verdict(&expected)));
    assert!(files(&series.probed.kernel.source()) == state);
}

#[rstest]
#[case::nothing(&[], "there is no series to judge")]
#[case::no_range(&["--range", "main"], "expected A..B, found 'main'")]
#[case::three_dots(&["--range", "main...topic"], "expected A..B")]
#[case::no_commit(&["--range", "main..absent"], "'absent' names no commit")]
#[case::backwards(&["--range", "topic..main"], "name the base first")]
#[case::no_file(&["--mbox", "absent.mbox"], "cannot read absent.mbox")]
#[case::no_mail(&["--mbox", "../bin/sh"], "cannot read ../bin/sh")]
#[case::no_base(&["--mbox", "thread.mbox", "--base", "absent"], "'absent' names no commit")]
#[case::two_inputs(&["--mbox", "thread.mbox", "--range", "a..b"], "cannot be used with")]
#[case::base_of_a_range(&["--range", "main..topic", "--base", "main"], "cannot be used with")]
#[case::no_such_version(&["--mbox", "thread.mbox", "--revision", "7"], "v7")]
#[case::no_format(&["--format", "pdf"], "pdf")]
fn bad_input_is_named_and_nothing_is_built(#[case] args: &[&str], #[case] said: &str) {
    let series = Series::of("", &[(EARLY, "\n")]);
    series.mbox("-v1");
    let ended = series.judge(args);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(series.probed.goals(), [""; 0]);
}

#[test]
fn a_bare_repository_is_enough() {
    let series = Series::of("", &[(EARLY, WRONG)]);
    let mbox = series.mbox("-v1");
    let bare = series.probed.kernel.dir().join("bare");
    series.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let mut command = series.command_at(&bare, &["--mbox", mbox.to_str().unwrap()]);
    let ended = finish(&mut command);
    assert_eq!(ended.code, Some(1));
}

/// The repository as its author has it, on the branch with the patches; git and klto find each
/// other there.
fn as_author(series: &Series, command: &mut Command) -> Ended {
    let klto = Path::new(env!("CARGO_BIN_EXE_klto")).parent().unwrap();
    let own = std::env::var_os("PATH").unwrap();
    let folders = [klto.to_owned()].into_iter();
    let folders = folders.chain(std::env::split_paths(&own));
    let folders = folders.chain([series.probed.kernel.tools()]);
    command
        .current_dir(series.probed.kernel.source())
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("HOME", series.probed.kernel.dir())
        .env("XDG_CACHE_HOME", series.probed.kernel.dir().join("cache"))
        .env("XDG_DATA_HOME", series.probed.kernel.dir().join("data"))
        .env("XDG_CONFIG_HOME", series.probed.kernel.dir().join("config"))
        .env("KLTO_PROBE_WORK", series.probed.kernel.work())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("KLTO_KERNEL");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    series.git(&["checkout", "--quiet", "topic"]);
    series.git(&["config", "user.name", "A Developer"]);
    series.git(&["config", "user.email", "dev@example.org"]);
    finish(command)
}

#[test]
fn b4_review_shows_the_verdict_on_each_patch_and_on_the_series() {
    let Some(b4) = b4() else { return };
    let series = Series::of("", &[(EARLY, "none\n"), (EARLY, WRONG)]);
    let mbox = series.mbox("-v2");
    for level in ["perpatch", "series"] {
        let setting = format!("b4.review-{level}-check-cmd");
        series.git(&["config", &setting, "klto series --format b4"]);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/b4_review.py");
    let review = || -> Value {
        // The Python that b4 is installed for.
        let mut command = Command::new(b4.canonicalize().unwrap().with_file_name("python3"));
        let ended = as_author(&series, command.arg(&script).arg(&mbox));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let statuses = |shown: &Value| -> Vec<String> {
        let patches = shown["patches"].as_array().unwrap().iter();
        patches
            .chain([&shown["series"]])
            .map(|results| {
                assert_eq!(results.as_array().unwrap().len(), 1, "{shown:#}");
                assert_eq!(results[0]["tool"], "klto");
                results[0]["status"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let before = review();
    assert_eq!(statuses(&before), ["warn", "warn", "warn"]);
    assert_eq!(before["series"][0]["summary"], "not yet judged");

    series.git(&["checkout", "--quiet", "main"]);
    series.judge(&["--mbox", mbox.to_str().unwrap()]);
    let after = review();
    assert_eq!(statuses(&after), ["pass", "fail", "fail"]);
    let details = after["patches"][1][0]["details"].as_str().unwrap();
    assert!(details.contains("new by patch 2"), "{details}");
}

#[test]
fn b4_prep_check_shows_the_verdict_on_each_patch() {
    let Some(b4) = b4() else { return };
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, WRONG)]);
    series.judge(&["--range", "main..topic"]);
    series.git(&["config", "b4.prep-cover-strategy", "branch-description"]);
    let check = "klto series --format terse";
    series.git(&["config", "b4.prep-perpatch-check-cmd", check]);
    let run = |args: &[&str]| {
        let mut command = Command::new(&b4);
        let ended = as_author(&series, command.args(["-n", "prep"]).args(args));
        assert_eq!(ended.code, Some(0));
        format!("{}{}", ended.stdout, ended.stderr)
    };
    run(&["--enroll", "main"]);
    let shown = run(&["--check"]);
    assert!(
        shown.contains("Success: 1, Warning: 0, Error: 1"),
        "{shown}"
    );
    assert!(shown.contains("klto: ERROR: "), "{shown}");
    assert!(shown.contains("new by patch 2"), "{shown}");
}

#[rstest]
#[case::clean("\n\n", true)]
#[case::worse(WRONG, false)]
fn git_send_email_sends_only_what_makes_nothing_worse(#[case] fault: &str, #[case] sends: bool) {
    let series = Series::of("", &[(EARLY, "\n"), (EARLY, fault)]);
    let hooks = series.probed.kernel.source().join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/sendemail-validate");
    fs::copy(hook, hooks.join("sendemail-validate")).unwrap();
    let mut command = Command::new("git");
    command.args([
        "send-email",
        "--dry-run",
        "--confirm=never",
        "--to=list@example.org",
    ]);
    command.args([
        "--smtp-server=/bin/false",
        "--cover-letter",
        "--force",
        "main..topic",
    ]);
    // The fake kernel notes outside of its tree which goals it runs.
    let options = "--arch x86_64 --lto thin-dist --sandbox off";
    command.env("KLTO_SERIES", options);
    let ended = as_author(&series, &mut command);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    if said.contains("git 2.41 or newer") {
        // This git does not tell the hook how many files there are: nothing is sent.
        assert_ne!(ended.code, Some(0));
        return;
    }
    assert_eq!(ended.code == Some(0), sends, "{said}");
    let verdict = match sends {
        true => "klto: no patch makes it worse",
        false => "klto: error: a patch makes the kernel worse",
    };
    assert!(said.contains(verdict), "{said}");
    assert_eq!(said.contains("Dry-OK"), sends, "{said}");
    let left = fs::read_dir(series.probed.kernel.source().join(".git")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains("klto")).collect();
    assert_eq!(left, [""; 0]);
}
