//! A job goes in, a record comes out: configure, build, inspect, run scenarios, compare with
//! what was accepted, apply allow entries. The one place that does so, for a whole kernel and
//! for the miniature; what differs between them is a [`Layout`].
//!
//! What the kernel does wrong is a finding in the record; what the machine does wrong is its
//! error.

mod build;
mod compare;
mod scenarios;
mod whole;

pub use self::whole::is_whole;
pub(super) use self::whole::whole_record;

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use super::events::{Event, Events};
use super::job::{Job, JobId};
use super::key::{CACHED, CommonKey};
use super::layout::Layout;
use super::place::Place;
use super::rules;
use crate::build::dir_state::{disk_kib, is_there};
use crate::build::doctor;
use crate::build::kbuild::{Build, Parallelism, Watch};
use crate::build::process::{Cancel, Meter};
use crate::build::sandbox::{Complaints, InSandbox, Sandbox};
use crate::input::allow::Allow;
use crate::judge::allowed::mark_allowed;
use crate::judge::baseline;
use crate::judge::inspect::{Expected, Inspected, judge_facts};
use crate::judge::snapshot;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::record::{Baseline, CellRecord, Cost, Outcome, ScenarioRecord, StageTime};
use crate::model::tolerances::Tolerances;
use crate::model::utilization::CpuUtilization;
use crate::source::sources::Sources;
use crate::store::lock::{Lock, Patience, Sharing};
use crate::store::record_dir::Loaded;
use crate::store::snapshots::SnapshotDir;
use crate::tree::imprint::imprint;

/// What all jobs of a run share.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub layout: &'a dyn Layout,
    pub key: &'a CommonKey,
    /// The revision as paths have it.
    pub revision: &'a str,
    pub sources: &'a Sources,
    pub snapshots: Option<&'a SnapshotDir>,
    pub allows: &'a [Allow],
    pub tolerances: &'a Tolerances,
    /// Jobs of one make, or of all.
    pub parallelism: Parallelism<'a>,
    /// What make runs in, if the sources are not trusted.
    pub sandbox: Option<&'a Sandbox>,
    /// Whether this make has `--shuffle`.
    pub has_shuffle: bool,
    /// Whether to run jobs again whose records could be used.
    pub fresh: bool,
    /// When the time of the whole run is over.
    pub until: Option<Instant>,
    pub events: &'a dyn Events,
    pub cancel: &'a Cancel,
}

/// A job whose build is finished: another may begin with its tree, or be compared with it.
#[derive(Debug, Clone)]
pub struct FinishedJob {
    pub cell: Cell,
    pub key: String,
    pub place: Place,
    /// Whether the tree is there: of a record that is used again, it may have been removed.
    pub has_tree: bool,
}

impl FinishedJob {
    /// As it is now: another klto may have removed the tree since.
    fn now(&self) -> FinishedJob {
        FinishedJob {
            has_tree: self.has_tree && self.place.has_tree_of(&self.key),
            ..self.clone()
        }
    }
}

/// The jobs that have run, as far as their builds are finished.
pub type Finished = BTreeMap<JobId, FinishedJob>;

/// A job at work.
pub(super) struct AtWork<'a> {
    pub context: &'a Context<'a>,
    pub job: &'a Job,
    pub name: &'a str,
    pub place: &'a Place,
    pub key: &'a str,
    pub finished: &'a Finished,
    pub deadline: Option<Instant>,
    pub started: Instant,
    pub meter: &'a Meter,
    /// How long it has waited for others.
    waited: std::cell::Cell<Duration>,
    /// What its sandbox has seen and no finding says yet.
    pub complaints: &'a Complaints,
    /// What the job has cost in earlier runs whose results are used.
    pub earlier: Cost,
    /// The processors that the job used in them.
    pub earlier_utilization: CpuUtilization,
}

/// Runs a job, or takes its record from an earlier run; also returns its build tree, if
/// that is finished. Never fails: what made it inconclusive is in the record.
pub fn run_job(
    context: &Context<'_>,
    job: &Job,
    finished: &Finished,
) -> (CellRecord, Option<FinishedJob>) {
    let name = job.cell.name();
    context.events.on(&Event::Started { cell: &name });
    let mut record = new_record(context.sources, context.sandbox, &name);
    let tree = attempt(context, job, &name, finished, &mut record).unwrap_or_else(|error| {
        record.error = Some(reason(&error));
        None
    });
    apply_allows(context.allows, &mut record);
    record.settle();
    (record, tree)
}

/// The record of a job that has done nothing yet.
pub fn new_record(sources: &Sources, sandbox: Option<&Sandbox>, name: &str) -> CellRecord {
    CellRecord {
        revision: sources.revision(),
        kernel: sources.version().to_owned(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        sandbox: sandbox.map(|sandbox| *sandbox.enforced()),
        started: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        ..CellRecord::new(name.to_owned())
    }
}

fn attempt(
    context: &Context<'_>,
    job: &Job,
    name: &str,
    finished: &Finished,
    record: &mut CellRecord,
) -> Result<Option<FinishedJob>, Error> {
    let cell = &job.cell;
    if context.cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    if let Some(reason) = context.sources.lacks(cell) {
        record.outcome = Outcome::Skip(reason);
        return Ok(None);
    }
    if let Some(reason) = doctor::missing_for(cell) {
        return Err(Error::Machine(reason));
    }
    let finished: &Finished = &job
        .uses()
        .filter_map(|id| Some((id, finished.get(&id)?.now())))
        .collect();
    let needed = || job.needs().filter_map(|id| finished.get(&id));
    let key_with = |needed: &mut dyn Iterator<Item = &FinishedJob>| {
        let keys = parts_of_key(context.layout, job, needed.map(|job| job.key.as_str()));
        context.key.of(cell, &keys)
    };
    let key = key_with(&mut needed());
    // Under which to build, if trees that it could use are gone.
    let key_without = key_with(&mut needed().filter(|job| job.has_tree));
    let place = context.layout.place(cell);
    let deadlines = [Instant::now().checked_add(cell.timeout), context.until];
    let deadline = deadlines.into_iter().flatten().min();
    let mut work = AtWork {
        context,
        job,
        name,
        place: &place,
        key: &key,
        finished,
        deadline,
        started: Instant::now(),
        meter: &Meter::new(),
        waited: std::cell::Cell::default(),
        complaints: &Complaints::default(),
        earlier: Cost::default(),
        earlier_utilization: CpuUtilization::default(),
    };
    let _lock = work.lock(&place, Sharing::Exclusive)?;
    if key != key_without && work.kept().is_none() {
        work.key = &key_without;
    }

    let done = work.carry_out(record);
    if let Err(error) = &done {
        record.error = Some(reason(error));
    }
    // The record says whatever happened.
    let saved = work.save(record);
    done.and(saved)?;
    scenarios::keep_asked_for(job, record);
    let key = work.key.to_owned();
    Ok(record.is_finished().then(|| FinishedJob {
        cell: cell.clone(),
        has_tree: place.has_tree_of(&key),
        key,
        place: place.clone(),
    }))
}

/// What the key of a job has beside its cell, if the jobs that it needs have these keys.
fn parts_of_key<'k>(
    layout: &dyn Layout,
    job: &Job,
    needed: impl Iterator<Item = &'k str>,
) -> Vec<&'k str> {
    let cached = layout.compiler_cache(job).map(|_| CACHED);
    cached.into_iter().chain(needed).collect()
}

/// The sources, held.
#[derive(Debug)]
#[expect(dead_code, reason = "held, and not read")]
pub(super) enum Held<'a> {
    ToRead(RwLockReadGuard<'a, ()>),
    ToEdit(RwLockWriteGuard<'a, ()>),
}

fn reason(error: &Error) -> String {
    match error {
        Error::Cancelled => "interrupted".to_owned(),
        error => error.in_one_line(),
    }
}

impl AtWork<'_> {
    /// Does what the job asks for, as far as an earlier run has not.
    fn carry_out(&mut self, record: &mut CellRecord) -> Result<(), Error> {
        let mut seen = self.take_up(record)?;
        if !record.is_finished() {
            scenarios::skip_all(self.job, record);
            let context = self.context;
            record.baseline =
                baseline_without_kernel(context.snapshots, context.sources, self.name)?;
            return Ok(());
        }
        let own = |seen: Option<Inspected>| match seen {
            Some(seen) => Ok(seen),
            None => AtWork::judge_kept(&self.job.cell, self.place),
        };
        if scenarios::are_missing(self, record) {
            let inspected = own(seen.take())?;
            record.reused = false;
            scenarios::run(self, &inspected, record)?;
            seen = Some(inspected);
        }
        compare::compare(self, record)?;
        match self.context.snapshots {
            Some(snapshots) => compare_with_accepted(snapshots, &own(seen)?, record),
            None => Ok(()),
        }
    }

    /// Fills the record: from an earlier run, or by building.
    fn take_up(&mut self, record: &mut CellRecord) -> Result<Option<Inspected>, Error> {
        if let Some(kept) = self.kept() {
            *record = *kept;
            // The same files can be another commit by now.
            self.context.revision.clone_into(&mut record.revision);
            self.earlier = record.cost;
            self.earlier_utilization = record.cpu_utilization.clone();
            record.reused = true;
            // What stopped an earlier run is over.
            record.error = None;
            record.baseline = Baseline::None;
            record.differences.clear();
            record.predecessor = None;
            return Ok(None);
        }
        self.key.clone_into(&mut record.job);
        let build::Built {
            inspected,
            is_finished,
        } = {
            let _held = self.hold_sources(false);
            build::build(self, record)?
        };
        let built = record.stages.last().map_or(0.0, StageTime::ends_seconds);
        if is_finished {
            self.place.set_tree_of(Some(self.key))?;
            self.place
                .record
                .save_imprint(&imprint(&self.place.build())?)?;
            record.cost.disk_kib = disk_kib(&self.place.build());
        }
        self.note(record, "inspect", built);
        self.measure(record);
        self.conclude(record);
        let facts = inspected.as_ref().map(|inspected| &inspected.facts);
        self.place.record.save(record, facts)?;
        let build = ScenarioRecord::of_build(record);
        self.context.events.on(&Event::Scenario {
            cell: self.name,
            scenario: &build,
        });
        Ok(inspected)
    }

    /// The record of an earlier run, if it can be used.
    fn kept(&self) -> Option<Box<CellRecord>> {
        match self.place.record.load_for(self.key) {
            Loaded::Same(kept) if !self.context.fresh && self.can_go_on(&kept) => Some(kept),
            Loaded::Same(_) | Loaded::None(_) => None,
        }
    }

    /// Whether what is missing in a kept record can be had without a new build.
    fn can_go_on(&self, kept: &CellRecord) -> bool {
        if kept.inspection.is_none() {
            // An error stopped the build.
            return false;
        }
        let has_tree = self.place.has_tree_of(self.key);
        let is_prepared = is_there(&self.place.prepared());
        // A job that begins with the tree copies the note of what was prepared.
        let is_noted = is_prepared || !self.job.prepares || !has_tree;
        !kept.is_finished()
            || (!scenarios::are_missing(self, kept) && is_noted || has_tree && is_prepared)
                && (!compare::is_missing(self, kept) || has_tree)
    }

    /// Locks a job's folder; reports it if it has to wait.
    pub fn lock(&self, place: &Place, sharing: Sharing) -> Result<Lock, Error> {
        let patience = Patience {
            until: self.deadline,
            cancel: self.context.cancel,
        };
        let mut waits = false;
        let mut say = |who: &str| {
            waits = true;
            let why = format!("{who} is at work on it");
            let cell = self.name;
            self.context.events.on(&Event::Waiting { cell, why: &why });
        };
        let begins = Instant::now();
        let lock = Lock::take(&place.folder, sharing, patience, &mut say);
        if waits {
            self.has_waited(begins);
        }
        lock
    }

    fn has_waited(&self, since: Instant) {
        self.waited.set(self.waited.get() + since.elapsed());
    }

    /// Keeps others from removing the tree of another job while this one reads it.
    ///
    /// # Errors
    /// If the lock cannot be had, or the tree is gone.
    pub fn lock_tree(&self, other: &FinishedJob) -> Result<Lock, Error> {
        let lock = self.lock(&other.place, Sharing::Shared)?;
        match other.place.has_tree_of(&other.key) {
            true => Ok(lock),
            false => Err(Error::Machine(format!(
                "another klto has just removed or rebuilt the tree of {}, which this cell uses\n  run again; give each klto a work directory of its own with --work",
                other.cell.name()
            ))),
        }
    }

    /// Waits until nobody edits the sources, or, to edit them, until nobody builds from them; keeps
    /// it so as long as the value lives.
    pub fn hold_sources(&self, to_edit: bool) -> Option<Held<'_>> {
        let shared = self.context.layout.shared_sources()?;
        let begins = Instant::now();
        if !to_edit {
            let held = shared.try_read().unwrap_or_else(|_| {
                let held = shared.read().unwrap_or_else(PoisonError::into_inner);
                self.has_waited(begins);
                held
            });
            return Some(Held::ToRead(held));
        }
        let held = shared.try_write().unwrap_or_else(|_| {
            self.context.events.on(&Event::Waiting {
                cell: self.name,
                why: "others build from the sources, which a scenario is to edit",
            });
            let held = shared.write().unwrap_or_else(PoisonError::into_inner);
            self.has_waited(begins);
            held
        });
        Some(Held::ToEdit(held))
    }

    /// Judges the facts that are kept beside a record: what a snapshot of it says.
    pub fn judge_kept(cell: &Cell, place: &Place) -> Result<Inspected, Error> {
        let facts = place.record.facts()?.ok_or_else(|| {
            Error::Machine(format!(
                "{}: the facts of the build are missing\n  run again with --fresh",
                place.folder.display()
            ))
        })?;
        let expected = Expected {
            arch: Some(&cell.arch),
            mode: Some(cell.lto),
            requested: &cell.requested(),
            only: &[],
        };
        judge_facts(facts, &place.folder, &expected)
    }

    /// The build of this job, whose output goes to `log`.
    pub fn build<'a>(&'a self, paths: &'a build::Paths, watch: Watch<'a>) -> Build<'a> {
        Build {
            cell: &self.job.cell,
            source: &paths.source,
            dir: &paths.dir,
            target: self.context.layout.target(),
            parallelism: self.context.parallelism,
            launcher: &paths.launcher,
            sandbox: self.context.sandbox.map(|sandbox| InSandbox {
                sandbox,
                complaints: self.complaints,
            }),
            fills_cache: true,
            log: &paths.log,
            deadline: self.deadline,
            cancel: self.context.cancel,
            meter: self.meter,
            watch,
        }
    }

    /// Saves the record, with what the job has cost so far.
    pub fn save(&self, record: &mut CellRecord) -> Result<(), Error> {
        if record.reused {
            // Nothing ran.
            return Ok(());
        }
        self.measure(record);
        self.conclude(record);
        self.place.record.save_record(record)
    }

    /// Marks what is allowed, and derives the outcome.
    pub fn conclude(&self, record: &mut CellRecord) {
        apply_allows(self.context.allows, record);
        record.settle();
    }

    /// Seconds since the job began, as if earlier runs had ended at the beginning of this one.
    pub fn now(&self) -> f64 {
        self.earlier.wall_seconds + self.started.elapsed().as_secs_f64()
    }

    /// Notes a stage that ends now; `begins` is in the time of [`AtWork::now`].
    pub fn note(&self, record: &mut CellRecord, name: impl Into<String>, begins: f64) {
        record.stages.push(StageTime {
            name: name.into(),
            begins_seconds: begins,
            seconds: self.now() - begins,
        });
    }

    /// Notes what the job has cost so far.
    fn measure(&self, record: &mut CellRecord) {
        let (usage, earlier) = (self.meter.usage(), &self.earlier);
        record.cost = Cost {
            wall_seconds: self.now(),
            waited_seconds: earlier.waited_seconds + self.waited.get().as_secs_f64(),
            user_seconds: earlier.user_seconds + usage.user.as_secs_f64(),
            system_seconds: earlier.system_seconds + usage.system.as_secs_f64(),
            peak_memory_kib: earlier.peak_memory_kib.max(usage.peak_memory_kib),
            disk_kib: record.cost.disk_kib,
        };
        let mut utilization = self.earlier_utilization.clone();
        utilization.add_later(earlier.wall_seconds, &self.meter.utilization());
        record.cpu_utilization = utilization.rounded();
    }

    /// The finished trees of other modes, of the jobs whose clean builds this one needs.
    pub fn clean_builds(&self) -> impl Iterator<Item = (LtoMode, &FinishedJob)> {
        let ids = self.job.clean_builds.iter();
        ids.filter_map(|id| self.finished.get(id))
            .filter(|job| job.has_tree)
            .map(|job| (job.cell.lto, job))
    }
}

fn compare_with_accepted(
    snapshots: &SnapshotDir,
    inspected: &Inspected,
    record: &mut CellRecord,
) -> Result<(), Error> {
    let accepted = snapshots.accepted(&record.cell)?;
    let build_id = &inspected.build_id;
    let snapshot = snapshot::in_bands(&inspected.facts, &inspected.snapshot);
    let compared = baseline::compare(accepted.as_ref(), build_id, &snapshot);
    record.baseline = compared.baseline;
    record.differences = compared.differences;
    record.predecessor = compared.predecessor;
    snapshots.propose(&record.cell, build_id, &snapshot, accepted.as_ref())
}

/// A kernel that cannot be built is a regression only if it has been accepted before.
fn baseline_without_kernel(
    snapshots: Option<&SnapshotDir>,
    sources: &Sources,
    cell: &str,
) -> Result<Baseline, Error> {
    let accepted = match snapshots {
        Some(snapshots) => snapshots.accepted(cell)?,
        None => None,
    };
    let version = sources.version();
    let is_accepted = accepted.is_some_and(|accepted| {
        let mut parts = accepted.parts.values();
        parts.all(|part| baseline::is_same_kernel(&part.taken.kernel, version))
    });
    Ok(match is_accepted {
        true => Baseline::Regressed,
        false => Baseline::None,
    })
}

/// Compares a record that another machine made, and whose facts are in `place`, with what is
/// accepted here, and applies the allow entries. What cannot be read is the record's error.
pub fn adopt(
    job: &Job,
    place: &Place,
    snapshots: Option<&SnapshotDir>,
    allows: &[Allow],
    sources: &Sources,
    record: &mut CellRecord,
) {
    record.revision = sources.revision();
    record.baseline = Baseline::None;
    record.differences.clear();
    record.predecessor = None;
    let mut compare = || match snapshots {
        _ if record.error.is_some() || record.inspection.is_none() => Ok(()),
        Some(snapshots) if record.is_finished() => {
            let inspected = AtWork::judge_kept(&job.cell, place)?;
            compare_with_accepted(snapshots, &inspected, record)
        }
        _ => {
            let name = job.cell.name();
            record.baseline = match record.is_finished() {
                true => Baseline::None,
                false => baseline_without_kernel(snapshots, sources, &name)?,
            };
            Ok(())
        }
    };
    if let Err(error) = compare() {
        record.error = Some(reason(&error));
    }
    scenarios::keep_asked_for(job, record);
    apply_allows(allows, record);
    record.settle();
}

/// Marks the findings that allow entries cover, and adds the texts of the rules that the
/// record names. A record that is used again is marked by today's entries.
pub fn apply_allows(allows: &[Allow], record: &mut CellRecord) {
    let (cell, kernel) = (record.cell.clone(), record.kernel.clone());
    if let Some(inspection) = &mut record.inspection {
        mark_allowed(&mut inspection.findings, allows, (&cell, "build"), &kernel);
    }
    for scenario in &mut record.scenarios {
        let place = (cell.as_str(), scenario.name.as_str());
        mark_allowed(&mut scenario.findings, allows, place, &kernel);
    }
    for comparison in &mut record.comparisons {
        mark_allowed(
            &mut comparison.findings,
            allows,
            (&cell, "compare"),
            &kernel,
        );
    }
    let texts = rules::texts(record.keys());
    record.rules.add(texts);
}
