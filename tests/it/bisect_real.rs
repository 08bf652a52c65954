//! `klto bisect` over histories of the real kernel source. Around the culprit are another fault, which
//! comes and goes, a row of commits that make cannot read, and the fault itself, which was mended once.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bisect::checks;
use crate::support::git::files;
use crate::support::real;

struct History {
    folder: tempfile::TempDir,
    good: String,
    bad: String,
    culprit: String,
}

impl History {
    fn of(kernel: PathBuf, commits: &str, mutation: &str) -> History {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_klto")).with_file_name("examples");
        let made = Command::new(program.join("synthetic-history"))
            .arg(folder.path().join("linux.git"))
            .arg(kernel)
            .args([commits, mutation])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let ends = String::from_utf8(made.stdout).unwrap();
        let [good, bad, culprit] = ends.lines().collect::<Vec<_>>()[..] else {
            panic!("{ends}");
        };
        History {
            good: good.to_owned(),
            bad: bad.to_owned(),
            culprit: culprit.to_owned(),
            folder,
        }
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("linux.git")
    }

    /// Searches; the repository is afterwards as it was before.
    fn found(&self, more: &[&str]) -> Value {
        let before = files(&self.repository());
        let repository = self.repository();
        let ends = [
            "bisect",
            "--kernel",
            repository.to_str().unwrap(),
            "--good",
            &self.good,
        ];
        let bad = ["--bad", &self.bad, "--format", "json"];
        let ended = real::klto(&[&ends[..], &bad[..], more].concat());
        assert_eq!(files(&self.repository()), before, "the user's repository");
        let record: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(record["ended"]["commit"]["commit"], self.culprit);
        let holds = checks(&record).into_iter().map(|(_, holds)| holds);
        assert_eq!(holds.collect::<Vec<_>>(), [Some(true); 3]);
        record
    }
}

fn places(record: &Value) -> Vec<&str> {
    let hunks = record["hunks"].as_array().unwrap().iter();
    hunks.map(|hunk| hunk["file"].as_str().unwrap()).collect()
}

#[test]
fn one_of_a_thousand_commits_over_a_real_kernel_is_found_by_a_dozen_probes() {
    let Some(kernel) = real::kernel() else { return };
    let history = History::of(kernel, "1000", "v11-flags-by-variable");
    let key = ["--key", "flags.backend-lacks"];
    let cell = ["--arch", "arm64", "--lto", "thin-dist"];
    let record = history.found(&[&key[..], &cell[..]].concat());
    assert_eq!(places(&record), ["scripts/Makefile.thinlto"]);
    let ends_and_confirmations = 2 + 2;
    let tests = record["steps"].as_array().unwrap().len() - ends_and_confirmations;
    assert!(tests <= 12, "{tests} commits were tested");
}

/// The probe finds the commit; two kernels are built.
#[test]
fn two_real_kernels_make_sure_of_the_commit_that_the_probe_found() {
    let Some(kernel) = real::kernel() else { return };
    let history = History::of(kernel, "64", "thinlto-own-optimisation");
    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrices/quick.yaml");
    let matrix = [
        "--matrix",
        matrix.to_str().unwrap(),
        "--cell",
        "*/thin-dist",
    ];
    let key = ["--key", "flags.backend-contradicts"];
    let record = history.found(&[&matrix[..], &key[..]].concat());
    assert_eq!(record["finding"]["cell"], "x86_64/tiny/thin-dist/llvm-22");
    let object = record["finding"]["object"].as_str().unwrap();
    assert!(
        !object.starts_with("probe/"),
        "an object of the kernel: {object}"
    );
    assert_eq!(places(&record), ["scripts/Makefile.thinlto"]);
    assert_eq!(
        record["symbols"],
        Value::Array(Vec::new()),
        "tinyconfig is enough"
    );
    let steps = record["steps"].as_array().unwrap().iter();
    let clean = steps.filter(|step| step["is_clean"] == true);
    assert_eq!(clean.count(), 2);
}
