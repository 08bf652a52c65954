//! KTAP, the kernel's Test Anything Protocol, version 1 (`Documentation/dev-tools/ktap.rst`).
//! Plans, numbers and indentation follow from a tree of tests, so that they cannot be wrong.

use std::fmt::Write as _;

use super::printable;
use super::test_tree::{Test, Verdict};

/// The whole stream.
#[must_use]
pub fn write(tests: &[Test]) -> String {
    let mut out = String::new();
    write_level(&mut out, None, tests, "");
    out
}

/// The version line, the name of the test that these are subtests of, the plan, the tests.
fn write_level(out: &mut String, parent: Option<&str>, tests: &[Test], indent: &str) {
    let _ = writeln!(out, "{indent}KTAP version 1");
    if let Some(name) = parent {
        // A diagnostic line to the specification; the reader of `KUnit` shows the name.
        let _ = writeln!(out, "{indent}# Subtest: {name}");
    }
    let _ = writeln!(out, "{indent}1..{}", tests.len());
    for (number, test) in (1..).zip(tests) {
        let name = description(&test.name);
        if !test.subtests.is_empty() {
            write_level(out, Some(&name), &test.subtests, &format!("{indent}  "));
        }
        for line in &test.diagnostics {
            let _ = writeln!(out, "{indent}# {}", quiet(&printable(line)));
        }
        if let Verdict::Error(why) | Verdict::Timeout(why) = &test.verdict {
            // The reader of `KUnit` drops the text after these directives.
            let _ = writeln!(out, "{indent}# {}", quiet(&printable(why)));
        }
        let result = if test.is_ok() { "ok" } else { "not ok" };
        let _ = write!(out, "{indent}{result} {number} {name}");
        if let Some((word, reason)) = test.verdict.directive() {
            // the reader of `KUnit` looks for ` # SKIP` in the whole line.
            let reason = quiet(&printable(reason)).replace('#', "\\#");
            let _ = write!(out, " # {word} {}", reason.trim());
        }
        out.push('\n');
    }
}

/// A test's name: `#` begins a directive.
fn description(name: &str) -> String {
    quiet(&printable(name))
        .replace('#', "\\u{23}")
        .trim()
        .to_owned()
}

/// Free text without what the reader of `KUnit` (`tools/testing/kunit/kunit_parser.py`) takes for a
/// header of subtests, or, anywhere in a line, for the end of the stream: the last words of
/// a kernel, which a console shows.
fn quiet(text: &str) -> String {
    const HEARD: [&str; 4] = [
        "Subtest:",
        "List of all partitions:",
        "Kernel panic - not syncing: VFS:",
        "reboot: System halted",
    ];
    HEARD.iter().fold(text.to_owned(), |text, heard| {
        text.replace(heard, &heard.replace(':', "\\:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(name: &str, subtests: Vec<Test>) -> Test {
        Test {
            subtests,
            ..Test::new(name, Verdict::Pass)
        }
    }

    #[test]
    fn subtests_stand_between_their_version_line_and_the_result_of_their_parent() {
        let mut failed = Test::new("b", Verdict::Fail);
        failed.diagnostics.push("seen".to_owned());
        let tests = [
            parent(
                "outer",
                vec![Test::new("a", Verdict::Pass), parent("inner", vec![failed])],
            ),
            Test::new("last", Verdict::Skip("why".to_owned())),
        ];

        let expected = "\
KTAP version 1
1..2
  KTAP version 1
  # Subtest: outer
  1..2
  ok 1 a
    KTAP version 1
    # Subtest: inner
    1..1
    # seen
    not ok 1 b
  not ok 2 inner
not ok 1 outer
ok 2 last # SKIP why
";
        assert_eq!(write(&tests), expected);
    }

    #[test]
    fn free_text_does_not_speak_to_the_reader() {
        let mut test = Test::new("a # SKIP\nok 2 b", Verdict::Error("x # SKIP y".to_owned()));
        test.diagnostics = vec![
            "Subtest: imitated".to_owned(),
            "init: Kernel panic - not syncing: VFS: no root".to_owned(),
            "[ 1.0] reboot: System halted".to_owned(),
        ];

        let expected = "\
KTAP version 1
1..1
# Subtest\\: imitated
# init: Kernel panic - not syncing\\: VFS\\: no root
# [ 1.0] reboot\\: System halted
# x # SKIP y
not ok 1 a \\u{23} SKIP\\nok 2 b # ERROR x \\# SKIP y
";
        assert_eq!(write(&[test]), expected);
    }
}
