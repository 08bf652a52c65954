//! `klto run`: builds the cells of a matrix and checks each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{check_place, exit, jobs, known_findings, load_matrix, print, select, source_dir};
use crate::build::dir_state::mirror_sources;
use crate::build::kbuild;
use crate::build::process::Cancel;
use crate::cli::args::Run as Args;
use crate::input::mutation::{self, Mutation};
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::outcome::Verdict;
use crate::model::outcome::{CellResult, RunResult};
use crate::report::{Format, json, ktap, text};
use crate::run::cell::Run;
use crate::run::pair::usual_tolerances;
use crate::run::progress::say;
use crate::run::scenario;
use crate::run::schedule::{Wanted, verify_all};
use crate::source::source_tree::SourceTree;
use crate::store::{SnapshotDir, WorkDir};
use crate::tree::path::stays_inside;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let mut allows = known_findings(&args.known)?;
    allows.extend(matrix.allow.iter().cloned());
    let mut kernel = source_dir(&args.kernel)?;
    let arches: Vec<_> = cells.iter().map(|cell| &*cell.arch).collect();
    SourceTree::open(&kernel, &arches)?;
    check_place(&args.work, &kernel)?;
    let work = WorkDir::open(&args.work)?;
    if !mutations.is_empty() || edits_sources(&cells)? {
        kernel = copy_sources(&kernel, &work.path().join("source"), &mutations)?;
    }
    let source = SourceTree::open(&kernel, &arches)?;
    // What comes of a mistake is nothing to accept.
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .filter(|_| mutations.is_empty());
    let cancel = Cancel::install().map_err(kbuild::process_error)?;
    let no_shuffle = kbuild::no_shuffle(&cancel)?;
    let run = Run {
        source: &source,
        work: &work,
        snapshots: snapshots.as_ref(),
        allows: &allows,
        jobs: jobs(args.jobs, 1),
        ccache: args.ccache,
        no_shuffle: no_shuffle.as_deref(),
        cancel: &cancel,
    };

    let tolerances = match matrix.tolerances {
        Some(tolerances) => tolerances,
        None => usual_tolerances().map_err(|e| Error::Usage(e.to_string()))?,
    };
    let wanted = Wanted {
        reuse: !args.no_reuse,
        compare: &matrix.compare,
        tolerances: &tolerances,
    };
    let mut results = verify_all(&run, &cells, &wanted);
    if let Some(snapshots) = run.snapshots.filter(|_| args.cells.patterns.is_empty()) {
        let known: Vec<String> = matrix.cells().iter().map(Cell::name).collect();
        let gone = snapshots
            .cells()?
            .into_iter()
            .filter(|name| !known.contains(name));
        results.extend(gone.map(|name| CellResult::without_build(name, Verdict::Missing)));
    }
    let result = RunResult {
        matrix: matrix.name.clone(),
        kernel: source.version.clone(),
        cells: results,
    };
    report(args, &work, &result)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(exit(&result, args.strict))
}

/// Copies the source tree, for scenarios or mutations to change, and makes the mistakes in
/// it. What an earlier run changed there is brought back first.
fn copy_sources(kernel: &Path, copy: &Path, mutations: &[Mutation]) -> Result<PathBuf, Error> {
    say(format_args!(
        "copying the source tree to {}",
        copy.display()
    ));
    mirror_sources(kernel, copy)?;
    for mutation in mutations {
        for file in mutation.files().collect::<BTreeSet<_>>() {
            let path = copy.join(file);
            if !stays_inside(file) || !path.is_file() {
                return Err(mutation.no_file(kernel, file));
            }
            let text = std::fs::read(&path).map_err(Error::io(&path, "read"))?;
            let text = mutation.apply(file, &text).map_err(Error::Usage)?;
            std::fs::write(&path, text).map_err(Error::io(&path, "write"))?;
        }
    }
    Ok(copy.to_owned())
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

/// Writes the report files, then prints: a failure of one does not silence the other.
fn report(args: &Args, work: &WorkDir, result: &RunResult) -> Result<(), Error> {
    let (json, ktap) = (json::run(result), ktap::run(result));
    let written = work
        .write_report("report.json", &json)
        .and(work.write_report("report.ktap", &ktap));
    print(&match args.format {
        Format::Text => text::run(result, args.all),
        Format::Json => json,
        Format::Ktap => ktap,
    })?;
    if args.format == Format::Text && written.is_ok() {
        say(format_args!(
            "reports: {}/report.json, report.ktap",
            work.path().display()
        ));
    }
    written
}
