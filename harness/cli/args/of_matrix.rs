//! The arguments of `klto run` and `klto night`.

use std::path::PathBuf;

use clap::Args;

use super::super::options::{
    EngineOptions, JobOptions, ReportOptions, SandboxOptions, ScheduleOptions, SourceOptions,
    StoreOptions,
};
use super::{Cells, Known, Snapshots};

/// `klto run`
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub matrix: MatrixRun,
    /// Run a cell again that the machine stopped, at most N times.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retry_infra: usize,
    /// Also fail if a snapshot changed, not only on a new finding.
    #[arg(long)]
    pub strict: bool,
}

/// `klto night`
#[derive(Debug, Args)]
pub struct Night {
    #[command(flatten)]
    pub matrix: MatrixRun,
    /// Run a cell again that the machine stopped, at most N times.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub retry_infra: usize,
}

/// What both have in common.
#[derive(Debug, Args)]
pub struct MatrixRun {
    /// The matrix (YAML).
    #[arg(required_unless_present = "config")]
    pub matrix: Option<PathBuf>,
    /// Build this .config instead of a matrix: with both modes of ThinLTO, for its architecture.
    #[arg(long, value_name = "FILE", conflicts_with = "matrix")]
    pub config: Option<PathBuf>,
    /// With --config: toolchains, comma-separated, each as the value of make's 'LLVM=', such as '-22'
    /// [default: -22].
    #[arg(
        long,
        value_name = "LLVM",
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "config"
    )]
    pub toolchain: Vec<String>,
    #[command(flatten)]
    pub source: SourceOptions,
    #[command(flatten)]
    pub cells: Cells,
    /// Where to build: one directory per cell, plus reports; with Slurm, only the reports.
    #[arg(long, value_name = "DIR", default_value = "klto-work")]
    pub work: PathBuf,
    #[command(flatten)]
    pub schedule: ScheduleOptions,
    #[command(flatten)]
    pub engine: EngineOptions,
    #[command(flatten)]
    pub known: Known,
    /// Build every cell from scratch instead of starting from another mode's tree.
    #[arg(long)]
    pub no_reuse: bool,
    /// Compile through ccache or not at all: inconclusive if it cannot be used. Without this it is
    /// used if it can be. Cells whose builds scenarios compare with are compiled without it.
    #[arg(long)]
    pub ccache: bool,
    /// Start the compilers for each object, also if ccache is installed.
    #[arg(long, conflicts_with = "ccache")]
    pub no_ccache: bool,
    #[command(flatten)]
    pub snapshots: Snapshots,
    #[command(flatten)]
    pub sandbox: SandboxOptions,
    #[command(flatten)]
    pub jobs_options: JobOptions,
    #[command(flatten)]
    pub store: StoreOptions,
    #[command(flatten)]
    pub reporting: ReportOptions,
}
