//! How cells differ from what is accepted, and accepted snapshots that nothing reads.

use std::fmt::Write as _;

use super::{BOLD, YELLOW, write_lines};
use crate::model::accepted::Predecessor;
use crate::model::record::{CellRecord, RunRecord};
use crate::report::{Options, printable};

/// Lines of a difference that are shown, unless all are asked for.
const COUNTED_LINES: usize = 40;
/// The same of one that does not count.
const UNCOUNTED_LINES: usize = 10;

/// Writes how a cell differs from what is accepted.
pub fn write_differences(out: &mut String, cell: &CellRecord, options: Options) {
    for difference in &cell.differences {
        let part = printable(&difference.part);
        let _ = writeln!(
            out,
            "\n{YELLOW}differs{YELLOW:#} from the accepted snapshot: {part}"
        );
        let shown = (!options.all).then_some(COUNTED_LINES);
        write_lines(out, &difference.diff, shown);
    }
    if let Some(predecessor) = &cell.predecessor {
        write_predecessor(out, predecessor, cell, options);
    }
}

fn write_predecessor(
    out: &mut String,
    predecessor: &Predecessor,
    cell: &CellRecord,
    options: Options,
) {
    let mut of = printable(&predecessor.kernel).into_owned();
    if predecessor.is_older {
        of.push_str(", the nearest older one");
    }
    if predecessor.toolchain != cell.toolchain {
        let _ = write!(of, ", with {}", printable(&predecessor.toolchain));
    }
    let _ = writeln!(
        out,
        "\n{BOLD}compared{BOLD:#} with the accepted snapshot of Linux {of}; not counted"
    );
    if predecessor.differences.is_empty() {
        out.push_str("    no difference\n");
    }
    for difference in &predecessor.differences {
        let _ = writeln!(out, "  {}:", printable(&difference.part));
        let shown = (!options.all).then_some(UNCOUNTED_LINES);
        write_lines(out, &difference.diff, shown);
    }
}

/// Writes which snapshots nothing reads.
pub fn write_unreferenced(out: &mut String, run: &RunRecord) {
    if run.unreferenced.is_empty() {
        return;
    }
    let _ = writeln!(out, "{BOLD}snapshots that nothing reads{BOLD:#}:");
    for unreferenced in &run.unreferenced {
        let (file, why) = (&unreferenced.file, &unreferenced.why);
        let _ = writeln!(out, "    {}: {}", printable(file), printable(why));
    }
    out.push('\n');
}
