//! The search for people, on a terminal.

use std::fmt::Write as _;

use super::{named, needed_symbols, searched, short, summary, toolchains};
use crate::model::bisect::{BisectRecord, CommitRecord, Ended, StepRecord, Verdict};
use crate::report::printable;
use crate::report::text::{BOLD, GREEN, RED, YELLOW};

/// Other findings of a step that are shown.
const SHOWN: usize = 3;

pub(super) fn text(search: &BisectRecord) -> String {
    let mut out = String::new();
    write_sought(&mut out, search);
    if let Some(of) = &search.toolchains {
        let _ = writeln!(out, "{}", printable(&toolchains(of)));
    }
    if !search.steps.is_empty() {
        let _ = writeln!(out, "{}\n", searched(search));
    }
    for step in &search.steps {
        write_step(&mut out, step);
    }
    match &search.ended {
        Some(Ended::Culprit { commit }) => write_culprit(&mut out, search, commit),
        Some(Ended::Among { commits }) => {
            out.push_str("\nleft:\n");
            for commit in commits {
                let _ = writeln!(out, "  {}", named(commit));
            }
        }
        Some(Ended::Toolchain | Ended::EndsDoNotFit { .. } | Ended::Contradiction { .. })
        | None => {}
    }
    for note in &search.notes {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    let (style, word) = match &search.ended {
        Some(Ended::Culprit { .. })
            if search.checks.iter().all(|check| check.holds == Some(true)) =>
        {
            (GREEN, "found")
        }
        Some(Ended::Toolchain) => (GREEN, "found"),
        Some(Ended::Culprit { .. }) => (YELLOW, "found"),
        Some(Ended::Among { .. } | Ended::EndsDoNotFit { .. } | Ended::Contradiction { .. })
        | None => (YELLOW, "inconclusive"),
    };
    let _ = writeln!(
        out,
        "\n{style}{word}{style:#}: {}",
        printable(&summary(search))
    );
    out
}

fn write_sought(out: &mut String, search: &BisectRecord) {
    match &search.finding {
        None => {
            let _ = writeln!(out, "{BOLD}{}{BOLD:#}", printable(&search.oracle));
        }
        Some(finding) => {
            let step = finding.step.as_ref();
            let step = step.map_or(String::new(), |step| {
                format!(", after '{}'", printable(step))
            });
            let _ = writeln!(
                out,
                "{BOLD}{}{BOLD:#} of {}{step} ({}), in {}\n    {}",
                printable(&finding.key),
                printable(&finding.object),
                finding.id,
                printable(&finding.cell),
                printable(&finding.evidence)
            );
        }
    }
    if let [first, rest @ ..] = search.others.as_slice() {
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = writeln!(
            out,
            "also new at the bad end: {} of {}{more}; --key searches for another one",
            printable(&first.key),
            printable(&first.object)
        );
    }
}

fn write_step(out: &mut String, step: &StepRecord) {
    let style = match step.verdict {
        Verdict::Good => GREEN,
        Verdict::Bad => RED,
        Verdict::Unknown => YELLOW,
    };
    let how = match step.reused {
        true => ", known".to_owned(),
        false => format!(", {:.1} s", step.seconds),
    };
    let _ = writeln!(
        out,
        "  {style}{:<8}{style:#}{}  {}{how}",
        step.verdict.name(),
        short(&step.commit),
        printable(&step.commit.subject)
    );
    if step.verdict == Verdict::Unknown {
        let _ = writeln!(out, "          {}", printable(&step.why));
    }
    if !step.others.is_empty() {
        let shown: Vec<_> = step
            .others
            .iter()
            .take(SHOWN)
            .map(|o| printable(o))
            .collect();
        let more = match step.others.len().checked_sub(SHOWN) {
            Some(more @ 1..) => format!(" and {more} more"),
            Some(0) | None => String::new(),
        };
        let _ = writeln!(out, "          other findings: {}{more}", shown.join(", "));
    }
}

fn write_culprit(out: &mut String, search: &BisectRecord, commit: &CommitRecord) {
    let _ = writeln!(
        out,
        "\n{RED}culprit{RED:#}: {}\n  author: {}, {}",
        named(commit),
        printable(&commit.author),
        printable(&commit.date)
    );
    for check in &search.checks {
        let (style, word) = match check.holds {
            Some(true) => (GREEN, "yes"),
            Some(false) => (RED, "no"),
            None => (YELLOW, "could not be told"),
        };
        let (what, seen) = (printable(&check.what), printable(&check.seen));
        let _ = writeln!(out, "  {what}: {style}{word}{style:#} ({seen})");
    }
    if let Some(hunks) = &search.hunks {
        out.push_str("  places that bring it, without any of which it does not show:\n");
        for hunk in hunks {
            let (file, text) = (printable(&hunk.file), printable(&hunk.text));
            let _ = writeln!(out, "    {file}:{}: {text}", hunk.line);
        }
    }
    if let Some(symbols) = needed_symbols(search) {
        let _ = writeln!(out, "  {}", printable(&symbols));
    }
    let key = search.finding.as_ref().map(|finding| &finding.key);
    if let Some(rule) = key.and_then(|key| search.rules.get(key)) {
        let _ = writeln!(out, "  why: {}", printable(&rule.why));
        let _ = writeln!(out, "  fix: {}", printable(&rule.fix));
    }
    if !search.reproduce.is_empty() {
        out.push_str("  reproduce:\n");
    }
    for command in &search.reproduce {
        let _ = writeln!(out, "    {command}");
    }
    let _ = writeln!(out, "  for the fix: Fixes: {}", named(commit));
    if let Some(tracked) = &search.tracked {
        let _ = writeln!(
            out,
            "  for regzbot, if users would notice (it is in {}): #regzbot introduced: {}",
            printable(tracked),
            short(commit)
        );
    }
}
