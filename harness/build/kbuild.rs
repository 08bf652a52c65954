//! Drives the kernel's own makefiles: configures a cell in its own build tree, builds it, and
//! reads the cause of a failure from the log. Commands run through `process`; the source
//! tree is never written.

mod failure;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::build::compiler_cache::reads_unseen;
use crate::build::dir_state::remove_file;
use crate::build::environment::SCRUBBED_ENV;
use crate::build::launcher;
use crate::build::process::{self, Cancel, Command, Exit, JobServer, LogTail, Meter};
use crate::build::sandbox::{Folders, InSandbox};
use crate::build::toolchain::{compiler, folders, host_compiler, is_name, variables};
use crate::file::bounded_log;
use crate::model::cell::{Base, Cell, LtoMode};
use crate::model::error::Error;
use crate::model::facts::Goal;
use crate::tree::collect::kconfig;
use failure::failure;
pub use failure::{Failure, machine_failure};

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read(path)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .map_err(Error::io(path, "read"))
}

/// How far a build goes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Variables on make's command line besides the cell's goals.
    pub args: &'static [&'static str],
    pub reaches: Goal,
}

/// The whole kernel.
pub const KERNEL: Target = Target {
    args: &[],
    reaches: Goal::Vmlinux,
};

/// How the launcher starts the compilers of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The environment variables that it and ccache need, `PATH` among them; without a value, those
    /// that they must not see.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// Where ccache notes what it did, if that is to be reported.
    pub statistics: Option<PathBuf>,
}

/// How many jobs make runs at the same time.
#[derive(Debug, Clone, Copy)]
pub enum Parallelism<'a> {
    /// At most this many.
    Jobs(usize),
    /// As many as it gets tokens for; the caller has a slot of the pool.
    Pool(&'a JobServer),
}

impl Parallelism<'_> {
    /// The most jobs that can run.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Parallelism::Jobs(jobs) => jobs,
            Parallelism::Pool(pool) => pool.limit(),
        }
    }
}

/// A build of one cell in one directory.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    pub cell: &'a Cell,
    pub source: &'a Path,
    pub dir: &'a Path,
    pub target: Target,
    pub parallelism: Parallelism<'a>,
    /// What starts the compilers.
    pub launcher: &'a Launcher,
    /// What make runs in, if it is not trusted.
    pub sandbox: Option<InSandbox<'a>>,
    /// Whether ccache keeps what the compilers make. Not of a rebuild: the clean build that it is
    /// compared with would get the rebuild's own objects.
    pub fills_cache: bool,
    /// The log to append all output to.
    pub log: &'a Path,
    pub deadline: Option<Instant>,
    pub cancel: &'a Cancel,
    /// Adds up what the commands cost.
    pub meter: &'a Meter,
    pub watch: Watch<'a>,
}

/// Who follows the log of a build as it grows.
#[derive(Clone, Copy)]
pub struct Watch<'a>(pub &'a dyn Fn(&LogTail<'_>));

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// How a step of a build ended.
#[derive(Debug)]
pub enum BuildOutcome {
    Done,
    /// The kernel, or its makefiles, failed.
    Failed(Failure),
}

impl Build<'_> {
    /// The commands that configure a tree that has a configuration.
    fn configure_steps(&self, make: impl Fn(&str) -> Command) -> [Command; 2] {
        let cell = self.cell;
        let mut set = Command::new(self.source.join("scripts/config"))
            .arg("--file")
            .arg(self.config());
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
        [set, make("olddefconfig")]
    }

    /// The configuration of the tree.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join(".config")
    }

    /// Makes the configuration that the cell's begins with, such as that of `tinyconfig`.
    ///
    /// # Errors
    /// When the machine fails, the time limit is reached or the user interrupts.
    pub fn make_base(&self) -> Result<BuildOutcome, Error> {
        let mut goals = Vec::new();
        match &self.cell.base {
            Base::Goal(goal) => goals.push(goal),
            Base::File { path, text } => self.put_config(path, text.as_bytes())?,
        }
        goals.extend(&self.cell.fragments);
        match goals.is_empty() {
            true => Ok(BuildOutcome::Done),
            false => self.step(&self.make(goals)),
        }
    }

    /// The command that copies a configuration into the tree.
    fn copy_command(&self, from: &Path) -> Command {
        Command::new("cp").args([from, &self.config()])
    }

    /// Copies what [`Build::make_base`] made in another tree.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn copy_base(&self, base: &Path) -> Result<(), Error> {
        let content = std::fs::read(base).map_err(Error::io(base, "copy"))?;
        self.put_config(base, &content)
    }

    /// Writes what was in a file into the tree as its configuration, and notes it in the log.
    fn put_config(&self, from: &Path, content: &[u8]) -> Result<(), Error> {
        let copy = self.copy_command(from).shell_words();
        append(self.log, &format!("+ {copy}\n"))?;
        // Not through a link.
        remove_file(&self.config())?;
        std::fs::write(self.config(), content).map_err(Error::io(self.config(), "write"))
    }

    /// Turns the configuration that is there into the cell's: symbols, `olddefconfig`. Returns it.
    ///
    /// # Errors
    /// As [`Build::make_base`].
    pub fn configure(&self) -> Result<Result<BTreeMap<String, String>, Failure>, Error> {
        for step in self.configure_steps(|goal| self.make([goal])) {
            if let BuildOutcome::Failed(failure) = self.step(&step)? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(kconfig::parse(&read(&self.config())?)))
    }

    /// Builds the kernel.
    ///
    /// # Errors
    /// As [`Build::make_base`].
    pub fn build(&self) -> Result<BuildOutcome, Error> {
        self.step(&self.side_by_side(self.build_args()))
    }

    /// Builds everything that comes before the first object of the kernel: `make prepare`.
    ///
    /// # Errors
    /// As [`Build::make_base`].
    pub fn prepare(&self) -> Result<BuildOutcome, Error> {
        self.step(&self.side_by_side(["prepare"]))
    }

    /// Runs make with additional variables (or options), for the build's own goals or for
    /// `goals`.
    ///
    /// # Errors
    /// As [`Build::make_base`].
    pub fn make_with(&self, variables: &[String], goals: &[String]) -> Result<BuildOutcome, Error> {
        let variables = variables.iter().map(OsString::from);
        let command = match goals {
            [] => self.side_by_side(variables.chain(self.build_args())),
            goals => self.make(variables.chain(goals.iter().map(OsString::from))),
        };
        self.step(&command)
    }

    fn build_args(&self) -> Vec<OsString> {
        let args = self.target.args.iter().map(OsString::from);
        let goals = self.cell.goals.iter().map(OsString::from);
        args.chain(goals).collect()
    }

    /// A make that runs its jobs side by side.
    fn side_by_side<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        match self.parallelism {
            Parallelism::Jobs(jobs) => {
                let jobs = OsString::from(format!("-j{jobs}"));
                let args = args.into_iter().map(Into::into);
                self.make([jobs].into_iter().chain(args))
            }
            Parallelism::Pool(pool) => self.make(args).jobserver(pool.clone()),
        }
    }

    /// The commands that do the same by hand; `failed` is built first, by itself and
    /// verbosely, where make can. Without ccache, and without what makes two builds equal.
    #[must_use]
    pub fn reproduce(&self, failed: Option<&str>) -> Vec<Command> {
        let plain = |goal: &str| self.plain_make(variables(self.cell)).arg(goal);
        let mut commands = match &self.cell.base {
            Base::Goal(goal) => vec![plain(goal)],
            Base::File { path, .. } => vec![
                Command::new("mkdir").arg("-p").arg(self.dir),
                self.copy_command(path),
            ],
        };
        commands.extend(self.cell.fragments.iter().map(|fragment| plain(fragment)));
        commands.extend(self.configure_steps(plain));
        let alone = failed.filter(|target| {
            target.ends_with(".o") && !target.ends_with(".thinlto-native.o") && target.contains('/')
        });
        if let Some(target) = alone {
            commands.push(self.plain_make(variables(self.cell)).args(["V=1", target]));
        }
        let make = self.plain_make(variables(self.cell));
        let jobs = format!("-j{}", self.parallelism.most());
        commands.push(make.arg(jobs).args(self.build_args()));
        commands
    }

    fn make<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut variables = variables(self.cell);
        let compilers = [
            ("CC", compiler(&variables)),
            ("HOSTCC", host_compiler(&variables)),
        ];
        // One that is looked for in the search path is the launcher already.
        for (variable, compiler) in compilers.into_iter().filter(|(_, name)| !is_name(name)) {
            let launched = format!("{} {compiler}", launcher::NAME);
            variables.insert(variable.to_owned(), launched);
        }
        // Whatever a kernel records about its build must not differ between builds. Without
        // a given number, make counts the links.
        let command = self.plain_make(variables).args([
            "KBUILD_BUILD_VERSION=1",
            "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026",
            "KBUILD_BUILD_USER=klto",
            "KBUILD_BUILD_HOST=klto",
        ]);
        command.args(args)
    }

    fn plain_make(&self, variables: BTreeMap<String, String>) -> Command {
        let mut out = OsString::from("O=");
        out.push(self.dir);
        let command = Command::new("make").arg("-C").arg(self.source).arg(out);
        let variables = variables.into_iter();
        command.args(variables.map(|(name, value)| format!("{name}={value}")))
    }

    fn read_log(&self) -> Result<Vec<u8>, Error> {
        bounded_log::read(self.log).map_err(Error::io(self.log, "read"))
    }

    /// What a sandbox is made around.
    fn folders<'b>(&'b self, shelter: &'b Path) -> Folders<'b> {
        Folders {
            source: self.source,
            dir: self.dir,
            shelter,
        }
    }

    fn step(&self, command: &Command) -> Result<BuildOutcome, Error> {
        let mut command = command.clone().env("LC_ALL", "C").meter(self.meter.clone());
        for name in SCRUBBED_ENV {
            command = command.env_remove(name);
        }
        for (name, value) in &self.launcher.environment {
            command = match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if !self.fills_cache {
            command = command.env("CCACHE_READONLY", "1");
        }
        if self.config().is_file() && reads_unseen(&read(&self.config())?) {
            command = command.env("CCACHE_DISABLE", "1");
        }
        append(self.log, &format!("+ {}\n", command.shell_words()))?;
        let shelter = self.log.with_file_name("sandbox");
        if let Some(InSandbox { sandbox, .. }) = self.sandbox {
            command = sandbox.around(command, self.folders(&shelter), folders(self.cell))?;
        }
        let begin = std::fs::metadata(self.log).map_or(0, |meta| meta.len());
        let ended = process::run_logged(
            &command,
            self.log,
            self.deadline,
            self.cancel,
            &mut |tail| {
                (self.watch.0)(tail);
                ControlFlow::Continue(())
            },
        )?;
        if let Some(inside) = self.sandbox {
            let log = self.read_log()?;
            let begin = usize::try_from(begin).unwrap_or(usize::MAX);
            inside.look(log.get(begin..).unwrap_or_default(), self.folders(&shelter))?;
        }
        match ended.exit {
            // What the rules look for may be in the rest.
            Exit::Success if ended.left_out > 0 => Err(Error::Machine(format!(
                "make wrote too much: {} bytes are left out of its log, so that nobody knows what it said; see {}",
                ended.left_out,
                self.log.display()
            ))),
            Exit::Success => Ok(BuildOutcome::Done),
            Exit::Cancelled | Exit::Stopped => Err(Error::Cancelled),
            Exit::TimedOut => Err(Error::Machine(format!(
                "timed out after {}",
                humantime::format_duration(self.cell.timeout)
            ))),
            Exit::Signal(signal) => Err(Error::Machine(format!(
                "make was killed by signal {signal}; see {}",
                self.log.display()
            ))),
            Exit::Code(_) => {
                let log = self.read_log()?;
                let said = match self.sandbox {
                    Some(InSandbox { sandbox, .. }) => {
                        sandbox.without_refused(&log, self.folders(&shelter))
                    }
                    None => log.clone(),
                };
                match machine_failure(&said) {
                    Some(line) => Err(Error::Machine(format!(
                        "{line}; see {}",
                        self.log.display()
                    ))),
                    None => Ok(BuildOutcome::Failed(failure(&log))),
                }
            }
        }
    }
}

/// Whether make knows `--shuffle`, which came with 4.4.
///
/// # Errors
/// Where there is no make.
pub fn has_shuffle(cancel: &Cancel) -> Result<bool, Error> {
    let help = Command::new("make").arg("--help");
    let help = process::capture(&help, None, cancel)?;
    Ok(help.stdout.contains("--shuffle"))
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
