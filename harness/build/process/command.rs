//! A command as data: what to start, where and with which environment; and the line to paste
//! into a shell to start the same.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::jobserver::JobServer;
use super::meter::Meter;
use super::sandbox::Around;

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
    pub(super) meter: Option<Meter>,
    /// What it reads from its standard input.
    pub(super) input: Option<Arc<[u8]>>,
    /// The pool of tokens, if it is a make that shares one.
    pub(super) jobserver: Option<JobServer>,
    /// How much it may write, in bytes.
    pub(super) output_limit: Option<u64>,
    /// Whether what it leaves may go on after it.
    pub(super) leaves_daemons: bool,
    /// The sandbox around it, if there is one.
    pub(super) around: Option<Around>,
}

impl Command {
    /// A command for `program`: a name to look up in `PATH`, or a path, which is relative to
    /// klto's working directory, not to [`Command::cwd`].
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            grace: Duration::from_secs(5),
            meter: None,
            input: None,
            jobserver: None,
            output_limit: None,
            leaves_daemons: false,
            around: None,
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

    /// Removes a variable of klto's own environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Sets the folder to start in; klto's own, if not set.
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

    /// Sets where to add what the command costs.
    #[must_use]
    pub fn meter(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Has it take its jobs from a pool. Its own first job needs a [`Slot`](super::Slot).
    #[must_use]
    pub fn jobserver(mut self, pool: JobServer) -> Self {
        self.jobserver = Some(pool);
        self
    }

    /// Sets what it reads from its standard input. It need not read it all.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Sets how much of its output is kept, in bytes: of a longer log, the beginning and the end,
    /// and nothing of a longer captured output, which ends the command. If not set, 256 MiB of a
    /// log, and 64 MiB that are captured.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = Some(bytes);
        self
    }

    /// Lets processes that leave the command's group go on after it.
    #[must_use]
    pub fn leaves_daemons(mut self) -> Self {
        self.leaves_daemons = true;
        self
    }

    /// The same with another path in place of `path`, where that is an argument.
    #[must_use]
    pub fn with_path(mut self, path: &Path, other: &Path) -> Self {
        for arg in self.args.iter_mut().filter(|arg| *arg == path) {
            *arg = other.into();
        }
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
        self.shell_words_in(&[])
    }

    /// The same line, with `"$NAME"` in place of each path of `places` at the beginning of a
    /// word, or of the value in `variable=value`: for a reader who has other paths.
    pub fn shell_words_in(&self, places: &[(&Path, &str)]) -> String {
        let quote = |word: &OsStr| quote_in(word, places);
        let mut line = String::new();
        if let Some(folder) = &self.cwd {
            line = format!("cd {} && ", quote(folder.as_os_str()));
        }
        // The shell's own `NAME=value program` supports neither removal nor odd names.
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

/// `word`, quoted for a shell. In `NAME=value`, which make's command line is full of, only
/// the value is quoted, and only if it must be.
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

/// [`quote`], with variables in place of paths.
fn quote_in(word: &OsStr, places: &[(&Path, &str)]) -> String {
    let text = word.to_string_lossy();
    let (assigned, value) = match text.split_once('=') {
        Some((name, value)) if is_name(name) => (format!("{name}="), value),
        _ => (String::new(), &*text),
    };
    for (path, variable) in places {
        if let Some(below) = value.strip_prefix(&*path.to_string_lossy())
            && (below.is_empty() || below.starts_with('/'))
        {
            let below = match below {
                "" => String::new(),
                below => quote(OsStr::new(below)),
            };
            return format!("{assigned}\"${variable}\"{below}");
        }
    }
    quote(word)
}

/// Whether `name` is a valid variable name for a shell.
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
    #[case(&["-C", "/a/linux"], r#"make -C "$KERNEL""#)]
    #[case(&["O=/a/out", "ARCH=arm64"], r#"make O="$O" ARCH=arm64"#)]
    #[case(&["/a/linux/scripts/a b"], r#"make "$KERNEL"'/scripts/a b'"#)]
    #[case(&["/a/linux-next", "x/a/linux"], "make /a/linux-next x/a/linux")]
    fn paths_give_way_to_variables(#[case] args: &[&str], #[case] line: &str) {
        let places = [
            (Path::new("/a/out"), "O"),
            (Path::new("/a/linux"), "KERNEL"),
        ];
        let command = Command::new("make").args(args.iter().copied());
        assert_eq!(command.shell_words_in(&places), line);
    }

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
