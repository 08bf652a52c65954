//! Whole kernels on a Slurm cluster. A task is one cell, on the node's own disk: paths are part of a
//! job's key, so the work directory has the same path on each node. The nodes share a folder, in
//! which a plan tells the tasks what to do, and to which they bring their results.
//!
//! ```text
//! submit ── plan ──▶ sbatch: arrays ──▶ task ── run::whole ──▶ result, done ──▶ submit: report
//! ```

pub mod arrays;
pub mod done;
pub mod queue;
pub mod submit;
pub mod task;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::{Job, JobId};
use crate::build::process::Cancel;
use crate::judge::expected::Expected;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::keep::Keep;
use crate::model::sandbox::SandboxMode;
use crate::source::commit::Commit;
use crate::source::git::Git;
use crate::source::series::apply::OwnRepository;
use crate::source::sources::Sources;
use crate::store::lock::{Lock, Patience, Sharing};

/// The version of [`Plan`].
const FORMAT: u32 = 2;

/// What the tasks of a run have to know, as it is kept in the plan's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    /// The name of the plan's folder, and the end of the name of its jobs.
    pub id: String,
    /// The matrix's file; the plan's folder has a copy.
    pub matrix: PathBuf,
    /// Patterns of cells, as the user gave them.
    pub patterns: Vec<String>,
    /// The user's files of known findings, and whether those of released kernels count as known.
    pub allow: Vec<PathBuf>,
    pub known_defects: bool,
    /// The folder of accepted snapshots, if the user named one.
    pub snapshots: Option<PathBuf>,
    /// The source tree or repository.
    pub kernel: PathBuf,
    /// The number of the commit, if the sources are one.
    pub commit: Option<String>,
    /// The work directory on each node.
    pub scratch: PathBuf,
    /// Names and files of mutations.
    pub mutations: Vec<String>,
    pub reuse_trees: bool,
    /// Cells are built although a result could be used.
    pub fresh: bool,
    pub sandbox: SandboxMode,
    /// Jobs of each make; one per processor of the node, if `None`.
    pub jobs: Option<usize>,
    /// Which build trees stay on a node.
    pub keep: Keep,
    /// Distinguishes the sources.
    pub source_key: String,
    /// The variables that a build can see.
    pub environment: Vec<(OsString, OsString)>,
    /// The cells that tasks are for; of the others there was a result.
    pub wanted: BTreeSet<usize>,
    /// The tasks of each array, by their cells.
    pub arrays: Vec<Vec<usize>>,
}

impl Plan {
    /// The name of all its jobs in the queue.
    #[must_use]
    pub fn job_name(&self) -> String {
        job_name(&self.id)
    }

    /// Whether a task will need the finished tree of that job.
    #[must_use]
    pub fn needs_tree_of(&self, jobs: &[Job], id: JobId) -> bool {
        let mut wanted = jobs.iter().filter(|job| self.wanted.contains(&job.id.0));
        wanted.any(|job| job.runs_after().any(|needed| needed == id))
    }
}

/// The name of the jobs of a plan.
#[must_use]
pub fn job_name(id: &str) -> String {
    format!("klto-{id}")
}

/// How much memory to ask for, in MiB, where a cell is expected to take so much: a quarter more, and
/// what klto takes itself. Slurm ends a task that takes more than it asked for.
#[must_use]
pub fn memory_to_ask_for(expected: &Expected) -> Option<u64> {
    const OF_KLTO: u64 = 512;
    let kib = expected.memory_kib?;
    Some((kib + kib / 4).div_ceil(1024) + OF_KLTO)
}

/// The sources as tasks have them: a commit is read through a repository of the work directory's,
/// for nodes must not share what git keeps of a worktree.
///
/// # Errors
/// As [`Sources::commit`].
pub fn sources_of(
    kernel: &Path,
    commit: Option<&str>,
    scratch: &Path,
    cells: &[Cell],
    cancel: &Cancel,
) -> Result<Sources, Error> {
    let Some(commit) = commit else {
        let arches: Vec<_> = cells.iter().map(|cell| &*cell.arch).collect();
        return Sources::directory(kernel, &arches);
    };
    let place = scratch.join("repositories");
    let patience = Patience {
        until: None,
        cancel,
    };
    let _lock = Lock::take(&place, Sharing::Exclusive, patience, &mut |_| {})?;
    let own = OwnRepository::open(&Git::open(kernel, cancel)?, &place)?;
    let found = Commit::find(own.git(), commit)?;
    // Without a commit it counts as damaged, and is made from nothing.
    if !own.git().ask(["rev-parse", "--verify", "HEAD"])?.is_success {
        own.start(found.id())?;
    }
    Sources::of_commit(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing_known(None, None)]
    #[case::a_quarter_more(Some(4 * 1024 * 1024), Some(5 * 1024 + 512))]
    #[case::rounded_up(Some(1), Some(513))]
    fn a_task_asks_for_more_memory_than_its_cell_took(
        #[case] memory_kib: Option<u64>,
        #[case] mib: Option<u64>,
    ) {
        let expected = Expected {
            memory_kib,
            ..Expected::default()
        };
        assert_eq!(memory_to_ask_for(&expected), mib);
    }
}
