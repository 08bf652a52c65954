//! A reply to the series, in plain text: headers that put it into the thread, and lines of at
//! most 72 columns, but for what tools printed. klto sends nothing: `git send-email` does.

use std::fmt::Write as _;

use super::{
    Group, Verdict, built_in, coverage, groups, new_commands, reach, reach_in_kernels, said, short,
    state_name, summary, verdict,
};
use crate::model::series::{SeriesRecord, Thread};
use crate::report::printable;
use crate::report::wrapped::{HEADERS, LAST_LINE, sentence, wrap, write_command};

/// Findings of a group that are shown.
const SHOWN: usize = 3;

/// The reply.
pub(super) fn mail(series: &SeriesRecord) -> String {
    let mut out = String::new();
    if let Some(thread) = &series.thread {
        write_headers(&mut out, thread);
    }
    let (kernel, why) = (&series.base.kernel, &series.base.why);
    let intro = format!(
        "This is the result of klto on version {} of this series, {}, applied to {} (Linux {kernel}), {why}.",
        series.version,
        crate::model::finding::counted(series.patches.len(), "patches"),
        short(&series.base.commit),
    );
    wrap(&mut out, "", &intro);
    let cells: Vec<&str> = series.cells.iter().map(String::as_str).collect();
    out.push('\n');
    wrap(&mut out, "  ", &format!("probed: {}", said(&cells)));
    let kernels: Vec<&str> = series.kernels.iter().map(String::as_str).collect();
    if !kernels.is_empty() {
        let which = match series.per_patch {
            true => "after each patch",
            false => "with all patches",
        };
        let kernels = format!("whole kernels, on the base and {which}: {}", said(&kernels));
        wrap(&mut out, "  ", &kernels);
    }
    wrap(&mut out, "  ", &format!("with: {}", series.toolchain));
    wrap(
        &mut out,
        "  ",
        &format!("base and patches were built {}", built_in(series)),
    );
    for note in &series.notes {
        wrap(&mut out, "  ", &format!("note: {note}"));
    }
    for patch in &series.patches {
        let number = patch.number;
        let reaches = [reach(series, number), reach_in_kernels(series, number)];
        for reach in reaches.into_iter().flatten() {
            wrap(&mut out, "  ", &format!("patch {number}: {reach}"));
        }
    }
    out.push('\n');
    wrap(&mut out, "", &sentence(&summary(series)));
    let mut before = Vec::new();
    for group in groups(series.worse()) {
        write_group(&mut out, series, &group);
        if let Some(commands) = new_commands(series, &group, Some("SERIES.mbox"), &mut before) {
            out.push_str("\n   To reproduce, in a clone of the kernel:\n\n");
            for command in commands {
                write_command(&mut out, command);
            }
        }
    }
    if let Some(coverage) = &series.coverage {
        out.push('\n');
        wrap(
            &mut out,
            "",
            &format!("What this covers: {}.", coverage::head(coverage)),
        );
        for sentence in coverage::sentences(coverage, None, false) {
            wrap(&mut out, "  ", &sentence);
        }
    }
    write_rest(&mut out, series);
    write_trailers(&mut out, series);
    out
}

fn write_headers(out: &mut String, thread: &Thread) {
    let header = |name: &str, values: &[String]| {
        let values = values.iter().map(|value| printable(value).into_owned());
        format!("{name}: {}\n", values.collect::<Vec<_>>().join(",\n\t"))
    };
    let subject = printable(&thread.subject);
    let re = if subject.to_lowercase().starts_with("re:") {
        ""
    } else {
        "Re: "
    };
    let _ = writeln!(out, "Subject: {re}{subject}");
    out.push_str(&header("To", std::slice::from_ref(&thread.from)));
    let cc: Vec<String> = [&thread.to[..], &thread.cc[..]].concat();
    if !cc.is_empty() {
        out.push_str(&header("Cc", &cc));
    }
    let id = format!("<{}>", printable(&thread.message_id));
    let _ = writeln!(out, "In-Reply-To: {id}");
    let earlier = thread.references.iter();
    let earlier = earlier.map(|id| format!("<{}>", printable(id)));
    let chain: Vec<String> = earlier.chain([id]).collect();
    let _ = writeln!(out, "References: {}", chain.join("\n\t"));
    out.push_str(HEADERS);
}

fn write_group(out: &mut String, series: &SeriesRecord, group: &Group<'_>) {
    out.push('\n');
    let (key, what, change) = (group.key, group.what(series), group.change);
    wrap(out, "", &format!(">> {key}: {what}, {change}"));
    let patch = group
        .change
        .worse_by()
        .and_then(|by| series.patches.get(by - 1));
    if let Some(patch) = patch {
        wrap(
            out,
            "   ",
            &format!("patch {} is \"{}\"", patch.number, patch.title),
        );
    }
    wrap(out, "   ", &format!("in {}", said(&group.cells())));
    for sentence in coverage::bringing(group) {
        wrap(out, "   ", &sentence);
    }
    out.push('\n');
    for finding in group.findings.iter().take(SHOWN) {
        let step = finding.step.as_ref();
        let step = step
            .map(|step| format!(", after '{step}'"))
            .unwrap_or_default();
        wrap(
            out,
            "   ",
            &format!("{}{step}: {}", finding.object, finding.evidence),
        );
        for line in &finding.details {
            let _ = writeln!(out, "     {}", printable(line));
        }
    }
    if let Some(more @ 1..) = group.findings.len().checked_sub(SHOWN) {
        let _ = writeln!(out, "   and {more} more");
    }
    if let Some(rule) = series.rules.get(group.key) {
        out.push('\n');
        wrap(out, "   ", &format!("Why it matters: {}.", rule.why));
    }
}

/// What is not new, and what could not be told.
fn write_rest(out: &mut String, series: &SeriesRecord) {
    let other = series.findings.iter();
    let other = groups(other.filter(|f| !f.change.is_worse() || f.is_acknowledged));
    if !other.is_empty() {
        out.push('\n');
    }
    for group in other {
        let (key, what, cells) = (group.key, group.what(series), said(&group.cells()));
        let change = group.change_if_not_counted();
        wrap(out, "", &format!("{change}: {key}: {what} ({cells})"));
    }
    if !series.undecided.is_empty() {
        out.push_str("\nThis could not be told:\n");
    }
    for undecided in &series.undecided {
        let (cell, state) = (said(&[&undecided.cell]), state_name(undecided.state));
        wrap(out, "  ", &format!("{cell}, {state}: {}", undecided.why));
    }
}

fn write_trailers(out: &mut String, series: &SeriesRecord) {
    match verdict(series, None) {
        Verdict::Worse => out.push_str(
            "\nIf you fix it in a separate patch, and not in a new version of the\n\
             series, these trailers tell where it was found. LINK is that of this\n\
             mail, NAME whoever sent it:\n\n  Reported-by: NAME\n  Closes: LINK\n",
        ),
        Verdict::Ok => out.push_str(
            "\nIf this is worth a trailer to you, NAME is whoever sent this mail:\n\n  \
             Tested-by: NAME\n",
        ),
        Verdict::Inconclusive => {}
    }
    out.push_str(LAST_LINE);
}
