//! The folder of accepted snapshots: what is accepted for a cell, and what a run proposes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use crate::judge::baseline::Accepted;
use crate::judge::snapshot::{self, BuildId, PARTS, Snapshot};
use crate::model::error::Error;

/// The accepted snapshots of one matrix: one folder per cell, one file per facet.
#[derive(Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
}

impl SnapshotDir {
    /// The folder of `matrix` in the one that was asked for, or else in the one
    /// beside the folder of the matrix file, where that exists.
    #[must_use]
    pub fn find(asked: Option<&Path>, matrix_file: &Path, matrix: &str) -> Option<SnapshotDir> {
        let folder = match asked {
            Some(dir) => dir.to_owned(),
            None => {
                let file = matrix_file.canonicalize().ok()?;
                let beside = file.parent()?.parent()?.join("snapshots");
                beside.is_dir().then_some(beside)?
            }
        };
        Some(SnapshotDir {
            dir: folder.join(matrix),
        })
    }

    /// What is accepted for a cell; `None` if nothing is.
    ///
    /// # Errors
    /// If there is a file that is not a snapshot.
    pub fn accepted(&self, cell: &str) -> Result<Option<Accepted>, Error> {
        let mut accepted: Option<Accepted> = None;
        for facet in PARTS {
            let path = self.file(cell, facet, "snap");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(path, "read the snapshot")(e)),
            };
            let (taken, body) = snapshot::parse(&text).map_err(|why| {
                Error::Usage(format!(
                    "{}: not a snapshot: {why}\n  restore it from version control, or delete it and accept a run again",
                    path.display()
                ))
            })?;
            accepted
                .get_or_insert_with(|| Accepted {
                    build_id: taken,
                    snapshot: Snapshot::new(),
                })
                .snapshot
                .insert(facet, body.to_owned());
        }
        Ok(accepted)
    }

    /// Writes what was found if it differs from what is accepted, for `klto
    /// accept` or `cargo insta review`; what no longer differs is removed.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn propose(
        &self,
        cell: &str,
        taken: &BuildId,
        facets: &Snapshot,
        accepted: Option<&Accepted>,
    ) -> Result<(), Error> {
        for (facet, body) in facets {
            let path = self.file(cell, facet, "snap.new");
            let same = accepted.is_some_and(|accepted| {
                accepted.build_id == *taken
                    && accepted
                        .snapshot
                        .get(facet)
                        .is_some_and(|a| a.trim_end() == body.trim_end())
            });
            if same {
                remove(&path)?;
            } else {
                let folder = path.parent().unwrap_or(&self.dir);
                std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
                let text = snapshot::render(cell, facet, taken, body);
                write_atomically(&path, text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Accepts what [`SnapshotDir::propose`] wrote; returns how many facets.
    ///
    /// # Errors
    /// If a file cannot be renamed.
    pub fn accept(&self, cell: &str) -> Result<usize, Error> {
        let mut taken_over = 0;
        for facet in PARTS {
            let new = self.file(cell, facet, "snap.new");
            if new.exists() {
                let path = self.file(cell, facet, "snap");
                std::fs::rename(&new, &path).map_err(Error::io(path, "write"))?;
                taken_over += 1;
            }
        }
        Ok(taken_over)
    }

    /// The cells that have accepted snapshots, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn cells(&self) -> Result<Vec<String>, Error> {
        let mut cells = Vec::new();
        let mut folders = vec![(self.dir.clone(), String::new())];
        while let Some((folder, name)) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(folder, "read")(e)),
            };
            let mut is_cell = false;
            for entry in entries {
                let entry = entry.map_err(Error::io(&folder, "read"))?;
                let file = entry.file_name().to_string_lossy().into_owned();
                if entry.path().is_dir() {
                    let below = if name.is_empty() {
                        file
                    } else {
                        format!("{name}/{file}")
                    };
                    folders.push((entry.path(), below));
                } else if file.ends_with(".snap") {
                    is_cell = true;
                }
            }
            if is_cell {
                cells.push(name);
            }
        }
        cells.sort();
        Ok(cells)
    }

    fn file(&self, cell: &str, facet: &str, suffix: &str) -> PathBuf {
        self.dir.join(cell).join(format!("{facet}.{suffix}"))
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_is_accepted_and_then_no_longer_proposed() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::find(Some(dir.path()), Path::new("m.yaml"), "m").unwrap();
        let taken = BuildId {
            kernel: "7.2".to_owned(),
            toolchain: "cc".to_owned(),
        };
        let facets = Snapshot::from([("flags", "-O2".to_owned()), ("index", String::new())]);
        assert!(snapshots.accepted("a/b").unwrap().is_none());

        snapshots.propose("a/b", &taken, &facets, None).unwrap();
        assert!(
            snapshots.accepted("a/b").unwrap().is_none(),
            "proposed is not accepted"
        );
        assert_eq!(snapshots.accept("a/b").unwrap(), 2);

        let accepted = snapshots.accepted("a/b").unwrap().unwrap();
        assert_eq!(
            (accepted.build_id.clone(), accepted.snapshot.clone()),
            (taken.clone(), facets.clone())
        );
        assert_eq!(snapshots.cells().unwrap(), ["a/b"]);
        snapshots
            .propose("a/b", &taken, &facets, Some(&accepted))
            .unwrap();
        assert_eq!(snapshots.accept("a/b").unwrap(), 0);
    }
}
