//! The arguments of `klto bisect`.

use std::path::PathBuf;

use clap::Args;

use super::super::options::{JobOptions, format};
use super::{ProbeCells, ProbePlace};
use crate::model::cell::LtoMode;
use crate::model::sandbox::SandboxMode;
use crate::report::bisect::Format;
use crate::report::{Named as _, ReportFile};

/// `klto bisect`
#[derive(Debug, Args)]
pub struct Bisect {
    /// The git repository of the kernel; it is only read, and a bisect of its own is not disturbed.
    #[arg(long, value_name = "DIR", env = "KLTO_KERNEL")]
    pub kernel: PathBuf,
    /// A commit without the fault. Repeatable.
    #[arg(long, value_name = "REF", required_unless_present = "replay")]
    pub good: Vec<String>,
    /// A commit with the fault.
    #[arg(long, value_name = "REF", required_unless_present = "replay")]
    pub bad: Option<String>,
    /// Search for a finding of this rule, and of this object: 'flags.backend-lacks:init/main.o'
    /// [default: the first that the bad commit has and the good one does not].
    #[arg(long, value_name = "KEY[:OBJECT]", conflicts_with = "run")]
    pub key: Option<String>,
    #[command(flatten)]
    pub cells: ProbeCells,
    /// LTO modes, comma-separated.
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_values = ["none", "thin", "thin-dist"])]
    pub lto: Vec<LtoMode>,
    /// Test commits by building whole kernels, of a cell of this matrix (YAML), instead of a probe.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "arch", "lto", "scenario"])]
    pub matrix: Option<PathBuf>,
    /// Only cells of the matrix whose name matches, as in 'klto run'. Repeatable.
    #[arg(long = "cell", value_name = "GLOB", requires = "matrix")]
    pub patterns: Vec<String>,
    /// A configuration of the matrix without the fault: the report says which symbols of the other one
    /// the fault needs [default: what the configuration begins with].
    #[arg(long, value_name = "NAME", requires = "matrix")]
    pub good_config: Option<String>,
    /// Test commits by this command of the shell instead of a probe. It runs at the top of a
    /// checkout of each and exits as for 'git bisect run': 0 is good, 125 is inconclusive, 1 to
    /// 127 is bad, and more ends the search. A command that takes longer than --timeout is
    /// inconclusive.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["arch", "lto", "toolchain", "scenario"])]
    pub run: Option<String>,
    /// Of a merge, follow only the first parent.
    #[arg(long)]
    pub first_parent: bool,
    /// Take the verdicts of a log of 'git bisect log', or of '--format log'; those that it does
    /// not have are tested.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Known findings (YAML), in addition to the defects of released kernels. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    #[command(flatten)]
    pub place: ProbePlace,
    /// Probe in a sandbox, as for 'klto probe'.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = SandboxMode::Off)]
    pub sandbox: SandboxMode,
    #[command(flatten)]
    pub jobs_options: JobOptions,
    /// The format of the report: text, json, mail (to the author of the commit), log (for 'git
    /// bisect replay').
    #[arg(long, default_value = Format::Text.name(), value_parser = format::<Format>())]
    pub format: Format,
    /// Also write the report to a file: 'mail=FILE'. Repeatable.
    #[arg(long, value_name = "FORMAT=FILE")]
    pub report: Vec<ReportFile<Format>>,
    /// Only commits that change one of these paths can be the one.
    #[arg(last = true, value_name = "PATH")]
    pub paths: Vec<String>,
}
