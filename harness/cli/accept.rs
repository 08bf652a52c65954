//! `klto accept`: accepts the snapshots of the last run as the new baseline.

use super::{load_matrix, print, select};
use crate::cli::args::Accept;
use crate::model::error::{Error, Exit};
use crate::store::snapshots::SnapshotDir;

pub fn run(args: &Accept) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .ok_or_else(|| {
            Error::Usage(format!(
                "{}: there is no folder 'snapshots' next to the folder of the matrix\n  give one with --snapshots",
                args.matrix.display()
            ))
        })?;
    let mut total = 0;
    for cell in &cells {
        let facets = snapshots.accept(&cell.name())?;
        if facets > 0 {
            print(&format!("{}: {facets} facets accepted\n", cell.name()))?;
        }
        total += facets;
    }
    if total == 0 {
        print("nothing to accept: the last run found no change, or there was no run\n")?;
    }
    Ok(Exit::Pass)
}
