//! The report that people read on a terminal. Styles are ANSI escape sequences; the
//! caller that prints it removes them if they are not wanted.

mod coverage;
pub(super) mod findings;
mod snapshot;
pub(super) mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use self::coverage::Coverage;
use self::findings::{Seen, write_allowed, write_findings};
use self::snapshot::{write_differences, write_unreferenced};
use super::shared::{self, Cells};
use super::{Options, Reporter, by_rule, grouped, printable};
use crate::judge::identity::{PartOf, Placed};
use crate::model::finding::counted;
use crate::model::record::{
    CellRecord, CompilerCacheUse, FindingRecord, Inspection, NotCompared, Outcome, Reproduce,
    RuleCount, RuleText, RunRecord,
};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const GREEN: Style = AnsiColor::Green.on_default().bold();

type Rules = BTreeMap<String, RuleText>;

/// Writes records for people.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text {
    pub options: Options,
}

impl Reporter for Text {
    /// Details of each cell that is not as it should be, what was not judged, the table.
    fn run(&self, run: &RunRecord) -> String {
        let mut out = String::new();
        let cells = shared::cells(run);
        for cell in &run.cells {
            write_cell(&mut out, cell, &cells, self.options);
        }
        write_not_judged(&mut out, run, self.options);
        write_unreferenced(&mut out, run);
        table::write(&mut out, run);
        if let Some(used) = CompilerCacheUse::of_all(&run.cells) {
            let _ = writeln!(out, "{}", printable(&used.to_string()));
        }
        if let Some(enforced) = run.cells.iter().find_map(|cell| cell.sandbox) {
            let _ = writeln!(out, "built in a sandbox: {enforced}");
        }
        out
    }

    fn inspection(&self, tree: &str, inspection: &Inspection, rules: &Rules) -> String {
        let id = &inspection.identity;
        let mut out = format!(
            "{BOLD}{}{BOLD:#}: Linux {}, {}, {}",
            printable(tree),
            printable(&id.kernel),
            printable(&id.arch),
            id.lto
        );
        if !id.compiler.is_empty() {
            let _ = write!(out, ", {}", printable(&id.compiler));
        }
        out.push('\n');
        write_counts(&mut out, inspection);
        let findings = inspection.findings.iter();
        let findings = findings.map(|finding| Seen {
            finding,
            cells: &[],
        });
        let findings: Vec<_> = findings.collect();
        write_findings(&mut out, None, &findings, rules, self.options);
        if !self.options.allowed {
            write_allowed(&mut out, &inspection.findings, rules);
        }
        let _ = writeln!(out, "\n{}", summary(inspection));
        out
    }
}

const TIMES_LOST: &str =
    "what is out of date does not show: the files do not have the times of the build\n";

fn write_counts(out: &mut String, inspection: &Inspection) {
    let counts = &inspection.counts;
    let modules = match counts.modules {
        0 => String::new(),
        modules => format!("; {}", counted(modules, "modules")),
    };
    let _ = writeln!(
        out,
        "{}, {} of them bitcode; {}{modules}",
        counted(counts.objects, "objects"),
        counts.ir_objects,
        counted(counts.exported_symbols, "symbols exported"),
    );
    if inspection.times_lost {
        out.push_str(TIMES_LOST);
    }
    for (kind, number) in &inspection.warnings {
        let _ = writeln!(
            out,
            "{} in the log: {}",
            counted(*number, "warnings"),
            printable(kind)
        );
    }
}

/// The last line on one build tree.
fn summary(inspection: &Inspection) -> String {
    let coverage = Coverage::of(&inspection.rules, &inspection.findings);
    let open: Vec<_> = inspection.findings.iter().filter(|f| f.is_open()).collect();
    let allowed = inspection.findings.len() - open.len();
    let unfinished = inspection.unfinished.as_ref();
    let unfinished = unfinished.map(|why| format!("the build is not finished, {}", printable(why)));
    let mut text = match (by_rule(open.iter().copied()).len(), unfinished) {
        (0, Some(why)) => {
            format!("{YELLOW}inconclusive{YELLOW:#}: {why}; nothing in what is there breaks a rule")
        }
        (0, None) if coverage.rules == 0 => {
            format!("{YELLOW}inconclusive{YELLOW:#}: no rule had anything to look at")
        }
        (0, None) => {
            let over = coverage.over();
            format!(
                "{GREEN}ok{GREEN:#}: {}{over}",
                counted(coverage.rules, "rules")
            )
        }
        (rules, unfinished) => {
            let is = if rules == 1 { "is" } else { "are" };
            let of = counted(coverage.rules, "rules");
            let findings = counted(open.len(), "findings");
            let why = unfinished.map(|why| format!("; {why}")).unwrap_or_default();
            format!("{RED}failed{RED:#}: {rules} of {of} {is} broken, {findings}{why}")
        }
    };
    if allowed > 0 {
        let _ = write!(text, "; {} allowed", counted(allowed, "findings"));
    }
    if let Some(nothing) = coverage.nothing("") {
        let _ = write!(text, "; {nothing}");
    }
    text
}

fn write_cell(out: &mut String, cell: &CellRecord, cells: &Cells<'_>, options: Options) {
    let is_shown = cell.findings().next().is_some()
        || cell.error.is_some()
        || matches!(cell.outcome, Outcome::Fail | Outcome::Error(_))
        || !cell.differences.is_empty()
        || cell.predecessor.is_some();
    if !is_shown {
        return;
    }
    let rules = &cell.rules;
    let (name, outcome) = (printable(&cell.cell), cell.outcome.name());
    let _ = writeln!(out, "{BOLD}{name}{BOLD:#}: {outcome}");
    for (part, placed) in grouped(Placed::all(cell), |placed| placed.part) {
        let title = match part {
            PartOf::Build => None,
            PartOf::Scenario(name) => Some(format!("scenario {}", printable(name))),
            PartOf::Comparison(with) => Some(format!("comparison with {with}")),
        };
        let is_shown = |f: &FindingRecord| f.is_open() || options.allowed;
        if let Some(title) = title.filter(|_| placed.iter().any(|p| is_shown(p.finding))) {
            let _ = writeln!(out, "\n{BOLD}{title}{BOLD:#}:");
        }
        let seen = placed.iter().map(|placed| Seen {
            finding: placed.finding,
            cells: cells.get(&placed.identity()).map_or(&[], Vec::as_slice),
        });
        write_findings(out, Some(cell), &seen.collect::<Vec<_>>(), rules, options);
    }
    if !options.allowed {
        write_allowed(out, cell.findings(), rules);
    }
    write_differences(out, cell, options);
    write_end(out, cell);
    out.push('\n');
}

/// Why the cell is inconclusive, where its log is, and how to see the same by hand.
fn write_end(out: &mut String, cell: &CellRecord) {
    let failed = cell.outcome == Outcome::Fail;
    let why = match (&cell.error, &cell.outcome) {
        (Some(why), _) | (None, Outcome::Error(why)) => Some(why),
        (None, _) => None,
    };
    if let Some(why) = why {
        let what = if failed {
            "inconclusive beyond that"
        } else {
            "inconclusive"
        };
        let _ = writeln!(out, "\n{YELLOW}{what}{YELLOW:#}: {}", printable(why));
    }
    if !failed && why.is_none() {
        return;
    }
    let unfinished = cell.inspection.as_ref().and_then(|i| i.unfinished.as_ref());
    let mut lines: Vec<String> = Vec::new();
    lines.extend(unfinished.map(|why| format!("the build is not finished, {}", printable(why))));
    lines.extend(
        cell.logs
            .iter()
            .map(|log| format!("log: {}", printable(log))),
    );
    if failed {
        lines.extend(reproduce(&cell.reproduce));
    }
    if !lines.is_empty() {
        out.push('\n');
    }
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

/// Lines for a shell: two variables, and the commands that use them.
pub(super) fn reproduce(reproduce: &Reproduce) -> Vec<String> {
    if reproduce.commands.is_empty() {
        return Vec::new();
    }
    let variables = [("KERNEL", &reproduce.kernel), ("O", &reproduce.build)];
    let variables = variables.map(|(name, path)| format!("    {name}={}", quoted(path)));
    let commands = reproduce.commands.iter();
    let commands = commands.map(|command| format!("    {}", printable(command)));
    let title = ["reproduce:".to_owned()];
    title.into_iter().chain(variables).chain(commands).collect()
}

/// A path as one word of a shell.
fn quoted(path: &str) -> String {
    let word = shlex::try_quote(path).unwrap_or(path.into());
    printable(&word).into_owned()
}

/// Writes the first `shown` lines, or all.
fn write_lines(out: &mut String, text: &str, shown: Option<usize>) {
    let lines: Vec<&str> = text.lines().collect();
    let shown = shown.unwrap_or(lines.len());
    for line in lines.iter().take(shown) {
        let _ = writeln!(out, "    {}", printable(line));
    }
    if let Some(more @ 1..) = lines.len().checked_sub(shown) {
        let _ = writeln!(out, "    … and {more} more lines; --all shows them");
    }
}

/// What no verdict covers: scenarios, steps and comparisons that were skipped, and rules
/// that had nothing to look at. The table says why a whole cell was skipped.
fn write_not_judged(out: &mut String, run: &RunRecord, options: Options) {
    let mut skipped = Vec::new();
    for cell in &run.cells {
        let name = printable(&cell.cell);
        for scenario in &cell.scenarios {
            let told = scenario.skipped.iter().filter(|s| !s.reason.is_expected());
            let scenario = printable(&scenario.name);
            skipped.extend(told.map(|skip| {
                let skip = skip.to_string();
                format!("{name}: scenario {scenario}: {}", printable(&skip))
            }));
        }
        for comparison in &cell.comparisons {
            let told = comparison.skipped.iter().filter(|s| !s.is_expected());
            let with = comparison.with;
            skipped.extend(told.map(|reason| format!("{name}: comparison with {with}: {reason}")));
            let rules = comparison.not_compared.iter();
            skipped.extend(rules.map(|NotCompared { key, why }| {
                let why = printable(why);
                format!("{name}: comparison with {with}: {}: {why}", printable(key))
            }));
        }
    }
    let mut lines = match (skipped.len(), options.all) {
        (0, _) => Vec::new(),
        (_, true) => skipped,
        (number, false) => vec![format!(
            "{} of scenarios and comparisons; --all shows them",
            counted(number, "parts")
        )],
    };
    let coverage = Coverage::of(
        &merged(run),
        run.cells.iter().flat_map(CellRecord::findings),
    );
    lines.extend(coverage.nothing(" in any cell"));
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{BOLD}not judged{BOLD:#}:");
    for line in lines {
        let _ = writeln!(out, "    {line}");
    }
    out.push('\n');
}

/// How much each rule looked at, in the cell in which it looked at the most.
fn merged(run: &RunRecord) -> Vec<RuleCount> {
    let mut merged: Vec<RuleCount> = Vec::new();
    let inspections = run.cells.iter().filter_map(|c| c.inspection.as_ref());
    for rule in inspections.flat_map(|inspection| &inspection.rules) {
        match merged.iter_mut().find(|known| known.key == rule.key) {
            Some(known) => known.looked_at = known.looked_at.max(rule.looked_at),
            None => merged.push(rule.clone()),
        }
    }
    merged
}

/// Seconds as people read them.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, never negative"
    )]
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0.04, "0.0 s")]
    #[case(46.25, "46.2 s")]
    #[case(59.96, "1 min 00 s")]
    #[case(225.0, "3 min 45 s")]
    #[case(3599.0, "59 min 59 s")]
    #[case(4380.0, "1 h 13 min")]
    fn times_are_read_at_a_glance(#[case] seconds: f64, #[case] expected: &str) {
        assert_eq!(duration(seconds), expected);
    }

    #[rstest]
    #[case::plain("/src/linux", "/src/linux")]
    #[case::space("/my src", "'/my src'")]
    #[case::quote("/it's", "\"/it's\"")]
    #[case::empty("", "''")]
    fn a_path_is_one_word_of_a_shell(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(quoted(path), expected);
        assert_eq!(shlex::split(&quoted(path)), Some(vec![path.to_owned()]));
    }
}
