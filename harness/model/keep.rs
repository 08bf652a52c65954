//! Which build trees stay after a run, as plain data.

use serde::{Deserialize, Serialize};

use super::record::{CellRecord, Outcome};

/// Which build trees stay after the run. Record, facts and log of a cell always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
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

impl Keep {
    /// Whether the tree of a cell with that record may go. One that the machine stopped needs its tree
    /// in the next run.
    #[must_use]
    pub fn lets_go(self, record: &CellRecord) -> bool {
        match self {
            Keep::All => false,
            Keep::Failed => record.outcome == Outcome::Pass,
            Keep::None => record.stopped_by().is_none(),
        }
    }
}
