//! `klto probe` from the outside, over a fake kernel: no result of another state is ever
//! given, and nothing is done twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rstest::rstest;
use rustix::process::Signal;

use crate::support::fake_kernel::listing;
use crate::support::probed::{ALL, EARLY, NOT_READ_BY_PREPARE, Probed, WRONG, cell};
use crate::support::program::finish;

#[test]
fn a_second_probe_of_the_same_kernel_runs_no_make() {
    let probed = Probed::new();
    let source = listing(&probed.kernel.source());

    let (first, goals) = probed.probe(&[]);
    assert_eq!(
        (first.code, goals),
        (Some(0), ALL.map(str::to_owned).to_vec())
    );
    let (second, goals) = probed.probe(&[]);

    assert_eq!(second.code, Some(0));
    assert_eq!(goals, [""; 0]);
    let [mut first, second] = [cell(&first), cell(&second)];
    assert_eq!(first["outcome"]["is"], "pass");
    let has_looked = |rule: &&serde_json::Value| rule["looked_at"] != 0;
    let rules = first["inspection"]["rules"].as_array().unwrap();
    assert!(rules.iter().filter(has_looked).count() > 9, "{rules:#?}");
    assert_eq!([&first["reused"], &second["reused"]], [false, true]);
    first["reused"] = true.into();
    assert_eq!(second, first);
    assert_eq!(listing(&probed.kernel.source()), source, "it is only read");
}

/// With settings of the probe's own: a user's may trade certainty for speed, or have another
/// machine compile.
#[test]
fn objects_come_from_ccache_where_there_is_one() {
    let probed = Probed::new();
    probed.append(
        "Makefile",
        "\nmodpost: note\nnote:\n\t@echo $(CC) $$KLTO_CACHED $$CCACHE_DIR $$CCACHE_CONFIGPATH >$(AROUND)/cc\n\
         \t@command -v klto-cc >$(AROUND)/launcher || :\n\
         \t@command -v clang-22 >>$(AROUND)/launcher || :\n\
         \t@command -v llvm-nm-22 >>$(AROUND)/launcher || :\n\
         \t@set | grep ^CCACHE_ | sed 's/=.*//' >$(AROUND)/settings\n",
    );
    let compiler = || fs::read_to_string(probed.kernel.dir().join("cc")).unwrap();

    let ccache = probed.kernel.tools().join("ccache");
    let _ = fs::remove_file(&ccache);
    assert_eq!(probed.code(&[]), 0);
    let folder = probed.kernel.work().join("ccache");
    let place = format!("{} /dev/null\n", folder.display());
    assert_eq!(compiler(), format!("cc nothing {place}"));
    fs::write(ccache, "").unwrap();
    assert_eq!(
        probed.probe(&[]).1,
        ALL,
        "another compiler is another build"
    );
    assert_eq!(compiler(), format!("cc front-ends {place}"));
    let around = |file: &str| fs::read_to_string(probed.kernel.dir().join(file)).unwrap();
    let settings = around("settings");
    let mut command = probed.command(&["--lto", "thin-dist", "--fresh"]);
    command.envs([("CCACHE_PREFIX", "distcc"), ("CCACHE_DISABLE", "1")]);
    assert_eq!(finish(&mut command).code, Some(0));
    assert_eq!(
        around("settings"),
        settings.replace("CCACHE_DIR\n", "CCACHE_DIR\nCCACHE_DISABLE\n")
    );
    let klto = fs::read(env!("CARGO_BIN_EXE_klto")).unwrap();
    let names: Vec<_> = around("launcher")
        .lines()
        .map(|program| {
            let program = Path::new(program);
            assert!(program.starts_with(probed.kernel.work().join("answers")));
            assert!(fs::read(program).unwrap() == klto);
            program.file_name().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names, ["klto-cc", "clang-22", "llvm-nm-22"]);
}

#[test]
fn modes_share_objects_unless_some_code_tells_them_apart() {
    let probed = Probed::new();
    probed.append(
        "Makefile",
        "\nmodpost: note\nnote:\n\t@echo share=$$KLTO_MODES_SHARE >$(AROUND)/share\n",
    );
    fs::write(probed.kernel.tools().join("ccache"), "").unwrap();
    // What make was given, and the file that klto names as the cause.
    let share = || {
        let file = probed.kernel.dir().join("share");
        let _ = fs::remove_file(&file);
        let run = finish(&mut probed.command(&["--lto", "thin-dist"]));
        assert_eq!(run.code, Some(0));
        let note = " asks for the mode of LTO, so each mode compiles all objects itself";
        let cause = run.stderr.lines().find_map(|line| line.split_once(note));
        let cause = cause.map(|(file, _)| file.to_owned());
        (fs::read_to_string(file).unwrap(), cause)
    };
    let shared = || ("share=1\n".to_owned(), None);
    let apart = |file: &str| ("share=0\n".to_owned(), Some(file.to_owned()));
    assert_eq!(share(), shared());
    probed.write(EARLY, "#ifdef CONFIG_LTO_CLANG_THIN\n#endif\n");
    assert_eq!(share(), apart(EARLY));
    probed.write("scripts/mode.sh", "echo '#ifdef CONFIG_LTO_CLANG_THIN'\n");
    probed.write(EARLY, "");
    assert_eq!(
        share(),
        apart("scripts/mode.sh"),
        "a script may write C code"
    );
    probed.write("scripts/mode.sh", "");
    probed.write(EARLY, "/* CONFIG_LTO_CLANG_THIN */\n");
    assert_eq!(share(), shared());
}

/// Of the same files, the same command makes it.
#[test]
fn the_modes_of_a_kernel_share_the_base_of_their_configurations() {
    let probed = Probed::new();
    let goals = |mode: &str| {
        let ended = finish(&mut probed.command(&["--lto", mode]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        probed.goals()
    };
    let config = |mode: &str| {
        let cell = format!("cells/x86_64/probe/{mode}/llvm-22/build/.config");
        fs::read_to_string(probed.kernel.work().join(cell)).unwrap()
    };
    assert_eq!(goals("thin-dist"), ALL);
    assert_eq!(goals("thin"), ALL[1..]);
    let shared = config("thin");
    assert_ne!(shared, config("thin-dist"));

    probed.write(EARLY, "/* changed */\n");
    assert_eq!(goals("thin"), ALL);
    assert_eq!(config("thin"), shared);
    assert_eq!(goals("thin-dist"), ALL[1..]);
}

#[test]
fn the_answers_of_old_compilers_are_removed() {
    let probed = Probed::new();
    assert_eq!(probed.code(&[]), 0);
    let answers = probed.kernel.work().join("answers");
    for old in 0..9 {
        fs::create_dir_all(answers.join(old.to_string())).unwrap();
    }
    assert_eq!(probed.code(&["--fresh"]), 0);
    let kept = fs::read_dir(answers).unwrap().count();
    assert_eq!(kept, 5 + 1, "five old ones, and that of this compiler");
}

/// make writes the version of what RUSTC names into the configuration.
#[test]
fn a_probe_does_not_hang_on_the_machines_rust() {
    let probed = Probed::new();
    probed.append(
        "Makefile",
        "\nmodpost: note\nnote:\n\t@echo rust=$(RUSTC) >$(AROUND)/rust\n",
    );
    assert_eq!(probed.code(&[]), 0);
    let rust = fs::read_to_string(probed.kernel.dir().join("rust")).unwrap();
    assert_eq!(rust, "rust=false\n");
}

#[test]
fn the_command_that_probes_again_asks_for_the_same() {
    let probed = Probed::new();
    let (ended, _) = probed.probe(&["--scenario", "noop", "--add", "long,assign-word"]);
    let cell = cell(&ended);
    let again = cell["reproduce"]["commands"][0].as_str().unwrap();
    let asked = "--scenario noop --add 'long,assign-word' --arch x86_64 --lto thin-dist";
    assert!(again.ends_with(asked), "{again}");
    let make = cell["reproduce"]["commands"][1].as_str().unwrap();
    assert!(
        make.contains(" KLTO_KNOWN_BAD_OBJECTS=assign-word.o KLTO_LONG=y "),
        "{make}"
    );
}

#[test]
fn what_is_wrong_is_wrong_again_without_a_make() {
    let probed = Probed::new();
    probed.write(EARLY, WRONG);
    for goals in [&ALL[..], &[]] {
        let (ended, ran) = probed.probe(&[]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(
            cell(&ended)["inspection"]["findings"][0]["key"],
            "elf.empty"
        );
        assert_eq!(cell(&ended)["outcome"]["is"], "fail");
        assert_eq!(ran, goals);
    }
}

/// What happens between two probes.
type Change = fn(&Probed);

#[rstest]
#[case::nothing(|_: &Probed| (), &[])]
#[case::outside_of_the_copy(|k: &Probed| k.write("drivers/net/net.c", "int other;\n"), &[])]
#[case::time_alone(|k: &Probed| {
    let file = fs::File::open(k.kernel.source().join("Makefile")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
}, &[])]
#[case::unused_tool(|k: &Probed| fs::write(k.kernel.tools().join("opt-22"), "").unwrap(), &[])]
#[case::top_makefile(|k: &Probed| k.append("Makefile", "\n# more\n"), &ALL)]
#[case::kbuild(|k: &Probed| k.append("Kbuild", "obj-y += more/\n"), &ALL)]
#[case::header(|k: &Probed| k.write(EARLY, "none"), &ALL)]
#[case::new_header(|k: &Probed| k.write("include/new.h", ""), &ALL)]
#[case::other_makefile(|k: &Probed| k.write("drivers/net/Makefile", "obj-y += net.o\n"), &ALL)]
#[case::deleted(|k: &Probed| fs::remove_file(k.kernel.source().join("init/main.c")).unwrap(), &ALL)]
#[case::mode(|k: &Probed| {
    let script = k.kernel.source().join("scripts/fake-kbuild");
    let mode = fs::metadata(&script).unwrap().permissions().mode() ^ 0o111;
    fs::set_permissions(script, fs::Permissions::from_mode(mode)).unwrap();
}, &ALL)]
#[case::compiler(|k: &Probed| fs::write(k.kernel.tools().join("clang-22"), "#!/bin/sh\n# new\n").unwrap(), &ALL)]
#[case::shell_tool(|k: &Probed| fs::write(k.kernel.tools().join("awk"), "#!/bin/sh\n# new\n").unwrap(), &ALL)]
#[case::late_makefile(|k: &Probed| k.write(NOT_READ_BY_PREPARE, "none"), &["modpost"])]
#[case::late_ignored(|k: &Probed| k.append(".gitignore", "*.a\n"), &["modpost"])]
#[case::late_list(|k: &Probed| k.append("scripts/head-object-list.txt", "arch/x86/more.o\n"), &["modpost"])]
#[case::new_late_file(|k: &Probed| k.write("scripts/clang-tools/gen.py", ""), &["modpost"])]
#[case::result_is_garbage(|k: &Probed| fs::write(k.record(), "{").unwrap(), &["modpost"])]
#[case::result_is_gone(|k: &Probed| fs::remove_file(k.record()).unwrap(), &["modpost"])]
#[case::cell_is_gone(|k: &Probed| fs::remove_dir_all(k.slot()).unwrap(), &[])]
fn what_changed_is_made_again_and_nothing_else(#[case] change: Change, #[case] goals: &[&str]) {
    let probed = Probed::new();
    assert_eq!(probed.code(&[]), 0);
    probed.goals();

    change(&probed);

    let (ended, ran) = probed.probe(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ran, goals);
    assert_eq!(probed.probe(&[]).1, [""; 0], "and is remembered");
}

#[rstest]
#[case::early(EARLY)]
#[case::late(NOT_READ_BY_PREPARE)]
fn a_change_and_its_revert_are_both_reported_correctly(#[case] file: &str) {
    let probed = Probed::new();
    for round in 0..2 {
        assert_eq!(probed.code(&[]), 0, "round {round}");
        probed.write(file, WRONG);
        assert_eq!(probed.code(&[]), 1, "round {round}");
        probed.write(file, "");
    }
    probed.goals();
    assert_eq!(probed.probe(&[]).1, [""; 0], "the result is kept");
    probed.forget();
    assert_eq!(
        probed.probe(&[]).1,
        ["modpost"],
        "what was prepared is kept"
    );
}

#[test]
fn more_states_than_are_kept_are_all_reported_correctly() {
    let probed = Probed::new();
    for round in 0..2 {
        for state in ["", "a", WRONG, "b", "c", "d", "e", "f", "g", "h"] {
            probed.write(EARLY, state);
            let wanted = i32::from(state == WRONG);
            assert_eq!(probed.code(&[]), wanted, "{state} in round {round}");
        }
    }
    let kept = fs::read_dir(probed.slot().join("prepared")).unwrap();
    assert!(kept.count() <= 8);
}

#[test]
fn a_kernel_that_prepares_with_late_files_is_prepared_again_when_they_change() {
    let probed = Probed::new();
    let makefile = fs::read_to_string(probed.kernel.source().join("Makefile")).unwrap();
    let reads = "@cat include/fault.h scripts/Makefile.vmlinux_a ";
    let builds = "cat $(O)/include/prepared.h $(AROUND)";
    let makefile = makefile.replace("@cat include/fault.h ", reads).replace(
        "cat $(O)/include/prepared.h scripts/Makefile.vmlinux_a $(AROUND)",
        builds,
    );
    assert!(makefile.contains(reads) && makefile.contains(builds));
    probed.write("Makefile", &makefile);
    for (late, code) in [("", 0), (WRONG, 1), ("", 0)] {
        probed.write(NOT_READ_BY_PREPARE, late);
        assert_eq!(probed.code(&[]), code);
    }
}

#[test]
fn each_mode_and_toolchain_has_a_result_of_its_own() {
    let probed = Probed::new();
    let other = probed.kernel.dir().join("other/");
    fs::create_dir(&other).unwrap();
    for tool in [
        "clang",
        "ld.lld",
        "llvm-ar",
        "llvm-nm",
        "llvm-objcopy",
        "llvm-readelf",
        "llvm-strip",
    ] {
        fs::write(other.join(tool), "").unwrap();
    }
    let toolchain = ["--toolchain", other.to_str().unwrap()];
    // The base of the configuration is that of the first mode.
    let other_mode = &ALL[1..];
    for (goals, both) in [(&ALL[..], [other_mode, other_mode].concat()), (&[], vec![])] {
        assert_eq!(probed.probe(&[]).1, goals);
        assert_eq!(probed.probe(&toolchain).1, goals);
        // They share a source tree, so they do not run at the same time.
        let ended = finish(&mut probed.command(&["--lto", "thin,none", "--jobs", "8"]));
        assert_eq!(ended.code, Some(0));
        assert_eq!(probed.goals(), both);
    }
}

/// Variables that the makefiles take from the environment, and such that every terminal
/// has others of.
#[rstest]
#[case::assembler("LLVM_IAS", &ALL)]
#[case::verbose("KBUILD_VERBOSE", &ALL)]
#[case::of_make("GNUMAKEFLAGS", &ALL)]
#[case::include_path("CPATH", &ALL)]
#[case::kept_from_make("KCFLAGS", &[])]
#[case::session("SSH_CONNECTION", &[])]
#[case::folder("OLDPWD", &[])]
fn another_environment_is_another_build(#[case] name: &str, #[case] goals: &[&str]) {
    let probed = Probed::new();
    assert_eq!(probed.code(&[]), 0);
    probed.goals();

    let ended = finish(probed.command(&["--lto", "thin-dist"]).env(name, "-s"));

    assert_eq!(ended.code, Some(0));
    assert_eq!(probed.goals(), goals);
}

#[test]
fn a_mutated_kernel_is_never_taken_for_the_clean_one() {
    let probed = Probed::new();
    let mutation = |name: &str, file: &str| {
        let text = format!(
            "name: {name}\nabout: x\nedits: [{{ file: {file}, match: none, replace: {WRONG} }}]\nunseen: x\n"
        );
        let file = probed.kernel.dir().join(format!("{name}.yaml"));
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (early, late) = (
        mutation("early", EARLY),
        mutation("late", NOT_READ_BY_PREPARE),
    );
    probed.write(EARLY, "none\n");
    probed.write(NOT_READ_BY_PREPARE, "none\n");
    let source = listing(&probed.kernel.source());
    for round in 0..2 {
        assert_eq!(probed.code(&[]), 0, "clean, round {round}");
        assert_eq!(probed.code(&["--mutate", &late]), 1, "late, round {round}");
        assert_eq!(probed.code(&[]), 0, "clean again, round {round}");
        assert_eq!(
            probed.code(&["--mutate", &early]),
            1,
            "early, round {round}"
        );
    }
    assert_eq!(listing(&probed.kernel.source()), source);

    let misfit = mutation("misfit", "Kbuild");
    let (ended, _) = probed.probe(&["--mutate", &misfit]);
    assert_eq!(ended.code, Some(2));
    for part in ["misfit", "Kbuild", "'none'", "choose another mutation"] {
        assert!(ended.stderr.contains(part), "{part}");
    }
    assert_eq!(probed.code(&[]), 0);
}

#[rstest]
#[case::in_the_configuration("tinyconfig")]
#[case::in_prepare("prepare")]
#[case::in_the_build("modpost")]
fn a_probe_that_was_killed_leaves_nothing_to_be_taken_for_a_result(#[case] goal: &str) {
    let probed = Probed::new();
    let mut hanging = probed.hang_in(goal, &[]);

    assert_eq!(hanging.end_by(Signal::KILL), None);
    // Its make is still there, and writes into the build tree.
    let (early, _) = probed.probe(&["--timeout", "1s"]);
    assert_eq!(early.code, Some(125));
    assert!(early.stderr.contains("timed out while waiting"));
    hanging.end_all();

    let (ended, goals) = probed.probe(&[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(goals.last().map(String::as_str), Some("modpost"));
}

#[test]
fn a_prepared_tree_that_is_used_is_kept_while_others_come() {
    let probed = Probed::new();
    let prepares = |state: &str| {
        probed.write(EARLY, state);
        let (ended, goals) = probed.probe(&["--fresh"]);
        assert_eq!(ended.code, Some(0));
        goals.contains(&"prepare".to_owned())
    };
    assert!(prepares("none: the base\n"));
    for round in 0..2 {
        for other in 0..5 {
            assert!(prepares(&format!("none: {round}, {other}\n")));
        }
        assert!(!prepares("none: the base\n"), "round {round}");
    }
    assert!(prepares("none: 0, 0\n"), "not all are kept");
}

#[test]
fn a_prepared_tree_that_was_copied_by_half_is_not_used() {
    let probed = Probed::new();
    let mut hanging = probed.hang_in_copying();
    assert_eq!(hanging.end_by(Signal::KILL), None);

    assert_eq!(probed.code(&[]), 0);
}

#[test]
fn a_probe_that_was_killed_in_a_scenario_leaves_no_edited_source() {
    let probed = Probed::new();
    let touch = ["--scenario", "touch"];
    assert_eq!(probed.code(&[]), 0);
    let mut hanging = probed.hang_in("modpost", &touch);
    hanging.end_by(Signal::KILL);
    hanging.end_all();
    probed.goals();

    let (ended, goals) = probed.probe(&touch);

    assert_eq!(ended.code, Some(0), "the sources are those of the kernel");
    assert!(!goals.contains(&"prepare".to_owned()), "the build is known");
}

#[rstest]
#[case::in_prepare("prepare", Signal::INT)]
#[case::in_the_build("modpost", Signal::INT)]
#[case::by_kill("modpost", Signal::TERM)]
fn an_interrupted_probe_leaves_no_process_and_goes_on_next_time(
    #[case] goal: &str,
    #[case] signal: Signal,
) {
    let probed = Probed::new();
    let source = listing(&probed.kernel.source());
    let mut hanging = probed.hang_in(goal, &[]);

    assert_eq!(hanging.end_by(signal), Some(125));

    assert_eq!(hanging.living(), [0; 0]);
    assert_eq!(listing(&probed.kernel.source()), source);
    assert_eq!(probed.code(&[]), 0);
}

#[test]
fn a_second_probe_in_the_same_work_directory_waits_for_the_first() {
    let probed = Probed::new();
    let mut hanging = probed.hang_in("modpost", &[]);

    let (second, _) = probed.probe(&["--timeout", "1s"]);

    assert_eq!(second.code, Some(125));
    let (waits, why) = (
        "waiting for process ",
        ", which probes in the same work directory",
    );
    assert!(second.stderr.contains(waits), "{}", second.stderr);
    assert!(second.stderr.contains(why), "{}", second.stderr);
    assert!(!hanging.living().is_empty(), "the first goes on");
    assert_eq!(hanging.end_by(Signal::INT), Some(125));
}

#[rstest]
#[case::in_it("work")]
#[case::the_same(".")]
#[case::by_detours("include/../../source/work")]
fn a_work_directory_in_the_kernel_is_refused(#[case] work: &str) {
    let probed = Probed::new();
    let source = listing(&probed.kernel.source());

    let work = probed.kernel.source().join(work);
    let ended = finish(&mut probed.command_in(&work, &[]));

    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("the work directory is inside the source tree"),
        "{}",
        ended.stderr
    );
    assert_eq!(listing(&probed.kernel.source()), source);
    assert_eq!(probed.goals(), [""; 0]);
}

#[test]
fn a_kernel_without_the_distributed_mode_is_skipped_and_says_so() {
    let probed = Probed::new();
    probed.write("arch/Kconfig", "config LTO_CLANG_THIN\n");

    let (ended, goals) = probed.probe(&[]);

    assert_eq!(ended.code, Some(125), "nothing was checked");
    assert_eq!(cell(&ended)["outcome"]["is"], "skip");
    let reason = &cell(&ended)["outcome"]["reason"];
    assert_eq!(reason["why"], "no-distributed-mode");
    assert_eq!(goals, [""; 0]);
    let both = finish(&mut probed.command(&["--lto", "thin,thin-dist"]));
    assert_eq!(both.code, Some(0), "one of two was checked");
}

#[rstest]
#[case::does_not_parse("Makefile", "\nendif\n", "extraneous 'endif'")]
#[case::lacks_a_separator("Makefile", "\nthis is no makefile\n", "missing separator")]
#[case::includes_nothing(
    "Makefile",
    "\ninclude scripts/Makefile.lost\n",
    "scripts/Makefile.lost"
)]
#[case::does_not_compile(EARLY, "compile-error", "unknown type name 'fault'")]
#[case::does_not_compile_late(NOT_READ_BY_PREPARE, "compile-error", "unknown type name 'fault'")]
#[case::loses_a_symbol("include/kconfig.h", "drop-symbol", "CONFIG_MODVERSIONS")]
fn a_kernel_that_cannot_be_built_is_broken_with_what_make_says(
    #[case] file: &str,
    #[case] text: &str,
    #[case] says: &str,
) {
    let probed = Probed::new();
    let before = fs::read_to_string(probed.kernel.source().join(file)).unwrap();
    probed.append(file, text);

    for again in [false, true] {
        let (ended, _) = probed.probe(&["--scenario", "touch"]);
        assert_eq!(ended.code, Some(1), "again: {again}");
        assert!(ended.stdout.contains(says), "again: {again}");
    }

    probed.write(file, &before);
    assert_eq!(probed.code(&[]), 0);
}

/// A failure of the machine is not a result, so it is not cached.
#[test]
fn a_full_disk_is_reported_once() {
    let probed = Probed::new();
    probed.around("fault", "full-disk");
    let (ended, _) = probed.probe(&[]);
    assert_eq!(ended.code, Some(125));
    assert!(ended.stdout.contains("No space left on device"));

    probed.around("fault", "");
    assert_eq!(probed.code(&[]), 0);
}

#[test]
fn a_kbuild_file_that_is_worded_otherwise_is_not_guessed_at() {
    let probed = Probed::new();
    probed.write("Kbuild", "obj-y += init/\n");

    let (ended, goals) = probed.probe(&[]);

    assert_eq!(ended.code, Some(125));
    let reason = cell(&ended)["error"].to_string();
    assert!(
        reason.contains("Kbuild: marker line '# Ordinary directory descending' not found"),
        "{reason}"
    );
    assert_eq!(goals, [""; 0]);
}

/// The makefiles see the miniature where the kernel's own objects were named.
#[test]
fn the_miniature_takes_the_place_of_the_kernels_objects() {
    let probed = Probed::new();
    assert_eq!(probed.code(&[]), 0);
    let tree = probed
        .kernel
        .work()
        .join("cells/x86_64/probe/source/llvm-22");
    let read = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
    assert_eq!(read("Kbuild"), "obj-y += klto/\n\nobj-y += probe/\n");
    assert!(
        read("scripts/head-object-list.txt").starts_with("arch/x86/kernel/head_64.o\nprobe/head/")
    );
    assert!(Path::new(&tree.join("probe/plain.c")).is_file());
    assert!(!tree.join("drivers/net/net.c").exists());
}
