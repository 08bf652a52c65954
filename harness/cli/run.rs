//! `klto run`: builds the cells of a matrix and checks each.

use super::args::Run as Args;
use super::output::{exit, report};
use super::{
    check_place, events, jobs, known_findings, load_matrix, open_sources, real_kernel, select,
};
use crate::build::kbuild;
use crate::build::process::Cancel;
use crate::build::sandbox::Sandbox;
use crate::input::mutation;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::record::{Baseline, CellRecord, FORMAT, RunRecord, SkipReason};
use crate::report::{Format, Options};
use crate::run::events::Event;
use crate::run::job::{PlanOptions, plan};
use crate::run::key::{CommonKey, own_program};
use crate::run::pair::usual_tolerances;
use crate::run::pipeline::Context;
use crate::run::probe::untrusted_caches;
use crate::run::scenario;
use crate::run::schedule::run_jobs;
use crate::run::whole::WholeKernel;
use crate::store::lock::Patience;
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
    let work = WorkDir::open(&args.work)?;
    let events = events(&args.jobs_options)?;

    let changes_sources = !mutations.is_empty() || edits_sources(&cells)?;
    let patience = Patience {
        until: None,
        cancel: &cancel,
    };
    // Two runs that use the user's own folder need not wait for each other.
    let _lock = match sources.is_copied(&mutations, changes_sources) {
        false => None,
        true => Some(work.lock_sources(patience, &mut || {
            let text = "waiting for another klto that uses the same copy of the sources";
            events.on(&Event::Note { text });
        })?),
    };
    let folder = sources.prepare(work.path(), &mutations, changes_sources)?;
    let fingerprint = sources.fingerprint(&work.path().join("sources.index"), &cancel)?;
    let source_key = format!("{fingerprint} {mutations:?}");
    // Results of a mutated tree must never become accepted snapshots.
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .filter(|_| mutations.is_empty());
    let tolerances = match matrix.tolerances {
        Some(tolerances) => tolerances,
        None => usual_tolerances()?,
    };
    let revision = sources.revision();
    let enforced = sandbox.as_ref().map(|sandbox| *sandbox.enforced());
    let caches = match (&sandbox, args.ccache) {
        (Some(_), true) => Some(untrusted_caches(work.path(), &source_key)?),
        (_, _) => None,
    };
    let sandbox = sandbox.map(|sandbox| sandbox.writing(caches.clone()));
    let layout = WholeKernel {
        work: work.path(),
        source: &folder,
        revision: &revision,
        ccache: args.ccache,
        caches,
    };
    let context = Context {
        layout: &layout,
        key: &CommonKey::new(&own_program()?, &source_key, &[&folder, work.path()])
            .sandboxed(enforced.as_ref()),
        sources: &sources,
        revision: &revision,
        snapshots: snapshots.as_ref(),
        allows: &allows,
        tolerances: &tolerances,
        make_jobs: jobs(args.jobs, 1),
        ccache: args.ccache,
        sandbox: sandbox.as_ref(),
        has_shuffle: kbuild::has_shuffle(&cancel)?,
        fresh: args.jobs_options.fresh,
        events: &*events,
        cancel: &cancel,
    };
    let plan = plan(
        &cells,
        PlanOptions {
            reuse_trees: !args.no_reuse,
            share_clean_builds: true,
            prepare_all: false,
            one_mode_at_a_time: false,
            compare: &matrix.compare,
        },
    );
    let mut records = run_jobs(&context, &plan, 1, args.jobs_options.fail_fast);
    if let Some(snapshots) = snapshots.filter(|_| args.cells.patterns.is_empty()) {
        let known: Vec<String> = matrix.cells().iter().map(Cell::name).collect();
        let accepted = snapshots.cells()?.into_iter();
        records.extend(accepted.filter(|name| !known.contains(name)).map(gone));
    }
    let run = RunRecord {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: matrix.name.clone(),
        kernel: sources.version().to_owned(),
        revision,
        cells: records,
    };
    let written = write_reports(&work, &run);
    report(&run, &args.reporting).and(written)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(exit(&run, args.strict))
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

/// Whether a scenario of some cell changes source files.
fn edits_sources(cells: &[Cell]) -> Result<bool, Error> {
    let names = cells.iter().flat_map(|cell| &cell.scenarios);
    for name in names.filter(|name| *name != "build") {
        if scenario::by_name(name)?.edits_sources() {
            return Ok(true);
        }
    }
    Ok(false)
}
