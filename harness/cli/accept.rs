//! `klto accept`: accepts the snapshots of the last run as the new baseline.

use super::{load_matrix, print};
use crate::cli::args::Accept;
use crate::judge::snapshot::PARTS;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::store::snapshots::SnapshotDir;

pub fn run(args: &Accept) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = matrix.select(&args.patterns)?;
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .ok_or_else(|| {
            Error::Usage(format!(
                "{}: there is no folder 'snapshots' next to the folder of the matrix\n  give one with --snapshots",
                args.matrix.display()
            ))
        })?;
    let parts: Vec<&'static str> = PARTS
        .into_iter()
        .filter(|part| args.parts.is_empty() || args.parts.iter().any(|asked| asked == part))
        .collect();
    let mut lines = String::new();
    let mut is_any = false;
    for cell in cells.iter().map(Cell::name) {
        let accepted = snapshots.accept(&cell, &parts)?;
        is_any |= accepted.is_folded || !accepted.parts.is_empty();
        let what = match (accepted.parts.is_empty(), accepted.is_folded) {
            (false, _) => format!("accepted {}", accepted.parts.join(", ")),
            (true, false) => "nothing is proposed".to_owned(),
            (true, true) => {
                "nothing is proposed; what modes have in common is stored once now".to_owned()
            }
        };
        lines.push_str(&format!("{cell}: {what}\n"));
    }
    if !is_any {
        lines.push_str("nothing to accept: the last run found no change, or there was no run\n");
    }
    print(&lines)?;
    Ok(Exit::Pass)
}
