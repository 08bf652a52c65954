//! `klto run` from the outside, on a fake kernel: how a build ends, what klto
//! makes of it, and that it leaves everything else as it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rstest::rstest;
use serde_json::Value;

use crate::support::fake_kernel::{CELL, FakeKernel, listing};
use crate::support::program::{Ended, finish, klto};

fn keys(cell: &Value) -> Vec<&str> {
    let findings = cell["inspection"]["findings"].as_array();
    findings
        .into_iter()
        .flatten()
        .map(|finding| finding["key"].as_str().unwrap())
        .collect()
}

#[test]
fn a_kernel_without_fault_holds_in_both_modes() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(0));
    let report = kernel.report();
    let thin = &report["cells"][0];
    assert_eq!(thin["cell"], "x86_64/tiny/thin/llvm-22", "matrix order");
    assert_eq!(thin["derived_from"], CELL);
    assert_eq!(report["cells"][1]["outcome"]["is"], "pass");
    assert_eq!(report["cells"][1]["baseline"], "none");
    assert!(ended.stdout.contains("2 cells of fake, Linux 7.2.13: ok"));
    let ktap = kernel.ktap();
    let tests = crate::support::ktap::parse(&ktap);
    assert_eq!(tests.len(), 2);
    assert!(tests.iter().all(|test| test.ok && test.directive.is_none()));
    for test in &tests {
        let has_rule = test.subtests.iter().any(|t| t.name == "archive.members");
        assert!(has_rule, "{ktap}");
    }
}

/// The fake kernel's make rewrites everything, which `noop` must report.
#[test]
fn the_scenarios_of_a_matrix_are_run_after_the_build() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin-dist, thin]", "10min");
    kernel.add_to_matrix("scenarios: [build, { name: noop, cells: \"*/thin-dist\" }]\n");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(1));
    let report = kernel.report();
    let (distributed, thin) = (&report["cells"][0], &report["cells"][1]);
    assert_eq!(thin["scenarios"], serde_json::json!([]));
    let noop = &distributed["scenarios"][0];
    assert_eq!(noop["name"], "noop");
    assert_eq!(distributed["outcome"]["is"], "fail");
    assert_eq!(distributed["inspection"]["findings"], serde_json::json!([]));
    let rewritten: Vec<&str> = noop["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["key"] == "rebuild.rewritten")
        .map(|finding| finding["object"].as_str().unwrap())
        .collect();
    assert!(rewritten.contains(&"init/main.o"), "{rewritten:?}");
    assert!(
        ended.stdout.contains("\nscenario noop:\n"),
        "{}",
        ended.stdout
    );
    // The tree is left as the build made it, and no copy of it.
    let cell = kernel.cell_dir(CELL);
    assert!(cell.join("build/vmlinux").is_file());
    assert!(!cell.join("built").exists());

    let allow = kernel.dir().join("allow.yaml");
    let entry = "- { key: rebuild, cells: \"*\", scenario: noop, reason: known, until: \"9.0\" }\n";
    fs::write(&allow, entry).unwrap();
    let mut run = kernel.run(&[]);
    assert_eq!(finish(run.arg("--allow").arg(&allow)).code, Some(0));
}

#[test]
fn the_modes_that_a_matrix_names_are_compared() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\n");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = kernel.report();
    // By the cell of the two that runs later.
    assert_eq!(report["cells"][1]["comparisons"], serde_json::json!([]));
    let compared = &report["cells"][0]["comparisons"][0];
    assert_eq!(compared["with"], "thin-dist");
    assert_eq!(compared["skipped"], Value::Null);
    assert_eq!(compared["findings"], serde_json::json!([]));

    // Selecting only one of them selects no comparison.
    assert_eq!(finish(&mut kernel.run_cell("*/thin-dist")).code, Some(0));
    assert_eq!(kernel.cell()["comparisons"], serde_json::json!([]));

    // Where one has no kernel there is nothing to compare, and nothing that holds.
    kernel.set_fault("no-vmlinux");
    assert_eq!(finish(&mut kernel.run(&[])).code, Some(1));
    assert_eq!(
        kernel.report()["cells"][0]["comparisons"],
        serde_json::json!([])
    );
}

/// Bytes of the entry point in an ELF header: one mode's kernel is entered elsewhere.
#[test]
fn what_differs_between_the_modes_is_a_finding() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\n");
    let script = kernel.source().join("scripts/fake-kbuild");
    let text = fs::read_to_string(&script).unwrap();
    let elsewhere = "elf 2 >\"$out/vmlinux\"\n\tif grep -q THIN_DIST=y \"$out/.config\"; then\n\
                     elf 2 1 >\"$out/vmlinux\"\n\tfi\n";
    assert!(text.contains("elf 2 >\"$out/vmlinux\"\n"));
    fs::write(
        &script,
        text.replace("elf 2 >\"$out/vmlinux\"\n", elsewhere),
    )
    .unwrap();

    let ended = finish(&mut kernel.run(&["--git-bisect"]));

    let compared = &kernel.report()["cells"][0]["comparisons"][0];
    let findings = compared["findings"].as_array().unwrap();
    let keys: Vec<&str> = findings
        .iter()
        .map(|f| f["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        (ended.code, keys),
        (Some(1), vec!["diff.entry"]),
        "{compared:#}"
    );
}

/// The one symbol of the fake kernel as a function, which takes 21 bytes, and 25 in distributed
/// mode.
#[rstest]
fn a_function_that_grows_in_one_mode_is_in_the_record(
    #[values("[thin, thin-dist]", "[thin-dist, thin]")] compare: &str,
) {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");
    kernel.add_to_matrix(&format!("compare: {compare}\n"));
    let script = kernel.source().join("scripts/fake-kbuild");
    let mut text = fs::read_to_string(&script).unwrap();
    for (from, to) in [
        (
            r"\1\0\0\0\020\0\2\0\016\0\0\0\0\0\0\0\025\0\0\0\0\0\0\0'",
            r#"\1\0\0\0\022\0\2\0\016\0\0\0\0\0\0\0'; printf "\\${3:-025}"'\0\0\0\0\0\0\0'"#,
        ),
        (
            "elf 1 >\"$out/vmlinux.o\"\n",
            "elf 1 >\"$out/vmlinux.o\"\n\tif grep -q THIN_DIST=y \"$out/.config\"; then\n\
             elf 1 0 031 >\"$out/vmlinux.o\"\n\tfi\n",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(&script, text).unwrap();

    finish(&mut kernel.run(&[]));

    let thin = &kernel.report()["cells"][0];
    assert_eq!(thin["cell"], "x86_64/tiny/thin/llvm-22");
    let growth = serde_json::json!([
        { "function": "linux_banner", "bytes": 21, "bytes_there": 25 }
    ]);
    assert_eq!(thin["comparisons"][0]["growth"], growth, "{thin:#}");
}

/// The logs of both builds are compared too.
#[test]
fn a_warning_of_one_mode_is_a_finding() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");
    kernel.add_to_matrix("compare: [thin, thin-dist]\n");
    let script = kernel.source().join("scripts/fake-kbuild");
    let text = fs::read_to_string(&script).unwrap();
    let link = "elf 1 >\"$out/vmlinux.o\"\n";
    let warns = "echo '  LD      vmlinux.o'\n\tif grep -q THIN_DIST=y \"$out/.config\"; then\n\
                 echo 'vmlinux.o: warning: objtool: f+0x1: unreachable instruction'\n\tfi\n";
    assert!(text.contains(link));
    fs::write(&script, text.replace(link, &format!("{link}{warns}"))).unwrap();

    let ended = finish(&mut kernel.run(&[]));

    let compared = &kernel.report()["cells"][0]["comparisons"][0];
    let finding = &compared["findings"][0];
    assert_eq!(
        (ended.code, &finding["key"], &finding["object"]),
        (
            Some(1),
            &"diff.warnings".into(),
            &"f: unreachable instruction".into()
        ),
        "{compared:#}"
    );
    let not_compared = serde_json::json!([{ "key": "diff.module-link", "why": "neither tree has linked modules" }]);
    assert_eq!(compared["not_compared"], not_compared);
}

#[test]
fn a_mode_that_is_switched_to_is_built_from_nothing() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin-dist, thin]", "10min");
    kernel.add_to_matrix("scenarios: [build, switch]\n");

    let ended = finish(&mut kernel.run(&[]));

    let report = kernel.report();
    assert_eq!(report["cells"][1]["derived_from"], Value::Null);
    let switch = &report["cells"][0]["scenarios"][0];
    assert_eq!(
        switch["findings"],
        serde_json::json!([]),
        "{}",
        ended.stdout
    );
    let skipped = |step: &str, mode: &str| serde_json::json!({ "step": step, "reason": { "why": "no-clean-build", "mode": mode } });
    assert_eq!(
        switch["skipped"],
        serde_json::json!([
            skipped("switch from thin to full", "full"),
            skipped("switch to none", "none"),
        ])
    );
    assert!(
        ended
            .stdout
            .contains("2 parts of scenarios and comparisons; --all shows them"),
        "{}",
        ended.stdout
    );
    let logs = fs::read_dir(kernel.cell_dir(CELL).join("scenarios")).unwrap();
    let logs = logs.filter(|log| log.as_ref().unwrap().path().extension() == Some("log".as_ref()));
    assert_eq!(logs.count(), 2, "to thin, and back");
}

/// The tools of the fake kernel have no emulator.
#[test]
fn a_cell_that_cannot_boot_here_is_not_built() {
    let kernel = FakeKernel::new();
    kernel.add_to_matrix("scenarios: [build, boot]\n");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125));
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "error");
    let reason = "this machine cannot boot x86_64 kernels: apt-get install qemu-system-x86";
    assert_eq!(cell["error"], reason);
    assert!(!kernel.cell_dir(CELL).exists());
}

#[test]
fn a_mistake_is_made_in_a_copy_of_the_sources() {
    let kernel = FakeKernel::new();
    let before = listing(&kernel.source());
    let mistake = kernel.dir().join("mistake.yaml");
    let text = "name: mistake\nabout: an object is empty\nscenario: build\nexpect: [elf.empty]\nedits:\n  \
                - { file: fault, match: \"word\", replace: \"empty-object\" }\n";
    fs::write(&mistake, text).unwrap();

    // The file holds no such word.
    let ended = finish(kernel.run(&[]).arg("--mutate").arg(&mistake));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);

    let text = text.replace("file: fault", "file: scripts/fake-kbuild");
    let text = text.replace("match: \"word\"", "match: \"*) elf 1 >\"");
    let text = text.replace("replace: \"empty-object\"", "replace: \"*) : >\"");
    fs::write(&mistake, text).unwrap();
    let ended = finish(kernel.run(&[]).arg("--mutate").arg(&mistake));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(keys(&kernel.cell()).contains(&"elf.empty"));
    assert_eq!(listing(&kernel.source()), before);

    // The next run has sources without it again.
    assert_eq!(finish(&mut kernel.run(&[])).code, Some(0));
}

/// The linker says so of User-mode Linux.
#[rstest]
#[case::usually(&[], "pass")]
#[case::where_it_is_asked_for(&["--no-known-defects"], "fail")]
fn a_defect_that_is_known_is_allowed_unless_it_is_asked_for(
    #[case] options: &[&str],
    #[case] expected: &str,
) {
    let kernel = FakeKernel::with_fault("other-triple");
    kernel.has_arch("um");

    let ended = finish(kernel.run(&[]).args(options));

    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], expected, "{}", ended.stdout);
    let finding = &cell["inspection"]["findings"][0];
    assert_eq!(finding["key"], "log.target-triple", "{cell:#}");
    assert_eq!(
        finding.get("allowed").is_some(),
        expected == "pass",
        "{finding:#}"
    );
    assert_eq!(ended.code, Some(i32::from(expected == "fail")));
}

#[rstest]
#[case::nothing_made("does-nothing", "build.failed")]
#[case::no_vmlinux("no-vmlinux", "build.failed")]
#[case::wrong_kernel("empty-object", "elf.empty")]
#[case::dropped_symbol("drop-symbol", "config.symbol")]
fn a_make_that_exits_0_is_not_believed(#[case] fault: &str, #[case] key: &str) {
    let kernel = FakeKernel::with_fault(fault);

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains(key), "{key}");
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "fail");
    assert!(keys(&cell).contains(&key), "{cell:#}");
    let ktap = kernel.ktap();
    let tests = crate::support::ktap::parse(&ktap);
    assert!(!tests[0].ok);
    assert!(
        tests[0]
            .subtests
            .iter()
            .any(|test| test.name == key && !test.ok)
    );
}

#[test]
fn a_kernel_with_the_wrong_configuration_is_not_built() {
    let kernel = FakeKernel::with_fault("drop-symbol");

    let ended = finish(&mut kernel.run(&[]));

    assert!(ended.stdout.contains("CONFIG_MODVERSIONS"));
    assert!(!kernel.cell_dir(CELL).join("build/init").exists());
}

#[test]
fn a_failed_compile_is_shown_with_commands_that_show_it_again() {
    let kernel = FakeKernel::with_fault("compile-error");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(1));
    let error = "init/main.c:1:1: error: unknown type name 'fault'";
    assert!(
        ended
            .stdout
            .contains("init/main.o: init/main.o (scripts/Makefile.build:")
    );
    assert!(ended.stdout.contains(error));
    let cell = kernel.cell();
    let failed = &cell["inspection"]["findings"][0];
    assert_eq!(failed["key"], "build.failed");
    assert_eq!(failed["object"], "init/main.o");
    assert_eq!(failed["details"][0], error);
    let ktap = kernel.ktap();
    assert!(!crate::support::ktap::parse(&ktap)[0].ok);
    assert!(ktap.contains(&format!("  #   {error}\n")), "{ktap}");

    let commands: Vec<&str> = cell["reproduce"]["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command.as_str().unwrap())
        .collect();
    let shown = ended.stdout.lines().map(str::trim);
    let shown: Vec<&str> = shown
        .skip_while(|line| *line != "reproduce:")
        .skip(1)
        .collect();
    let (variables, shown) = shown.split_at(2);
    assert_eq!(
        shown[..commands.len()],
        commands,
        "the text has the same commands"
    );
    let variables = variables.join("\n");

    // In a fresh place: what klto built must not be needed.
    fs::remove_dir_all(kernel.cell_dir(CELL).join("build")).unwrap();
    let ran: Vec<(&str, Ended)> = commands
        .into_iter()
        .map(|command| (command, kernel.in_shell(&format!("{variables}\n{command}"))))
        .collect();
    for (command, ended) in &ran {
        let code = ended.code.unwrap();
        let is_configure = ["tinyconfig", "olddefconfig"]
            .iter()
            .any(|t| command.ends_with(t))
            || command.contains("scripts/config ");
        assert_eq!(code == 0, is_configure, "{command}");
        assert!(code < 126, "{command}");
    }
    let fails_alike: Vec<&str> = ran
        .iter()
        .filter(|(_, ended)| ended.stderr.contains(error))
        .map(|(command, _)| command.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(fails_alike, ["init/main.o", "vmlinux"]);
}

#[test]
fn the_source_tree_is_never_written() {
    let kernel = FakeKernel::new();
    kernel.matrix("[thin, thin-dist]", "10min");
    for fault in ["", "compile-error", "drop-symbol", "no-vmlinux"] {
        kernel.set_fault(fault);
        let before = listing(&kernel.source());

        finish(&mut kernel.run(&[]));

        assert!(before.len() > 8, "{before:#?}");
        assert_eq!(listing(&kernel.source()), before, "after '{fault}'");
    }
}

#[test]
fn what_was_accepted_is_what_later_runs_are_measured_by() {
    let kernel = FakeKernel::new();
    let snapshots = kernel.dir().join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    let verdict = |more: &[&str]| {
        let ended = finish(&mut kernel.run(more));
        (
            ended.code.unwrap(),
            kernel.cell()["baseline"].as_str().unwrap().to_owned(),
        )
    };
    let strict = |kernel: &FakeKernel| finish(kernel.run(&[]).arg("--strict")).code.unwrap();

    assert_eq!(verdict(&[]), (0, "none".to_owned()));
    assert_eq!(
        verdict(&[]),
        (0, "none".to_owned()),
        "proposed is not accepted"
    );
    let accept = finish(klto(["accept"]).arg(kernel.matrix_file()));
    assert_eq!(accept.code, Some(0));
    assert_eq!(verdict(&[]), (0, "same".to_owned()));
    assert_eq!(strict(&kernel), 0);

    kernel.set_fault("other-config");
    assert_eq!(verdict(&[]), (0, "changed".to_owned()));
    assert_eq!(strict(&kernel), 1);
    kernel.set_fault("empty-object");
    assert_eq!(verdict(&[]), (1, "regressed".to_owned()));
}

#[test]
fn a_kernel_without_the_distributed_mode_is_skipped_and_says_so() {
    let kernel = FakeKernel::new();
    fs::write(
        kernel.source().join("arch/Kconfig"),
        "config LTO_CLANG_THIN\n",
    )
    .unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125), "nothing was checked");
    assert_eq!(kernel.cell()["outcome"]["is"], "skip");
    assert!(ended.stdout.contains("no LTO_CLANG_THIN_DIST"));

    kernel.matrix("[thin, thin-dist]", "10min");
    assert_eq!(
        finish(&mut kernel.run(&[])).code,
        Some(0),
        "one of two was checked"
    );
}

#[rstest]
#[case::holds("", 0, 0)]
#[case::broken("compile-error", 1, 1)]
#[case::cannot_tell("full-disk", 125, 125)]
fn git_bisect_sees_the_same_answers(#[case] fault: &str, #[case] alone: i32, #[case] bisect: i32) {
    let kernel = FakeKernel::with_fault(fault);

    assert_eq!(finish(&mut kernel.run(&[])).code, Some(alone));
    assert_eq!(
        finish(&mut kernel.run(&["--git-bisect"])).code,
        Some(bisect)
    );
}

#[test]
fn git_bisect_is_aborted_by_a_usage_error() {
    let kernel = FakeKernel::new();
    fs::write(kernel.source().join(".config"), "").unwrap();

    assert_eq!(finish(&mut kernel.run(&[])).code, Some(2));
    assert_eq!(finish(&mut kernel.run(&["--git-bisect"])).code, Some(128));
    assert_eq!(finish(kernel.run(&[]).arg("--git-bisect")).code, Some(128));
}

#[test]
fn an_unclean_source_tree_is_refused_with_the_command_that_cleans_it() {
    let kernel = FakeKernel::new();
    fs::write(kernel.source().join(".config"), "").unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("not clean: it contains .config"));
    let (_, remedy) = ended
        .stderr
        .trim_end()
        .rsplit_once("clean it with: ")
        .unwrap();
    let mut makefile = fs::read_to_string(kernel.source().join("Makefile")).unwrap();
    makefile.push_str("\nmrproper:\n\trm .config\n");
    fs::write(kernel.source().join("Makefile"), makefile).unwrap();
    assert_eq!(kernel.in_shell(remedy).code, Some(0));
    assert_eq!(
        finish(&mut kernel.run(&[])).code,
        Some(0),
        "the tree is clean now"
    );
}

#[rstest]
#[case::space("a folder")]
#[case::colon("a:folder")]
fn a_path_that_kbuild_cannot_handle_is_refused_and_not_created(#[case] name: &str) {
    let kernel = FakeKernel::new();

    let work = kernel.dir().join(name);
    // A link may hide the character from us, but not from make.
    let folder = kernel.dir().join(format!("{name} too"));
    fs::create_dir(&folder).unwrap();
    symlink(&folder, kernel.dir().join("link")).unwrap();
    for work in [work, kernel.dir().join("link/work")] {
        let ended = finish(&mut kernel.run_in(&kernel.source(), &work));
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("in the path of the work directory"));
        assert!(!work.exists());
    }

    let source = kernel.dir().join(name);
    fs::rename(kernel.source(), &source).unwrap();
    let ended = finish(&mut kernel.run_in(&source, &kernel.work()));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("in the path of the source tree"));
}

#[rstest]
#[case::in_it("klto-work", ".")]
#[case::deep("drivers/../out/x", ".")]
#[case::the_same("../source", "../source")]
fn a_work_directory_in_the_source_tree_is_refused(#[case] work: &str, #[case] source: &str) {
    let kernel = FakeKernel::new();
    let before = listing(&kernel.source());

    let mut run = kernel.run_in(Path::new(source), Path::new(work));
    let ended = finish(run.current_dir(kernel.source()));

    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("the work directory is inside the source tree")
    );
    assert_eq!(listing(&kernel.source()), before);
}

#[test]
fn a_work_directory_with_foreign_files_is_not_touched() {
    let kernel = FakeKernel::new();
    fs::create_dir_all(kernel.work().join("cells/thesis")).unwrap();
    fs::write(kernel.work().join("cells/thesis/text"), "years of work").unwrap();
    let before = listing(&kernel.work());

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("files that klto did not make"));
    assert_eq!(listing(&kernel.work()), before);
}

#[rstest]
#[case::no_such("nowhere", "nowhere: not a kernel source tree: No such file")]
#[case::a_file(
    "matrices/fake.yaml",
    "fake.yaml: not a kernel source tree: no such directory"
)]
#[case::another_folder("matrices", "matrices: not a kernel source tree: it has no Makefile")]
fn a_kernel_that_is_none_is_refused(#[case] kernel_dir: &str, #[case] says: &str) {
    let kernel = FakeKernel::new();

    let ended = finish(&mut kernel.run_in(Path::new(kernel_dir), &kernel.work()));

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(says));
    assert!(!kernel.work().exists());
}

#[test]
fn a_pattern_that_matches_no_cell_is_refused_with_the_cells_there_are() {
    let kernel = FakeKernel::new();

    let ended = finish(kernel.run(&[]).args(["--cell", "arm64/*"]));

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("'arm64/*' matches no cell of "));
    assert!(ended.stderr.contains(&format!("\n  {CELL}\n")));
}
