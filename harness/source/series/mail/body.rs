//! The text of a message's body: decoded, and of the part with a diff if there are several.
//! It only tells which messages can be patches; git reads the patch itself.

use mailparse::{MailHeaderMap as _, parse_content_type};
use memchr::memmem;

use super::head;

/// How deep parts may be in other parts. git reads five levels.
const MOST_LEVELS: usize = 8;
/// The most parts of a message.
const MOST_PARTS: usize = 200;

/// The text of a message whose headers are the first `head_len` bytes; nothing if there is
/// none, or if there are too many parts.
#[must_use]
pub(super) fn text(raw: &[u8], head_len: usize) -> String {
    let mut leaves = Vec::new();
    if !collect(raw, head_len, MOST_LEVELS, &mut leaves) {
        return String::new();
    }
    let mut first: Option<String> = None;
    for leaf in leaves {
        let Some(text) = decoded(leaf) else {
            continue;
        };
        match &first {
            None => first = Some(text),
            // A patch that is attached to a message.
            Some(_) if has_diff(&text) => first = Some(text),
            Some(_) => {}
        }
    }
    first.unwrap_or_default()
}

/// Collects the parts that have no parts themselves. Returns whether there are not too many.
fn collect<'a>(raw: &'a [u8], head_len: usize, levels: usize, leaves: &mut Vec<&'a [u8]>) -> bool {
    let Some(boundary) = boundary(&raw[..head_len]) else {
        leaves.push(raw);
        return leaves.len() <= MOST_PARTS;
    };
    if levels == 0 {
        return false;
    }
    parts(&raw[head_len..], &boundary)
        .all(|part| head(part).is_some_and(|head| collect(part, head.len(), levels - 1, leaves)))
}

/// What is between the parts, with the two hyphens; `None` if there are no parts.
fn boundary(head: &[u8]) -> Option<Vec<u8>> {
    let (headers, _) = mailparse::parse_headers(head).ok()?;
    let kind = parse_content_type(&headers.get_first_value("Content-Type")?);
    let boundary = kind.params.get("boundary")?;
    // As the reader of a part decides it.
    let is_multipart = kind.mimetype.starts_with("multipart");
    is_multipart.then(|| format!("--{boundary}").into_bytes())
}

/// The parts between lines that begin with the boundary, up to the one that ends them.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let finder = memmem::Finder::new(boundary).into_owned();
    let len = boundary.len();
    // Where the next line with a boundary begins.
    let next = move |from: usize| {
        let mut from = from;
        loop {
            let at = from + finder.find(body.get(from..)?)?;
            if at == 0 || body[at - 1] == b'\n' {
                return Some(at);
            }
            from = at + 1;
        }
    };
    let mut at = next(0);
    std::iter::from_fn(move || {
        let here = at?;
        if body[here + len..].starts_with(b"--") {
            return None;
        }
        let begin = memchr::memchr(b'\n', &body[here..]).map(|end| here + end + 1)?;
        at = next(begin);
        let end = at.unwrap_or(body.len());
        Some(&body[begin..end])
    })
}

/// The text of a part, if it is plain text or can be a patch.
fn decoded(part: &[u8]) -> Option<String> {
    let mail = mailparse::parse_mail(part).ok()?;
    let kind = &mail.ctype;
    let is_text = ["plain", "x-patch", "x-diff", "octet-stream"]
        .iter()
        .any(|name| kind.mimetype.ends_with(&format!("/{name}")));
    if !is_text {
        return None;
    }
    let is_utf8 = ["us-ascii", "utf-8", "utf8"].contains(&kind.charset.to_lowercase().as_str());
    let text = match is_utf8 {
        // Mail in UTF-8 often does not say so.
        true => String::from_utf8(mail.get_body_raw().ok()?).ok(),
        false => None,
    };
    let text = match text {
        Some(text) => text,
        None => mail.get_body().ok()?,
    };
    Some(match text.contains('\r') {
        true => text.replace("\r\n", "\n"),
        false => text,
    })
}

/// Whether a text contains a diff that is not quoted: a header of git's, or two lines that
/// name the files.
#[must_use]
pub fn has_diff(text: &str) -> bool {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let names_files =
            line.starts_with("---") && lines.peek().is_some_and(|next| next.starts_with("+++"));
        if names_files || line.starts_with("GIT binary patch") || is_git_header(line) {
            return true;
        }
    }
    false
}

/// `diff --git a/file b/file`.
fn is_git_header(line: &str) -> bool {
    line.strip_prefix("diff --git ")
        .is_some_and(|files| files.matches('/').count() >= 2)
}

/// Whether a text has the last line of a diffstat.
#[must_use]
pub(super) fn has_diffstat(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        let is_count = words.next().is_some_and(|word| word.parse::<u32>().is_ok());
        is_count
            && words.next().is_some_and(|word| word.starts_with("file"))
            && (line.contains("insertion") || line.contains("deletion"))
    })
}

/// The diff in a text, from its first line to the signature: what two copies of one patch
/// have in common.
pub fn diff_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .skip_while(|line| !line.starts_with("diff ") && !line.starts_with("--- "))
        .take_while(|line| *line != "-- ")
        // A base, and blank lines before the signature, are not part of the diff.
        .filter(|line| line.starts_with([' ', '+', '-', '@', '\\']) || line.starts_with("diff "))
        .map(str::trim_end)
}
