//! The command line. Its `--help` is the reference of the program.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::model::cell::LtoMode;
use crate::model::facts::Goal;
use crate::report::Format;
use crate::run::probe::miniature;

const EXIT_CODES: &str = "\
Exit codes:
  0    everything asked for holds
  1    a finding, or a regression against what was accepted
  2    usage or configuration error: nothing was built
  125  cannot tell: the toolchain, the machine or a time limit failed
These are what `git bisect run` expects; with --git-bisect a usage error exits
128, which aborts the bisect instead of marking an innocent commit bad.";

/// Verifies Linux kernels built with Clang ThinLTO, in-process and distributed.
#[derive(Debug, Parser)]
#[command(name = "klto", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Exit 128 instead of 2 on a usage error, which makes `git bisect run` stop.
    #[arg(long, global = true)]
    pub git_bisect: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the build tree of a kernel against every rule.
    Check(Check),
    /// Drive the kernel's makefiles over a miniature, and check that: seconds.
    Probe(Probe),
    /// Build the cells of a matrix and check each.
    Run(Run),
    /// Compare two finished build trees: two modes, two kernels, two toolchains.
    Diff(Diff),
    /// Show the cells of a matrix without building.
    Plan(Plan),
    /// Take over what the last run found as the accepted snapshots.
    Accept(Accept),
    /// Say what this machine can and cannot build, and what to install.
    Doctor,
    /// Explain a rule: what must hold, why, and how to fix it.
    Explain(Explain),
}

/// `klto check`
#[derive(Debug, Args)]
pub struct Check {
    /// The O= directory of a kernel build.
    pub build_dir: PathBuf,
    /// The source tree, where the build tree's `source` link does not lead to it.
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
    /// The output of make, to look for messages that mean a wrong build.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Only rules with this key, or below it: `flags`, `crc.zero`. Repeatable.
    #[arg(long, value_name = "KEY")]
    pub only: Vec<String>,
    /// Known findings, each with its reason and its end (YAML). Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    /// How far make was asked to go: what is missing behind that is no finding.
    #[arg(long, value_enum, default_value_t)]
    pub goal: Goal,
    /// The architecture that the tree must be of.
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// The LTO mode that the tree must be in: none, thin, thin-dist or full.
    #[arg(long, value_name = "MODE")]
    pub lto: Option<LtoMode>,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show every object of a group of findings.
    #[arg(long)]
    pub all: bool,
}

/// `klto probe`
#[derive(Debug, Args)]
pub struct Probe {
    /// The kernel source tree; it is never written.
    #[arg(long, value_name = "DIR", env = "KLTO_KERNEL")]
    pub kernel: PathBuf,
    /// Architectures, with commas between; every one that klto knows, if left out.
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub arch: Vec<String>,
    /// LTO modes, with commas between.
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_values = ["thin", "thin-dist"])]
    pub lto: Vec<LtoMode>,
    /// What make gets as `LLVM=`: a suffix such as `-22`, or a folder that ends in `/`.
    #[arg(
        long,
        value_name = "LLVM",
        default_value = "-22",
        allow_hyphen_values = true
    )]
    pub toolchain: String,
    /// What to do with the miniature after it was built, with commas between: idle,
    /// touch, flags, switch, fault, clean, order, where, or all. The build comes first in
    /// any case.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["build"])]
    pub scenario: Vec<String>,
    /// More to build, with commas between: `long` (many objects with long paths, beyond the
    /// length of a command line), or an object that a released kernel gets wrong.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = additions())]
    pub add: Vec<String>,
    #[command(flatten)]
    pub known: Known,
    /// Where to keep copies and build trees from one probe to the next; by default
    /// `klto/probe` in the user's cache.
    #[arg(long, value_name = "DIR", env = "KLTO_PROBE_WORK")]
    pub work: Option<PathBuf>,
    /// Jobs of all makes together; by default two a processor.
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Time that one cell may take, with all its scenarios.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
    pub timeout: std::time::Duration,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show every object of a group of findings.
    #[arg(long)]
    pub all: bool,
}

fn additions() -> PossibleValuesParser {
    PossibleValuesParser::new(
        [miniature::LONG]
            .into_iter()
            .chain(miniature::KNOWN_BAD_OBJECTS),
    )
}

/// Mistakes that are made on purpose, and findings that do not count.
#[derive(Debug, Args)]
pub struct Known {
    /// Make a known mistake in a copy of the sources first: a name, or a file (.yaml).
    /// Repeatable; `klto probe --mutate list` shows every name.
    #[arg(long, value_name = "NAME")]
    pub mutate: Vec<String>,
    /// Known findings besides the defects of released kernels and those of a matrix
    /// (YAML). Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    /// Count the known defects of released kernels like any other finding.
    #[arg(long)]
    pub known_defects_count: bool,
}

/// `klto run`
#[derive(Debug, Args)]
pub struct Run {
    /// What to build (YAML).
    pub matrix: PathBuf,
    /// The kernel source tree; it is never written.
    #[arg(long, value_name = "DIR", env = "KLTO_KERNEL")]
    pub kernel: PathBuf,
    #[command(flatten)]
    pub cells: Cells,
    /// Where to build: one directory a cell, with log and reports.
    #[arg(long, value_name = "DIR", default_value = "klto-work")]
    pub work: PathBuf,
    /// Jobs of each make; by default one a processor.
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    #[command(flatten)]
    pub known: Known,
    /// Build each cell from nothing, even where the finished tree of another
    /// mode could be its start.
    #[arg(long)]
    pub no_reuse: bool,
    /// Compile through ccache.
    #[arg(long)]
    pub ccache: bool,
    /// Count a changed fact as a regression, not only a new finding.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub snapshots: Snapshots,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show every object and every line of a difference.
    #[arg(long)]
    pub all: bool,
}

/// `klto diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// The O= directory of a kernel build.
    pub first: PathBuf,
    /// The O= directory of another, of the same architecture.
    pub second: PathBuf,
    /// How far sizes may be apart (YAML: `function-bytes`, `function-percent`,
    /// `total-percent`).
    #[arg(long, value_name = "FILE")]
    pub tolerances: Option<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show every difference of a group, and every function whose size differs.
    #[arg(long)]
    pub all: bool,
}

/// `klto plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// What to build (YAML).
    pub matrix: PathBuf,
    #[command(flatten)]
    pub cells: Cells,
}

/// `klto accept`
#[derive(Debug, Args)]
pub struct Accept {
    /// The matrix whose snapshots to accept (YAML).
    pub matrix: PathBuf,
    #[command(flatten)]
    pub cells: Cells,
    #[command(flatten)]
    pub snapshots: Snapshots,
}

/// `klto explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// A rule's key, or leading parts of one; every rule, if left out.
    pub key: Option<String>,
    /// Write Markdown, as in `docs/rules.md`.
    #[arg(long)]
    pub markdown: bool,
}

/// Which cells of a matrix.
#[derive(Debug, Args)]
pub struct Cells {
    /// Only the cells whose name this pattern matches: `arm64`, `arm64/*`,
    /// `*/thin-dist`. Repeatable.
    #[arg(long = "cell", value_name = "GLOB")]
    pub patterns: Vec<String>,
}

/// Where accepted snapshots are.
#[derive(Debug, Args)]
pub struct Snapshots {
    /// The folder of accepted snapshots; by default `snapshots` beside the
    /// folder of the matrix, where that exists.
    #[arg(long = "snapshots", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
