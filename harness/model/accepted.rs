//! What a record says of accepted snapshots apart from the baseline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::Difference;

/// The accepted snapshot of an older kernel or another toolchain, and how the cell's differs from
/// it. It is shown and does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predecessor {
    pub kernel: String,
    pub toolchain: String,
    /// Whether its kernel is older; otherwise it is of the same version.
    pub is_older: bool,
    pub differences: Vec<Difference>,
}

/// A file or folder in the folder of accepted snapshots that nothing reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unreferenced {
    /// Its path from the folder of accepted snapshots.
    pub file: String,
    /// Why nothing reads it.
    pub why: String,
}
