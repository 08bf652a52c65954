//! What a kernel is built from: the files in a directory, or a commit.

use std::fmt;
use std::path::{Path, PathBuf};

use super::commit::Commit;
use super::git::Git;
use super::source_tree::{
    LTO_FILE, NO_VERSION, SourceTree, TOP_FILES, has_thin_dist, lacks, version_of,
};
use crate::build::process::Cancel;
use crate::model::arch::Arch;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::SkipReason;

/// The sources of one kernel.
#[derive(Debug)]
pub struct Sources {
    origin: Origin,
    version: String,
    has_thin_dist: bool,
}

/// What holds the files.
#[derive(Debug)]
pub enum Origin {
    /// A source tree of the user's, as it is now.
    Directory(PathBuf),
    /// A commit in a repository of the user's. What is checked out there does not matter.
    Commit(Commit),
}

impl Sources {
    /// The files in a directory.
    ///
    /// # Errors
    /// As [`SourceTree::open`].
    pub fn directory(dir: &Path, arches: &[&Arch]) -> Result<Sources, Error> {
        let tree = SourceTree::open(dir, arches)?;
        Ok(Sources {
            has_thin_dist: tree.has_thin_dist(),
            version: tree.version,
            origin: Origin::Directory(dir.to_owned()),
        })
    }

    /// The commit that `rev` names in the repository `dir`.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no such repository or commit, or it is not a kernel.
    pub fn commit(dir: &Path, rev: &str, cancel: &Cancel) -> Result<Sources, Error> {
        Sources::of_commit(Commit::find(&Git::open(dir, cancel)?, rev)?)
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not a kernel.
    pub fn of_commit(commit: Commit) -> Result<Sources, Error> {
        let read = commit.read_some(&[&TOP_FILES[..], &[LTO_FILE]].concat())?;
        let not = |found: &str| {
            Error::Usage(format!(
                "{}: the commit {} ('{}') is not a kernel: {found}\n  give a commit that has the kernel's top Makefile and Kbuild",
                commit.git().dir().display(),
                commit.short(),
                commit.rev(),
            ))
        };
        let text = |file: &str| {
            let text = read.get(file).map(|text| String::from_utf8_lossy(text));
            text.ok_or_else(|| not(&format!("it has no {file}")))
        };
        for file in TOP_FILES {
            text(file)?;
        }
        let version = version_of(&text("Makefile")?).ok_or_else(|| not(NO_VERSION))?;
        let has_thin_dist = has_thin_dist(&text(LTO_FILE)?);
        Ok(Sources {
            origin: Origin::Commit(commit),
            version,
            has_thin_dist,
        })
    }

    /// What holds the files.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `7.2.13`, from the top Makefile.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name for paths and reports: `7.2.13`, or `7.3.0-rc7-g0123456789ab` if it is
    /// a commit. Every character can stand in a path that kbuild handles.
    #[must_use]
    pub fn revision(&self) -> String {
        let version = self.version_in_paths();
        match &self.origin {
            Origin::Directory(_) => version,
            Origin::Commit(commit) => format!("{version}-g{}", commit.short()),
        }
    }

    /// The version, of characters that can stand in a path that kbuild handles.
    #[must_use]
    pub fn version_in_paths(&self) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        let version = self.version.replace(|c| !allowed(c), "-");
        // Otherwise it would be a hidden folder, or the parent.
        match version.strip_prefix('.') {
            Some(rest) => format!("-{rest}"),
            None => version,
        }
    }

    /// Whether this kernel has distributed ThinLTO.
    #[must_use]
    pub fn has_thin_dist(&self) -> bool {
        self.has_thin_dist
    }

    /// Why this kernel cannot be built as the cell, if it cannot.
    #[must_use]
    pub fn lacks(&self, cell: &Cell) -> Option<SkipReason> {
        lacks(cell, &self.version, self.has_thin_dist)
    }

    /// The content of a file; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match &self.origin {
            Origin::Directory(dir) => match std::fs::read(dir.join(path)) {
                Ok(content) => Ok(Some(content)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(Error::io(dir.join(path), "read")(e)),
            },
            Origin::Commit(commit) => Ok(commit.read_some(&[path])?.remove(path)),
        }
    }

    /// Whether there is a file of that path, from the top.
    ///
    /// # Errors
    /// If git fails.
    pub fn has_file(&self, path: &str) -> Result<bool, Error> {
        Ok(match &self.origin {
            Origin::Directory(dir) => dir.join(path).is_file(),
            Origin::Commit(commit) => commit.files()?.contains_key(path),
        })
    }
}

impl fmt::Display for Sources {
    /// Where the files are, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Directory(dir) => write!(f, "{}", dir.display()),
            Origin::Commit(commit) => commit.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
