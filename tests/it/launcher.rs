//! klto before a compiler's name, and in place of a compiler, of `nm` and of `ar`, as make starts it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The launcher, a ccache that says how it was started, and a compiler that writes down what it
/// is asked.
struct Stand(TempDir);

impl Stand {
    fn new() -> Stand {
        let stand = Stand(tempfile::tempdir().unwrap());
        stand.klto("klto-cc");
        stand.program(
            "ccache",
            "echo \"[$CCACHE_EXTRAFILES]\" >>\"$0.log\"\nexec \"$@\"",
        );
        stand.program(
            "cc",
            "echo \"$@\" >>\"$0.log\"\ncat\nfor file; do :; done\n\
             case $file in *.o) echo made >\"$file\" ;; esac\nexit 0",
        );
        stand
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// klto under another name.
    fn klto(&self, name: &str) {
        let klto = env!("CARGO_BIN_EXE_klto");
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        // The temporary folder may be on another file system.
        fs::hard_link(klto, self.path(name))
            .or_else(|_| fs::copy(klto, self.path(name)).map(drop))
            .unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Starts a compiler through the launcher, which is found in the search path, with a
    /// value of `KLTO_MODES_SHARE`.
    fn ask_with(&self, share: &str, args: &[&str], input: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        self.ask_in(&path, share, args, input)
    }

    fn ask_in(&self, path: &str, share: &str, args: &[&str], input: &str) -> Output {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exec klto-cc \"$@\"", "sh"])
            .arg(self.path("cc"))
            .args(args)
            .env("PATH", path)
            .env("KLTO_MODES_SHARE", share)
            .env("KLTO_CACHED", "front-ends")
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn ask(&self, args: &[&str], input: &str) -> Output {
        self.ask_with("0", args, input)
    }

    /// What a program has noted, a line each time that it was started.
    fn noted(&self, program: &str) -> Vec<String> {
        let log = fs::read_to_string(self.path(&format!("{program}.log")));
        log.unwrap_or_default().lines().map(str::to_owned).collect()
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
    assert_eq!(stand.noted("cc").len(), 1);
    assert_eq!(stand.noted("ccache"), [""; 0]);
}

#[test]
fn a_compilation_always_reaches_the_compiler_through_ccache() {
    let stand = Stand::new();
    fs::write(stand.path("a.c"), "int a;").unwrap();
    for asked in 1..=2 {
        let answer = stand.ask(&["-c", "a.c", "-o", "a.o"], "text");
        assert_eq!(answer.status.code(), Some(0));
        assert_eq!(answer.stdout, b"text", "its input is the compiler's own");
        assert_eq!(stand.noted("cc").len(), asked);
        assert_eq!(stand.noted("ccache"), vec!["[]"; asked]);
    }
}

#[test]
fn ccache_is_told_what_modes_share_if_no_code_tells_them_apart() {
    const COMPILE: [&str; 5] = ["-D__KERNEL__", "-c", "a.c", "-o", "a.o"];
    const HOST: [&str; 4] = ["-c", "a.c", "-o", "a.o"];
    let stand = Stand::new();
    fs::create_dir_all(stand.path("include/generated")).unwrap();
    let header = stand.path("include/generated/autoconf.h");
    for mode in ["THIN", "THIN_DIST"] {
        let config = format!("#define CONFIG_A 1\n#define CONFIG_LTO_CLANG_{mode} 1\n");
        fs::write(&header, config).unwrap();
        stand.ask_with("1", &COMPILE, "");
        stand.ask_with("1", &HOST, "");
        stand.ask(&COMPILE, "");
    }
    let noted = stand.noted("ccache");
    let shared = &noted[0];
    assert!(shared.len() > 32, "{noted:?}");
    assert_eq!(noted, [shared, "[]", "[]", shared, "[]", "[]"]);
}

#[test]
fn a_compiler_that_is_not_there_is_an_error_and_so_is_ccache() {
    let stand = Stand::new();
    fs::remove_file(stand.path("cc")).unwrap();
    fs::remove_file(stand.path("ccache")).unwrap();
    let said = |args: &[&str]| {
        let answer = stand.ask_in(stand.0.path().to_str().unwrap(), "0", args, "");
        assert_eq!(answer.status.code(), Some(127));
        String::from_utf8(answer.stderr).unwrap()
    };
    let compiler = stand.path("cc").display().to_string();
    let missing = |program: &str| {
        format!("klto-cc: cannot run {program}: No such file or directory (os error 2)\n")
    };
    assert_eq!(said(&["--version"]), missing(&compiler));
    assert_eq!(said(&["-c", "a.c"]), missing("ccache"));
}

/// The `nm` that klto stands for is further on in the search path, in which klto's own folder may
/// be twice.
#[test]
fn the_old_archiver_knows_no_thin_and_is_otherwise_the_real_one() {
    let stand = Stand::new();
    stand.klto("old-archiver/test-ar");
    stand.program("bin/test-ar", "echo \"real $@\"; exit 3");
    let ask = |args: &str| {
        let path = format!(
            "{0}/old-archiver:{0}:{0}/bin:/usr/bin:/bin",
            stand.0.path().display()
        );
        let answer = Command::new("/bin/sh")
            .args(["-c", &format!("exec test-ar {args}")])
            .env("PATH", path)
            .output()
            .unwrap();
        let said = [answer.stdout, answer.stderr].concat();
        (answer.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(ask("cDPrST a.o"), (Some(3), "real cDPrST a.o\n".to_owned()));
    let (code, said) = ask("cDPrS --thin a.o");
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("test-ar: unrecognized option '--thin'"),
        "{said}"
    );
}

#[test]
fn nm_lists_the_symbols_of_an_object_once() {
    let stand = Stand::new();
    stand.klto("nm/test-nm");
    symlink("nm", stand.path("link")).unwrap();
    stand.program("bin/test-nm", "echo \"$@\" | tee -a \"$0.log\"");
    fs::write(stand.path("a.o"), "object").unwrap();
    let list = |args: &str| {
        let command = format!("exec test-nm {args}");
        let path = format!(
            "{0}/link:{0}/nm:{0}:{0}/bin:/usr/bin:/bin",
            stand.0.path().display()
        );
        let answer = Command::new("/bin/sh")
            .args(["-c", &command])
            .env("PATH", path)
            .current_dir(stand.0.path())
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap() + &String::from_utf8(answer.stderr).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(list("a.o"), "a.o\n");
        assert_eq!(list("-g a.o"), "-g a.o\n");
    }
    assert_eq!(stand.noted("bin/test-nm"), ["a.o", "-g a.o", "-g a.o"]);

    fs::write(stand.path("a.o"), "another").unwrap();
    fs::remove_file(stand.path("bin/test-nm")).unwrap();
    let missing = "klto-cc: cannot run test-nm: No such file or directory (os error 2)\n";
    assert_eq!(list("a.o"), missing);
    assert_eq!(list("-g a.o"), missing);
}

/// What a build gets from klto: folders that come first in the search path.
#[test]
fn a_compiler_that_is_looked_for_in_the_search_path_is_klto_first() {
    let stand = Stand::new();
    stand.klto("compiler/test-cc");
    stand.program(
        "bin/test-cc",
        "echo \"$@ $OBJCPLUS_INCLUDE_PATH\" >>\"$0.log\"\n[ ! -e \"$0.fails\" ] || exit 3",
    );
    fs::write(stand.path("a.c"), "int a;").unwrap();
    let run = |args: &str, cached: &str, names: Option<&str>| {
        let path = format!(
            "{0}/compiler:{0}:{0}/bin:/usr/bin:/bin",
            stand.0.path().display()
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("exec test-cc {args}")]);
        command
            .env("PATH", path)
            .env("KLTO_CACHED", cached)
            .envs(names.map(|n| ("KLTO_SOURCE_NAMES", n)));
        command
            .current_dir(stand.0.path())
            .output()
            .unwrap()
            .status
            .code()
    };
    for _ in 0..2 {
        assert_eq!(
            run("-Wodd -fsyntax-only -x c /dev/null", "nothing", None),
            Some(0)
        );
    }
    assert_eq!(run("-c a.c -o a.o", "nothing", None), Some(0));
    assert_eq!(stand.noted("ccache"), [""; 0]);
    assert_eq!(run("-c a.c -o a.o", "front-ends", Some("1")), Some(0));
    assert_eq!(run("-x ir -c a.o -o b.o", "front-ends", Some("1")), Some(0));
    assert_eq!(stand.noted("ccache").len(), 1, "a back end is none");
    assert_eq!(run("-x ir -c a.o -o b.o", "everything", Some("2")), Some(0));
    assert_eq!(stand.noted("ccache").len(), 2);

    let noted = stand.noted("bin/test-cc");
    let (words, folders): (Vec<_>, Vec<_>) = noted
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap())
        .unzip();
    let compilation = "-c a.c -o a.o";
    let back_end = "-x ir -c a.o -o b.o";
    assert_eq!(
        words,
        [
            "-Wodd -fsyntax-only -x c /dev/null",
            compilation,
            compilation,
            back_end,
            back_end
        ]
    );
    assert_eq!([folders[0], folders[1], folders[3]], [""; 3]);
    assert!(folders[2].starts_with("/nonexistent/") && folders[4].starts_with("/nonexistent/"));
    assert_ne!(folders[2], folders[4], "the sources have other names");

    fs::write(stand.path("bin/test-cc.fails"), "").unwrap();
    assert_eq!(run("-c a.c -o a.o", "nothing", None), Some(3));
    fs::remove_file(stand.path("bin/test-cc")).unwrap();
    assert_eq!(run("-c a.c -o a.o", "nothing", None), Some(127));
}
