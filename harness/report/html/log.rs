//! The part of a build log that people look for: its errors, and how it ends.

use super::budget::Budget;

/// Lines that are shown of a log.
const MOST: usize = 400;
/// Of these, the last lines of the log.
const TAIL: usize = 80;
/// Lines before and after an error.
const AROUND: usize = 3;
/// Characters of a line.
const LONGEST: usize = 500;

/// What is shown of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub lines: Vec<Line>,
    /// How many lines are there.
    pub all: usize,
    /// How many of them say that something failed.
    pub errors: usize,
}

/// A line of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1, as wide as the largest.
    pub number: String,
    pub text: String,
    pub is_error: bool,
    /// How many lines before it are not shown.
    pub skipped: usize,
}

/// The lines around errors, the first ones first, and the last lines.
#[must_use]
pub fn excerpt(log: &str, budget: &mut Budget) -> Excerpt {
    let lines: Vec<String> = log.lines().map(plain).collect();
    let all = lines.len();
    let errors: Vec<usize> = (0..all).filter(|at| is_error(&lines[*at])).collect();
    let mut is_shown = vec![false; all];
    let most = budget.take(all.min(MOST));
    let tail = TAIL.min(most);
    is_shown[all - tail..].fill(true);
    let mut left = most - tail;
    let around = errors
        .iter()
        .flat_map(|at| at.saturating_sub(AROUND)..all.min(at + AROUND + 1));
    for at in around {
        if left > 0 && !is_shown[at] {
            is_shown[at] = true;
            left -= 1;
        }
    }
    // What errors do not need is for lines before the last ones.
    for at in (0..all - tail).rev() {
        if left > 0 && !is_shown[at] {
            is_shown[at] = true;
            left -= 1;
        }
    }
    let width = all.to_string().len();
    let mut next = 0;
    let shown = (0..all).filter(|at| is_shown[*at]).map(|at| {
        let skipped = at - next;
        next = at + 1;
        Line {
            number: format!("{:>width$}", at + 1),
            text: lines[at].clone(),
            is_error: errors.binary_search(&at).is_ok(),
            skipped,
        }
    });
    Excerpt {
        lines: shown.collect(),
        all,
        errors: errors.len(),
    }
}

/// A line without colours and tabs, and not endless.
fn plain(line: &str) -> String {
    let line = anstream::adapter::strip_str(line).to_string();
    let mut line = line.replace('\t', "    ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Whether a compiler, a linker, make or a kernel says here that something failed.
fn is_error(line: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "error:",
        "fatal:",
        "fatal error",
        "*** ",
        "undefined symbol",
        "undefined reference",
        "Kernel panic",
        "Segmentation fault",
        "Killed",
    ];
    SIGNS.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("init/main.c:3:1: error: expected ';'", true)]
    #[case("make[2]: *** [scripts/Makefile.build:287: init/main.o] Error 1", true)]
    #[case("ld.lld: error: undefined symbol: x", true)]
    #[case("  CC      lib/error.o", false)]
    #[case("init/main.c:3:1: warning: unused", false)]
    fn lines_that_say_what_failed_are_known(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(is_error(line), expected);
    }

    #[test]
    fn a_log_is_shown_by_its_errors_and_its_end() {
        let line = |n: usize| match n {
            1000 => "a.c:1:1: error: \u{1b}[31mno\u{1b}[0m".to_owned(),
            n => format!("  CC      {n}.o"),
        };
        let log: Vec<String> = (1..=5000).map(line).collect();
        let mut budget = Budget::new(90);

        let shown = excerpt(&log.join("\n"), &mut budget);

        assert_eq!((shown.all, shown.errors, shown.lines.len()), (5000, 1, 90));
        assert_eq!(shown.lines[0].number, " 997");
        assert_eq!(shown.lines[0].skipped, 996);
        assert_eq!(shown.lines[3].text, "a.c:1:1: error: no");
        assert!(shown.lines[3].is_error);
        assert_eq!(shown.lines[7].number, "4918");
        assert_eq!(shown.lines[7].skipped, 3914);
        assert_eq!(shown.lines[89].number, "5000");
        assert_eq!(excerpt("x\n", &mut budget).lines, []);
    }

    /// Neighbours share the lines between them, each of which counts once.
    #[test]
    fn as_many_errors_as_there_is_room_for_are_shown_and_the_first_ones_first() {
        let line = |n: usize| match n {
            100 | 102 | 200 | 300 => "a.c:1:1: error: no".to_owned(),
            n => format!("  CC      {n}.o"),
        };
        let log: Vec<String> = (1..=5000).map(line).collect();
        let around = 2 * AROUND + 1;
        // The two neighbours, and the first two lines around the next one.
        let room = (around + 2) + 2;

        let shown = excerpt(&log.join("\n"), &mut Budget::new(TAIL + room));

        let numbers = shown.lines[..=room].iter();
        let numbers: Vec<usize> = numbers
            .map(|line| line.number.trim().parse().unwrap())
            .collect();
        let mut expected: Vec<usize> = (100 - AROUND..=102 + AROUND).collect();
        expected.extend([200 - AROUND, 201 - AROUND, 5001 - TAIL]);
        assert_eq!(numbers, expected);
        assert_eq!((shown.lines.len(), shown.errors), (TAIL + room, 4));
    }

    #[test]
    fn a_short_log_is_shown_whole() {
        let shown = excerpt("one\ntwo\n", &mut Budget::new(1000));
        assert_eq!(shown.lines.len(), 2);
        assert_eq!(excerpt("", &mut Budget::new(1000)).lines, []);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(plain(&"ü".repeat(600)), format!("{}…", "ü".repeat(LONGEST)));
    }
}
