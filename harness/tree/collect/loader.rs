//! Reads what the module loader of the kernel reads (`kernel/module/`): the tables of exported
//! symbols of `vmlinux` and of modules, and what a module asks for. Called by `collect`.

use object::elf::{FileHeader32, FileHeader64, STB_WEAK};
use object::read::elf::{ElfFile, FileHeader, Sym};
use object::{Endianness, Object as _, ObjectSection as _, ReadRef, SectionIndex};

use super::elf::{ElfError, SymbolNames, is_32};
use crate::model::facts::{Exported, Import, ModuleTables, Name, NameTable};

/// A section that holds one entry after another.
struct Table<'data> {
    index: SectionIndex,
    address: u64,
    bytes: &'data [u8],
}

impl Table<'_> {
    /// `N` bytes at a place of the table.
    fn entry<const N: usize>(&self, place: usize) -> Option<[u8; N]> {
        let from = place.checked_mul(N)?;
        self.bytes.get(from..from.checked_add(N)?)?.try_into().ok()
    }
}

/// The tables with the exports of one licence. Kernels with `__kflagstab` have only one of each.
struct Tables<'data> {
    symbols: Table<'data>,
    crcs: Option<Table<'data>>,
    flags: Option<Table<'data>>,
    gpl_only: bool,
}

/// `KSYM_FLAG_GPL_ONLY` of `include/linux/module_symbol.h`.
const GPL_ONLY: u8 = 1;

/// What a linked file exports, in the order of its tables. The names are those of the labels
/// `__ksymtab_<symbol>` (`include/linux/export-internal.h`).
pub(super) fn exports<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
    names: &NameTable,
) -> Result<Vec<Exported>, ElfError> {
    let table = |name: &str| -> Result<Option<Table<'data>>, ElfError> {
        let Some(section) = file.section_by_name(name) else {
            return Ok(None);
        };
        Ok(Some(Table {
            index: section.index(),
            address: section.address(),
            bytes: section.data()?,
        }))
    };
    let labels = labels(file)?;
    let mut exports = Vec::new();
    for (suffix, gpl_only) in [("", false), ("_gpl", true)] {
        let Some(symbols) = table(&format!("__ksymtab{suffix}"))? else {
            continue;
        };
        let tables = Tables {
            symbols,
            crcs: table(&format!("__kcrctab{suffix}"))?,
            flags: table(&format!("__kflagstab{suffix}"))?,
            gpl_only,
        };
        read_tables(
            &tables,
            &labels,
            file.is_little_endian(),
            names,
            &mut exports,
        );
    }
    Ok(exports)
}

/// The section, the address and the symbol of a label in a table.
type Label<'data> = (SectionIndex, u64, &'data [u8]);

fn labels<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
) -> Result<Vec<Label<'data>>, ElfError> {
    let (symbols, names_of) = (file.elf_symbol_table(), SymbolNames::of_file(file)?);
    let mut labels = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        let name = names_of.name(symbol, file.endian())?;
        if let Some(name) = name.strip_prefix(b"__ksymtab_")
            && let Some(section) = symbols.symbol_section(file.endian(), symbol, index)?
        {
            labels.push((section, symbol.st_value(file.endian()).into(), name));
        }
    }
    labels.sort_unstable_by_key(|(section, address, _)| (section.0, *address));
    Ok(labels)
}

fn read_tables(
    tables: &Tables,
    labels: &[Label],
    little_endian: bool,
    names: &NameTable,
    exports: &mut Vec<Exported>,
) {
    let of_table = |(section, _, _): &&Label| *section == tables.symbols.index;
    let labels: Vec<&Label> = labels.iter().filter(of_table).collect();
    let gaps = labels.windows(2).map(|pair| pair[1].1 - pair[0].1);
    let all = tables.symbols.bytes.len() as u64;
    let Some(entry) = gaps.chain([all]).filter(|gap| *gap > 0).min() else {
        return;
    };
    exports.extend(labels.into_iter().map(|(_, address, symbol)| {
        let place = address.saturating_sub(tables.symbols.address) / entry;
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let crc = tables.crcs.as_ref().and_then(|crcs| crcs.entry(place));
        Exported {
            symbol: names.get_or_intern(String::from_utf8_lossy(symbol)),
            crc: crc.map(|bytes| word(bytes, little_endian)),
            gpl_only: match &tables.flags {
                Some(flags) => flags.entry(place).map(|[flags]| flags & GPL_ONLY != 0),
                None => Some(tables.gpl_only),
            },
        }
    }));
}

fn word(bytes: [u8; 4], little_endian: bool) -> u32 {
    match little_endian {
        true => u32::from_le_bytes(bytes),
        false => u32::from_be_bytes(bytes),
    }
}

/// The length of an entry of `__versions`: an `unsigned long` and a name (`struct
/// modversion_info` of `include/linux/module.h`).
const VERSION_LEN: usize = 64;

/// Reads the tables of a `.ko` file.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn module_tables<'data>(
    data: impl ReadRef<'data>,
    names: &NameTable,
) -> Result<ModuleTables, String> {
    match is_32(data) {
        true => module_tables_as::<FileHeader32<Endianness>, _>(data, names),
        false => module_tables_as::<FileHeader64<Endianness>, _>(data, names),
    }
    .map_err(|error| format!("damaged ELF file: {error}"))
}

fn module_tables_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<ModuleTables, ElfError> {
    let file = ElfFile::<H, R>::parse(data)?;
    let (endian, symbols) = (file.endian(), file.elf_symbol_table());
    let names_of = SymbolNames::of_file(&file)?;
    let mut imports = Vec::new();
    for symbol in symbols.iter().filter(|symbol| symbol.is_undefined(endian)) {
        let name = names_of.name(symbol, endian)?;
        if !name.is_empty() {
            imports.push(Import {
                symbol: names.get_or_intern(String::from_utf8_lossy(name)),
                weak: symbol.st_bind() == STB_WEAK,
            });
        }
    }
    Ok(ModuleTables {
        imports,
        versions: versions(&file, names)?,
        exports: exports(&file, names)?,
        modinfo: section(&file, ".modinfo")?
            .split(|byte| *byte == 0)
            .filter_map(|entry| {
                let at = entry.iter().position(|byte| *byte == b'=')?;
                let text = |bytes| names.get_or_intern(String::from_utf8_lossy(bytes));
                Some((text(&entry[..at]), text(&entry[at + 1..])))
            })
            .collect(),
    })
}

/// The bytes of a section; none where there is no such section.
fn section<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
    name: &str,
) -> object::read::Result<&'data [u8]> {
    let section = file.section_by_name(name);
    section.map_or(Ok(&[][..]), |section| section.data())
}

/// The tables that `add_versions` and `add_extended_versions` of `scripts/mod/modpost.c` write.
fn versions<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
    names: &NameTable,
) -> object::read::Result<Vec<(Name, u32)>> {
    let little = file.is_little_endian();
    // The CRC is the low half of an `unsigned long` of 64 bits.
    let (crc_at, name_at) = match (file.is_64(), little) {
        (true, true) => (0, 8),
        (true, false) => (4, 8),
        (false, _) => (0, 4),
    };
    let name = |bytes| names.get_or_intern(String::from_utf8_lossy(bytes));
    let mut versions = Vec::new();
    for entry in section(file, "__versions")?.chunks_exact(VERSION_LEN) {
        if let Some((bytes, _)) = entry[crc_at..].split_first_chunk() {
            let symbol = entry[name_at..].split(|byte| *byte == 0).next();
            versions.push((name(symbol.unwrap_or_default()), word(*bytes, little)));
        }
    }
    let (crcs, _) = section(file, "__version_ext_crcs")?.as_chunks();
    let long_names = section(file, "__version_ext_names")?.split(|byte| *byte == 0);
    let extended = long_names.zip(crcs);
    versions.extend(extended.map(|(symbol, crc)| (name(symbol), word(*crc, little))));
    Ok(versions)
}
