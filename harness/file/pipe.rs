//! A pipe that somebody else writes to, who may not come.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long nobody may write.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pipe that was opened without waiting.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
    patience: Duration,
}

impl Pipe {
    pub(super) fn new(file: File) -> Pipe {
        Pipe {
            file,
            patience: PATIENCE,
        }
    }

    /// Waits until there is something to read, or nobody can write any longer.
    fn wait(&self) -> io::Result<()> {
        let patience = Timespec::try_from(self.patience).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut polled, Some(&patience))? {
            0 => Err(io::Error::new(
                ErrorKind::TimedOut,
                format!(
                    "nobody wrote to this pipe for {} seconds",
                    self.patience.as_secs()
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.file.read(buffer) {
                // Another reader was faster.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::{Path, PathBuf};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn fifo(dir: &Path) -> PathBuf {
        let path = dir.join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn what_is_written_late_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(dir.path());
        let mut pipe = Pipe::new(crate::file::open_at_once(&path).unwrap());
        let writer = std::thread::spawn(move || {
            let mut to = File::options().write(true).open(path).unwrap();
            for part in ["a", "b", "c"] {
                to.write_all(part.as_bytes()).unwrap();
                std::thread::yield_now();
            }
        });
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn a_pipe_to_which_nobody_writes_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = crate::file::open_at_once(&fifo(dir.path())).unwrap();
        let patience = Duration::from_millis(1);
        let error = Pipe { file, patience }.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
