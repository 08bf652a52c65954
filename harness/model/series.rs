//! The verdict on a patch series, as it is kept and reported. What a finding means follows
//! from the states in which it is there: on the base, and after each patch.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::coverage::{ChangedPlace, Coverage};
use super::imprint::Ripple;
use super::record::{Reproduce, RuleText};
use super::sandbox::Enforced;

/// The version of the format. Counts up when a key changes its meaning or goes; a new key
/// does not count by itself.
pub const FORMAT: u32 = 1;

/// The result of `klto series`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesRecord {
    /// [`FORMAT`] of the klto that wrote it.
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// When it was judged, in RFC 3339, UTC.
    pub judged: String,
    /// Of the cover letter, or of the first patch.
    pub title: String,
    /// The version that its subjects name; 1 if they name none.
    pub version: u32,
    /// What the user gave: the name of a file, or a range of commits.
    pub from: String,
    /// How the series was chosen from what the user gave, a sentence each.
    pub notes: Vec<String>,
    pub base: BaseRecord,
    /// Compiler and linker.
    pub toolchain: String,
    /// The names of the cells that were probed, in the order of the report.
    pub cells: Vec<String>,
    /// The names of the cells that were built as whole kernels.
    #[serde(default)]
    pub kernels: Vec<String>,
    /// Whole kernels were built after each patch, and not only on the base and of the last tree.
    #[serde(default)]
    pub per_patch: bool,
    /// In the order in which they are applied.
    pub patches: Vec<PatchRecord>,
    /// The base, then the tree after each patch.
    pub states: Vec<StateRecord>,
    /// What was found, the worst first.
    pub findings: Vec<SeriesFinding>,
    /// What could not be told, a cell of a state each.
    pub undecided: Vec<Undecided>,
    /// What the verdict covers; `None` if that was not asked for, or is not known yet.
    #[serde(default)]
    pub coverage: Option<Coverage>,
    /// The texts of the rules that the findings name.
    pub rules: BTreeMap<String, RuleText>,
    /// What base and patches were built in; `None` if that was nothing.
    pub sandbox: Option<Enforced>,
    /// The file with the patches, in order; `None` if they were commits already.
    pub mbox: Option<String>,
    /// Where a reply to the series goes; `None` if it was no mail.
    pub thread: Option<Thread>,
}

/// The commit that the series was applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaseRecord {
    /// Its number, in full.
    pub commit: String,
    /// The version that its top Makefile names.
    pub kernel: String,
    /// Why this one was chosen: completes "on COMMIT, ".
    pub why: String,
}

/// A patch of the series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchRecord {
    /// From 1.
    pub number: usize,
    pub title: String,
    /// Of its mail, without angle brackets; empty if it was no mail.
    pub message_id: String,
    /// As `git patch-id --stable` tells it: the same for the same change.
    pub patch_id: String,
    /// The commit that it became.
    pub commit: String,
    /// The files that it changes, from the top of the tree.
    pub files: Vec<String>,
    /// It did not fit as it is: git merged it.
    pub is_merged: bool,
}

/// The tree at the base, or after a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateRecord {
    pub commit: String,
    /// Of the files that a probe reads, in hex.
    pub fingerprint: String,
    /// The state whose files a probe sees alike, if there is one before: nothing was built.
    pub same_as: Option<usize>,
    /// The outcome of each cell, by its name.
    pub outcomes: BTreeMap<String, String>,
    /// How far the patch reaches, over all cells that were built before and after it; `None` for
    /// the base.
    pub ripple: Option<Ripple>,
    /// The same in whole kernels: since the last state before it of which they were built.
    #[serde(default)]
    pub kernels: Option<Ripple>,
}

/// A finding, in all cells in which it means the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesFinding {
    /// Tells it from any other finding, in this version of the series and in the next: a hash of
    /// rule, object, step and evidence, in hex.
    pub id: String,
    /// The rule's.
    pub key: String,
    pub object: String,
    /// `noop: make again`: the scenario and the step after which it was found; or the mode that
    /// was compared. `None` for the build itself.
    pub step: Option<String>,
    pub evidence: String,
    /// More lines, such as the first errors of a failed make.
    pub details: Vec<String>,
    pub change: Change,
    /// The names of the cells.
    pub cells: Vec<String>,
    /// Somebody has acknowledged it: reported, not counted.
    pub is_acknowledged: bool,
    /// The places that a patch changes, without any one of which the finding is not there.
    #[serde(default)]
    pub brought_by: Vec<ChangedPlace>,
    /// How to see it by hand in the first of the cells, with the patches applied in `KERNEL`.
    pub reproduce: Reproduce,
}

/// What a series does to a finding. Patches count from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Change {
    /// Not in the base, and there at the end.
    New {
        /// The first patch after which it could be there, and that after which it is seen: equal
        /// unless it could not be told in between.
        since: usize,
        by: usize,
    },
    /// Not in the base and not at the end, but between: a bisection that stops there goes wrong.
    BrokenBetween { by: usize, mended: usize },
    /// In the base and at the end.
    Known,
    /// In the base, and no longer at the end.
    Mended { by: usize },
}

impl Change {
    /// Whether a patch of the series makes the tree worse.
    #[must_use]
    pub fn is_worse(self) -> bool {
        self.worse_by().is_some()
    }

    /// The patch after which the tree is seen to be worse.
    #[must_use]
    pub fn worse_by(self) -> Option<usize> {
        match self {
            Change::New { by, .. } | Change::BrokenBetween { by, .. } => Some(by),
            Change::Known | Change::Mended { .. } => None,
        }
    }

    /// Whether it concerns a patch.
    #[must_use]
    pub fn is_of(self, patch: usize) -> bool {
        match self {
            Change::New { since, by } => (since..=by).contains(&patch),
            Change::BrokenBetween { by, .. } | Change::Mended { by } => patch == by,
            Change::Known => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::New { since, by } if since == by => write!(f, "new by patch {by}"),
            Change::New { since, by } => write!(f, "new by one of the patches {since} to {by}"),
            Change::BrokenBetween { by, mended } => {
                write!(f, "broken by patch {by} and mended by patch {mended}")
            }
            Change::Known => write!(f, "known in the base"),
            Change::Mended { by } => write!(f, "mended by patch {by}"),
        }
    }
}

/// A cell of a state that has no verdict, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undecided {
    pub cell: String,
    /// 0 is the base.
    pub state: usize,
    pub why: String,
}

/// Where a reply goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// The message to answer, without angle brackets.
    pub message_id: String,
    /// Those before it in the thread, the oldest first.
    pub references: Vec<String>,
    pub subject: String,
    /// The author: name and address.
    pub from: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
}

impl SeriesRecord {
    /// Findings that count: a patch makes the tree worse, and nobody has acknowledged it.
    pub fn worse(&self) -> impl Iterator<Item = &SeriesFinding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.change.is_worse() && !finding.is_acknowledged)
    }
}
