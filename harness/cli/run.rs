//! `klto run`: builds the cells of a matrix and checks each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::{MatrixRun, Run as Args};
use super::options::Engine;
use super::output::{exit, report, write_report_by};
use super::probe::{llvm_of, toolchain_name};
use super::schedule::{Schedule, past};
use super::stored::{keep, store_for_run};
use super::{
    Selected, check_place, events, known_findings, load_matrix, open_sources, real_kernel, select,
    slurm,
};
use crate::build::compiler_cache::CompilerCache;
use crate::build::process::Cancel;
use crate::build::sandbox::Sandbox;
use crate::input::matrix::Matrix;
use crate::input::mutation;
use crate::judge::expected::PastRun;
use crate::model::accepted::Unreferenced;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::record::{Baseline, CellRecord, RunRecord, SkipReason};
use crate::model::stored::RunHead;
use crate::report::{Around, Format, Options};
use crate::run::events::{Event, Events};
use crate::run::probe::USUAL_LLVM;
use crate::run::schedule::Policy;
use crate::run::whole::drive::Run as Build;
use crate::source::sources::Sources;
use crate::store::record_dir::RecordDir;
use crate::store::snapshots::SnapshotDir;
use crate::store::work_dir::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let how = How {
        retries: args.retry_infra,
        is_night: false,
    };
    let done = carry_out(&args.matrix, how)?;
    done.written?;
    Ok(exit(&done.run, args.strict))
}

/// What differs between a run and a night.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// How often a cell runs again that the machine stopped.
    pub retries: usize,
    /// Whether a limited time goes to the cells that are worth most, and trees of cells that passed
    /// go at once.
    pub is_night: bool,
}

/// A run that has ended and was reported.
#[derive(Debug)]
pub struct Done {
    pub run: RunRecord,
    pub work: WorkDir,
    /// Where it is kept and as what, if it is.
    pub kept: Option<(PathBuf, RunHead)>,
    /// What was known of its cells before.
    pub past: BTreeMap<String, Vec<PastRun>>,
    /// Whether the reports in the work directory could be written.
    pub written: Result<(), Error>,
}

/// Builds and checks the cells, reports, and keeps the run.
pub fn carry_out(args: &MatrixRun, how: How) -> Result<Done, Error> {
    let matrix = matrix_of(args)?;
    let Selected { cells, shard } = select(&matrix, &args.cells)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let mut allows = known_findings(&args.known)?;
    allows.extend(matrix.allow.iter().cloned());
    let cancel = Cancel::install()?;
    let sandbox = Sandbox::find(args.sandbox.sandbox, &cancel)?;
    let kernel = real_kernel(&args.source.kernel)?;
    let sources = open_sources(&kernel, &args.source, &cells, &cancel)?;
    check_place(&args.work, &kernel)?;
    let store = store(args, how)?;
    let work = WorkDir::open(&args.work)?;
    let events = events(&args.jobs_options)?;
    let cluster = slurm::Folders::open(args, &kernel)?;

    let cache = compiler_cache(args, &*events, &cancel)?;

    // Results of a mutated tree must never become accepted snapshots.
    let snapshots = snapshots(args, &matrix).filter(|_| mutations.is_empty());
    let build = Build {
        work: cluster.as_ref().map_or(&work, |cluster| &cluster.scratch),
        matrix: &matrix,
        cells: &cells,
        mutations: &mutations,
        allows: &allows,
        snapshots: snapshots.as_ref(),
        jobs: 1,
        policy: Policy {
            until: args.schedule.end_of_budget(),
            ..Policy::plain(1, args.jobs_options.fail_fast)
        },
        cache: cache.as_ref(),
        caches: None,
        reuse_trees: !args.no_reuse,
        fresh: args.jobs_options.fresh,
        sandbox: sandbox.as_ref(),
        carried: None,
        events: &*events,
        cancel: &cancel,
    };
    let _lock = match args.engine.engine {
        Engine::Local => build.lock(&sources)?,
        // Each task does so on its node.
        Engine::Slurm => None,
    };
    // What another klto did meanwhile is known, and the time runs only now.
    let (schedule, past) = schedule(args, how, &build, store.as_deref(), &sources)?;
    let build = Build {
        jobs: schedule.jobs,
        policy: schedule.policy(how.retries, args.jobs_options.fail_fast),
        ..build
    };
    let whole = snapshots
        .as_ref()
        .filter(|_| args.cells.reports_on_whole_matrix());
    let (gone, unreferenced) = match whole {
        Some(snapshots) => unread(snapshots, &matrix)?,
        None => Default::default(),
    };
    let mut run = match &cluster {
        None => build.run(&sources)?,
        Some(cluster) => cluster.run(args, &build, &kernel, &sources)?,
    };
    run.cells.extend(gone);
    run.unreferenced = unreferenced;
    run.shard = shard;
    if run.is_empty_shard() {
        let text = "the shard has no cells: there are more shards than kernels to build";
        events.on(&Event::Note { text });
    }
    let written = write_reports(&work, &run);
    report(&run, &args.reporting)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let kept = match store {
        None => None,
        Some(store) => {
            let cells = cells.iter();
            let records: BTreeMap<String, RecordDir> = cells
                .map(|cell| (cell.name(), build.record(&sources, cell)))
                .collect();
            let record_dir = |cell: &CellRecord| records.get(&cell.cell).cloned();
            let head = keep(&store, &run, &record_dir, &cancel)?;
            Some((store, head))
        }
    };
    Ok(Done {
        run,
        work,
        kept,
        past,
        written,
    })
}

/// The matrix that was named, or one for the configuration that was named.
fn matrix_of(args: &MatrixRun) -> Result<Matrix, Error> {
    let config = match (&args.matrix, &args.config) {
        (Some(file), _) => return load_matrix(file),
        (None, Some(config)) => config,
        (None, None) => {
            return Err(Error::Usage(
                "nothing to build\n  name a matrix, or a configuration with --config".to_owned(),
            ));
        }
    };
    if args.engine.engine == Engine::Slurm {
        return Err(Error::Usage(
            "the nodes of a cluster read a matrix\n  write one whose config has this file as its 'base'"
                .to_owned(),
        ));
    }
    let usual = vec![USUAL_LLVM.to_owned()];
    let asked = if args.toolchain.is_empty() {
        &usual
    } else {
        &args.toolchain
    };
    let toolchains = asked.iter().map(|asked| {
        let llvm = llvm_of(asked);
        Ok((toolchain_name(llvm)?, llvm.to_owned()))
    });
    Matrix::of_config(config, &toolchains.collect::<Result<Vec<_>, Error>>()?)
}

/// The accepted snapshots; those of a configuration only where the user says.
fn snapshots(args: &MatrixRun, matrix: &Matrix) -> Option<SnapshotDir> {
    let asked = args.snapshots.dir.as_deref();
    match args.matrix.is_some() || asked.is_some() {
        true => SnapshotDir::find(asked, &matrix.file, &matrix.name),
        false => None,
    }
}

/// How the cells share the machine, and what is known of them.
fn schedule(
    args: &MatrixRun,
    how: How,
    build: &Build<'_>,
    store: Option<&Path>,
    sources: &Sources,
) -> Result<(Schedule, BTreeMap<String, Vec<PastRun>>), Error> {
    let (options, matrix) = (&args.schedule, build.matrix);
    let past = past(store, &matrix.name, build.cancel)?;
    let is_sandboxed = build.sandbox.is_some();
    let mut schedule = Schedule::new(options, matrix, &args.work, &past, is_sandboxed);
    if how.is_night {
        schedule.for_the_night(options, matrix, build.cells, sources, &past)?;
    }
    Ok((schedule, past))
}

/// The store in which the run will be kept. Without one, a night ends here, before hours of building.
fn store(args: &MatrixRun, how: How) -> Result<Option<PathBuf>, Error> {
    let store = store_for_run(args.store.store.as_deref())?;
    if how.is_night && store.is_none() {
        return Err(Error::Machine(
            "a night needs a store of runs, to tell what is new\n  name one with --store"
                .to_owned(),
        ));
    }
    Ok(store)
}

/// The ccache to compile with, if there is one and the user does not object.
fn compiler_cache(
    args: &MatrixRun,
    events: &dyn Events,
    cancel: &Cancel,
) -> Result<Option<CompilerCache>, Error> {
    if args.engine.engine == Engine::Slurm && args.ccache {
        return Err(Error::Usage(
            "nodes of a cluster build without ccache\n  leave out --ccache".to_owned(),
        ));
    }
    if args.no_ccache || args.engine.engine == Engine::Slurm {
        return Ok(None);
    }
    let why = match (CompilerCache::find(cancel)?, args.ccache) {
        (Ok(found @ Some(_)), _) | (Ok(found @ None), false) => return Ok(found),
        (Ok(None), true) => "not installed".to_owned(),
        (Err(why), false) => {
            let text = format!("ccache is not used: {why}");
            events.on(&Event::Note { text: &text });
            return Ok(None);
        }
        (Err(why), true) => why,
    };
    Err(Error::Machine(format!(
        "ccache cannot be used, which --ccache asks for: {why}\n  install ccache 4.7 or later ('apt-get install ccache'), or leave out --ccache"
    )))
}

/// What is accepted and no longer read: cells, and files of none.
fn unread(
    snapshots: &SnapshotDir,
    matrix: &Matrix,
) -> Result<(Vec<CellRecord>, Vec<Unreferenced>), Error> {
    let known: Vec<String> = matrix.cells().iter().map(Cell::name).collect();
    let accepted = snapshots.cells()?.into_iter();
    let gone = accepted.filter(|name| !known.contains(name)).map(gone);
    let name_of = |file: &Path| Matrix::load(file).ok().map(|matrix| matrix.name);
    Ok((gone.collect(), snapshots.unreferenced(&known, name_of)?))
}

/// A cell that is accepted, and no longer one of the matrix.
fn gone(name: String) -> CellRecord {
    CellRecord {
        baseline: Baseline::Gone,
        ..CellRecord::skipped(name, SkipReason::NoCell)
    }
}

/// The reports that every run leaves in its work directory.
fn write_reports(work: &WorkDir, run: &RunRecord) -> Result<(), Error> {
    let files = [("report.json", Format::Json), ("report.ktap", Format::Ktap)];
    let written = files.map(|(name, format)| {
        let reporter = format.reporter(Options::default());
        write_report_by(&work.path().join(name), |to| {
            reporter.write_run(run, &Around::default(), to)
        })
    });
    written.into_iter().collect()
}
