//! A search for the commit that brought a fault, as it is kept and reported.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::RuleText;

/// The version of the format. Counts up when a key changes its meaning or goes; a new key
/// does not count by itself.
pub const FORMAT: u32 = 1;

/// The result of `klto bisect`, or of what was done of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BisectRecord {
    /// [`FORMAT`] of the klto that wrote it.
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// When it began, in RFC 3339, UTC.
    pub began: String,
    /// The git repository as the user named it.
    pub kernel: String,
    /// What tested the commits: `probe`, or a command.
    pub oracle: String,
    /// Commits without the fault.
    pub good: Vec<CommitRecord>,
    /// The commit with the fault.
    pub bad: CommitRecord,
    /// Of a merge, only its first parent counted.
    pub first_parent: bool,
    /// The user says that the commit changes one of these; any path if there is none.
    pub paths: Vec<String>,
    /// What was searched for; `None` for a command, and before the ends were tested.
    pub finding: Option<SoughtFinding>,
    /// Findings that the bad end has and the good ends do not, beside [`BisectRecord::finding`].
    pub others: Vec<SoughtFinding>,
    /// How many commits are between the ends, the bad one included.
    pub commits: usize,
    /// How many of them can have brought the fault, from what they change.
    pub suspects: usize,
    /// The tests in their order, the ends first.
    pub steps: Vec<StepRecord>,
    /// How it ended; `None` while it goes on.
    pub ended: Option<Ended>,
    /// What was done to be sure of the commit that was found.
    pub checks: Vec<CheckRecord>,
    /// What the toolchains have to do with it, if the good end was built with another one than the bad
    /// end.
    #[serde(default)]
    pub toolchains: Option<ToolchainsRecord>,
    /// The parts of the commit without any of which the fault is not there, if that was found out.
    pub hunks: Option<Vec<HunkRecord>>,
    /// The symbols in which the configuration differs from a good one and without any of which the fault
    /// is not there, if that was found out. Empty if it is there with the good configuration, too.
    #[serde(default)]
    pub symbols: Option<Vec<SymbolRecord>>,
    /// The cell whose configuration [`BisectRecord::symbols`] is of.
    #[serde(default)]
    pub symbols_cell: String,
    /// The good configuration: its name in the matrix, or the make target that it begins with.
    #[serde(default)]
    pub good_config: String,
    /// Tests of the bad end without the commit that was found, and of that commit without some of its
    /// places, or of the symbols of its configuration.
    #[serde(default)]
    pub made: Vec<MadeRecord>,
    /// The tag or branch that has the commit in a tree that regzbot tracks (mainline, stable,
    /// linux-next), if one has.
    #[serde(default)]
    pub tracked: Option<String>,
    /// The texts of the rules that the findings name.
    pub rules: BTreeMap<String, RuleText>,
    /// Commands that show the fault, each a line for a shell.
    pub reproduce: Vec<String>,
    /// What there is to say besides, a sentence each.
    pub notes: Vec<String>,
}

/// A commit as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitRecord {
    /// Its number, in full.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// `NAME <MAIL>`.
    pub author: String,
    /// The author's date, in ISO 8601.
    pub date: String,
}

/// A finding, as a search tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SoughtFinding {
    /// The number of the finding, the same in any run; see `docs/formats.md`.
    pub id: String,
    /// The rule's key.
    pub key: String,
    pub object: String,
    /// The scenario and its step after which it is there; `None` for the build itself.
    pub step: Option<String>,
    pub evidence: String,
    /// The cell in which it was searched for.
    pub cell: String,
}

/// Whether a commit has the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Good,
    Bad,
    /// It could not be told.
    Unknown,
}

impl Verdict {
    /// `good`, `bad` or `unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// A test of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    pub commit: CommitRecord,
    pub verdict: Verdict,
    /// Why it is that verdict, in a phrase.
    pub why: String,
    /// Other findings that the commit has in the cell, as `KEY OBJECT`.
    pub others: Vec<String>,
    /// What the result depends on, as a hash: sources, toolchain, klto, the cell. Empty if that is
    /// not known.
    pub job: String,
    /// Wall time of the test.
    pub seconds: f64,
    /// The result of an earlier test was used.
    pub reused: bool,
    /// Nothing of an earlier test was used: it made sure of a commit that was found.
    #[serde(default)]
    pub is_clean: bool,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Ended {
    /// This commit brought the fault.
    Culprit { commit: CommitRecord },
    /// One of these did: no commit between them could be told.
    Among { commits: Vec<CommitRecord> },
    /// The toolchain brought the fault: no commit did.
    Toolchain,
    /// The ends are not what the user said; nothing was searched.
    EndsDoNotFit { why: String },
    /// A result changed although nothing that it depends on did, or no commit can be it.
    Contradiction { why: String },
}

/// Tests of both ends with both toolchains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolchainsRecord {
    /// The toolchain with which the good end is good.
    pub good: String,
    /// The toolchain with which the bad end is bad.
    pub bad: String,
    /// The bad end with the toolchain of the good one.
    pub bad_end: CrossedRecord,
    /// The good ends with the toolchain of the bad one.
    pub good_end: CrossedRecord,
    pub brings: Brings,
    /// The toolchain with which the commit was searched for; `None` if none was.
    pub searched_with: Option<String>,
}

/// A test of an end with the toolchain of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrossedRecord {
    pub verdict: Verdict,
    /// Why it is that verdict, in a phrase.
    pub why: String,
}

/// What brings a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Brings {
    /// The kernel, with either toolchain.
    Kernel,
    /// The toolchain, on either kernel.
    Toolchain,
    /// Both are needed.
    Both,
    /// Each of them does.
    Either,
    /// It could not be told.
    Unknown,
}

/// A test that makes sure of the commit that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRecord {
    pub of: CheckOf,
    /// What was tested, in a phrase.
    pub what: String,
    /// Whether it was as it must be; `None` if it could not be told.
    pub holds: Option<bool>,
    /// What was seen, in a phrase.
    pub seen: String,
}

/// What a check tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOf {
    /// The commit that was found.
    Culprit,
    /// A parent of it.
    Parent,
    /// The bad end without it.
    Revert,
}

/// A test of a commit that klto made, or of another configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeRecord {
    /// Its number, in full: the same for the same change of the same commit.
    pub commit: String,
    /// The symbols of its configuration that were as in the good one.
    #[serde(default)]
    pub reduced: Vec<String>,
    pub verdict: Verdict,
    /// Why it is that verdict, in a phrase.
    pub why: String,
}

/// A part of a commit that brings the fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HunkRecord {
    /// From the top of the tree.
    pub file: String,
    /// Where it begins after the commit, from 1.
    pub line: usize,
    /// Its first line that says something.
    pub text: String,
}

/// A symbol of the configuration that a fault needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SymbolRecord {
    /// Without `CONFIG_`.
    pub symbol: String,
    /// Its value where the fault is, as in a matrix; `None` if it is as the base has it.
    pub value: Option<String>,
    /// Its value in the good configuration; `None` if it is as the base has it.
    pub otherwise: Option<String>,
}
