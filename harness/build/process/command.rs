//! A command as data: what to start, where and with which environment, and the line
//! that a person pastes into a shell to start the same.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A program with its arguments, environment, folder and standard input, which is empty
/// unless it is set.
#[derive(Clone)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    /// Variables on top of our own environment; `None` removes one.
    pub(super) env: BTreeMap<OsString, Option<OsString>>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) grace: Duration,
    /// What it reads from its standard input.
    pub(super) input: Option<Arc<[u8]>>,
}

impl Command {
    /// A command for `program`: a name to look up in `PATH`, or a path, which is
    /// relative to our own working directory and not to [`Command::cwd`].
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            grace: Duration::from_secs(5),
            input: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes an environment variable that we may have ourselves.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Sets the folder to start in; ours, if not set.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Sets how long the process group has between SIGTERM and SIGKILL when it is
    /// ended early; 5 seconds, if not set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets what it reads from its standard input. It need not read it all.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The program as it was given.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The folder it starts in, if one was set.
    pub fn folder(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// One line for a POSIX shell that does the same: `cd`, environment, program and
    /// arguments, without the standard input. Bytes that are not UTF-8 are shown as U+FFFD.
    pub fn shell_words(&self) -> String {
        let mut line = String::new();
        if let Some(folder) = &self.cwd {
            line = format!("cd {} && ", quote(folder.as_os_str()));
        }
        // The shell's own `NAME=value program` knows neither removal nor odd names.
        if self
            .env
            .iter()
            .any(|(name, value)| value.is_none() || !is_name(&name.to_string_lossy()))
        {
            line.push_str("env ");
            for (name, _) in self.env.iter().filter(|(_, value)| value.is_none()) {
                line.push_str(&format!("-u {} ", quote(name)));
            }
        }
        for (name, value) in &self.env {
            if let Some(value) = value {
                line.push_str(&format!("{}={} ", quote(name), quote(value)));
            }
        }
        line.push_str(&quote(&self.program));
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quote(arg));
        }
        line
    }
}

/// `word` so that a shell takes it as it is. In `NAME=value`, as make's command line
/// is full of, only the value is quoted where it must be.
fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    // A NUL cannot be quoted, nor could it be in a command.
    let quoted = |text: &str| shlex::try_quote(text).map_or_else(|e| e.to_string(), Into::into);
    match word.split_once('=') {
        Some((name, "")) if is_name(name) => word.into_owned(),
        Some((name, value)) if is_name(name) => format!("{name}={}", quoted(value)),
        _ => quoted(&word),
    }
}

/// Whether a shell takes `name` as the name of a variable.
fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(letter)
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.shell_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain(Command::new("make").arg("-j2"), "make -j2")]
    #[case::folder_and_environment(
        Command::new("make").cwd("/a b").env("KCFLAGS", "-DX='a b' $y"),
        r#"cd '/a b' && KCFLAGS="-DX='a b' "'$y' make"#
    )]
    #[case::removed(
        Command::new("make").env_remove("MAKEFLAGS").env("A", ""),
        "env -u MAKEFLAGS A='' make"
    )]
    #[case::make_variables(
        Command::new("make").args(["ARCH=arm64", "LLVM=-22", "O=/a b", "V=", "vmlinux"]),
        "make ARCH=arm64 LLVM=-22 O='/a b' V= vmlinux"
    )]
    #[case::odd_name(Command::new("make").env("a.b", "1"), "env a.b=1 make")]
    #[case::shell_characters(
        Command::new("echo").args(["*", "~", "#x", "", "a;b", "!", "{a,b}"]),
        "echo '*' '~' '#x' '' 'a;b' '!' '{a,b}'"
    )]
    fn the_line_can_be_pasted_into_a_shell(#[case] command: Command, #[case] line: &str) {
        assert_eq!(command.shell_words(), line);
    }
}
