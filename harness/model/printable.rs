//! Text that comes from elsewhere, shown so that it cannot do anything but be read.

use std::borrow::Cow;

/// Text out of a tree or a log, safe to print: characters that could move the cursor,
/// imitate another line or turn the order of reading are shown as escapes.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Control characters, separators of lines and paragraphs, the marks, overrides and isolates of
/// bidirectional text, and what is no character to XML.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
}

/// A whole message of klto's own, safe on a terminal: as [`printable`], but lines end, and what klto
/// colours has its colour. What is escaped is so also in JSON.
#[must_use]
pub fn on_terminal(message: &str) -> Cow<'_, str> {
    let is_safe = |c: char| matches!(c, '\n' | '\t') || !is_hidden(c);
    if message.chars().all(is_safe) {
        return Cow::Borrowed(message);
    }
    let mut safe = String::with_capacity(message.len() + 16);
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        let length = colour(rest).unwrap_or(c.len_utf8());
        let (this, after) = rest.split_at(length);
        rest = after;
        if is_safe(c) || length > c.len_utf8() {
            safe.push_str(this);
        } else {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    Cow::Owned(safe)
}

/// The length of the sequence that sets a colour or a style (ECMA-48: SGR), if a text begins with one.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("plain text, Grüße", "plain text, Grüße")]
    #[case::control("a\u{1b}[31mb\n", "a\\u{1b}[31mb\\n")]
    #[case::bidi_override("a\u{202e}b", "a\\u{202e}b")]
    #[case::bidi_isolate("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}")]
    #[case::line_separator("a\u{2028}b", "a\\u{2028}b")]
    #[case::no_character("a\u{fffe}b\u{ffff}", "a\\u{fffe}b\\u{ffff}")]
    fn what_cannot_be_seen_is_shown(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(printable(text), expected);
    }

    #[rstest]
    #[case::lines("a\n\tb\n", "a\n\tb\n")]
    #[case::colour("\u{1b}[1;31ma\u{1b}[0m\u{1b}[m", "\u{1b}[1;31ma\u{1b}[0m\u{1b}[m")]
    #[case::cursor("\u{1b}[2Ka\u{1b}[1;1H", "\\u001b[2Ka\\u001b[1;1H")]
    #[case::title("\u{1b}]0;x\u{7}", "\\u001b]0;x\\u0007")]
    #[case::carriage_return("FAIL\rpass", "FAIL\\u000dpass")]
    #[case::eight_bits("\u{9b}2K", "\\u009b2K")]
    #[case::bidi("a\u{202e}b", "a\\u202eb")]
    #[case::cut("a\u{1b}[1", "a\\u001b[1")]
    fn a_message_moves_nothing_on_a_terminal(#[case] message: &str, #[case] expected: &str) {
        assert_eq!(on_terminal(message), expected);
    }
}
