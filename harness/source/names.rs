//! Which files sources have, whatever is in them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::sources::{Origin, Sources};
use crate::build::dir_state::DirState;
use crate::model::error::Error;

/// Distinguishes these names, in this order, from any other.
pub fn hash_of_names<'a>(files: impl Iterator<Item = &'a Path>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        // No name has a zero byte.
        hasher.update(file.as_os_str().as_bytes()).update(&[0]);
    }
    hasher.finalize()
}

impl Sources {
    /// Distinguishes the names of the files from any other.
    ///
    /// # Errors
    /// If the files cannot be listed.
    pub fn names(&self) -> Result<blake3::Hash, Error> {
        Ok(match self.origin() {
            Origin::Commit(commit) => hash_of_names(commit.files()?.keys().map(Path::new)),
            Origin::Directory(dir) => {
                let files = DirState::of_sources(dir)?;
                hash_of_names(files.0.keys().map(PathBuf::as_path))
            }
        })
    }
}
