//! A page for people: one file that fetches nothing. Names, logs and evidence of a tree are
//! hostile: `html::safe` has them all shown as text, and the page's policy lets a browser run
//! nothing but the page's own script.

mod broken;
mod budget;
mod cell;
mod chart;
mod log;
mod place;
pub(crate) mod safe;
pub mod two;
pub mod two_runs;

use std::collections::BTreeMap;

use askama::Template;

use self::broken::Broken;
use self::budget::Budget;
pub use self::cell::shows_log;
use self::cell::{Shared, View};
use self::place::Table;
use super::test_tree::{Test, not_judged, of_cell};
use super::text::duration;
use super::text::table::summary;
use super::{Around, Reporter, printable};
use crate::model::finding::counted;
use crate::model::record::{
    CellRecord, FORMAT, FindingRecord, Inspection, Outcome, RuleText, RunRecord,
};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Lines of findings, logs, differences and tables of a page; a browser opens it at once.
const LINES: usize = 20_000;
/// Lines of these for what is broken, before the cells.
const BROKEN_LINES: usize = 6_000;
/// Cells that did not pass and are open from the start.
const OPEN: usize = 8;

/// Writes records as pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Html;

impl Reporter for Html {
    fn run(&self, run: &RunRecord) -> String {
        write(run, &Around::default())
    }

    fn kept_run(&self, run: &RunRecord, around: &Around) -> String {
        write(run, around)
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        let run = run_of_tree(tree, inspection, rules);
        let title = format!("klto: {}", printable(tree));
        page(&run, &Around::default(), title, false)
    }
}

/// The page of a run.
#[must_use]
pub fn write(run: &RunRecord, around: &Around) -> String {
    let title = format!("klto: {}", printable(&run.title()));
    page(run, around, title, true)
}

/// What every page has.
#[derive(Debug)]
struct Shell {
    title: String,
    policy: String,
    style: &'static str,
    script: &'static str,
    klto: &'static str,
}

impl Shell {
    fn new(title: String) -> Shell {
        Shell {
            title,
            policy: safe::policy(STYLE, SCRIPT),
            style: STYLE,
            script: SCRIPT,
            klto: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "run.html")]
struct Page<'a> {
    shell: Shell,
    head: Head<'a>,
    /// Whether there are cells to find; otherwise it is one tree.
    is_run: bool,
    tables: Vec<Table<'a>>,
    archs: Vec<&'a str>,
    modes: Vec<&'static str>,
    broken: Vec<Broken<'a>>,
    known: Vec<Broken<'a>>,
    /// Reasons, and how many tests each is for.
    not_judged: Vec<(&'a str, String)>,
    cells: Vec<View<'a>>,
}

/// What stands above all.
#[derive(Debug)]
struct Head<'a> {
    matrix: &'a str,
    kernel: &'a str,
    revision: &'a str,
    /// `2 failed, 1 inconclusive`.
    verdict: String,
    /// `pass`, `fail`, `error`, `skip`: how the verdict looks.
    outcome: &'static str,
    /// Outcome, letter, what it means, number of cells.
    totals: [(&'static str, char, &'static str, usize); 4],
    facts: Vec<(&'static str, String)>,
}

fn page(run: &RunRecord, around: &Around, title: String, is_run: bool) -> String {
    let mut first = Budget::new(BROKEN_LINES);
    let broken = broken::rules(run, &mut first, FindingRecord::is_open);
    let known = broken::rules(run, &mut first, |finding| !finding.is_open());
    let mut budget = Budget::new(LINES - BROKEN_LINES);
    let is_bad = |cell: &CellRecord| matches!(cell.outcome, Outcome::Fail | Outcome::Error(_));
    let head = head(run);
    let common = head.facts.clone();
    let shared = Shared {
        cells: run.cells.len(),
        common: &common,
        rules: Shared::numbers(&broken),
        logs: &around.logs,
        trends: &around.trends,
        is_open: run.cells.iter().filter(|cell| is_bad(cell)).count() <= OPEN,
    };
    // Those that did not pass have the first choice of what can be shown.
    let cells = run.cells.iter().enumerate();
    let (first, then): (Vec<_>, Vec<_>) = cells.partition(|(_, cell)| is_bad(cell));
    let cells = first.into_iter().chain(then);
    let cells = cells.map(|(id, cell)| cell::view(id, cell, &shared, &mut budget));
    let mut cells: Vec<View<'_>> = cells.collect();
    cells.sort_by_key(|cell| cell.id);
    let tables = place::tables(&run.cells);
    let tests: Vec<Test> = run.cells.iter().map(of_cell).collect();
    let reasons = not_judged(&tests).into_iter();
    let page = Page {
        shell: Shell::new(title),
        head,
        is_run,
        archs: tables.iter().map(|table| table.arch).collect(),
        modes: tables
            .first()
            .map(|table| table.modes.clone())
            .unwrap_or_default(),
        tables,
        broken,
        known,
        not_judged: reasons.map(|(why, n)| (why, counted(n, "tests"))).collect(),
        cells,
    };
    rendered(&page)
}

/// Into memory, which does not fail.
fn rendered(page: &impl Template) -> String {
    page.render().unwrap_or_default()
}

fn head(run: &RunRecord) -> Head<'_> {
    let count = |name: &str| {
        let cells = run.cells.iter();
        cells.filter(|cell| cell.outcome.name() == name).count()
    };
    let totals = [
        ("pass", 'P', "pass", count("pass")),
        ("fail", 'F', "fail", count("fail")),
        ("error", 'E', "inconclusive", count("error")),
        ("skip", 'S', "skipped", count("skip")),
    ];
    let [passed, failed, unknown, _] = totals.map(|(.., number)| number);
    let outcome = match (failed, unknown, passed) {
        (1.., _, _) => "fail",
        (0, 1.., _) => "error",
        (0, 0, 0) => "skip",
        (0, 0, 1..) => "pass",
    };
    let seconds: f64 = run.cells.iter().map(|cell| cell.cost.wall_seconds).sum();
    let list = |of: fn(&CellRecord) -> String| {
        let mut values: Vec<String> = Vec::new();
        for value in run.cells.iter().map(of) {
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
        values.join("; ")
    };
    let started = run.cells.iter().map(|cell| cell.started.as_str());
    let first = started.filter(|started| !started.is_empty()).min();
    let mut facts = vec![
        ("Mutations", run.mutations.join(", ")),
        ("Toolchain", list(|cell| cell.toolchain.clone())),
        ("Machine", list(|cell| cell.host.clone())),
        ("First began", first.unwrap_or_default().to_owned()),
        ("Time of all cells", duration(seconds)),
        (
            "Sandbox",
            list(|cell| cell.sandbox.map(|s| s.to_string()).unwrap_or_default()),
        ),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    Head {
        matrix: &run.matrix,
        kernel: &run.kernel,
        revision: &run.revision,
        verdict: anstream::adapter::strip_str(&summary(&run.cells)).to_string(),
        outcome,
        totals,
        facts,
    }
}

/// A build tree as a run of one cell, which was not built by klto.
fn run_of_tree(
    tree: &str,
    inspection: &Inspection,
    rules: &BTreeMap<String, RuleText>,
) -> RunRecord {
    let mut cell = CellRecord::new(tree.to_owned());
    let unfinished = inspection.unfinished.as_ref();
    cell.error = unfinished.map(|why| format!("the build is not finished, {why}"));
    if inspection.rules.iter().all(|rule| rule.looked_at == 0) {
        let nothing = || "no rule had anything to look at".to_owned();
        cell.error.get_or_insert_with(nothing);
    }
    cell.inspection = Some(inspection.clone());
    cell.rules = rules.clone().into();
    cell.settle();
    RunRecord {
        format: FORMAT,
        klto: cell.klto.clone(),
        matrix: tree.to_owned(),
        kernel: inspection.identity.kernel.clone(),
        revision: inspection.identity.kernel.clone(),
        mutations: Vec::new(),
        shard: None,
        unreferenced: Vec::new(),
        cells: vec![cell],
    }
}
