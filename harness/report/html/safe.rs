//! What stands between a value and the page: `askama.toml` has every value of every template go
//! through here. And what a browser is allowed to do with the page.

use std::fmt;

use askama::filters::Escaper;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::report::printable;

/// Shows a value as text, in an element or in a quoted attribute: nothing in it is markup, and
/// characters that could turn the order of reading are shown as escapes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Html;

impl Escaper for Html {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let text = printable(text);
        let mut rest = &*text;
        while let Some(at) = rest.find(['<', '>', '&', '"', '\'']) {
            dest.write_str(&rest[..at])?;
            dest.write_str(match rest.as_bytes()[at] {
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'&' => "&amp;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        dest.write_str(rest)
    }
}

/// The content security policy of a page whose only style and script are these: nothing else is
/// applied, run or fetched.
#[must_use]
pub fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(style),
        hash(script)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("init/main.o, Grüße", "init/main.o, Grüße")]
    #[case::element("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;")]
    #[case::attribute("\" onload='x'", "&quot; onload=&#39;x&#39;")]
    #[case::entity("&lt;b&gt;", "&amp;lt;b&amp;gt;")]
    #[case::control("a\u{1b}[2K\nb", "a\\u{1b}[2K\\nb")]
    #[case::bidi("\u{202e}o.niam", "\\u{202e}o.niam")]
    fn a_value_is_text_and_nothing_else(#[case] value: &str, #[case] expected: &str) {
        let mut escaped = String::new();
        Html.write_escaped_str(&mut escaped, value).unwrap();
        assert_eq!(escaped, expected);
    }

    #[test]
    fn the_policy_names_the_style_and_the_script_by_their_hashes() {
        // As `printf '' | openssl dgst -sha256 -binary | base64` prints it.
        let empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
        assert_eq!(
            policy("", ""),
            format!(
                "default-src 'none'; style-src {empty}; script-src {empty}; base-uri 'none'; form-action 'none'"
            )
        );
    }
}
