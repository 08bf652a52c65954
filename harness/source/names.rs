//! Which files sources have, whatever is in them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::sources::{Origin, Sources};
use super::unchanged::SourceState;
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
    /// Distinguishes the names of the files from any other; `state` is that of a directory.
    ///
    /// # Errors
    /// If the files cannot be listed.
    pub fn names(&self, state: Option<&SourceState>) -> Result<blake3::Hash, Error> {
        Ok(match (self.origin(), state) {
            (Origin::Commit(commit), _) => hash_of_names(commit.files()?.keys().map(Path::new)),
            (Origin::Directory(_), Some(state)) => hash_of_names(state.files()),
            (Origin::Directory(dir), None) => hash_of_names(SourceState::of(dir)?.files()),
        })
    }
}
