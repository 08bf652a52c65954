//! The command line. Its `--help` is the program's reference. Help texts quote with ', as
//! they are plain text.

mod bisect;
mod of_matrix;
mod runs;

use std::path::PathBuf;

pub use self::bisect::Bisect;
pub use self::of_matrix::{MatrixRun, Night, Run};
pub use self::runs::RunsCommand;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use super::options::{
    Details, JobOptions, ReportOptions, SandboxOptions, SourceOptions, StoreOptions, format,
};
use crate::judge::snapshot::PARTS;
use crate::model::cell::LtoMode;
use crate::model::coverage::CoverageMode;
use crate::model::facts::Goal;
use crate::model::sandbox::SandboxMode;
use crate::model::shard::Shard;
use crate::report::history::Format as HistoryFormat;
use crate::report::plan::Format as PlanFormat;
use crate::report::schema::Document;
use crate::report::series::Format as SeriesFormat;
use crate::report::{Format, Named as _, ReportFile};
use crate::run::probe::miniature;

const EXIT_CODES: &str = "\
Exit codes:
  0    pass: no finding
  1    fail: a finding, or a regression from the accepted snapshots
  2    usage or configuration error: nothing was built
  125  inconclusive: the toolchain, the machine or a time limit failed
'git bisect run' understands these codes. With --git-bisect a usage error exits
128, which aborts the bisect instead of marking an innocent commit as bad.";

/// Verifies Linux kernels built with Clang ThinLTO, in-process and distributed.
#[derive(Debug, Parser)]
#[command(name = "klto", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Exit 128 instead of 2 on a usage error, so that 'git bisect run' stops.
    #[arg(long, global = true)]
    pub git_bisect: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a kernel build tree against every rule.
    Check(Check),
    /// Run the kernel's makefiles on a miniature kernel and check the result (seconds).
    Probe(Probe),
    /// Judge a patch series: what each patch makes worse, before it is sent or applied.
    Series(Series),
    /// Find the commit that brought a fault, and the places in it.
    Bisect(Bisect),
    /// Build every cell of a matrix, check it and run its scenarios.
    Run(Run),
    /// Run a matrix every night: what changed and what is red first, and fail by what is new.
    Night(Night),
    /// Compare two finished build trees: two modes, two kernels, two toolchains.
    Diff(Diff),
    /// List, show, remove, export and import the runs that are kept.
    Runs(Runs),
    /// Compare two runs: what is new, fixed, flaky or in both.
    Compare(Compare),
    /// Show how the findings of cells came and went: new, fixed, flaky, since when.
    History(History),
    /// Report on a run that is kept, in any format.
    Report(Report),
    /// Show the cells of a matrix without building them, and divide them into jobs of a CI system.
    Plan(Plan),
    /// Join the runs of shards to one run, and report on it.
    Merge(Merge),
    /// Accept the last run's snapshots as the new baseline.
    Accept(Accept),
    /// Report what this machine can build and boot, and what to install.
    Doctor,
    /// Explain a rule: what must hold, why, and how to fix it.
    Explain(Explain),
    /// Print the JSON schema of what a command writes with '--format json'.
    Schema(Schema),
    /// Print what completes klto's command line in a shell.
    Completions(Completions),
    /// Write the manual pages, one for each command.
    Man(Man),
    /// Do one task of a run on a cluster; 'klto run --engine slurm' submits them.
    #[command(hide = true)]
    Task(Task),
}

/// `klto task`
#[derive(Debug, Args)]
pub struct Task {
    /// The plan's folder.
    pub plan: PathBuf,
    /// The place of an array in the plan, or 'report'.
    pub array: String,
    /// The place of the task in the array.
    pub task: Option<usize>,
}

/// `klto schema`
#[derive(Debug, Args)]
pub struct Schema {
    #[arg(value_name = "COMMAND", value_enum)]
    pub document: Document,
}

/// `klto completions`
#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// `klto man`
#[derive(Debug, Args)]
pub struct Man {
    /// The folder to write them to, such as '~/.local/share/man/man1'. It is created.
    pub dir: PathBuf,
}

/// `klto check`
#[derive(Debug, Args)]
pub struct Check {
    /// The O= directory of a kernel build; or the directory of a record, whose facts are
    /// then judged by the rules of this klto; or, with --kernel, that of external modules.
    #[arg(required_unless_present = "store")]
    pub dir: Option<PathBuf>,
    /// The directory has external modules (make M=), which were built for the kernel in this
    /// directory: its build tree, or its headers as distributions package them.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["store", "goal"])]
    pub kernel: Option<PathBuf>,
    /// With --kernel: the Module.symvers of other external modules, whose symbols these use.
    /// Repeatable.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub extra_symbols: Vec<PathBuf>,
    /// Judge the facts of the runs in a store by the rules of this klto, instead of a tree: since
    /// when a rule is broken, in which cells [default: as in 'klto runs'].
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["dir", "source", "log", "goal", "arch", "lto"])]
    pub store: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub wanted: HistoryOf,
    /// The source tree, if the build tree's 'source' link does not lead to it.
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
    /// The output of make, to search for messages that indicate a wrong build.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Check only rules with this key or below it: 'flags', 'crc.zero'. Repeatable.
    #[arg(long, value_name = "KEY")]
    pub only: Vec<String>,
    /// Known findings, each with a reason and the kernel version at which it ends (YAML).
    /// Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    /// How far the build was meant to go; files of later stages may be missing.
    #[arg(long, value_enum)]
    pub goal: Option<Goal>,
    /// The architecture that the tree must be built for.
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// The LTO mode that the tree must be built in: none, thin, thin-dist or full.
    #[arg(long, value_name = "MODE")]
    pub lto: Option<LtoMode>,
    /// Report format; of a store, text or json.
    #[arg(long, default_value = Format::Text.name(), value_parser = format::<Format>())]
    pub format: Format,
    #[command(flatten)]
    pub details: Details,
}

/// Which part of a history.
#[derive(Debug, Args)]
pub struct HistoryOf {
    /// Of a store: only cells whose name matches this pattern: 'arm64', 'arm64/*',
    /// '*/thin-dist'. Repeatable.
    #[arg(long = "cell", value_name = "GLOB")]
    pub cells: Vec<String>,
    /// Of a store: only cells of the matrix with that name; 'probe' for probes.
    #[arg(long, value_name = "NAME")]
    pub matrix: Option<String>,
    /// Of a store: only runs since then: a date such as 2026-11-01, a time in RFC 3339, or how
    /// long ago, such as 30d.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// `klto runs`
#[derive(Debug, Args)]
pub struct Runs {
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    #[command(flatten)]
    pub store: StoreOptions,
}

/// `klto compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// The earlier run, as in 'klto runs show' [default: the one before the later of the same
    /// matrix].
    pub before: Option<String>,
    /// The later run [default: the latest].
    pub after: Option<String>,
    #[command(flatten)]
    pub store: StoreOptions,
    /// Report format.
    #[arg(long, default_value = Format::Text.name(), value_parser = format::<Format>())]
    pub format: Format,
    /// Show every finding and every cell.
    #[arg(long)]
    pub all: bool,
}

/// `klto history`
#[derive(Debug, Args)]
pub struct History {
    #[command(flatten)]
    pub wanted: HistoryOf,
    /// Only findings of rules with this key or below it: 'flags', 'crc.zero'. Repeatable.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    #[command(flatten)]
    pub store: StoreOptions,
    /// Report format.
    #[arg(long, default_value = HistoryFormat::Text.name(), value_parser = format::<HistoryFormat>())]
    pub format: HistoryFormat,
    /// Show cells in which nothing was ever found, and every finding.
    #[arg(long)]
    pub all: bool,
}

/// `klto report`
#[derive(Debug, Args)]
pub struct Report {
    /// The run, as in 'klto runs show'.
    #[arg(default_value = "latest")]
    pub run: String,
    /// The same as '--format html'.
    #[arg(long, conflicts_with = "format")]
    pub html: bool,
    /// The same as '--format perfetto': the time line of the run.
    #[arg(long, conflicts_with_all = ["format", "html"])]
    pub perfetto: bool,
    /// Show the run as a page in the browser; with --html, instead of printing it.
    #[arg(long)]
    pub open: bool,
    #[command(flatten)]
    pub store: StoreOptions,
    #[command(flatten)]
    pub reporting: ReportOptions,
}

/// `klto probe`
#[derive(Debug, Args)]
pub struct Probe {
    #[command(flatten)]
    pub source: SourceOptions,
    #[command(flatten)]
    pub cells: ProbeCells,
    /// LTO modes, comma-separated.
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_values = ["thin", "thin-dist"])]
    pub lto: Vec<LtoMode>,
    /// Extra objects for the miniature, comma-separated: 'long' (many objects with long
    /// paths, beyond the length limit of a command line), or one that triggers a known bug
    /// of released kernels.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = additions())]
    pub add: Vec<String>,
    #[command(flatten)]
    pub known: Known,
    #[command(flatten)]
    pub place: ProbePlace,
    #[command(flatten)]
    pub sandbox: SandboxOptions,
    #[command(flatten)]
    pub jobs_options: JobOptions,
    #[command(flatten)]
    pub store: StoreOptions,
    #[command(flatten)]
    pub reporting: ReportOptions,
}

/// What to probe.
#[derive(Debug, Args)]
pub struct ProbeCells {
    /// Architectures, comma-separated [default: all that klto supports].
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub arch: Vec<String>,
    /// Toolchains, comma-separated, each as the value of make's 'LLVM=': a suffix such as '-22', for
    /// which 'llvm-22' stands too, or a folder that ends in '/' [default: -22]. 'klto bisect' takes
    /// two for that of the good commit and that of the bad one, or one for both; 'klto series' takes one.
    #[arg(
        long,
        value_name = "LLVM",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub toolchain: Vec<String>,
    /// Scenarios to run after the build, comma-separated: noop, touch, flags, config,
    /// shrink, switch, damage, clean, shuffle, location, or all. The build always comes first.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["build"])]
    pub scenario: Vec<String>,
    /// Time limit for one cell with all its scenarios.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
    pub timeout: std::time::Duration,
}

/// Where and how to probe.
#[derive(Debug, Args)]
pub struct ProbePlace {
    /// Where to keep copies and build trees between probes [default: klto/probe in the
    /// user's cache].
    #[arg(long, value_name = "DIR", env = "KLTO_PROBE_WORK")]
    pub work: Option<PathBuf>,
    /// The number of jobs of all makes together [default: two per processor].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
}

fn additions() -> PossibleValuesParser {
    PossibleValuesParser::new(
        [miniature::LONG]
            .into_iter()
            .chain(miniature::KNOWN_BAD_OBJECTS),
    )
}

/// `klto series`
#[derive(Debug, Args)]
pub struct Series {
    /// The patches, as 'git format-patch' writes them.
    #[arg(value_name = "PATCH")]
    pub patches: Vec<PathBuf>,
    /// An mbox with the series: a whole thread, with replies and other versions; '-' reads
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["patches", "range"])]
    pub mbox: Option<PathBuf>,
    /// Commits of the repository in --kernel, as 'A..B'.
    #[arg(long, value_name = "A..B", conflicts_with = "patches")]
    pub range: Option<String>,
    /// The git repository of the kernel; it is only read.
    #[arg(long, value_name = "DIR", env = "KLTO_KERNEL")]
    pub kernel: Option<PathBuf>,
    /// The commit to apply the series to [default: what the mail says, or the patches show].
    #[arg(long, value_name = "REF", conflicts_with = "range")]
    pub base: Option<String>,
    /// The version of the series to take [default: the newest that is complete].
    #[arg(long, value_name = "N")]
    pub revision: Option<u32>,
    #[command(flatten)]
    pub cells: ProbeCells,
    /// LTO modes, comma-separated.
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_values = ["none", "thin", "thin-dist"])]
    pub lto: Vec<LtoMode>,
    /// Also build whole kernels, of the cells of a matrix (YAML): on the base and with all patches.
    #[arg(long, value_name = "FILE")]
    pub matrix: Option<PathBuf>,
    /// Only cells of the matrix whose name matches, as in 'klto run'. Repeatable.
    #[arg(long = "cell", value_name = "GLOB", requires = "matrix")]
    pub patterns: Vec<String>,
    /// Build whole kernels after each patch, too.
    #[arg(long, requires = "matrix")]
    pub per_patch: bool,
    /// What the verdict covers: take each place that a patch changes out in turn and probe
    /// again. 'auto' tries the first 40 places that a probe reads, 'full' all of them.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = CoverageMode::Auto)]
    pub coverage: CoverageMode,
    /// Acknowledge a finding by its number: in this version of the series and the next, it is
    /// reported and not counted. Repeatable.
    #[arg(long, value_name = "ID")]
    pub ack: Vec<String>,
    /// Known findings (YAML), in addition to the defects of released kernels. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    #[command(flatten)]
    pub place: ProbePlace,
    /// Build the base and the patches in a sandbox: make reads the sources and the toolchain,
    /// writes its own folders, and has no network; everything it starts ends with it. 'require'
    /// exits 125 where this machine cannot enforce all of that, 'auto' enforces what it can; the
    /// report says what.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = SandboxMode::Auto)]
    pub sandbox: SandboxMode,
    #[command(flatten)]
    pub jobs_options: JobOptions,
    /// The format of the verdict: text, json, mail (a reply to the series), or an answer about
    /// one patch on standard input from a verdict that is kept: b4 ('b4 review'), terse
    /// ('b4 prep --check').
    #[arg(long, default_value = SeriesFormat::Text.name(), value_parser = format::<SeriesFormat>())]
    pub format: SeriesFormat,
    /// Also write the verdict to a file: 'mail=FILE'. Repeatable.
    #[arg(long, value_name = "FORMAT=FILE")]
    pub report: Vec<ReportFile<SeriesFormat>>,
    /// Show every object of a group of findings.
    #[arg(long)]
    pub all: bool,
}

/// Injected mutations and known findings.
#[derive(Debug, Args)]
pub struct Known {
    /// Apply a mutation (a known mistake) or a harmless edit to a copy of the sources first:
    /// a name, or a file (.yaml). Repeatable. 'klto probe --mutate list' shows all names.
    #[arg(long, value_name = "NAME")]
    pub mutate: Vec<String>,
    /// Known findings (YAML), in addition to the defects of released kernels and those of
    /// the matrix. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
    /// Count the known defects of released kernels like any other finding.
    #[arg(long)]
    pub no_known_defects: bool,
}

/// `klto diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// The O= directory of a kernel build.
    pub first: PathBuf,
    /// The O= directory of another build of the same architecture.
    pub second: PathBuf,
    /// The output of make for the first tree, and again for the second, to compare warnings
    /// [default: DIR.log beside each tree, as 'klto run' writes it].
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// How much sizes may differ (YAML: 'function-bytes', 'function-percent',
    /// 'total-percent').
    #[arg(long, value_name = "FILE")]
    pub tolerances: Option<PathBuf>,
    /// Report format.
    #[arg(long, default_value = Format::Text.name(), value_parser = format::<Format>())]
    pub format: Format,
    /// Show every difference of each group, and every function whose size differs.
    #[arg(long)]
    pub all: bool,
}

/// `klto plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The matrix (YAML).
    pub matrix: PathBuf,
    #[command(flatten)]
    pub cells: Cells,
    /// Divide the cells into N shards, or fewer if there are not so many kernels, each with all its
    /// modes [default: one per kernel for github and gitlab, at most 256; otherwise none].
    #[arg(long, value_name = "N", conflicts_with = "shard")]
    pub shards: Option<std::num::NonZeroUsize>,
    /// The format: text, json, github (a line of JSON for 'strategy.matrix'), gitlab (a child
    /// pipeline with a job for each shard).
    #[arg(long, default_value = PlanFormat::Text.name(), value_parser = format::<PlanFormat>())]
    pub format: PlanFormat,
    /// Of gitlab: the file in the repository that has the job '.klto-shard', which says how a
    /// shard is run.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "ci/templates/gitlab-shard.yml"
    )]
    pub include: String,
}

/// `klto merge`
#[derive(Debug, Args)]
pub struct Merge {
    /// The runs of all shards: names as in 'klto runs show', or files that 'klto runs export'
    /// wrote. Runs of some of their cells, without --shard, may be among them: of a cell, a
    /// finished result comes before an inconclusive one.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// Merge although a shard is missing: its cells are inconclusive then.
    #[arg(long)]
    pub partial: bool,
    /// Also fail if a snapshot changed, not only on a new finding.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub store: StoreOptions,
    #[command(flatten)]
    pub reporting: ReportOptions,
}

/// `klto accept`
#[derive(Debug, Args)]
pub struct Accept {
    /// The matrix whose snapshots to accept (YAML).
    pub matrix: PathBuf,
    /// Only cells whose name matches, as in 'klto run'. Repeatable.
    #[arg(long = "cell", value_name = "GLOB")]
    pub patterns: Vec<String>,
    /// Only this part of each snapshot [default: all]. Repeatable.
    #[arg(long = "part", value_name = "PART", value_parser = PossibleValuesParser::new(PARTS))]
    pub parts: Vec<String>,
    #[command(flatten)]
    pub snapshots: Snapshots,
}

/// `klto explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// A rule's key, or its first parts [default: all rules].
    pub key: Option<String>,
    /// Write Markdown, as in docs/rules.md.
    #[arg(long)]
    pub markdown: bool,
}

/// Which cells of a matrix.
#[derive(Debug, Args)]
pub struct Cells {
    /// Only cells whose name matches this pattern: 'arm64', 'arm64/*', '*/thin-dist'.
    /// Repeatable.
    #[arg(long = "cell", value_name = "GLOB")]
    pub patterns: Vec<String>,
    /// Only part I of N of these cells, with I from 1 to N: each machine takes another part, and
    /// 'klto merge' joins the runs. Cells that share trees stay together.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

impl Cells {
    /// Whether a run of them reports on what belongs to no cell of the matrix: of several shards,
    /// the first one does.
    pub fn reports_on_whole_matrix(&self) -> bool {
        self.patterns.is_empty() && self.shard.is_none_or(|shard| shard.number == 1)
    }
}

/// Where accepted snapshots are.
#[derive(Debug, Args)]
pub struct Snapshots {
    /// The folder of accepted snapshots [default: 'snapshots' next to the folder of the
    /// matrix, if it exists].
    #[arg(long = "snapshots", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
