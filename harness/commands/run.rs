//! `klto run`: builds the cells of a matrix and checks each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{
    check_place, exit, jobs, known_defects, load_allows, load_matrix, print, select, source_dir,
};
use crate::cell::{Cell, LtoMode};
use crate::cli::Run as Args;
use crate::compare::Verdict;
use crate::diff::{Difference, Tolerances};
use crate::doctor;
use crate::error::{Error, Exit};
use crate::kbuild::{self, SourceTree};
use crate::mutation::{self, Mutation};
use crate::outcome::{CellResult, RunResult, ScenarioResult};
use crate::process::Cancel;
use crate::progress::say;
use crate::report::{Format, json, ktap, text};
use crate::scenario;
use crate::store::{SnapshotDir, WorkDir};
use crate::tree_path::stays_inside;
use crate::tree_state::mirror_sources;
use crate::verify::cell::{Finished, Others, Run, verify};
use crate::verify::pair::{compare_trees, usual_tolerances};
use crate::verify::suppress;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let mutations: Vec<Mutation> = args
        .mutate
        .iter()
        .map(|name| mutation::load(name))
        .collect::<Result<_, _>>()?;
    let mut allows = load_allows(&args.allow)?;
    if !args.known_defects_count {
        allows.extend(known_defects()?);
    }
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

/// How the cells of a run depend on each other.
struct Wanted<'a> {
    /// Whether one may start from the finished tree of another.
    reuse: bool,
    /// The modes whose trees are compared, the others with the first.
    compare: &'a [LtoMode],
    tolerances: &'a Tolerances,
}

/// Verifies the cells; results are in matrix order. After an interrupt the cells that are
/// left cannot be told.
fn verify_all(run: &Run, cells: &[Cell], wanted: &Wanted) -> Vec<CellResult> {
    let mut finished: BTreeMap<_, Vec<(LtoMode, Finished)>> = BTreeMap::new();
    let mut results: BTreeMap<usize, CellResult> = BTreeMap::new();
    for at in order(cells) {
        let cell = &cells[at];
        let group = finished.entry(beside(cell)).or_default();
        let mut others = Others::default();
        let switches = |other: &Cell| plays(other, SWITCH);
        if cells
            .iter()
            .any(|other| beside(other) == beside(cell) && switches(other))
        {
            // Each is built clean, for the tree that switches to be compared with.
            let clean = group
                .iter()
                .map(|(mode, tree)| (*mode, tree.facets.clone()));
            others.clean = clean.collect();
        } else if wanted.reuse && cell.lto == LtoMode::Thin {
            let distributed = group.iter().find(|(mode, _)| *mode == LtoMode::ThinDist);
            others.from = distributed.map(|(_, tree)| tree);
        }
        let (result, tree) = match doctor::missing_for(cell, run.ccache) {
            Some(reason) => (
                CellResult::without_build(cell.name(), Verdict::Infra(reason)),
                None,
            ),
            None => verify(run, cell, &others),
        };
        group.extend(tree.map(|tree| (cell.lto, tree)));
        let broken = if result.is_broken() { ", broken" } else { "" };
        say(format_args!(
            "{}: {}{broken}",
            result.name,
            result.verdict.name()
        ));
        results.insert(at, result);
    }
    for (at, cell) in cells.iter().enumerate() {
        let trees = &finished[&beside(cell)];
        if let Some(result) = results.get_mut(&at)
            && let Some(compared) = compare_modes(run, cell, trees, wanted)
        {
            result.scenarios.push(compared);
        }
    }
    results.into_values().collect()
}

/// Compares the finished tree of a cell with that of the first mode to compare, where the
/// cell is of another of them.
fn compare_modes(
    run: &Run,
    cell: &Cell,
    trees: &[(LtoMode, Finished)],
    wanted: &Wanted,
) -> Option<ScenarioResult> {
    let (first, others) = wanted.compare.split_first()?;
    if !others.contains(&cell.lto) || run.cancel.is_cancelled() {
        return None;
    }
    let started = Instant::now();
    let of_mode = |mode| {
        trees
            .iter()
            .find(|(of, _)| *of == mode)
            .map(|(_, tree)| tree)
    };
    let mut result = ScenarioResult {
        name: format!("{COMPARE} with {first}"),
        findings: Vec::new(),
        left_out: Vec::new(),
        seconds: 0.0,
    };
    let compared = match (of_mode(*first), of_mode(cell.lto)) {
        (Some(one), Some(other)) => {
            let trees = [&*one.dir, &*other.dir];
            compare_trees(trees, wanted.tolerances).map_err(|e| e.to_string())
        }
        (None, _) => Err(format!("there is no finished tree in mode {first}")),
        (_, None) => Err("there is no finished tree".to_owned()),
    };
    match compared {
        Ok(compared) => {
            let findings = compared
                .differences
                .into_iter()
                .map(Difference::into_finding);
            result.findings = findings.collect();
            let place = (&*cell.name(), COMPARE);
            suppress(&mut result.findings, run.allows, place, &run.source.version);
        }
        Err(why) => result.left_out.push(why.replace("\n  ", "; ")),
    }
    result.seconds = started.elapsed().as_secs_f64();
    Some(result)
}

/// What comparing is called among the scenarios.
const COMPARE: &str = "compare";

/// The order of verifying. The distributed cell comes first, since the in-process one beside
/// it can start from its finished tree; but last where it switches modes and is compared with
/// the others.
fn order(cells: &[Cell]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|at| {
        let cell = &cells[*at];
        let first_of_group = cells
            .iter()
            .position(|other| beside(other) == beside(cell))
            .unwrap_or(*at);
        let turn = match cell.lto {
            LtoMode::ThinDist if plays(cell, SWITCH) => 2,
            LtoMode::ThinDist => 0,
            LtoMode::None | LtoMode::Thin | LtoMode::Full => 1,
        };
        (first_of_group, turn)
    });
    order
}

/// The scenario that compares modes.
const SWITCH: &str = "switch";

fn plays(cell: &Cell, scenario: &str) -> bool {
    cell.scenarios.iter().any(|name| name == scenario)
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
                return Err(Error::Usage(format!(
                    "{}: there is no {file}, which the mutation {} changes\n  this kernel keeps it elsewhere; choose another mutation, or another kernel",
                    kernel.display(),
                    mutation.name
                )));
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

/// What the modes of one kernel have in common.
fn beside(cell: &Cell) -> (String, String, String) {
    (
        cell.arch.name.clone(),
        cell.config_name.clone(),
        cell.toolchain_name.clone(),
    )
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
