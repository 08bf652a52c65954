//! Drives the kernel's own makefiles: configures a cell in a build tree of its
//! own, builds it, and reads from a failed build's log what failed. Commands
//! run through `process`; the source tree is never written.

mod failure;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use crate::build::environment::SCRUBBED_ENV;
use crate::build::process::{self, Cancel, Command, Exit, LogTail, ProcessError};
use crate::build::toolchain::{compiler, host_compiler, variables};
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::facts::Goal;
use crate::tree::collect::kconfig;
pub use failure::Failure;
use failure::{failure, machine_failure};

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read(path)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .map_err(Error::io(path, "read"))
}

/// How far a build goes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Variables that go with the cell's goals.
    pub args: &'static [&'static str],
    pub reaches: Goal,
}

/// The whole kernel.
pub const KERNEL: Target = Target {
    args: &[],
    reaches: Goal::Vmlinux,
};

/// A build of one cell in one directory.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    pub cell: &'a Cell,
    pub source: &'a Path,
    pub dir: &'a Path,
    pub target: Target,
    pub jobs: usize,
    /// Whether objects come from ccache, and what variables it gets.
    pub ccache: Option<&'a [(&'static str, OsString)]>,
    /// Where all output goes, appended.
    pub log: &'a Path,
    pub deadline: Option<Instant>,
    pub cancel: &'a Cancel,
}

/// How a step of a build ended.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// The kernel, or its makefiles, failed.
    Failed(Failure),
}

impl Build<'_> {
    /// The steps that configure the tree.
    fn configure_steps(&self, from_base: bool) -> Vec<Command> {
        let cell = self.cell;
        let mut set = Command::new(self.source.join("scripts/config"))
            .arg("--file")
            .arg(self.dir.join(".config"));
        for mode in LtoMode::ALL.into_iter().filter(|mode| *mode != cell.lto) {
            set = set.args(["-d", mode.config_symbol()]);
        }
        set = set.args(["-e", cell.lto.config_symbol()]);
        for symbol in &cell.enable {
            set = set.args(["-e", symbol]);
        }
        for symbol in &cell.disable {
            set = set.args(["-d", symbol]);
        }
        for (symbol, value) in &cell.set {
            set = set.args(["--set-val", symbol, value]);
        }
        let mut steps = vec![set, self.make(["olddefconfig"])];
        if from_base {
            steps.insert(0, self.make([cell.base.as_str()]));
        }
        steps
    }

    /// Configures: base target (unless the tree is a copy of another cell's),
    /// symbols, `olddefconfig`. Gives the configuration that came of it.
    ///
    /// # Errors
    /// Where the machine fails, the time is over or the user interrupts.
    pub fn configure(
        &self,
        from_base: bool,
    ) -> Result<Result<BTreeMap<String, String>, Failure>, Error> {
        for step in self.configure_steps(from_base) {
            if let Outcome::Failed(failure) = self.step(&step, &mut |_| {})? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(kconfig::parse(&read(&self.dir.join(".config"))?)))
    }

    /// Builds the kernel.
    ///
    /// # Errors
    /// As [`Build::configure`].
    pub fn build(&self, on_tick: &mut dyn FnMut(&LogTail<'_>)) -> Result<Outcome, Error> {
        self.step(&self.make(self.build_args()), on_tick)
    }

    /// Makes everything that comes before the first object of the kernel.
    ///
    /// # Errors
    /// As [`Build::configure`].
    pub fn prepare(&self, on_tick: &mut dyn FnMut(&LogTail<'_>)) -> Result<Outcome, Error> {
        self.step(&self.make([self.jobs_arg(), "prepare".into()]), on_tick)
    }

    /// Runs make with variables (or options) of the caller's, for the build's own goal or
    /// for `goals`.
    ///
    /// # Errors
    /// As [`Build::configure`].
    pub fn make_with(&self, variables: &[String], goals: &[String]) -> Result<Outcome, Error> {
        let mut args: Vec<OsString> = variables.iter().map(OsString::from).collect();
        match goals {
            [] => args.extend(self.build_args()),
            goals => args.extend(goals.iter().map(OsString::from)),
        }
        self.step(&self.make(args), &mut |_| {})
    }

    fn build_args(&self) -> Vec<OsString> {
        let args = self.target.args.iter().map(OsString::from);
        let goals = self.cell.goals.iter().map(OsString::from);
        [self.jobs_arg()]
            .into_iter()
            .chain(args)
            .chain(goals)
            .collect()
    }

    fn jobs_arg(&self) -> OsString {
        format!("-j{}", self.jobs).into()
    }

    /// The commands that do the same by hand, ready to paste; `failed` is built
    /// alone and verbosely first, where make can.
    #[must_use]
    pub fn reproduce(&self, failed: Option<&str>) -> Vec<String> {
        let mut commands: Vec<String> = self
            .configure_steps(true)
            .iter()
            .map(Command::shell_words)
            .collect();
        let alone = failed.filter(|target| {
            target.ends_with(".o") && !target.ends_with(".thinlto-native.o") && target.contains('/')
        });
        if let Some(target) = alone {
            commands.push(self.make(["V=1", target]).shell_words());
        }
        commands.push(self.make(self.build_args()).shell_words());
        commands
    }

    fn make<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut variables = variables(self.cell);
        if self.ccache.is_some() {
            let (compiler, host) = (compiler(&variables), host_compiler(&variables));
            variables
                .entry("HOSTCC".to_owned())
                .or_insert_with(|| format!("ccache {host}"));
            variables.insert("CC".to_owned(), format!("ccache {compiler}"));
        }
        let mut command = Command::new("make").arg("-C").arg(self.source);
        let mut out = OsString::from("O=");
        out.push(self.dir);
        command = command.arg(out);
        for (name, value) in variables {
            command = command.arg(format!("{name}={value}"));
        }
        // What a kernel records of its build is the same for each build; make counts links
        // where it is not told the number.
        command = command.args([
            "KBUILD_BUILD_VERSION=1",
            "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026",
            "KBUILD_BUILD_USER=klto",
            "KBUILD_BUILD_HOST=klto",
        ]);
        command.args(args)
    }

    fn step(
        &self,
        command: &Command,
        on_tick: &mut dyn FnMut(&LogTail<'_>),
    ) -> Result<Outcome, Error> {
        let mut command = command.clone().env("LC_ALL", "C");
        for name in SCRUBBED_ENV {
            command = command.env_remove(name);
        }
        for (name, value) in self.ccache.into_iter().flatten() {
            command = command.env(name, value);
        }
        append(self.log, &format!("+ {}\n", command.shell_words()))?;
        let exit = process::run_logged(
            &command,
            self.log,
            self.deadline,
            self.cancel,
            &mut |tail| {
                on_tick(tail);
                ControlFlow::Continue(())
            },
        )
        .map_err(process_error)?;
        match exit {
            Exit::Success => Ok(Outcome::Done),
            Exit::Cancelled | Exit::Stopped => Err(Error::Cancelled),
            Exit::TimedOut => Err(Error::Machine(format!(
                "the time limit of {} is over",
                humantime::format_duration(self.cell.timeout)
            ))),
            Exit::Signal(signal) => Err(Error::Machine(format!(
                "make was killed by signal {signal}; see {}",
                self.log.display()
            ))),
            Exit::Code(_) => {
                let log = std::fs::read(self.log).map_err(Error::io(self.log, "read"))?;
                match machine_failure(&log) {
                    Some(line) => Err(Error::Machine(format!(
                        "{line}; see {}",
                        self.log.display()
                    ))),
                    None => Ok(Outcome::Failed(failure(&log))),
                }
            }
        }
    }
}

/// Why make does not know `--shuffle`: it came with 4.4.
///
/// # Errors
/// Where there is no make.
pub fn no_shuffle(cancel: &Cancel) -> Result<Option<String>, Error> {
    let help = Command::new("make").arg("--help");
    let help = process::capture(&help, None, cancel).map_err(process_error)?;
    let known = help.stdout.contains("--shuffle");
    Ok((!known).then(|| "this make has no --shuffle, which came with 4.4".to_owned()))
}

pub(crate) fn process_error(error: ProcessError) -> Error {
    Error::Machine(error.to_string())
}

fn append(log: &Path, line: &str) -> Result<(), Error> {
    use std::io::Write as _;
    std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(Error::io(log, "write the log"))
}
