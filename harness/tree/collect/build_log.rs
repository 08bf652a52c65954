//! Keeps the lines of a build log that say something, and drops the commands
//! that make ran. Called by `collect`; what a message means is for
//! `check::log` to say.

use std::borrow::Cow;
use std::path::Path;

use super::{BuildTree, tools};
use crate::file::bounded_log;
use crate::model::error::Error;
use crate::model::facts::Log;

/// How many messages are kept; a log with more is a log of one problem.
const KEPT: usize = 20_000;
/// How much of one line is kept, in bytes.
const LINE: usize = 500;
/// How many kinds of warnings are counted, each by itself. Clang has about a thousand.
const KINDS: usize = 2000;

/// Parses a build log, quiet (`V=0`) or verbose.
#[must_use]
pub fn parse(text: &[u8]) -> Log {
    let mut log = Log::default();
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = without_colours(line);
        let line = without_stamps(&line);
        if bounded_log::is_note(line) {
            log.left_out += 1;
            continue;
        }
        tools::add_readers(line, &mut log.tools);
        if is_command(line) || line.trim_ascii().is_empty() {
            continue;
        }
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
        if let Some(kind) = warning_kind(&text) {
            let is_room = log.warnings.len() < KINDS || log.warnings.contains_key(&kind);
            let kind = if is_room { kind } else { "other".to_owned() };
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

/// Whether make says that a file is from a time to come: the clock went back during the build.
pub(super) fn says_clock_went_back(log: &Log) -> bool {
    let mut texts = log.messages.iter().map(|(_, text)| text);
    texts.any(|text| text.starts_with("make") && text.contains(": warning:  Clock skew detected."))
}

fn without_colours(line: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(0x1b, line) {
        None => Cow::Borrowed(line),
        Some(_) => Cow::Owned(anstream::adapter::strip_bytes(line).into_vec()),
    }
}

/// The line without what a CI system puts before it: `2026-11-25T02:00:00.1Z `, `[02:00:00] `,
/// `#12 33.2 `, `builder | `, or columns with a tab after each.
fn without_stamps(line: &[u8]) -> &[u8] {
    /// More are not seen, and each may be as long as the line.
    const MOST: usize = 4;

    let stamps = std::iter::successors(Some(line), |rest| after_stamp(rest));
    stamps.take(1 + MOST).last().unwrap_or(line)
}

/// What follows the first stamp of a line, if it begins with one.
fn after_stamp(line: &[u8]) -> Option<&[u8]> {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let is_in_time = |byte: &u8| byte.is_ascii_digit() || b":.,+-/TZ#s".contains(byte);
    if let Some(inner) = line.strip_prefix(b"[") {
        let (stamp, after) = split_once(inner, b']')?;
        let is_level = [&b"error"[..], b"warning", b"fatal"]
            .iter()
            .any(|level| stamp.eq_ignore_ascii_case(level));
        return after.strip_prefix(b" ").filter(|_| !is_level);
    }
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let word = &line[..end];
    let after = &line[end + 1..];
    let is_time = word.iter().all(is_in_time)
        && word.iter().any(u8::is_ascii_digit)
        && !word.iter().all(u8::is_ascii_digit);
    let is_name = !word.is_empty() && word.iter().all(is_in_name);
    match (line[end], is_time) {
        (_, true) => Some(after),
        (b'\t', _) => after_columns(line),
        _ if is_name => after.trim_ascii_start().strip_prefix(b"| "),
        _ => None,
    }
}

/// What follows the columns of job and step that stand before a time.
fn after_columns(line: &[u8]) -> Option<&[u8]> {
    let (_job, line) = split_once(line, b'\t')?;
    let (_step, line) = split_once(line, b'\t')?;
    let (time, _) = split_once(line, b' ')?;
    time.first().is_some_and(u8::is_ascii_digit).then_some(line)
}

fn split_once(line: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, line)?;
    Some((&line[..at], &line[at + 1..]))
}

/// Reads the log at `path`. Its messages name files from the top of the trees.
///
/// # Errors
/// [`Error::Usage`] where it cannot be read.
pub fn read(tree: &BuildTree, path: &Path) -> Result<Log, Error> {
    let mut log = parse(&read_text(path)?);
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

fn read_text(path: &Path) -> Result<Vec<u8>, Error> {
    bounded_log::read(path).map_err(|e| {
        Error::Usage(format!(
            "cannot read the build log {}: {e}\n  pass a file with the output of make, or drop --log",
            path.display()
        ))
    })
}

/// Whether the tree has a log, and it shows that `vmlinux.o` was linked.
///
/// # Errors
/// As [`read`].
pub(super) fn has_link(tree: &BuildTree) -> Result<bool, Error> {
    match &tree.log {
        Some(path) => Ok(shows_link(&read_text(path)?)),
        None => Ok(false),
    }
}

/// Whether a line is `  LD      vmlinux.o`, or the command itself.
fn shows_link(text: &[u8]) -> bool {
    const OUTPUT: &[u8] = b"vmlinux.o";

    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let mut before: &[u8] = b"";
        memchr::memmem::find(line, OUTPUT).is_some()
            && words.any(|word| {
                let before = std::mem::replace(&mut before, word);
                word == OUTPUT && (before == b"LD" || before == b"-o")
            })
    })
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

    #[rstest]
    #[case::time("2026-11-25T02:00:00.123Z sed: x")]
    #[case::time_of_day("02:00:00 sed: x")]
    #[case::in_brackets("[02:00:00] sed: x")]
    #[case::seconds_in_brackets("[  12.3s] sed: x")]
    #[case::job_in_brackets("[build] [02:00] sed: x")]
    #[case::step_and_seconds("#12 33.21 sed: x")]
    #[case::service("builder-1  | sed: x")]
    #[case::columns("build\tRun make -j4\t2026-11-25T02:00:00.1Z sed: x")]
    #[case::colours("\x1b[1m\x1b[31msed: x\x1b[0m")]
    #[case::colours_and_time("\x1b[2m02:00:00\x1b[0m \x1b[31msed: x\x1b[0m")]
    #[case::nothing("sed: x")]
    fn what_stands_before_a_message_is_dropped(#[case] line: &str) {
        let log = parse(line.as_bytes());
        assert_eq!(log.messages, [(1, "sed: x".to_owned())]);
    }

    #[rstest]
    #[case("2026-11-25T02:00:00.123Z   CC      init/main.o")]
    #[case("[02:00:00]   AR      built-in.a")]
    #[case("#12 33.21 clang -c -o a.o a.c")]
    fn a_command_after_a_time_is_a_command(#[case] line: &str) {
        assert_eq!(parse(line.as_bytes()).messages, []);
    }

    #[rstest]
    #[case("make[1]: Entering directory 'x'")]
    #[case("12345")]
    #[case("2 errors generated.")]
    #[case("ld.lld: error | warning")]
    #[case("sed: a | b")]
    #[case("a.c:12:3: error: x")]
    #[case("[unfinished")]
    #[case("[ERROR] cannot do it")]
    fn a_message_stays_whole(#[case] line: &str) {
        let log = parse(line.as_bytes());
        assert_eq!(log.messages, [(1, line.to_owned())]);
    }

    /// A stamp may be looked for up to the end of the line: without a limit, a line of nothing else
    /// would take hours.
    #[rstest]
    #[case::times("0:0 0:1 0:2 0:3 0:4 0:5 x", "0:4 0:5 x")]
    #[case::brackets("[0] [1] [2] [3] [4] x", "[4] x")]
    #[case::columns("a\tb\t1a\tb\t2a\tb\t3a\tb\t4a\tb\t5 x", "4a\tb\t5 x")]
    fn four_stamps_are_dropped_and_no_more(#[case] line: &str, #[case] left: &str) {
        let log = parse(line.as_bytes());
        assert_eq!(log.messages, [(1, left.to_owned())]);
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

    #[rstest]
    #[case::short("  LD      vmlinux.o\n", true)]
    #[case::verbose("# LD      vmlinux.o\n  ld.lld -r -o vmlinux.o x.a\n", true)]
    #[case::command("ld.lld -r  -o vmlinux.o x.a\n", true)]
    #[case::after_a_time("02:00:00   LD      vmlinux.o\r\n", true)]
    #[case::modpost("  MODPOST vmlinux.symvers\nscripts/mod/modpost vmlinux.o\n", false)]
    #[case::another("  LD      lib/vmlinux.o\n  LD      vmlinux.old\n", false)]
    #[case::objtool("  LD  x\nvmlinux.o: warning: objtool: x\n", false)]
    fn a_link_is_seen_in_the_log(#[case] log: &str, #[case] expected: bool) {
        assert_eq!(shows_link(log.as_bytes()), expected);
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
    fn kinds_of_warnings_are_counted_up_to_a_number() {
        let lines = (0..KINDS + 7).map(|n| format!("a.c:1: warning: x [-Wkind-{n}]\n"));
        let log = parse(lines.collect::<String>().as_bytes());
        assert_eq!((log.warnings.len(), log.warnings["other"]), (KINDS + 1, 7));
    }

    #[test]
    fn what_was_left_out_of_the_log_is_counted() {
        let text = ["warning: x\n", &bounded_log::note(77), "warning: y\n"].concat();
        let log = parse(text.as_bytes());
        assert_eq!((log.messages.len(), log.left_out), (2, 1));
        assert_eq!(log.messages[1], (3, "warning: y".to_owned()));
    }

    #[test]
    fn a_long_line_of_bytes_that_are_no_text_is_cut() {
        let log = parse(&vec![0xff; 10_000]);
        assert_eq!(log.messages[0].1.chars().count(), LINE);
    }
}
