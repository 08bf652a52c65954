//! What the verdict on a series covers: for each place that a patch changes, whether something
//! that was built depends on it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much is taken out to see what the verdict covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum CoverageMode {
    /// No more than a person waits for.
    #[default]
    Auto,
    /// Nothing.
    Off,
    /// Everything.
    Full,
}

/// What the verdict covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// In the order of the patches, then of their lines.
    pub places: Vec<CoveredPlace>,
}

/// Lines that a patch changes in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoveredPlace {
    #[serde(flatten)]
    pub place: ChangedPlace,
    pub reach: Reach,
    /// Of lines that are not exercised or not read, what must be so for them to count, as far as it
    /// shows: the conditionals around them, the architecture.
    pub needs: Vec<String>,
}

/// Where a patch changes lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ChangedPlace {
    /// From 1.
    pub patch: usize,
    /// From the top of the tree.
    pub file: String,
    /// The first of the lines after the patch, counted from 1.
    pub line: usize,
    /// How many lines are added, or removed if none is added.
    pub lines: usize,
    /// The first of them that is not blank.
    pub text: String,
}

impl fmt::Display for ChangedPlace {
    /// `scripts/Makefile.thinlto:16`, as tools name a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Whether something depends on the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reach {
    /// Something else is built or found without them.
    Exercised {
        /// The first cell in which it showed.
        cell: String,
        /// What is different there.
        changes: String,
    },
    /// The same is built and found without them, in all cells.
    NotExercised,
    /// They are comments and blank lines of a makefile: nothing can depend on them.
    Comment,
    /// No probe reads them.
    NotRead,
    /// It was not tried.
    NotTried { why: String },
}
