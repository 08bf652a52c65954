//! A matrix divided among machines, and the runs joined again: the same as one machine would say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use klto::model::record::RunRecord;
use klto::report::{Format, Named as _, Options};
use rstest::rstest;
use serde_json::Value;

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish, klto};
use crate::support::schema::faults;

/// A matrix of three kernels in two modes. One cell fails, one is accepted and gone.
struct Night(FakeKernel);

impl Night {
    fn new() -> Night {
        let kernel = FakeKernel::new();
        kernel.matrix("[thin, thin-dist]", "10min");
        kernel.add_kernels();
        kernel.add_to_matrix(
            "scenarios: [build, { name: noop, cells: \"*/small/thin-dist\" }]\n\
             compare: [thin, thin-dist]\n",
        );
        let snapshots = kernel.dir().join("snapshots");
        fs::create_dir_all(snapshots.join("old")).unwrap();
        let gone = snapshots.join("fake/x86_64/gone/thin/llvm-22");
        fs::create_dir_all(&gone).unwrap();
        fs::write(gone.join("flags.snap"), "").unwrap();
        Night(kernel)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.dir().join(name)
    }

    /// A run on a machine of its own, kept in a store of that name.
    fn machine(&self, name: &str, more: &[&str]) -> Ended {
        let work = self.path(&format!("work-{name}"));
        let mut command = self.0.run_in(&self.0.source(), &work);
        command.args(["--store", name]).args(more);
        finish(&mut command)
    }

    fn ask(&self, store: &str, args: &[&str]) -> Ended {
        let mut command = klto(args);
        let store = self.path(store);
        command.current_dir(self.0.dir()).env("KLTO_STORE", store);
        finish(&mut command)
    }

    /// Runs a shard on a machine of its own, and exports it to a file.
    fn shard(&self, shard: &str) -> String {
        let name = format!("shard-{}", shard.replace('/', "-of-"));
        self.machine(&name, &["--shard", shard]);
        let file = format!("{name}.tar");
        let exported = self.ask(&name, &["runs", "export", "latest", &file]);
        assert_eq!(exported.code, Some(0));
        file
    }

    fn merge(&self, store: &str, runs: &[String], more: &[&str]) -> Ended {
        let mut args = vec!["merge"];
        args.extend(runs.iter().map(String::as_str));
        args.extend(more);
        self.ask(store, &args)
    }

    fn json(&self, store: &str) -> Value {
        let report = self.ask(store, &["report", "--format", "json"]);
        serde_json::from_str(&report.stdout).unwrap()
    }
}

/// A record without what differs from machine to machine: times, the host, paths, and the key of the job,
/// which has the paths in it. The fake kernel is built in so short a time that its files may have the
/// same: what is out of date shows or not.
fn without_times(value: &mut Value, dir: &Path) {
    match value {
        Value::Object(keys) => {
            keys.retain(|key, _| !["stages", "cpu_utilization", "times_lost"].contains(&&**key));
            for key in ["host", "started", "job"] {
                keys.entry(key).and_modify(|value| *value = "".into());
            }
            for key in ["wall_seconds", "user_seconds", "system_seconds", "seconds"] {
                keys.entry(key).and_modify(|value| *value = 0.0.into());
            }
            keys.entry("peak_memory_kib")
                .and_modify(|value| *value = 0.into());
            if keys.get("key") == Some(&"archive.stale".into()) {
                keys.entry("looked_at")
                    .and_modify(|value| *value = 0.into());
            }
            keys.values_mut()
                .for_each(|value| without_times(value, dir));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| without_times(value, dir)),
        Value::String(text) => *text = without_work(text, dir),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Paths without the name of the work directory.
fn without_work(text: &str, dir: &Path) -> String {
    let begin = format!("{}/work-", dir.display());
    let mut parts = text.split(&begin);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find('/').map_or("", |end| &part[end..]);
        whole.push_str("WORK");
        whole.push_str(rest);
    }
    whole
}

#[rstest]
fn the_shards_together_say_what_one_machine_says(#[values(2, 3, 5)] of: usize) {
    let night = Night::new();
    let whole = night.machine("whole", &[]);
    assert_eq!(whole.code, Some(1), "{}", whole.stderr);
    // In another order than that of the shards.
    let files: Vec<String> = (1..=of)
        .rev()
        .map(|number| night.shard(&format!("{number}/{of}")))
        .collect();

    let merged = night.merge("merged", &files, &[]);

    assert_eq!(merged.code, whole.code, "{}", merged.stderr);
    assert!(whole.stdout.contains("x86_64/gone/thin/llvm-22"));
    assert!(whole.stdout.contains("snapshots that nothing reads"));
    let last = |ended: &Ended| ended.stdout.lines().last().unwrap().to_owned();
    assert_eq!(last(&merged), last(&whole));
    assert_eq!(faults("run", &night.json("merged")), [""; 0]);
    let [one, other] = ["whole", "merged"].map(|store| -> RunRecord {
        let mut record = night.json(store);
        without_times(&mut record, night.0.dir());
        serde_json::from_value(record).unwrap()
    });
    for format in Format::ALL {
        let reporter = format.reporter(Options::default());
        assert_eq!(reporter.run(&one), reporter.run(&other), "{format}");
    }

    // The facts and the logs came along.
    let judged = night.ask("merged", &["check", "--store"]);
    assert_eq!((judged.code, judged.stderr.as_str()), (Some(0), ""));
    let kept = night.ask("merged", &["runs", "show", "latest"]);
    assert_eq!(kept.stdout.matches("\n  facts ").count(), 6);
    assert_eq!(kept.stdout.matches("merged from ").count(), 1);
}

#[test]
fn a_shard_has_the_cells_of_its_kernels_and_says_which_it_is() {
    let night = Night::new();
    let ended = night.machine("store", &["--shard", "2/3"]);
    let report = night.json("store");
    assert_eq!(faults("run", &report), [""; 0]);
    let cells = report["cells"].as_array().unwrap();
    let names: Vec<&str> = cells.iter().map(|c| c["cell"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "x86_64/small/thin/llvm-22",
            "x86_64/small/thin-dist/llvm-22"
        ],
        "what belongs to no cell is reported by the first shard"
    );
    assert_eq!(report["unreferenced"], Value::Null);
    let shard = &report["shard"];
    assert_eq!((&shard["number"], &shard["of"]), (&2.into(), &3.into()));
    assert_eq!(shard["cells"].as_array().unwrap().len(), 6);
    let says = "2 cells of fake, Linux 7.2.13, shard 2/3: ";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
    for format in ["markdown", "html", "mail", "perfetto"] {
        let report = night.ask("store", &["report", "--format", format]);
        assert!(report.stdout.contains("shard 2/3"), "{format}");
    }
    let listed = night.ask("store", &["runs"]);
    assert!(listed.stdout.contains("  shard 2/3\n"), "{}", listed.stdout);

    // The same part of the cells that a pattern matches.
    let plan = |args: &[&str]| {
        let mut command = klto(["plan"]);
        command.arg(night.0.matrix_file()).args(args);
        finish(&mut command).stdout
    };
    let of_two = plan(&["--cell", "*/small", "--cell", "*/other", "--shard", "2/2"]);
    assert!(of_two.starts_with("x86_64/other/thin/llvm-22, shard 2/2\n"));
    assert!(of_two.ends_with("\n2 cells\n"), "{of_two}");
}

#[test]
fn a_shard_without_cells_passes_and_says_so() {
    let night = Night::new();
    let ended = night.machine("store", &["--shard", "4/4"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let says = "the shard has no cells: there are more shards than kernels to build";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert_eq!(night.json("store")["cells"], serde_json::json!([]));
    let report = night.ask("store", &["report"]);
    assert_eq!(report.code, Some(0));
}

#[test]
fn without_a_shard_its_cells_are_inconclusive_until_it_comes() {
    let night = Night::new();
    let files = [night.shard("1/3"), night.shard("3/3")];
    let refused = night.merge("merged", &files, &[]);
    assert_eq!(refused.code, Some(2));
    let says =
        "klto: shard 2/3 is missing, with 2 cells\n  name the missing runs, too; with --partial";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert!(!night.path("merged").exists(), "nothing is kept");

    let partial = night.merge("merged", &files, &["--partial"]);
    assert_eq!(partial.code, Some(125), "{}", partial.stdout);
    assert!(partial.stderr.contains("klto: shard 2/3 is missing\n"));
    let line = "x86_64/small/thin/llvm-22";
    let cell = partial.stdout.lines().find(|found| found.starts_with(line));
    assert!(cell.unwrap().contains("error"), "{}", partial.stdout);
    assert!(partial.stdout.contains("shard 2/3 is missing"));

    let late = ["latest".to_owned(), night.shard("2/3")];
    let complete = night.merge("merged", &late, &["--report", "junit=report.xml"]);
    assert_eq!(complete.code, Some(1), "{}", complete.stderr);
    assert!(
        !complete.stdout.contains("is missing"),
        "{}",
        complete.stdout
    );
    assert!(night.path("report.xml").is_file());
    let listed = night.ask("merged", &["runs"]).stdout;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let says = "not listed: 4 parts of merged runs";
    assert!(listed.contains(says), "{listed}");
}

#[test]
fn a_merged_run_takes_the_place_of_its_parts() {
    let night = Night::new();
    let run = |more: &[&str]| {
        let mut command = night.0.run(&[]);
        finish(command.args(["--store", "store"]).args(more))
    };
    run(&[]);
    run(&["--shard", "1/2"]);
    run(&["--shard", "2/2"]);
    let runs = || -> Vec<String> {
        let listed = night.ask("store", &["runs"]).stdout;
        let lines = listed.lines().skip(1).filter(|line| line.starts_with('2'));
        lines.map(|line| line[..29].to_owned()).collect()
    };
    let history = || -> Vec<usize> {
        let said = night.ask("store", &["history", "--all", "--format", "json"]);
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        let cells = said["cells"].as_array().unwrap().iter();
        let real = cells.filter(|cell| !cell["cell"].as_str().unwrap().contains("gone"));
        real.map(|cell| cell["runs"].as_array().unwrap().len())
            .collect()
    };
    let parts = runs();
    assert_eq!((parts.len(), history()), (3, vec![2; 6]), "not merged yet");

    let merged = night.merge("store", &parts[1..], &[]);
    assert_eq!(merged.code, Some(1), "{}", merged.stderr);
    let after = runs();
    assert_eq!((after.len(), history()), (2, vec![2; 6]));
    assert_eq!(after[0], parts[0]);
    let again = night.ask("store", &["check", "--store", "--format", "json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["cells"][0]["runs"].as_array().unwrap().len(), 2);

    // Words that mean a run mean none of the parts; a name does.
    let shown = |word: &str| night.ask("store", &["runs", "show", word]).stdout;
    assert!(shown("latest").starts_with(&after[1]));
    assert!(shown("fake~1").starts_with(&parts[0]));
    assert!(shown(&parts[1]).contains("\nshard 1/2\n"));
    let compared = night.ask("store", &["compare"]);
    assert!(compared.stdout.contains(&parts[0]), "{}", compared.stdout);

    // Merged again, the later one counts.
    let words = ["latest".to_owned(), parts[2].clone()];
    assert_eq!(night.merge("store", &words, &[]).code, Some(1));
    assert_eq!((runs().len(), history()), (2, vec![2; 6]));
    let compared = night.ask("store", &["compare"]);
    assert!(compared.stdout.contains(&parts[0]), "{}", compared.stdout);

    // The parts go with the last run that was merged from them.
    let kept = night.ask("store", &["runs", "gc", "--keep", "1"]).stdout;
    assert!(kept.starts_with("removed 1 run,"), "{kept}");
    night.machine("store", &["--cell", "*/tiny"]);
    let kept = night.ask("store", &["runs", "gc", "--keep", "1"]).stdout;
    assert!(kept.starts_with("removed 4 runs,"), "{kept}");
    assert_eq!(runs().len(), 1);
}

#[test]
fn what_cannot_be_merged_leaves_the_store_as_it_was() {
    let night = Night::new();
    let [first, second] = [night.shard("1/2"), night.shard("2/2")];
    let bytes = fs::read(night.path(&second)).unwrap();
    fs::write(night.path("cut.tar"), &bytes[..bytes.len() / 2]).unwrap();
    for (runs, says) in [
        (
            [&first, &first],
            "shard 1/2 is there twice: shard-1-of-2.tar and shard-1-of-2.tar",
        ),
        ([&first, &"cut.tar".to_owned()], "cut.tar: "),
        (
            [&first, &"./none.tar".to_owned()],
            "cannot read ./none.tar: No such file or directory",
        ),
    ] {
        let runs = runs.map(Clone::clone);
        let ended = night.merge("merged", &runs, &[]);
        assert!(matches!(ended.code, Some(2 | 125)), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert!(!night.path("merged").exists());
    }
    let unknown = night.merge("merged", &["nightly".to_owned(), first], &[]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("there is no store of runs"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_plan_is_data_too() {
    let night = Night::new();
    let plan = |args: &[&str]| {
        let mut command: Command = klto(["plan"]);
        command.arg(night.0.matrix_file()).args(args);
        finish(&mut command)
    };
    let json = |args: &[&str]| -> Value {
        let ended = plan(args);
        let plan = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(faults("plan", &plan), [""; 0]);
        plan
    };
    let whole = json(&["--format", "json"]);
    assert_eq!(
        (&whole["shards"], &whole["cells"][0]["shard"]),
        (&Value::Null, &Value::Null)
    );
    let divided = json(&["--format", "json", "--shards", "9"]);
    assert_eq!(divided["shards"], 3, "more would have no cells");
    let shards: Vec<&Value> = divided["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["shard"])
        .collect();
    assert_eq!(shards, [1, 1, 2, 2, 3, 3]);
    let line = plan(&["--format", "github"]).stdout;
    assert_eq!(line.lines().count(), 1);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["include"][2]["shard"], "3/3");
    let both = plan(&["--shards", "2", "--shard", "1/2"]);
    assert_eq!(both.code, Some(2));
}
