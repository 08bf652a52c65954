//! Reads `vmlinux.o` and `vmlinux`: whether each is the kernel of this build tree, and the tables
//! that rules look at. Called by `collect`.

use memchr::memmem;
use object::elf::{FileHeader32, FileHeader64, SHF_ALLOC};
use object::read::elf::{ElfFile, FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadRef, SymbolIndex};

use super::elf::{ElfError, SymbolNames, header, is_32};
use super::initcalls::Initcalls;
use super::loader;
use crate::model::facts::{Name, NameTable, PROMOTED, Vmlinux, VmlinuxO};

/// Reads `vmlinux.o`; the linker script is another file.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn read_vmlinux_o<'data, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<VmlinuxO, String> {
    match is_32(data) {
        true => read_vmlinux_o_as::<FileHeader32<Endianness>, R>(data, names),
        false => read_vmlinux_o_as::<FileHeader64<Endianness>, R>(data, names),
    }
    .map_err(|error| format!("damaged ELF file: {error}"))
}

fn read_vmlinux_o_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    names: &NameTable,
) -> Result<VmlinuxO, ElfError> {
    let file = ElfFile::<H, R>::parse(data)?;
    let names_of = SymbolNames::of_file(&file)?;
    let mut unresolved = Vec::new();
    for symbol in file.elf_symbol_table().iter() {
        if !symbol.is_undefined(file.endian()) {
            continue;
        }
        if let Ok(name) = std::str::from_utf8(names_of.name(symbol, file.endian())?)
            && name.contains(PROMOTED)
        {
            unresolved.push(names.get_or_intern(name));
        }
    }
    unresolved.sort_unstable_by(|a, b| names.resolve(a).cmp(names.resolve(b)));
    Ok(VmlinuxO {
        header: header(file.elf_header(), file.endian()),
        symbols: file.elf_symbol_table().len(),
        unresolved_promotions: unresolved,
        initcall_script: None,
    })
}

/// Reads `vmlinux`, and looks for `release` in it.
///
/// # Errors
/// Why the ELF file cannot be read.
pub fn read_vmlinux<'data, R: ReadRef<'data>>(
    data: R,
    release: Option<&str>,
    names: &NameTable,
) -> Result<Vmlinux, String> {
    match is_32(data) {
        true => read_vmlinux_as::<FileHeader32<Endianness>, R>(data, release, names),
        false => read_vmlinux_as::<FileHeader64<Endianness>, R>(data, release, names),
    }
    .map_err(|error| format!("damaged ELF file: {error}"))
}

fn read_vmlinux_as<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
    release: Option<&str>,
    names: &NameTable,
) -> Result<Vmlinux, ElfError> {
    let file = ElfFile::<H, R>::parse(data)?;
    let (endian, names_of) = (file.endian(), SymbolNames::of_file(&file)?);
    let mut versions = Vec::new();
    let mut calls = Initcalls::default();
    for (index, symbol) in file.elf_symbol_table().enumerate() {
        let name = names_of.name(symbol, endian)?;
        let address: u64 = symbol.st_value(endian).into();
        calls.take(name, address);
        if matches!(name, b"linux_banner" | b"init_uts_ns") {
            versions.push(bytes_of(&file, index).unwrap_or_default());
        }
    }
    let intern = |name: &&[u8]| names.get_or_intern(String::from_utf8_lossy(name));
    let levels = calls.by_level().into_iter();
    let initcalls = levels.map(|level| level.calls.iter().map(intern).collect());
    Ok(Vmlinux {
        header: header(file.elf_header(), endian),
        symbols: file.elf_symbol_table().len(),
        image_bytes: image_bytes(&file),
        linker: linker(&file, names),
        is_of_release: release
            .map(|release| versions.iter().any(|bytes| names_release(bytes, release))),
        exports: loader::exports(&file, names)?,
        initcalls: initcalls.collect(),
    })
}

/// What the sections that take memory take together.
fn image_bytes<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
) -> u64 {
    let endian = file.endian();
    let sections = file.elf_section_table().iter();
    let loaded = sections.filter(|section| section.sh_flags(endian).0 & SHF_ALLOC.0 != 0);
    loaded.fold(0, |all: u64, section| {
        all.saturating_add(section.sh_size(endian).into())
    })
}

/// What LLD writes into `.comment` of what it links.
fn linker<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
    names: &NameTable,
) -> Option<Name> {
    let sections = file.elf_section_table();
    let (_, section) = sections.section_by_name(file.endian(), b".comment")?;
    let comments = section.data(file.endian(), file.data()).ok()?;
    let linker = comments
        .split(|byte| *byte == 0)
        .find_map(|comment| comment.strip_prefix(b"Linker: "))?;
    Some(names.get_or_intern(String::from_utf8_lossy(linker)))
}

/// Whether text says that it is of a release: `Linux version 7.2.13 (…`, or the whole of a field
/// of `struct new_utsname`.
fn names_release(bytes: &[u8], release: &str) -> bool {
    let in_banner = format!("Linux version {release} ");
    let in_field = format!("\0{release}\0");
    [in_banner, in_field]
        .iter()
        .any(|text| memmem::find(bytes, text.as_bytes()).is_some())
}

/// The initial bytes of a variable; only these are read.
fn bytes_of<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    file: &ElfFile<'data, H, R>,
    index: SymbolIndex,
) -> Option<&'data [u8]> {
    let (endian, symbols) = (file.endian(), file.elf_symbol_table());
    let symbol = symbols.symbol(index).ok()?;
    let section = symbols.symbol_section(endian, symbol, index).ok()??;
    let section = file.elf_section_table().section(section).ok()?;
    let (start, length) = section.file_range(endian)?;
    let address: u64 = symbol.st_value(endian).into();
    let offset = address.checked_sub(section.sh_addr(endian).into())?;
    let size: u64 = symbol.st_size(endian).into();
    if offset.checked_add(size)? > length {
        return None;
    }
    file.data()
        .read_bytes_at(start.checked_add(offset)?, size)
        .ok()
}

/// The calls at start in each level of a linker script of `scripts/generate_initcall_order.pl`, as symbols:
/// `*(.initcall6.init..kmod_main__12_34_foo)` stands for `__initcall__kmod_main__12_34_foo6`, in the
/// output section `.initcall6.init`, which is where the script of vmlinux looks for it.
pub fn initcall_script(text: &str, names: &NameTable) -> Vec<Vec<Name>> {
    let mut output = None;
    let calls = text.lines().filter_map(|line| {
        let line = line.trim();
        if let Some(start) = line.strip_suffix('{') {
            output = start.trim_end().strip_suffix(':').map(str::trim_end);
        }
        let section = line.strip_prefix("*(.")?.split_once(')')?.0;
        let (section, call) = section.split_once(".init..")?;
        if output.is_some_and(|output| output != format!(".{section}.init")) {
            return None;
        }
        let level = match section {
            "con_initcall" => "con",
            section => section.strip_prefix("initcall")?,
        };
        Some((level, format!("__initcall__{call}{level}")))
    });
    let mut levels: Vec<(&str, Vec<Name>)> = Vec::new();
    for (level, call) in calls {
        let call = names.get_or_intern(call);
        match levels.last_mut() {
            Some((last, of_level)) if *last == level => of_level.push(call),
            _ => levels.push((level, vec![call])),
        }
    }
    levels.into_iter().map(|(_, of_level)| of_level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::banner(b"Linux version 7.2.0 (a@b)", true)]
    #[case::field(b"Linux\0\x007.2.0\0#1", true)]
    #[case::longer(b"Linux version 7.2.0-rc1 (a@b)", false)]
    #[case::longer_field(b"Linux\0\x007.2.0+\0#1", false)]
    #[case::elsewhere(b"clang 7.2.0 ", false)]
    fn a_release_is_found_as_a_whole(#[case] bytes: &[u8], #[case] expected: bool) {
        assert_eq!(names_release(bytes, "7.2.0"), expected);
    }

    #[test]
    fn the_script_names_calls_by_their_sections() {
        let names = NameTable::default();
        let script = "SECTIONS {\n\
                      \t.initcall6.init : {\n\
                      \t\t*(.initcall6.init..kmod_main__12_34_foo) ;\n\
                      \t\t*(.initcall6.init..kmod_other__1_2_baz) ;\n\
                      \t}\n\
                      \t.con_initcall.init : {\n\
                      \t\t*(.con_initcall.init..kmod_8250__1_2_init) ;\n\
                      \t}\n\
                      \t.initcall6s.init : {\n\
                      \t\t*(.initcall6s.init..kmod_last__5_6_bar) ;\n\
                      \t\t*(.text) ;\n\
                      \t}\n\
                      \t.initcall7x.init : {\n\
                      \t\t*(.initcall7.init..kmod_lost__7_8_bar) ;\n\
                      \t}\n}\n";
        let calls = initcall_script(script, &names);
        let of_level = |calls: &Vec<Name>| -> Vec<String> {
            let names = calls.iter().map(|call| names.resolve(call).to_owned());
            names.collect()
        };
        assert_eq!(
            calls.iter().map(of_level).collect::<Vec<_>>(),
            [
                vec![
                    "__initcall__kmod_main__12_34_foo6",
                    "__initcall__kmod_other__1_2_baz6"
                ],
                vec!["__initcall__kmod_8250__1_2_initcon"],
                vec!["__initcall__kmod_last__5_6_bar6s"]
            ]
        );
    }
}
