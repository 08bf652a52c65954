//! What make reads of a makefile: its lines without comments and blank lines. Pure. Source: the
//! GNU make manual, "What Makefiles Contain" and "Splitting Long Lines".

/// Whether two states of a file are the same to make, since they differ in comments and blank
/// lines at most. In doubt they are not.
#[must_use]
pub fn reads_the_same(path: &str, before: &str, after: &str) -> bool {
    is_makefile(path) && lines_read(before) == lines_read(after)
}

/// Whether the kernel's names for makefiles say that it is one.
fn is_makefile(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.split('.').next().unwrap_or(name);
    matches!(stem, "Makefile" | "Kbuild")
}

/// The logical lines that are neither blank nor a comment. In a recipe and in a `define` all lines
/// count, for the shell and `$(eval)` see them.
fn lines_read(text: &str) -> Vec<&str> {
    let mut read = Vec::new();
    let mut depth = 0_usize;
    for line in logical_lines(text) {
        let begins = || line.split_whitespace().any(|word| word == "define");
        let is_left_out = match line.trim_start_matches(' ').as_bytes().first() {
            None | Some(b'\n') => true,
            Some(b'#') => line.lines().count() == 1,
            _ => false,
        };
        if depth == 0 && is_left_out {
            continue;
        }
        read.push(line);
        if begins() {
            depth += 1;
        } else if line.trim_start().starts_with("endef") {
            depth = depth.saturating_sub(1);
        }
    }
    read
}

/// Lines with those that continue them: an odd number of backslashes before the line end.
fn logical_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        let body = line.strip_suffix('\n').unwrap_or_default();
        // make takes a line end of DOS for its own.
        let body = body.strip_suffix('\r').unwrap_or(body);
        let backslashes = body.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 0 {
            lines.push(&text[begin..end]);
            begin = end;
        }
    }
    if begin < end {
        lines.push(&text[begin..end]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::comment("x := 1\ny := 2\n", "x := 1\n# one\n  # two\n\ny := 2\n")]
    #[case::within_a_recipe("a:\n\tone\n\ttwo\n", "a:\n\tone\n# why\n\ttwo\n")]
    #[case::after_an_even_number_of_backslashes("x := \\\\\ny := 2\n", "x := \\\\\n# c\ny := 2\n")]
    #[case::after_a_define("define x\nendef\ny := 1\n", "define x\nendef\n# c\ny := 1\n")]
    fn comments_and_blank_lines_are_nothing_to_make(#[case] before: &str, #[case] after: &str) {
        assert!(reads_the_same("scripts/Makefile.x", before, after));
        assert!(reads_the_same("Kbuild", after, before));
    }

    #[rstest]
    #[case::line("x := 1\n", "x := 1\ny := 2\n")]
    #[case::for_the_shell("a:\n\tone\n", "a:\n\tone\n\t# c\n")]
    #[case::in_a_line_that_goes_on("x := 1 \\\n 2\n", "x := 1 \\\n# c\n 2\n")]
    #[case::in_a_line_of_dos_that_goes_on("x := 1 \\\r\n 2\r\n", "x := 1 \\\r\n# c\r\n 2\r\n")]
    #[case::in_a_define("define x\na\nendef\n", "define x\n# c\na\nendef\n")]
    #[case::blank_in_a_define("define x\na\nendef\n", "define x\na\n\nendef\n")]
    #[case::in_an_overriding_define(
        "override define x\nendef\n",
        "override define x\n# c\nendef\n"
    )]
    #[case::that_takes_the_next_line("x := 1\n", "# c \\\nx := 1\n")]
    #[case::of_several_lines("", "# c \\\nx := 1\n")]
    #[case::commented_out("x := 1\n", "# x := 1\n")]
    #[case::behind_a_value("x := 1\n", "x := 1 # c\n")]
    #[case::line_end("x := 1 \\", "x := 1 \\\n")]
    fn all_else_may_be_something(#[case] before: &str, #[case] after: &str) {
        assert!(!reads_the_same("scripts/Makefile.x", before, after));
    }

    #[rstest]
    #[case::shell("scripts/setlocalversion")]
    #[case::c("init/main.c")]
    #[case::kconfig("lib/Kconfig")]
    #[case::folder("scripts/Makefile.d/x")]
    fn of_other_files_nothing_is_said(#[case] path: &str) {
        assert!(!reads_the_same(path, "", "# c\n"));
        assert!(!reads_the_same(path, "", ""));
    }
}
