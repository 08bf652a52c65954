//! Fragments of a configuration: the symbols that a file like `.config` sets, as Kconfig writes it.

use std::collections::BTreeMap;

use thiserror::Error;

/// A line that is none of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 'CONFIG_SYMBOL=value' or '# CONFIG_SYMBOL is not set', found '{found}'")]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// Its beginning.
    pub found: String,
}

/// Reads a fragment: symbols without `CONFIG_`, each with its value as `.config` writes it; `n`
/// stands for "is not set". The last line on a symbol counts.
///
/// # Errors
/// The first line that is none of a configuration.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, BadLine> {
    let mut symbols = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        match assignment(line) {
            Some((symbol, value)) => {
                symbols.insert(symbol.to_owned(), value.to_owned());
            }
            None if line.is_empty() || line.starts_with('#') => {}
            None => {
                return Err(BadLine {
                    number: number + 1,
                    found: line.chars().take(80).collect(),
                });
            }
        }
    }
    Ok(symbols)
}

/// The symbol and the value of `CONFIG_A=y` or `# CONFIG_A is not set`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let unset = line.strip_prefix("# CONFIG_");
    let unset = unset.and_then(|rest| rest.strip_suffix(" is not set"));
    let (symbol, value) = match unset {
        Some(symbol) => (symbol, "n"),
        None => line.strip_prefix("CONFIG_")?.split_once('=')?,
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_symbol = !symbol.is_empty() && symbol.bytes().all(is_letter);
    (is_symbol && !value.is_empty()).then_some((symbol, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn every_way_to_set_a_symbol_is_read() {
        let text = "# A comment\n\nCONFIG_A=y\n  CONFIG_B=m\nCONFIG_C=\"a=b\"\nCONFIG_D=0x10\n\
                    # CONFIG_E is not set\nCONFIG_F=y\n# CONFIG_F is not set\n";
        let symbols = parse(text).unwrap();
        let symbols: Vec<_> = symbols
            .iter()
            .map(|(s, v)| (s.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            symbols,
            [
                ("A", "y"),
                ("B", "m"),
                ("C", "\"a=b\""),
                ("D", "0x10"),
                ("E", "n"),
                ("F", "n")
            ]
        );
    }

    #[rstest]
    #[case::no_prefix("A=y")]
    #[case::no_value("CONFIG_A=")]
    #[case::no_assignment("CONFIG_A")]
    #[case::no_symbol("CONFIG_=y")]
    #[case::an_option("CONFIG_A B=y")]
    fn a_line_that_is_none_is_named(#[case] line: &str) {
        let text = format!("CONFIG_X=y\n{line}\n");
        let found = line.to_owned();
        assert_eq!(parse(&text), Err(BadLine { number: 2, found }));
    }
}
