//! Plain text for mail: lines of at most 72 columns, but for what tools printed.

use std::fmt::Write as _;

use super::printable;

/// The width of a line.
pub const WIDTH: usize = 72;

/// Headers of a message in plain text, after those that say what it is.
pub const HEADERS: &str = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n";

/// The end of each message.
pub const LAST_LINE: &str = "\nThis report is made by a program and may be wrong.\n";

/// Text as a sentence of its own. A first word that is a number or a name, such as that of a commit, stays
/// as it is.
pub fn sentence(text: &str) -> String {
    let first_word = text.split_whitespace().next().unwrap_or_default();
    let is_name = first_word.contains(|c: char| c.is_ascii_digit() || "_/.".contains(c));
    let mut chars = text.chars();
    match chars.next() {
        Some(_) if is_name => format!("{text}."),
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}

/// Writes text in lines of at most [`WIDTH`] columns; a longer word has a line of its own.
pub fn wrap(out: &mut String, indent: &str, text: &str) {
    let text = printable(text);
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            indent.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// Writes a command of the shell, continued where it is too long.
pub fn write_command(out: &mut String, command: &str) {
    let mut line = "   ".to_owned();
    let mut words = command.split(' ').peekable();
    while let Some(word) = words.next() {
        line.push(' ');
        line.push_str(word);
        let next = words.peek().map(|next| next.chars().count());
        // Room for a space, the next word and " \".
        if next.is_some_and(|next| line.chars().count() + 1 + next + 2 > WIDTH) {
            let _ = writeln!(out, "{line} \\");
            "     ".clone_into(&mut line);
        }
    }
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_sentence_begins_with_a_capital_but_for_names() {
        assert_eq!(sentence("one of two"), "One of two.");
        let commit = "d9f8cab63704 (\"step 2\") brought it";
        assert_eq!(sentence(commit), format!("{commit}."));
        assert_eq!(sentence("init/main.o lacks it"), "init/main.o lacks it.");
        assert_eq!(sentence(""), "");
    }

    #[rstest]
    #[case::short("git status", "    git status\n")]
    #[case::long(
        "klto probe --kernel \"$KERNEL\" --toolchain -22 --scenario noop,touch,flags --arch loongarch",
        "    klto probe --kernel \"$KERNEL\" --toolchain -22 --scenario \\\n      noop,touch,flags --arch loongarch\n"
    )]
    fn a_command_is_one_command_on_any_number_of_lines(
        #[case] command: &str,
        #[case] expected: &str,
    ) {
        let mut out = String::new();
        write_command(&mut out, command);
        assert_eq!(out, expected);
        assert_eq!(
            shlex::split(&out.replace("\\\n", "")),
            shlex::split(command)
        );
    }
}
