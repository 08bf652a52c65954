//! Reads `include/config/auto.conf`, the configuration as make sees it, and `.config`, from which
//! it is made (`conf_write_autoconf` and `conf_write` in `scripts/kconfig/confdata.c`). Called by
//! `collect`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::facts::ConfigEdit;

/// Parses `CONFIG_X=value` lines; strings keep their quotes, and a symbol that
/// is unset has no line.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .map(|(symbol, value)| (symbol.to_owned(), value.to_owned()))
        .collect()
}

/// The symbols that `.config` gives another value than `auto.conf`.
#[must_use]
pub fn edits(dot_config: &str, auto_conf: &BTreeMap<String, String>) -> Vec<ConfigEdit> {
    let dot_config = parse(dot_config);
    let symbols: BTreeSet<&String> = dot_config.keys().chain(auto_conf.keys()).collect();
    let value = |of: &BTreeMap<String, String>, symbol| {
        of.get(symbol).map_or("n", String::as_str).to_owned()
    };
    symbols
        .into_iter()
        .map(|symbol| ConfigEdit {
            symbol: symbol.clone(),
            dot_config: value(&dot_config, symbol),
            auto_conf: value(auto_conf, symbol),
        })
        .filter(|edit| !is_same(&edit.dot_config, &edit.auto_conf))
        .collect()
}

/// `.config` quotes strings and escapes what is in them; newer kernels do neither in `auto.conf`.
fn is_same(dot_config: &str, auto_conf: &str) -> bool {
    let value = unquoted(dot_config);
    value == auto_conf || value == unquoted(auto_conf)
}

fn unquoted(value: &str) -> Cow<'_, str> {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.into();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::same("CONFIG_A=y\nCONFIG_B=12\n", &[])]
    #[case::comment("CONFIG_A=y\n# CONFIG_C is not set\nCONFIG_B=12\n", &[])]
    #[case::unset("CONFIG_B=12\n# CONFIG_A is not set\n", &[("CONFIG_A", "n", "y")])]
    #[case::gone("CONFIG_B=12\n", &[("CONFIG_A", "n", "y")])]
    #[case::set("CONFIG_A=y\nCONFIG_B=12\nCONFIG_C=m\n", &[("CONFIG_C", "m", "n")])]
    #[case::other_value("CONFIG_A=y\nCONFIG_B=13\n", &[("CONFIG_B", "13", "12")])]
    fn a_symbol_with_another_value_is_an_edit(
        #[case] dot_config: &str,
        #[case] expected: &[(&str, &str, &str)],
    ) {
        let auto_conf = parse("CONFIG_A=y\nCONFIG_B=12\n");
        let edits = edits(dot_config, &auto_conf);
        let edits: Vec<_> = edits
            .iter()
            .map(|edit| (&*edit.symbol, &*edit.dot_config, &*edit.auto_conf))
            .collect();
        assert_eq!(edits, expected);
    }

    #[rstest]
    #[case::quoted(r#""a=b""#, r#""a=b""#, true)]
    #[case::not_quoted(r#""a=b""#, "a=b", true)]
    #[case::empty(r#""""#, "", true)]
    #[case::escaped(r#""say \"a\\b\"""#, r#"say "a\b""#, true)]
    #[case::quotes_at_both_ends(r#""\"a\" b \"c\"""#, r#""a" b "c""#, true)]
    #[case::another(r#""a""#, "b", false)]
    #[case::lone_quote("\"", "\"", true)]
    fn quotes_do_not_make_another_value(
        #[case] dot_config: &str,
        #[case] auto_conf: &str,
        #[case] same: bool,
    ) {
        assert_eq!(is_same(dot_config, auto_conf), same);
    }

    #[test]
    fn reads_values_and_skips_comments() {
        let config = parse("#\n# Automatically generated\nCONFIG_A=y\nCONFIG_B=\"a=b\"\n");
        assert_eq!(config["CONFIG_A"], "y");
        assert_eq!(config["CONFIG_B"], "\"a=b\"");
        assert_eq!(config.len(), 2);
    }
}
