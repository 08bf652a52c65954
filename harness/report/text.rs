//! The report that people read on a terminal. Colours are ANSI styles; whoever
//! prints strips them where they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Group, Plural, groups, printable};
use crate::model::finding::{Finding, Severity};
use crate::model::outcome::Verdict;
use crate::model::outcome::{CellResult, Checked, NOT_IN_MODE, RunResult};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Objects shown of a group, unless all are asked for.
pub(super) const SHOWN: usize = 4;
/// Lines of a snapshot difference shown, unless all are asked for.
const DIFF_LINES: usize = 40;

/// What `klto check` says of one build tree.
#[must_use]
pub fn tree(tree: &str, checked: &Checked, all: bool) -> String {
    let id = &checked.identity;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{BOLD}{}{BOLD:#}: Linux {}, {}, {}, {}",
        printable(tree),
        printable(&id.kernel),
        id.arch,
        id.mode,
        printable(&id.compiler)
    );
    let _ = writeln!(out, "{}", counts(checked));
    out.push_str(&findings(&checked.findings, all));
    let _ = writeln!(out, "\n{}", summary(checked));
    out
}

fn counts(checked: &Checked) -> String {
    let counts = &checked.counts;
    let mut text = format!(
        "{}, {} of them bitcode; {}",
        Plural(counts.objects, "object"),
        counts.ir,
        Plural(counts.exports, "exported symbol")
    );
    for (kind, count) in &checked.warnings {
        let _ = write!(
            text,
            "\n{} in the log: {}",
            Plural(*count, "warning"),
            printable(kind)
        );
    }
    text
}

/// Every group of findings, largest meaning first: in the order of the rules.
fn findings(findings: &[Finding], all: bool) -> String {
    let mut out = String::new();
    for group in groups(findings) {
        out.push('\n');
        write_group(&mut out, &group, all);
    }
    out
}

fn write_group(out: &mut String, group: &Group, all: bool) {
    let rule = group.rule;
    let (style, label) = match (group.suppressed, rule.severity) {
        (Some(_), _) => (Style::new(), "allowed"),
        (None, Severity::Error) => (RED, Severity::Error.name()),
        (None, Severity::Warning) => (YELLOW, Severity::Warning.name()),
    };
    let _ = writeln!(
        out,
        "{style}{label}[{}]{style:#}: broken for {}: {}",
        rule.key,
        Plural(group.findings.len(), "object"),
        rule.invariant
    );
    let shown = if all { group.findings.len() } else { SHOWN };
    for finding in group.findings.iter().take(shown) {
        let step = finding
            .step
            .as_ref()
            .map(|step| format!("{step}: "))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "    {}: {}{}",
            printable(&finding.object),
            printable(&step),
            printable(&finding.evidence)
        );
    }
    if let Some(more @ 1..) = group.findings.len().checked_sub(shown) {
        let _ = writeln!(out, "    … and {more} more; --all shows them");
    }
    match group.suppressed {
        Some(reason) => {
            let _ = writeln!(out, "  allowed: {}", printable(reason));
        }
        None => {
            let _ = writeln!(out, "  why: {}\n  fix: {}", rule.why, rule.fix);
        }
    }
}

fn summary(checked: &Checked) -> String {
    let open = checked.open_findings().count();
    let allowed = checked.findings.len() - open;
    let mut text = if let (0, Some(why)) = (open, &checked.unfinished) {
        format!(
            "{YELLOW}cannot tell{YELLOW:#}: the build is not finished, {}; what is there breaks no rule",
            printable(why)
        )
    } else if open == 0 {
        format!(
            "{GREEN}ok{GREEN:#}: {} hold",
            Plural(checked.rules.len(), "rule")
        )
    } else {
        let mut keys: Vec<&str> = checked.open_findings().map(|f| f.rule.key).collect();
        keys.dedup();
        keys.sort_unstable();
        keys.dedup();
        format!(
            "{RED}broken{RED:#}: {} of {}",
            Plural(open, "finding"),
            Plural(keys.len(), "rule")
        ) + &match &checked.unfinished {
            Some(why) => format!("; the build is not finished, {}", printable(why)),
            None => String::new(),
        }
    };
    if allowed > 0 {
        let _ = write!(text, "; {} allowed", Plural(allowed, "finding"));
    }
    text
}

/// What `klto run` says of a matrix: details of what is not as it should be,
/// then the table.
#[must_use]
pub fn run(result: &RunResult, all: bool) -> String {
    let mut out = String::new();
    for cell in &result.cells {
        write_cell(&mut out, cell, all);
    }
    out.push_str(&left_out(result, all));
    out.push_str(&table(result));
    out
}

/// Steps of scenarios that were not played, for a reason other than the mode.
fn left_out(result: &RunResult, all: bool) -> String {
    let mut lines = Vec::new();
    for cell in &result.cells {
        for scenario in &cell.scenarios {
            let reasons = scenario.left_out.iter();
            let told = reasons.filter(|reason| !reason.starts_with(NOT_IN_MODE));
            lines.extend(told.map(|reason| {
                let (cell, scenario) = (&cell.name, &scenario.name);
                format!("    {cell}: {scenario}: {}", printable(reason))
            }));
        }
    }
    match (lines.len(), all) {
        (0, _) => String::new(),
        (_, true) => format!("left out:\n{}\n\n", lines.join("\n")),
        (n, false) => format!(
            "{} of scenarios left out; --all shows them\n\n",
            Plural(n, "step")
        ),
    }
}

fn write_cell(out: &mut String, cell: &CellResult, all: bool) {
    let details = cell.failure.is_some()
        || !cell.differences.is_empty()
        || cell
            .checked
            .as_ref()
            .is_some_and(|c| !c.findings.is_empty())
        || cell.scenarios.iter().any(|s| !s.findings.is_empty());
    if !details {
        return;
    }
    let _ = writeln!(out, "{BOLD}{}{BOLD:#}", cell.name);
    if let Some(failure) = &cell.failure {
        let _ = writeln!(
            out,
            "\n{RED}build failed{RED:#}: {}",
            printable(&failure.summary)
        );
        for line in &failure.first_errors {
            let _ = writeln!(out, "    {}", printable(line));
        }
        let _ = writeln!(out, "  log: {}", printable(&failure.log));
    }
    if let Some(checked) = &cell.checked {
        out.push_str(&findings(&checked.findings, all));
    }
    for scenario in &cell.scenarios {
        if !scenario.findings.is_empty() {
            let _ = writeln!(out, "\n{BOLD}scenario {}{BOLD:#}", scenario.name);
            out.push_str(&findings(&scenario.findings, all));
        }
    }
    for difference in &cell.differences {
        let _ = writeln!(out, "\n{YELLOW}differs{YELLOW:#}: {}", difference.facet);
        let lines: Vec<&str> = difference.diff.lines().collect();
        let shown = if all { lines.len() } else { DIFF_LINES };
        for line in lines.iter().take(shown) {
            let _ = writeln!(out, "    {}", printable(line));
        }
        if let Some(more @ 1..) = lines.len().checked_sub(shown) {
            let _ = writeln!(out, "    … and {more} more lines; --all shows them");
        }
    }
    if cell.failure.is_some() || cell.is_broken() {
        let _ = writeln!(out, "\n  reproduce:");
        for command in &cell.reproduce {
            let _ = writeln!(out, "    {}", printable(command));
        }
    }
    out.push('\n');
}

fn table(result: &RunResult) -> String {
    let width = result.cells.iter().map(|c| c.name.len()).max().unwrap_or(4);
    let mut out = format!(
        "{BOLD}{:width$}  {:9}  {:>8}  {:>8}  {:>7}  build{BOLD:#}\n",
        "cell", "verdict", "findings", "objects", "exports"
    );
    for cell in &result.cells {
        let style = match (&cell.verdict, cell.is_broken()) {
            (_, true) | (Verdict::Regressed | Verdict::Broken, _) => RED,
            (Verdict::Same | Verdict::Fixed | Verdict::New | Verdict::Holds, false) => GREEN,
            (
                Verdict::Changed | Verdict::Missing | Verdict::Skipped(_) | Verdict::Infra(_),
                false,
            ) => YELLOW,
        };
        let (open, objects, exports) = match &cell.checked {
            Some(c) => (
                cell.open_findings().count().to_string(),
                c.counts.objects.to_string(),
                c.counts.exports.to_string(),
            ),
            None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
        };
        let note = match &cell.verdict {
            Verdict::Skipped(reason) | Verdict::Infra(reason) => printable(reason).into_owned(),
            Verdict::Missing => "accepted, but no cell of this matrix".to_owned(),
            Verdict::Same
            | Verdict::Fixed
            | Verdict::Regressed
            | Verdict::Changed
            | Verdict::New
            | Verdict::Holds
            | Verdict::Broken => match (&cell.failure, &cell.derived_from) {
                (Some(_), _) => "failed".to_owned(),
                (None, Some(from)) => format!("{}, derived from {from}", duration(cell.seconds)),
                (None, None) => duration(cell.seconds),
            },
        };
        let _ = writeln!(
            out,
            "{:width$}  {style}{:9}{style:#}  {open:>8}  {objects:>8}  {exports:>7}  {note}",
            cell.name,
            cell.verdict.name(),
        );
    }
    let broken = result.cells.iter().filter(|c| c.is_broken()).count();
    let infra = result
        .cells
        .iter()
        .filter(|c| matches!(c.verdict, Verdict::Infra(_)))
        .count();
    let _ = writeln!(
        out,
        "\n{} of {}, Linux {}: {}",
        Plural(result.cells.len(), "cell"),
        printable(&result.matrix),
        printable(&result.kernel),
        match (broken, infra) {
            (0, 0) => format!("{GREEN}ok{GREEN:#}"),
            (0, n) => format!("{YELLOW}{n} cannot be told{YELLOW:#}"),
            (n, 0) => format!("{RED}{n} broken{RED:#}"),
            (n, m) => format!("{RED}{n} broken{RED:#}, {m} cannot be told"),
        }
    );
    out
}

/// Seconds as people read them.
#[must_use]
pub fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, never negative"
    )]
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}
