//! Reads `include/config/auto.conf`, the configuration as make sees it
//! (`conf_write_autoconf` in `scripts/kconfig/confdata.c`). Stands under
//! `collect`.

use std::collections::BTreeMap;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_and_skips_comments() {
        let config = parse("#\n# Automatically generated\nCONFIG_A=y\nCONFIG_B=\"a=b\"\n");
        assert_eq!(config["CONFIG_A"], "y");
        assert_eq!(config["CONFIG_B"], "\"a=b\"");
        assert_eq!(config.len(), 2);
    }
}
