//! From outcomes to text, one format a file. Pure: `commands` prints.

pub mod diff;
pub mod json;
pub mod ktap;
pub mod text;

use std::borrow::Cow;
use std::fmt;

use crate::model::finding::{Finding, Rule};

/// The formats that every checking command can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
    /// The kernel's Test Anything Protocol.
    Ktap,
}

/// Text out of a tree or a log, safe to print: control characters, which could
/// move the cursor or imitate another line, are shown as escapes.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    if !text.contains(unsafe_char) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unsafe_char(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// The findings of one rule.
#[derive(Debug)]
pub struct Group<'a> {
    pub rule: &'static Rule,
    /// The allow entry's reason, where the group is suppressed.
    pub suppressed: Option<&'a str>,
    pub findings: Vec<&'a Finding>,
}

/// Puts findings of one rule together, in the order in which rules first occur.
#[must_use]
pub fn groups(findings: &[Finding]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for finding in findings {
        let suppressed = finding.suppressed.as_deref();
        match groups
            .iter_mut()
            .find(|g| g.rule.key == finding.rule.key && g.suppressed == suppressed)
        {
            Some(group) => group.findings.push(finding),
            None => groups.push(Group {
                rule: finding.rule,
                suppressed,
                findings: vec![finding],
            }),
        }
    }
    groups
}

/// `1 object`, `2 objects`.
pub(crate) struct Plural(pub usize, pub &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plural(n, noun) = self;
        write!(f, "{n} {noun}{}", if *n == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(printable("plain «x»"), "plain «x»");
    }
}
