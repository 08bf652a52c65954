//! Reads what the linker made: symbols, sizes and relocations of `vmlinux.o`; sections,
//! initcalls and the entry of `vmlinux`; how modules were linked. Called by `collect`.

mod module_links;
mod promoted;

use std::collections::BTreeSet;

use object::elf::{
    FileHeader32, FileHeader64, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_RELA,
    SHT_SYMTAB, STT_FILE, STT_FUNC, STT_NOTYPE, STT_OBJECT, SectionFlags,
};
use object::pod::slice_from_all_bytes;
use object::read::elf::{FileHeader, Rela as _, SectionHeader, SectionTable, Sym};
use object::{Endianness, ReadRef, SectionIndex};
use rustc_hash::FxHashMap;

use super::elf::{ElfError, SymbolNames, is_32};
use super::initcalls::{INITCALL, Initcalls, Level};
use super::parts::{Parts, read_parts};
use super::tree_files::SYMBOLS;
use super::{BuildTree, build_log};
use crate::model::error::Error;
use crate::model::facts::linked::{Initcall, Linked, Section, SectionKind};
use crate::model::facts::{Facts, PROMOTED};

/// Reads `vmlinux.o`, `vmlinux`, `modules.builtin.modinfo`, the links of modules and the build log
/// of the tree that has these facts.
///
/// # Errors
/// [`Error::Unfinished`] if one of the first two is missing or damaged,
/// [`Error::Io`] if one cannot be read, [`Error::Usage`] if the log cannot.
pub fn read(tree: &BuildTree, facts: &Facts) -> Result<Linked, Error> {
    let unfinished = |reason: String| Error::Unfinished {
        dir: tree.dir().to_owned(),
        reason,
    };
    let required =
        |file: &str, read: &mut dyn FnMut(&Parts) -> Result<(), String>| match read_parts(
            tree, file, SYMBOLS, read,
        )? {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(unfinished(format!("{file} is damaged: {why}"))),
            None => Err(unfinished(format!("{file} is missing"))),
        };
    let mut linked = Linked::default();
    required("vmlinux.o", &mut |data| read_object(data, &mut linked))?;
    promoted::mark(tree, facts, &mut linked)?;
    required("vmlinux", &mut |data| read_kernel(data, &mut linked))?;
    if let Some(modinfo) = tree.text("modules.builtin.modinfo")? {
        let entries = modinfo.split(|byte| *byte == 0);
        linked.modinfo = entries
            .filter(|entry| !entry.is_empty())
            .map(|entry| String::from_utf8_lossy(entry).into())
            .collect();
    }
    linked.module_links = module_links::read(tree, facts)?;
    linked.link_in_log = build_log::has_link(tree)?;
    Ok(linked)
}

/// The most memory that the names of functions, variables and labels take, in bytes: those of
/// allyesconfig take a third.
const NAMES: usize = 256 << 20;
/// What a name takes besides its bytes.
const EACH: usize = 128;

fn read_object(data: &Parts, linked: &mut Linked) -> Result<(), String> {
    match is_32(data) {
        true => read_object_as::<FileHeader32<Endianness>>(data, linked),
        false => read_object_as::<FileHeader64<Endianness>>(data, linked),
    }
    .map_err(|e| e.to_string())
}

fn read_kernel<'data>(data: impl ReadRef<'data>, linked: &mut Linked) -> Result<(), String> {
    match is_32(data) {
        true => read_kernel_as::<FileHeader32<Endianness>, _>(data, linked),
        false => read_kernel_as::<FileHeader64<Endianness>, _>(data, linked),
    }
    .map_err(|e| e.to_string())
}

/// A function's place in its section.
struct Place<'data> {
    start: u64,
    end: u64,
    name: &'data str,
}

fn read_object_as<'data, H: FileHeader<Endian = Endianness>>(
    data: &'data Parts,
    linked: &mut Linked,
) -> Result<(), ElfError> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, SHT_SYMTAB)?;
    let names_of = SymbolNames::of(&sections, &symbols, endian, data)?;
    let mut places: FxHashMap<SectionIndex, Vec<Place<'data>>> = FxHashMap::default();
    let mut file: Option<&str> = None;
    let mut room = NAMES;
    let mut take_room = |name: &str| {
        let left = room.checked_sub(name.len() + EACH);
        room = left.ok_or(ElfError::Names)?;
        Ok::<(), ElfError>(())
    };
    for (number, symbol) in symbols.enumerate() {
        // A name that is not UTF-8 is not a symbol of a C or assembly source.
        let Ok(full) = std::str::from_utf8(names_of.name(symbol, endian)?) else {
            continue;
        };
        let kind = symbol.st_type();
        if kind == STT_FILE {
            file = Some(full);
            continue;
        }
        if symbol.is_undefined(endian) {
            continue;
        }
        if kind == STT_NOTYPE && !symbol.is_local() && linked.labels.insert(full.into()) {
            take_room(full)?;
        }
        if kind != STT_FUNC && kind != STT_OBJECT {
            continue;
        }
        let (name, promoted) = match full.split_once(PROMOTED) {
            Some((name, _)) => (name, true),
            None => (full, false),
        };
        let table = match kind {
            STT_FUNC => &mut linked.functions,
            _ => &mut linked.variables,
        };
        let size: u64 = symbol.st_size(endian).into();
        let known = match table.get_mut(name) {
            Some(known) => known,
            None => {
                take_room(name)?;
                table.entry(name.into()).or_default()
            }
        };
        known.count += 1;
        known.size += size;
        known.global |= !symbol.is_local() && !promoted;
        known.promoted |= promoted;
        if symbol.is_local() && known.file.is_none() {
            known.file = file.map(Into::into);
        }
        let section = symbols.symbol_section(endian, symbol, number)?;
        if let (STT_FUNC, Some(section)) = (kind, section) {
            let start: u64 = symbol.st_value(endian).into();
            let end = start.saturating_add(size);
            let functions = places.entry(section).or_default();
            functions.push(Place { start, end, name });
        }
    }
    read_relocations(data, endian, &sections, places, linked)
}

/// Notes the types of the relocations in each function.
fn read_relocations<'data, H: FileHeader<Endian = Endianness>>(
    data: &'data Parts,
    endian: Endianness,
    sections: &SectionTable<'data, H, &'data Parts>,
    mut places: FxHashMap<SectionIndex, Vec<Place<'data>>>,
    linked: &mut Linked,
) -> Result<(), ElfError> {
    for functions in places.values_mut() {
        functions.sort_by_key(|place| place.start);
    }
    for section in sections.iter().filter(|s| s.sh_type(endian) == SHT_RELA) {
        // Those of debug information, which are many, are of no function.
        let Some(functions) = places.get(&section.info_link(endian)) else {
            continue;
        };
        let Some((offset, size)) = section.file_range(endian) else {
            continue;
        };
        let mut last: Option<(usize, BTreeSet<u32>)> = None;
        let mut note = |last: Option<(usize, BTreeSet<u32>)>| {
            if let Some((at, kinds)) = last
                && let Some(function) = linked.functions.get_mut(functions[at].name)
            {
                function.relocations.extend(kinds);
            }
        };
        let mut take = |relocation: &H::Rela| {
            let offset: u64 = relocation.r_offset(endian).into();
            let next = functions.partition_point(|place| place.start <= offset);
            let Some(at) = next.checked_sub(1).filter(|at| offset < functions[*at].end) else {
                return;
            };
            let kind = relocation.r_type(endian, false).0;
            match &mut last {
                Some((same, kinds)) if *same == at => {
                    kinds.insert(kind);
                }
                _ => note(last.replace((at, BTreeSet::from([kind])))),
            }
        };
        // There are many more of them than symbols.
        let entry = size_of::<H::Rela>();
        let part = offset..offset.saturating_add(size);
        data.in_pieces(part, entry, |piece| {
            let relocations = slice_from_all_bytes::<H::Rela>(piece).unwrap_or_default();
            relocations.iter().for_each(&mut take);
        })
        .map_err(|()| ElfError::Relocations)?;
        note(last);
    }
    Ok(())
}

fn read_kernel_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    linked: &mut Linked,
) -> Result<(), ElfError> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    for section in sections.iter() {
        let has = |flag: SectionFlags| section.sh_flags(endian).0 & flag.0 != 0;
        let size: u64 = section.sh_size(endian).into();
        if !has(SHF_ALLOC) || size == 0 {
            continue;
        }
        let kind = if has(SHF_EXECINSTR) {
            SectionKind::Code
        } else if section.sh_type(endian) == SHT_NOBITS {
            SectionKind::Zeroed
        } else if has(SHF_WRITE) {
            SectionKind::Data
        } else {
            SectionKind::ReadOnly
        };
        let name = String::from_utf8_lossy(sections.section_name(endian, section)?);
        linked.sections.insert(name.into(), Section { kind, size });
    }
    let symbols = sections.symbols(endian, data, SHT_SYMTAB)?;
    let names_of = SymbolNames::of(&sections, &symbols, endian, data)?;
    let entry: u64 = header.e_entry(endian).into();
    let mut at_entry: BTreeSet<(bool, &[u8])> = BTreeSet::new();
    let mut calls = Initcalls::default();
    for symbol in symbols.iter() {
        let name = names_of.name(symbol, endian)?;
        let address: u64 = symbol.st_value(endian).into();
        if address == entry && !name.is_empty() && !symbol.is_undefined(endian) {
            at_entry.insert((symbol.is_local(), name));
        }
        calls.take(name, address);
    }
    linked.entry = match at_entry.first() {
        Some((_, name)) => String::from_utf8_lossy(name).into_owned(),
        None => format!("{entry:#x}"),
    };
    linked.initcalls = calls
        .by_level()
        .iter()
        .flat_map(|Level { name, calls }| {
            let calls = calls.iter().filter_map(|symbol| call(symbol));
            calls.map(|call| Initcall {
                level: name.as_str().into(),
                call: call.into(),
            })
        })
        .collect();
    Ok(())
}

/// `main foo_init6` of `__initcall__kmod_main__123_45_foo_init6`: without the counter and the
/// line, which change with the code above.
fn call(symbol: &[u8]) -> Option<String> {
    let symbol = std::str::from_utf8(symbol).ok()?;
    let (module, rest) = symbol.strip_prefix(INITCALL)?.split_once("__")?;
    let (_, rest) = rest.split_once('_')?;
    let (line, function) = rest.split_once('_')?;
    line.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| format!("{module} {function}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("__initcall__kmod_main__123_45_foo_init6", Some("main foo_init6"))]
    #[case("__initcall__kmod_a_b__1_2_early_3early", Some("a_b early_3early"))]
    #[case("__initcall6_start", None)]
    #[case("__initcall__kmod_x", None)]
    fn an_initcall_is_named_without_numbers(#[case] symbol: &str, #[case] name: Option<&str>) {
        assert_eq!(call(symbol.as_bytes()).as_deref(), name);
    }

    /// This test program itself: a real ELF file, with symbols and relocations.
    fn real_elf() -> &'static [u8] {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        BYTES.get_or_init(|| {
            let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
            bytes.truncate(256 * 1024);
            bytes
        })
    }

    fn parts(bytes: &[u8]) -> Parts {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Parts::new(file, SYMBOLS).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0..8192usize, byte: u8) {
            let mut bytes = real_elf().to_vec();
            bytes[at] = byte;
            let mut linked = Linked::default();
            let _ = read_object(&parts(&bytes), &mut linked);
            let _ = read_kernel(&bytes[..], &mut linked);
        }
    }

    #[test]
    fn what_is_no_elf_file_is_said_to_be_none() {
        let mut linked = Linked::default();
        for bytes in [&b""[..], b"\x7fELF", b"a kernel", &[0; 64]] {
            assert!(read_object(&parts(bytes), &mut linked).is_err());
            assert!(read_kernel(bytes, &mut linked).is_err());
        }
    }
}
