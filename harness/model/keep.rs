//! Which build trees stay after a run, as plain data.

use serde::Deserialize;

/// Which build trees stay after the run. Record, facts and log of a cell always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All: a later run can go on with them.
    #[default]
    All,
    /// Those of cells that did not pass.
    Failed,
    /// None.
    None,
}
