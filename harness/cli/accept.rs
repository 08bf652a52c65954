//! `klto accept`: what the last run found becomes what is accepted.

use super::{load_matrix, print, select};
use crate::cli::args::Accept;
use crate::model::error::{Error, Exit};
use crate::store::SnapshotDir;

pub fn run(args: &Accept) -> Result<Exit, Error> {
    let matrix = load_matrix(&args.matrix)?;
    let cells = select(&matrix, &args.cells)?;
    let snapshots = SnapshotDir::find(args.snapshots.dir.as_deref(), &args.matrix, &matrix.name)
        .ok_or_else(|| {
            Error::Usage(format!(
                "{}: there is no folder «snapshots» beside the matrix's folder\n  name one with --snapshots",
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
        print("nothing to accept: the last run found what is accepted, or there was none\n")?;
    }
    Ok(Exit::Pass)
}
