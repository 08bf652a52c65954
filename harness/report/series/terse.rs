//! A line for each complaint and nothing otherwise, as checkpatch writes it: `ERROR:` is what
//! fails a patch, everything else a warning. `b4 prep --check` and hooks read it.

use std::fmt::Write as _;

use super::{groups, said, state_name, undecided, worse};
use crate::model::series::SeriesRecord;
use crate::report::printable;

/// The complaints about one patch, or about the series if `patch` is `None`.
pub(super) fn answer(series: &SeriesRecord, patch: Option<usize>) -> String {
    let mut out = String::new();
    for group in groups(worse(series, patch)) {
        let _ = writeln!(
            out,
            "ERROR: {}: {}, {} ({})",
            printable(group.key),
            group.what(series),
            group.change,
            said(&group.cells())
        );
    }
    for undecided in undecided(series, patch) {
        let _ = writeln!(
            out,
            "WARNING: could not be told, {}, {}: {}",
            said(&[&undecided.cell]),
            state_name(undecided.state),
            printable(&undecided.why)
        );
    }
    out
}

/// What is said of a patch that was not judged.
pub const NOT_JUDGED: &str =
    "WARNING: klto has not judged this patch; judge its series with: klto series\n";
