//! Work with an identity: one cell, and the jobs whose results it needs. [`plan`] turns the
//! cells of a matrix into jobs in the order in which they run. Pure.

use crate::model::cell::{BOOT, Cell, LtoMode};

/// A job, by the place of its cell in the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub usize);

/// One cell to configure, build, inspect and run scenarios on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub cell: Cell,
    /// The job whose finished tree this one begins with, if any.
    pub base: Option<JobId>,
    /// Jobs that leave clean builds of other modes, for `switch` to compare with.
    pub clean_builds: Vec<JobId>,
    /// Whether to note what is there before the first object: its own scenarios need that,
    /// or those of a job that begins with its tree.
    pub prepares: bool,
    /// Whether something is measured by its clean build: its own scenarios, or those of a job that
    /// uses its tree. Such a build comes from the compilers, and not from a cache of what they made.
    pub is_measure: bool,
    /// A job of the same kernel that must not run at the same time, where they share a source
    /// tree.
    pub not_before: Option<JobId>,
    /// Jobs whose finished trees are compared with this one's, after both have run.
    pub comparisons: Vec<Comparison>,
}

/// A comparison with the tree of a job that ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub with: JobId,
    /// The other job's mode.
    pub mode: LtoMode,
    /// Whether the matrix names this job's mode first, so that the other's differs from it.
    pub is_first: bool,
}

impl Job {
    /// The scenarios that run after the build.
    pub fn scenarios(&self) -> impl Iterator<Item = &str> {
        scenarios(&self.cell)
    }

    /// The jobs whose trees affect what is built, or what is found.
    pub fn needs(&self) -> impl Iterator<Item = JobId> {
        self.base
            .into_iter()
            .chain(self.clean_builds.iter().copied())
    }

    /// The jobs whose trees it uses.
    pub fn uses(&self) -> impl Iterator<Item = JobId> {
        self.needs()
            .chain(self.comparisons.iter().map(|compared| compared.with))
    }

    /// The jobs that have to run before this one.
    pub fn runs_after(&self) -> impl Iterator<Item = JobId> {
        self.uses().chain(self.not_before)
    }
}

/// How the jobs of a run may use each other.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions<'a> {
    /// Whether a job may begin with the finished tree of another.
    pub reuse_trees: bool,
    /// Whether `switch` compares with the builds of other jobs, rather than with its own.
    pub share_clean_builds: bool,
    /// Whether every job notes what is there before the first object, so that scenarios can
    /// run later.
    pub prepare_all: bool,
    /// Whether the modes of a kernel run one after the other.
    pub one_mode_at_a_time: bool,
    /// The modes whose trees are compared, the others with the first.
    pub compare: &'a [LtoMode],
}

/// The jobs of the cells, in the order in which to run them.
///
/// The distributed cell of a kernel comes first: the in-process cell can begin with its
/// tree, for front-end objects are valid for both; never the other way round, which is a
/// known defect of the kernel. Where the distributed cell switches modes it comes last, and
/// the others are built from nothing, to be compared with.
#[must_use]
pub fn plan(cells: &[Cell], options: PlanOptions<'_>) -> Vec<Job> {
    let group = |of: usize| {
        let is_member = move |(_, other): &(usize, &Cell)| other.group() == cells[of].group();
        cells.iter().enumerate().filter(is_member)
    };
    let switches = |cell: &Cell| {
        options.share_clean_builds && cell.lto == LtoMode::ThinDist && cell.runs(SWITCH)
    };
    let mut jobs: Vec<Job> = cells
        .iter()
        .enumerate()
        .map(|(at, cell)| {
            let switching = group(at).any(|(_, other)| switches(other));
            let of_mode = |mode| group(at).find(move |(_, other)| other.lto == mode);
            let distributed = of_mode(LtoMode::ThinDist).map(|(other, _)| JobId(other));
            let derives = options.reuse_trees
                && cell.lto == LtoMode::Thin
                && !switching
                && !cell.runs(SHUFFLE);
            let others = group(at).filter(|(other, _)| switches(cell) && *other != at);
            Job {
                id: JobId(at),
                base: distributed.filter(|_| derives),
                clean_builds: others.map(|(other, _)| JobId(other)).collect(),
                prepares: options.prepare_all || scenarios(cell).next().is_some(),
                is_measure: scenarios(cell).any(|name| !COMPARES_NOTHING.contains(&name)),
                not_before: None,
                comparisons: Vec::new(),
                cell: cell.clone(),
            }
        })
        .collect();
    let bases: Vec<JobId> = jobs
        .iter()
        .filter(|job| job.prepares)
        .filter_map(|job| job.base)
        .collect();
    for base in bases {
        jobs[base.0].prepares = true;
    }
    add_measures(&mut jobs);
    jobs.sort_by_key(|job| {
        let first_of_group = group(job.id.0).next().map(|(at, _)| at);
        let turn = match job.cell.lto {
            LtoMode::ThinDist if !job.clean_builds.is_empty() => 2,
            LtoMode::ThinDist => 0,
            LtoMode::None | LtoMode::Thin | LtoMode::Full => 1,
        };
        (first_of_group, turn, job.id)
    });
    add_comparisons(&mut jobs, options.compare);
    if options.one_mode_at_a_time {
        // Jobs of a group stand side by side.
        for at in 1..jobs.len() {
            let before = &jobs[at - 1];
            let is_of_group = before.cell.group() == jobs[at].cell.group();
            jobs[at].not_before = is_of_group.then_some(before.id);
        }
    }
    jobs
}

/// What `switch` compares with is a measure, too; and of a tree and the one that began with it both
/// are or none, for make rebuilds what another compiler's command made. The jobs are in the order of
/// the cells.
fn add_measures(jobs: &mut [Job]) {
    let compared: Vec<JobId> = jobs
        .iter()
        .flat_map(|job| job.clean_builds.clone())
        .collect();
    for id in compared {
        jobs[id.0].is_measure = true;
    }
    for at in 0..jobs.len() {
        if let Some(base) = jobs[at].base {
            let either = jobs[at].is_measure || jobs[base.0].is_measure;
            jobs[at].is_measure = either;
            jobs[base.0].is_measure = either;
        }
    }
}

/// Each pair is compared by the job of the two that runs later.
fn add_comparisons(jobs: &mut [Job], modes: &[LtoMode]) {
    let Some((first, others)) = modes.split_first() else {
        return;
    };
    for at in 0..jobs.len() {
        let (before, rest) = jobs.split_at_mut(at);
        let own = &mut rest[0];
        let pair = |mode: LtoMode| match own.cell.lto {
            own if own == *first => others.contains(&mode).then_some(true),
            own => (others.contains(&own) && mode == *first).then_some(false),
        };
        let of_group = before
            .iter()
            .filter(|job| job.cell.group() == own.cell.group());
        let comparisons = of_group.filter_map(|job| {
            Some(Comparison {
                with: job.id,
                mode: job.cell.lto,
                is_first: pair(job.cell.lto)?,
            })
        });
        own.comparisons = comparisons.collect();
    }
}

/// Scenarios that compare nothing with what the build made.
pub(super) const COMPARES_NOTHING: [&str; 3] = ["noop", "clean", BOOT];

/// The scenario that compares modes.
const SWITCH: &str = "switch";

/// The scenario that compares every file with those of the first build: a tree that began as
/// another's still has files of the other mode.
const SHUFFLE: &str = "shuffle";

/// The scenarios of a cell except the build itself.
fn scenarios(cell: &Cell) -> impl Iterator<Item = &str> {
    let names = cell.scenarios.iter().map(String::as_str);
    names.filter(|name| *name != "build")
}

#[cfg(test)]
pub(super) mod tests;
