//! Annotations of GitHub Actions: workflow commands on standard output, within GitHub's limit of
//! ten errors, ten warnings and ten notices for each step.

use std::fmt::Write as _;

use super::printable;
use super::test_tree::{Failure, Test, failures, not_judged};
use crate::model::finding::counted;

/// GitHub drops the annotations of one kind after so many, and does not say so.
const LIMIT: usize = 10;
/// Lines of evidence in an annotation.
const LINES: usize = 8;
/// Other places that an annotation names.
const PLACES: usize = 8;

/// What is broken as errors, what could not be told as warnings, what was not judged as a notice.
#[must_use]
pub fn write(tests: &[Test]) -> String {
    let (broken, unknown): (Vec<_>, Vec<_>) = failures(tests)
        .into_iter()
        .partition(|failure| failure.unknown.is_none());
    let mut out = String::new();
    write_kind(&mut out, "error", &broken);
    write_kind(&mut out, "warning", &unknown);
    let not_judged = not_judged(tests).into_iter();
    let reasons: Vec<String> = not_judged
        .map(|(reason, number)| format!("{}: {reason}", counted(number, "tests")))
        .collect();
    if !reasons.is_empty() {
        annotate(&mut out, "notice", "not judged", &reasons);
    }
    out
}

fn write_kind(out: &mut String, kind: &str, failures: &[Failure<'_>]) {
    let shown = match failures.len() {
        all @ ..=LIMIT => all,
        _ => LIMIT - 1,
    };
    for failure in &failures[..shown] {
        annotate(out, kind, failure.name, &lines(failure));
    }
    let more = &failures[shown..];
    if !more.is_empty() {
        let names: Vec<&str> = more.iter().map(|failure| failure.name).collect();
        let title = format!("{} more", more.len());
        annotate(out, kind, &title, &[names.join(", ")]);
    }
}

/// What fails in the first place, with the evidence there, and in which others.
fn lines(failure: &Failure<'_>) -> Vec<String> {
    let mut lines = vec![failure.head().to_owned()];
    if !failure.first_place().is_empty() {
        lines.push(format!("in {}", failure.first_place()));
    }
    lines.extend(failure.evidence().iter().take(LINES).cloned());
    let others = failure.other_places();
    if others.len() > 0 {
        let more = match others.len().saturating_sub(PLACES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown: Vec<&str> = others.take(PLACES).collect();
        lines.push(format!("also in {}{more}", shown.join("; ")));
    }
    lines
}

fn annotate(out: &mut String, kind: &str, title: &str, lines: &[String]) {
    let lines = lines.iter().map(|line| data(&printable(line)));
    let message = lines.collect::<Vec<_>>().join("%0A");
    let title = property(&format!("klto: {}", printable(title)));
    let _ = writeln!(out, "::{kind} title={title}::{message}");
}

/// The message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::test_tree::Verdict;
    use super::*;

    fn broken(name: &str, lines: &[&str]) -> Test {
        Test {
            diagnostics: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Test::new(name, Verdict::Fail)
        }
    }

    fn cell(name: &str, subtests: Vec<Test>) -> Test {
        Test {
            subtests,
            ..Test::new(name, Verdict::Fail)
        }
    }

    #[test]
    fn a_finding_of_several_cells_is_annotated_once() {
        let of_rule = || broken("flags.x", &["1 object lacks flags", "a.o: 100%"]);
        let cells = [
            cell("arm64/thin", vec![of_rule()]),
            cell("riscv/thin", vec![of_rule()]),
        ];
        assert_eq!(
            write(&cells),
            "::error title=klto%3A flags.x::1 object lacks flags%0Ain arm64/thin%0Aa.o: 100%25%0A\
             also in riscv/thin\n"
        );
    }

    #[test]
    fn of_more_than_github_shows_the_last_annotation_names_the_rest() {
        let rules = |number: usize| -> Vec<Test> {
            let names = (1..=number).map(|number| format!("rule.{number}"));
            names.map(|name| broken(&name, &["x"])).collect()
        };
        for number in [10, 11] {
            assert_eq!(write(&rules(number)).lines().count(), 10);
        }
        let written = write(&rules(12));
        assert_eq!(written.lines().count(), 10);
        let last = "::error title=klto%3A 3 more::rule.10, rule.11, rule.12";
        assert_eq!(written.lines().last(), Some(last));
    }

    #[test]
    fn what_could_not_be_told_is_a_warning_and_what_was_not_judged_a_notice() {
        let skipped = || Test::new("compdb.x", Verdict::Skip("nothing to look at".to_owned()));
        let tests = [
            Test::new("completed", Verdict::Timeout("timed out, a:b".to_owned())),
            skipped(),
            skipped(),
        ];
        assert_eq!(
            write(&tests),
            "::warning title=klto%3A completed::timed out, a:b\n\
             ::notice title=klto%3A not judged::2 tests: nothing to look at\n"
        );
    }

    #[test]
    fn hostile_text_is_no_command() {
        let tests = [broken("x,file=/etc::passwd", &["a\n::error::b%0A"])];
        let written = write(&tests);
        assert_eq!(
            written,
            "::error title=klto%3A x%2Cfile=/etc%3A%3Apasswd::a\\n::error::b%250A\n"
        );
    }
}
