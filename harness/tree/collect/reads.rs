//! How much was read of each file of a tree. Links give one file as many names as a list has, and reading
//! it under each of them takes time in proportion.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

/// The most that is read of one file, under all its names, in bytes. Of a real tree, each is read a few
/// times; those with many names are empty archives.
const MOST: u64 = 1 << 30;

/// What was read so far, by device and inode, in bytes.
#[derive(Debug, Default)]
pub(super) struct Reads(Mutex<BTreeMap<(u64, u64), u64>>);

impl Reads {
    /// Notes that a file is read as a whole.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] if it was read too often.
    pub fn note(&self, meta: &Metadata) -> io::Result<()> {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reads.entry((meta.dev(), meta.ino())).or_default();
        *read = read.saturating_add(meta.len());
        // A single read has limits of its own.
        match *read > MOST.max(meta.len()) {
            false => Ok(()),
            true => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it has so many names in this tree that klto would read more than 1 GiB of it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_until_its_names_come_to_a_gigabyte() {
        let dir = tempfile::tempdir().unwrap();
        let [large, small] = [(MOST / 4, "large"), (8, "small")].map(|(length, name)| {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(length).unwrap();
            file.metadata().unwrap()
        });
        let reads = Reads::default();
        for _ in 0..4 {
            reads.note(&large).unwrap();
        }
        let error = reads.note(&large).unwrap_err();
        assert!(error.to_string().contains("so many names"), "{error}");
        for _ in 0..100_000 {
            reads.note(&small).unwrap();
        }
    }

    #[test]
    fn one_read_of_a_larger_file_is_no_matter_of_its_names() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(MOST + 1).unwrap();
        let meta = file.metadata().unwrap();
        let reads = Reads::default();
        reads.note(&meta).unwrap();
        assert!(reads.note(&meta).is_err());
    }
}
