//! KTAP as the kernel's own reader takes it, `tools/testing/kunit/kunit.py parse`. Needs
//! `KLTO_KERNEL`, as `tests/it/real_kernel.rs` does.

use std::path::Path;
use std::process::Command;

use klto::model::cell::LtoMode;
use klto::report::{Format, Options};

use crate::support::ktap::{self, Test};
use crate::support::program::{Ended, finish};
use crate::support::real::kernel;
use crate::support::run_record::{inspection, rules, run_record};

/// Has the kernel's reader read a stream.
fn read(kernel: &Path, stream: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.ktap");
    std::fs::write(&file, stream).unwrap();
    let mut python = Command::new("python3");
    // The source tree is only read.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(kernel.join("tools/testing/kunit/kunit.py"));
    finish(python.arg("parse").arg(&file))
}

/// The summary that it must print: tests without subtests by verdict, and no errors. It
/// knows one directive, SKIP; any other is `ok` or `not ok`.
fn summary(tests: &[Test]) -> String {
    let leaves: Vec<&Test> = tests.iter().flat_map(Test::leaves).collect();
    let count = |is: &dyn Fn(&Test) -> bool| leaves.iter().filter(|test| is(test)).count();
    let is_skipped = |test: &Test| test.word() == Some("SKIP");
    let verdicts = [
        ("passed", count(&|test| test.ok && !is_skipped(test))),
        ("failed", count(&|test| !test.ok)),
        ("skipped", count(&is_skipped)),
    ];
    let told: Vec<String> = verdicts
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{word}: {number}"))
        .collect();
    format!("Ran {} tests: {}", leaves.len(), told.join(", "))
}

#[test]
fn the_reader_of_the_kernel_sees_every_verdict_of_a_run() {
    let Some(kernel) = kernel() else { return };
    let stream = Format::Ktap.reporter(Options::default()).run(&run_record());
    let tests = ktap::parse(&stream);

    let ended = read(&kernel, &stream);

    assert_eq!(ended.code, Some(1), "a run that failed");
    assert!(
        ended.stdout.contains(&summary(&tests)),
        "{}",
        summary(&tests)
    );
    assert!(!ended.stdout.contains("[ERROR]"), "it is well-formed");
    for (told, name) in [
        // A known defect does not fail what it is part of.
        ("[PASSED]", "arm64/tiny/thin-dist/llvm-22"),
        ("[PASSED]", "compdb.lost-entries"),
        ("[SKIPPED]", "crc.modules (nothing to look at)"),
        ("[FAILED]", "flags.saved-missing"),
        ("[FAILED]", "x86_64/tiny/thin-dist/llvm-22"),
        ("[FAILED]", "build.failed"),
        ("[FAILED]", "scenario touch"),
        // After words on a console that end a kernel, and with it the reading of its log.
        ("[FAILED]", "x86_64/boot/thin/llvm-22"),
        ("[FAILED]", "comparison with thin-dist"),
        ("[FAILED]", "x86_64/defconfig/thin/llvm-22"),
        ("[FAILED]", "arm64/defconfig/thin/llvm-22"),
        ("[SKIPPED]", "x86_64/old/thin/llvm-22"),
        // It shows why a test failed only from lines before the result.
        ("#", "timed out after 2 h 00 min"),
        ("#", "ld.lld-22 was killed: out of memory"),
    ] {
        let line = format!("{told} {name}");
        assert!(ended.stdout.contains(&line), "{line}");
    }
}

#[test]
fn the_reader_of_the_kernel_passes_a_good_tree_and_fails_half_a_tree() {
    let Some(kernel) = kernel() else { return };
    let good = inspection("x86_64", LtoMode::Thin, Vec::new());
    let mut half = good.clone();
    half.unfinished = Some("vmlinux is missing".to_owned());
    let half_told = "[FAILED] completed";

    for (tree, code, told) in [(good, 0, "[PASSED] crc.symbols"), (half, 1, half_told)] {
        let reporter = Format::Ktap.reporter(Options::default());
        let stream = reporter.inspection("tree", &tree, &rules());

        let ended = read(&kernel, &stream);

        assert_eq!(ended.code, Some(code));
        assert!(ended.stdout.contains(told), "{told}");
        assert!(ended.stdout.contains(&summary(&ktap::parse(&stream))));
    }
}
