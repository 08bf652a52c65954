//! What happened to a cell, how that compares with what was accepted, and why something was not
//! done.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::cell::LtoMode;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", content = "reason", rename_all = "kebab-case")]
pub enum Outcome {
    /// Every rule that was checked holds.
    Pass,
    /// A finding that no allow entry covers.
    Fail,
    /// The machine, the toolchain or a limit failed, not the kernel: inconclusive.
    Error(String),
    /// Not built on purpose.
    Skip(SkipReason),
}

impl Outcome {
    /// As it is printed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Error(_) => "error",
            Outcome::Skip(_) => "skip",
        }
    }
}

/// How a cell compares with the accepted snapshot of its kernel and toolchain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Nothing is accepted for this kernel and toolchain.
    None,
    /// As accepted.
    Same,
    /// A finding that was accepted is gone, and none is new.
    Fixed,
    /// A finding that the accepted snapshot does not have.
    Regressed,
    /// No new finding, but other facts.
    Changed,
    /// Accepted, but no longer a cell of the matrix.
    Gone,
}

impl Baseline {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Baseline::None => "none",
            Baseline::Same => "same",
            Baseline::Fixed => "fixed",
            Baseline::Regressed => "regressed",
            Baseline::Changed => "changed",
            Baseline::Gone => "gone",
        }
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum SkipReason {
    /// The kernel has no distributed ThinLTO.
    NoDistributedMode { kernel: String },
    /// The scenario is none for the cell's mode.
    NotInMode { mode: LtoMode },
    /// There is no finished build to go on with.
    BuildFailed,
    /// The step before failed.
    StepFailed,
    /// There is no clean build of that mode to compare with.
    NoCleanBuild { mode: LtoMode },
    /// There is no finished tree in that mode to compare with.
    NoTree { mode: LtoMode },
    /// This make has no `--shuffle`.
    NoShuffle,
    /// An earlier cell failed, and klto was asked to stop then.
    FailFast,
    /// The time that was given was over, or too short for it.
    Budget,
    /// It is accepted, but no cell of the matrix.
    NoCell,
    /// A tree between the first and the last of a series, of which whole kernels are built.
    BetweenEnds,
}

impl SkipReason {
    /// Whether it follows from what the cell is, so that no report need mention it.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        matches!(self, SkipReason::NotInMode { .. })
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::NoDistributedMode { kernel } => write!(
                f,
                "Linux {kernel} has no LTO_CLANG_THIN_DIST; distributed ThinLTO came with 7.2"
            ),
            SkipReason::NotInMode { mode } => write!(f, "does not apply to mode {mode}"),
            SkipReason::BuildFailed => write!(f, "the build failed"),
            SkipReason::StepFailed => write!(f, "the step before failed"),
            SkipReason::NoCleanBuild { mode } => {
                write!(f, "there is no clean build in mode {mode} to compare with")
            }
            SkipReason::NoTree { mode } => write!(f, "there is no finished tree in mode {mode}"),
            SkipReason::NoShuffle => {
                write!(f, "this make has no --shuffle, which came with make 4.4")
            }
            SkipReason::FailFast => write!(f, "an earlier cell failed (--fail-fast)"),
            SkipReason::Budget => write!(f, "left out, for lack of time (--budget)"),
            SkipReason::BetweenEnds => {
                write!(
                    f,
                    "whole kernels are built only of the base and of the last tree"
                )
            }
            SkipReason::NoCell => write!(f, "accepted, but no cell of this matrix"),
        }
    }
}
