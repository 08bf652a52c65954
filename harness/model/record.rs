//! The result of a job, as it is kept: owned, read and written as JSON, the same for
//! `klto run`, `klto probe` and `klto check`. The texts of the rules travel with it, so
//! that an old record can be shown after a rule has gone.
//!
//! What happened ([`Outcome`]) is apart from how it compares with what was accepted
//! ([`Baseline`]).

mod measured;
mod outcome;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accepted::{Predecessor, Unreferenced};
use super::cell::{Cell, LtoMode};
use super::finding::{BUILD_FAILED, Rule, Severity};
use super::sandbox::Enforced;
use super::shard::ShardRecord;
use super::utilization::CpuUtilization;
pub use measured::{CompilerCacheUse, Cost, Counts, Growth, MOST_GROWTH, StageTime};
pub use outcome::{Baseline, Outcome, SkipReason};
pub use texts::RuleTexts;

/// The version of the format. Counts up when a key changes its meaning or goes; a new key
/// does not count by itself.
pub const FORMAT: u32 = 1;

/// The result of one cell of a run or a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellRecord {
    /// [`FORMAT`] of the klto that wrote it.
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// `arm64/tiny/thin-dist/llvm-22`.
    pub cell: String,
    /// The key of the job: tells everything that the result depends on, in hex.
    pub job: String,
    /// The revision of the sources, as it stands in paths: `7.2.13`, or
    /// `7.3.0-rc7-g0123456789ab` for a commit.
    pub revision: String,
    /// The version that the sources' top Makefile names.
    pub kernel: String,
    /// Compiler and linker; empty where nothing was built.
    pub toolchain: String,
    /// The machine's name.
    pub host: String,
    /// When the job began, in RFC 3339, UTC.
    pub started: String,
    pub cost: Cost,
    /// What the job did and when: the stages of the build, in the order in which its log showed
    /// them, `inspect`, `copy tree` (before scenarios), scenarios, comparisons. A build is
    /// looked at five times a second: what is shorter can have 0 seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
    /// How many processors it used when; absent if an older klto wrote it, or nothing ran.
    #[serde(default, skip_serializing_if = "CpuUtilization::is_empty")]
    pub cpu_utilization: CpuUtilization,
    /// What the compiler cache did for the build; absent if nothing was compiled through one, in a
    /// sandbox, and if an older klto wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler_cache: Option<CompilerCacheUse>,
    pub outcome: Outcome,
    pub baseline: Baseline,
    /// Why the machine, the toolchain or a limit kept klto from telling all, if one did.
    pub error: Option<String>,
    /// What stopped earlier attempts of the same run (`--retry-infra`), the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_errors: Vec<String>,
    /// What the build tree showed; `None` where there was nothing to look at.
    pub inspection: Option<Inspection>,
    /// In the order in which they ran.
    pub scenarios: Vec<ScenarioRecord>,
    /// With the trees of other modes.
    pub comparisons: Vec<ComparisonRecord>,
    /// How the snapshot differs from the accepted one.
    pub differences: Vec<Difference>,
    /// What is accepted of the nearest older kernel; absent if there is a baseline, or nothing
    /// older is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Predecessor>,
    /// The cell whose finished build tree this one began with.
    pub derived_from: Option<String>,
    /// The texts of the rules whose keys the record names.
    pub rules: RuleTexts,
    /// Whether an earlier klto made it, and nothing that it depends on changed since.
    pub reused: bool,
    pub reproduce: Reproduce,
    /// Log files, the build's first.
    pub logs: Vec<String>,
    /// What the sandbox enforced in which make ran; absent if make could do what its user can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Enforced>,
}

/// What one build tree showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    pub identity: Identity,
    pub counts: Counts,
    /// Warnings in the build log, by kind.
    pub warnings: BTreeMap<String, usize>,
    /// The rules that were checked, in their order.
    pub rules: Vec<RuleCount>,
    /// In the order of the rules, then of the archive.
    pub findings: Vec<FindingRecord>,
    /// Why the build is not complete, where it is not.
    pub unfinished: Option<String>,
    /// The files do not have the times at which the build wrote them, so that what is out of date
    /// does not show.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub times_lost: bool,
    /// Symbols that the cell asked for, with `CONFIG_`, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requested: BTreeMap<String, String>,
}

impl Inspection {
    /// Of a cell whose build tree says nothing: at most its configuration was checked, by
    /// `rules`.
    #[must_use]
    pub fn without_tree(
        cell: &Cell,
        kernel: &str,
        rules: Vec<RuleCount>,
        findings: Vec<FindingRecord>,
        unfinished: &str,
    ) -> Inspection {
        Inspection {
            identity: Identity {
                arch: cell.arch.name.clone(),
                lto: cell.lto,
                kernel: kernel.to_owned(),
                compiler: String::new(),
            },
            counts: Counts::default(),
            warnings: BTreeMap::new(),
            rules,
            findings,
            unfinished: Some(unfinished.to_owned()),
            times_lost: false,
            requested: cell.requested(),
        }
    }

    /// The keys of the rules that it names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let checked = self.rules.iter().map(|rule| rule.key.as_str());
        checked.chain(self.findings.iter().map(|finding| finding.key.as_str()))
    }
}

/// How much a rule looked at. A rule that looked at nothing holds over nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleCount {
    pub key: String,
    pub looked_at: usize,
    /// Of what, in the plural: `objects`.
    pub unit: String,
}

/// What a build tree is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Our name for the architecture.
    pub arch: String,
    pub lto: LtoMode,
    /// Kernel release.
    pub kernel: String,
    /// `CONFIG_CC_VERSION_TEXT`.
    pub compiler: String,
}

/// A broken rule: where, and how one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingRecord {
    /// The rule's; its texts are in [`CellRecord::rules`].
    pub key: String,
    /// The object, archive or file, from the build tree's top.
    pub object: String,
    /// File and line, or offset and bytes; what was expected and what is there.
    pub evidence: String,
    /// More lines, such as the first errors of a failed make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The step of a scenario after which it was found; `None` for the build itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The reason of the allow entry that covers it: reported, not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// An allow entry that covered it has ended: until when it held, and its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<String>,
}

impl FindingRecord {
    /// That `rule` is broken at `object`.
    #[must_use]
    pub fn new(rule: &Rule, object: impl Into<String>, evidence: impl Into<String>) -> Self {
        FindingRecord {
            key: rule.key.to_owned(),
            object: object.into(),
            evidence: evidence.into(),
            details: Vec::new(),
            step: None,
            allowed: None,
            lapsed: None,
        }
    }

    /// Whether it counts: no allow entry covers it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allowed.is_none()
    }
}

/// The texts of a rule, as they were when the record was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleText {
    pub severity: Severity,
    pub invariant: String,
    pub broken: String,
    pub why: String,
    pub fix: String,
}

impl From<&Rule> for RuleText {
    fn from(rule: &Rule) -> RuleText {
        RuleText {
            severity: rule.severity,
            invariant: rule.invariant.to_owned(),
            broken: rule.broken.to_owned(),
            why: rule.why.to_owned(),
            fix: rule.fix.to_owned(),
        }
    }
}

/// The result of one scenario on a cell's build tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// One of [`super::cell::SCENARIOS`].
    pub name: String,
    /// Wall time.
    pub seconds: f64,
    /// In the order of the steps.
    pub findings: Vec<FindingRecord>,
    pub skipped: Vec<Skip>,
}

impl ScenarioRecord {
    /// The build itself, as a scenario among the others.
    #[must_use]
    pub fn of_build(record: &CellRecord) -> ScenarioRecord {
        let inspection = record.inspection.iter();
        ScenarioRecord {
            name: "build".to_owned(),
            seconds: record.cost.wall_seconds,
            findings: inspection.flat_map(|i| &i.findings).cloned().collect(),
            skipped: Vec::new(),
        }
    }

    /// Whether no step of it ran.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.skipped.iter().any(|skip| skip.step.is_none())
    }

    /// A scenario that did not run at all.
    #[must_use]
    pub fn skipped(name: &str, reason: SkipReason) -> ScenarioRecord {
        ScenarioRecord {
            name: name.to_owned(),
            seconds: 0.0,
            findings: Vec::new(),
            skipped: vec![Skip { step: None, reason }],
        }
    }
}

/// A scenario, or a step of one, that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skip {
    /// `None` for the scenario as a whole.
    pub step: Option<String>,
    pub reason: SkipReason,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(f, "{step}: {}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

/// How the cell's finished tree compares with that of another mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonRecord {
    /// The other mode.
    pub with: LtoMode,
    /// The key of the other mode's job; empty where there was no tree.
    pub job: String,
    /// Wall time.
    pub seconds: f64,
    pub findings: Vec<FindingRecord>,
    /// Rules that had nothing to compare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<NotCompared>,
    /// The functions whose sizes differ most, at most [`MOST_GROWTH`], the largest difference first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub growth: Vec<Growth>,
    /// Why the two were not compared, if they were not.
    pub skipped: Option<SkipReason>,
}

/// A rule that had nothing to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotCompared {
    pub key: String,
    /// What was missing, and where.
    pub why: String,
}

/// How one part of a snapshot differs: a unified diff, accepted text first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// One of the parts of a snapshot: `flags`, `symbols`.
    pub part: String,
    pub diff: String,
}

/// How to see the same by hand: commands for a POSIX shell that name no path of this
/// machine but through two variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reproduce {
    /// The value of `KERNEL`: the source tree.
    pub kernel: String,
    /// The value of `O`: the build tree.
    pub build: String,
    pub commands: Vec<String>,
}

impl CellRecord {
    /// A cell of which nothing is known yet but what it is. The outcome is
    /// [`Outcome::Pass`] until [`CellRecord::settle`] says otherwise.
    #[must_use]
    pub fn new(cell: String) -> CellRecord {
        CellRecord {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            cell,
            job: String::new(),
            revision: String::new(),
            kernel: String::new(),
            toolchain: String::new(),
            host: String::new(),
            started: String::new(),
            cost: Cost::default(),
            stages: Vec::new(),
            cpu_utilization: CpuUtilization::default(),
            compiler_cache: None,
            outcome: Outcome::Pass,
            baseline: Baseline::None,
            error: None,
            earlier_errors: Vec::new(),
            inspection: None,
            scenarios: Vec::new(),
            comparisons: Vec::new(),
            differences: Vec::new(),
            predecessor: None,
            derived_from: None,
            rules: RuleTexts::default(),
            reused: false,
            reproduce: Reproduce::default(),
            logs: Vec::new(),
            sandbox: None,
        }
    }

    /// A cell that was not built, for that reason.
    #[must_use]
    pub fn skipped(cell: String, reason: SkipReason) -> CellRecord {
        CellRecord {
            outcome: Outcome::Skip(reason),
            ..CellRecord::new(cell)
        }
    }

    /// A cell that is inconclusive, for that reason.
    #[must_use]
    pub fn inconclusive(cell: String, reason: String) -> CellRecord {
        CellRecord {
            outcome: Outcome::Error(reason.clone()),
            error: Some(reason),
            ..CellRecord::new(cell)
        }
    }

    /// Derives the outcome from findings and error. A skipped cell stays skipped.
    pub fn settle(&mut self) {
        let is_broken = self.open_findings().next().is_some();
        self.outcome = match (&self.outcome, is_broken, &self.error) {
            (Outcome::Skip(reason), _, _) => Outcome::Skip(reason.clone()),
            (_, true, _) => Outcome::Fail,
            (_, false, Some(why)) => Outcome::Error(why.clone()),
            // What is allowed does not count; but nothing was shown of a kernel either.
            (_, false, None) if !self.is_finished() => {
                Outcome::Error("the build did not finish, for reasons that are allowed".to_owned())
            }
            (_, false, None) => Outcome::Pass,
        };
    }

    /// Whether the build came to its end and left what it was asked for.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inspection.as_ref().is_some_and(|inspection| {
            let failed = |finding: &FindingRecord| finding.key == BUILD_FAILED.key;
            inspection.unfinished.is_none() && !inspection.findings.iter().any(failed)
        })
    }

    /// What the machine stopped the cell with, if it is inconclusive because of that.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Error(_) => self.error.as_deref(),
            Outcome::Pass | Outcome::Fail | Outcome::Skip(_) => None,
        }
    }

    /// Whether its build came to its end and failed, for reasons that are allowed: another run
    /// would say the same.
    #[must_use]
    pub fn fails_as_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Error(_)) && self.stopped_by().is_none()
    }

    /// Every finding: of the build, of the scenarios, of the comparisons.
    pub fn findings(&self) -> impl Iterator<Item = &FindingRecord> {
        let build = self.inspection.iter().flat_map(|i| &i.findings);
        let scenarios = self.scenarios.iter().flat_map(|s| &s.findings);
        let comparisons = self.comparisons.iter().flat_map(|c| &c.findings);
        build.chain(scenarios).chain(comparisons)
    }

    /// Findings that no allow entry covers.
    pub fn open_findings(&self) -> impl Iterator<Item = &FindingRecord> {
        self.findings().filter(|finding| finding.is_open())
    }

    /// The keys of all rules that the record names.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<&str> {
        let checked = self.inspection.iter().flat_map(Inspection::keys);
        checked
            .chain(self.findings().map(|finding| finding.key.as_str()))
            .collect()
    }
}

/// The result of a run or a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// The matrix's name; `probe` for a probe.
    pub matrix: String,
    /// The version that the sources' top Makefile names.
    pub kernel: String,
    /// As [`CellRecord::revision`].
    pub revision: String,
    /// The mutations and harmless edits in the sources: the run says nothing of the kernel itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutations: Vec<String>,
    /// The shard of the matrix's cells that it has; absent if it has all that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
    /// In the order of the matrix.
    pub cells: Vec<CellRecord>,
    /// Files of accepted snapshots that belong to no cell; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreferenced: Vec<Unreferenced>,
}

impl RunRecord {
    /// `nightly of Linux 7.2.13, with v11-flags-by-variable, shard 2/4`: what was looked at.
    #[must_use]
    pub fn title(&self) -> String {
        let (matrix, revision) = (&self.matrix, &self.revision);
        format!("{matrix} of Linux {revision}{}", self.with_and_shard())
    }

    /// `, with v11-flags-by-variable, shard 2/4`: the mutations and the shard, if there are any.
    #[must_use]
    pub fn with_and_shard(&self) -> String {
        let shard = self.shard.as_ref();
        let shard = shard.map(|record| format!(", shard {}", record.shard));
        self.with() + &shard.unwrap_or_default()
    }

    /// Whether it has nothing to build, because there are more shards than parts that can be
    /// divided.
    #[must_use]
    pub fn is_empty_shard(&self) -> bool {
        self.cells.is_empty() && self.shard.is_some()
    }

    /// `, with v11-flags-by-variable`: the mutations, if there are any.
    #[must_use]
    pub fn with(&self) -> String {
        with(&self.mutations)
    }
}

/// `, with v11-flags-by-variable`: mutations, if there are any.
pub(super) fn with(mutations: &[String]) -> String {
    match mutations {
        [] => String::new(),
        names => format!(", with {}", names.join(", ")),
    }
}
