//! The folder of accepted snapshots: what is accepted for a cell, and what a run proposes.
//! What the modes of an architecture, config and toolchain have in common is stored once, in the
//! folder `shared` beside those of the modes; a cell's own file comes before it.

mod fold;
mod group;
mod unreferenced;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use self::group::Group;
use super::atomic::write_atomically;
use crate::file;
use crate::judge::baseline::{Accepted, AcceptedPart};
use crate::judge::snapshot::{BuildId, PARTS, PartFile, Snapshot};
use crate::model::error::Error;

/// The accepted snapshots of one matrix: one folder per cell, one file per part.
#[derive(Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
    /// The folder of the matrix file, if the snapshots are in their usual place beside it.
    matrices: Option<PathBuf>,
}

/// The largest snapshot that is read, in bytes. That of a part of allyesconfig has a million.
const LARGEST: u64 = 16 << 20;

/// What [`SnapshotDir::accept`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// The parts that were proposed.
    pub parts: Vec<&'static str>,
    /// Whether files were folded or split.
    pub is_folded: bool,
}

impl SnapshotDir {
    /// The folder of `matrix` in the one that was asked for, or else in the one
    /// beside the folder of the matrix file, where that exists.
    #[must_use]
    pub fn find(asked: Option<&Path>, matrix_file: &Path, matrix: &str) -> Option<SnapshotDir> {
        if let Some(dir) = asked {
            return Some(SnapshotDir {
                dir: dir.join(matrix),
                matrices: None,
            });
        }
        let file = matrix_file.canonicalize().ok()?;
        let matrices = file.parent()?;
        let beside = matrices.parent()?.join("snapshots");
        beside.is_dir().then(|| SnapshotDir {
            dir: beside.join(matrix),
            matrices: Some(matrices.to_owned()),
        })
    }

    /// What is accepted for a cell; `None` if nothing is.
    ///
    /// # Errors
    /// If there is a file that is not a snapshot.
    pub fn accepted(&self, cell: &str) -> Result<Option<Accepted>, Error> {
        let mut parts = BTreeMap::new();
        for part in PARTS {
            if let Some(PartFile { taken, body, .. }) = self.part(cell, part)? {
                parts.insert(part, AcceptedPart { taken, body });
            }
        }
        Ok((!parts.is_empty()).then_some(Accepted { parts }))
    }

    /// What is accepted for a part of a cell: its own file, or else the shared one, if that is of
    /// its mode.
    fn part(&self, cell: &str, part: &str) -> Result<Option<PartFile>, Error> {
        if let Some(own) = self.read(cell, part)? {
            return Ok(Some(own));
        }
        let Some((group, mode)) = Group::of_cell(cell) else {
            return Ok(None);
        };
        let shared = self.read(&group.shared(), part)?;
        Ok(shared.filter(|shared| shared.modes.contains(&mode)))
    }

    fn read(&self, folder: &str, part: &str) -> Result<Option<PartFile>, Error> {
        let path = self.file(folder, part, "snap");
        let text = match file::read_text(&path, LARGEST) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, "read the snapshot")(e)),
        };
        PartFile::parse(&text).map(Some).map_err(|why| {
            Error::Usage(format!(
                "{}: not a snapshot: {why}\n  restore it from version control, or delete it and accept a run again",
                path.display()
            ))
        })
    }

    /// Writes what was found if it differs from what is accepted, for `klto
    /// accept` or `cargo insta review`; what no longer differs is removed.
    /// A proposal is the cell's own, also if what is accepted is shared with other modes.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn propose(
        &self,
        cell: &str,
        taken: &BuildId,
        snapshot: &Snapshot,
        accepted: Option<&Accepted>,
    ) -> Result<(), Error> {
        for (part, body) in snapshot {
            let path = self.file(cell, part, "snap.new");
            let accepted = accepted.and_then(|accepted| accepted.parts.get(part));
            if accepted.is_some_and(|accepted| accepted.is(taken, body)) {
                remove(&path)?;
            } else {
                let file = PartFile {
                    taken: taken.clone(),
                    modes: Vec::new(),
                    body: body.clone(),
                };
                write(&path, &file.render(cell, part))?;
            }
        }
        Ok(())
    }

    /// Accepts what [`SnapshotDir::propose`] wrote of `parts`, and stores once what modes then
    /// have in common.
    ///
    /// # Errors
    /// If a file cannot be renamed or written, or one that is accepted is not a snapshot.
    pub fn accept(&self, cell: &str, parts: &[&'static str]) -> Result<TakenOver, Error> {
        let mut taken_over = Vec::new();
        for part in parts {
            let new = self.file(cell, part, "snap.new");
            if new.exists() {
                let path = self.file(cell, part, "snap");
                std::fs::rename(&new, &path).map_err(Error::io(path, "write"))?;
                taken_over.push(*part);
            }
        }
        let group = Group::of_cell(cell);
        Ok(TakenOver {
            parts: taken_over,
            is_folded: group.map_or(Ok(false), |(group, _)| self.fold(&group))?,
        })
    }

    /// The cells that have accepted snapshots, sorted.
    ///
    /// # Errors
    /// If the folder or a shared snapshot cannot be read.
    pub fn cells(&self) -> Result<Vec<String>, Error> {
        let mut cells = BTreeSet::new();
        for (folder, file) in self.files()? {
            let Some(part) = file.strip_suffix(".snap") else {
                continue;
            };
            match Group::of_shared(&folder) {
                None => {
                    cells.insert(folder);
                }
                Some(group) => {
                    let shared = self.read(&folder, part)?;
                    let modes = shared.into_iter().flat_map(|shared| shared.modes);
                    cells.extend(modes.map(|mode| group.cell(mode)));
                }
            }
        }
        Ok(cells.into_iter().collect())
    }

    /// Every file below the folder of the matrix: the folder it is in, and its name. Sorted. A link
    /// to a folder is not followed: it may lead to itself.
    fn files(&self) -> Result<Vec<(String, String)>, Error> {
        let mut files = Vec::new();
        let mut folders = vec![(self.dir.clone(), String::new())];
        while let Some((folder, name)) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(folder, "read")(e)),
            };
            for entry in entries {
                let entry = entry.map_err(Error::io(&folder, "read"))?;
                let file = entry.file_name().to_string_lossy().into_owned();
                let kind = entry.file_type().map_err(Error::io(entry.path(), "read"))?;
                if kind.is_dir() {
                    let below = if name.is_empty() {
                        file
                    } else {
                        format!("{name}/{file}")
                    };
                    folders.push((entry.path(), below));
                } else {
                    files.push((name.clone(), file));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn file(&self, folder: &str, part: &str, suffix: &str) -> PathBuf {
        self.dir.join(folder).join(format!("{part}.{suffix}"))
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    write_atomically(path, text.as_bytes())
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
