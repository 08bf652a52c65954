//! Stores once what modes have in common: the text that at least two modes of a group have, for
//! each part. What is read of a cell is the same before, after, and between any two steps.

use std::path::PathBuf;

use super::group::Group;
use super::{SnapshotDir, remove, write};
use crate::judge::snapshot::{PARTS, PartFile};
use crate::model::cell::LtoMode;
use crate::model::error::Error;

/// What to do with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Write(PathBuf, String),
    Remove(PathBuf),
}

impl Step {
    pub fn take(&self) -> Result<(), Error> {
        match self {
            Step::Write(path, text) => write(path, text),
            Step::Remove(path) => remove(path),
        }
    }
}

impl SnapshotDir {
    /// Folds the files of a group; returns whether there was anything to do.
    pub(super) fn fold(&self, group: &Group) -> Result<bool, Error> {
        let steps = self.steps(group)?;
        steps.iter().try_for_each(Step::take)?;
        Ok(!steps.is_empty())
    }

    /// What folding does, in an order in which klto may be killed after each step: own files
    /// first, because they come before shared ones; then shared files; only then what neither
    /// needs goes.
    pub(super) fn steps(&self, group: &Group) -> Result<Vec<Step>, Error> {
        let (mut own, mut shared, mut unneeded) = (Vec::new(), Vec::new(), Vec::new());
        for part in PARTS {
            let path = |folder: &str| self.file(folder, part, "snap");
            let mut accepted = Vec::new();
            for mode in LtoMode::ALL {
                let file = self.part(&group.cell(mode), part)?;
                accepted.extend(file.map(|file| (mode, file)));
            }
            let common = common(&accepted);
            let is_shared = |mode| common.as_ref().is_some_and(|c| c.modes.contains(mode));
            for (mode, file) in &accepted {
                let cell = group.cell(*mode);
                let has_own = path(&cell).exists();
                if is_shared(mode) && has_own {
                    unneeded.push(Step::Remove(path(&cell)));
                } else if !is_shared(mode) && !has_own {
                    let file = PartFile {
                        modes: Vec::new(),
                        ..file.clone()
                    };
                    own.push(Step::Write(path(&cell), file.render(&cell, part)));
                }
            }
            let folder = group.shared();
            match (common, self.read(&folder, part)?) {
                (Some(common), before) if before.as_ref() != Some(&common) => {
                    shared.push(Step::Write(path(&folder), common.render(&folder, part)));
                }
                (None, Some(_)) => unneeded.push(Step::Remove(path(&folder))),
                (Some(_), _) | (None, None) => {}
            }
        }
        Ok([own, shared, unneeded].concat())
    }
}

/// What at least two modes have in common. If there are two such texts, it is that of the first
/// mode.
fn common(accepted: &[(LtoMode, PartFile)]) -> Option<PartFile> {
    accepted.iter().find_map(|(_, file)| {
        let is_equal = |other: &PartFile| (&other.taken, &other.body) == (&file.taken, &file.body);
        let equal = accepted.iter().filter(|(_, other)| is_equal(other));
        let modes: Vec<LtoMode> = equal.map(|(mode, _)| *mode).collect();
        (modes.len() > 1).then(|| PartFile {
            modes,
            ..file.clone()
        })
    })
}
