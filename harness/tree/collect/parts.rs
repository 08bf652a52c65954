//! Reads parts of a large ELF file, such as `vmlinux` or a module with debug information: its
//! symbols and some tables. Called by `collect`.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bytesize::ByteSize;
use object::{ReadCache, ReadRef};

use super::BuildTree;
use crate::file;
use crate::model::error::Error;

/// A file of which parts are read, each at most once, and at most so many bytes in all.
pub(super) struct Parts {
    cache: ReadCache<Watched>,
    /// The same file, for what is not kept.
    file: File,
    left: Cell<u64>,
    left_in_pieces: Cell<u64>,
    is_too_much: Cell<bool>,
    /// How the machine failed to read a piece.
    failure: Cell<Option<std::io::Error>>,
}

/// The most that is read in pieces, in bytes.
const PIECES: u64 = 1 << 30;

impl Parts {
    pub(super) fn new(file: File, most: u64) -> std::io::Result<Parts> {
        Ok(Parts {
            file: file.try_clone()?,
            cache: ReadCache::new(Watched {
                file,
                failure: None,
            }),
            left: Cell::new(most),
            left_in_pieces: Cell::new(PIECES),
            is_too_much: Cell::new(false),
            failure: Cell::new(None),
        })
    }

    /// Passes a part of the file to `read`, one piece after the other, and keeps nothing of it. Each
    /// piece has a multiple of `entry` bytes.
    ///
    /// # Errors
    /// If the file does not have that part, or all that was read in this way is too much.
    pub(super) fn in_pieces(
        &self,
        part: Range<u64>,
        entry: usize,
        mut read: impl FnMut(&[u8]),
    ) -> Result<(), ()> {
        const PIECE: usize = 1 << 20;

        if part.start > part.end || part.end > (&self.cache).len()? {
            return Err(());
        }
        count(
            &self.left_in_pieces,
            &self.is_too_much,
            part.end - part.start,
        )?;
        let mut buffer = vec![0; (PIECE / entry).max(1) * entry];
        let mut at = part.start;
        while at < part.end {
            let wanted = usize::try_from(part.end - at).unwrap_or(usize::MAX);
            let piece = &mut buffer[..wanted.min(PIECE / entry * entry)];
            if let Err(error) = self.file.read_exact_at(piece, at) {
                self.failure.set(Some(error));
                return Err(());
            }
            at += piece.len() as u64;
            read(piece);
        }
        Ok(())
    }

    fn take(&self, size: u64) -> Result<(), ()> {
        count(&self.left, &self.is_too_much, size)
    }

    /// Why not all could be read that the file has.
    fn failure(self, most: u64) -> Option<std::io::Error> {
        let why = format!(
            "its symbols and tables take more than the {} that klto reads of them",
            ByteSize::b(most).display().iec()
        );
        let too_much = || std::io::Error::new(ErrorKind::FileTooLarge, why);
        let is_too_much = self.is_too_much.get();
        let failure = self.cache.into_inner().failure;
        let failure = failure.or(self.failure.take());
        failure.or_else(|| is_too_much.then(too_much))
    }
}

impl<'a> ReadRef<'a> for &'a Parts {
    fn len(self) -> Result<u64, ()> {
        (&self.cache).len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        // What reaches beyond the end is damage, whatever its size.
        if offset.checked_add(size).ok_or(())? > self.len()? {
            return Err(());
        }
        self.take(size)?;
        (&self.cache).read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let bytes = (&self.cache).read_bytes_at_until(range, delimiter)?;
        self.take(bytes.len() as u64)?;
        Ok(bytes)
    }
}

/// Reads what `read` wants of a file, at most so many bytes; `None` if there is no such file. The
/// inner error is damage.
///
/// # Errors
/// If the machine cannot read a file that is there, or if that is more.
pub(super) fn read_parts<T>(
    tree: &BuildTree,
    file: &str,
    most: u64,
    read: impl FnOnce(&Parts) -> Result<T, String>,
) -> Result<Option<Result<T, String>>, Error> {
    let path = tree.build.join(file);
    let opened = match file::open(&path) {
        Ok(opened) => opened,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, "read")(e)),
    };
    let parts = Parts::new(opened, most).map_err(Error::io(&path, "read"))?;
    let content = read(&parts);
    match parts.failure(most) {
        Some(failure) => Err(Error::io(path, "read")(failure)),
        None => Ok(Some(content)),
    }
}

/// Takes `size` from what is left, or notes that it is too much.
fn count(left: &Cell<u64>, is_too_much: &Cell<bool>, size: u64) -> Result<(), ()> {
    let rest = left.get().checked_sub(size);
    is_too_much.set(is_too_much.get() || rest.is_none());
    rest.map(|rest| left.set(rest)).ok_or(())
}

/// A file, and how the machine failed to read it: a parser would take that for damage.
struct Watched {
    file: File,
    failure: Option<std::io::Error>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer);
        if let Err(error) = &read
            && let Some(code) = error.raw_os_error()
            && error.kind() != ErrorKind::Interrupted
        {
            self.failure = Some(std::io::Error::from_raw_os_error(code));
        }
        read
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_cannot_read_is_no_damage() {
        // Nothing is mapped at its first byte.
        let file = File::open("/proc/self/mem").unwrap();
        let mut watched = Watched {
            file,
            failure: None,
        };
        assert!(watched.read(&mut [0; 4]).is_err());
        assert_eq!(watched.failure.unwrap().raw_os_error(), Some(5));
    }

    #[test]
    fn only_so_much_is_read_of_a_file() {
        let file = tempfile::tempfile().unwrap();
        // It takes no room on the disk.
        file.set_len(1 << 40).unwrap();
        let parts = Parts::new(file, 16).unwrap();
        assert_eq!((&parts).read_bytes_at(1 << 39, 8), Ok(&[0; 8][..]));
        assert_eq!((&parts).read_bytes_at((1 << 40) - 1, 2), Err(()), "the end");
        assert!(!parts.is_too_much.get());
        assert_eq!((&parts).read_bytes_at(0, 9), Err(()));
        let error = parts.failure(16).unwrap();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().contains(" 16 B "), "{error}");
    }
    #[test]
    fn pieces_have_whole_entries_and_are_not_kept() {
        use std::io::Write as _;

        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..(3 << 20) + 9_u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let parts = Parts::new(file, 0).unwrap();
        let mut read = Vec::new();
        parts
            .in_pieces(5..(3 << 20) + 5, 24, |piece| {
                assert!(piece.len() % 24 == 0 || read.len() + piece.len() == 3 << 20);
                read.extend_from_slice(piece);
            })
            .unwrap();
        assert!(read == content[5..(3 << 20) + 5]);
        assert_eq!(
            parts.in_pieces(9..(3 << 20) + 10, 24, |_| {}),
            Err(()),
            "the end"
        );
        assert!(!parts.is_too_much.get());
    }

    #[test]
    fn pieces_have_an_end_too() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let parts = Parts::new(file, 16).unwrap();
        assert_eq!(parts.in_pieces(0..PIECES + 1, 24, |_| {}), Err(()));
        let error = parts.failure(16).unwrap();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
