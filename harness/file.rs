//! Opens files that others wrote, so that none of them makes klto wait forever or fills its memory:
//! only regular files, and of each kind only as much as such a file can have.

pub mod bounded_log;
mod pipe;

use std::fs::{File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use bytesize::ByteSize;
use rustix::fs::OFlags;

/// Opens a regular file. What is no regular file is not even opened: that could wait for a writer,
/// or start a watchdog.
///
/// # Errors
/// What the system says; [`ErrorKind::IsADirectory`] for a directory, [`ErrorKind::InvalidInput`]
/// for a FIFO, a socket or a device.
pub fn open(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    match kind.is_file() {
        true => open_at_once(path),
        false => Err(refused(kind)),
    }
}

/// Opens a file that the user named, which may also be a pipe: of one, nothing is read after
/// ten seconds in which nobody wrote to it.
///
/// # Errors
/// As [`open`], but for a FIFO.
pub fn open_named(path: &Path) -> io::Result<Box<dyn Read>> {
    let kind = std::fs::metadata(path)?.file_type();
    match kind.is_fifo() {
        true => Ok(Box::new(pipe::Pipe::new(open_at_once(path)?))),
        false => Ok(Box::new(open(path)?)),
    }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`]; [`ErrorKind::FileTooLarge`] for one that is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    read_into(open(path)?, most, &mut content)?;
    Ok(content)
}

/// The same of a file that must be UTF-8 text.
///
/// # Errors
/// As [`read`]; [`ErrorKind::InvalidData`] if it is no text.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let not_text = |error| io::Error::new(ErrorKind::InvalidData, error);
    String::from_utf8(read(path, most)?).map_err(not_text)
}

/// The same as [`read`] of what [`open_named`] opens.
///
/// # Errors
/// As these.
pub fn read_named(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    match length > most {
        true => Err(too_large(length, most)),
        false => read_up_to(open_named(path)?, most),
    }
}

/// Adds what a file has to `content`. Of one that is too large, nothing is read.
///
/// # Errors
/// As [`read`].
pub fn read_into(file: File, most: u64, content: &mut Vec<u8>) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_large(length, most));
    }
    // A file that grows, or one in /proc, has more than its length says.
    fill(content, file, most)
}

/// All that can be read, up to `most` bytes.
///
/// # Errors
/// What the reader says; [`ErrorKind::FileTooLarge`] if there is more.
pub fn read_up_to(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fill(&mut content, from, most)?;
    Ok(content)
}

fn fill(content: &mut Vec<u8>, from: impl Read, most: u64) -> io::Result<()> {
    let read = from.take(most.saturating_add(1)).read_to_end(content)? as u64;
    match read > most {
        true => Err(too_large(read, most)),
        false => Ok(()),
    }
}

/// Should a FIFO have taken the place of a file meanwhile, opening it does not wait.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

/// That something has more than the `most` bytes that are read of it.
fn too_large(length: u64, most: u64) -> io::Error {
    let most = ByteSize::b(most).display().iec();
    let why = format!("it has {length} bytes, more than the {most} that klto reads of such a file");
    io::Error::new(ErrorKind::FileTooLarge, why)
}

/// That this is no regular file.
fn refused(kind: FileType) -> io::Error {
    let what = match kind {
        kind if kind.is_dir() => return ErrorKind::IsADirectory.into(),
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let why = format!("not a regular file, but {what}");
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    fn refusal(path: &Path, most: u64) -> (ErrorKind, String) {
        let error = read(path, most).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[rstest]
    #[case::empty("", true)]
    #[case::as_large_as_it_may_be("12345678", true)]
    #[case::larger("123456789", false)]
    fn a_file_has_at_most_so_many_bytes(#[case] content: &str, #[case] is_read: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        match is_read {
            true => {
                assert_eq!(read_text(&path, 8).unwrap(), content);
                assert_eq!(read_named(&path, 8).unwrap(), content.as_bytes());
                assert_eq!(
                    read_up_to(content.as_bytes(), 8).unwrap(),
                    content.as_bytes()
                );
            }
            false => assert_eq!(
                refusal(&path, 8),
                (
                    ErrorKind::FileTooLarge,
                    "it has 9 bytes, more than the 8 B that klto reads of such a file".to_owned()
                )
            ),
        }
    }

    #[test]
    fn a_file_that_says_it_is_empty_is_read_no_further() {
        let (kind, _) = refusal(Path::new("/proc/self/maps"), 8);
        assert_eq!(kind, ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let expected = "not a regular file, but a FIFO".to_owned();
        assert_eq!(refusal(&path, 8), (ErrorKind::InvalidInput, expected));
    }

    #[test]
    fn what_else_is_no_regular_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = |path: &Path| refusal(path, 8);
        assert!(refused(&socket).1.ends_with("a socket"));
        assert!(refused(Path::new("/dev/zero")).1.ends_with("a device"));
        assert_eq!(refused(dir.path()).0, ErrorKind::IsADirectory);
        assert_eq!(refused(&dir.path().join("none")).0, ErrorKind::NotFound);
    }

    #[test]
    fn bytes_that_are_no_text_are_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"\xff").unwrap();
        let error = read_text(&path, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
