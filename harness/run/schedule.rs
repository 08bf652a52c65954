//! The cells of a run, one after the other, in an order in which one can use what another
//! has left: a tree to start from, a clean build to be compared with.

use std::collections::BTreeMap;
use std::time::Instant;

use super::cell::{Finished, Others, Run, verify};
use super::pair::compare_trees;
use crate::build::doctor;
use crate::judge::diff::Difference;
use crate::judge::inspect::suppress;
use crate::model::cell::{Cell, LtoMode};
use crate::model::outcome::Verdict;
use crate::model::outcome::{CellResult, ScenarioResult};
use crate::model::tolerances::Tolerances;
use crate::run::progress::say;

/// How the cells of a run depend on each other.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Whether one may start from the finished tree of another.
    pub reuse: bool,
    /// The modes whose trees are compared, the others with the first.
    pub compare: &'a [LtoMode],
    pub tolerances: &'a Tolerances,
}

/// Verifies the cells; results are in matrix order. After an interrupt the cells that are
/// left cannot be told.
#[must_use]
pub fn verify_all(run: &Run, cells: &[Cell], wanted: &Wanted) -> Vec<CellResult> {
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
            let clean = group.iter().map(|(mode, tree)| (*mode, tree.clean_build()));
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
        let of_first = |other: &Cell| {
            beside(other) == beside(cell) && wanted.compare.first() == Some(&other.lto)
        };
        if let Some(result) = results.get_mut(&at)
            && cells.iter().any(of_first)
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

/// What the modes of one kernel have in common.
fn beside(cell: &Cell) -> (String, String, String) {
    (
        cell.arch.name.clone(),
        cell.config_name.clone(),
        cell.toolchain_name.clone(),
    )
}
