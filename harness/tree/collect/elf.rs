//! Reads ELF objects through the `object` crate: header and symbols. Called by `collect`.

use object::elf::{ET_REL, FileHeader32, FileHeader64, STV_HIDDEN};
use object::read::elf::{ElfFile, FileHeader, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{Endianness, ReadRef, StringTable};

use thiserror::Error;

use super::initcalls::INITCALL;
use super::overlap::{NameBudget, Overlapping};
use crate::model::facts::{Elf, ElfHeader, NameTable, ObjectFile};

/// The first bytes of every ELF file.
pub const MAGIC: &[u8] = b"\x7fELF";

/// Parses an object file that begins with [`MAGIC`].
#[must_use]
pub fn parse_object<'data>(data: impl ReadRef<'data>, names: &NameTable) -> ObjectFile {
    let parsed = match is_32(data) {
        true => parse_as::<FileHeader32<Endianness>, _>(data, names),
        false => parse_as::<FileHeader64<Endianness>, _>(data, names),
    };
    match parsed {
        Ok(elf) => ObjectFile::Elf(Box::new(elf)),
        Err(why) => ObjectFile::Damaged(why),
    }
}

/// Whether an ELF file is of 32 bits.
pub(super) fn is_32<'data>(data: impl ReadRef<'data>) -> bool {
    data.read_bytes_at(4, 1) == Ok(&[1])
}

pub(super) fn header<H: FileHeader>(header: &H, endian: H::Endian) -> ElfHeader {
    ElfHeader {
        machine: header.e_machine(endian).0,
        class: if header.is_type_64() { 64 } else { 32 },
        little_endian: header.is_little_endian(),
        flags: header.e_flags(endian).0,
        relocatable: header.e_type(endian) == ET_REL,
    }
}

/// Why an ELF file cannot be read.
#[derive(Debug, Error)]
pub(super) enum ElfError {
    #[error(transparent)]
    Malformed(#[from] object::read::Error),
    #[error(transparent)]
    Overlapping(#[from] Overlapping),
    #[error("a table of relocations ends after the end of the file")]
    Relocations,
    #[error("the names of its symbols take more memory than those of any kernel")]
    Names,
}

fn parse_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<Elf, String> {
    let damaged = |error: object::read::Error| format!("damaged ELF file: {error}");
    let parsed = H::parse(data).map_err(damaged)?;
    let endian = parsed.endian().map_err(damaged)?;
    let sections = parsed.sections(endian, data).map_err(damaged)?;
    let length = data.len().unwrap_or_default();
    if sections.is_empty() {
        return Err("ELF file without sections".to_owned());
    }
    for (index, section) in sections.enumerate() {
        if let Some((offset, size)) = section.file_range(endian)
            && offset.checked_add(size).is_none_or(|end| end > length)
        {
            return Err(format!(
                "truncated ELF file: section {} reaches offset {:#x}, the file ends at {length:#x}",
                index.0,
                offset.saturating_add(size),
            ));
        }
    }
    let symbols = sections
        .symbols(endian, data, object::elf::SHT_SYMTAB)
        .map_err(damaged)?;
    let names_of = SymbolNames::of(&sections, &symbols, endian, data).map_err(damaged)?;
    let mut defined = Vec::new();
    let mut hidden_undefined = Vec::new();
    let mut initcalls = Vec::new();
    for symbol in symbols.iter() {
        let name = names_of.name(symbol, endian);
        let name = name.map_err(|error| format!("damaged ELF file: {error}"))?;
        let is_initcall = name.starts_with(INITCALL.as_bytes());
        if symbol.is_local() && !is_initcall {
            continue;
        }
        let text = String::from_utf8_lossy(name);
        if symbol.is_undefined(endian) {
            if symbol.st_visibility() == STV_HIDDEN {
                hidden_undefined.push(names.get_or_intern(text));
            }
            continue;
        }
        let name = names.get_or_intern(text);
        if is_initcall {
            initcalls.push(name);
        }
        if !symbol.is_local() {
            defined.push(name);
        }
    }
    Ok(Elf {
        header: header(parsed, endian),
        defined,
        hidden_undefined,
        initcalls,
    })
}

/// The names of the symbols of a file, all read at once: one by one, each would cost a seek and a
/// read of its own.
pub(super) struct SymbolNames<'data> {
    table: StringTable<'data>,
    budget: NameBudget,
}

impl<'data> SymbolNames<'data> {
    /// Those of a file.
    pub(super) fn of_file<H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        file: &ElfFile<'data, H, R>,
    ) -> object::read::Result<SymbolNames<'data>> {
        let (sections, symbols) = (file.elf_section_table(), file.elf_symbol_table());
        SymbolNames::of(sections, symbols, file.endian(), file.data())
    }

    /// Those of a table of symbols.
    pub(super) fn of<H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        sections: &SectionTable<'data, H, R>,
        symbols: &SymbolTable<'data, H, R>,
        endian: Endianness,
        data: R,
    ) -> object::read::Result<SymbolNames<'data>> {
        let bytes = match symbols.is_empty() {
            true => &[][..],
            false => sections
                .section(symbols.string_section())?
                .data(endian, data)?,
        };
        Ok(SymbolNames {
            table: StringTable::new(bytes, 0, bytes.len() as u64),
            budget: NameBudget::of_table(bytes.len()),
        })
    }

    /// The name of a symbol of that table.
    pub(super) fn name<S: Sym>(
        &self,
        symbol: &S,
        endian: S::Endian,
    ) -> Result<&'data [u8], ElfError> {
        let name = symbol.name(endian, self.table)?;
        self.budget.take(name.len() as u64)?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{image, loader};
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;

    /// The start of this test program itself: a real ELF file.
    fn real_elf() -> Vec<u8> {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let mut bytes = Vec::new();
        file.take(64 * 1024).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_file_that_ends_early_is_damaged_not_empty() {
        let names = NameTable::default();
        let ObjectFile::Damaged(why) = parse_object(&real_elf()[..], &names) else {
            panic!("a truncated file must be called damaged");
        };
        assert!(why.contains("ELF file"), "{why}");
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0..4096usize, byte: u8) {
            let mut bytes = real_elf();
            bytes[at] = byte;
            let names = NameTable::default();
            let _ = parse_object(&bytes[..], &names);
            let _ = loader::module_tables(&bytes[..], &names);
            let _ = image::read_vmlinux_o(&bytes[..], &names);
            let _ = image::read_vmlinux(&bytes[..], Some("7.2.0"), &names);
        }
    }
}
