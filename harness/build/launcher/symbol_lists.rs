//! Lists of symbols: kbuild has `nm` read each object that it compiled, to see whether it exports
//! something. The list depends on `nm` and on the object, and on nothing else. So it is made
//! once for each content. A command that asks for anything else is not taken for one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::answers::{self, Answer};
use crate::build::process::run_in_place;

/// The largest object whose symbols are remembered, in bytes. Larger ones are linked, and differ
/// nearly every time.
const LARGEST: u64 = 1024 * 1024;

/// How an archive begins, thin or not: a thin one has only the names of its members.
const ARCHIVES: [&[u8]; 2] = [b"!<arch>\n", b"!<thin>\n"];

/// Acts as `nm` with that command line, if it lists the symbols of one object. Returns its exit
/// code.
///
/// # Errors
/// Where `nm` cannot be started or its output cannot be passed on.
pub fn answer(
    command: &[OsString],
    folder: &Path,
    environment: &[(&str, OsString)],
) -> Option<io::Result<u8>> {
    let object = object(command)?;
    Some(remembered(folder, command, &object, environment).and_then(|answer| answer.pass_on()))
}

/// The content of the object whose symbols a command lists.
fn object(command: &[OsString]) -> Option<Vec<u8>> {
    let [_, file] = command else {
        return None;
    };
    if is_option(file) {
        return None;
    }
    let meta = std::fs::metadata(file).ok()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return None;
    }
    let content = std::fs::read(file).ok()?;
    let is_archive = ARCHIVES.iter().any(|magic| content.starts_with(magic));
    (!is_archive).then_some(content)
}

fn is_option(arg: &OsStr) -> bool {
    matches!(arg.as_encoded_bytes().first(), None | Some(b'-' | b'@'))
}

fn remembered(
    folder: &Path,
    command: &[OsString],
    object: &[u8],
    environment: &[(&str, OsString)],
) -> io::Result<Answer> {
    // With the name of the object, which may be part of a warning.
    let words = command.iter().map(|word| word.as_encoded_bytes());
    let file = folder.join(answers::key(words.chain([object])));
    if let Some(answer) = answers::load(&file) {
        return Ok(answer);
    }
    let answer = Answer::from(run_in_place(command, b"", environment)?);
    if answer.code == 0 {
        // Where this fails, nm is asked again the next time.
        let _ = answers::save(&file, &answer);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
