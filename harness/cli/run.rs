//! `klto run`: builds the cells of a matrix and checks each.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Run as Args;
use super::options::Engine;
use super::output::{exit, report};
use super::stored::{keep, store_for_run};
use super::{
    check_place, events, jobs, known_findings, load_matrix, open_sources, real_kernel, select,
    slurm,
};
use crate::build::process::Cancel;
use crate::build::sandbox::Sandbox;
use crate::input::matrix::Matrix;
use crate::input::mutation;
use crate::model::accepted::Unreferenced;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::record::{Baseline, CellRecord, RunRecord, SkipReason};
use crate::report::{Format, Options};
use crate::run::whole::drive::Run as Build;
use crate::store::record_dir::RecordDir;
use crate::store::snapshots::SnapshotDir;
use crate::store::work_dir::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let mut allows = known_findings(&args.known)?;
    allows.extend(matrix.allow.iter().cloned());
    let cancel = Cancel::install()?;
    let sandbox = Sandbox::find(args.sandbox.sandbox, &cancel)?;
    let kernel = real_kernel(&args.source.kernel)?;
    let sources = open_sources(&kernel, &args.source, &cells, &cancel)?;
    check_place(&args.work, &kernel)?;
    let store = store_for_run(args.store.store.as_deref())?;
    let work = WorkDir::open(&args.work)?;
    let events = events(&args.jobs_options)?;
    let cluster = slurm::Folders::open(args, &kernel)?;

    // Results of a mutated tree must never become accepted snapshots.
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .filter(|_| mutations.is_empty());
    let build = Build {
        work: cluster.as_ref().map_or(&work, |cluster| &cluster.scratch),
        matrix: &matrix,
        cells: &cells,
        mutations: &mutations,
        allows: &allows,
        snapshots: snapshots.as_ref(),
        jobs: jobs(args.jobs, 1),
        ccache: args.ccache,
        caches: None,
        reuse_trees: !args.no_reuse,
        fresh: args.jobs_options.fresh,
        fail_fast: args.jobs_options.fail_fast,
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
    let whole = snapshots
        .as_ref()
        .filter(|_| args.cells.patterns.is_empty());
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
    let written = write_reports(&work, &run);
    report(&run, &args.reporting).and(written)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    if let Some(store) = store {
        let cells = cells.iter();
        let records: BTreeMap<String, RecordDir> = cells
            .map(|cell| (cell.name(), build.record(&sources, cell)))
            .collect();
        let record_dir = |cell: &CellRecord| records.get(&cell.cell).cloned();
        keep(&store, &run, &record_dir, &cancel)?;
    }
    Ok(exit(&run, args.strict))
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
    let text = |format: Format| format.reporter(Options::default()).run(run);
    let json = work.write_report("report.json", &text(Format::Json));
    json.and(work.write_report("report.ktap", &text(Format::Ktap)))
}
