//! Writes a file whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::model::error::Error;

/// How the name of a file begins that is being written, and of one that a killed klto left.
pub const PARTIAL: &str = ".klto-partial-";

/// Writes `content` to a file beside `path` and renames it. Where that fails, as on a full
/// disk, what was at `path` is still there.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_atomically_by(path, |file| file.write_all(content))
}

/// Writes a new file as [`write_atomically`] does, and waits until the disk has it: a machine that
/// loses power leaves the whole file or none. A file that is there already stays.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_once(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = partial(folder).and_then(|mut file| {
        write(file.as_file_mut())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(e) if e.error.kind() != io::ErrorKind::AlreadyExists => Err(e.error),
            Ok(_) | Err(_) => File::open(folder)?.sync_all(),
        }
    });
    written.map_err(Error::io(path, "write"))
}

/// A file that is not there yet under its own name; [`PARTIAL`] begins the one that it has.
fn partial(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PARTIAL)
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
}

/// The same with what `write` writes.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    partial(folder)
        .and_then(|mut file| {
            write(file.as_file_mut())?;
            file.persist(path).map_err(|e| e.error)
        })
        .map(|_| ())
        .map_err(Error::io(path, "write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_full_disk_keeps_the_old_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        write_atomically(&path, b"old").unwrap();

        let error = write_atomically_by(&path, |file| {
            file.write_all(b"ne")?;
            let mut full = File::options().write(true).open("/dev/full")?;
            full.write_all(b"w")
        });

        let message = error.unwrap_err().to_string();
        assert!(message.contains("the disk is full"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["report"]);
    }

    #[test]
    fn a_directory_in_the_place_of_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("report")).unwrap();

        let error = write_atomically(&folder.path().join("report"), b"new");

        assert!(matches!(error, Err(Error::Io { .. })));
        assert_eq!(names(folder.path()), ["report"]);
    }
}
