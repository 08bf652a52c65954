//! Plans a run for a cluster, submits its tasks, and waits for their results: what a local run does
//! while it builds.

mod again;
mod going;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::arrays::{Array, Part, Terms, arrays, ranked, script};
use super::done::Done;
use super::queue::{Answer, Queue, most_tasks};
use super::task::result;
use super::{FORMAT, Plan, sources_of};
use crate::build::environment;
use crate::model::error::Error;
use crate::model::record::{CellRecord, Outcome, RunRecord};
use crate::model::sandbox::SandboxMode;
use crate::run::events::Event;
use crate::run::job::{Job, JobId};
use crate::run::key::own_program;
use crate::run::pipeline::{is_whole, new_record};
use crate::run::whole::drive::Run;
use crate::source::sources::{Origin, Sources};
use crate::store::atomic::write_atomically;
use crate::store::shared_dir::{SharedDir, copy, create, write_json};
use again::Again;
use going::{ASK_EVERY, End, Going, POLL, ReportJob, pause, refused};
use watch::Watch;

/// How many tasks an array has if there was no time to ask: none of them is submitted.
const ANY: usize = 1000;

/// A run on a cluster, as the user asked for it.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// What to build; its work directory is that of the nodes.
    pub run: Run<'a>,
    pub shared: &'a SharedDir,
    pub kernel: &'a Path,
    pub patterns: &'a [String],
    pub mutations: Vec<String>,
    pub allow: Vec<PathBuf>,
    pub known_defects: bool,
    pub snapshots: Option<PathBuf>,
    pub sandbox: SandboxMode,
    /// Jobs of each make, and processors of a task; a whole node, if `None`.
    pub jobs: Option<usize>,
    pub partition: Option<String>,
    /// How many tasks may run at the same time.
    pub nodes: Option<usize>,
}

impl Cluster<'_> {
    /// Builds the cells on the cluster.
    ///
    /// # Errors
    /// If the sources or the folders cannot be used, or Slurm refuses the tasks.
    pub fn run(&self, sources: &Sources) -> Result<RunRecord, Error> {
        let run = &self.run;
        let commit = match sources.origin() {
            Origin::Commit(commit) => Some(commit.id()),
            Origin::Directory(_) => None,
        };
        let scratch = run.work.path();
        let sources = &sources_of(self.kernel, commit, scratch, run.cells, run.cancel)?;
        let jobs = run.plan();
        let mut names: Vec<(JobId, String)> = jobs.iter().map(|j| (j.id, j.cell.name())).collect();
        names.sort();
        let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
        run.events.on(&Event::Planned { cells: &names });
        let skipped = self.skipped(sources, &jobs);
        let reused = match run.fresh {
            true => BTreeMap::new(),
            false => self.reused(sources, &jobs, &skipped)?,
        };
        let wanted = jobs.iter().map(|job| job.id);
        let wanted: BTreeSet<JobId> = wanted
            .filter(|id| !skipped.contains_key(id) && !reused.contains_key(id))
            .collect();
        let arrays = match wanted.is_empty() {
            true => Vec::new(),
            false => arrays(
                &ranked(&jobs, run.policy.ranks),
                &wanted,
                self.most_tasks()?,
            ),
        };
        let plan = self.plan(sources, commit, &wanted, &arrays)?;
        let folder = self.write(&plan, &reused)?;
        let mut going = self.going(sources, &jobs, &plan, folder, arrays);
        let there = skipped.into_iter().chain(reused);
        for (id, record) in there {
            match going.take(id, record) {
                Err(Error::Cancelled) => break,
                taken => taken?,
            }
        }
        let end = match going.follow() {
            // What is there is worth a report.
            Err(error) if going.has_submitted() => {
                self.note(&format!("the run ends: {}", error.in_one_line()));
                End::Failed(error.in_one_line())
            }
            ended => ended?,
        };
        going.stop(&end);
        run.events.on(&Event::Finished);
        Ok(run.record_of(sources, going.records.into_values().collect()))
    }

    /// Before anything is submitted.
    fn going<'a>(
        &'a self,
        sources: &'a Sources,
        jobs: &'a [Job],
        plan: &'a Plan,
        folder: PathBuf,
        arrays: Vec<Array>,
    ) -> Going<'a> {
        Going {
            cluster: self,
            sources,
            jobs,
            queue: Queue {
                job_name: plan.job_name(),
                cancel: self.run.cancel,
            },
            terms: Terms {
                job_name: plan.job_name(),
                plan: folder.clone(),
                partition: self.partition.clone(),
                nodes: self.nodes,
                processors: self.jobs,
            },
            plan,
            folder,
            parts: parts(&arrays),
            arrays,
            in_doubt: None,
            is_under_way: false,
            numbers: BTreeMap::new(),
            report_job: ReportJob::Wanted(None),
            rest: 0,
            odd: 0,
            refusals: 0,
            unread: BTreeMap::new(),
            again: Again::new(self.run.policy.retries, self.jobs.is_none()),
            watch: Watch::default(),
            records: BTreeMap::new(),
            said: None,
        }
    }

    /// The cells that this kernel cannot be built as.
    fn skipped(&self, sources: &Sources, jobs: &[Job]) -> BTreeMap<JobId, CellRecord> {
        let skipped = jobs.iter().filter_map(|job| {
            let reason = sources.lacks(&job.cell)?;
            let mut record = new_record(sources, self.run.sandbox, &job.cell.name());
            record.outcome = Outcome::Skip(reason);
            Some((job.id, record))
        });
        skipped.collect()
    }

    /// The cells of which the shared folder has all that is asked for: also the tree, if a cell
    /// that is to be built needs it.
    fn reused(
        &self,
        sources: &Sources,
        jobs: &[Job],
        skipped: &BTreeMap<JobId, CellRecord>,
    ) -> Result<BTreeMap<JobId, CellRecord>, Error> {
        let common = self.run.common_key(sources)?;
        let (mut found, mut keys) = (BTreeMap::new(), BTreeMap::<JobId, String>::new());
        for job in jobs.iter().filter(|job| !skipped.contains_key(&job.id)) {
            let needs: Vec<&str> = job
                .needs()
                .filter_map(|id| keys.get(&id).map(String::as_str))
                .collect();
            let key = common.of(&job.cell, &needs);
            let kept = result(self.shared, sources, job, &key).record(&key);
            let Some(mut record) = kept.filter(|record| is_whole(job, record, &keys)) else {
                continue;
            };
            if record.is_finished() {
                keys.insert(job.id, key);
            }
            record.reused = true;
            found.insert(job.id, record);
        }
        loop {
            let is_built =
                |job: &&Job| !found.contains_key(&job.id) && !skipped.contains_key(&job.id);
            let has_tree = |job: &Job| {
                let key = keys.get(&job.id);
                key.is_none_or(|key| result(self.shared, sources, job, key).has_tree(job.prepares))
            };
            let needed = jobs.iter().filter(is_built).flat_map(Job::runs_after);
            let needed: BTreeSet<JobId> = needed.filter(|id| found.contains_key(id)).collect();
            let lacks_tree = |job: &&Job| needed.contains(&job.id) && !has_tree(job);
            let Some(job) = jobs.iter().find(lacks_tree) else {
                return Ok(found);
            };
            found.remove(&job.id);
        }
    }

    fn most_tasks(&self) -> Result<usize, Error> {
        let mut said = false;
        let until = self.run.policy.until;
        loop {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(ANY);
            }
            match most_tasks(self.run.cancel)? {
                Answer::Is(most) => return Ok(most),
                Answer::TooMany(why) | Answer::Refused(why) => {
                    return Err(refused("scontrol", &why));
                }
                Answer::Full(why) | Answer::Away(why) => {
                    if !said {
                        self.note(&format!("waiting for Slurm: {why}"));
                    }
                    said = true;
                }
                Answer::NoSuchJob => {}
            }
            pause(self.run.cancel, POLL * ASK_EVERY)?;
        }
    }

    fn plan(
        &self,
        sources: &Sources,
        commit: Option<&str>,
        wanted: &BTreeSet<JobId>,
        arrays: &[Array],
    ) -> Result<Plan, Error> {
        let run = &self.run;
        let file = &run.matrix.file;
        let ids = |cells: &[JobId]| cells.iter().map(|id| id.0).collect();
        Ok(Plan {
            format: FORMAT,
            id: new_id(),
            matrix: file.canonicalize().map_err(Error::io(file, "find"))?,
            patterns: self.patterns.to_vec(),
            allow: self.allow.clone(),
            known_defects: self.known_defects,
            snapshots: self.snapshots.clone(),
            kernel: self.kernel.to_owned(),
            commit: commit.map(str::to_owned),
            scratch: run.work.path().to_owned(),
            mutations: self.mutations.clone(),
            reuse_trees: run.reuse_trees,
            fresh: run.fresh,
            sandbox: self.sandbox,
            jobs: self.jobs,
            keep: run.policy.keep,
            source_key: run.source_key(sources)?,
            environment: environment::seen().into_iter().collect(),
            wanted: wanted.iter().map(|id| id.0).collect(),
            arrays: arrays.iter().map(|array| ids(&array.cells)).collect(),
        })
    }

    /// Writes the plan's folder; nobody sees half of it.
    fn write(&self, plan: &Plan, reused: &BTreeMap<JobId, CellRecord>) -> Result<PathBuf, Error> {
        let folder = self.shared.plan(&plan.id);
        let partial = self.shared.plan(&format!(".partial-{}", plan.id));
        create(&partial)?;
        // The environment is in it.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&partial, private).map_err(Error::io(&partial, "create"))?;
        create(&partial.join("logs"))?;
        copy(&self.run.matrix.file, &partial.join("matrix.yaml"))?;
        write_json(&partial.join("plan.json"), plan)?;
        let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
        let hash = own_program()?.to_hex();
        let program = self.shared.keep_program(&program, &hash)?;
        let script = script(&program, &folder);
        write_atomically(&partial.join("task.sh"), script.as_bytes())?;
        for (id, record) in reused {
            let done = Done {
                task: String::new(),
                node: String::new(),
                record: record.clone(),
            };
            done.write(&partial, id.0)?;
        }
        create(&partial.join("done"))?;
        std::fs::rename(&partial, &folder).map_err(Error::io(&folder, "write"))?;
        Ok(folder)
    }

    fn note(&self, text: &str) {
        self.run.events.on(&Event::Note { text });
    }
}

/// Of the time, and of a process that no other machine has.
fn new_id() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    let host = rustix::system::uname();
    let all = format!(
        "{:?} {:?} {}",
        SystemTime::now(),
        host.nodename(),
        std::process::id()
    );
    let hash = blake3::hash(all.as_bytes()).to_hex();
    format!("{}-{}", time.to_lowercase(), &hash[..6])
}

fn parts(arrays: &[Array]) -> Vec<Part> {
    let parts = arrays.iter().enumerate();
    let part = |(array, of): (usize, &Array)| Part::first(array, 0..of.cells.len());
    parts.map(part).collect()
}
