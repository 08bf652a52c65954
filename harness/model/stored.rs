//! What the store of runs says: of a run, of the history of a cell, and of two runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{Reproduce, RuleText, with};
use super::shard::Shard;

/// A run, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunHead {
    /// Its name in the store: when it was recorded, and a part of the hash of its content.
    pub run: String,
    /// When it was recorded, in RFC 3339 with milliseconds, UTC: later than every run that was in
    /// the store before, even if the clock went back.
    pub recorded: String,
    /// The matrix's name; `probe` for a probe.
    pub matrix: String,
    /// The version that the sources' top Makefile names.
    pub kernel: String,
    /// As [`super::record::CellRecord::revision`].
    pub revision: String,
    /// The mutations and harmless edits in the sources: the run says nothing of the kernel itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutations: Vec<String>,
    /// The shard of the matrix's cells that it has; absent if it has all that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The runs that it was merged from, by their names, and earlier merged runs of some of these:
    /// they are not listed while it is there, nor are they in any history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
    /// How many cells it has.
    pub cells: usize,
}

impl RunHead {
    /// `, with v11-flags-by-variable, shard 2/4`: the mutations and the shard, if there are any.
    #[must_use]
    pub fn with(&self) -> String {
        let shard = self.shard.map(|shard| format!(", shard {shard}"));
        with(&self.mutations) + &shard.unwrap_or_default()
    }
}

/// How the findings of cells came and went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// [`super::record::FORMAT`].
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// By matrix, then by name.
    pub cells: Vec<CellHistory>,
    /// Runs that could not be read, and why: they are missing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// The history of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellHistory {
    pub matrix: String,
    pub cell: String,
    /// The runs that have it, the oldest first.
    pub runs: Vec<CellRun>,
    /// How long it has been failing, if it fails now.
    pub red: Option<Red>,
    /// What was found in any of the runs and not allowed: what is there now comes first.
    pub findings: Vec<FindingHistory>,
}

/// What one run says of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellRun {
    #[serde(flatten)]
    pub at: RunAt,
    /// `pass`, `fail`, `error` or `skip`.
    pub outcome: String,
    /// Wall time.
    pub seconds: f64,
    /// As [`super::record::Counts::image_bytes`].
    pub image_bytes: u64,
}

/// A run of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAt {
    /// As [`RunHead::run`].
    pub run: String,
    /// As [`RunHead::recorded`].
    pub recorded: String,
    /// As [`RunHead::revision`].
    pub revision: String,
}

/// A cell that fails: since when, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Red {
    /// The first run that failed, with none since that passed.
    pub since: RunAt,
    /// The last run before that passed; `None` if no run did.
    pub passed: Option<RunAt>,
    /// How many of the runs since failed; the others were inconclusive.
    pub runs: usize,
    /// The runs since in which a finding came that the run before did not have, the first left out.
    pub worse: Vec<Worse>,
}

/// A failing run that has a finding more than the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worse {
    pub at: RunAt,
    /// Which of the failing runs it is; the first is 1.
    pub nth: usize,
    /// The numbers of the findings.
    pub findings: Vec<String>,
}

/// The history of one finding of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingHistory {
    /// As [`super::series::SeriesFinding::id`].
    pub id: String,
    /// The rule's.
    pub key: String,
    pub object: String,
    /// As [`super::series::SeriesFinding::step`].
    pub step: Option<String>,
    /// As the first run has it.
    pub evidence: String,
    pub course: Course,
}

/// How a finding came and went. Runs that did not check its rule do not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Course {
    /// The last run has it, and the run before does not.
    New { by: RunAt, after: RunAt },
    /// It is there, came after a run that does not have it, and has been in several runs since.
    Since {
        first: RunAt,
        after: RunAt,
        runs: usize,
    },
    /// Every run has it.
    Always { first: RunAt, runs: usize },
    /// It changed although nothing that the result depends on did: of the runs with one job key,
    /// some have it and some do not.
    Flaky {
        is_there: bool,
        with: usize,
        without: usize,
    },
    /// It is no longer there: the last run that has it, and the first that does not.
    Fixed { last: RunAt, by: RunAt },
}

impl Course {
    /// The word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Course::New { .. } => "new",
            Course::Since { .. } => "since",
            Course::Always { .. } => "always",
            Course::Flaky { .. } => "flaky",
            Course::Fixed { .. } => "fixed",
        }
    }

    /// Whether the last run that checked its rule has it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Course::New { .. } | Course::Since { .. } | Course::Always { .. } => true,
            Course::Flaky { is_there, .. } => *is_there,
            Course::Fixed { .. } => false,
        }
    }
}

/// How a run differs from an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunComparison {
    /// [`super::record::FORMAT`].
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    pub before: RunHead,
    pub after: RunHead,
    /// What is new comes first, then what is flaky, fixed and in both.
    pub findings: Vec<ComparedFinding>,
    /// Cells that one of the runs does not judge, or not wholly; of both runs for one reason, the
    /// later.
    pub undecided: Vec<UndecidedCell>,
    /// Cells whose outcome is another.
    pub outcomes: Vec<OutcomeChange>,
    /// Cells that only the later run has.
    pub added: Vec<String>,
    /// Cells that only the earlier run has.
    pub gone: Vec<String>,
    /// The texts of the rules whose keys the findings name.
    pub rules: BTreeMap<String, RuleText>,
}

/// A finding of one run or of both, in all cells in which it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedFinding {
    /// As [`super::series::SeriesFinding::id`].
    pub id: String,
    /// The rule's.
    pub key: String,
    pub object: String,
    /// As [`super::series::SeriesFinding::step`].
    pub step: Option<String>,
    pub evidence: String,
    /// More lines, such as the first errors of a failed make.
    pub details: Vec<String>,
    pub change: RunChange,
    /// The names of the cells.
    pub cells: Vec<String>,
    /// How to see it by hand in the first of the cells.
    pub reproduce: Reproduce,
}

/// What became of a finding between two runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RunChange {
    /// Only the later run has it.
    New,
    /// Only one run has it, and nothing that the result depends on changed between them.
    Flaky,
    /// Only the earlier run has it.
    Fixed,
    /// Both have it.
    Known,
}

/// What a comparison of two runs comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonVerdict {
    /// Something is new.
    Worse,
    /// Nothing is new, but something changed without a reason.
    Flaky,
    /// Nothing is new in what was judged, and not everything was.
    Inconclusive,
    /// Nothing is new.
    NotWorse,
}

impl RunComparison {
    /// What it comes to.
    #[must_use]
    pub fn verdict(&self) -> ComparisonVerdict {
        let any = |change| self.findings.iter().any(|finding| finding.change == change);
        if any(RunChange::New) {
            ComparisonVerdict::Worse
        } else if any(RunChange::Flaky) {
            ComparisonVerdict::Flaky
        } else if self.undecided.is_empty() {
            ComparisonVerdict::NotWorse
        } else {
            ComparisonVerdict::Inconclusive
        }
    }
}

impl RunChange {
    /// Every change, the worst first.
    pub const ALL: [RunChange; 4] = [Self::New, Self::Flaky, Self::Fixed, Self::Known];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunChange::New => "new",
            RunChange::Flaky => "flaky",
            RunChange::Fixed => "fixed",
            RunChange::Known => "known",
        }
    }
}

/// A cell that a run does not judge, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndecidedCell {
    pub cell: String,
    /// As [`RunHead::run`].
    pub run: String,
    pub why: String,
}

/// A cell whose outcome is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeChange {
    pub cell: String,
    /// `pass`, `fail`, `error` or `skip`.
    pub before: String,
    pub after: String,
}
