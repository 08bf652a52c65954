//! A build tree as one file, to be unpacked at the same path on another machine. make goes by the
//! times of files, down to the nanosecond, which an archive does not have: they come first in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::atomic::write_atomically_by;
use crate::build::dir_state::{DirState, remove_file, set_modified};
use crate::model::error::Error;

/// The first entry of the archive.
const TIMES: &str = "times.json";
/// Below which the tree is.
const TREE: &str = "tree";
/// Fast: the network is slower than that.
const LEVEL: i32 = 1;

/// Writes the tree in `dir` to a file, in one step for readers.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read or written.
pub fn pack(dir: &Path, file: &Path) -> Result<(), Error> {
    let times = DirState::of(dir)?;
    let times = serde_json::to_vec(&times).map_err(|e| Error::io(file, "write")(e.into()))?;
    write_atomically_by(file, |out| {
        let mut archive = tar::Builder::new(zstd::Encoder::new(out, LEVEL)?);
        archive.follow_symlinks(false);
        let mut header = tar::Header::new_gnu();
        header.set_size(times.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, TIMES, &*times)?;
        archive.append_dir_all(TREE, dir)?;
        archive.into_inner()?.finish()?;
        Ok(())
    })
}

/// Makes `dir` the tree that was packed; what was there is removed.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, or is not a packed tree, or a file cannot be written.
/// Then there is no `dir`.
pub fn unpack(file: &Path, dir: &Path) -> Result<(), Error> {
    let partial = dir.with_extension("partial");
    remove_file(dir)?;
    remove_file(&partial)?;
    let times = unpack_to(file, &partial).map_err(Error::io(file, "unpack"))?;
    let tree = partial.join(TREE);
    for (path, meta) in times.0.iter().filter(|(_, meta)| meta.link.is_none()) {
        set_modified(&tree.join(path), meta.modified)?;
    }
    std::fs::rename(&tree, dir).map_err(Error::io(dir, "write"))?;
    remove_file(&partial)
}

fn unpack_to(file: &Path, folder: &Path) -> io::Result<DirState> {
    std::fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(file)?)?);
    archive.set_preserve_permissions(true);
    let mut entries = archive.entries()?;
    let mut first = entries.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let mut times = Vec::new();
    first.read_to_end(&mut times)?;
    let times = serde_json::from_slice(&times)?;
    for entry in entries {
        let mut entry = entry?;
        // Refuses what leads out of the folder.
        entry.unpack_in(folder)?;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_tree_is_the_same_after_it_was_packed_and_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, file, other) = (
            dir.path().join("build"),
            dir.path().join("tree.tar.zst"),
            dir.path().join("other/build"),
        );
        let deep = tree.join("a").join("b".repeat(90)).join("c".repeat(90));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(tree.join("empty")).unwrap();
        std::fs::write(deep.join("x.o"), "object").unwrap();
        std::fs::write(tree.join("run"), "#!/bin/sh").unwrap();
        std::fs::set_permissions(tree.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/nowhere", tree.join("source")).unwrap();
        set_modified(&deep.join("x.o"), 1_700_000_000_123_456_789).unwrap();

        pack(&tree, &file).unwrap();
        std::fs::create_dir_all(other.join("old")).unwrap();
        unpack(&file, &other).unwrap();

        assert_eq!(DirState::of(&other).unwrap(), DirState::of(&tree).unwrap());
        assert!(other.join("empty").is_dir() && !other.join("old").exists());
        let beside = std::fs::read_dir(dir.path().join("other")).unwrap();
        assert_eq!(beside.count(), 1);
    }

    #[test]
    fn a_file_that_is_cut_off_leaves_no_tree() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, file) = (dir.path().join("build"), dir.path().join("tree.tar.zst"));
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("x.o"), blake3::hash(b"x").to_hex().as_str()).unwrap();
        pack(&tree, &file).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let error = unpack(&file, &tree).unwrap_err().to_string();
        assert!(error.starts_with("cannot unpack "), "{error}");
        assert!(!tree.exists());
    }
}
