//! The only place that starts processes. Each child leads its own process group, with a log
//! or captured output of a bounded size and a deadline. To end it, the group gets SIGTERM and,
//! after a grace period, SIGKILL; and so do daemons, which have left the group: no process is
//! left.

mod adopted;
mod bounded;
mod cancel;
mod command;
mod descendants;
mod group;
mod in_place;
mod jobserver;
mod meter;
pub mod sandbox;
mod tail;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::fs::{Access, MemfdFlags, access, memfd_create};
use thiserror::Error as DeriveError;

pub use adopted::describe;
pub use cancel::Cancel;
pub use command::Command;
pub use in_place::{Said, replace_by, replace_in, run_in_place};
pub use jobserver::{JobServer, Slot, Style};
pub use meter::{Meter, Usage};
pub use tail::LogTail;

use crate::file::bounded_log;
use crate::model::error::Error;
use bounded::{Growing, InMemory, Logged, Output, cannot_free, contents};
use group::{Group, POLL};
use jobserver::Entered;
use meter::Watch;
use tail::Tail;

/// How often `on_tick` is called.
const TICK: Duration = Duration::from_millis(200);

/// The most that a captured child may write, in bytes.
const CAPTURED: u64 = 64 << 20;

/// A log's file system with less than this, in bytes, is full.
const FULL: u64 = 64 * 1024;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With code 0.
    Success,
    /// With another code.
    Code(i32),
    /// By a signal that klto did not send.
    Signal(i32),
    /// klto ended it at its deadline.
    TimedOut,
    /// klto ended it because the user interrupted.
    Cancelled,
    /// klto ended it because the caller had what it wanted.
    Stopped,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Success,
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => write!(f, "success"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => write!(f, "timed out"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}

/// How a child with a log ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub exit: Exit,
    /// How many bytes of its output the log lacks, because it was too long.
    pub left_out: u64,
}

/// What a captured child wrote. Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: Exit,
}

impl From<CapturedBytes> for Captured {
    fn from(captured: CapturedBytes) -> Captured {
        Captured {
            stdout: text(captured.stdout),
            stderr: captured.stderr,
            status: captured.status,
        }
    }
}

/// The same, with the standard output as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedBytes {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub stderr: String,
    /// How it ended.
    pub status: Exit,
}

/// Why a child could not be run to its end. Never the child's own failure.
#[derive(Debug, DeriveError)]
pub enum ProcessError {
    /// There is no such program.
    #[error("'{program}' not found; install it, add its folder to PATH or give its path")]
    NotFound {
        /// The program as given.
        program: String,
    },
    /// The folder to start in does not exist.
    #[error("cannot start '{command}': {} is not a folder; create it first", .folder.display())]
    NoFolder {
        /// The command as a shell line.
        command: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The program exists but does not start.
    #[error("cannot start '{command}': {source}; check that the program is executable here")]
    Start {
        /// The command as a shell line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be written.
    #[error("cannot write the log {}: {source}; check its folder and permissions", .log.display())]
    Log {
        /// The log.
        log: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log's file system is full. Found before the start, or after the child failed.
    #[error(
        "{}: no space left on the log's file system; free some or use another folder, then run again",
        .log.display()
    )]
    NoSpace {
        /// The log.
        log: PathBuf,
    },
    /// The log is too long, and nothing can be left out of it.
    #[error(
        "the log {} is longer than {limit} bytes, and its file system cannot free the middle of a file: '{command}' was ended\n  use a folder on another file system, or find out what writes so much",
        .log.display()
    )]
    Flood {
        /// The command as a shell line.
        command: String,
        /// The log.
        log: PathBuf,
        /// How long it may get, in bytes.
        limit: u64,
    },
    /// A captured child wrote too much.
    #[error(
        "'{command}' was ended: it wrote more than {limit} bytes; run it by hand to see what it writes"
    )]
    TooMuch {
        /// The command as a shell line.
        command: String,
        /// How much it may write, in bytes.
        limit: u64,
    },
    /// The child cannot be waited for.
    #[error("cannot wait for '{command}': {source}; run it by hand to see what it does")]
    Wait {
        /// The command as a shell line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A process of the group hangs in the kernel.
    #[error(
        "'{command}' survives SIGKILL: it hangs in the kernel; look at 'ps -eo pid,stat,wchan,args'"
    )]
    Survives {
        /// The command as a shell line.
        command: String,
    },
    /// The system refuses signal handlers.
    #[error("cannot handle Ctrl-C: {0}; without that, child processes could keep running")]
    Signals(#[source] io::Error),
}

/// What starts no child, or cannot wait for one, is never the kernel.
impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Error {
        Error::Machine(error.to_string())
    }
}

/// Runs `command` with both outputs appended to the file `log`. `on_tick` gets what is
/// new in the log about five times a second, and once more at the end; with
/// [`ControlFlow::Break`] it ends the command.
///
/// Of an output that is longer than [`Command::output_limit`], the log has the beginning and the
/// end; the middle is freed while the command runs. The log names the daemons that it left.
///
/// Nothing is started when `deadline` has passed or `cancel` is set.
///
/// # Errors
/// When the log cannot be written or is too long, the child cannot be started, or its group
/// cannot be ended. When the child fails and the log's file system is full, the error says so; a
/// child that frees space as it fails, or fills another file system, just fails.
pub fn run_logged(
    command: &Command,
    log: &Path,
    deadline: Option<Instant>,
    cancel: &Cancel,
    on_tick: &mut dyn FnMut(&LogTail<'_>) -> ControlFlow<()>,
) -> Result<Ended, ProcessError> {
    let refused = |source: io::Error| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ProcessError::NoSpace {
            log: log.to_owned(),
        },
        _ => ProcessError::Log {
            log: log.to_owned(),
            source,
        },
    };
    let file = File::options()
        .append(true)
        .create(true)
        .open(log)
        .map_err(refused)?;
    let limit = command.output_limit.unwrap_or(bounded_log::LONGEST);
    let mut output = Logged {
        tail: Tail::open(log).map_err(refused)?,
        growing: Growing::begin(log, limit).map_err(refused)?,
        on_tick,
        failure: None,
    };
    let stdout = file.try_clone().map_err(refused)?;
    let stderr = file.try_clone().map_err(refused)?;
    let (exit, daemons) = supervise(command, stdout, stderr, deadline, cancel, &mut output)?;
    let left_out = output.growing.join().map_err(refused)?;
    for daemon in daemons {
        // As a command, which no rule takes for a message.
        writeln!(&file, "# klto: ended what was left running: {daemon}").map_err(refused)?;
    }
    match output.failure {
        Some(error) if cannot_free(&error) => {
            return Err(ProcessError::Flood {
                command: command.shell_words(),
                log: log.to_owned(),
                limit,
            });
        }
        Some(error) => return Err(refused(error)),
        None => {}
    }
    if matches!(exit, Exit::Code(_) | Exit::Signal(_)) && is_full(&file) {
        return Err(ProcessError::NoSpace {
            log: log.to_owned(),
        });
    }
    Ok(Ended { exit, left_out })
}

/// Runs `command` and returns its output, all of it in memory.
///
/// Nothing is started when `deadline` has passed or `cancel` is set.
///
/// # Errors
/// When the child cannot be started, writes more than [`Command::output_limit`], or its group
/// cannot be ended.
pub fn capture(
    command: &Command,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Captured, ProcessError> {
    capture_bytes(command, deadline, cancel).map(Captured::from)
}

/// The same, and ends the command once `is_enough` holds of what it has written to standard error:
/// then it was stopped.
///
/// # Errors
/// As [`capture`].
pub fn capture_until(
    command: &Command,
    deadline: Option<Instant>,
    cancel: &Cancel,
    is_enough: &dyn Fn(&str) -> bool,
) -> Result<Captured, ProcessError> {
    captured(command, deadline, cancel, Some(is_enough)).map(Captured::from)
}

/// The same for a child whose standard output is no text.
///
/// # Errors
/// As [`capture`].
pub fn capture_bytes(
    command: &Command,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<CapturedBytes, ProcessError> {
    captured(command, deadline, cancel, None)
}

fn captured(
    command: &Command,
    deadline: Option<Instant>,
    cancel: &Cancel,
    is_enough: Option<&dyn Fn(&str) -> bool>,
) -> Result<CapturedBytes, ProcessError> {
    // Files in memory, not pipes: a daemon that outlives the child would hold a pipe open,
    // and reading it to the end would never finish.
    let failed = |source| ProcessError::Start {
        command: command.shell_words(),
        source,
    };
    let mut output = InMemory {
        stdout: memory("captured").map_err(failed)?,
        stderr: memory("captured").map_err(failed)?,
        limit: command.output_limit.unwrap_or(CAPTURED),
        is_enough,
    };
    let (out, err) = (output.stdout.try_clone(), output.stderr.try_clone());
    let (out, err) = (out.map_err(failed)?, err.map_err(failed)?);
    let (status, _) = supervise(command, out, err, deadline, cancel, &mut output)?;
    if output.is_too_large().map_err(failed)? {
        return Err(ProcessError::TooMuch {
            command: command.shell_words(),
            limit: output.limit,
        });
    }
    Ok(CapturedBytes {
        stdout: contents(&mut output.stdout).map_err(failed)?,
        stderr: text(contents(&mut output.stderr).map_err(failed)?),
        status,
    })
}

/// A file that only this process and its children know.
fn memory(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// The number of the user that this process acts for.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Runs a command to its end. Returns how that was, and the daemons that were ended, in words.
fn supervise(
    command: &Command,
    stdout: File,
    stderr: File,
    deadline: Option<Instant>,
    cancel: &Cancel,
    output: &mut dyn Output,
) -> Result<(Exit, Vec<String>), ProcessError> {
    let must_end = || match deadline {
        _ if cancel.is_cancelled() => Some(Exit::Cancelled),
        Some(deadline) if Instant::now() >= deadline => Some(Exit::TimedOut),
        _ => None,
    };
    if let Some(exit) = must_end() {
        return Ok((exit, Vec::new()));
    }
    let unwaitable = |source| ProcessError::Wait {
        command: command.shell_words(),
        source,
    };
    let entered = command.jobserver.as_ref().map(JobServer::enter);
    let ended = start(command, stdout, stderr, entered.clone())
        .and_then(|group| attend(command, group, cancel, &must_end, output));
    if let Some(pool) = &command.jobserver {
        let exit = ended.as_ref().ok().map(|(exit, _)| *exit);
        pool.leave(exit).map_err(unwaitable)?;
    }
    // A named pipe goes with the last who has it.
    drop(entered);
    ended
}

/// Waits for a group that runs, and ends what is left of it.
fn attend(
    command: &Command,
    group: Group,
    cancel: &Cancel,
    must_end: &dyn Fn() -> Option<Exit>,
    output: &mut dyn Output,
) -> Result<(Exit, Vec<String>), ProcessError> {
    let unwaitable = |source| ProcessError::Wait {
        command: command.shell_words(),
        source,
    };
    let mut last_tick = Instant::now();
    let mut watch = command.meter.as_ref().map(Watch::new);
    let mut pause = Duration::from_millis(1);
    let ended_by_us = loop {
        if group.leader_has_ended().map_err(unwaitable)? {
            break None;
        }
        if let Some(exit) = must_end() {
            break Some(exit);
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            if let Some(watch) = &mut watch {
                watch.tick(&group);
            }
            // Of those that it left, a long build can have many.
            adopted::reap_ended();
            if output.tick(false).is_break() {
                break Some(Exit::Stopped);
            }
        }
        if output.poll().is_break() {
            break Some(Exit::Stopped);
        }
        // Short commands end soon; long ones need not be polled often.
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL);
    };
    // Also after a normal end: processes left in the leader's group would keep writing.
    if !group.end(command.grace, cancel) {
        return Err(ProcessError::Survives {
            command: command.shell_words(),
        });
    }
    if let Some(watch) = watch {
        watch.end(&group);
    }
    let daemons = group.end_daemons(command.grace, cancel);
    let status = group.reap().map_err(unwaitable)?;
    // There is nothing left to end.
    let _ = output.tick(true);
    let exit = ended_by_us.unwrap_or_else(|| match (Exit::from(status), &command.around) {
        // As a shell has it: the first process of a namespace cannot end by a signal itself.
        (Exit::Code(code @ 129..=192), Some(_)) => Exit::Signal(code - 128),
        (exit, _) => exit,
    });
    Ok((exit, daemons))
}

fn start(
    command: &Command,
    stdout: File,
    stderr: File,
    pool: Option<Entered>,
) -> Result<Group, ProcessError> {
    if let Some(around) = &command.around {
        let wrapped = around.wrap(command);
        let wrapped = wrapped.map_err(|source| ProcessError::Start {
            command: command.shell_words(),
            source,
        })?;
        return start(&wrapped, stdout, stderr, pool);
    }
    // A missing folder and a missing program are the same error to the system.
    if let Some(folder) = command.cwd.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(ProcessError::NoFolder {
            command: command.shell_words(),
            folder: folder.clone(),
        });
    }
    // A program by its path starts without a copy of klto, which takes longer the more memory klto has.
    let name = command.program.clone();
    let mut expression = duct::cmd(path_of(command), &command.args)
        .before_spawn(move |command| {
            command.arg0(&name);
            Ok(())
        })
        .stdout_file(stdout)
        .stderr_file(stderr);
    expression = match &command.input {
        // A file here, too: a child that reads slowly, or nothing, holds nobody up.
        Some(input) => {
            expression.stdin_file(input_file(input).map_err(|source| ProcessError::Start {
                command: command.shell_words(),
                source,
            })?)
        }
        None => expression.stdin_null(),
    };
    for (name, value) in &command.env {
        expression = match value {
            Some(value) => expression.env(name, value),
            None => expression.env_remove(name),
        };
    }
    if let Some(folder) = &command.cwd {
        expression = expression.dir(folder);
    }
    if let Some(pool) = pool {
        expression = expression.before_spawn(move |command| {
            pool.configure(command);
            Ok(())
        });
    }
    Group::start(&expression, command.leaves_daemons).map_err(|source| match source.kind() {
        // A script whose interpreter is missing exists, and is "not found" too.
        ErrorKind::NotFound if !Path::new(&command.program).is_file() => ProcessError::NotFound {
            program: command.program.to_string_lossy().into_owned(),
        },
        _ => ProcessError::Start {
            command: command.shell_words(),
            source,
        },
    })
}

/// Where the system finds the program of a command; its name, where it does not.
fn path_of(command: &Command) -> OsString {
    let name = &command.program;
    let own = || std::env::var_os("PATH");
    let path = command.env.get(OsStr::new("PATH")).cloned();
    let path = path.unwrap_or_else(own).unwrap_or_default();
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if name.as_encoded_bytes().contains(&b'/') {
        return name.clone();
    }
    // Another is relative to the folder that the command runs in.
    let folders = std::env::split_paths(&path).take_while(|folder| folder.is_absolute());
    let found = folders.map(|folder| folder.join(name)).find(runs);
    found.map_or_else(|| name.clone(), PathBuf::into_os_string)
}

/// A file that holds `input`, to be read from its beginning.
fn input_file(input: &[u8]) -> io::Result<File> {
    let mut file = memory("input")?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// Whether the file system of `file` is full.
fn is_full(file: &File) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|space| {
        let is_root = rustix::process::geteuid().is_root();
        let blocks = if is_root {
            space.f_bfree
        } else {
            space.f_bavail
        };
        // Devices and pipes have no blocks at all.
        space.f_blocks > 0 && blocks.saturating_mul(space.f_frsize) < FULL
    })
}

#[cfg(test)]
mod tests;
