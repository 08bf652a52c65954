//! How far the sizes of two build trees may be apart, as a matrix or a file of its own says.

use serde::Deserialize;

/// How far sizes may be apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tolerances {
    /// Bytes of one function; more is a difference only if the percentage is passed too.
    pub function_bytes: u64,
    /// Percent of the larger of the two.
    pub function_percent: u32,
    /// Percent, of all functions or variables together.
    pub total_percent: u32,
}
