//! `klto run --engine slurm` where Slurm answers late, oddly or not at all, nodes fail, or the time is
//! over: on programs that answer as Slurm's do.

use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fake_kernel::CELL;
use crate::support::fake_slurm::FakeSlurm;
use crate::support::program::{Ended, finish, within};
use crate::support::slurm::Started;

/// Node n1 fails each task at once.
const BLACK_HOLE: &str =
    "task() { if [ $node = n1 ]; then state=FAILED; else do_task \"$@\"; fi; }\n";

const PASS: &str = "pass";

fn outcomes(on: &FakeSlurm) -> Vec<Value> {
    let cells = on.kernel.report()["cells"].as_array().unwrap().clone();
    cells.iter().map(|cell| cell["outcome"].clone()).collect()
}

/// Runs, and all cells pass.
fn passes(on: &FakeSlurm, options: &[&str]) -> Ended {
    let ended = finish(&mut on.run(options));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for outcome in outcomes(on) {
        assert_eq!(outcome["is"], PASS, "{}", ended.stderr);
    }
    ended
}

#[test]
fn what_is_not_done_in_time_is_left_out_and_its_task_ends() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted("task() { state=PENDING; }\n");

    let ended = finish(&mut on.run(&["--budget", "2s"]));

    let budget = json!({ "is": "skip", "reason": { "why": "budget" } });
    assert_eq!(outcomes(&on), [budget], "{}", ended.stderr);
    // Nothing was judged.
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let said = "the time is over (--budget), and the tasks of 1 cell end";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(
        on.cancelled().len(),
        usize::from(!on.submitted().is_empty())
    );
}

#[test]
fn a_node_that_fails_every_task_does_not_make_a_run_inconclusive() {
    let on = FakeSlurm::new("[none, thin, thin-dist]");
    on.when_submitted(BLACK_HOLE);

    passes(&on, &["--retry-infra", "1"]);

    let report = on.kernel.report();
    for cell in report["cells"].as_array().unwrap() {
        let earlier = cell["earlier_errors"].as_array().unwrap();
        assert_eq!(earlier.len(), 1, "{earlier:?}");
        let why = earlier[0].as_str().unwrap();
        assert!(why.contains("Slurm says FAILED on n1"), "{why}");
    }
    assert_eq!(report["cells"][1]["derived_from"], CELL);
    let again = on.submitted().into_iter();
    let again = again.filter(|line| line.contains("--exclude=n1"));
    assert_eq!(again.count(), 3);
}

#[test]
fn a_cell_that_its_machine_stopped_is_done_by_another() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(
        "task() {\n\
         do_task \"$@\"\n\
         [ $node = n2 ] || sed -i 's/{\"is\":\"pass\"}/{\"is\":\"error\",\"reason\":\"no space\"}/' ${1%task.sh}done/0.json\n\
         }\n",
    );

    passes(&on, &["--retry-infra", "1"]);

    let earlier = &on.kernel.cell()["earlier_errors"];
    assert_eq!(*earlier, json!(["no space"]));
    assert!(on.submitted()[1].contains("--exclude=n1"));
}

#[test]
fn a_cell_that_lacked_memory_gets_all_of_a_node() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(
        "task() { if [ \"$memory\" = 0 ]; then do_task \"$@\"; else state=OUT_OF_MEMORY; fi; }\n",
    );

    passes(&on, &[]);

    let submitted = on.submitted();
    assert_eq!(submitted.len(), 2, "{submitted:#?}");
    assert!(!submitted[0].contains("--mem=0") && !submitted[1].contains("--exclude"));
}

#[rstest]
#[case::none("none", false)]
#[case::all("all", true)]
fn a_node_keeps_the_trees_that_are_to_be_kept(#[case] keep: &str, #[case] stays: bool) {
    let on = FakeSlurm::new("[thin, thin-dist]");

    passes(&on, &["--keep", keep]);

    assert_eq!(on.kernel.report()["cells"][0]["derived_from"], CELL);
    for cell in [CELL, "x86_64/tiny/thin/llvm-22"] {
        let folder = on.kernel.dir().join("scratch/cells/7.2.13").join(cell);
        assert!(folder.join("record.json").is_file());
        assert_eq!(folder.join("build").exists(), stays, "{cell}");
    }
}

#[rstest]
#[case::new(&["log"], true)]
#[case::known(&["log", "elf"], false)]
fn a_tree_with_findings_goes_if_all_of_them_are_known(#[case] keys: &[&str], #[case] stays: bool) {
    let on = FakeSlurm::new("[thin-dist]");
    on.kernel.set_fault("empty-object");
    let entry = |key| format!("- {{ key: {key}, cells: '*', reason: known, until: '9.0' }}\n");
    let allow = on.kernel.dir().join("allow.yaml");
    let entries: String = keys.iter().map(entry).collect();
    std::fs::write(&allow, entries).unwrap();

    let ended = finish(&mut on.run(&["--keep", "failed", "--allow", allow.to_str().unwrap()]));

    assert_eq!(ended.code, Some(i32::from(stays)), "{}", ended.stderr);
    let build = on.kernel.dir().join("scratch/cells/7.2.13").join(CELL);
    let log = std::fs::read_to_string(on.dir().join("log")).unwrap();
    assert_eq!(build.join("build").exists(), stays, "{log}");
}

/// As the last job of a plan does, for a klto that was killed.
#[rstest]
#[case::what_the_user_allows("empty-object", &["--allow", "allow.yaml"], PASS)]
#[case::known_defects("other-triple", &[], PASS)]
#[case::no_known_defects("other-triple", &["--no-known-defects"], "fail")]
fn the_report_of_a_task_knows_what_the_run_knows(
    #[case] fault: &str,
    #[case] options: &[&str],
    #[case] expected: &str,
) {
    let on = FakeSlurm::new("[thin-dist]");
    on.kernel.set_fault(fault);
    if fault == "other-triple" {
        on.kernel.has_arch("um");
    }
    let entries = "- { key: elf, cells: '*', reason: known, until: '9.0' }\n";
    std::fs::write(on.kernel.dir().join("allow.yaml"), entries).unwrap();
    let ended = finish(&mut on.run(options));
    assert_eq!(outcomes(&on)[0]["is"], expected, "{}", ended.stderr);

    let plans = on.kernel.dir().join("shared/plans");
    let plan = std::fs::read_dir(plans).unwrap().next().unwrap().unwrap();
    let mut task = Command::new("sh");
    let task = task.arg(plan.path().join("task.sh")).arg("report");
    // A session can be a task of an array itself.
    let ended = finish(
        task.env("PATH", on.kernel.tools())
            .env("SLURM_ARRAY_TASK_ID", "3"),
    );

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = std::fs::read_to_string(plan.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["cells"][0]["outcome"]["is"], expected, "{report:#}");
}

#[test]
fn an_interrupt_while_the_first_array_is_submitted_cancels_it() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(": >\"$dir/began\"\nexec sleep 60\n");
    let klto = Started::new(&mut on.run(&[]), on.kernel.dir());
    let began = || on.dir().join("began").exists();
    assert!(within(Duration::from_secs(30), began), "{}", klto.said());

    let term = Command::new("kill").arg(klto.id().to_string()).status();
    assert!(term.unwrap().success());
    let ended = klto.end();

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert_eq!(outcomes(&on)[0]["reason"], "interrupted");
    // The controller may take it a moment later.
    assert_eq!(on.cancelled().len(), 2);
}

#[test]
fn an_odd_answer_of_the_queue_ends_nothing() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(BLACK_HOLE);
    on.when_asked(
        "if [ ! -e \"$dir/odd\" ]; then\n\
         : >\"$dir/odd\"\n\
         echo 'slurm_load_jobs error: Protocol authentication error' >&2\n\
         exit 1\n\
         fi\n",
    );

    let ended = passes(&on, &["--retry-infra", "1"]);

    let said = "squeue failed, klto asks again: Protocol authentication error";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn a_queue_that_stays_odd_ends_the_run_with_a_report() {
    let on = FakeSlurm::new("[thin-dist, none]");
    on.when_submitted("task() { if [ $at = 0 ]; then do_task \"$@\"; else state=PENDING; fi; }\n");
    on.when_asked("echo 'slurm_load_jobs error: Access denied' >&2\nexit 1\n");

    let ended = finish(&mut on.run(&[]));

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let found = outcomes(&on);
    assert_eq!(found[0]["is"], PASS, "{}", ended.stderr);
    let why = found[1]["reason"].as_str().unwrap();
    assert!(why.starts_with("squeue failed: Access denied"), "{why}");
    assert_eq!(on.cancelled().len(), 1);
}

#[test]
fn a_refused_array_takes_nothing_from_the_others() {
    let on = FakeSlurm::new("[thin, thin-dist]");
    on.when_submitted("[ \"$comment\" != 1:0-1 ] || refuse 'Requested time limit is invalid'\n");

    let ended = finish(&mut on.run(&[]));

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let found = outcomes(&on);
    let why = found[0]["reason"].as_str().unwrap();
    let said = "sbatch failed: Batch job submission failed: Requested time limit is invalid";
    assert!(why.starts_with(said), "{why}");
    assert_eq!(found[1]["is"], PASS);
    // The administrator may change the limit meanwhile.
    assert!(ended.stderr.contains("sbatch failed, klto tries again: "));
    let submitted = on.submitted();
    let of_thin = submitted.iter().filter(|line| line.contains("1:0-1"));
    assert_eq!(of_thin.count(), 10, "{submitted:#?}");
}

#[test]
fn a_mistake_shows_at_once() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted("refuse 'Invalid partition name specified'\n");

    let ended = finish(&mut on.run(&["--partition", "none"]));

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert!(ended.stderr.contains("--partition names another partition"));
    assert_eq!(on.submitted().len(), 1);
    assert!(on.cancelled().is_empty());
}

#[test]
fn a_result_that_cannot_be_read_is_one_cell_that_is_inconclusive() {
    let on = FakeSlurm::new("[thin-dist, none]");
    on.when_submitted(
        "task() { do_task \"$@\"; [ $at = 1 ] || printf '{' >${1%task.sh}done/0.json; }\n",
    );

    let ended = finish(&mut on.run(&[]));

    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    let found = outcomes(&on);
    let why = found[0]["reason"].as_str().unwrap();
    assert!(why.contains("done/0.json: damaged: "), "{why}");
    assert_eq!(found[1]["is"], PASS);
}

#[test]
fn a_controller_that_takes_an_array_late_is_asked_once() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted("sleep 6\n");

    passes(&on, &[]);

    assert_eq!(on.submitted().len(), 1);
}

/// The first call of sbatch gets no answer, and notes what it was.
const AWAY: &str = "if [ ! -e \"$dir/away\" ]; then\n\
    printf '%s\\n' \"$number $comment $*\" >\"$dir/away\"\n\
    echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2\n\
    exit 1\n\
    fi\n";

/// The queue counts how often it was asked, and can do the task of that call.
const LOOKS: &str = "echo >>\"$dir/looks\"\n\
    looks=$(grep -c '' \"$dir/looks\")\n\
    read -r number comment script array <\"$dir/away\"\n\
    do_task() {\n\
    SLURM_ARRAY_JOB_ID=$1 SLURM_ARRAY_TASK_ID=0 SLURMD_NODENAME=n1 sh $script $array >/dev/null 2>&1\n\
    printf '%s\\n' \"$1|0|COMPLETED|n1|$comment|None\" >\"$dir/tasks\"\n\
    }\n";

#[test]
fn an_array_that_shows_late_is_not_submitted_again() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(AWAY);
    on.when_asked(&format!("{LOOKS}[ $looks != 3 ] || do_task $number\n"));

    passes(&on, &[]);

    assert_eq!(on.submitted().len(), 1);
}

#[test]
fn an_array_that_slurm_took_twice_is_cancelled_once() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(&format!("{AWAY}task() {{ state=PENDING; }}\n"));
    let late = "[ $looks != 5 ] || echo \"1|0|PENDING|n1|$comment|None\" >>\"$dir/tasks\"\n\
                [ $looks != 6 ] || do_task 2\n";
    on.when_asked(&format!("{LOOKS}{late}"));

    let ended = passes(&on, &[]);

    let said = "Slurm took an array twice; 1 is cancelled";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(on.submitted().len(), 2);
    assert_eq!(on.cancelled()[0], "1");
}

#[test]
fn a_full_queue_is_not_waited_for_by_sbatch() {
    let on = FakeSlurm::new("[thin-dist, none]");
    on.when_submitted(
        "if [ ! -e \"$dir/full\" ]; then\n\
         : >\"$dir/full\"\n\
         echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2\n\
         exec sleep 600\n\
         fi\n",
    );

    passes(&on, &[]);

    let submitted = on.submitted();
    assert_eq!(submitted.len(), 3, "the halves follow: {submitted:#?}");
}

#[test]
fn an_array_that_is_too_large_for_the_site_is_halved() {
    let on = FakeSlurm::new("[thin-dist, none, full]");
    on.when_submitted("case $array in *-*) refuse 'Invalid job array specification' ;; esac\n");

    passes(&on, &[]);

    assert_eq!(on.submitted().len(), 5);
}

#[test]
fn a_report_that_is_refused_is_given_up() {
    let on = FakeSlurm::new("[thin-dist]");
    let refused = "[ \"$comment\" != report ] || refuse 'Access denied'\n";
    on.when_submitted(&format!("{refused}{BLACK_HOLE}"));

    let ended = passes(&on, &["--retry-infra", "1"]);

    let said = "if this klto is killed, no job writes the report: ";
    assert_eq!(ended.stderr.matches(said).count(), 1, "{}", ended.stderr);
    assert_eq!(on.reports(), 1);
}

#[test]
fn a_later_array_has_a_report_of_its_own() {
    let on = FakeSlurm::new("[thin-dist]");
    on.when_submitted(BLACK_HOLE);

    passes(&on, &["--retry-infra", "1"]);

    assert_eq!(on.reports(), 2);
    let earlier = &on.cancelled()[0];
    assert!(
        !earlier.starts_with("--name="),
        "the number of the first: {earlier}"
    );
}

/// A session may have a folder of its own for temporary files, which nodes do not have.
#[test]
fn where_temporary_files_are_does_not_matter() {
    let on = FakeSlurm::new("[thin-dist]");
    let ended = finish(on.run(&[]).env("TMPDIR", on.kernel.dir()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = finish(on.run(&[]).env("TMPDIR", "/tmp"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(on.kernel.cell()["reused"], true);

    let task = on.kernel.dir().join("shared/plans");
    let plan = std::fs::read_dir(task).unwrap().next().unwrap().unwrap();
    let script = std::fs::read_to_string(plan.path().join("task.sh")).unwrap();
    let (head, _) = script.rsplit_once("exec ").unwrap();
    let shown = format!("{head}printf '%s' \"${{TMPDIR-none}}\"");
    for (given, expected) in [("/tmp", "/tmp"), ("/not/there", "none")] {
        let mut sh = Command::new("sh");
        let ended = finish(sh.args(["-c", &shown, "sh", "0"]).env("TMPDIR", given));
        assert_eq!(ended.stdout, expected);
    }
}
