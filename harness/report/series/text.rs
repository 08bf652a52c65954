//! The verdict for people, on a terminal.

use std::fmt::Write as _;

use super::{
    Group, Verdict, built_in, coverage, groups, new_commands, reach, reach_in_kernels, said, short,
    state_name, summary, verdict,
};
use crate::model::finding::Severity;
use crate::model::series::{PatchRecord, SeriesRecord};
use crate::report::printable;
use crate::report::text::findings::SHOWN;
use crate::report::text::{BOLD, GREEN, RED, YELLOW};

/// The verdict. `all`: every object of a group.
pub(super) fn text(series: &SeriesRecord, all: bool) -> String {
    let mut out = String::new();
    let title = printable(&series.title);
    let _ = writeln!(
        out,
        "{BOLD}{title}{BOLD:#}, version {}, from {}\non {} (Linux {}), {}",
        series.version,
        printable(&series.from),
        short(&series.base.commit),
        printable(&series.base.kernel),
        printable(&series.base.why)
    );
    let _ = writeln!(out, "base and patches were built {}", built_in(series));
    for note in &series.notes {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    out.push('\n');
    for patch in &series.patches {
        write_patch(&mut out, series, patch);
    }
    let (counted, other): (Vec<_>, Vec<_>) = series
        .findings
        .iter()
        .partition(|finding| finding.change.is_worse() && !finding.is_acknowledged);
    let mut before = Vec::new();
    for group in groups(counted) {
        write_group(&mut out, series, &group, all);
        if let Some(commands) = new_commands(series, &group, series.mbox.as_deref(), &mut before) {
            let _ = writeln!(out, "  reproduce, in the repository:");
            for command in commands {
                let _ = writeln!(out, "    {command}");
            }
        }
    }
    write_other(&mut out, series, &groups(other));
    write_coverage(&mut out, series, all);
    write_undecided(&mut out, series);
    let (style, word) = match verdict(series, None) {
        Verdict::Ok => (GREEN, "ok"),
        Verdict::Worse => (RED, "failed"),
        Verdict::Inconclusive => (YELLOW, "inconclusive"),
    };
    let _ = writeln!(out, "\n{style}{word}{style:#}: {}", summary(series));
    out
}

/// A line for each patch: what it is, and what it does.
fn write_patch(out: &mut String, series: &SeriesRecord, patch: &PatchRecord) {
    let number = patch.number;
    let same = series.states.get(number).and_then(|state| state.same_as);
    let what = match verdict(series, Some(number)) {
        Verdict::Worse => format!("{RED}worse{RED:#}"),
        Verdict::Inconclusive => format!("{YELLOW}inconclusive{YELLOW:#}"),
        Verdict::Ok if same == Some(number - 1) => "no file that a probe reads".to_owned(),
        Verdict::Ok => format!("{GREEN}ok{GREEN:#}"),
    };
    let merged = if patch.is_merged {
        ", merged by git"
    } else {
        ""
    };
    let title = printable(&patch.title);
    let _ = writeln!(out, "  {number}  {title}: {what}{merged}");
    let reaches = [reach(series, number), reach_in_kernels(series, number)];
    for reach in reaches.into_iter().flatten() {
        let _ = writeln!(out, "     {reach}");
    }
}

fn write_group(out: &mut String, series: &SeriesRecord, group: &Group<'_>, all: bool) {
    let rule = series.rules.get(group.key);
    let label = rule.map_or(Severity::Error, |rule| rule.severity).name();
    let key = printable(group.key);
    let _ = writeln!(
        out,
        "\n{RED}{}{RED:#}: {label}[{key}]: {}",
        group.change,
        group.what(series)
    );
    let shown = if all { group.findings.len() } else { SHOWN };
    for finding in group.findings.iter().take(shown) {
        let step = finding.step.as_ref();
        let step = step.map(|step| format!(", after '{}'", printable(step)));
        let (object, evidence) = (printable(&finding.object), printable(&finding.evidence));
        let (step, id) = (step.unwrap_or_default(), &finding.id);
        let _ = writeln!(out, "    {object}{step}: {evidence} ({id})");
        for line in &finding.details {
            let _ = writeln!(out, "        {}", printable(line));
        }
    }
    if let Some(more @ 1..) = group.findings.len().checked_sub(shown) {
        let _ = writeln!(out, "    … and {more} more; --all shows them");
    }
    let _ = writeln!(out, "  in: {}", said(&group.cells()));
    for sentence in coverage::bringing(group) {
        let _ = writeln!(out, "  {sentence}");
    }
    if let Some(rule) = rule {
        let _ = writeln!(out, "  why: {}", printable(&rule.why));
        let _ = writeln!(out, "  fix: {}", printable(&rule.fix));
    }
}

/// What does not count, a line for each group.
fn write_other(out: &mut String, series: &SeriesRecord, groups: &[Group<'_>]) {
    for (at, group) in groups.iter().enumerate() {
        if at == 0 {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "{}: {}: {} ({})",
            group.change_if_not_counted(),
            printable(group.key),
            group.what(series),
            said(&group.cells())
        );
    }
}

fn write_coverage(out: &mut String, series: &SeriesRecord, all: bool) {
    let Some(coverage) = &series.coverage else {
        return;
    };
    let head = coverage::head(coverage);
    let _ = writeln!(out, "\n{BOLD}covered{BOLD:#}: {head}");
    for sentence in coverage::sentences(coverage, None, all) {
        let _ = writeln!(out, "    {sentence}");
    }
}

fn write_undecided(out: &mut String, series: &SeriesRecord) {
    if series.undecided.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{BOLD}could not be told{BOLD:#}:");
    for undecided in &series.undecided {
        let _ = writeln!(
            out,
            "    {}, {}: {}",
            said(&[&undecided.cell]),
            state_name(undecided.state),
            printable(&undecided.why)
        );
    }
}
