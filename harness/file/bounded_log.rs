//! Logs of a bounded size: of one that is too long, the beginning and the end, and between them
//! a line that says how much is left out.

use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::Path;

/// The longest log that is read or kept, in bytes. make writes a few million bytes about the
/// largest kernel, and some 100 million with `V=1`.
pub const LONGEST: u64 = 256 << 20;

const BEFORE: &str = "klto: left out ";
const AFTER: &str = " bytes of the output here";

/// How much of the beginning, and of the end, stays of a log that is longer than `longest`.
#[must_use]
pub fn kept(longest: u64) -> u64 {
    longest / 4
}

/// The line that stands for what is left out.
#[must_use]
pub fn note(bytes: u64) -> String {
    format!("{BEFORE}{bytes}{AFTER}\n")
}

/// Whether a line is such a [`note`].
#[must_use]
pub fn is_note(line: &[u8]) -> bool {
    let number = line
        .strip_prefix(BEFORE.as_bytes())
        .and_then(|rest| rest.strip_suffix(AFTER.as_bytes()));
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// Whether a log says that something is left out.
#[must_use]
pub fn is_cut(log: &[u8]) -> bool {
    let finder = memchr::memmem::find_iter(log, BEFORE.as_bytes());
    finder
        .filter(|at| *at == 0 || log[at - 1] == b'\n')
        .any(|at| {
            let rest = &log[at..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            is_note(&rest[..end])
        })
}

/// Opens a log, which is read as one that is not longer than about [`LONGEST`]. It may be a pipe.
///
/// # Errors
/// If it cannot be read.
pub fn open(log: &Path) -> io::Result<Box<dyn Read>> {
    open_up_to(log, LONGEST)
}

fn open_up_to(log: &Path, longest: u64) -> io::Result<Box<dyn Read>> {
    let length = std::fs::metadata(log)?.len();
    let file = super::open_named(log)?;
    if length <= longest {
        // A pipe has no length, and a log that grows may have another by now.
        return Ok(Box::new(file.take(longest)));
    }
    let left_out = length - 2 * kept(longest);
    let mut end = super::open(log)?;
    end.seek(SeekFrom::Start(kept(longest) + left_out))?;
    let middle = Cursor::new(format!("\n{}", note(left_out)));
    let begin = file.take(kept(longest));
    Ok(Box::new(begin.chain(middle).chain(end.take(kept(longest)))))
}

/// Reads a log as [`open`] does.
///
/// # Errors
/// If it cannot be read.
pub fn read(log: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(log)?.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::empty("", "")]
    #[case::as_long_as_it_may_be("0123456789abcdef", "0123456789abcdef")]
    #[case::longer(
        "0123456789abcdefg",
        "0123\nklto: left out 9 bytes of the output here\ndefg"
    )]
    fn a_log_that_is_too_long_loses_its_middle(#[case] log: &str, #[case] read: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, log).unwrap();
        let mut text = String::new();
        let mut opened = open_up_to(&path, 16).unwrap();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, read);
        assert_eq!(is_cut(text.as_bytes()), text != log);
    }

    #[test]
    fn only_a_whole_line_says_that_something_is_left_out() {
        for (log, expected) in [
            ("a\nklto: left out 7 bytes of the output here\nb", true),
            ("klto: left out 7 bytes of the output here", true),
            ("a klto: left out 7 bytes of the output here\n", false),
            ("klto: left out some bytes of the output here\n", false),
            ("klto: left out  bytes of the output here\n", false),
            (
                "klto: left out 7 bytes of the output here, it says\n",
                false,
            ),
        ] {
            assert_eq!(is_cut(log.as_bytes()), expected, "{log}");
        }
    }
}
