//! The work directory of a run and the folder of accepted snapshots: the only
//! place that writes results. Every file is written beside and renamed, so that
//! none is ever half there.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::judge::baseline::Accepted;
use crate::judge::snapshot::{self, BuildId, FACETS, Snapshot};
use crate::model::error::Error;

/// Marks a directory as ours, so that nothing of the user's is ever deleted.
const MARKER: &str = ".klto-work";

/// A work directory, locked as long as this lives.
#[derive(Debug)]
pub struct WorkDir {
    dir: PathBuf,
    _lock: File,
}

impl WorkDir {
    /// Creates or enters a work directory.
    ///
    /// # Errors
    /// [`Error::Usage`] where the directory holds something else, or another
    /// run is in it.
    pub fn open(dir: &Path) -> Result<WorkDir, Error> {
        let marker = dir.join(MARKER);
        if !marker.exists() {
            match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
                Ok(true) => {
                    return Err(Error::Usage(format!(
                        "{}: the work directory holds files that klto did not make\n  choose an empty or a new directory with --work",
                        dir.display()
                    )));
                }
                Ok(false) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
                }
                Err(e) => return Err(Error::io(dir, "read")(e)),
            }
        }
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&marker)
            .map_err(Error::io(&marker, "write"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::Usage(format!(
                "{}: another klto run is using this work directory, or what a killed one started\n  wait for it, or choose another with --work",
                dir.display()
            ))
        })?;
        // Whatever we start holds the lock, too: a make that outlives a killed klto goes on
        // writing here.
        fcntl_setfd(&lock, FdFlags::empty()).map_err(|e| Error::io(&marker, "lock")(e.into()))?;
        Ok(WorkDir {
            dir: dir.canonicalize().map_err(Error::io(dir, "read"))?,
            _lock: lock,
        })
    }

    /// The cell's directory, with nothing of an earlier run in it.
    ///
    /// # Errors
    /// Where the old one cannot be removed or the new one not created.
    pub fn fresh_cell(&self, cell: &str) -> Result<CellDir, Error> {
        let dir = self.dir.join("cells").join(cell);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(dir, "remove")(e)),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir, "create"))?;
        Ok(CellDir { dir })
    }

    /// Writes a report file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_report(&self, name: &str, text: &str) -> Result<(), Error> {
        write_atomically(&self.dir.join(name), text)
    }

    /// Where the reports are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

/// The directory of one cell: build tree and log.
#[derive(Debug)]
pub struct CellDir {
    dir: PathBuf,
}

impl CellDir {
    /// The `O=` directory; not created yet.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        self.dir.join("build")
    }

    /// A copy of the finished build tree, as long as scenarios are played.
    #[must_use]
    pub fn built(&self) -> PathBuf {
        self.dir.join("built")
    }

    /// Logs of the scenarios, and other build trees as long as one is played.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.dir.join("scenarios")
    }

    /// The output of every command.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("build.log")
    }
}

/// The accepted snapshots of one matrix: a folder a cell, a file a facet.
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

    /// What is accepted for a cell; `None` where nothing is.
    ///
    /// # Errors
    /// Where a file is there and no snapshot.
    pub fn accepted(&self, cell: &str) -> Result<Option<Accepted>, Error> {
        let mut accepted: Option<Accepted> = None;
        for facet in FACETS {
            let path = self.file(cell, facet, "snap");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(path, "read the snapshot")(e)),
            };
            let (taken, body) = snapshot::parse(&text).map_err(|why| {
                Error::Usage(format!(
                    "{}: no snapshot: {why}\n  restore it from version control, or delete it and accept a run anew",
                    path.display()
                ))
            })?;
            accepted
                .get_or_insert_with(|| Accepted {
                    taken,
                    facets: Snapshot::new(),
                })
                .facets
                .insert(facet, body.to_owned());
        }
        Ok(accepted)
    }

    /// Writes what was found where it differs from what is accepted, for `klto
    /// accept` or `cargo insta review`; what no longer differs is removed.
    ///
    /// # Errors
    /// Where a file cannot be written.
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
                accepted.taken == *taken
                    && accepted
                        .facets
                        .get(facet)
                        .is_some_and(|a| a.trim_end() == body.trim_end())
            });
            if same {
                remove(&path)?;
            } else {
                let folder = path.parent().unwrap_or(&self.dir);
                std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
                write_atomically(&path, &snapshot::render(cell, facet, taken, body))?;
            }
        }
        Ok(())
    }

    /// Takes over what [`SnapshotDir::propose`] wrote; gives how many facets.
    ///
    /// # Errors
    /// Where a file cannot be renamed.
    pub fn accept(&self, cell: &str) -> Result<usize, Error> {
        let mut taken_over = 0;
        for facet in FACETS {
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
    /// Where the folder cannot be read.
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

fn write_atomically(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.persist(path).map_err(|e| e.error)
        })
        .map(|_| ())
        .map_err(Error::io(path, "write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_files_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let error = WorkDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_runs_do_not_share_a_work_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkDir::open(dir.path()).unwrap();
        assert!(WorkDir::open(dir.path()).is_err());
        drop(first);
        assert!(WorkDir::open(dir.path()).is_ok());
    }

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
            (accepted.taken.clone(), accepted.facets.clone()),
            (taken.clone(), facets.clone())
        );
        assert_eq!(snapshots.cells().unwrap(), ["a/b"]);
        snapshots
            .propose("a/b", &taken, &facets, Some(&accepted))
            .unwrap();
        assert_eq!(snapshots.accept("a/b").unwrap(), 0);
    }
}
