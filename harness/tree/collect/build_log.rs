//! Keeps the lines of a build log that say something, and drops the commands
//! that make ran. Called by `collect`; what a message means is for
//! `check::log` to say.

use std::path::Path;

use super::BuildTree;
use crate::model::error::Error;
use crate::model::facts::Log;

/// How many messages are kept; a log with more is a log of one problem.
const KEPT: usize = 20_000;
/// How much of one line is kept, in bytes.
const LINE: usize = 500;

/// Parses a build log, quiet (`V=0`) or verbose.
#[must_use]
pub fn parse(text: &[u8]) -> Log {
    let mut log = Log::default();
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        if is_command(line) || line.trim_ascii().is_empty() {
            continue;
        }
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
        if let Some(kind) = warning_kind(&text) {
            *log.warnings.entry(kind).or_default() += 1;
        }
        if log.messages.len() == KEPT {
            log.left_out += 1;
            continue;
        }
        log.messages.push((number + 1, text.trim_end().to_owned()));
    }
    log
}

/// Reads the log at `path`. Its messages name files from the top of the trees.
///
/// # Errors
/// [`Error::Usage`] where it cannot be read.
pub fn read(tree: &BuildTree, path: &Path) -> Result<Log, Error> {
    let text = std::fs::read(path).map_err(|e| {
        Error::Usage(format!(
            "cannot read the build log {}: {e}\n  pass a file with the output of make, or drop --log",
            path.display()
        ))
    })?;
    let mut log = parse(&text);
    let link = std::fs::read_link(tree.build.join("source")).ok();
    let folders = [Some(&tree.build), tree.source.as_ref(), link.as_ref()];
    let named = folders.into_iter().flatten().cloned();
    let whole = folders
        .into_iter()
        .flatten()
        .flat_map(|dir| dir.canonicalize());
    let mut folders: Vec<String> = named
        .chain(whole)
        .filter(|dir| dir.is_absolute() && dir.parent().is_some())
        .map(|dir| dir.to_string_lossy().into_owned())
        .collect();
    folders.sort_by_key(|dir| std::cmp::Reverse(dir.len()));
    forget_folders(&mut log, &folders);
    Ok(log)
}

/// Names files in messages from the top of the tree: another machine has other `folders`,
/// absolute ones, the inner first.
fn forget_folders(log: &mut Log, folders: &[String]) {
    for (_, message) in &mut log.messages {
        for folder in folders {
            if message.contains(folder.as_str()) {
                *message = without_folder(message, folder);
            }
        }
    }
}

fn without_folder(text: &str, folder: &str) -> String {
    let in_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(folder) {
        out.push_str(before);
        let is_whole = !before.ends_with(in_name) && !after.starts_with(in_name);
        rest = match (is_whole, after.strip_prefix('/')) {
            (true, Some(below)) => below,
            (true, None) => {
                out.push('.');
                after
            }
            (false, _) => {
                out.push_str(folder);
                after
            }
        };
    }
    out + rest
}

/// What kind of warning a line is: the flag that turns it off, or else the tool
/// that says it (`vmlinux.o: warning: objtool: …`, `ld.lld: warning: …`).
fn warning_kind(line: &str) -> Option<String> {
    let (before, after) = line
        .split_once("warning: ")
        .or_else(|| line.split_once("WARNING: "))?;
    let flag = line
        .rsplit_once("[-W")
        .and_then(|(_, flag)| flag.split_once(']'))
        .map(|(flag, _)| format!("-W{flag}"));
    let is_tool = |word: &&str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let tool = after
        .split_once(": ")
        .map(|(word, _)| word)
        .filter(is_tool)
        .or_else(|| Some(before.trim_end_matches(": ")).filter(is_tool));
    Some(flag.unwrap_or_else(|| tool.unwrap_or("other").to_owned()))
}

/// Whether a line is make's report of a command: `  CC  foo.o`, or, verbose,
/// the command itself, which holds options that look like messages.
fn is_command(line: &[u8]) -> bool {
    line.starts_with(b"  ")
        || line.starts_with(b"# ")
        || line.starts_with(b"+ ")
        || memchr::memmem::find(line, b" -c -o ").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/x/linux/mm/a.c:3: warning: b", "mm/a.c:3: warning: b")]
    #[case(
        "make[1]: Leaving directory '/x/linux'",
        "make[1]: Leaving directory '.'"
    )]
    #[case("in /x/linux/a.h, from /x/linux/b.c", "in a.h, from b.c")]
    #[case("/x/linux-next/a.c: error", "/x/linux-next/a.c: error")]
    #[case("/srv/x/linux/a.c: error", "/srv/x/linux/a.c: error")]
    fn a_message_names_files_from_the_top(#[case] message: &str, #[case] expected: &str) {
        assert_eq!(without_folder(message, "/x/linux"), expected);
    }

    #[test]
    fn keeps_messages_with_their_line_and_drops_commands() {
        let log = parse(
            b"  CC      init/main.o\nwarning: linking module 'a'\n\nclang -Woverride-module -c -o a.o a.c\nmake[1]: Leaving directory '/x'\n",
        );
        assert_eq!(
            log.messages,
            [
                (2, "warning: linking module 'a'".to_owned()),
                (5, "make[1]: Leaving directory '/x'".to_owned())
            ]
        );
    }

    #[test]
    fn warnings_are_counted_by_kind() {
        let log = parse(
            b"a.c:1:2: warning: unused x [-Wunused-variable]\nb.c:1:2: warning: unused y [-Wunused-variable]\nvmlinux.o: warning: objtool: f+0x1: oops\nld.lld: warning: cannot find it\nWARNING: modpost: missing x\nWARNING: Unable to reopen\nno warning here\n",
        );
        let counts: Vec<(&str, usize)> = log
            .warnings
            .iter()
            .map(|(kind, n)| (kind.as_str(), *n))
            .collect();
        assert_eq!(
            counts,
            [
                ("-Wunused-variable", 2),
                ("ld.lld", 1),
                ("modpost", 1),
                ("objtool", 1),
                ("other", 1)
            ]
        );
    }

    #[test]
    fn a_flood_is_counted_not_kept() {
        let log = parse(&b"warning: x\n".repeat(KEPT + 7));
        assert_eq!((log.messages.len(), log.left_out), (KEPT, 7));
    }

    #[test]
    fn a_long_line_of_bytes_that_are_no_text_is_cut() {
        let log = parse(&vec![0xff; 10_000]);
        assert_eq!(log.messages[0].1.chars().count(), LINE);
    }
}
