//! Where the output of a child goes, and how large it may get: a log loses its middle while it
//! grows, and a captured output ends the child.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::tail::{LogTail, Tail};
use crate::file::bounded_log;

/// How much is moved at once, in bytes.
const CHUNK: usize = 1 << 20;

/// What watches an output while the child runs; either may end the child.
pub(super) trait Output {
    /// Some fifty times a second.
    fn poll(&mut self) -> ControlFlow<()>;

    /// Some five times a second, and once more at the end.
    fn tick(&mut self, is_last: bool) -> ControlFlow<()>;
}

/// A log, and who follows it.
pub(super) struct Logged<'a> {
    pub tail: Tail,
    pub growing: Growing,
    pub on_tick: &'a mut dyn FnMut(&LogTail<'_>) -> ControlFlow<()>,
    /// Why the log can grow no longer.
    pub failure: Option<io::Error>,
}

impl Output for Logged<'_> {
    fn poll(&mut self) -> ControlFlow<()> {
        match self.growing.keep_small() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn tick(&mut self, is_last: bool) -> ControlFlow<()> {
        self.tail.deliver(is_last, self.on_tick)
    }
}

/// What one command adds to a log.
pub(super) struct Growing {
    file: File,
    /// Where it begins, in bytes.
    begin: u64,
    /// How much it may take on the disk.
    limit: u64,
    /// Where the part that was freed ends, if one was.
    freed: Option<u64>,
}

impl Growing {
    /// Begins at the end of `log`.
    pub fn begin(log: &Path, limit: u64) -> io::Result<Growing> {
        let file = File::options().append(true).open(log)?;
        Ok(Growing {
            begin: file.metadata()?.len(),
            file,
            limit,
            freed: None,
        })
    }

    /// Frees what is between the beginning and the end of a log that takes too much. Whoever
    /// writes to it need not know.
    fn keep_small(&mut self) -> io::Result<()> {
        let keep = bounded_log::kept(self.limit);
        let first = self.begin + keep;
        let end = self.file.metadata()?.len();
        let freed = self.freed.unwrap_or(first);
        // At each time there is enough for a whole end, and as much again before it is freed.
        if end.saturating_sub(freed) <= self.limit - keep {
            return Ok(());
        }
        let until = end - keep;
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, how, freed, until - freed)?;
        self.freed = Some(until);
        Ok(())
    }

    /// Puts a line in place of what was freed, and the end right after it. Nobody writes any
    /// longer. Returns how many bytes are left out.
    pub fn join(&mut self) -> io::Result<u64> {
        let Some(freed) = self.freed.take() else {
            return Ok(0);
        };
        // Whatever is written to a file that was opened to append comes last.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::options().read(true).write(true).open(path)?;
        let keep = bounded_log::kept(self.limit);
        let length = file.metadata()?.len();
        let first = self.begin + keep;
        let last = freed.max(length.saturating_sub(keep));
        let (head, tail) = (line_before(&file, first)?, line_after(&file, last, length)?);
        let note = bounded_log::note(tail - head);
        file.write_all_at(note.as_bytes(), head)?;
        let mut to = head + note.len() as u64;
        let mut from = tail;
        let mut buffer = vec![0; CHUNK];
        while from < length {
            match file.read_at(&mut buffer, from)? {
                0 => break,
                count => {
                    file.write_all_at(&buffer[..count], to)?;
                    from += count as u64;
                    to += count as u64;
                }
            }
        }
        file.set_len(to)?;
        Ok(tail - head)
    }
}

/// The end of the last line that ends at or before a place, or that place, if the line is long.
fn line_before(file: &File, place: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let window = place.min(CHUNK as u64);
    let bytes = &mut buffer[..usize::try_from(window).unwrap_or(CHUNK)];
    file.read_exact_at(bytes, place - window)?;
    let end = memchr::memrchr(b'\n', bytes).map(|at| place - window + at as u64 + 1);
    Ok(end.unwrap_or(place))
}

/// The beginning of the first line that begins after a place, or that place, if the line is long.
fn line_after(file: &File, place: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let count = file.read_at(&mut buffer, place)?;
    let begin = memchr::memchr(b'\n', &buffer[..count]).map(|at| place + at as u64 + 1);
    Ok(begin.filter(|begin| *begin < length).unwrap_or(place))
}

/// What is captured in memory.
pub(super) struct InMemory<'a> {
    pub stdout: File,
    pub stderr: File,
    /// For both together, in bytes.
    pub limit: u64,
    /// Whether what is in standard error so far is all that is wanted.
    pub is_enough: Option<&'a dyn Fn(&str) -> bool>,
}

impl InMemory<'_> {
    /// Standard error so far. The child has the same handle, whose place must stay where it is.
    fn said(&self) -> io::Result<String> {
        let length = self.stderr.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.stderr.read_exact_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the child has written more than it may.
    pub fn is_too_large(&self) -> io::Result<bool> {
        let [out, err] = [&self.stdout, &self.stderr].map(File::metadata);
        Ok(out?.len() + err?.len() > self.limit)
    }
}

impl Output for InMemory<'_> {
    fn poll(&mut self) -> ControlFlow<()> {
        match self.is_too_large() {
            Ok(true) => ControlFlow::Break(()),
            Ok(false) | Err(_) => ControlFlow::Continue(()),
        }
    }

    fn tick(&mut self, _: bool) -> ControlFlow<()> {
        let is_enough = self
            .is_enough
            .is_some_and(|is_enough| self.said().is_ok_and(|said| is_enough(&said)));
        match is_enough {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// The content of a file that was written through another handle.
pub(super) fn contents(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file system does not know how to free a part of a file.
pub(super) fn cannot_free(error: &io::Error) -> bool {
    let unknown = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|error| unknown.contains(&error))
}
