//! What a node does: one cell of a plan, or the report of all. A task can be ended and started
//! again at any time; what it did before is found under the job's key.

mod trees;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, SystemTime};

use super::done::{Done, SharedResult, has_tree_of};
use super::{FORMAT, Plan, queue, sources_of};
use crate::build::dir_state::remove_file;
use crate::build::environment;
use crate::build::process::{Cancel, replace_in};
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::input::matrix::Matrix;
use crate::input::mutation;
use crate::input::yaml;
use crate::model::error::Error;
use crate::model::record::{CellRecord, Outcome, RunRecord};
use crate::run::events::{Event, for_standard_error, say};
use crate::run::job::{Job, JobId};
use crate::run::key::CommonKey;
use crate::run::pipeline::{adopt, apply_allows, is_whole, new_record};
use crate::run::place::Place;
use crate::run::schedule::Policy;
use crate::run::whole::drive::Run;
use crate::source::sources::Sources;
use crate::store::shared_dir::{Claim, SharedDir, read_json};
use crate::store::snapshots::SnapshotDir;
use crate::store::work_dir::WorkDir;
use trees::Used;

/// How often a task asks whether another one still works on its job.
const POLL: Duration = Duration::from_secs(3);

/// Set in a task that was started again in the plan's environment.
const STARTED_AGAIN: &str = "KLTO_TASK_ENVIRONMENT";

/// What was asked of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The place of an array in the plan, and of a cell in the array.
    Cell(usize, usize),
    Report,
}

/// What a plan's tasks have in common.
#[derive(Debug)]
pub struct Task<'a> {
    pub plan: &'a Plan,
    /// The plan's folder.
    pub folder: &'a Path,
    pub shared: &'a SharedDir,
    pub run: Run<'a>,
    pub sources: &'a Sources,
    pub jobs: Vec<Job>,
    /// What is known of findings, as far as this node sees it: only trees stay or go by that.
    pub known: &'a [Allow],
}

/// Reads a plan, and starts this klto again if its environment differs from the plan's: what a
/// build can see is part of a job's key.
///
/// # Errors
/// If there is no such plan, or another klto wrote it.
pub fn read_plan(folder: &Path) -> Result<Plan, Error> {
    let file = folder.join("plan.json");
    let plan: Option<Plan> = read_json(&file)?;
    let plan = plan.ok_or_else(|| {
        Error::Usage(format!(
            "{}: there is no plan\n  'klto run --engine slurm' writes plans and submits their tasks",
            folder.display()
        ))
    })?;
    if plan.format != FORMAT {
        return Err(Error::Usage(format!(
            "{}: a plan of format {}; expected {FORMAT}\n  run it with the klto that wrote it",
            file.display(),
            plan.format
        )));
    }
    let seen = plan.environment.iter().cloned().collect();
    if environment::seen() == seen {
        return Ok(plan);
    }
    if std::env::var_os(STARTED_AGAIN).is_some() {
        return Err(Error::Machine(
            "the environment of the plan cannot be had here; a wrapper around klto changes it\n  start klto itself"
                .to_owned(),
        ));
    }
    let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
    let args = std::env::args_os().skip(1);
    let command: Vec<OsString> = [program.clone().into()].into_iter().chain(args).collect();
    let mut variables = environment::with_seen(&seen);
    variables.insert(STARTED_AGAIN.into(), "1".into());
    Err(Error::io(program, "start")(replace_in(
        &command, &variables,
    )))
}

/// Opens all that the tasks of a plan need, and does one thing with it.
///
/// # Errors
/// As what is done; or if the sources or the folders cannot be used.
pub fn with_plan<T>(
    folder: &Path,
    plan: &Plan,
    known: &[Allow],
    act: impl FnOnce(&Task<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let cancel = Cancel::install()?;
    let shared = folder.ancestors().nth(2).unwrap_or(folder);
    let shared = SharedDir::open(shared)?;
    // As it was; what it names lies beside the original.
    let matrix = Matrix::parse(&yaml::read(&folder.join("matrix.yaml"))?, &plan.matrix)?;
    let cells = matrix.select(&plan.patterns)?;
    let mutations = mutation::load_all(&plan.mutations)?;
    let sandbox = Sandbox::find(plan.sandbox, &cancel)?;
    let work = WorkDir::open_scratch(&plan.scratch)?;
    let commit = plan.commit.as_deref();
    let sources = sources_of(&plan.kernel, commit, work.path(), &cells, &cancel)?;
    let events = for_standard_error();
    let processors = || available_parallelism().map_or(1, usize::from);
    let run = Run {
        work: &work,
        matrix: &matrix,
        cells: &cells,
        mutations: &mutations,
        // The submitter applies what is known and accepted.
        allows: &[],
        snapshots: None,
        jobs: plan.jobs.unwrap_or_else(processors),
        cache: None,
        caches: None,
        reuse_trees: plan.reuse_trees,
        fresh: false,
        // Trees that are not to be kept go after the result is brought back.
        policy: Policy::plain(1, false),
        sandbox: sandbox.as_ref(),
        carried: None,
        events: &*events,
        cancel: &cancel,
    };
    act(&Task {
        plan,
        folder,
        shared: &shared,
        sources: &sources,
        jobs: run.plan(),
        run,
        known,
    })
}

/// What the jobs that a job runs after left.
type Needed = BTreeMap<JobId, Done>;

impl Task<'_> {
    /// Does one cell and leaves its result.
    ///
    /// # Errors
    /// If the plan has no such cell, the sources changed since, the result cannot be brought back,
    /// or Slurm ends the task.
    pub fn cell(&self, array: usize, index: usize) -> Result<(), Error> {
        let cells = self.plan.arrays.get(array);
        let id = cells
            .and_then(|cells| cells.get(index))
            .map(|at| JobId(*at));
        let job = self.jobs.iter().find(|job| Some(job.id) == id);
        let job = job.ok_or_else(|| {
            Error::Usage(format!(
                "{}: the plan has no task {array}/{index}",
                self.folder.display()
            ))
        })?;
        if Done::read(self.folder, job.id.0)?.is_some() {
            say(format_args!("{}: done already", job.cell.name()));
            return Ok(());
        }
        if self.run.source_key(self.sources)? != self.plan.source_key {
            return Err(Error::Machine(format!(
                "{}: the sources are not those of the plan any more\n  leave them as they are until the run ends, or name a commit with --ref",
                self.plan.kernel.display()
            )));
        }
        let common = self.run.common_key(self.sources)?;
        let needed = self.needed(job)?;
        let key = key_of(&common, job, &needed);
        let own = self.own_claim();
        self.claim(job, &key, &needed, &own)?;
        let record = self.carry_out(job, &key, &needed);
        self.shared.drop_claim(&key, &own)?;
        let done = Done {
            task: own.task,
            node: own.node,
            record: record?,
        };
        done.write(self.folder, job.id.0)
    }

    /// What the jobs that this one runs after left, as far as it can be used: finished, with the tree.
    fn needed(&self, job: &Job) -> Result<Needed, Error> {
        let mut found = Needed::new();
        let mut todo: Vec<JobId> = job.runs_after().collect();
        while let Some(id) = todo.pop() {
            let Some(other) = self.jobs.iter().find(|job| job.id == id) else {
                continue;
            };
            let Some(done) = Done::read(self.folder, id.0)? else {
                continue;
            };
            let has_tree = done.key().is_some_and(|key| {
                self.result(other, key).has_tree(other.prepares)
                    || has_tree_of(&self.place(other), key)
            });
            if has_tree && found.insert(id, done).is_none() {
                todo.extend(other.runs_after());
            }
        }
        Ok(found)
    }

    /// Waits until no other task works on the same job.
    fn claim(&self, job: &Job, key: &str, needed: &Needed, own: &Claim) -> Result<(), Error> {
        let mut was_held = false;
        loop {
            let Some(held) = self.shared.claim(key, own)? else {
                if was_held {
                    // What the other one brought may not show yet.
                    self.result(job, key).refresh();
                }
                return Ok(());
            };
            self.result(job, key).refresh();
            if self.has_whole(job, key, needed) {
                return Ok(());
            }
            let is_first = !std::mem::replace(&mut was_held, true);
            if queue::is_at_work(&held.task, self.run.cancel)? == Some(false) {
                self.shared.drop_claim(key, &held)?;
                continue;
            }
            if is_first {
                self.run.events.on(&Event::Waiting {
                    cell: &job.cell.name(),
                    why: &format!("task {} is at work on it on {}", held.task, held.node),
                });
            }
            if self.run.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            sleep(POLL);
        }
    }

    fn own_claim(&self) -> Claim {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        Claim {
            task: own_number(variable),
            restart: variable("SLURM_RESTART_COUNT").parse().unwrap_or_default(),
            node: match variable("SLURMD_NODENAME") {
                node if node.is_empty() => new_record(self.sources, None, "").host,
                node => node,
            },
            since: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        }
    }

    /// Whether the shared folder has all that is asked of a job.
    fn has_whole(&self, job: &Job, key: &str, needed: &Needed) -> bool {
        let result = self.result(job, key);
        let keys = keys(needed);
        let fits = |record: &CellRecord| {
            is_whole(job, record, &keys)
                && (!record.is_finished() || !self.needs_tree(job) || result.has_tree(job.prepares))
        };
        !self.plan.fresh && result.record(key).is_some_and(|record| fits(&record))
    }

    fn carry_out(&self, job: &Job, key: &str, needed: &Needed) -> Result<CellRecord, Error> {
        let (cancel, name) = (self.run.cancel, job.cell.name());
        let mut used = vec![self.use_tree(job)?];
        let mut may_go = Vec::new();
        for (id, done) in needed {
            let other = self.jobs.iter().find(|job| job.id == *id);
            if let (Some(other), Some(key)) = (other, done.key()) {
                used.push(self.use_tree(other)?);
                may_go.push(self.may_go(other, &done.record));
                let result = self.result(other, key);
                result.fetch(&self.place(other), key, true, cancel)?;
            }
        }
        let place = self.place(job);
        match self.has_whole(job, key, needed) {
            true => self.result(job, key).fetch(&place, key, false, cancel)?,
            false => self.forget(job, key, &place)?,
        }
        let wanted = |other: &&Job| other.id == job.id || needed.contains_key(&other.id);
        let jobs: Vec<Job> = self.jobs.iter().filter(wanted).cloned().collect();
        let _lock = self.run.lock(self.sources)?;
        let run = self.run.run_some(self.sources, &jobs)?;
        if cancel.is_cancelled() {
            // Slurm says why; the task may be requeued.
            return Err(Error::Cancelled);
        }
        let record = run.cells.into_iter().find(|record| record.cell == name);
        let record = record.ok_or_else(|| Error::Machine(format!("{name}: there is no record")))?;
        if !record.job.is_empty() {
            let result = self.result(job, &record.job);
            result.bring(&place, &record, self.needs_tree(job))?;
        }
        may_go.insert(0, self.may_go(job, &record));
        for (used, _) in used.into_iter().zip(may_go).filter(|(_, may_go)| *may_go) {
            if let Err(error) = used.remove(cancel) {
                say(format_args!(
                    "a tree is not removed: {}",
                    error.in_one_line()
                ));
            }
        }
        Ok(record)
    }

    fn use_tree(&self, job: &Job) -> Result<Used, Error> {
        Used::by_task(self.run.work.path(), self.place(job), self.run.cancel)
    }

    /// Whether the tree of a cell need not stay on the node.
    fn may_go(&self, job: &Job, record: &CellRecord) -> bool {
        let is_elsewhere =
            || self.result(job, &record.job).has_tree(job.prepares) || !self.needs_tree(job);
        let known: Vec<Allow> = self
            .known
            .iter()
            .chain(&self.run.matrix.allow)
            .cloned()
            .collect();
        let mut judged = record.clone();
        apply_allows(&known, &mut judged);
        judged.settle();
        self.plan.keep.lets_go(&judged) && is_elsewhere()
    }

    /// Removes what is in a job's place if it must be built: a result may be there without its tree.
    fn forget(&self, job: &Job, key: &str, place: &Place) -> Result<(), Error> {
        if !self.plan.fresh && has_tree_of(place, key) {
            return Ok(());
        }
        let is_of_no_use = self.plan.fresh || self.needs_tree(job) || place.has_tree_of(key);
        if is_of_no_use {
            place.set_tree_of(None)?;
            remove_file(&place.record.path().join("record.json"))?;
        }
        Ok(())
    }

    /// The records of all tasks that ended, in the order of the matrix; of the others it says so.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn join(
        &self,
        allows: &[Allow],
        snapshots: Option<&SnapshotDir>,
    ) -> Result<RunRecord, Error> {
        let mut jobs: Vec<&Job> = self.jobs.iter().collect();
        jobs.sort_by_key(|job| job.id);
        let mut records = Vec::new();
        for job in jobs {
            let name = job.cell.name();
            let mut record = match Done::read(self.folder, job.id.0)? {
                Some(done) => done.record,
                None => {
                    let mut record = new_record(self.sources, self.run.sandbox, &name);
                    match self.sources.lacks(&job.cell) {
                        Some(reason) => record.outcome = Outcome::Skip(reason),
                        None => record.error = Some("its task left no result".to_owned()),
                    }
                    record
                }
            };
            let place = self.place(job);
            if !record.job.is_empty() && record.inspection.is_some() {
                let result = self.result(job, &record.job);
                result.fetch(&place, &record.job, false, self.run.cancel)?;
            }
            adopt(job, &place, snapshots, allows, self.sources, &mut record);
            records.push(record);
        }
        Ok(self.run.record_of(self.sources, records))
    }

    fn needs_tree(&self, job: &Job) -> bool {
        self.plan.needs_tree_of(&self.jobs, job.id)
    }

    fn result(&self, job: &Job, key: &str) -> SharedResult {
        result(self.shared, self.sources, job, key)
    }

    fn place(&self, job: &Job) -> Place {
        place(&self.run, self.sources, job)
    }
}

/// The number of this task in the queue, by its environment. A task of an array has a job's number,
/// too; that of the last one is the number of the array.
fn own_number(variable: impl Fn(&str) -> String) -> String {
    let [array, index] = ["SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"].map(&variable);
    match array.is_empty() || index.is_empty() {
        true => variable("SLURM_JOB_ID"),
        false => format!("{array}_{index}"),
    }
}

/// Where the shared folder has the result of a job.
#[must_use]
pub fn result(shared: &SharedDir, sources: &Sources, job: &Job, key: &str) -> SharedResult {
    SharedResult::new(shared.result(&sources.revision(), &job.cell.name(), key))
}

/// Where a job is built.
#[must_use]
pub fn place(run: &Run<'_>, sources: &Sources, job: &Job) -> Place {
    let record = run.record(sources, &job.cell);
    Place {
        folder: PathBuf::from(record.path()),
        record,
    }
}

fn keys(needed: &Needed) -> BTreeMap<JobId, String> {
    let keys = needed.iter();
    keys.filter_map(|(id, done)| Some((*id, done.key()?.to_owned())))
        .collect()
}

fn key_of(common: &CommonKey, job: &Job, needed: &Needed) -> String {
    let keys = keys(needed);
    let needs: Vec<&str> = job
        .needs()
        .filter_map(|id| keys.get(&id).map(String::as_str))
        .collect();
    common.of(&job.cell, &needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::last_of_an_array(&[("SLURM_JOB_ID", "12"), ("SLURM_ARRAY_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3")], "12_3")]
    #[case::no_array(&[("SLURM_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3")], "12")]
    #[case::by_hand(&[], "")]
    fn a_task_has_a_number_that_no_other_has(
        #[case] variables: &[(&str, &str)],
        #[case] number: &str,
    ) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, value)| (*value).to_owned())
                .unwrap_or_default()
        };
        assert_eq!(own_number(variable), number);
    }
}
