//! Builds cells of a matrix from one state of the sources, and checks each.

use std::path::Path;
use std::sync::RwLock;

use super::{WholeKernel, carried_record, folder};
use crate::build::compiler_cache::CompilerCache;
use crate::build::kbuild::{self, Parallelism};
use crate::build::process::{Cancel, JobServer, Style};
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::input::matrix::Matrix;
use crate::input::mutation::Mutation;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::{CellRecord, FORMAT, RunRecord};
use crate::run::compilers;
use crate::run::events::{Event, Events};
use crate::run::job::{Job, PlanOptions, plan};
use crate::run::key::{CACHED, CommonKey, own_program};
use crate::run::pair::usual_tolerances;
use crate::run::pipeline::Context;
use crate::run::probe::untrusted_caches;
use crate::run::scenario;
use crate::run::schedule::{Policy, run_jobs};
use crate::source::commit::Commit;
use crate::source::sources::{Origin, Sources};
use crate::source::unchanged::SourceState;
use crate::store::lock::{Lock, Patience};
use crate::store::record_dir::{Loaded, RecordDir};
use crate::store::snapshots::SnapshotDir;
use crate::store::work_dir::WorkDir;

/// How to build, whatever the sources are.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub work: &'a WorkDir,
    pub matrix: &'a Matrix,
    pub cells: &'a [Cell],
    pub mutations: &'a [Mutation],
    pub allows: &'a [Allow],
    pub snapshots: Option<&'a SnapshotDir>,
    /// Jobs of all makes together.
    pub jobs: usize,
    /// How the cells share the machine, apart from the pool of jobs.
    pub policy: Policy<'a>,
    /// As [`WholeKernel::cache`].
    pub cache: Option<&'a CompilerCache>,
    /// The folder for what it keeps; `None` for the user's.
    pub caches: Option<&'a Path>,
    /// A cell may begin with the finished tree of another.
    pub reuse_trees: bool,
    pub fresh: bool,
    /// What make runs in, if the sources are not trusted.
    pub sandbox: Option<&'a Sandbox>,
    /// As [`WholeKernel::carried`].
    pub carried: Option<&'a Path>,
    pub events: &'a dyn Events,
    pub cancel: &'a Cancel,
}

impl Run<'_> {
    /// Locks the copy of the sources, if these sources need one: it serves one state of them at
    /// a time. Waits as long as the time of the run goes.
    ///
    /// # Errors
    /// If the time is over or the user interrupts.
    pub fn lock(&self, sources: &Sources) -> Result<Option<Lock>, Error> {
        // Two runs that use the user's own folder need not wait for each other.
        if !sources.is_copied(self.mutations, self.changes_sources()?) {
            return Ok(None);
        }
        let patience = Patience {
            until: self.policy.until,
            cancel: self.cancel,
        };
        let lock = self.work.lock_sources(patience, &mut |who| {
            let text = format!("waiting for {who}, which uses the same copy of the sources");
            self.events.on(&Event::Note { text: &text });
        });
        lock.map(Some)
    }

    /// Builds and checks the cells. The caller has the lock.
    ///
    /// # Errors
    /// If the machine fails before the first cell; later that is in the records.
    pub fn run(&self, sources: &Sources) -> Result<RunRecord, Error> {
        self.run_some(sources, &self.plan())
    }

    /// The jobs of the cells, in the order in which they run.
    #[must_use]
    pub fn plan(&self) -> Vec<Job> {
        self.plan_of(self.cells)
    }

    fn plan_of(&self, cells: &[Cell]) -> Vec<Job> {
        let options = PlanOptions {
            reuse_trees: self.reuse_trees,
            share_clean_builds: true,
            prepare_all: false,
            one_mode_at_a_time: false,
            compare: &self.matrix.compare,
        };
        plan(cells, options)
    }

    /// The same for some of the jobs of [`Run::plan`]; the others count as not there.
    ///
    /// # Errors
    /// As [`Run::run`].
    pub fn run_some(&self, sources: &Sources, jobs: &[Job]) -> Result<RunRecord, Error> {
        let work = self.work.path();
        let of_the_user = match sources.origin() {
            Origin::Directory(dir) => Some(SourceState::of(dir)?),
            Origin::Commit(_) => None,
        };
        let folder = sources.prepare(work, self.mutations, self.changes_sources()?)?;
        let source_key = self.source_key(sources)?;
        if let Some(state) = &of_the_user {
            // What was copied and what the key names are the same.
            state.check()?;
        }
        let is_copied = sources.is_copied(self.mutations, self.changes_sources()?);
        let tolerances = match &self.matrix.tolerances {
            Some(tolerances) => *tolerances,
            None => usual_tolerances()?,
        };
        let revision = sources.revision();
        let caches = match (self.caches, self.sandbox) {
            (Some(caches), _) => Some(caches.to_owned()),
            (None, Some(_)) => Some(untrusted_caches(work, &source_key)?),
            (None, None) => None,
        };
        let sandbox = self.sandbox.map(|sandbox| {
            let sandbox = sandbox.clone().reading([compilers::folder(work)]);
            sandbox.writing(caches.clone())
        });
        let layout = WholeKernel {
            work,
            source: &folder,
            revision: &revision,
            program: &own_program()?,
            cache: self.cache,
            source_names: self.cache.map(|_| sources.names()).transpose()?,
            caches,
            is_sandboxed: sandbox.is_some(),
            carried: self.carried,
            of_the_user: of_the_user.filter(|_| !is_copied),
            shared: RwLock::default(),
        };
        compilers::prune(work)?;
        let has_shuffle = kbuild::has_shuffle(self.cancel)?;
        let pool = self.pool(has_shuffle)?;
        let policy = Policy {
            pool: pool.as_ref(),
            ..self.policy
        };
        let context = Context {
            layout: &layout,
            key: &self.key(&source_key, &folder)?,
            sources,
            revision: &revision,
            snapshots: self.snapshots,
            allows: self.allows,
            tolerances: &tolerances,
            parallelism: match &pool {
                Some(pool) => Parallelism::Pool(pool),
                None => Parallelism::Jobs((self.jobs / policy.at_once).max(1)),
            },
            sandbox: sandbox.as_ref(),
            has_shuffle,
            fresh: self.fresh,
            until: policy.until,
            events: self.events,
            cancel: self.cancel,
        };
        Ok(self.record_of(sources, run_jobs(&context, jobs, &policy)))
    }

    /// The record of a run with these cells.
    #[must_use]
    pub fn record_of(&self, sources: &Sources, cells: Vec<CellRecord>) -> RunRecord {
        RunRecord {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            matrix: self.matrix.name.clone(),
            kernel: sources.version().to_owned(),
            revision: sources.revision(),
            mutations: self.mutations.iter().map(|m| m.name.clone()).collect(),
            cells,
            shard: None,
            unreferenced: Vec::new(),
        }
    }

    /// What the keys of the jobs have in common, before anything is prepared.
    ///
    /// # Errors
    /// If the sources cannot be read.
    pub fn common_key(&self, sources: &Sources) -> Result<CommonKey, Error> {
        let (work, changes) = (self.work.path(), self.changes_sources()?);
        let folder = sources.folder_for(work, self.mutations, changes)?;
        self.key(&self.source_key(sources)?, &folder)
    }

    /// The pool of tokens for makes that run at the same time. In a sandbox there is none: a make
    /// that is not trusted could keep all of them.
    fn pool(&self, has_shuffle: bool) -> Result<Option<JobServer>, Error> {
        if self.policy.at_once <= 1 || self.sandbox.is_some() {
            return Ok(None);
        }
        // Both came with make 4.4.
        let style = match has_shuffle {
            true => Style::Fifo,
            false => Style::Pipe,
        };
        JobServer::new(self.jobs, style).map(Some)
    }

    /// The record of a cell of a commit, if an earlier run with the same places left one.
    ///
    /// # Errors
    /// If git fails.
    pub fn kept(&self, commit: &Commit, cell: &Cell) -> Result<Option<CellRecord>, Error> {
        let Ok(sources) = Sources::of_commit(commit.clone()) else {
            return Ok(None);
        };
        let record = match self.carried {
            None => self.record(&sources, cell),
            Some(carried) => carried_record(carried, &sources.revision(), cell),
        };
        if self.fresh || !record.has_record() {
            return Ok(None);
        }
        let folder = sources.folder(self.work.path())?;
        let key = self.key(&self.source_key(&sources)?, &folder)?;
        let plan = self.plan_of(std::slice::from_ref(cell));
        let is_measure = plan.iter().all(|job| job.is_measure);
        let cached = self.cache.filter(|_| !is_measure).map(|_| CACHED);
        let cached: Vec<&str> = cached.into_iter().collect();
        Ok(match record.load_for(&key.of(cell, &cached)) {
            Loaded::Same(record) => Some(*record),
            Loaded::None(_) => None,
        })
    }

    /// Distinguishes what the cells are built from.
    ///
    /// # Errors
    /// If the sources cannot be read.
    pub fn source_key(&self, sources: &Sources) -> Result<String, Error> {
        let index = self.work.path().join("sources.index");
        let fingerprint = sources.fingerprint(&index, self.cancel)?;
        Ok(format!("{fingerprint} {:?}", self.mutations))
    }

    /// What the keys of all jobs have in common.
    fn key(&self, source_key: &str, folder: &Path) -> Result<CommonKey, Error> {
        let key = CommonKey::new(&own_program()?, source_key, &[folder, self.work.path()]);
        Ok(key.sandboxed(self.sandbox.map(Sandbox::enforced)))
    }

    /// Where the record of a cell is, of a tree that is not carried.
    #[must_use]
    pub fn record(&self, sources: &Sources, cell: &Cell) -> RecordDir {
        RecordDir::new(folder(self.work.path(), &sources.revision(), cell))
    }

    /// Whether a scenario of some cell, or a mutation, changes source files.
    fn changes_sources(&self) -> Result<bool, Error> {
        let names = self.cells.iter().flat_map(|cell| &cell.scenarios);
        for name in names.filter(|name| *name != "build") {
            if scenario::by_name(name)?.edits_sources() {
                return Ok(true);
            }
        }
        Ok(!self.mutations.is_empty())
    }
}
