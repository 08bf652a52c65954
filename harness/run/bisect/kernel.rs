//! Tests commits by building a whole kernel. The build tree is carried from commit to commit, so
//! that make makes only what differs; a clean test has a tree of its own.

use std::path::Path;

use super::{How, Oracle};
use crate::judge::bisect::sought::{Sought, Tested};
use crate::model::error::Error;
use crate::model::record::CellRecord;
use crate::run::whole::drive::Run;
use crate::source::commit::Commit;
use crate::source::sources::Sources;

/// What no kernel is built from, but for its configuration.
const NOT_BUILT: [&str; 5] = [
    "Documentation/",
    "LICENSES/",
    "MAINTAINERS",
    "tools/perf/",
    "tools/testing/",
];

/// Builds commits for a finding.
#[derive(Debug)]
pub struct KernelOracle<'a> {
    /// Builds the one cell that shows it.
    pub run: &'a Run<'a>,
    pub sought: Sought,
    /// The folder of the carried tree.
    pub carried: &'a Path,
}

/// Builds the cells of a commit, in trees that are carried or in trees of their own.
///
/// # Errors
/// If the user interrupts, the machine fails before the first cell, or the commit is no kernel.
pub fn build(run: &Run<'_>, commit: &Commit) -> Result<Vec<CellRecord>, Error> {
    let sources = Sources::of_commit(commit.clone())?;
    let records = run.run(&sources)?.cells;
    match run.cancel.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(records),
    }
}

impl KernelOracle<'_> {
    /// Builds the cell: what its record says, and whether make came to its end.
    fn build(&self, run: &Run<'_>, commit: &Commit) -> Result<(Tested, bool), Error> {
        let records = match build(run, commit) {
            // What is no kernel has no verdict.
            Err(error @ Error::Usage(_)) => {
                return Ok((Tested::unknown(error.in_one_line()), false));
            }
            records => records?,
        };
        let name = &self.sought.finding.cell;
        let record = records.iter().find(|record| record.cell == *name);
        Ok(record.map_or_else(
            || (Tested::unknown("the cell has no record"), false),
            |record| (self.sought.tested(record), record.is_finished()),
        ))
    }
}

impl Oracle for KernelOracle<'_> {
    fn reads(&self, path: &str) -> bool {
        path.contains("Kconfig") || !NOT_BUILT.iter().any(|place| path.starts_with(place))
    }

    fn test(&self, commit: &Commit, how: How) -> Result<Tested, Error> {
        if how == How::Usual {
            let carried = Run {
                carried: Some(self.carried),
                ..*self.run
            };
            let (tested, is_finished) = self.build(&carried, commit)?;
            // What the commits before left can make a build fail, and is there after one that failed.
            if is_finished || tested.machine_failed {
                return Ok(tested);
            }
        }
        let clean = Run {
            fresh: true,
            ..*self.run
        };
        Ok(self.build(&clean, commit)?.0)
    }
}
