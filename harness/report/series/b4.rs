//! What `b4 review` reads of a check command: a list of results in JSON. b4 keeps a result by
//! message and tool, so there is one tool, whose name never changes; the cells are in the
//! details.

use serde::Serialize;

use super::{Verdict, coverage, groups, said, state_name, summary, undecided, verdict, worse};
use crate::model::finding::counted;
use crate::model::series::SeriesRecord;
use crate::report::{json, printable};

/// The name of the column in b4's table.
const TOOL: &str = "klto";

#[derive(Debug, Serialize)]
struct Answer {
    tool: &'static str,
    status: &'static str,
    summary: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    details: String,
}

/// The answer on one patch, or on the series if `patch` is `None`; of a series that was not
/// judged, that it was not.
#[must_use]
pub fn answer(series: Option<&SeriesRecord>, patch: Option<usize>) -> String {
    let answer = match series {
        Some(series) => of(series, patch),
        None => Answer {
            tool: TOOL,
            status: "warn",
            summary: "not yet judged".to_owned(),
            details: "judge it with: klto series --kernel DIR --mbox FILE".to_owned(),
        },
    };
    json::pretty(&[answer])
}

fn of(series: &SeriesRecord, patch: Option<usize>) -> Answer {
    let mut details: Vec<String> = Vec::new();
    for group in groups(worse(series, patch)) {
        let key = printable(group.key);
        let (what, cells) = (group.what(series), said(&group.cells()));
        details.push(format!("{}: {key}: {what} ({cells})", group.change));
    }
    for undecided in undecided(series, patch) {
        let (cell, state) = (said(&[&undecided.cell]), state_name(undecided.state));
        details.push(format!("{cell}, {state}: {}", printable(&undecided.why)));
    }
    if let Some(coverage) = &series.coverage {
        details.extend(coverage::sentences(coverage, patch, false));
    }
    let (status, of_patch) = match verdict(series, patch) {
        Verdict::Ok => ("pass", "this patch makes nothing worse"),
        Verdict::Worse => ("fail", "this patch makes it worse"),
        Verdict::Inconclusive => ("warn", "some results are missing"),
    };
    let summary = match patch {
        Some(_) => {
            let cells = series.cells.len() + series.kernels.len();
            format!("{of_patch}; {}", counted(cells, "cells"))
        }
        None => summary(series),
    };
    Answer {
        tool: TOOL,
        status,
        summary,
        details: details.join("\n"),
    }
}
