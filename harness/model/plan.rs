//! What a matrix would build, cell by cell.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cell::LtoMode;

/// What a matrix would build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// [`super::record::FORMAT`].
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// The matrix's name.
    pub matrix: String,
    /// How many shards the cells are divided into; absent if they are not divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<usize>,
    /// In the order of the matrix; with `--shard` only those of that shard.
    pub cells: Vec<PlannedCell>,
    /// Cells that the matrix excludes.
    pub excluded: Vec<ExcludedCell>,
}

/// A cell that would be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCell {
    /// As [`super::record::CellRecord::cell`].
    pub cell: String,
    /// Our name for the architecture.
    pub arch: String,
    /// The configuration's name in the matrix.
    pub config: String,
    pub lto: LtoMode,
    /// The toolchain's name in the matrix.
    pub toolchain: String,
    /// The number of the shard that it is in; absent if the cells are not divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<usize>,
    /// The variables of make's command line.
    pub make: BTreeMap<String, String>,
    /// The goal that the configuration starts from, such as `tinyconfig`.
    pub base: String,
    /// Symbols that are asked for, with `CONFIG_`, and their values; `n` is "not set".
    pub symbols: BTreeMap<String, String>,
    /// The goals of make, such as `vmlinux`.
    pub goals: Vec<String>,
    /// The scenarios that would run, the build first.
    pub scenarios: Vec<String>,
    /// The time limit for the build and all scenarios together.
    pub timeout_seconds: u64,
}

/// A cell that is not built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExcludedCell {
    pub cell: String,
    /// Why, as the matrix says.
    pub reason: String,
}
