//! Runs the built `klto`, or another program, as a user does: real arguments, real
//! environment, and a limit on time, so that a hang fails a test instead of stopping it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than any of these tests needs.
const LIMIT: Duration = Duration::from_mins(2);

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command for `klto`, free of what the test run itself has in its environment.
pub fn klto<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klto"));
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
    command
        .args(args)
        .env_remove("KLTO_KERNEL")
        .env_remove("KLTO_STORE")
        .env("XDG_DATA_HOME", data);
    command
}

/// Writes a script for `sh` that can be called as a program. The file with that name is open for writing
/// in no process that another test forks here: as long as it is, the system refuses to run it.
pub fn write_program(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script
        .write_all(format!("#!/bin/sh\n{text}\n").as_bytes())
        .unwrap();
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(script.path()).arg(path);
    assert_eq!(finish(&mut install).code, Some(0));
}

/// Has `outer`, whose last argument is missing, run `inner` in the environment of `inner`.
pub fn inside(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(dir) = inner.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}

/// Runs a program to its end.
pub fn finish(command: &mut Command) -> Ended {
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            let said = contents(&mut stderr);
            panic!("{command:?} runs for more than {LIMIT:?}; it said:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let ended = Ended {
        code,
        stdout: contents(&mut stdout),
        stderr: contents(&mut stderr),
    };
    eprintln!("{command:?}\n{ended:#?}");
    assert!(!ended.stderr.contains("panicked at"), "it panicked");
    ended
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until something holds; `false` if it does not within the limit.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
