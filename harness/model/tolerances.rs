//! How much the sizes of two build trees may differ: part of a matrix, or a file of its own.

use serde::Deserialize;

/// How much sizes may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tolerances {
    /// Bytes of one function; more is a difference only if it also exceeds the percentage.
    pub function_bytes: u64,
    /// Percent of the larger of the two.
    pub function_percent: u32,
    /// Percent of all functions or all variables together.
    pub total_percent: u32,
}
