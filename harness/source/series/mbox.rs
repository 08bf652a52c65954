//! Where messages begin, and what is a patch: git's own answers, by `git mailsplit` and
//! `git mailinfo`. What comes from outside is limited before git reads it.

use std::fs;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use memchr::memmem;
use tempfile::TempDir;

use crate::build::dir_state::remove_file;
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::source::git::Git;

/// As much as a thread can have, with all its attachments.
const MOST_BYTES: usize = 256 << 20;
/// The most lines of one input that may begin a message.
const MOST_MESSAGES: usize = 100_000;
/// The head of an input, which shows what it is.
const HEAD: usize = 4096;

/// What to pass instead of something that has no mail in it.
const PASS: &str = "pass an mbox of the thread ('t.mbox.gz' of a mail archive, or what a mail client exports), or the files that 'git format-patch' writes";

/// Files that are no mail, by their first bytes.
const OTHER_KINDS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "an ELF file"),
    (b"\x28\xb5\x2f\xfd", "a file packed by zstd"),
    (b"\xfd7zXZ\0", "a file packed by xz"),
    (b"BZh", "a file packed by bzip2"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"!<arch>\n", "an archive of object files"),
    (b"%PDF-", "a PDF document"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
];

/// A folder for git's answers, which is removed in the end.
#[derive(Debug)]
pub struct Desk {
    /// Removes the folder in the end.
    _dir: TempDir,
    git: Git,
    /// The most bytes of one input, unpacked.
    most_bytes: usize,
}

impl Desk {
    /// # Errors
    /// [`Error::Io`] if there is no place for temporary files.
    pub fn new(cancel: &Cancel) -> Result<Desk, Error> {
        let place = std::env::temp_dir();
        let dir = tempfile::tempdir().map_err(Error::io(place, "make a temporary folder in"))?;
        // git compares the folder above with real paths.
        let place = dir.path().canonicalize();
        let place = place.map_err(Error::io(dir.path(), "find the folder"))?;
        let git = Git::at(&place, cancel).isolated();
        Ok(Desk {
            _dir: dir,
            git,
            most_bytes: MOST_BYTES,
        })
    }

    /// The messages of an input, as they are in it, without the `>` of mboxrd and without
    /// the line that begins a message in an mbox.
    ///
    /// # Errors
    /// [`Error::Usage`] if the input is not mail, or too large.
    pub fn messages(&self, name: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let unpacked = unpacked(name, bytes, self.most_bytes)?;
        let bytes = unpacked.as_deref().unwrap_or(bytes);
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        check(name, bytes)?;
        let is_mbox = bytes.trim_ascii_start().starts_with(b"From ");
        let input = self.git.dir().join("input");
        let parts = self.git.dir().join("parts");
        write(&input, bytes)?;
        fs::create_dir(&parts).map_err(Error::io(&parts, "create"))?;
        let mut args = vec!["mailsplit", "-b", "-d6", "-oparts"];
        // In a single mail a line that begins with '>From ' is the sender's.
        args.extend(is_mbox.then_some("--mboxrd"));
        args.extend(["--", "input"]);
        let answer = self.git.ask(args)?;
        let count = answer.text().parse::<usize>().unwrap_or_default();
        if !answer.is_success || count == 0 {
            return Err(Error::Usage(format!(
                "{name}: expected mail, and 'git mailsplit' finds none: {}\n  {PASS}",
                answer.complaint()
            )));
        }
        let mut messages = Vec::with_capacity(count);
        for number in 1..=count {
            let file = parts.join(format!("{number:06}"));
            let message = fs::read(&file).map_err(Error::io(&file, "read"))?;
            messages.push(without_separator(message));
        }
        fs::remove_dir_all(&parts).map_err(Error::io(&parts, "remove"))?;
        remove_file(&input)?;
        Ok(messages)
    }

    /// What git takes as the patch of a message, with no transfer encoding; nothing if it
    /// finds none.
    ///
    /// # Errors
    /// If git is missing or interrupted.
    pub fn patch(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let patch = self.git.dir().join("patch");
        write(&patch, b"")?;
        let options = ["mailinfo", "--encoding=UTF-8", "--no-scissors"];
        let command = self.git.command(options).args(["message", "patch"]);
        let answer = self.git.finish(&command.input(message))?;
        match answer.is_success {
            true => fs::read(&patch).map_err(Error::io(&patch, "read")),
            false => Ok(Vec::new()),
        }
    }

    /// git outside of any repository.
    #[must_use]
    pub fn git(&self) -> &Git {
        &self.git
    }
}

fn write(file: &std::path::Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(file, bytes).map_err(Error::io(file, "write"))
}

/// What a gzip file contains; `None` if the input is not packed.
fn unpacked(name: &str, bytes: &[u8], limit: usize) -> Result<Option<Vec<u8>>, Error> {
    if !bytes.starts_with(b"\x1f\x8b") {
        too_large(name, bytes.len(), limit)?;
        return Ok(None);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|error| {
            Error::Usage(format!(
                "{name}: expected a gzip file, found a damaged one: {error}\n  fetch it again, or unpack it with gunzip and pass the result"
            ))
        })?;
    too_large(name, unpacked.len(), limit)?;
    Ok(Some(unpacked))
}

fn too_large(name: &str, len: usize, limit: usize) -> Result<(), Error> {
    match len > limit {
        true => Err(Error::Usage(format!(
            "{name}: expected one thread, at most {} MiB unpacked, found more\n  pass an mbox that contains only the thread of the series",
            limit >> 20
        ))),
        false => Ok(()),
    }
}

/// Whether the bytes can be mail: they begin with a separator of an mbox or with a header.
fn check(name: &str, bytes: &[u8]) -> Result<(), Error> {
    let found = |found: &str| {
        Err(Error::Usage(format!(
            "{name}: expected mail, found {found}\n  {PASS}"
        )))
    };
    let text = bytes.trim_ascii_start();
    if text.is_empty() {
        return found(match bytes.is_empty() {
            true => "an empty file",
            false => "only blank lines",
        });
    }
    if let Some((_, kind)) = OTHER_KINDS
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
    {
        return found(kind);
    }
    let head = &text[..text.len().min(HEAD)];
    if head.contains(&0) {
        return found("binary data");
    }
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    if [&b"diff --git "[..], b"--- a/", b"Index: "]
        .iter()
        .any(|start| line.starts_with(start))
    {
        return found("a diff without author and title");
    }
    if !line.starts_with(b"From ") && !is_header(line) {
        return found("text that does not begin as a message does, with 'From ' or a header");
    }
    if memmem::find_iter(text, b"\nFrom ")
        .take(MOST_MESSAGES)
        .count()
        == MOST_MESSAGES
    {
        return found(&format!("more than {MOST_MESSAGES} messages"));
    }
    Ok(())
}

/// Whether a line is `Name: value`.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().position(|b| *b == b':');
    name.is_some_and(|end| end > 0 && line[..end].iter().all(u8::is_ascii_graphic))
}

/// A message without the line of an mbox that begins it.
fn without_separator(mut message: Vec<u8>) -> Vec<u8> {
    if message.starts_with(b"From ") {
        let end = memchr::memchr(b'\n', &message).map_or(message.len(), |at| at + 1);
        message.drain(..end);
    }
    message
}

#[cfg(test)]
mod tests;
