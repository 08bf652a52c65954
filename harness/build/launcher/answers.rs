//! What programs answered, a file each: a program that depends only on its arguments and on
//! the content of a file need not be asked twice.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::build::process::Said;

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub code: u8,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// The content of the file that it was to write, if it wrote one.
    pub output: Option<Vec<u8>>,
}

impl From<Said> for Answer {
    fn from(said: Said) -> Answer {
        Answer {
            code: said.code,
            stdout: said.stdout,
            stderr: said.stderr,
            output: None,
        }
    }
}

impl Answer {
    /// Says the same as the program; returns its exit code.
    ///
    /// # Errors
    /// Where an output cannot be written.
    pub fn pass_on(&self) -> io::Result<u8> {
        pass_on(io::stdout(), &self.stdout)?;
        pass_on(io::stderr(), &self.stderr)?;
        Ok(self.code)
    }
}

/// Copies a program's output; a closed pipe is no error.
fn pass_on(mut to: impl io::Write, output: &[u8]) -> io::Result<()> {
    match to.write_all(output).and_then(|()| to.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Distinguishes a question, in parts, from every other.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

/// The answer in a file; `None` if there is none that can be read. In the folder in which the launcher
/// is installed may be one, of a build that was trusted.
pub fn load(file: &Path) -> Option<Answer> {
    read(file).or_else(|| {
        let program = std::env::current_exe().ok()?;
        // It lies there, or in a folder there.
        let mut folders = program.ancestors().skip(1).take(2);
        folders.find_map(|folder| read(&folder.join(file.file_name()?)))
    })
}

fn read(file: &Path) -> Option<Answer> {
    postcard::from_bytes(&std::fs::read(file).ok()?).ok()
}

/// Writes an answer whole or not at all: others may ask the same at this moment.
///
/// # Errors
/// Where the file cannot be written.
pub fn save(file: &Path, answer: &Answer) -> io::Result<()> {
    let content = postcard::to_stdvec(answer).map_err(io::Error::other)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut partial = tempfile::NamedTempFile::new_in(folder)?;
    partial.write_all(&content)?;
    partial.persist(file).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_nobody_reads_is_no_error_and_a_full_disk_is_one() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(pass_on(writer, b"said").is_ok());
        let full = std::fs::File::options().write(true).open("/dev/full");
        assert!(pass_on(full.unwrap(), b"said").is_err());
    }
}
