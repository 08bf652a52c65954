//! Markdown, as a forge shows it: the summary of a step of GitHub Actions, a comment, an issue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::test_tree::{Failure, Test, Verdict, failures, not_judged, of_cell, of_tree};
use super::text::reproduce;
use super::{Reporter, printable};
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Inspection, RuleText, RunRecord};

/// GitHub loses the whole of a summary that has more bytes; half of it is enough for people.
const LARGEST: usize = 512 * 1024;
/// Lines of evidence of a rule.
const LINES: usize = 20;

/// Writes records as Markdown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Reporter for Markdown {
    fn run(&self, run: &RunRecord) -> String {
        let cells: Vec<Test> = run.cells.iter().map(of_cell).collect();
        let title = format!("klto: {}", run.title());
        let mut sections = vec![head(&title, &cells)];
        let mut reproduced = BTreeSet::new();
        for failure in &failures(&cells) {
            let mut section = of_failure(failure);
            let cell = failure.first_place().split(", ").next();
            let cell = run.cells.iter().find(|of| cell == Some(&of.cell));
            section.extend(
                cell.filter(|cell| reproduced.insert(&cell.cell))
                    .map(commands),
            );
            sections.push(section);
        }
        sections.extend(of_not_judged(&cells));
        cut(sections)
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        write(tree, &of_tree(inspection, rules))
    }
}

/// Tests of one thing, such as a build tree.
#[must_use]
pub fn write(name: &str, tests: &[Test]) -> String {
    let failed = tests.iter().filter(|test| !test.is_ok()).count();
    let of = counted(tests.len(), "tests");
    let head = format!("## klto: {}\n\n{failed} of {of} failed\n", escaped(name));
    let failures = failures(tests);
    let failures = failures.iter().map(of_failure);
    cut([head]
        .into_iter()
        .chain(failures)
        .chain(of_not_judged(tests))
        .collect())
}

/// The title and a table of all tests.
fn head(title: &str, tests: &[Test]) -> String {
    let mut out = format!("## {}\n\n| cell | outcome |\n|---|---|\n", escaped(title));
    for test in tests {
        let outcome = match &test.verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Fail => "**fail**".to_owned(),
            Verdict::Skip(why) | Verdict::NotApplicable(why) => format!("skip: {}", escaped(why)),
            Verdict::ExpectedFailure(why) => format!("known: {}", escaped(why)),
            Verdict::Error(why) | Verdict::Timeout(why) => {
                format!("**inconclusive**: {}", escaped(why))
            }
        };
        let _ = writeln!(out, "| {} | {outcome} |", escaped(&test.name));
    }
    out
}

fn of_failure(failure: &Failure<'_>) -> String {
    let head = escaped(failure.head());
    let mut out = format!("\n### {}: {head}\n", escaped(failure.name));
    let evidence = failure.evidence();
    if !failure.first_place().is_empty() {
        let end = if evidence.is_empty() { '.' } else { ':' };
        let _ = writeln!(out, "\nIn {}{end}", escaped(failure.first_place()));
    }
    if !evidence.is_empty() {
        out.push('\n');
    }
    for line in evidence.iter().take(LINES) {
        // Indented lines are code: nothing in them is markup.
        let _ = writeln!(out, "    {}", printable(line));
    }
    if let Some(more @ 1..) = evidence.len().checked_sub(LINES) {
        let _ = writeln!(out, "    … and {more} more, which the JSON report has");
    }
    let others: Vec<String> = failure.other_places().map(escaped).collect();
    if !others.is_empty() {
        let _ = writeln!(out, "\nAlso in {}.", others.join("; "));
    }
    out
}

/// The commands that reproduce what a cell shows.
fn commands(cell: &CellRecord) -> String {
    let lines = reproduce(&cell.reproduce);
    match lines.split_first() {
        // The lines are indented: after a blank line they are code.
        Some((_, lines)) => format!("\nReproduce:\n\n{}\n", lines.join("\n")),
        None => String::new(),
    }
}

fn of_not_judged(tests: &[Test]) -> Option<String> {
    let not_judged = not_judged(tests);
    let mut out = "\n### Not judged\n\n".to_owned();
    for (reason, number) in &not_judged {
        let _ = writeln!(out, "- {}: {}", counted(*number, "tests"), escaped(reason));
    }
    (!not_judged.is_empty()).then_some(out)
}

/// As many sections as fit, and how many do not.
fn cut(sections: Vec<String>) -> String {
    let mut out = String::new();
    let all = sections.len();
    for (shown, section) in sections.into_iter().enumerate() {
        if out.len() + section.len() > LARGEST {
            let left = counted(all - shown, "sections are");
            let _ = writeln!(out, "\n{left} left out; the JSON report has them.");
            break;
        }
        out.push_str(&section);
    }
    out
}

/// Text in a line or a cell of a table that is no markup and no HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A name to notify, and the start of a formula.
            '@' => out.push_str("&#64;"),
            '$' => out.push_str("&#36;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_tree_is_no_markup() {
        let test = Test {
            diagnostics: vec!["<b>x</b>".to_owned(), "```\n# head".to_owned()],
            ..Test::new("a|b [x](y) @all $x$", Verdict::Fail)
        };
        assert_eq!(
            write("`tree`", &[test]),
            "## klto: \\`tree\\`\n\n1 of 1 test failed\n\n\
             ### a\\|b \\[x\\](y) &#64;all &#36;x&#36;: &lt;b&gt;x&lt;/b&gt;\n\n    ```\\n# head\n"
        );
    }

    #[test]
    fn a_summary_that_a_forge_would_lose_is_cut_between_sections() {
        let section = "x".repeat(LARGEST / 2);
        let written = cut(vec![
            section.clone(),
            section.clone(),
            section.clone(),
            section,
        ]);
        let end = "\n2 sections are left out; the JSON report has them.\n";
        assert_eq!(written.len(), LARGEST + end.len());
        assert!(written.ends_with(end));
    }
}
