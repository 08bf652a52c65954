//! Programs that klto runs in its own place, as a wrapper does: they stay in its process
//! group, so that whoever ends the wrapper ends them too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; as a shell shows it (128 and the signal) if a signal ended it.
    pub code: u8,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Replaces this process by that program, with these variables added to the environment;
/// returns only if it cannot be started.
#[must_use]
pub fn replace_by(command: &[OsString], environment: &[(&str, OsString)]) -> io::Error {
    match command.split_first() {
        Some((program, args)) => {
            let mut command = Command::new(program);
            let variables = environment.iter().map(|(name, value)| (name, value));
            command.args(args).envs(variables).exec()
        }
        None => io::Error::from(io::ErrorKind::InvalidInput),
    }
}

/// Replaces this process by that program in an environment of these variables and no others;
/// returns only if it cannot be started.
#[must_use]
pub fn replace_in(command: &[OsString], environment: &BTreeMap<OsString, OsString>) -> io::Error {
    match command.split_first() {
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args).env_clear().envs(environment).exec()
        }
        None => io::Error::from(io::ErrorKind::InvalidInput),
    }
}

/// Runs that program to its end, with `input` as its standard input and these variables added
/// to the environment.
///
/// # Errors
/// Where it cannot be started or its output cannot be read.
pub fn run_in_place(
    command: &[OsString],
    input: &[u8],
    environment: &[(&str, OsString)],
) -> io::Result<Said> {
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A program that does not read all of it has closed the pipe.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        child.wait_with_output()
    })?;
    let status = output.status;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(Said {
        code: code
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX),
        stdout: output.stdout,
        stderr: output.stderr,
    })
}
