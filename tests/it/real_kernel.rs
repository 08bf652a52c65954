//! Builds real kernels and checks them: the main job, on real input. Needs a
//! kernel source in `KLTO_KERNEL`, which `ci/kernel-source` fetches; takes
//! minutes. `KLTO_SKIP_REAL_KERNEL=1` leaves these tests out, and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use klto::judge::inspect::inspect;
use klto::store::facts_file;
use klto::tree::collect::bitcode;
use serde_json::Value;
use tempfile::TempDir;

use crate::flips;
use crate::support::kept;
use crate::support::real::{kernel, klto, request};

/// Runs cells of a matrix in a work directory of their own.
fn run(matrix: &str, cell: &str, kernel: &Path, more: &[&str]) -> (TempDir, Output) {
    let work = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let matrix = format!("{}/matrices/{matrix}.yaml", env!("CARGO_MANIFEST_DIR"));
    let kernel = kernel.to_str().unwrap();
    let dir = work.path().to_str().unwrap();
    let snapshots = format!("{}/snapshots", env!("CARGO_MANIFEST_DIR"));
    let mut args = vec![
        "run",
        &matrix,
        "--kernel",
        kernel,
        "--cell",
        cell,
        "--work",
        dir,
        "--snapshots",
        &snapshots,
    ];
    args.extend(more);
    let output = klto(&args);
    (work, output)
}

fn report(work: &TempDir) -> Value {
    let text = std::fs::read_to_string(work.path().join("report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn build_dir(work: &TempDir, cell: &str) -> PathBuf {
    cell_dir(work, cell).join("build")
}

/// The folder of a cell of the one revision that was built.
fn cell_dir(work: &TempDir, cell: &str) -> PathBuf {
    let revisions = std::fs::read_dir(work.path().join("cells")).unwrap();
    let revisions: Vec<PathBuf> = revisions.map(|r| r.unwrap().path()).collect();
    assert_eq!(revisions.len(), 1, "{revisions:?}");
    revisions[0].join(cell)
}

/// A clean kernel has no finding, and a verdict that does not depend on how
/// long the build took or where it was.
fn assert_clean(report: &Value, cell: &str) {
    let cells = report["cells"].as_array().unwrap();
    let found = cells.iter().find(|c| c["cell"] == cell).expect(cell);
    assert_eq!(found["outcome"]["is"], "pass", "{found:#}");
    assert_eq!(found["inspection"]["findings"], Value::Array(Vec::new()));
    assert_eq!(found["differences"], Value::Array(Vec::new()), "{cell}");
    assert!(
        found["inspection"]["counts"]["objects"].as_u64().unwrap() > 300,
        "{found:#}"
    );
    assert!(
        ["same", "none"].contains(&found["baseline"].as_str().unwrap()),
        "{found:#}"
    );
}

#[test]
fn x86_64_is_clean_in_both_modes_and_llvm_reads_the_same() {
    let Some(kernel) = kernel() else { return };

    let (work, output) = run("full", "x86_64/*", &kernel, &[]);

    assert_eq!(output.status.code(), Some(0));
    let report = report(&work);
    assert_clean(&report, "x86_64/tiny/thin-dist/llvm-22");
    assert_clean(&report, "x86_64/tiny/thin/llvm-22");
    for cell in ["x86_64/tiny/thin/llvm-22", "x86_64/tiny/thin-dist/llvm-22"] {
        assert_eq!(played(&report, cell), ["noop", "clean"]);
    }
    let thin = &report["cells"][0];
    assert_eq!(thin["cell"], "x86_64/tiny/thin/llvm-22", "matrix order");
    assert_eq!(thin["derived_from"], "x86_64/tiny/thin-dist/llvm-22");
    let comparison = &thin["comparisons"][0];
    assert_eq!(comparison["with"], "thin-dist");
    assert_eq!(comparison["skipped"], Value::Null);
    assert_eq!(comparison["findings"], Value::Array(Vec::new()));
    assert!(
        std::fs::read_to_string(work.path().join("report.ktap"))
            .unwrap()
            .contains("\nok 2 ")
    );

    let distributed = build_dir(&work, "x86_64/tiny/thin-dist/llvm-22");
    every_object_reads_as_llvm_reads_it(&distributed);
    flips::are_seen(&distributed, 2);
    for cell in ["x86_64/tiny/thin-dist/llvm-22", "x86_64/tiny/thin/llvm-22"] {
        kept_facts_say_the_same(&build_dir(&work, cell));
    }
    external_modules_fit_the_kernel(&kernel, &build_dir(&work, "x86_64/tiny/thin/llvm-22"));
}

/// Modules that a person builds for the kernel: two objects of bitcode, and one that exports.
fn external_modules_fit_the_kernel(kernel: &Path, build: &Path) {
    let dir = TempDir::new().unwrap();
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    write(
        "Makefile",
        "obj-m := two.o\ntwo-y := first.o second.o\nobj-m += sub/\n",
    );
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    write("sub/Makefile", "obj-m := one.o\n");
    write(
        "first.c",
        "#include <linux/module.h>\n#include <linux/delay.h>\n\
         void second(void);\nint klto_exported(int);\n\
         static int __init start(void) { second(); msleep(klto_exported(1)); return 0; }\n\
         module_init(start);\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"test\");\n",
    );
    write(
        "second.c",
        "#include <linux/sched.h>\nvoid second(void);\nvoid second(void) { schedule(); }\n",
    );
    write(
        "sub/one.c",
        "#include <linux/module.h>\nint klto_exported(int);\n\
         int klto_exported(int n) { return n + 1; }\nEXPORT_SYMBOL_GPL(klto_exported);\n\
         MODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"test\");\n",
    );
    let make = |more: &[&str]| {
        let output = Command::new("make")
            .arg("-C")
            .arg(kernel)
            .arg(format!("O={}", build.display()))
            .args(["ARCH=x86_64", "LLVM=-22"])
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "make {more:?}: {said}");
    };
    make(&["modules"]);
    make(&[&format!("M={}", dir.path().display()), "modules"]);

    let (of, kernel) = (dir.path().to_str().unwrap(), build.to_str().unwrap());
    let output = klto(&["check", of, "--kernel", kernel]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    let counts = "3 objects, 2 of them bitcode; 1 symbol exported; 2 modules\n";
    assert!(said.contains(counts), "{said}");

    // The kernel goes on; the modules are of yesterday.
    let symvers = build.join("Module.symvers");
    let exports = std::fs::read_to_string(&symvers).unwrap();
    let lines = exports
        .lines()
        .map(|line| match line.contains("\tmsleep\t") {
            true => format!("0x12345678{}\n", &line[10..]),
            false => format!("{line}\n"),
        });
    std::fs::write(&symvers, lines.collect::<String>()).unwrap();
    let output = klto(&["check", of, "--kernel", kernel]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("error[crc.differs]"), "{said}");
    assert!(
        said.contains("two.ko: msleep: its version table has 0x"),
        "{said}"
    );
}

/// Facts of the tree, kept and read back, against the tree; and they stay small.
fn kept_facts_say_the_same(build: &Path) {
    let nothing = BTreeMap::new();
    let request = request(build, &nothing);
    let of_tree = inspect(&request).unwrap();
    kept::assert_same(&request, &of_tree);
    let size = facts_file::encode(&of_tree.facts, "job").unwrap().len();
    assert!(size < 2_000_000, "{size} bytes for a tiny kernel");
}

/// Triple and producer of every IR object, against `llvm-bcanalyzer`.
fn every_object_reads_as_llvm_reads_it(build: &Path) {
    let order = std::fs::read_to_string(build.join("builtin.order")).unwrap();
    let mut compared = 0;
    for object in order.lines() {
        let bytes = std::fs::read(build.join(object)).unwrap();
        if !bitcode::is_bitcode(&bytes) {
            continue;
        }
        let ours = bitcode::read_object(&bytes).unwrap();
        let dump = Command::new("llvm-bcanalyzer-22")
            .args(["--dump", object])
            .current_dir(build)
            .output()
            .expect("llvm-bcanalyzer-22: ci/setup installs it");
        let dump = String::from_utf8_lossy(&dump.stdout);
        assert_eq!(ours.triple, record_string(&dump, "<TRIPLE "), "{object}");
        assert_eq!(ours.producer, record_string(&dump, "<STRING "), "{object}");
        compared += 1;
    }
    assert!(compared > 300, "only {compared} IR objects");
}

/// The string of the first record of a kind, out of its operands.
fn record_string(dump: &str, record: &str) -> String {
    let line = dump
        .lines()
        .find(|line| line.contains(record))
        .expect(record);
    let (_, inside) = line.split_once(record).unwrap();
    inside
        .split([' ', '/', '>'])
        .filter_map(|word| word.strip_prefix("op")?.split_once('='))
        .map(|(_, code)| char::from(code.parse::<u8>().unwrap()))
        .collect()
}

#[test]
fn a_cross_architecture_is_clean_in_distributed_mode_and_boots() {
    const CELL: &str = "riscv/boot/thin-dist/llvm-22";
    let Some(kernel) = kernel() else { return };

    let (work, output) = run("boot", CELL, &kernel, &[]);

    assert_eq!(output.status.code(), Some(0));
    let report = report(&work);
    assert_clean(&report, CELL);
    assert_eq!(played(&report, CELL), ["noop", "clean", "boot"]);
    let console = cell_dir(&work, CELL).join("scenarios/console.log");
    let console = std::fs::read_to_string(console).unwrap();
    assert!(console.contains("\nklto: init runs on Linux "), "{console}");
}

/// The scenarios that were run on a cell: all complete, and none with a finding, allowed or not.
fn played(report: &Value, cell: &str) -> Vec<String> {
    let cells = report["cells"].as_array().unwrap();
    let found = cells.iter().find(|c| c["cell"] == cell).expect(cell);
    let scenarios = found["scenarios"].as_array().unwrap();
    for scenario in scenarios {
        assert_eq!(
            scenario["findings"],
            Value::Array(Vec::new()),
            "{scenario:#}"
        );
        assert_eq!(
            scenario["skipped"],
            Value::Array(Vec::new()),
            "{scenario:#}"
        );
    }
    let names = scenarios
        .iter()
        .map(|scenario| scenario["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

/// The defect of 7.2 that `docs/known-defects.md` describes: after a switch of
/// the mode no object is rebuilt, and the back end runs without flags.
#[test]
fn a_tree_switched_from_thin_to_distributed_is_broken() {
    let Some(kernel) = kernel() else { return };
    let (work, output) = run("full", "x86_64/*/thin", &kernel, &["--no-ccache"]);
    assert_eq!(output.status.code(), Some(0));
    let build = build_dir(&work, "x86_64/tiny/thin/llvm-22");

    // As klto makes it, with the same compiler command, so that nothing is rebuilt for another reason.
    let switch = format!(
        "set -x; exec >switch.log 2>&1
         {kernel}/scripts/config --file .config -d LTO_CLANG_THIN -e LTO_CLANG_THIN_DIST
         make='make ARCH=x86_64 LLVM=-22 KBUILD_BUILD_VERSION=1 KBUILD_BUILD_USER=klto KBUILD_BUILD_HOST=klto'
         time='KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026'
         $make \"$time\" olddefconfig &&
         $make \"$time\" -j2 vmlinux",
        kernel = kernel.display()
    );
    let made = Command::new("sh")
        .args(["-c", &switch])
        .current_dir(&build)
        .status()
        .unwrap();
    eprintln!("make after the switch: {made}");

    let dir = build.to_str().unwrap();
    let output = klto(&["check", dir, "--format", "json", "--only", "flags"]);
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let inspection = &checked["inspection"];
    let findings = inspection["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|f| f["key"] == "flags.saved-missing"),
        "{findings:#?}"
    );
    assert!(
        findings.iter().any(|f| f["object"] == "init/main.o"),
        "{findings:#?}"
    );
    assert_eq!(
        Some(findings.len() as u64),
        inspection["counts"]["ir_objects"].as_u64()
    );
}
