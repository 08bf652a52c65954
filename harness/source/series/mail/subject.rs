//! What a subject says: whether it is a reply, what its brackets state, and the title.

use super::one_line;

/// A subject, read as b4 and patchwork read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub whole: String,
    pub title: String,
    pub is_reply: bool,
    pub version: Option<u32>,
    pub number: Option<(u32, u32)>,
    pub prefixes: Vec<String>,
}

impl Subject {
    #[must_use]
    pub fn parse(text: &str) -> Subject {
        let whole = one_line(text);
        let (is_reply, mut rest) = without_reply(&whole);
        let mut subject = Subject {
            is_reply,
            ..Subject::default()
        };
        while let Some((inside, after)) = bracketed(rest) {
            // Brackets in brackets do not count.
            let words = inside.replace(['[', ']'], "");
            for word in words.split_whitespace() {
                subject.read(word.trim_matches([',', ';', ':']));
            }
            rest = after.trim_start();
        }
        rest.clone_into(&mut subject.title);
        subject.whole = whole;
        subject
    }

    /// Reads a word in brackets.
    fn read(&mut self, word: &str) {
        let (before, version) = split_version(word);
        if let Some(version) = version {
            self.version = Some(version);
        }
        if let Some(number) = number(before) {
            self.number = Some(number);
        } else if !before.is_empty() {
            self.prefixes.push(before.to_owned());
        }
    }
}

/// Whether the subject is that of a reply, and what comes after `Re:`. Other languages have
/// other words of two or three letters.
fn without_reply(subject: &str) -> (bool, &str) {
    let Some((word, rest)) = subject.split_once(':') else {
        return (false, subject);
    };
    let rest = rest.trim_start();
    let is_known = ["re", "aw", "fwd"].contains(&word.to_lowercase().as_str());
    let is_word =
        (2..=3).contains(&word.chars().count()) && word.chars().all(char::is_alphanumeric);
    match is_known || (is_word && rest.starts_with('[')) {
        true => (true, without_reply(rest).1),
        false => (false, subject),
    }
}

/// What is in the brackets that the text begins with, and what comes after them.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            _ if depth == 0 => return None,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// Takes the version off a word: `v3`, `-v3`, `PATCHv3`, `RFCv3`.
fn split_version(word: &str) -> (&str, Option<u32>) {
    let Some(at) = word.rfind(['v', 'V']) else {
        return (word, None);
    };
    let (before, version) = (&word[..at], &word[at + 1..]);
    let before = before.trim_end_matches('-');
    let is_word = ["", "patch", "rfc", "resend"].contains(&before.to_lowercase().as_str());
    match decimal(version) {
        Some(version) if is_word => (before, Some(version)),
        _ => (word, None),
    }
}

/// `n/of`.
fn number(word: &str) -> Option<(u32, u32)> {
    let (n, of) = word.split_once('/')?;
    Some((decimal(n)?, decimal(of)?))
}

/// A number of at most four digits.
fn decimal(text: &str) -> Option<u32> {
    let is_decimal = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}
