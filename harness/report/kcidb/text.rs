//! Texts as KCIDB takes them: without control characters, with few characters in names, and without
//! the paths of this machine.

use chrono::DateTime;
use serde_json::Number as Json;

use super::ORIGIN;
use crate::report::hidden::Hidden;
use crate::report::printable;

/// Characters of an excerpt.
const LARGEST_EXCERPT: usize = 16384;

impl Hidden<'_> {
    /// Lines, as many as there is room for.
    pub fn excerpt(&self, lines: &[String]) -> Option<String> {
        let mut out = String::new();
        let mut left = LARGEST_EXCERPT;
        for (number, line) in lines.iter().enumerate() {
            let line = format!(
                "{}{}",
                if number == 0 { "" } else { "\n" },
                self.of_line(line)
            );
            out.extend(line.chars().take(left));
            left = left.saturating_sub(line.chars().count());
        }
        (!out.is_empty()).then_some(out)
    }
}

/// The id of what has these names.
pub(super) fn id(parts: &[&str]) -> String {
    let parts = parts.iter().filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(|part| printable(part)).collect();
    format!("{ORIGIN}:{}", parts.join(":"))
}

pub(super) fn test_id(build_id: &str, name: &str) -> String {
    format!("{build_id}:{}", printable(name))
}

/// The place of a test in the tree of tests, whose words have few characters.
pub(super) fn path(name: &str) -> String {
    let words = name.split('.').filter(|word| !word.is_empty());
    let words =
        words.map(|word| word.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"));
    let words: Vec<String> = std::iter::once(ORIGIN.to_owned()).chain(words).collect();
    words.join(".")
}

pub(super) fn architecture(arch: &str) -> String {
    let arch = arch.to_lowercase();
    arch.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// Text, if there is any.
pub(super) fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| printable(text).into_owned())
}

/// A time in RFC 3339, if it is one.
pub(super) fn time(text: &str) -> Option<String> {
    DateTime::parse_from_rfc3339(text).ok()?;
    Some(text.to_owned())
}

/// JSON has no number for what is none.
pub(super) fn seconds(seconds: f64) -> Option<Json> {
    Json::from_f64(seconds).filter(|_| seconds > 0.0)
}

/// The last name of a path: where it is concerns nobody else.
pub(super) fn base_name(path: &str) -> &str {
    let mut names = path.rsplit('/');
    names.find(|name| !name.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn an_excerpt_ends_where_it_is_full() {
        let hidden = Hidden::default();
        assert_eq!(hidden.excerpt(&[]), None);
        let lines = [
            "a".to_owned(),
            "\u{fc}".repeat(LARGEST_EXCERPT),
            "b".to_owned(),
        ];
        let excerpt = hidden.excerpt(&lines).unwrap();
        assert!(excerpt.starts_with("a\n\u{fc}"));
        assert_eq!(excerpt.chars().count(), LARGEST_EXCERPT);
    }

    #[rstest]
    #[case::rule("flags.saved-missing", "klto.flags.saved-missing")]
    #[case::empty_words("a..b.", "klto.a.b")]
    #[case::other_characters("a b.\u{fc}/c", "klto.a_b.__c")]
    #[case::nothing("", "klto")]
    fn a_path_has_words_of_few_characters(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(path(name), expected);
    }

    #[rstest]
    #[case::ours("x86_64", "x86_64")]
    #[case::other("Foo-32", "foo_32")]
    fn an_architecture_has_lower_case_and_digits(#[case] arch: &str, #[case] expected: &str) {
        assert_eq!(architecture(arch), expected);
    }

    #[rstest]
    #[case::none(f64::NAN, None)]
    #[case::infinite(f64::INFINITY, None)]
    #[case::nothing(0.0, None)]
    #[case::some(1.5, Json::from_f64(1.5))]
    fn seconds_are_a_number_or_left_out(#[case] of: f64, #[case] expected: Option<Json>) {
        assert_eq!(seconds(of), expected);
    }
}
