//! One cell, as its part of the page shows it.

use std::collections::BTreeMap;

use super::broken::Broken;
use super::budget::Budget;
use super::chart::{Grown, History, Stages, bytes, growth, history, stages};
use super::log::{Excerpt, excerpt};
use super::place::Place;
use crate::model::finding::counted;
use crate::model::record::{
    Baseline, CellRecord, ComparisonRecord, Difference, FindingRecord, Inspection, Outcome,
    ScenarioRecord,
};
use crate::model::stored::CellRun;
use crate::report::text::{duration, reproduce};
use crate::report::{Log, by_rule, reasons};

/// Findings of a rule in one cell.
const FINDINGS: usize = 20;
/// Lines of a difference from what was accepted.
const DIFF_LINES: usize = 200;
/// Functions of a comparison and earlier runs, as rows of tables.
const ROWS: Rows = Rows {
    functions: 20,
    runs: 12,
};
/// The same in a run of many cells, for those that did not pass.
const FEW_ROWS: Rows = Rows {
    functions: 5,
    runs: 0,
};
/// The same of a cell that is brief.
const NO_ROWS: Rows = Rows {
    functions: 0,
    runs: 0,
};
/// Cells of a run of many.
const MANY: usize = 300;

/// How long tables are.
#[derive(Debug, Clone, Copy)]
struct Rows {
    functions: usize,
    runs: usize,
}

/// What the page has besides the run, as a cell needs it.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The numbers of the rules that the page has the texts of.
    pub rules: BTreeMap<&'a str, usize>,
    pub logs: &'a BTreeMap<String, Log>,
    pub trends: &'a BTreeMap<String, Vec<CellRun>>,
    /// Cells that did not pass are open from the start: there are few.
    pub is_open: bool,
    /// How many cells there are.
    pub cells: usize,
    /// What all cells have in common, which the page says above.
    pub common: &'a [(&'static str, String)],
}

impl<'a> Shared<'a> {
    /// The numbers of the broken rules, by key.
    #[must_use]
    pub fn numbers(rules: &[Broken<'a>]) -> BTreeMap<&'a str, usize> {
        let numbered = rules.iter().enumerate();
        numbered.map(|(number, rule)| (rule.key, number)).collect()
    }
}

/// One cell.
#[derive(Debug)]
pub struct View<'a> {
    /// Its number in the run, from 0.
    pub id: usize,
    pub name: &'a str,
    pub place: Place<'a>,
    pub outcome: &'static str,
    pub is_open: bool,
    /// It passes in a run of many cells: a browser opens thousands of them.
    pub is_brief: bool,
    /// What stands beside the name: findings, baseline, time.
    pub notes: Vec<String>,
    /// Why the cell is inconclusive or was skipped.
    pub why: Option<String>,
    pub found: Vec<Scope<'a>>,
    pub known: Vec<String>,
    pub scenarios: Vec<Step<'a>>,
    pub comparisons: Vec<Compared<'a>>,
    pub differences: Vec<Changed<'a>>,
    pub not_judged: Vec<String>,
    pub stages: Option<Stages<'a>>,
    pub history: Option<History<'a>>,
    pub commands: String,
    pub log: Option<Excerpt>,
    /// Why the log could not be read.
    pub no_log: Option<&'a str>,
    /// Names and values.
    pub facts: Vec<(&'static str, String)>,
}

/// The findings of the build, of a scenario or of a comparison.
#[derive(Debug)]
pub struct Scope<'a> {
    pub name: String,
    pub rules: Vec<OfRule<'a>>,
}

/// The findings of one rule.
#[derive(Debug)]
pub struct OfRule<'a> {
    pub key: &'a str,
    /// The number of the rule in the page.
    pub number: Option<usize>,
    pub head: String,
    pub findings: Vec<&'a FindingRecord>,
    pub left: usize,
}

/// A scenario that ran.
#[derive(Debug)]
pub struct Step<'a> {
    pub name: &'a str,
    pub time: String,
    /// Findings that no allow entry covers.
    pub open: usize,
}

/// A comparison.
#[derive(Debug)]
pub struct Compared<'a> {
    pub with: &'static str,
    pub says: String,
    pub open: usize,
    pub growth: Vec<Grown<'a>>,
}

/// A part of the snapshot that is not as accepted.
#[derive(Debug)]
pub struct Changed<'a> {
    pub part: &'a str,
    /// Lines, those of one kind together.
    pub pieces: Vec<Piece<'a>>,
    pub left: usize,
}

/// Lines of a difference that follow each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// `+`, `-`; anything else is context.
    pub kind: char,
    pub lines: Vec<&'a str>,
}

fn passed(cell: &CellRecord) -> bool {
    matches!(cell.outcome, Outcome::Pass | Outcome::Skip(_))
}

/// Whether a page of that many cells shows little of this one.
fn is_brief(cell: &CellRecord, cells: usize) -> bool {
    passed(cell) && cells > MANY
}

/// Whether a page of that many cells shows the log of this one.
#[must_use]
pub fn shows_log(cell: &CellRecord, cells: usize) -> bool {
    !is_brief(cell, cells)
}

/// What the page shows of a cell.
#[must_use]
pub fn view<'a>(
    id: usize,
    cell: &'a CellRecord,
    shared: &Shared<'a>,
    budget: &mut Budget,
) -> View<'a> {
    let inspection = cell.inspection.as_ref();
    let build = inspection.map(|i| ("build".to_owned(), &i.findings));
    let scenarios = cell.scenarios.iter();
    let scenarios = scenarios.map(|s| (format!("scenario {}", s.name), &s.findings));
    let comparisons = cell.comparisons.iter();
    let comparisons = comparisons.map(|c| (format!("comparison with {}", c.with), &c.findings));
    let scopes = build.into_iter().chain(scenarios).chain(comparisons);
    let found = scopes.map(|(name, findings)| scope(name, findings, cell, shared, budget));
    let found: Vec<Scope<'_>> = found.filter(|scope| !scope.rules.is_empty()).collect();
    let commands = reproduce(&cell.reproduce);
    let commands = commands.iter().skip(1).map(|line| line.trim_start());
    let log = shared.logs.get(&cell.cell);
    let is_brief = is_brief(cell, shared.cells);
    let rows = match (is_brief, shared.cells > MANY) {
        (true, _) => NO_ROWS,
        (false, true) => FEW_ROWS,
        (false, false) => ROWS,
    };
    View {
        id,
        name: &cell.cell,
        place: Place::of(cell),
        outcome: cell.outcome.name(),
        is_open: shared.is_open && !passed(cell),
        is_brief,
        notes: notes(cell),
        why: why(cell),
        found,
        known: known(cell),
        scenarios: cell.scenarios.iter().filter_map(step).collect(),
        comparisons: cell
            .comparisons
            .iter()
            .map(|comparison| compared(comparison, rows.functions, budget))
            .collect(),
        differences: cell
            .differences
            .iter()
            .map(|difference| changed(difference, budget))
            .collect(),
        not_judged: not_judged(cell),
        stages: stages(&cell.stages),
        history: shared
            .trends
            .get(&*cell.cell)
            .and_then(|trend| history(trend, rows.runs, budget)),
        commands: commands.collect::<Vec<_>>().join("\n"),
        log: log
            .filter(|_| !is_brief)
            .and_then(|log| log.as_ref().ok())
            .map(|log| excerpt(log, budget))
            .filter(|excerpt| !excerpt.lines.is_empty()),
        no_log: log.and_then(|log| log.as_ref().err()).map(AsRef::as_ref),
        facts: facts(cell, shared.common),
    }
}

fn notes(cell: &CellRecord) -> Vec<String> {
    let open = cell.open_findings().count();
    let allowed = cell.findings().count() - open;
    let mut notes = Vec::new();
    notes.extend((open > 0).then(|| counted(open, "findings")));
    notes.extend((allowed > 0).then(|| format!("{allowed} allowed")));
    match cell.baseline {
        Baseline::None | Baseline::Same => {}
        Baseline::Fixed | Baseline::Regressed | Baseline::Changed | Baseline::Gone => {
            notes.push(cell.baseline.name().to_owned());
        }
    }
    match &cell.outcome {
        Outcome::Skip(_) => {}
        Outcome::Pass | Outcome::Fail | Outcome::Error(_) => {
            notes.push(duration(cell.cost.wall_seconds));
        }
    }
    notes
}

fn why(cell: &CellRecord) -> Option<String> {
    match (&cell.outcome, &cell.error) {
        (Outcome::Skip(reason), _) => Some(format!("Skipped: {reason}")),
        (Outcome::Error(why), _) => Some(format!("Inconclusive: {why}")),
        (Outcome::Fail, Some(why)) => Some(format!("Inconclusive beyond that: {why}")),
        (Outcome::Pass, Some(why)) => Some(why.clone()),
        (Outcome::Pass | Outcome::Fail, None) => None,
    }
}

fn scope<'a>(
    name: String,
    findings: &'a [FindingRecord],
    cell: &'a CellRecord,
    shared: &Shared<'a>,
    budget: &mut Budget,
) -> Scope<'a> {
    let open = findings.iter().filter(|finding| finding.is_open());
    let rules = by_rule(open).into_iter().map(|(key, mut group)| {
        let all = group.len();
        let lines = group.iter().map(|finding| 1 + finding.details.len());
        group.truncate(budget.fit(lines.take(FINDINGS)));
        OfRule {
            key,
            number: shared.rules.get(key).copied(),
            head: match cell.rules.get(key) {
                Some(text) => counted(all, &text.broken),
                None => counted(all, "findings"),
            },
            left: all - group.len(),
            findings: group,
        }
    });
    let rules = rules.collect();
    Scope { name, rules }
}

/// A line for each rule with allowed findings.
fn known(cell: &CellRecord) -> Vec<String> {
    let allowed = cell.findings().filter(|finding| !finding.is_open());
    let lines = by_rule(allowed).into_iter().map(|(key, group)| {
        let number = counted(group.len(), "findings");
        format!("{key}: {number}, {}", reasons(&group))
    });
    lines.collect()
}

/// What is shown of a scenario, unless nothing of it ran.
fn step(scenario: &ScenarioRecord) -> Option<Step<'_>> {
    let is_whole = scenario.skipped.iter().any(|skip| skip.step.is_none());
    (!is_whole || !scenario.findings.is_empty()).then(|| Step {
        name: &scenario.name,
        time: duration(scenario.seconds),
        open: scenario.findings.iter().filter(|f| f.is_open()).count(),
    })
}

fn compared<'a>(
    comparison: &'a ComparisonRecord,
    most: usize,
    budget: &mut Budget,
) -> Compared<'a> {
    let open = comparison.findings.iter().filter(|f| f.is_open()).count();
    Compared {
        with: comparison.with.name(),
        says: match (&comparison.skipped, open) {
            (Some(_), _) => "not judged".to_owned(),
            (None, 0) => "no difference that matters".to_owned(),
            (None, open) => counted(open, "findings"),
        },
        open,
        growth: growth(&comparison.growth, most, budget),
    }
}

fn changed<'a>(difference: &'a Difference, budget: &mut Budget) -> Changed<'a> {
    let all = difference.diff.lines().count();
    let shown = budget.take(all.min(DIFF_LINES));
    Changed {
        part: &difference.part,
        pieces: pieces(difference.diff.lines().take(shown)),
        left: all - shown,
    }
}

fn pieces<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for line in lines {
        let kind = match line.chars().next() {
            Some(sign @ ('+' | '-')) => sign,
            Some(_) | None => ' ',
        };
        match pieces.last_mut() {
            Some(piece) if piece.kind == kind => piece.lines.push(line),
            Some(_) | None => pieces.push(Piece {
                kind,
                lines: vec![line],
            }),
        }
    }
    pieces
}

/// What no verdict on the cell covers.
fn not_judged(cell: &CellRecord) -> Vec<String> {
    let mut lines = Vec::new();
    for scenario in &cell.scenarios {
        let skipped = scenario.skipped.iter();
        let skipped = skipped.filter(|skip| !skip.reason.is_expected());
        lines.extend(skipped.map(|skip| format!("scenario {}: {skip}", scenario.name)));
    }
    for comparison in &cell.comparisons {
        let with = comparison.with;
        let reason = comparison.skipped.iter().filter(|s| !s.is_expected());
        lines.extend(reason.map(|reason| format!("comparison with {with}: {reason}")));
        let rules = comparison.not_compared.iter();
        lines.extend(rules.map(|n| format!("comparison with {with}: {}: {}", n.key, n.why)));
    }
    let Some(inspection) = &cell.inspection else {
        return lines;
    };
    let unfinished = inspection.unfinished.iter();
    lines.extend(unfinished.map(|why| format!("the build is not finished, {why}")));
    if inspection.times_lost {
        lines.push("what is out of date: the files do not have the times of the build".to_owned());
    }
    let nothing = inspection.rules.iter().filter(|rule| rule.looked_at == 0);
    let nothing: Vec<&str> = nothing.map(|rule| rule.key.as_str()).collect();
    if !nothing.is_empty() {
        lines.push(format!("nothing to look at: {}", nothing.join(", ")));
    }
    lines
}

fn facts(cell: &CellRecord, common: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let cost = &cell.cost;
    let mut facts = vec![("Toolchain", cell.toolchain.clone())];
    if let Some(inspection) = &cell.inspection {
        facts.extend(of_tree(inspection));
    }
    let baseline = match cell.baseline {
        Baseline::None => "",
        Baseline::Same
        | Baseline::Fixed
        | Baseline::Regressed
        | Baseline::Changed
        | Baseline::Gone => cell.baseline.name(),
    };
    facts.push(("Baseline", baseline.to_owned()));
    facts.push((
        "Derived from",
        cell.derived_from.clone().unwrap_or_default(),
    ));
    if !cell.started.is_empty() {
        let (user, system) = (duration(cost.user_seconds), duration(cost.system_seconds));
        #[expect(clippy::cast_precision_loss, reason = "rounded for people")]
        let peak = bytes(cost.peak_memory_kib as f64 * 1024.0);
        let took = format!("{user} user, {system} system, at most {peak}");
        facts.push(("Began", cell.started.clone()));
        facts.push(("Machine", cell.host.clone()));
        facts.push(("Took", took));
    }
    if cell.reused {
        facts.push((
            "Reused",
            "an earlier klto made it; nothing changed since".to_owned(),
        ));
    }
    let cache = cell.compiler_cache.as_ref().map(ToString::to_string);
    facts.push(("Compiler cache", cache.unwrap_or_default()));
    let sandbox = cell.sandbox.map(|enforced| enforced.to_string());
    facts.push(("Sandbox", sandbox.unwrap_or_default()));
    facts.push(("Logs", cell.logs.join(", ")));
    facts.retain(|fact| !fact.1.is_empty() && !common.contains(fact));
    facts
}

fn of_tree(inspection: &Inspection) -> [(&'static str, String); 5] {
    let counts = &inspection.counts;
    let objects = counted(counts.objects, "objects");
    let exports = counted(counts.exported_symbols, "symbols exported");
    let rules = inspection.rules.iter().filter(|rule| rule.looked_at > 0);
    let warnings = inspection.warnings.iter();
    let warnings = warnings.map(|(kind, number)| format!("{number} {kind}"));
    #[expect(clippy::cast_precision_loss, reason = "rounded for people")]
    let image = match counts.image_bytes {
        0 => String::new(),
        number => format!("{} ({number} bytes)", bytes(number as f64)),
    };
    [
        ("Compiler", inspection.identity.compiler.clone()),
        (
            "Rules",
            format!(
                "{} had something to look at",
                counted(rules.count(), "rules")
            ),
        ),
        (
            "Tree",
            format!(
                "{objects}, {} of them bitcode; {exports}",
                counts.ir_objects
            ),
        ),
        ("Loaded image", image),
        ("Warnings", warnings.collect::<Vec<_>>().join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of many cells shows the logs of those that failed.
    #[test]
    fn the_log_of_a_cell_that_passed_is_not_in_a_page_of_many() {
        let with = |outcome| CellRecord {
            outcome,
            ..CellRecord::new("a".to_owned())
        };
        let (pass, fail) = (with(Outcome::Pass), with(Outcome::Fail));
        assert!(shows_log(&pass, MANY));
        assert!(!shows_log(&pass, MANY + 1));
        assert!(shows_log(&fail, MANY + 1));
    }

    #[test]
    fn lines_of_a_difference_are_put_together_by_their_signs() {
        let pieces = pieces("@@ -1 +1,2 @@\n-a\n+b\n+c\n d".lines());
        let shown: Vec<_> = pieces.iter().map(|p| (p.kind, p.lines.join("|"))).collect();
        let expected = [
            (' ', "@@ -1 +1,2 @@"),
            ('-', "-a"),
            ('+', "+b|+c"),
            (' ', " d"),
        ];
        assert_eq!(shown, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
