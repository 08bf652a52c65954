//! Adds runs to a store, for benchmarks and for tests that kill it:
//! `synthetic-store DIR RUNS CELLS [CHANGING [BUILD_DIR]]`.
//!
//! Every run has the same cells. In each, CHANGING of a thousand cells have another result than in
//! the run before: another count, and now and then a finding. The others are the same, as they are
//! where nothing changed. Each cell has a log; with a build tree each result also has the facts of that
//! tree, with a kernel release of its own, so that no two are equal.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use klto::build::process::Cancel;
use klto::judge::inspect::{InspectRequest, Inspected, inspect};
use klto::model::cell::LtoMode;
use klto::model::error::Error;
use klto::model::facts::Goal;
use klto::model::finding::Severity;
use klto::model::record::{
    CellRecord, Cost, Counts, FORMAT, FindingRecord, Identity, Inspection, RuleCount, RuleText,
    RunRecord, StageTime,
};
use klto::store::facts_file;
use klto::store::record_dir::RecordDir;
use klto::store::runs::RunStore;

/// Rules that a record names.
const RULES: usize = 90;
/// One changed cell of so many has a finding.
const BROKEN: usize = 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = args.iter().skip(1).filter_map(|n| n.parse().ok()).collect();
    let (Some(dir), [runs, cells, changing @ ..]) = (args.first(), &numbers[..]) else {
        eprintln!("usage: synthetic-store DIR RUNS CELLS [CHANGING [BUILD_DIR]]");
        return ExitCode::from(2);
    };
    let changing = changing.first().copied().unwrap_or(20);
    let tree = args.get(4).map(Path::new);
    match fill(Path::new(dir), [*runs, *cells, changing], tree) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synthetic-store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fill(dir: &Path, numbers: [usize; 3], tree: Option<&Path>) -> Result<(), Error> {
    let [runs, cells, changing] = numbers;
    let store = RunStore::open(dir)?;
    let tree = tree.map(inspected).transpose()?;
    let scratch = tempfile::tempdir().map_err(Error::io("a folder", "create"))?;
    let log = scratch.path().join("build.log");
    // Another log than that of earlier calls: something to write.
    let earlier = store.names()?.len();
    let text: String = (0..3000)
        .map(|n| format!("  CC      init/{earlier}/{n}.o\n"))
        .collect();
    std::fs::write(&log, text).map_err(Error::io(&log, "write"))?;
    // How often each cell has changed.
    let mut versions = vec![0; cells];
    for run in 0..runs {
        for (cell, version) in versions.iter_mut().enumerate() {
            // Spread over the cells and the runs, and the same each time.
            if (cell * 7919 + run * 104_729) % 1000 < changing {
                *version += 1;
            }
        }
        let record = |(cell, version): (usize, &usize)| record(cell, *version, run, &log);
        let run = RunRecord {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            matrix: "nightly".to_owned(),
            kernel: "7.3.0".to_owned(),
            revision: format!("7.3.0-g{run:012x}"),
            mutations: Vec::new(),
            shard: None,
            unreferenced: Vec::new(),
            cells: versions.iter().enumerate().map(record).collect(),
        };
        let mut run = run;
        if let Some(tree) = &tree {
            for cell in &mut run.cells {
                save(scratch.path(), cell, tree)?;
            }
        }
        let of = |cell: &CellRecord| Some(RecordDir::new(scratch.path().join(&cell.cell)));
        store.add(&run, &of, &Cancel::new())?;
    }
    Ok(())
}

/// What a build tree shows.
fn inspected(dir: &Path) -> Result<Inspected, Error> {
    inspect(&InspectRequest {
        build: dir,
        external: None,
        source: None,
        log: None,
        goal: Goal::default(),
        arch: None,
        mode: None,
        requested: &BTreeMap::new(),
        only: &[],
    })
}

/// Gives a cell the facts of a tree, as those of its job.
fn save(scratch: &Path, cell: &mut CellRecord, tree: &Inspected) -> Result<(), Error> {
    let kept = facts_file::encode(&tree.facts, &cell.job).map_err(Error::Machine)?;
    let kept = facts_file::decode(&kept).map_err(|e| Error::Machine(e.to_string()))?;
    let mut facts = kept.facts;
    facts.kernel = format!("{}-{}", facts.kernel, cell.job);
    if let Some(inspection) = &mut cell.inspection {
        inspection.identity.lto = tree.inspection.identity.lto;
    }
    RecordDir::new(scratch.join(&cell.cell)).save(cell, Some(&facts))
}

fn record(cell: usize, version: usize, run: usize, log: &Path) -> CellRecord {
    let mode = [LtoMode::Thin, LtoMode::ThinDist][cell % 2];
    let arch = ["x86_64", "arm64", "riscv", "loongarch"][cell / 2 % 4];
    let mut record = CellRecord::new(format!("{arch}/config-{}/{mode}/llvm-22", cell / 8));
    record.job = format!("{:032x}", cell * 1_000_003 + version);
    record.revision = format!("7.3.0-g{run:012x}");
    "7.3.0".clone_into(&mut record.kernel);
    "clang 22.1.8, ld.lld 22.1.8".clone_into(&mut record.toolchain);
    "2026-11-25T02:00:00Z".clone_into(&mut record.started);
    record.cost = Cost {
        wall_seconds: 200.0 + f64::from(u32::try_from(run % 17).unwrap_or(0)),
        user_seconds: 390.5,
        waited_seconds: 0.0,
        system_seconds: 20.25,
        peak_memory_kib: 912_384,
        disk_kib: 0,
    };
    record.stages = [
        "configure",
        "compile",
        "thin link",
        "back end",
        "link vmlinux",
    ]
    .map(|name| StageTime {
        name: name.to_owned(),
        begins_seconds: 1.5,
        seconds: 40.25,
    })
    .to_vec();
    record.reproduce.commands = vec![format!("make -C \"$KERNEL\" O=\"$O\" ARCH={arch} LLVM=-22")];
    record.logs = vec![log.display().to_string()];
    record.rules.add((0..RULES).map(rule));
    let is_broken = version % BROKEN == BROKEN - 1;
    let findings = (0..usize::from(is_broken) * 3).map(|object| FindingRecord {
        key: format!("family-{}.rule-3", cell % 7),
        object: format!("init/{object}.o"),
        evidence: format!("init/.{object}.o.cmd:2: it lacks '-O{version}'"),
        details: Vec::new(),
        step: None,
        allowed: None,
        lapsed: None,
    });
    record.inspection = Some(Inspection {
        identity: Identity {
            arch: arch.to_owned(),
            lto: mode,
            kernel: format!("7.3.0-g{run:012x}"),
            compiler: "clang 22.1.8".to_owned(),
        },
        counts: Counts {
            objects: 500 + version,
            ir_objects: 470,
            exported_symbols: 2800,
            modules: 0,
            image_bytes: 1_500_000 + version as u64 * 16,
        },
        warnings: BTreeMap::new(),
        rules: (0..RULES)
            .map(|number| RuleCount {
                key: key(number),
                looked_at: 470 + number,
                unit: "objects".to_owned(),
            })
            .collect(),
        findings: findings.collect(),
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    });
    record.settle();
    record
}

fn key(number: usize) -> String {
    format!("family-{}.rule-{}", number % 7, number / 7)
}

fn rule(number: usize) -> (String, RuleText) {
    let text = RuleText {
        severity: Severity::Error,
        invariant: "the back-end command has all saved flags, in their order".to_owned(),
        broken: "objects lack saved flags in the back-end command".to_owned(),
        why: "the native object is compiled with other flags than its bitcode".repeat(3),
        fix: "check how scripts/Makefile.thinlto finds the saved flags".to_owned(),
    };
    (key(number), text)
}
