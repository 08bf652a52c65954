//! One run with every outcome in it, for the reports: also what no honest run holds, such
//! as names that try to speak to the terminal or to the reader of a format.

use std::collections::BTreeMap;

use klto::model::accepted::{Predecessor, Unreferenced};
use klto::model::cell::LtoMode;
use klto::model::finding::Severity;
use klto::model::record::{
    Baseline, CellRecord, ComparisonRecord, CompilerCacheUse, Cost, Counts, Difference, FORMAT,
    FindingRecord, Identity, Inspection, NotCompared, Reproduce, RuleCount, RuleText, RunRecord,
    ScenarioRecord, Skip, SkipReason,
};

const KERNEL: &str = "7.2.13";

/// Key, severity, what happened, why it matters, what to do.
const RULES: [(&str, Severity, &str, &str, &str); 9] = [
    (
        "flags.saved-missing",
        Severity::Error,
        "objects have no saved_c_flags line",
        "the back end compiles them with no flags at all",
        "delete the object and run make again",
    ),
    (
        "flags.backend-lacks",
        Severity::Error,
        "back-end commands lack a saved flag",
        "the native object is compiled with other flags than its bitcode",
        "check how scripts/Makefile.thinlto finds the saved flags",
    ),
    (
        "archive.order",
        Severity::Warning,
        "members are out of order",
        "initcalls run in the order of the archive",
        "check the order of the objects given to ar",
    ),
    (
        "compdb.lost-entries",
        Severity::Warning,
        "entries are missing from compile_commands.json",
        "clangd guesses the flags of these files",
        "run gen_compile_commands.py without arguments",
    ),
    (
        "crc.modules",
        Severity::Error,
        "modules ask for another CRC",
        "the module does not load",
        "rebuild the module",
    ),
    (
        "build.failed",
        Severity::Error,
        "builds failed",
        "there is no kernel to check",
        "the first error lines are shown; the reproduce commands build the cell again",
    ),
    (
        "rebuild.differs",
        Severity::Error,
        "files differ from those of a clean build",
        "make keeps what it should have rebuilt",
        "check the prerequisites of the file",
    ),
    (
        "symbols.lost",
        Severity::Error,
        "symbols are in one of the two trees only",
        "a module built for the one may not load in the other",
        "check what the other mode drops",
    ),
    (
        "boot.panic",
        Severity::Error,
        "kernels panicked",
        "the kernel does not run",
        "read the console log",
    ),
];

/// The texts of all rules that the run names, but for one.
pub fn rules() -> BTreeMap<String, RuleText> {
    let text = |(key, severity, broken, why, fix): (&str, _, &str, &str, &str)| {
        let text = RuleText {
            severity,
            invariant: format!("what {key} says holds"),
            broken: broken.to_owned(),
            why: why.to_owned(),
            fix: fix.to_owned(),
        };
        (key.to_owned(), text)
    };
    RULES.map(text).into()
}

pub fn finding(key: &str, object: &str, evidence: &str) -> FindingRecord {
    FindingRecord {
        key: key.to_owned(),
        object: object.to_owned(),
        evidence: evidence.to_owned(),
        details: Vec::new(),
        step: None,
        allowed: None,
        lapsed: None,
    }
}

fn after(step: &str, finding: FindingRecord) -> FindingRecord {
    FindingRecord {
        step: Some(step.to_owned()),
        ..finding
    }
}

fn allowed(reason: &str, finding: FindingRecord) -> FindingRecord {
    FindingRecord {
        allowed: Some(reason.to_owned()),
        ..finding
    }
}

/// A finished tree with that architecture and mode, in which `findings` were found.
pub fn inspection(arch: &str, lto: LtoMode, findings: Vec<FindingRecord>) -> Inspection {
    let rule = |key: &str, looked_at, unit: &str| RuleCount {
        key: key.to_owned(),
        looked_at,
        unit: unit.to_owned(),
    };
    Inspection {
        identity: Identity {
            arch: arch.to_owned(),
            lto,
            kernel: KERNEL.to_owned(),
            compiler: "Debian clang version 22.1.8 (1~deb12u1)".to_owned(),
        },
        counts: Counts {
            objects: 501,
            ir_objects: 473,
            exported_symbols: 2807,
            modules: 0,
            image_bytes: 0,
        },
        warnings: BTreeMap::from([("modpost".to_owned(), 2)]),
        rules: vec![
            rule("flags.saved-missing", 473, "objects"),
            rule("flags.backend-lacks", 473, "objects"),
            rule("archive.order", 501, "objects"),
            rule("symbols.promoted", 2807, "symbols"),
            rule("compdb.lost-entries", 0, "entries"),
            rule("compdb.stale", 0, "entries"),
            rule("crc.modules", 0, "modules"),
            rule("crc.symbols", 2807, "symbols"),
        ],
        findings,
        unfinished: None,
        times_lost: false,
        requested: BTreeMap::new(),
    }
}

/// A cell with that name: architecture, configuration, mode, toolchain.
fn cell(name: &str, seconds: f64, findings: Vec<FindingRecord>) -> CellRecord {
    let parts: Vec<&str> = name.split('/').collect();
    let lto = parts[2].parse().unwrap();
    CellRecord {
        klto: "0.1.0".to_owned(),
        job: "5f0c".to_owned(),
        revision: KERNEL.to_owned(),
        kernel: KERNEL.to_owned(),
        toolchain: "clang 22.1.8, ld.lld 22.1.8".to_owned(),
        host: "builder".to_owned(),
        started: "2026-11-25T02:00:00Z".to_owned(),
        cost: Cost {
            wall_seconds: seconds,
            user_seconds: seconds * 1.5,
            waited_seconds: 0.0,
            system_seconds: 8.25,
            peak_memory_kib: 912_384,
            disk_kib: 0,
        },
        inspection: Some(inspection(parts[0], lto, findings)),
        rules: rules().into(),
        reproduce: Reproduce {
            kernel: "/src/linux stable".to_owned(),
            build: format!("/srv/klto/{name}/build"),
            commands: vec![
                "make -C \"$KERNEL\" O=\"$O\" LLVM=-22 tinyconfig".to_owned(),
                "make -C \"$KERNEL\" O=\"$O\" LLVM=-22 -j\"$(nproc)\" vmlinux".to_owned(),
                "klto check \"$O\"".to_owned(),
            ],
        },
        logs: vec![format!("/srv/klto/{name}/build.log")],
        ..CellRecord::new(name.to_owned())
    }
}

fn scenario(name: &str, findings: Vec<FindingRecord>, skipped: Vec<Skip>) -> ScenarioRecord {
    ScenarioRecord {
        name: name.to_owned(),
        seconds: 12.5,
        findings,
        skipped,
    }
}

fn comparison(findings: Vec<FindingRecord>, skipped: Option<SkipReason>) -> ComparisonRecord {
    let not_compared = NotCompared {
        key: "diff.module-link".to_owned(),
        why: "neither tree has linked modules".to_owned(),
    };
    ComparisonRecord {
        with: LtoMode::ThinDist,
        job: "f00d".to_owned(),
        seconds: 1.5,
        findings,
        not_compared: match skipped {
            Some(_) => Vec::new(),
            None => vec![not_compared],
        },
        growth: Vec::new(),
        skipped,
    }
}

fn difference(part: &str, lines: usize) -> Difference {
    let lines: Vec<String> = (1..=lines).map(|n| format!("+init/{n}.o -O2")).collect();
    Difference {
        part: part.to_owned(),
        diff: format!("@@ -1,0 +1,{} @@\n{}\n", lines.len(), lines.join("\n")),
    }
}

/// Fails by findings of its own tree, more than are shown, with hostile names among them
/// and one of a rule whose text the record lacks.
fn broken_tree() -> CellRecord {
    let missing = |n| {
        let object = format!("init/{n}.o");
        let evidence = format!("init/.{n}.o.cmd: no saved_c_flags line");
        finding("flags.saved-missing", &object, &evidence)
    };
    let mut findings: Vec<FindingRecord> = (1..=22).map(missing).collect();
    findings.extend([
        finding(
            "archive.order",
            "vmlinux.a\u{1b}[2K\rok 1 forged # SKIP",
            "member \u{202e}o.niam\u{202c} at 0x1f8\nok 2 forged",
        ),
        finding("archive.order", "Subtest:", "imitates a header"),
        finding("retired.rule", "lib/crc.o", "expected 1, found 2"),
    ]);
    CellRecord {
        baseline: Baseline::Regressed,
        differences: vec![difference("flags", 44), difference("symbols", 1)],
        ..cell("x86_64/tiny/thin-dist/llvm-22", 225.25, findings)
    }
}

/// Make fails, so that the scenarios do not run.
fn failed_build() -> CellRecord {
    let mut failed = finding(
        "build.failed",
        "init/version.thinlto-native.o",
        "scripts/Makefile.thinlto:23",
    );
    failed.details = vec![
        "'+v8a' is not a recognized feature for this target (ignoring feature)".to_owned(),
        "error: \u{1b}[31munknown target triple\u{1b}[0m".to_owned(),
    ];
    let mut cell = cell("riscv/tiny/thin-dist/llvm-22", 31.5, vec![failed]);
    cell.compiler_cache = Some(CompilerCacheUse {
        program: "ccache".to_owned(),
        version: "4.7.5".to_owned(),
        hits: 300,
        misses: 120,
        uncacheable: 812,
    });
    if let Some(inspection) = &mut cell.inspection {
        inspection.unfinished = Some("vmlinux is missing".to_owned());
    }
    cell.scenarios = vec![
        ScenarioRecord::skipped("touch", SkipReason::BuildFailed),
        ScenarioRecord::skipped("boot", SkipReason::BuildFailed),
    ];
    cell
}

/// Finds only what is known; one scenario is none for the mode, others could not run.
fn known_defects() -> CellRecord {
    let lost = |n| {
        let lost = finding("compdb.lost-entries", &format!("mm/{n}.o"), "no entry");
        allowed("known in 7.2, fixed in 7.4", lost)
    };
    let stale = finding("rebuild.differs", "init/main.o", "140 bytes differ");
    let switched = after("switch from thin to thin-dist", stale);
    CellRecord {
        predecessor: Some(Predecessor {
            kernel: "7.1.4".to_owned(),
            toolchain: "cc clang 21, ld LLD 21\u{1b}[2K".to_owned(),
            is_older: true,
            differences: vec![difference("flags", 12), difference("symbols", 1)],
        }),
        scenarios: vec![
            scenario(
                "switch",
                vec![allowed("objects of another mode are kept", switched)],
                vec![Skip {
                    step: Some("switch from full to thin-dist".to_owned()),
                    reason: SkipReason::NoCleanBuild {
                        mode: LtoMode::Full,
                    },
                }],
            ),
            scenario("noop", Vec::new(), Vec::new()),
            ScenarioRecord::skipped("shuffle", SkipReason::NoShuffle),
            ScenarioRecord::skipped(
                "damage",
                SkipReason::NotInMode {
                    mode: LtoMode::ThinDist,
                },
            ),
        ],
        comparisons: vec![comparison(
            Vec::new(),
            Some(SkipReason::NoTree {
                mode: LtoMode::ThinDist,
            }),
        )],
        ..cell(
            "arm64/tiny/thin-dist/llvm-22",
            198.0,
            (1..=49).map(lost).collect(),
        )
    }
}

/// Fails in a scenario, in which something else is known.
fn failed_scenario() -> CellRecord {
    let differs = |object| finding("rebuild.differs", object, "expected 4096 bytes, found 4100");
    let findings = vec![
        after("touch init/main.c", differs("vmlinux.a")),
        after("touch init/main.c", differs("vmlinux")),
        after(
            "make again",
            allowed("known in 7.2", differs("System.map # of vmlinux")),
        ),
    ];
    CellRecord {
        baseline: Baseline::Changed,
        differences: vec![difference("config", 1)],
        scenarios: vec![scenario("touch", findings, Vec::new())],
        ..cell("loongarch/tiny/thin-dist/llvm-22", 4380.0, Vec::new())
    }
}

/// Fails to boot; the console shows what readers of KTAP take for its end.
fn failed_boot() -> CellRecord {
    let mut panicked = finding(
        "boot.panic",
        "console.log",
        "line 210: Kernel panic - not syncing: VFS: Unable to mount root fs",
    );
    panicked.details = vec![
        "List of all partitions:".to_owned(),
        "reboot: System halted".to_owned(),
    ];
    CellRecord {
        scenarios: vec![scenario("boot", vec![panicked], Vec::new())],
        ..cell("x86_64/boot/thin/llvm-22", 260.0, Vec::new())
    }
}

/// The whole run.
pub fn run_record() -> RunRecord {
    let symbol = finding(
        "symbols.lost",
        "vmlinux",
        "init_task: only in the tree of mode thin",
    );
    let modes_differ = CellRecord {
        comparisons: vec![comparison(vec![symbol], None)],
        error: Some("no emulator of x86_64 is installed".to_owned()),
        ..cell("x86_64/tiny/thin/llvm-22", 46.25, Vec::new())
    };
    let derived = CellRecord {
        baseline: Baseline::Same,
        derived_from: Some("arm64/tiny/thin-dist/llvm-22".to_owned()),
        ..cell("arm64/tiny/thin/llvm-22", 44.5, Vec::new())
    };
    let fixed = CellRecord {
        baseline: Baseline::Fixed,
        differences: vec![difference("findings", 1)],
        ..cell("riscv/tiny/thin/llvm-22", 187.0, Vec::new())
    };
    let out_of_memory = CellRecord {
        error: Some("ld.lld-22 was killed: out of memory # 16 GiB".to_owned()),
        inspection: None,
        ..cell("x86_64/defconfig/thin/llvm-22", 1803.0, Vec::new())
    };
    let mut timed_out = CellRecord {
        error: Some("timed out after 2 h 00 min".to_owned()),
        ..cell("arm64/defconfig/thin/llvm-22", 7200.0, Vec::new())
    };
    if let Some(inspection) = &mut timed_out.inspection {
        inspection.unfinished = Some("vmlinux is missing".to_owned());
    }
    let no_mode = SkipReason::NoDistributedMode {
        kernel: "7.1.4".to_owned(),
    };
    let skipped = [
        ("x86_64/tiny/thin-dist/llvm-19", no_mode),
        ("powerpc/tiny/none/llvm-22", SkipReason::FailFast),
        ("x86_64/old/thin/llvm-22", SkipReason::NoCell),
    ];
    let mut skipped = skipped.map(|(name, reason)| CellRecord::skipped(name.to_owned(), reason));
    skipped[2].baseline = Baseline::Gone;

    let mut cells = vec![
        derived,
        known_defects(),
        broken_tree(),
        failed_build(),
        failed_scenario(),
        failed_boot(),
        modes_differ,
        fixed,
        out_of_memory,
        timed_out,
    ];
    cells.extend(skipped);
    for cell in &mut cells {
        "0.1.0".clone_into(&mut cell.klto);
        cell.settle();
        let mut texts = rules();
        texts.retain(|key, _| cell.keys().contains(key.as_str()));
        cell.rules = texts.into();
    }
    RunRecord {
        format: FORMAT,
        klto: "0.1.0".to_owned(),
        matrix: "full".to_owned(),
        kernel: KERNEL.to_owned(),
        revision: KERNEL.to_owned(),
        mutations: Vec::new(),
        cells,
        shard: None,
        unreferenced: vec![Unreferenced {
            file: "full/arm64/tiny/thin/llvm-22/colours\u{1b}[2K.snap".to_owned(),
            why: "klto writes no part 'colours'".to_owned(),
        }],
    }
}
