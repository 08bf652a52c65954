//! One message: the headers that a series is put together by, and the text of its body.

mod body;
mod subject;

use mailparse::{MailAddr, MailHeader, MailHeaderMap as _, SingleInfo};

pub use body::{diff_of, has_diff};
pub use subject::Subject;

/// The most bytes of a message's headers. Real ones have at most a few dozen KiB.
const MOST_HEADERS: usize = 256 * 1024;
/// The most bytes of one header's value; the rest of a longer one is not read.
const MOST_VALUE: usize = 16 * 1024;

/// A message, as far as klto needs it. Header values are decoded, on one line and without
/// control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mail {
    /// The message as `git am` takes it.
    pub raw: Vec<u8>,
    /// Without the angle brackets; empty if there is none.
    pub message_id: String,
    pub subject: String,
    /// The subject without `Re:` and `[PATCH ...]`.
    pub title: String,
    /// `Name <address>`.
    pub author: String,
    /// The author's address, in lower case.
    pub author_address: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    /// Seconds since 1970. A message without a date has that of the message before it.
    pub date: i64,
    /// The version that the subject states, or else 1.
    pub version: u32,
    pub has_version: bool,
    /// `n` and `of` of `[PATCH n/of]`.
    pub number: Option<(u32, u32)>,
    /// The words in the subject's brackets, such as `PATCH`, `RFC` and the name of a tree.
    pub prefixes: Vec<String>,
    pub is_reply: bool,
    /// Whether the body has a diff that is not quoted.
    pub has_diff: bool,
    pub has_diffstat: bool,
    /// The text of the body. Empty in a reply.
    pub body: String,
    /// What `git mailinfo` takes as the patch, if the message was chosen as one.
    pub patch: Vec<u8>,
    /// Whether there is a `Date:` that could be read.
    pub(super) has_date: bool,
}

impl Mail {
    /// Reads a message. What cannot be read is left empty: such a message is not a patch.
    #[must_use]
    pub fn parse(raw: Vec<u8>) -> Mail {
        let unreadable = |raw| Mail {
            raw,
            ..Mail::default()
        };
        let Some(head) = head(&raw) else {
            return unreadable(raw);
        };
        let Ok((headers, _)) = mailparse::parse_headers(head) else {
            return unreadable(raw);
        };
        let subject = Subject::parse(&value(&headers, "Subject").unwrap_or_default());
        let author = addresses(&headers, "From").into_iter().next();
        let author = author.unwrap_or_default();
        let date = value(&headers, "Date").and_then(|date| mailparse::dateparse(&date).ok());
        let mut references = ids(&headers, "References");
        let in_reply_to = ids(&headers, "In-Reply-To").into_iter().next();
        let in_reply_to = in_reply_to.or_else(|| references.last().cloned());
        if let Some(id) = in_reply_to.as_ref().filter(|id| !references.contains(id)) {
            references.push(id.clone());
        }
        let body = body::text(&raw, head.len());
        Mail {
            message_id: ids(&headers, "Message-Id")
                .into_iter()
                .next()
                .unwrap_or_default(),
            title: subject.title,
            author_address: address_of(&author).to_lowercase(),
            author,
            to: addresses(&headers, "To"),
            cc: addresses(&headers, "Cc"),
            in_reply_to,
            references,
            date: date.unwrap_or_default(),
            has_date: date.is_some(),
            version: subject.version.unwrap_or(1),
            has_version: subject.version.is_some(),
            number: subject.number,
            prefixes: subject.prefixes,
            subject: subject.whole,
            has_diff: has_diff(&body),
            has_diffstat: body::has_diffstat(&body),
            body: match subject.is_reply {
                true => String::new(),
                false => body,
            },
            is_reply: subject.is_reply,
            patch: Vec::new(),
            raw,
        }
    }

    /// The value of the first line `key: value` of the body, such as `base-commit`.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<String> {
        self.lines(key).into_iter().next()
    }

    /// The values of all lines `key: value` of the body.
    #[must_use]
    pub fn lines(&self, key: &str) -> Vec<String> {
        let values = self.body.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.split_whitespace().next()?;
            name.eq_ignore_ascii_case(key).then(|| one_line(value))
        });
        values.collect()
    }

    /// The message as one of an mbox, quoted as `--patch-format=mboxrd` of `git am` undoes it:
    /// no line of its body begins another message.
    #[must_use]
    pub fn mboxrd(&self) -> Vec<u8> {
        let mut mbox = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n".to_vec();
        for line in self.raw.split_inclusive(|b| *b == b'\n') {
            let quotes = line.iter().take_while(|b| **b == b'>').count();
            if line[quotes..].starts_with(b"From ") {
                mbox.push(b'>');
            }
            mbox.extend_from_slice(line);
        }
        if !mbox.ends_with(b"\n") {
            mbox.push(b'\n');
        }
        mbox.push(b'\n');
        mbox
    }

    /// Whether a word of the subject's brackets begins with this.
    #[must_use]
    pub fn has_prefix(&self, start: &str) -> bool {
        let start = start.to_lowercase();
        let mut prefixes = self.prefixes.iter();
        prefixes.any(|prefix| prefix.to_lowercase().starts_with(&start))
    }
}

/// The headers of a message, or of a part of one, with the blank line after them; `None` if
/// they are too long.
fn head(raw: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while at < raw.len() {
        let end = memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |end| at + end + 1);
        let line = &raw[at..end];
        at = end;
        if at > MOST_HEADERS {
            return None;
        }
        if line == b"\n" || line == b"\r\n" {
            break;
        }
    }
    Some(&raw[..at])
}

/// Reads the first header with a name, which is cut at the limit.
fn read<T>(
    headers: &[MailHeader<'_>],
    name: &str,
    reader: impl FnOnce(&MailHeader<'_>) -> T,
) -> Option<T> {
    let header = headers.get_first_header(name)?;
    let whole = header.get_value_raw();
    if whole.len() <= MOST_VALUE {
        return Some(reader(header));
    }
    // Not amid an address or a word.
    let end = memchr::memrchr2(b',', b' ', &whole[..MOST_VALUE]).unwrap_or(MOST_VALUE);
    let cut = [b"X:", &whole[..end]].concat();
    let (header, _) = mailparse::parse_header(&cut).ok()?;
    Some(reader(&header))
}

/// A header's value, decoded.
fn value(headers: &[MailHeader<'_>], name: &str) -> Option<String> {
    read(headers, name, |header| one_line(&header.get_value()))
}

/// The addresses of a header, as `Name <address>`.
fn addresses(headers: &[MailHeader<'_>], name: &str) -> Vec<String> {
    let list = read(headers, name, |header| {
        match mailparse::addrparse_header(header) {
            Ok(list) => list.iter().flat_map(singles).map(shown).collect(),
            // Something else than an address is in it: the words between the commas then.
            Err(_) => header
                .get_value()
                .split(',')
                .map(one_line)
                .filter(|one| !one.is_empty())
                .collect(),
        }
    });
    list.unwrap_or_default()
}

fn singles(address: &MailAddr) -> Vec<&SingleInfo> {
    match address {
        MailAddr::Single(single) => vec![single],
        MailAddr::Group(group) => group.addrs.iter().collect(),
    }
}

fn shown(single: &SingleInfo) -> String {
    let address = one_line(&single.addr);
    match single.display_name.as_deref().map(one_line) {
        Some(name) if !name.is_empty() => format!("{name} <{address}>"),
        _ => address,
    }
}

/// The address in `Name <address>`.
fn address_of(author: &str) -> &str {
    match author.rsplit_once('<') {
        Some((_, address)) => address.trim_end_matches('>'),
        None => author,
    }
}

/// The message ids of a header, without the angle brackets.
fn ids(headers: &[MailHeader<'_>], name: &str) -> Vec<String> {
    // Not decoded: an id has no encoded words, and may look like one.
    let text = read(headers, name, |header| {
        String::from_utf8_lossy(header.get_value_raw()).into_owned()
    });
    let text = text.unwrap_or_default();
    let mut ids: Vec<String> = Vec::new();
    for part in text.split('<').skip(1) {
        if let Some((id, _)) = part.split_once('>') {
            let id = one_line(id);
            if !id.is_empty() && !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

/// The text on one line, without control characters and the marks of bidirectional text.
#[must_use]
pub fn one_line(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            )
    };
    let words = text.split_whitespace();
    let words = words.map(|word| word.replace(is_hidden, ""));
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
