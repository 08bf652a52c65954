//! Runs for pages, and a browser that shows them.

use std::path::{Path, PathBuf};
use std::process::Command;

use klto::model::record::{CellRecord, Growth, RunRecord, StageTime};
use klto::model::stored::{CellRun, RunAt};
use klto::report::Around;
use klto::report::html::write;
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::finish;
use super::run_record::{finding, run_record};

/// A run, and what its page shows besides.
pub struct Sample {
    pub run: RunRecord,
    pub around: Around,
}

impl Sample {
    pub fn page(&self) -> String {
        write(&self.run, &self.around)
    }
}

/// Every outcome, with stages, sizes, logs and earlier runs.
pub fn sample() -> Sample {
    let mut run = run_record();
    let mut around = Around::default();
    for (n, cell) in (0..).zip(&mut run.cells) {
        if cell.inspection.is_none() {
            continue;
        }
        furnish(cell, n);
        around.trends.insert(cell.cell.clone(), trend(cell, n));
        around
            .logs
            .insert(cell.cell.clone(), Ok(log(n * 700).into()));
    }
    Sample { run, around }
}

/// Gives a cell stages, sizes and functions that grew.
fn furnish(cell: &mut CellRecord, n: u32) {
    let seconds = cell.cost.wall_seconds;
    let stages = [
        ("configure", 0.0, 0.04),
        ("compile", 0.04, 0.5),
        ("thin link", 0.54, 0.08),
        ("back end", 0.62, 0.24),
        ("link vmlinux", 0.86, 0.05),
    ];
    let stages = stages.map(|(name, begins, share)| StageTime {
        name: name.to_owned(),
        begins_seconds: begins * seconds,
        seconds: share * seconds,
    });
    cell.stages = stages.into();
    if let Some(inspection) = &mut cell.inspection {
        inspection.counts.image_bytes = image(n, 0);
    }
    let functions = [
        ("schedule", 2412, 1980),
        ("do_sys_openat2", 512, 803),
        ("vfs_read", 640, 608),
        ("page_fault_handler", 1200, 1188),
    ];
    for comparison in &mut cell.comparisons {
        let grown = functions.map(|(function, bytes, bytes_there)| Growth {
            function: function.to_owned(),
            bytes,
            bytes_there,
        });
        comparison.growth = grown.into();
    }
}

fn image(n: u32, run: u32) -> u64 {
    u64::from(1_800_000 + 137_911 * n + 1_733 * ((run * 7 + n) % 11))
}

fn trend(cell: &CellRecord, n: u32) -> Vec<CellRun> {
    let runs = (0..14).map(|run| CellRun {
        at: RunAt {
            run: format!("run-{:03}", 120 + run),
            recorded: format!("2026-11-{:02}T02:00:00Z", 11 + run),
            revision: format!("7.2.{run}"),
        },
        seconds: cell.cost.wall_seconds * (1.0 + f64::from((run * 5 + n) % 7) / 40.0),
        image_bytes: image(n, run),
        outcome: if run == 6 { "fail" } else { "pass" }.to_owned(),
    });
    runs.collect()
}

/// Lines of make, and an error two thirds down.
fn log(lines: u32) -> String {
    let line = |n: u32| {
        match n {
        n if n == lines * 2 / 3 => {
            "../init/version.c:12:3: \u{1b}[31merror:\u{1b}[0m use of undeclared identifier 'uts'\nmake[3]: *** [../scripts/Makefile.build:287: init/version.o] Error 1".to_owned()
        }
        n => format!("  CC      drivers/base/file{n}.o"),
    }
    };
    (0..lines).map(|n| line(n) + "\n").collect()
}

/// What tries to run, in each place that a tree can fill.
pub const HOSTILE: &str = "\"'><img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script></pre></style></title>\u{202e}&lt;b&gt;";

/// A run in which every text is hostile.
pub fn hostile() -> Sample {
    let mut sample = sample();
    let mut text = serde_json::to_value(&sample.run).unwrap();
    spoil(&mut text);
    sample.run = serde_json::from_value(text).unwrap();
    let names: Vec<String> = sample.run.cells.iter().map(|c| c.cell.clone()).collect();
    let log = format!("  CC  x.o\nx.c:1:1: error: {HOSTILE}\n");
    let mut trends = std::mem::take(&mut sample.around.trends).into_values();
    for (n, name) in names.into_iter().enumerate() {
        let log = match n % 2 {
            0 => Ok(log.as_str().into()),
            _ => Err(HOSTILE.into()),
        };
        sample.around.logs.insert(name.clone(), log);
        let mut trend = trends.next().unwrap_or_default();
        for run in &mut trend {
            HOSTILE.clone_into(&mut run.at.run);
            HOSTILE.clone_into(&mut run.at.recorded);
            HOSTILE.clone_into(&mut run.at.revision);
            HOSTILE.clone_into(&mut run.outcome);
        }
        sample.around.trends.insert(name, trend);
    }
    sample
}

/// Puts it into each text that is not one of a few words that a record knows.
fn spoil(value: &mut Value) {
    const WORDS: [&str; 9] = [
        "is", "baseline", "lto", "why", "with", "mode", "severity", "landlock", "format",
    ];
    match value {
        Value::String(text) => text.push_str(HOSTILE),
        Value::Array(list) => list.iter_mut().for_each(spoil),
        Value::Object(keys) => {
            for (key, value) in keys.iter_mut() {
                let is_reason = value.as_str().is_some_and(|text| {
                    let is_kebab = |c: char| c.is_ascii_lowercase() || c == '-';
                    key != "why" || text.chars().all(is_kebab)
                });
                if !(WORDS.contains(&key.as_str()) && is_reason) {
                    spoil(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A run of many cells, one in ten of which fails.
pub fn large(cells: usize) -> Sample {
    let sample = sample();
    let built = sample.run.cells.iter().filter(|c| !c.stages.is_empty());
    let built: Vec<&CellRecord> = built.collect();
    let passing = built.iter().find(|c| c.outcome.name() == "pass").unwrap();
    let modes = ["none", "thin", "thin-dist", "full"];
    let (mut run, mut around) = (sample.run.clone(), Around::default());
    run.cells = (0..cells)
        .map(|n| {
            let (arch, config) = (n / 4 % 8, n / 32);
            let name = format!("arch{arch}/config-{config}/{}/llvm-22", modes[n % 4]);
            let mut cell = (*passing).clone();
            cell.cell.clone_from(&name);
            cell.scenarios.clone_from(&built[1].scenarios);
            cell.scenarios.retain(|s| s.findings.is_empty());
            cell.comparisons.clone_from(
                &built
                    .iter()
                    .find(|c| !c.comparisons.is_empty())
                    .unwrap()
                    .comparisons,
            );
            for comparison in &mut cell.comparisons {
                comparison.findings.clear();
            }
            if n % 10 == 3 {
                let lacks = |o| finding("flags.saved-missing", &format!("init/{o}.o"), "no line");
                let mut own = finding("retired.rule", &format!("lib/{n}.o"), "differs");
                own.evidence = format!("expected 1, found {n}");
                let findings = (0..20).map(lacks).chain([own]);
                cell.inspection.as_mut().unwrap().findings = findings.collect();
                cell.settle();
            }
            let trend = trend(&cell, u32::from(n % 10 == 3));
            around.trends.insert(name, trend);
            cell
        })
        .collect();
    Sample { run, around }
}

/// What a browser showed.
#[derive(Debug, Deserialize)]
pub struct Shown {
    /// What the steps returned that have a value.
    pub values: Vec<Value>,
    /// Errors, violations of the policy, requests.
    pub complaints: Vec<String>,
}

/// A page in a folder of its own.
pub struct Pages {
    folder: tempfile::TempDir,
}

impl Pages {
    /// `None` where the caller wants no browser.
    pub fn new() -> Option<Pages> {
        let is_there = Path::new("/usr/bin/chromium").is_file();
        if !is_there && std::env::var_os("KLTO_SKIP_CHROMIUM").is_some() {
            eprintln!("left out: KLTO_SKIP_CHROMIUM is set, and there is no chromium");
            return None;
        }
        assert!(is_there, "run ci/setup, which installs chromium");
        Some(Pages {
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// Where a file of that name is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a page; the answer is its address.
    pub fn write(&self, name: &str, page: &str) -> String {
        let file = self.file(name);
        std::fs::write(&file, page).unwrap();
        format!("file://{}", file.display())
    }

    /// Runs steps, which `browser.py` describes, in a new browser.
    pub fn run(&self, steps: &[Value]) -> Shown {
        let file = self.file("steps.json");
        std::fs::write(&file, json!(steps).to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/browser.py");
        let ended = finish(Command::new("python3").arg(script).arg(file));
        assert_eq!(ended.code, Some(0));
        serde_json::from_str(&ended.stdout).unwrap()
    }
}
