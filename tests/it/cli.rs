//! The command line from the outside: every kind of wrong input has its exit code and a
//! message that says where, what was expected, and what to do. What `klto run` does is
//! in `run.rs` and `machine.rs`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use klto::cli::args::Cli;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::fake_kernel::{CELL, FakeKernel};
use crate::support::program::{Ended, finish, klto, write_program};

/// A folder with the files given, to run klto in.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn klto_in(dir: &Path, args: &[&str]) -> Ended {
    finish(klto(args).current_dir(dir))
}

const CONFIG: &str = "CONFIG_X86_64=y\nCONFIG_LTO_CLANG_THIN_DIST=y\n";

/// The beginning of a build tree, in the folder `tree`: configured, nothing built.
fn configured() -> TempDir {
    folder(&[
        ("tree/.config", CONFIG),
        ("tree/include/config/auto.conf", CONFIG),
        ("tree/include/config/kernel.release", "7.2.13\n"),
    ])
}

/// The build tree of a fake kernel that breaks no rule, moved to `to`.
fn finished(kernel: &FakeKernel, to: impl AsRef<Path>) -> PathBuf {
    assert_eq!(finish(&mut kernel.run(&[])).code, Some(0));
    let tree = kernel.dir().join(to);
    fs::rename(kernel.cell_dir(CELL).join("build"), &tree).unwrap();
    tree
}

#[rstest]
#[case::no_such_folder("nowhere", "No such file or directory")]
#[case::a_file("file", "it is not a directory")]
#[case::an_empty_folder("empty", "it has no .config")]
#[case::not_configured("half", "it has no include/config/auto.conf")]
fn a_directory_that_is_not_a_build_tree_is_refused(#[case] dir: &str, #[case] found: &str) {
    let here = folder(&[("file", ""), ("empty/x/y", ""), ("half/.config", CONFIG)]);

    let ended = klto_in(here.path(), &["check", dir]);

    assert_eq!(ended.code, Some(2));
    let begin = format!("klto: {dir}: not a kernel build tree: {found}");
    assert!(ended.stderr.starts_with(&begin), "{begin}");
    assert!(
        ended
            .stderr
            .contains("pass the O= directory of a kernel build")
    );
    assert_eq!(ended.stdout, "");
    assert_eq!(
        klto_in(here.path(), &["check", dir, "--git-bisect"]).code,
        Some(128)
    );
}

#[test]
fn a_configuration_that_cannot_be_read_cannot_be_judged() {
    // A folder in its place: root can read every file.
    let here = folder(&[
        ("tree/.config", CONFIG),
        ("tree/include/config/auto.conf/x", ""),
    ]);

    let ended = klto_in(here.path(), &["check", "tree"]);

    assert_eq!(ended.code, Some(125));
    assert!(
        ended
            .stderr
            .starts_with("klto: cannot read tree/include/config/auto.conf: ")
    );
}

#[test]
fn a_build_that_is_not_finished_cannot_be_judged() {
    let here = configured();

    let ended = klto_in(here.path(), &["check", "tree"]);

    assert_eq!(ended.code, Some(125));
    assert!(ended.stderr.contains("built-in-fixup.a is missing"));
}

#[test]
fn a_tree_of_another_mode_than_expected_is_broken() {
    let here = configured();

    let ended = klto_in(here.path(), &["check", "tree", "--lto", "thin"]);

    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("error[config.lto-mode]"));
    assert!(
        ended
            .stdout
            .contains("expected only CONFIG_LTO_CLANG_THIN=y, found CONFIG_LTO_CLANG_THIN_DIST=y")
    );
}

#[rstest]
#[case::key(&["--only", "nosuch"], "no rule has the key 'nosuch'")]
#[case::near_key(&["--only", "flag"], "no rule has the key 'flag'; did you mean 'flags'?")]
#[case::pattern_for_key(&["--only", "flags.*"], "no rule has the key 'flags.*'")]
#[case::log(&["--log", "no.log"], "cannot read the build log no.log")]
#[case::arch(&["--arch", "arm64"], "tree: the tree is of x86_64, expected arm64")]
#[case::unknown_arch(&["--arch", "aarch64"], "'aarch64' is not known; did you mean 'arm64'?")]
#[case::unknown_mode(&["--lto", "thn"], "use none, thin, thin-dist or full")]
#[case::source(&["--source", "tree"], "tree: not a kernel source tree")]
#[case::allow(&["--allow", "no.yaml"], "cannot read no.yaml: ")]
#[case::format(&["--format", "xml"], "[possible values: text, json, ktap, junit, github, markdown, html, kcidb, mail, perfetto]")]
#[case::option(&["--logs", "x"], "unexpected argument '--logs'")]
fn wrong_arguments_of_check_are_usage_errors(#[case] args: &[&str], #[case] says: &str) {
    let here = configured();

    let ended = klto_in(here.path(), &[&["check", "tree"], args].concat());

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(says), "{says}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_tree_of_no_known_architecture_is_refused_with_those_that_are() {
    let here = folder(&[
        ("tree/.config", ""),
        ("tree/include/config/auto.conf", "CONFIG_SPARC=y\n"),
    ]);

    let ended = klto_in(here.path(), &["check", "tree"]);

    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("(arm64, loongarch, powerpc, riscv, um, x86_64)")
    );
}

#[rstest]
#[case::unknown_key(
    "{ key: config, cell: '*', reason: r, until: '9.0' }",
    "allow.yaml:1:18: .[0]: unknown field 'cell'",
    "did you mean 'cells'?"
)]
#[case::twice(
    "{ key: config, cells: '*', reason: r, until: '9.0', key: x }",
    "allow.yaml:1:55: .[0]: key 'key' appears twice",
    "remove one"
)]
#[case::no_reason(
    "{ key: config, cells: '*', until: '9.0' }",
    "allow.yaml:1:3: ",
    "missing field 'reason'"
)]
#[case::no_version(
    "{ key: config, cells: '*', reason: r, until: soon }",
    "allow.yaml:1:48: ",
    "'soon' is not a kernel version"
)]
fn a_wrong_allow_file_is_refused_at_its_place(
    #[case] entry: &str,
    #[case] place: &str,
    #[case] says: &str,
) {
    let here = configured();
    fs::write(here.path().join("allow.yaml"), format!("- {entry}\n")).unwrap();

    let ended = klto_in(here.path(), &["check", "tree", "--allow", "allow.yaml"]);

    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with(&format!("klto: {place}")),
        "{place}"
    );
    assert!(ended.stderr.contains(says), "{says}");
}

#[rstest]
#[case::in_force("7.3", "allowed[config.lto-mode]", 125)]
#[case::expired("7.2", "error[config.lto-mode]", 1)]
#[case::expired_with_a_candidate("7.2.13-rc1", "error[config.lto-mode]", 1)]
fn an_allow_entry_holds_until_its_kernel(
    #[case] until: &str,
    #[case] says: &str,
    #[case] code: i32,
) {
    let here = configured();
    let entry = format!("- {{ key: config, cells: '*', reason: known, until: '{until}' }}\n");
    fs::write(here.path().join("allow.yaml"), entry).unwrap();

    let args = ["check", "tree", "--lto", "thin", "--allow", "allow.yaml"];
    let ended = klto_in(here.path(), &args);

    // Allowed, all that is left is that the build has not got anywhere.
    assert_eq!(ended.code, Some(code));
    assert!(ended.stdout.contains(says), "{says}");
}

#[rstest]
#[case::spaces(OsStr::new("a tree with spaces"))]
#[case::not_utf_8(OsStr::from_bytes(b"tree-\xff\xfe"))]
#[case::control_characters(OsStr::new("tree\u{1b}[31m\n"))]
fn a_build_tree_may_have_any_path(#[case] name: &OsStr) {
    let kernel = FakeKernel::new();
    let tree = finished(&kernel, name);
    for format in ["text", "json", "ktap"] {
        let args = [
            "check".as_ref(),
            tree.as_os_str(),
            "--format".as_ref(),
            format.as_ref(),
        ];

        let ended = finish(&mut klto(args));

        assert_eq!(ended.code, Some(0));
        assert!(
            !ended.stdout.contains("\u{1b}[31m"),
            "passed on to the terminal"
        );
    }
}

const MATRIX: &str = "\
name: m
toolchains:
  llvm-22: { make: { LLVM: \"-22\" } }
configs:
  tiny: { base: tinyconfig }
axes:
  arch: [x86_64]
  config: [tiny]
  lto: [thin]
  toolchain: [llvm-22]
timeout: 2h
";

#[rstest]
#[case::unknown_key("timeout", "timeot", "m.yaml:11:1: ", "did you mean 'timeout'?")]
#[case::twice("timeout: 2h", "name: n", "m.yaml:11:1: ", "'name' appears twice")]
#[case::wrong_type("[x86_64]", "x86_64", "m.yaml:7:9: ", "expected a sequence")]
#[case::unknown_arch("[x86_64]", "[x86]", "m.yaml:7:10: ", "did you mean 'x86_64'?")]
#[case::unknown_mode("[thin]", "[thin-dis]", "m.yaml:9:9: ", "did you mean 'thin-dist'?")]
#[case::unknown_config("[tiny]", "[tinny]", "m.yaml:8:12: ", "did you mean 'tiny'?")]
#[case::no_time("2h", "soon", "m.yaml:11:10: ", "write one such as '2h'")]
#[case::no_yaml("name: m", "name: [", "m.yaml:", "did not find")]
fn a_wrong_matrix_is_refused_at_its_place(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] place: &str,
    #[case] says: &str,
) {
    let here = folder(&[("m.yaml", &MATRIX.replacen(right, wrong, 1))]);
    for command in [
        &["plan", "m.yaml"][..],
        &["accept", "m.yaml"],
        &["run", "m.yaml", "--kernel", "."],
    ] {
        let ended = klto_in(here.path(), command);

        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.starts_with(&format!("klto: {place}")),
            "{place}"
        );
        assert!(ended.stderr.contains(says), "{says}");
    }
}

#[test]
fn accept_without_a_folder_for_snapshots_says_how_to_name_one() {
    let here = folder(&[("m/m.yaml", MATRIX)]);

    let ended = klto_in(here.path(), &["accept", "m/m.yaml"]);

    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("give one with --snapshots"));
}

#[test]
fn the_plan_shows_what_would_be_built() {
    let ended = klto_in(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        &["plan", "matrices/full.yaml"],
    );

    assert_eq!(ended.code, Some(0));
    insta::assert_snapshot!(ended.stdout, @r"
    x86_64/tiny/thin/llvm-22
        make ARCH=x86_64 LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    x86_64/tiny/thin-dist/llvm-22
        make ARCH=x86_64 LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN_DIST=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    arm64/tiny/thin/llvm-22
        make ARCH=arm64 LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    arm64/tiny/thin-dist/llvm-22
        make ARCH=arm64 LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN_DIST=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    riscv/tiny/thin/llvm-22
        make ARCH=riscv LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    riscv/tiny/thin-dist/llvm-22
        make ARCH=riscv LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN_DIST=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    loongarch/tiny/thin/llvm-22
        make ARCH=loongarch LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    loongarch/tiny/thin-dist/llvm-22
        make ARCH=loongarch LLVM=-22 tinyconfig; CONFIG_LTO_CLANG_THIN_DIST=y CONFIG_MODULES=y CONFIG_MODVERSIONS=y
    8 cells
    ");
}

#[rstest]
#[case::a_rule(&["explain", "config.symbol"], 0, "config.symbol (error)\n  invariant: ")]
#[case::a_family(&["explain", "config"], 0, "config.lto-mode (error)\n  invariant: ")]
#[case::the_build(&["explain", "build.failed"], 0, "build.failed (error)\n  invariant: ")]
#[case::help(&["--help"], 0, "Verifies Linux kernels")]
#[case::version(&["--version"], 0, concat!("klto ", env!("CARGO_PKG_VERSION")))]
fn an_answer_goes_to_standard_output(
    #[case] args: &[&str],
    #[case] code: i32,
    #[case] begins: &str,
) {
    let ended = finish(&mut klto(args));

    assert_eq!(ended.code, Some(code));
    assert!(ended.stdout.starts_with(begins), "{begins}");
    assert_eq!(ended.stderr, "");
}

#[rstest]
#[case::no_command(&[], "Usage: klto")]
#[case::unknown_command(&["explian"], "a similar subcommand exists: 'explain'")]
#[case::unknown_key(&["explain", "config.symbl"], "did you mean 'config.symbol'?")]
#[case::no_kernel(&["run", "matrices/full.yaml"], "--kernel <DIR>")]
fn a_usage_error_goes_to_standard_error(#[case] args: &[&str], #[case] says: &str) {
    let ended = finish(&mut klto(args));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(says), "{says}");
    assert_eq!(ended.stdout, "");

    let in_bisect = finish(klto(args).arg("--git-bisect"));
    assert_eq!(in_bisect.code, Some(128));
}

#[test]
fn help_lists_the_exit_codes() {
    let help = finish(&mut klto(["--help"])).stdout;

    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    for code in ["  0  ", "  1  ", "  2  ", "  125  "] {
        assert!(codes.contains(code), "{code}");
    }
}

#[test]
fn the_doctor_names_every_tool_and_what_to_install() {
    let kernel = FakeKernel::new();

    let well = finish(klto(["doctor"]).env("PATH", kernel.tools()));
    let ill = finish(klto(["doctor"]).env("PATH", kernel.dir()));

    assert_eq!(well.code, Some(0));
    assert_eq!(ill.code, Some(125), "nothing can be built here");
    for tool in [
        "make",
        "flex",
        "bison",
        "clang-22",
        "ld.lld-22",
        "llvm-nm-22",
    ] {
        let found = |said: &str| said.lines().any(|line| line.starts_with(tool));
        assert!(found(&well.stdout) && found(&ill.stdout), "{tool}");
        let missing = |line: &str| line.split_whitespace().eq([tool, "missing"]);
        assert!(!well.stdout.lines().any(missing), "{tool}");
        assert!(ill.stdout.lines().any(missing), "{tool}");
    }
    assert!(ill.stdout.contains("apt-get install make flex bison "));
}

#[test]
fn the_doctor_names_a_tool_that_does_not_answer() {
    let kernel = FakeKernel::new();
    let flex = kernel.tools().join("flex");
    fs::remove_file(&flex).unwrap();
    write_program(&flex, "exec sleep 1000");

    let ill = finish(klto(["doctor"]).env("PATH", kernel.tools()));

    assert_eq!(ill.code, Some(125));
    let mut lines = ill.stdout.lines();
    let hangs = |line: &str| {
        line.split_whitespace()
            .eq(["flex", "does", "not", "answer"])
    };
    assert!(lines.by_ref().any(hangs), "{}", ill.stdout);
    let why = "'flex --version' does not end within 20 seconds";
    assert!(lines.any(|line| line.contains(why)), "{}", ill.stdout);
}

/// `klto explain | head -1`
#[rstest]
#[case(&["explain"])]
#[case(&["explain", "--markdown"])]
#[case(&["--help"])]
fn a_closed_pipe_is_not_an_error(#[case] args: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = klto(args)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();

    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_answer_that_cannot_be_written_was_not_given() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = klto(["explain"])
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    let ended = finish(klto(["man"]).arg(&pages));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    let shown = |command: &&clap::Command| !command.is_hide_set();
    for command in Cli::command().get_subcommands().filter(shown) {
        let name = command.get_name();
        let text = page(&format!("klto-{name}.1"));
        assert!(text.contains("\n.SH SYNOPSIS\n"), "{name}: {text}");
        assert!(
            page("klto.1").contains(&format!("klto\\-{name}(1)")),
            "{name}"
        );
    }
    assert!(page("klto.1").contains("inconclusive: the toolchain"));

    let file = folder.path().join("man/man1/klto.1");
    let ended = finish(klto(["man"]).arg(&file));
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stderr.contains(file.to_str().unwrap()),
        "{}",
        ended.stderr
    );
}

#[rstest]
#[case::command("se", "series")]
#[case::option("probe --sandb", "--sandbox")]
#[case::value("check --format git", "github")]
fn the_shell_completes_what_was_begun(#[case] begun: &str, #[case] completed: &str) {
    let script = finish(&mut klto(["completions", "bash"])).stdout;
    let words: Vec<&str> = begun.split(' ').collect();
    let (last, before) = (words[words.len() - 1], words.len());
    let asked = format!(
        "{script}\nCOMP_WORDS=(klto {begun}); COMP_CWORD={before}\n\
         _klto klto '{last}' \"${{COMP_WORDS[COMP_CWORD-1]}}\"\necho \"${{COMPREPLY[@]}}\"\n"
    );
    let ended = finish(Command::new("bash").arg("-c").arg(asked));
    assert_eq!(ended.stdout.trim(), completed, "{}", ended.stderr);
}

#[rstest]
#[case::zsh("zsh", "#compdef klto")]
#[case::fish("fish", "complete -c klto")]
fn other_shells_have_completions_too(#[case] shell: &str, #[case] says: &str) {
    let ended = finish(&mut klto(["completions", shell]));
    assert!(ended.stdout.contains(says));
    assert!(ended.stdout.contains("series"));
}
