//! Options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::model::keep::Keep;
use crate::model::sandbox::SandboxMode;
use crate::report::{Format, Named, Options, ReportFile, named, names};

/// Which sources.
#[derive(Debug, Args)]
pub struct SourceOptions {
    /// The kernel's source tree, or a git repository that has it; it is only read.
    #[arg(long, value_name = "DIR", env = "KLTO_KERNEL")]
    pub kernel: PathBuf,
    /// Take the sources from this commit of the git repository in --kernel, instead of the
    /// files there. The checkout stays as it is.
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
}

/// How jobs run.
#[derive(Debug, Args)]
pub struct JobOptions {
    /// Run every job again, also where an earlier result could be used.
    #[arg(long)]
    pub fresh: bool,
    /// Stop everything as soon as one cell fails.
    #[arg(long)]
    pub fail_fast: bool,
    /// Write what happens to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// How cells share the machine.
#[derive(Debug, Args)]
pub struct ScheduleOptions {
    /// The number of jobs of all makes together [default: one per processor].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Cells that are built at the same time, and share the jobs [default: half as many as jobs, and
    /// one more; 1 in a sandbox].
    #[arg(long, value_name = "N")]
    pub cells_at_once: Option<usize>,
    /// Memory for all cells together, such as 12GiB: a cell starts once what it took in earlier
    /// runs fits [default: what can be had].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Start no cell that cannot end within this time, such as 8h, and end what runs then; the
    /// report says what was left out.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub budget: Option<Duration>,
    /// Which build trees stay; records, facts and logs always do [default: what the matrix says].
    #[arg(long, value_enum, value_name = "WHICH")]
    pub keep: Option<Keep>,
    /// The most that all build trees of the work directory may take, such as 40GiB: trees of cells
    /// that passed go first, the oldest first, then those of cells that failed; none that this run
    /// still needs.
    #[arg(long, value_name = "SIZE")]
    pub disk_budget: Option<ByteSize>,
}

/// What make may do.
#[derive(Debug, Clone, Copy, Args)]
pub struct SandboxOptions {
    /// Build in a sandbox, for sources that you do not trust: make reads the sources and the
    /// toolchain, writes its own folders, and has no network; everything it starts ends with
    /// it. 'require' exits 125 where this machine cannot enforce all of that, 'auto' enforces
    /// what it can; the report says what.
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub sandbox: SandboxMode,
}

/// Which machines build.
#[derive(Debug, Args)]
pub struct EngineOptions {
    /// Where cells are built: on this machine, or by the nodes of a Slurm cluster, one task per
    /// cell.
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t)]
    pub engine: Engine,
    /// With Slurm: a folder that this machine and all nodes see under the same path. Results are
    /// kept there, and used again.
    #[arg(long, value_name = "DIR", required_if_eq("engine", "slurm"))]
    pub shared: Option<PathBuf>,
    /// With Slurm: the partition [default: Slurm's own].
    #[arg(long, value_name = "NAME", requires = "shared")]
    pub partition: Option<String>,
    /// With Slurm: how many tasks of one array may run at the same time; without --jobs, each has a
    /// node for itself [default: no limit].
    #[arg(long, value_name = "N", requires = "shared", value_parser = clap::value_parser!(u32).range(1..))]
    pub nodes: Option<u32>,
    /// With Slurm: where nodes build, a path on the disk of each [default: in /tmp, with the user and
    /// the shared folder in its name].
    #[arg(long, value_name = "DIR", requires = "shared")]
    pub scratch: Option<PathBuf>,
}

/// What runs the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Engine {
    #[default]
    Local,
    Slurm,
}

/// Where runs are kept.
#[derive(Debug, Args)]
pub struct StoreOptions {
    /// The store of runs [default: klto/runs in the user's data folder].
    #[arg(long, value_name = "DIR", env = "KLTO_STORE")]
    pub store: Option<PathBuf>,
}

/// How to report.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// The format of the report on standard output.
    #[arg(long, default_value = Format::Text.name(), value_parser = format::<Format>())]
    pub format: Format,
    /// Also write the report to a file: 'json=FILE'. Repeatable.
    #[arg(long, value_name = "FORMAT=FILE")]
    pub report: Vec<ReportFile>,
    #[command(flatten)]
    pub details: Details,
}

/// How much a report shows.
#[derive(Debug, Clone, Copy, Args)]
pub struct Details {
    /// Show every object of a group of findings, and every line of a difference.
    #[arg(long)]
    pub all: bool,
    /// Show findings that an allow entry covers in full, not in one line.
    #[arg(long)]
    pub allowed: bool,
}

impl From<Details> for Options {
    fn from(details: Details) -> Options {
        Options {
            all: details.all,
            allowed: details.allowed,
        }
    }
}

/// Reads a format by its name, and lists the names in `--help`.
pub fn format<F: Named + Send + Sync>() -> impl TypedValueParser<Value = F> {
    PossibleValuesParser::new(names::<F>()).try_map(|name| named::<F>(&name))
}
