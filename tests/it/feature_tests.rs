//! klto in place of a compiler, as ccache starts it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder of answers, and a compiler that writes down what it is asked.
struct Stand(TempDir);

impl Stand {
    fn new() -> Stand {
        let stand = Stand(tempfile::tempdir().unwrap());
        let klto = stand.path("klto-feature-test");
        symlink(env!("CARGO_BIN_EXE_klto"), klto).unwrap();
        let compiler = stand.path("cc");
        let asked = stand.path("asked");
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{}\ncat\nfor file; do :; done\n\
             case $file in *.o) echo made >\"$file\" ;; esac\nexit 0\n",
            asked.display()
        );
        fs::write(&compiler, script).unwrap();
        fs::set_permissions(compiler, fs::Permissions::from_mode(0o755)).unwrap();
        stand
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ask(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(self.path("klto-feature-test"))
            .arg(self.path("cc"))
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn asked(&self) -> usize {
        let asked = fs::read_to_string(self.path("asked")).unwrap();
        asked.lines().count()
    }
}

#[test]
fn a_feature_test_reaches_the_compiler_once() {
    let stand = Stand::new();
    for output in ["one.o", "two.o"] {
        let answer = stand.ask(&["-S", "-x", "c", "-", "-o", output], "int a;");
        assert_eq!(answer.status.code(), Some(0));
        assert_eq!(answer.stdout, b"int a;");
        assert_eq!(fs::read(stand.path(output)).unwrap(), b"made\n");
    }
    assert_eq!(stand.asked(), 1);
}

#[test]
fn a_compilation_always_reaches_the_compiler() {
    let stand = Stand::new();
    fs::write(stand.path("a.c"), "int a;").unwrap();
    for asked in 1..=2 {
        let answer = stand.ask(&["-c", "a.c", "-o", "a.o"], "text");
        assert_eq!(answer.status.code(), Some(0));
        assert_eq!(answer.stdout, b"text", "its input is the compiler's own");
        assert_eq!(stand.asked(), asked);
    }
}

#[test]
fn a_compiler_that_is_not_there_is_an_error() {
    let stand = Stand::new();
    fs::remove_file(stand.path("cc")).unwrap();
    for args in [&["--version"][..], &["-c", "a.c"]] {
        let answer = stand.ask(args, "");
        assert_eq!(answer.status.code(), Some(127));
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(said.contains("/cc: No such file or directory"), "{said}");
    }
}
