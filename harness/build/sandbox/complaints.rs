//! Reads from the log of a sandboxed build what it tried and was refused.

use std::path::{Path, PathBuf};

use super::Complaint;
use crate::build::process::sandbox::ENDED;
use crate::model::finding::SANDBOX_REFUSED;
use crate::tree::path::normalise;

/// What programs say of a file that they may not use.
const OF_FILES: [&str; 4] = [
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    // Of a link to what others write.
    "Invalid cross-device link",
];

/// What they say without a network.
const OF_NETWORK: [&str; 4] = [
    "Network is unreachable",
    "Could not resolve host",
    "Name or service not known",
    "Temporary failure in name resolution",
];

/// More would only be more of the same.
const MOST: usize = 20;

/// The longest line that is shown, in characters.
const LONGEST: usize = 300;

/// What a log says of that: one complaint for each thing that was reached for.
pub fn of_log(log: &[u8], dir: &Path, own: &[&Path]) -> Vec<Complaint> {
    let log = String::from_utf8_lossy(log);
    let mut found: Vec<Complaint> = Vec::new();
    let mut before = None;
    for line in log.lines() {
        if let Some(object) = object(line, dir, own)
            && found.iter().all(|known| known.object != object)
            && found.len() < MOST
        {
            found.push(Complaint {
                rule: &SANDBOX_REFUSED,
                object,
                evidence: shown(line),
                before: before.map(shown),
            });
        }
        before = Some(line).filter(|line| !line.trim().is_empty()).or(before);
    }
    found
}

/// The log without the lines that say so.
pub fn without(log: &[u8], dir: &Path, own: &[&Path]) -> Vec<u8> {
    let lines = log.split_inclusive(|byte| *byte == b'\n');
    let is_other = |line: &&[u8]| object(&String::from_utf8_lossy(line), dir, own).is_none();
    lines.filter(is_other).flatten().copied().collect()
}

fn shown(line: &str) -> String {
    line.trim().chars().take(LONGEST).collect()
}

/// What a line says that a build could not reach.
fn object(line: &str, dir: &Path, own: &[&Path]) -> Option<String> {
    if line.starts_with(ENDED) {
        return Some("processes".to_owned());
    }
    if OF_NETWORK.iter().any(|sign| line.contains(sign)) {
        return Some("network".to_owned());
    }
    if !OF_FILES.iter().any(|sign| line.contains(sign)) {
        return None;
    }
    // The program that says it comes first.
    let said = match line.split_once(": ") {
        Some((program, said)) if !program.contains(' ') => said,
        _ => line,
    };
    let mut words = said.split(|c: char| c.is_whitespace() || "'\"`‘’“”:,;()<>[]=".contains(c));
    let outside = words.rfind(|word| is_outside(word, dir, own));
    outside.map(str::to_owned)
}

/// Whether a word is a path that leads out of what the build may write.
fn is_outside(word: &str, dir: &Path, own: &[&Path]) -> bool {
    let path = match (word.starts_with('/'), word.contains("../")) {
        (true, _) => PathBuf::from(&*normalise(word)),
        (false, true) => PathBuf::from(&*normalise(&dir.join(word).to_string_lossy())),
        (false, false) => return false,
    };
    !own.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(line: &str) -> Option<String> {
        object(
            line,
            Path::new("/w/build"),
            &[Path::new("/w/build"), Path::new("/w/tmp")],
        )
    }

    #[rstest]
    #[case::shell(
        "/bin/sh: 1: cannot create /elsewhere/x: Permission denied",
        "/elsewhere/x"
    )]
    #[case::bash("bash: line 1: /elsewhere/x: Read-only file system", "/elsewhere/x")]
    #[case::touch(
        "touch: cannot touch '/elsewhere/u/x': Permission denied",
        "/elsewhere/u/x"
    )]
    #[case::quotes("mkdir: cannot create directory ‘/x/y’: Permission denied", "/x/y")]
    #[case::two_paths(
        "mv: cannot move '/w/build/a' to '/src/b': Permission denied",
        "/src/b"
    )]
    #[case::python(
        "PermissionError: [Errno 13] Permission denied: '/elsewhere/.netrc'",
        "/elsewhere/.netrc"
    )]
    #[case::compiler("a.c:1:10: fatal error: /etc/shadow: Permission denied", "/etc/shadow")]
    #[case::relative("cp: cannot stat '../../secret': Permission denied", "../../secret")]
    #[case::hidden_way("cat: /w/build/../x: Permission denied", "/w/build/../x")]
    #[case::changed_mode(
        "chmod: changing permissions of '/etc': Operation not permitted",
        "/etc"
    )]
    #[case::a_sentence("could not open /etc/shadow: Permission denied", "/etc/shadow")]
    #[case::network("curl: (6) Could not resolve host: example.org", "network")]
    #[case::processes(
        "klto-sandbox: ended the command: it had more than 9 processes",
        "processes"
    )]
    fn what_was_refused_is_named(#[case] line: &str, #[case] object: &str) {
        assert_eq!(of(line).as_deref(), Some(object));
    }

    #[test]
    fn each_thing_is_named_once_and_not_more_than_twenty() {
        let line = |n: usize| format!("cat: /elsewhere/{n}: Permission denied\n").repeat(2);
        let of_log = |lines: usize| {
            let log: String = (0..lines).map(line).collect();
            let found = of_log(log.as_bytes(), Path::new("/w/build"), &[]);
            found
                .into_iter()
                .map(|complaint| complaint.object)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_log(2), ["/elsewhere/0", "/elsewhere/1"]);
        assert_eq!(of_log(30).len(), 20);
    }

    #[rstest]
    #[case::own("touch: cannot touch '/w/build/x/y': Permission denied")]
    #[case::own_relative("touch: cannot touch 'a/../x': Permission denied")]
    #[case::no_path("make: ./x: Permission denied")]
    #[case::program("/usr/bin/ld: x.o: Permission denied")]
    #[case::other("cat: /elsewhere/x: No such file or directory")]
    #[case::sibling_is_meant("cat: /w/tmp/x: Permission denied")]
    fn what_is_its_own_is_no_complaint(#[case] line: &str) {
        assert_eq!(of(line), None);
    }

    #[test]
    fn a_log_has_one_complaint_for_each_path_and_the_line_before() {
        let log = b"  CC      a.o\ncat: /x: Permission denied\n\ncat: /x: Permission denied\ncat: /y: Permission denied\n";
        let found = of_log(log, Path::new("/b"), &[]);
        let objects: Vec<_> = found.iter().map(|c| c.object.as_str()).collect();
        assert_eq!(objects, ["/x", "/y"]);
        assert_eq!(found[0].before.as_deref(), Some("CC      a.o"));
        assert_eq!(without(log, Path::new("/b"), &[]), b"  CC      a.o\n\n");
    }
}
