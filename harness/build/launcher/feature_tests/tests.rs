//! What is taken for a feature test, and that its answer is given again as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rstest::rstest;
use tempfile::TempDir;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_ascii_whitespace().map(OsString::from).collect()
}

#[rstest]
#[case::option("cc -Werror -mno-red-zone -c -x c /dev/null -o tmp")]
#[case::preprocessor("cc -x c -E -o cpp.i /dev/null")]
#[case::text("cc -c -x assembler-with-cpp -o tmp -")]
#[case::to_the_output("cc -S -x c -o - -")]
#[case::output_unnamed("cc -dM -E -x c /dev/null")]
#[case::version("cc --version")]
#[case::where_a_file_is("cc -print-file-name=plugin")]
#[case::prefix_map("cc -fmacro-prefix-map=/dev/= -c -x c /dev/null -o tmp")]
#[case::word_like_a_folder("cc -mcmodel=harness -c -x c /dev/null -o tmp")]
fn a_compiler_that_reads_nothing_but_its_arguments_is_asked_once(#[case] line: &str) {
    assert!(question(&words(line)).is_some(), "{line}");
}

/// Tests run in the folder of `Cargo.toml`.
#[rstest]
#[case::object("cc -c -o main.o harness/main.rs")]
#[case::object_that_is_gone("cc -c -o main.o gone.c")]
#[case::back_end("cc -x ir -fthinlto-index=Cargo.toml -c -o a.o Cargo.lock")]
#[case::included("cc -include Cargo.toml -c -x c /dev/null -o tmp")]
#[case::plugin("cc -fplugin=Cargo.toml -c -x c /dev/null -o tmp")]
#[case::in_a_list("cc -Wa,Cargo.toml -c -x c /dev/null -o tmp")]
#[case::folder_of_headers("cc -Iharness/model -c -x c /dev/null -o tmp")]
#[case::list_of_arguments("cc @list -c -x c /dev/null -o tmp")]
#[case::dependencies("cc -Wp,-MMD,a.d -c -x c /dev/null -o tmp")]
#[case::dependencies_named("cc -MF a.d -c -x c /dev/null -o tmp")]
#[case::more_files("cc -save-temps -c -x c /dev/null -o tmp")]
#[case::link("cc -x c /dev/null -o tmp")]
#[case::link_of_a_text("cc -x c - -o tmp")]
#[case::output_made_up("cc -c -x c /dev/null")]
#[case::two_sources("cc -c -x c /dev/null - -o tmp")]
#[case::header_by_a_folder("cc -Iharness -include main.rs -E -x c /dev/null -o tmp")]
#[case::macros("cc -imacros x.h -c -x c /dev/null -o tmp")]
#[case::joined("cc -c -x c /dev/null -otmp")]
#[case::coverage("cc -ftest-coverage -c -x c /dev/null -o tmp")]
#[case::split("cc -gsplit-dwarf -c -x c /dev/null -o tmp")]
#[case::nothing("cc -c -o tmp")]
#[case::no_output_after_all("cc -c -x c /dev/null -o")]
fn whatever_may_read_or_write_more_is_left_to_the_compiler(#[case] line: &str) {
    assert_eq!(question(&words(line)), None, "{line}");
}

/// A compiler that counts how often it is asked.
struct Compiler(TempDir);

impl Compiler {
    fn new(script: &str) -> Compiler {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cc");
        let text = format!(
            "#!/bin/sh\necho >>{}/asked\n{script}\n",
            dir.path().display()
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("answers")).unwrap();
        Compiler(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Asks with these arguments, `OUT` standing for a file in the folder.
    fn ask(&self, args: &str, input: &str) -> Answer {
        let args = args.replace("OUT", self.path("out").to_str().unwrap());
        let mut command = vec![self.path("cc").into_os_string()];
        command.extend(words(&args));
        let question = question(&command).unwrap();
        let file = self
            .path("answers")
            .join(key(&question, input.as_bytes()).unwrap());
        remembered(&file, &command, &question, input.as_bytes(), &[]).unwrap()
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.path("asked"))
            .unwrap()
            .lines()
            .count()
    }
}

#[test]
fn an_answer_is_given_again_as_it_was() {
    let compiler = Compiler::new(
        r#"echo said; echo warned >&2; for a; do o=$a; done; echo made >"$o"; exit 0"#,
    );
    let args = "-Wodd -c -x c /dev/null -o OUT";
    let first = compiler.ask(args, "");
    let expected = Answer {
        code: 0,
        stdout: b"said\n".to_vec(),
        stderr: b"warned\n".to_vec(),
        output: Some(b"made\n".to_vec()),
    };
    assert_eq!(first, expected);
    fs::remove_file(compiler.path("out")).unwrap();

    assert_eq!(compiler.ask(args, ""), expected);

    assert_eq!(fs::read(compiler.path("out")).unwrap(), b"made\n");
    assert_eq!(compiler.asked(), 1);
}

#[rstest]
#[case::option("-Wodder -S -x c - -o -", "int a;")]
#[case::one_word("-W odd -S -x c - -o -", "int a;")]
#[case::text("-Wodd -S -x c - -o -", "int b;")]
#[case::to_a_file("-Wodd -S -x c - -o OUT", "int a;")]
#[case::to_nowhere("-Wodd -S -x c - -o /dev/null", "int a;")]
fn another_question_is_asked(#[case] args: &str, #[case] input: &str) {
    let compiler = Compiler::new("");
    compiler.ask("-Wodd -S -x c - -o -", "int a;");
    compiler.ask(args, input);
    assert_eq!(compiler.asked(), 2);
}

#[rstest]
#[case::folder_missing(
    "echo 'error: unable to open output file: No such file' >&2; exit 1",
    ""
)]
#[case::full_disk("echo 'error: No space left on device' >&2; exit 1", "")]
#[case::no_memory("echo 'Cannot allocate memory' >&2; exit 1", "")]
#[case::killed("kill -9 $$", "")]
#[case::crashed("exit 70", "")]
#[case::reads_a_header("", "#include <stdio.h>")]
#[case::reads_the_clock("", "char *a = __TIME__;")]
#[case::reads_a_file("", ".incbin \"a\"")]
fn an_answer_that_could_change_is_not_remembered(#[case] script: &str, #[case] input: &str) {
    let compiler = Compiler::new(script);
    for asked in 1..=2 {
        compiler.ask("-S -x c - -o -", input);
        assert_eq!(compiler.asked(), asked);
    }
}

#[test]
fn a_damaged_answer_is_asked_for_again() {
    let compiler = Compiler::new("echo said");
    let first = compiler.ask("--version", "");
    for entry in fs::read_dir(compiler.path("answers")).unwrap() {
        fs::write(entry.unwrap().path(), [0xff; 3]).unwrap();
    }
    assert_eq!(compiler.ask("--version", ""), first);
    assert_eq!(compiler.asked(), 2);
    assert_eq!(compiler.ask("--version", ""), first);
    assert_eq!(compiler.asked(), 2);
}

#[test]
fn a_killed_compiler_is_reported_as_a_shell_reports_it() {
    assert_eq!(Compiler::new("kill -9 $$").ask("--version", "").code, 137);
}

#[test]
fn a_failure_is_remembered_without_an_output() {
    let compiler = Compiler::new("echo 'error: unknown argument' >&2; exit 1");
    fs::write(compiler.path("out"), "of somebody else").unwrap();
    for _ in 0..2 {
        let answer = compiler.ask("-Wodd -c -x c /dev/null -o OUT", "");
        assert_eq!((answer.code, answer.output), (1, None));
    }
    assert_eq!(compiler.asked(), 1);
}

#[test]
fn debug_information_has_the_current_directory_in_it() {
    let names_folder = |line: &str| question(&words(line)).unwrap().names_folder;
    assert!(names_folder("cc -gdwarf-5 -c -x c /dev/null -o tmp"));
    assert!(!names_folder("cc -O2 -c -x c /dev/null -o tmp"));
}

#[test]
fn a_long_text_is_passed_on_and_not_remembered() {
    let compiler = Compiler::new("wc -c");
    let long = "x".repeat(1024 * 1024);
    for asked in 1..=2 {
        let answer = compiler.ask("-S -x c - -o -", &long);
        assert_eq!(String::from_utf8(answer.stdout).unwrap().trim(), "1048576");
        assert_eq!(compiler.asked(), asked);
    }
}
