//! Reads what modpost writes about exported symbols: `vmlinux.symvers` and
//! `Module.symvers` (`write_dump` in `scripts/mod/modpost.c`), and the CRCs in
//! `.vmlinux.export.c` (`add_exported_symbols`). Called by `collect`.

use memchr::{memchr, memmem};

use crate::model::facts::{Export, Name, NameTable};

const LICENCES: [&str; 2] = ["EXPORT_SYMBOL", "EXPORT_SYMBOL_GPL"];

/// Parses a symvers file: `crc TAB symbol TAB module TAB licence TAB namespace`.
///
/// # Errors
/// The first line that is none, with its number.
pub fn parse(text: &str, names: &NameTable) -> Result<Vec<Export>, String> {
    text.lines()
        .enumerate()
        .map(|(n, line)| {
            parse_line(line, names).ok_or_else(|| {
                format!(
                    "line {}: expected '0xcrc symbol module licence namespace' between tabs, found '{}'",
                    n + 1,
                    line.chars().take(80).collect::<String>()
                )
            })
        })
        .collect()
}

fn parse_line(line: &str, names: &NameTable) -> Option<Export> {
    let mut fields = line.split('\t');
    let crc = fields.next()?.strip_prefix("0x")?;
    let (symbol, module) = (fields.next()?, fields.next()?);
    // modpost skips a line of another licence (`read_dump`).
    let licence = fields.next().filter(|licence| LICENCES.contains(licence))?;
    let name = |field: &str| names.get_or_intern(field);
    Some(Export {
        crc: u32::from_str_radix(crc, 16).ok()?,
        symbol: name(symbol),
        module: name(module),
        licence: name(licence),
        namespace: name(fields.next().unwrap_or_default()),
    })
}

/// The `SYMBOL_CRC(name, 0xcrc);` lines of `.vmlinux.export.c`, in file order.
#[must_use]
pub fn export_crcs(text: &[u8], names: &NameTable) -> Vec<(Name, u32)> {
    const MACRO: &[u8] = b"SYMBOL_CRC(";
    memmem::find_iter(text, MACRO)
        .filter(|at| *at == 0 || text[at - 1] == b'\n')
        .filter_map(|at| {
            let call = &text[at + MACRO.len()..];
            let call = std::str::from_utf8(&call[..memchr(b')', call)?]).ok()?;
            // Up to 6.x a third argument names the licence's table.
            let mut arguments = call.split(',').map(str::trim);
            let (symbol, crc) = (arguments.next()?, arguments.next()?);
            let crc = u32::from_str_radix(crc.strip_prefix("0x")?, 16).ok()?;
            Some((names.get_or_intern(symbol), crc))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_five_fields_and_the_last_may_be_empty() {
        let names = NameTable::default();
        let text = "0xf7370f56\tsystem_state\tvmlinux\tEXPORT_SYMBOL\t\n\
                    0x00000001\tx\tdrivers/a/b\tEXPORT_SYMBOL_GPL\tNS\n";
        let exports = parse(text, &names).unwrap();
        assert_eq!(exports[0].crc, 0xf737_0f56);
        assert_eq!(names.resolve(&exports[0].namespace), "");
        assert_eq!(names.resolve(&exports[1].module), "drivers/a/b");
        assert_eq!(names.resolve(&exports[1].namespace), "NS");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let names = NameTable::default();
        let error = parse("0x1\ta\tvmlinux\tEXPORT_SYMBOL\t\ngarbage\n", &names).unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
    }

    #[test]
    fn a_line_of_an_unknown_licence_is_none() {
        let names = NameTable::default();
        assert!(parse("0x1\ta\tvmlinux\tEXPORT_SYMBOL_GPM\t\n", &names).is_err());
    }

    #[test]
    fn reads_the_crcs_of_the_export_file() {
        let names = NameTable::default();
        let text = b"KSYMTAB_DATA(a, \"\");\nSYMBOL_CRC(a, 0x25301bc6);\nNOT_SYMBOL_CRC(b, 0x1);\nSYMBOL_CRC(old, 0x2, \"_gpl\");\n";
        let crcs = export_crcs(text, &names);
        let name = |text| names.get(text).unwrap();
        assert_eq!(crcs, [(name("a"), 0x2530_1bc6), (name("old"), 2)]);
    }
}
