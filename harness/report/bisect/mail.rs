//! A mail to the author of the commit, in plain text of at most 72 columns, but for what tools
//! printed. klto sends nothing: `git send-email` does.

use std::fmt::Write as _;

use super::{named, needed_symbols, searched, short, summary, toolchains};
use crate::model::bisect::{BisectRecord, CommitRecord, Ended};
use crate::report::printable;
use crate::report::wrapped::{HEADERS, LAST_LINE, sentence, wrap, write_command};

pub(super) fn mail(search: &BisectRecord) -> String {
    let mut out = String::new();
    let culprit = match &search.ended {
        Some(Ended::Culprit { commit }) => Some(commit),
        Some(
            Ended::Among { .. }
            | Ended::Toolchain
            | Ended::EndsDoNotFit { .. }
            | Ended::Contradiction { .. },
        )
        | None => None,
    };
    let subject = match culprit {
        Some(commit) => format!("[REGRESSION] {}", printable(&commit.subject)),
        None => "klto bisect: no commit was found".to_owned(),
    };
    let _ = writeln!(out, "Subject: {subject}");
    if let Some(commit) = culprit {
        let _ = writeln!(out, "To: {}", mailbox(&printable(&commit.author)));
    }
    out.push_str(HEADERS);
    wrap(&mut out, "", &sentence(&summary(search)));
    write_fault(&mut out, search);
    if let Some(of) = &search.toolchains {
        out.push('\n');
        wrap(&mut out, "", &sentence(&toolchains(of)));
    }
    if !search.steps.is_empty() {
        out.push('\n');
        let searched = format!("Searched: {}", searched(search));
        wrap(&mut out, "", &sentence(&searched));
    }
    if let Some(commit) = culprit {
        write_culprit(&mut out, search, commit);
    }
    for note in &search.notes {
        out.push('\n');
        wrap(&mut out, "", &sentence(note));
    }
    out.push_str(LAST_LINE);
    out
}

/// `NAME <MAIL>` as one recipient, whatever is in the name.
fn mailbox(author: &str) -> String {
    match author.rsplit_once(" <") {
        Some((name, mail)) => {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{name}\" <{mail}")
        }
        None => author.to_owned(),
    }
}

fn write_fault(out: &mut String, search: &BisectRecord) {
    out.push('\n');
    let Some(finding) = &search.finding else {
        wrap(out, "  ", &search.oracle);
        return;
    };
    let head = format!(
        "{} of {}, in {}:",
        finding.key, finding.object, finding.cell
    );
    wrap(out, "", &head);
    out.push('\n');
    wrap(out, ">> ", &finding.evidence);
    if let Some(rule) = search.rules.get(&finding.key) {
        out.push('\n');
        wrap(out, "", &format!("Why it matters: {}", rule.why));
    }
}

fn write_culprit(out: &mut String, search: &BisectRecord, commit: &CommitRecord) {
    out.push_str("\nHow sure this is:\n\n");
    for check in &search.checks {
        let word = match check.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "could not be told",
        };
        wrap(
            out,
            "  ",
            &format!("{}: {word} ({})", check.what, check.seen),
        );
    }
    if let Some(hunks) = &search.hunks {
        out.push_str("\nPlaces that bring it, without any of which it does not show:\n\n");
        for hunk in hunks {
            let (file, text) = (printable(&hunk.file), printable(&hunk.text));
            let _ = writeln!(out, "    {file}:{}: {text}", hunk.line);
        }
    }
    if let Some(symbols) = needed_symbols(search) {
        out.push('\n');
        wrap(out, "", &sentence(&symbols));
    }
    if !search.reproduce.is_empty() {
        out.push_str("\nTo reproduce, in a clone of the kernel:\n\n");
        for command in &search.reproduce {
            write_command(out, command);
        }
    }
    out.push_str("\nIf you fix it in a separate patch, please add:\n\n");
    let _ = writeln!(out, "    Fixes: {}", named(commit));
    if search.tracked.is_some() {
        out.push_str("\nFor regzbot, if users would notice:\n\n");
        let _ = writeln!(out, "    #regzbot introduced: {}", short(commit));
    }
}
