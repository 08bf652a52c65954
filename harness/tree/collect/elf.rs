//! Reads ELF files through the `object` crate: the header and the symbols of a
//! relocatable object, and what `vmlinux` and `vmlinux.o` keep of CRCs and of
//! promoted names. Called by `collect`.

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{ElfFile, FileHeader, SectionHeader, Sym};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, ReadRef, StringTable,
};

use rustc_hash::FxHashMap;

use crate::model::facts::{Elf, Import, Name, NameTable, ObjectFile};

/// The first bytes of every ELF file.
pub const MAGIC: &[u8] = b"\x7fELF";

/// How ThinLTO names a promoted local: `name.llvm.<hash>`, by
/// `ModuleSummaryIndex::getGlobalNameForLocal` of LLVM.
pub(super) const PROMOTED: &str = ".llvm.";

/// Parses an object file that begins with [`MAGIC`].
#[must_use]
pub fn parse_object(bytes: &[u8], names: &NameTable) -> ObjectFile {
    let parsed = match bytes.get(4) {
        Some(1) => parse_as::<FileHeader32<Endianness>>(bytes, names),
        _ => parse_as::<FileHeader64<Endianness>>(bytes, names),
    };
    match parsed {
        Ok(elf) => ObjectFile::Elf(Box::new(elf)),
        Err(why) => ObjectFile::Damaged(why),
    }
}

fn parse_as<H: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    names: &NameTable,
) -> Result<Elf, String> {
    let damaged = |error: object::read::Error| format!("damaged ELF file: {error}");
    let header = H::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    for (index, section) in sections.enumerate() {
        if let Some((offset, size)) = section.file_range(endian)
            && offset
                .checked_add(size)
                .is_none_or(|end| end > bytes.len() as u64)
        {
            return Err(format!(
                "truncated ELF file: section {} reaches offset {:#x}, the file ends at {:#x}",
                index.0,
                offset.saturating_add(size),
                bytes.len()
            ));
        }
    }
    let symbols = sections
        .symbols(endian, bytes, object::elf::SHT_SYMTAB)
        .map_err(damaged)?;
    let mut defined = Vec::new();
    let mut promoted_undefined = Vec::new();
    for symbol in symbols.iter() {
        if symbol.is_local() {
            continue;
        }
        let name = symbol.name(endian, symbols.strings()).map_err(damaged)?;
        let name = String::from_utf8_lossy(name);
        if !symbol.is_undefined(endian) {
            defined.push(names.get_or_intern(name));
        } else if name.contains(PROMOTED) {
            promoted_undefined.push(names.get_or_intern(name));
        }
    }
    Ok(Elf {
        machine: header.e_machine(endian).0,
        class: if header.is_type_64() { 64 } else { 32 },
        little_endian: header.is_little_endian(),
        flags: header.e_flags(endian).0,
        defined,
        promoted_undefined,
    })
}

/// The CRC of each `__crc_<symbol>` of a linked kernel, as the module loader
/// will see it (`include/linux/export-internal.h`, `SYMBOL_CRC`); `None` where
/// the kernel has been stripped of its symbols.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn linked_crcs<'data, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<Option<Vec<(Name, u32)>>, String> {
    match data.read_bytes_at(4, 1) {
        Ok([1]) => linked_crcs_as::<FileHeader32<Endianness>, R>(data, names),
        _ => linked_crcs_as::<FileHeader64<Endianness>, R>(data, names),
    }
    .map_err(|e| format!("damaged ELF file: {e}"))
}

fn linked_crcs_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> object::read::Result<Option<Vec<(Name, u32)>>> {
    let file = ElfFile::<H, R>::parse(data)?;
    let little = file.is_little_endian();
    if file.elf_symbol_table().is_empty() {
        return Ok(None);
    }
    let mut tables = Vec::new();
    for section in file.sections() {
        if section.name_bytes()?.starts_with(b"__kcrctab") {
            tables.push((section.address(), section.data()?));
        }
    }
    let mut crcs = Vec::new();
    let names_of = symbol_names(&file)?;
    for symbol in file.elf_symbol_table().iter() {
        let name = symbol.name(file.endian(), names_of)?;
        let Some(name) = name.strip_prefix(b"__crc_") else {
            continue;
        };
        let address: u64 = symbol.st_value(file.endian()).into();
        let crc = tables.iter().find_map(|(start, table)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            let bytes: [u8; 4] = table.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if little {
                u32::from_le_bytes(bytes)
            } else {
                u32::from_be_bytes(bytes)
            })
        });
        if let Some(crc) = crc {
            crcs.push((names.get_or_intern(String::from_utf8_lossy(name)), crc));
        }
    }
    crcs.sort_unstable_by(|a, b| names.resolve(&a.0).cmp(names.resolve(&b.0)));
    Ok(Some(crcs))
}

/// The names of the symbols of a linked file, all read at once: one by one, each would
/// cost a seek and a read of its own.
fn symbol_names<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
) -> object::read::Result<StringTable<'data>> {
    let symbols = file.elf_symbol_table();
    if symbols.is_empty() {
        return Ok(StringTable::default());
    }
    let section = file.elf_section_table().section(symbols.string_section())?;
    let bytes = section.data(file.endian(), file.data())?;
    Ok(StringTable::new(bytes, 0, bytes.len() as u64))
}

/// The length of an entry of `__versions`: an `unsigned long` and a name (`struct
/// modversion_info` of `include/linux/module.h`).
const VERSION_LEN: usize = 64;

/// The symbols that a loadable module takes from elsewhere, each with the CRC that its table
/// of versions has for it (`add_versions` and `add_extended_versions` of
/// `scripts/mod/modpost.c`), in the order of its symbol table.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn imports(bytes: &[u8], names: &NameTable) -> Result<Vec<Import>, String> {
    let damaged = |error: object::read::Error| format!("damaged ELF file: {error}");
    let file = object::File::parse(bytes).map_err(damaged)?;
    let section = |name: &str| -> Result<&[u8], String> {
        let section = file.section_by_name(name);
        section.map_or(Ok(&[][..]), |section| section.data().map_err(damaged))
    };
    let little = file.is_little_endian();
    let crc = |bytes: [u8; 4]| match little {
        true => u32::from_le_bytes(bytes),
        false => u32::from_be_bytes(bytes),
    };
    // The CRC is the low half of an `unsigned long` of 64 bits.
    let (crc_at, name_at) = match (file.is_64(), little) {
        (true, true) => (0, 8),
        (true, false) => (4, 8),
        (false, _) => (0, 4),
    };
    let mut versions: FxHashMap<&[u8], u32> = FxHashMap::default();
    for entry in section("__versions")?.chunks_exact(VERSION_LEN) {
        if let Some((bytes, _)) = entry[crc_at..].split_first_chunk() {
            let name = entry[name_at..].split(|byte| *byte == 0).next();
            versions.insert(name.unwrap_or_default(), crc(*bytes));
        }
    }
    let (crcs, _) = section("__version_ext_crcs")?.as_chunks();
    let long_names = section("__version_ext_names")?.split(|byte| *byte == 0);
    versions.extend(long_names.zip(crcs.iter().map(|bytes| crc(*bytes))));

    let undefined = file.symbols().filter(object::ObjectSymbol::is_undefined);
    let undefined = undefined.filter_map(|symbol| symbol.name().ok());
    Ok(undefined
        .filter(|name| !name.is_empty())
        .map(|name| Import {
            symbol: names.get_or_intern(name),
            crc: versions.get(name.as_bytes()).copied(),
        })
        .collect())
}

/// The undefined promoted names of a linked object: each is a reference that
/// the final link cannot resolve.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn unresolved_promotions<'data, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<Vec<Name>, String> {
    match data.read_bytes_at(4, 1) {
        Ok([1]) => unresolved_promotions_as::<FileHeader32<Endianness>, R>(data, names),
        _ => unresolved_promotions_as::<FileHeader64<Endianness>, R>(data, names),
    }
    .map_err(|e| format!("damaged ELF file: {e}"))
}

fn unresolved_promotions_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> object::read::Result<Vec<Name>> {
    let file = ElfFile::<H, R>::parse(data)?;
    let names_of = symbol_names(&file)?;
    let mut undefined = Vec::new();
    for symbol in file.elf_symbol_table().iter() {
        if !symbol.is_undefined(file.endian()) {
            continue;
        }
        if let Ok(name) = std::str::from_utf8(symbol.name(file.endian(), names_of)?)
            && name.contains(PROMOTED)
        {
            undefined.push(names.get_or_intern(name));
        }
    }
    undefined.sort_unstable_by(|a, b| names.resolve(a).cmp(names.resolve(b)));
    Ok(undefined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// This test program itself: a real ELF file.
    fn real_elf() -> Vec<u8> {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes.truncate(64 * 1024);
        bytes
    }

    #[test]
    fn a_file_that_ends_early_is_damaged_not_empty() {
        let names = NameTable::with_hasher(Default::default());
        let ObjectFile::Damaged(why) = parse_object(&real_elf(), &names) else {
            panic!("a truncated file must be called damaged");
        };
        assert!(why.contains("ELF file"), "{why}");
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0..4096usize, byte: u8) {
            let mut bytes = real_elf();
            bytes[at] = byte;
            let names = NameTable::with_hasher(Default::default());
            let _ = parse_object(&bytes, &names);
            let _ = linked_crcs(&bytes[..], &names);
            let _ = imports(&bytes, &names);
            let _ = unresolved_promotions(&bytes[..], &names);
        }
    }
}
