//! The new lines of a growing log, to show progress.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

/// The most to read at once, in bytes; that is enough to show progress.
const CHUNK: u64 = 1024 * 1024;

/// What is new in a log since the last call.
#[derive(Debug)]
pub struct LogTail<'a> {
    /// The new whole lines, without their ends; at the last call also a last line
    /// without an end. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub lines: &'a [String],
    /// Bytes that are in the log but not in `lines`, because it grew too fast.
    pub skipped: u64,
    /// Whether the command has ended, so that no call follows.
    pub is_last: bool,
}

pub(super) struct Tail {
    file: File,
    position: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    /// Starts at the current end of `log`.
    pub fn open(log: &Path) -> io::Result<Self> {
        let file = File::open(log)?;
        Ok(Self {
            position: file.metadata()?.len(),
            file,
            partial: Vec::new(),
        })
    }

    /// Delivers what is new. If the log can no longer be read, nothing is new: the command
    /// matters more than its progress.
    pub fn deliver(
        &mut self,
        is_last: bool,
        on_tick: &mut dyn FnMut(&LogTail<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (lines, skipped) = self.read(is_last).unwrap_or_default();
        on_tick(&LogTail {
            lines: &lines,
            skipped,
            is_last,
        })
    }

    fn read(&mut self, is_last: bool) -> io::Result<(Vec<String>, u64)> {
        let end = self.file.metadata()?.len();
        let behind = end.saturating_sub(self.position);
        let mut skipped = 0;
        if behind > CHUNK {
            skipped = behind - CHUNK + self.partial.len() as u64;
            self.position = end - CHUNK;
            self.partial.clear();
        }
        self.file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = std::mem::take(&mut self.partial);
        let limit = end.saturating_sub(self.position);
        self.position += (&self.file).take(limit).read_to_end(&mut bytes)? as u64;
        if !is_last {
            let whole = bytes
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
            self.partial = bytes.split_off(whole);
            if self.partial.len() as u64 > CHUNK {
                // A line without an end.
                skipped += self.partial.len() as u64;
                self.partial.clear();
            }
        }
        Ok((lines(&bytes), skipped))
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_delivered_once_and_whole() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        log.write_all(b"old\n").unwrap();
        let mut tail = Tail::open(log.path()).unwrap();
        let mut seen = Vec::new();
        let mut note = |tail: &LogTail<'_>| {
            seen.push(tail.lines.join("|"));
            ControlFlow::Continue(())
        };
        for (text, is_last) in [("a\nb\nc", false), ("c\nd", false), ("", true)] {
            log.write_all(text.as_bytes()).unwrap();
            assert!(tail.deliver(is_last, &mut note).is_continue());
        }
        assert_eq!(seen, ["a|b", "cc", "d"]);
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::open(log.path()).unwrap();
        let part = vec![b'x'; usize::try_from(CHUNK / 2).unwrap()];
        let mut skipped = 0;
        for _ in 0..7 {
            log.write_all(&part).unwrap();
            let _ = tail.deliver(false, &mut |tail| {
                skipped += tail.skipped;
                ControlFlow::Continue(())
            });
            assert!(tail.partial.len() as u64 <= CHUNK);
        }
        assert_eq!(skipped, 3 * CHUNK);
    }

    #[test]
    fn a_log_that_grows_too_fast_is_skipped_to_its_end() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::open(log.path()).unwrap();
        log.write_all(&vec![b'x'; usize::try_from(CHUNK).unwrap()])
            .unwrap();
        log.write_all(b"\nlast\n").unwrap();
        let mut seen = Vec::new();
        let stop = tail.deliver(true, &mut |t| {
            seen.push((t.skipped, t.lines.last().cloned()));
            ControlFlow::Break(())
        });
        assert!(stop.is_break());
        assert_eq!(seen, [(6, Some("last".to_owned()))]);
    }
}
