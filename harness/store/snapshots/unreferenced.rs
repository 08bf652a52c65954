//! Files in the folder of accepted snapshots that nothing reads.

use std::collections::BTreeSet;
use std::path::Path;

use super::SnapshotDir;
use crate::judge::snapshot::PARTS;
use crate::model::accepted::Unreferenced;
use crate::model::error::Error;

impl SnapshotDir {
    /// The files of no part, proposals for none of `cells`, and the folders of no matrix. Accepted
    /// cells that are not in the matrix are not among them: [`SnapshotDir::cells`] names them.
    /// `name_of` reads the name of a matrix in a file; `None` if it is not a matrix.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn unreferenced(
        &self,
        cells: &[String],
        name_of: impl Fn(&Path) -> Option<String>,
    ) -> Result<Vec<Unreferenced>, Error> {
        let matrix = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let mut found = Vec::new();
        for (folder, file) in self.files()? {
            if let Some(why) = why_unread(cells, &folder, &file) {
                let file = Path::new(&*matrix).join(folder).join(file);
                let file = file.to_string_lossy().into_owned();
                found.push(Unreferenced { file, why });
            }
        }
        found.extend(self.without_matrix(name_of)?);
        Ok(found)
    }

    /// The folders beside that of this matrix that no matrix has the name of.
    fn without_matrix(
        &self,
        name_of: impl Fn(&Path) -> Option<String>,
    ) -> Result<Vec<Unreferenced>, Error> {
        let (Some(matrices), Some(all)) = (&self.matrices, self.dir.parent()) else {
            return Ok(Vec::new());
        };
        let names = entries(matrices)?.into_iter();
        let names: BTreeSet<String> = names
            .filter_map(|name| name_of(&matrices.join(name)))
            .collect();
        let folders = entries(all)?.into_iter();
        let folders = folders.filter(|name| all.join(name).is_dir() && !names.contains(name));
        let place = matrices.file_name().unwrap_or_default().to_string_lossy();
        Ok(folders
            .map(|name| Unreferenced {
                why: format!("no matrix in '{place}' has this name"),
                file: name,
            })
            .collect())
    }
}

/// Why nothing reads a snapshot, if nothing does.
fn why_unread(cells: &[String], folder: &str, file: &str) -> Option<String> {
    let proposed = file.strip_suffix(".snap.new");
    let part = proposed.or_else(|| file.strip_suffix(".snap"))?;
    if !PARTS.contains(&part) {
        Some(format!("klto writes no part '{part}'"))
    } else if proposed.is_some() && !cells.iter().any(|cell| cell == folder) {
        Some("no cell of the matrix has this name".to_owned())
    } else {
        None
    }
}

/// The names in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io(folder, "read"))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
