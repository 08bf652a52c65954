//! Splits a recorded command into the words a POSIX shell would see, up to the
//! end of its first simple command. Called by `cmd_file`; streams words
//! instead of allocating them, since a kernel build records hundreds of them
//! for each object.

/// A quote that is never closed: a shell would refuse the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {quote} quote opened at byte {offset} is never closed")]
pub struct Unclosed {
    /// `single` or `double`, or `backslash` for one at the end.
    pub quote: &'static str,
    /// Offset in the text that was split.
    pub offset: usize,
}

/// Calls `word` for each word of the first simple command in `text`; operators
/// (`;`, `|`, `&`, redirections, a comment) end it. Gives the offset of its end.
///
/// It expands nothing: kbuild records commands after make has expanded them, and flags with
/// an unescaped `$` do not occur.
///
/// # Errors
/// [`Unclosed`] if a quote is not closed.
pub fn first_command(text: &[u8], mut word: impl FnMut(&[u8])) -> Result<usize, Unclosed> {
    let mut unquoted = Vec::new();
    let mut at = 0;
    loop {
        while text.get(at).is_some_and(|b| is_blank(*b)) {
            at += 1;
        }
        match text.get(at) {
            None | Some(b'#') => return Ok(at),
            Some(b) if is_operator(*b) => return Ok(at),
            Some(_) => {}
        }
        let plain = text[at..]
            .iter()
            .position(|b| SPECIAL[usize::from(*b)])
            .map_or(text.len(), |n| at + n);
        if text.get(plain).is_none_or(|b| is_blank(*b)) {
            word(&text[at..plain]);
            at = plain;
        } else {
            let start = at;
            at = quoted_word(text, at, &mut unquoted)?;
            let is_number = text[start..at].iter().all(u8::is_ascii_digit);
            if is_number && matches!(text.get(at), Some(b'<' | b'>')) {
                // The file descriptor that is redirected, as in `2>&1`.
                return Ok(start);
            }
            word(&unquoted);
        }
    }
}

/// Takes one word with its quotes resolved; returns the offset after it.
fn quoted_word(text: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, Unclosed> {
    word.clear();
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\'' => {
                let end = closing(text, at, "single", b'\'')?;
                word.extend_from_slice(&text[at + 1..end]);
                at = end + 1;
            }
            b'"' => {
                let open = at;
                at += 1;
                loop {
                    match text.get(at) {
                        None => {
                            return Err(Unclosed {
                                quote: "double",
                                offset: open,
                            });
                        }
                        Some(b'"') => break,
                        // Inside double quotes a backslash escapes only these.
                        Some(b'\\')
                            if matches!(text.get(at + 1), Some(b'"' | b'\\' | b'$' | b'`')) =>
                        {
                            word.push(text[at + 1]);
                            at += 2;
                        }
                        Some(b) => {
                            word.push(*b);
                            at += 1;
                        }
                    }
                }
                at += 1;
            }
            b'\\' => {
                let escaped = text.get(at + 1).ok_or(Unclosed {
                    quote: "backslash",
                    offset: at,
                })?;
                word.push(*escaped);
                at += 2;
            }
            b if is_blank(b) || is_operator(b) => break,
            b => {
                word.push(b);
                at += 1;
            }
        }
    }
    Ok(at)
}

fn closing(text: &[u8], open: usize, quote: &'static str, with: u8) -> Result<usize, Unclosed> {
    memchr::memchr(with, &text[open + 1..])
        .map(|n| open + 1 + n)
        .ok_or(Unclosed {
            quote,
            offset: open,
        })
}

/// The bytes that end a plain word or open a quote.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    loop {
        special[byte as usize] =
            is_blank(byte) || is_operator(byte) || matches!(byte, b'\'' | b'"' | b'\\');
        if byte == u8::MAX {
            break special;
        }
        byte += 1;
    }
};

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_operator(byte: u8) -> bool {
    matches!(byte, b';' | b'|' | b'&' | b'<' | b'>' | b'(' | b')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn split(text: &[u8]) -> Result<Vec<String>, Unclosed> {
        let mut words = Vec::new();
        first_command(text, |w| {
            words.push(String::from_utf8_lossy(w).into_owned());
        })?;
        Ok(words)
    }

    #[rstest]
    #[case::plain("clang -c  -o\tx.o x.c", &["clang", "-c", "-o", "x.o", "x.c"])]
    #[case::single(r#"-DM='"init/main"' -O2"#, &[r#"-DM="init/main""#, "-O2"])]
    #[case::escaped_single(r"'it'\''s' b", &["it's", "b"])]
    #[case::double(r#""a \"b\" \x" c"#, &[r#"a "b" \x"#, "c"])]
    #[case::empty_word("a '' b", &["a", "", "b"])]
    #[case::operator("cc -c x.c ; objtool x.o", &["cc", "-c", "x.c"])]
    #[case::operator_glued("rm -f x;cc", &["rm", "-f", "x"])]
    #[case::redirection("cc x.c 2>&1", &["cc", "x.c"])]
    #[case::redirection_after_a_word("cc x2>log", &["cc", "x2"])]
    #[case::number_before_another_operator("cc 2;", &["cc", "2"])]
    #[case::quoted_operator("-D';' '#' b", &["-D;", "#", "b"])]
    #[case::comment("a b #c", &["a", "b"])]
    #[case::hash_inside("a b#c", &["a", "b#c"])]
    #[case::nothing("  ", &[])]
    fn splits_as_a_shell_does(#[case] text: &str, #[case] words: &[&str]) {
        assert_eq!(split(text.as_bytes()).unwrap(), words);
    }

    #[rstest]
    #[case("a 'b", "single", 2)]
    #[case("a \"b", "double", 2)]
    #[case("a \\", "backslash", 2)]
    fn names_the_quote_that_is_not_closed(
        #[case] text: &str,
        #[case] quote: &'static str,
        #[case] offset: usize,
    ) {
        assert_eq!(split(text.as_bytes()), Err(Unclosed { quote, offset }));
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(word in "[ -~]*") {
            let quoted = format!("a '{}' b", word.replace('\'', r"'\''"));
            prop_assert_eq!(split(quoted.as_bytes()).unwrap(), vec!["a".to_owned(), word, "b".to_owned()]);
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = first_command(&text, |_| {});
        }
    }
}
