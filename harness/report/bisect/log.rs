//! The log of a search in the form of `git bisect log`, which `git bisect replay` takes; and git's
//! own logs, read. What klto adds is on lines that git does not read.

use std::fmt::Write as _;

use super::{named, summary};
use crate::model::bisect::{BisectRecord, CommitRecord, Ended, Verdict};
use crate::report::printable;

/// Writes the log.
pub(super) fn write(search: &BisectRecord) -> String {
    let mut start = String::from("git bisect start");
    if search.first_parent {
        start.push_str(" '--first-parent'");
    }
    if !search.paths.is_empty() {
        start.push_str(" '--'");
    }
    for path in &search.paths {
        let _ = write!(start, " '{}'", path.replace('\'', r"'\''"));
    }
    let mut out = one_line(&start);
    if let Some(finding) = &search.finding {
        let line = format!(
            "# klto: {} of {} in {}: {}",
            finding.key, finding.object, finding.cell, finding.evidence
        );
        out.push_str(&one_line(&line));
    }
    // Git refuses a commit with two verdicts.
    let mut told: Vec<&str> = Vec::new();
    for step in &search.steps {
        out.push_str(&one_line(&format!(
            "# klto: {}: {}",
            step.verdict.name(),
            step.why
        )));
        if told.contains(&step.commit.commit.as_str()) {
            continue;
        }
        told.push(&step.commit.commit);
        let term = match step.verdict {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
            Verdict::Unknown => "skip",
        };
        out.push_str(&comment(term, &step.commit));
        let _ = writeln!(out, "git bisect {term} {}", step.commit.commit);
    }
    match &search.ended {
        Some(Ended::Culprit { commit }) => {
            out.push_str(&comment("first 'bad' commit", commit));
            out.push_str(&one_line(&format!("# klto: Fixes: {}", named(commit))));
        }
        Some(Ended::Among { commits }) => {
            out.push_str("# only skipped commits left to test\n");
            for commit in commits {
                out.push_str(&comment("possible first 'bad' commit", commit));
            }
        }
        Some(Ended::EndsDoNotFit { why } | Ended::Contradiction { why }) => {
            out.push_str(&one_line(&format!("# klto: {why}")));
        }
        Some(Ended::Toolchain) => {
            out.push_str(&one_line(&format!("# klto: {}", summary(search))));
        }
        None => {}
    }
    out
}

fn comment(term: &str, commit: &CommitRecord) -> String {
    one_line(&format!("# {term}: [{}] {}", commit.commit, commit.subject))
}

/// Text that is one line whatever it has in it: no part of it can be a command of its own.
fn one_line(text: &str) -> String {
    format!("{}\n", printable(text))
}

/// What a log says of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub verdict: Verdict,
    /// As the log names it.
    pub rev: String,
    /// Its line, from 1.
    pub line: usize,
}

/// What a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub marks: Vec<Mark>,
    pub first_parent: bool,
    pub paths: Vec<String>,
}

/// Reads a log of git's or of klto's.
///
/// # Errors
/// What is wrong, with its line.
pub fn read(text: &str) -> Result<Told, String> {
    let mut told = Told::default();
    let (mut good, mut bad) = ("good".to_owned(), "bad".to_owned());
    // The numbers of the commits that the next command names, by the comments before it.
    let mut named: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(id) = commented(line) {
            named.push(id.to_owned());
        }
        let Some(rest) = ["git bisect ", "git-bisect "]
            .iter()
            .find_map(|command| line.strip_prefix(command))
        else {
            continue;
        };
        let wrong = |what: &str| Err(format!("line {number}: {what}: '{}'", line.escape_debug()));
        let Some(words) = shlex::split(rest) else {
            return wrong("a quote has no end");
        };
        let Some((command, words)) = words.split_first() else {
            continue;
        };
        let named = std::mem::take(&mut named);
        match command.as_str() {
            "start" => {
                let mut revs = Vec::new();
                let mut words = words.iter();
                while let Some(word) = words.next() {
                    let is_term = word.starts_with("--term-") && !word.contains('=');
                    let value = if is_term {
                        words.next().map_or("", |value| value)
                    } else {
                        ""
                    };
                    match word.split_once('=').unwrap_or((word, value)) {
                        ("--", _) => told.paths = words.by_ref().cloned().collect(),
                        ("--first-parent", _) => told.first_parent = true,
                        ("--no-checkout", _) => {}
                        ("--term-new" | "--term-bad", term) => term.clone_into(&mut bad),
                        ("--term-old" | "--term-good", term) => term.clone_into(&mut good),
                        (option, _) if option.starts_with('-') => {
                            return wrong("an option that klto does not know");
                        }
                        (_, _) => revs.push(word.clone()),
                    }
                }
                // A name, such as HEAD, is by now that of another commit.
                if named.len() == revs.len() {
                    revs = named;
                }
                // The first is bad, the others are good.
                let verdicts = std::iter::once(Verdict::Bad);
                let verdicts = verdicts.chain(std::iter::repeat(Verdict::Good));
                for (rev, verdict) in revs.into_iter().zip(verdicts) {
                    told.marks.push(Mark {
                        verdict,
                        rev,
                        line: number,
                    });
                }
            }
            "terms" => {}
            command => {
                let verdict = match command {
                    "skip" => Verdict::Unknown,
                    "new" => Verdict::Bad,
                    "old" => Verdict::Good,
                    command if command == bad => Verdict::Bad,
                    command if command == good => Verdict::Good,
                    _ => return wrong("expected start, good, bad, skip, old, new or terms"),
                };
                if words.is_empty() {
                    return wrong("it names no commit");
                }
                told.marks.extend(words.iter().map(|rev| Mark {
                    verdict,
                    rev: rev.clone(),
                    line: number,
                }));
            }
        }
    }
    match told.marks.is_empty() {
        true => Err("no line begins with 'git bisect' and names a commit".to_owned()),
        false => Ok(told),
    }
}

/// The number in a comment such as `# bad: [NUMBER] SUBJECT`.
fn commented(line: &str) -> Option<&str> {
    let (term, rest) = line.strip_prefix("# ")?.split_once(": [")?;
    let (id, _) = rest.split_once(']')?;
    let is_id = id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
    (is_id && !term.contains(' ')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn mark(verdict: Verdict, rev: &str, line: usize) -> Mark {
        Mark {
            verdict,
            rev: rev.to_owned(),
            line,
        }
    }

    #[test]
    fn a_log_of_git_is_read() {
        let text = "git bisect start '--first-parent' 'v2' 'v1' 'v0' '--' 'a b' 'c'\n\
                    # status: waiting for bad commit\n\
                    # good: [1111] subject\n\
                    git bisect good 1111\n\
                    git bisect skip 2222 3333\n\
                    # first 'bad' commit: [4444] x\n";
        let told = read(text).unwrap();
        assert_eq!(
            told,
            Told {
                marks: vec![
                    mark(Verdict::Bad, "v2", 1),
                    mark(Verdict::Good, "v1", 1),
                    mark(Verdict::Good, "v0", 1),
                    mark(Verdict::Good, "1111", 4),
                    mark(Verdict::Unknown, "2222", 5),
                    mark(Verdict::Unknown, "3333", 5),
                ],
                first_parent: true,
                paths: vec!["a b".to_owned(), "c".to_owned()],
            }
        );
    }

    #[test]
    fn the_terms_of_a_log_are_its_own() {
        let text = "git bisect start '--term-old=fast' '--term-new=slow'\n\
                    git bisect slow 1\ngit bisect fast 2\n";
        let told = read(text).unwrap();
        let expected = [mark(Verdict::Bad, "1", 2), mark(Verdict::Good, "2", 3)];
        assert_eq!(told.marks, expected);
    }

    /// What it was when the bisect began, the comments say.
    #[test]
    fn a_name_that_moves_is_not_taken_for_what_it_was() {
        let (bad, good) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "# bad: [{bad}] subject\n# good: [{good}] subject\n\
             git bisect start '--term-old' 'broken' '--term-new' 'fixed' 'HEAD' 'HEAD~1'\n\
             # fixed: [{bad}] subject\ngit bisect fixed x\n"
        );
        let told = read(&text).unwrap();
        let expected = [
            mark(Verdict::Bad, &bad, 3),
            mark(Verdict::Good, &good, 3),
            mark(Verdict::Bad, "x", 5),
        ];
        assert_eq!(told.marks, expected);
    }

    #[rstest]
    #[case::no_log("hello\n", "no line begins with 'git bisect' and names a commit")]
    #[case::no_commit("git bisect bad\n", "line 1: it names no commit: 'git bisect bad'")]
    #[case::no_command(
        "git bisect start\ngit bisect worse 1\n",
        "line 2: expected start, good, bad, skip, old, new or terms: 'git bisect worse 1'"
    )]
    #[case::no_option(
        "git bisect start --what\n",
        "line 1: an option that klto does not know: 'git bisect start --what'"
    )]
    #[case::quote(
        "git bisect bad 'x\n",
        "line 1: a quote has no end: 'git bisect bad \\'x'"
    )]
    fn what_is_no_log_is_refused_with_its_line(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(read(text), Err(expected.to_owned()));
    }
}
