//! The readers of klto say of real files what LLVM's own tools say of them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::tree::Tree;
use crate::support::tree::layout::{ARM64, LOONGARCH, RISCV, Target, X86_64};
use crate::support::tree::toolchain::{CLANG, run};
use klto::model::cell::LtoMode;
use klto::model::facts::{NameTable, ObjectFile};
use klto::tree::collect::{archive, bitcode, elf, loader};
use rstest::rstest;

/// What a tool of LLVM prints about a file of the tree.
fn tool(tree: &Tree, program: &str, args: &[&str], file: &str) -> String {
    let args = args.iter().copied().chain([file]);
    run(&tree.path(), program, args).expect_ok().stdout
}

/// The text between `before` and `after`, if both occur.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// The operands of an unabbreviated-looking line of `llvm-bcanalyzer --dump`:
/// `<HASH abbrevid=7 op0=1 op1=2/>`.
fn operands(line: &str) -> Vec<u32> {
    line.split_whitespace()
        .filter(|word| word.starts_with("op"))
        .filter_map(|word| between(&format!("{word}/"), "=", "/").map(str::to_owned))
        .map(|number| number.parse().unwrap())
        .collect()
}

/// The names that `llvm-nm` prints with one of the letters.
fn names(nm: &str, letters: &str) -> BTreeSet<String> {
    nm.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().rev();
            let (name, letter) = (words.next()?, words.next()?);
            letters.contains(letter).then(|| name.to_owned())
        })
        .collect()
}

fn bitcode_objects(tree: &Tree) -> Vec<String> {
    let mut objects = tree.members("built-in-fixup.a");
    objects.extend(["drivers/m/one.o", "drivers/m/two.o"].map(str::to_owned));
    objects.retain(|object| bitcode::is_bitcode(&tree.read(object)));
    assert!(objects.len() >= 6, "{objects:?}");
    objects
}

#[rstest]
fn an_ir_object_is_read_as_llvm_reads_it(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
    #[values(LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
) {
    let tree = Tree::pristine(target, mode);
    for object in bitcode_objects(&tree) {
        let bytes = tree.read(&object);
        let read = bitcode::read_object(&bytes).unwrap();

        let dump = tool(&tree, "llvm-bcanalyzer-22", &["--dump"], &object);
        let identification = dump.lines().find(|line| line.contains("<STRING ")).unwrap();
        let producer = between(identification, "record string = '", "'").unwrap();
        assert_eq!(read.producer, producer, "{object}");
        let hash = dump.lines().find(|line| line.contains("<HASH "));
        assert_eq!(
            read.hash.map(|hash| hash.to_vec()),
            hash.map(operands),
            "{object}"
        );

        let text = tool(&tree, "llvm-dis-22", &["-o", "-"], &object);
        let triple = between(&text, "target triple = \"", "\"").unwrap();
        assert_eq!(read.triple, triple, "{object}");
        let layout = between(&text, "target datalayout = \"", "\"").unwrap();
        assert_eq!(read.data_layout, layout, "{object}");
        let source = between(&text, "source_filename = \"", "\"").unwrap();
        assert_eq!(read.source_file, source, "{object}");

        let nm = tool(&tree, "llvm-nm-22", &[], &object);
        let symbols = read.symbols.expect("LLVM 22 writes a symbol table");
        let global = symbols.iter().filter(|s| s.global && !s.format_specific);
        let (undefined, defined): (Vec<_>, Vec<_>) = global.partition(|s| s.undefined);
        let text = |symbols: Vec<bitcode::IrSymbol>| -> BTreeSet<String> {
            let names = symbols.iter();
            names
                .map(|s| String::from_utf8(s.name.to_vec()).unwrap())
                .collect()
        };
        assert_eq!(text(defined), names(&nm, "TDBRWVC"), "{object}");
        assert_eq!(text(undefined), names(&nm, "Uwv"), "{object}");
        assert!(read.thin_summary, "{object}");
        assert!(!read.full_lto_summary, "{object}");
        assert_eq!(read.module_blocks, 1, "{object}");
    }
}

#[rstest]
fn a_summary_index_is_read_as_llvm_reads_it(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    let index = tree.text("vmlinux.thinlto-index");
    assert_eq!(index.lines().count(), 6);
    for object in index.lines() {
        let summary = format!("{object}.thinlto.bc");
        let dump = tool(&tree, "llvm-bcanalyzer-22", &["--dump"], &summary);
        let paths: Vec<&str> = dump
            .lines()
            .filter(|line| line.contains("<ENTRY "))
            .map(|line| between(line, "record string = '", "'").unwrap())
            .collect();
        let hashes: Vec<Vec<u32>> = dump
            .lines()
            .filter(|line| line.contains("<HASH "))
            .map(operands)
            .collect();

        let read = bitcode::read_index(&tree.read(&summary)).unwrap();

        let read_paths: Vec<&str> = read.modules.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(read_paths, paths, "{summary}");
        let read_hashes: Vec<Vec<u32>> = read
            .modules
            .iter()
            .map(|module| module.hash.unwrap().to_vec())
            .collect();
        assert_eq!(read_hashes, hashes, "{summary}");
        assert!(paths.contains(&object), "{summary}");
        assert!(!read.skip, "{summary}");
    }
}

/// What one module takes from another is what distributed mode is about: a synthetic tree
/// without it would prove little.
#[rstest]
fn the_synthetic_tree_imports_and_promotes(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    let summary = bitcode::read_index(&tree.read("kernel/sched/core.o.thinlto.bc")).unwrap();
    assert!(summary.modules.iter().any(|m| m.path == "lib/ring.o"));
    let ring = tool(&tree, "llvm-nm-22", &[], "lib/ring.thinlto-native.o");
    let core = tool(
        &tree,
        "llvm-nm-22",
        &[],
        "kernel/sched/core.thinlto-native.o",
    );
    let is_promoted = |name: &String| name.starts_with("ring_step.llvm.");
    let defined: Vec<String> = names(&ring, "T").into_iter().filter(is_promoted).collect();
    let undefined: Vec<String> = names(&core, "U").into_iter().filter(is_promoted).collect();
    assert_eq!(defined.len(), 1, "{ring}");
    assert_eq!(undefined, defined, "{core}");
}

#[rstest]
fn a_native_object_is_read_as_llvm_reads_it(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    for object in tree.members("vmlinux.a") {
        let table = NameTable::default();
        let ObjectFile::Elf(read) = elf::parse_object(&tree.read(&object)[..], &table) else {
            panic!("{object} is an ELF file");
        };
        let resolve = |names: &[klto::model::facts::Name]| -> BTreeSet<String> {
            let names = names.iter();
            names.map(|name| table.resolve(name).to_owned()).collect()
        };
        let nm = tool(&tree, "llvm-nm-22", &[], &object);
        assert_eq!(resolve(&read.defined), names(&nm, "TDBRWVC"), "{object}");
        let symbols = tool(&tree, "llvm-readelf-22", &["-sW"], &object);
        let columns = symbols
            .lines()
            .map(|line| line.split_whitespace().collect());
        let hidden = columns.filter_map(|columns: Vec<&str>| match columns[..] {
            [.., "HIDDEN", "UND", name] => Some(name.to_owned()),
            _ => None,
        });
        let hidden: BTreeSet<String> = hidden.collect();
        assert_eq!(resolve(&read.hidden_undefined), hidden, "{object}");
        let header = tool(&tree, "llvm-readelf-22", &["-h"], &object);
        let flags = between(&header, "Flags:", "\n").unwrap().trim();
        let flags = flags.split(',').next().unwrap().trim_start_matches("0x");
        assert_eq!(
            read.header.flags,
            u32::from_str_radix(flags, 16).unwrap(),
            "{object}"
        );
    }
}

/// The sections with the flag `A` in a table of `llvm-readelf -SW`: name, type, address, offset
/// and size, the entry size, flags.
fn allocated(sections: &str) -> Vec<(String, u64)> {
    let rows = sections.lines().filter_map(|line| line.split_once(']'));
    let rows = rows.filter_map(|(_, row)| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let [name, kind, _, _, size, _, flags, ..] = columns[..] else {
            return None;
        };
        let size = u64::from_str_radix(size, 16).ok()?;
        flags
            .contains('A')
            .then(|| (format!("{name} {kind}"), size))
    });
    rows.collect()
}

#[rstest]
fn the_image_is_as_large_as_its_sections_in_memory(
    #[values(X86_64, ARM64, RISCV, LOONGARCH)] target: &'static Target,
) {
    let tree = Tree::pristine(target, LtoMode::ThinDist);
    let sections = tool(&tree, "llvm-readelf-22", &["-SW"], "vmlinux");
    let sections = allocated(&sections);
    assert!(sections.iter().any(|(name, _)| name == ".text PROGBITS"));
    assert!(
        sections.iter().any(|(name, _)| name.ends_with(" NOBITS")),
        "{sections:?}"
    );

    let counts = tree.inspect().unwrap().inspection.counts;

    let sizes = sections.iter().map(|(_, size)| size);
    assert_eq!(counts.image_bytes, sizes.sum::<u64>());

    // One of an earlier build is not the image of this one.
    tree.touch("vmlinux.o");
    let counts = tree.inspect().unwrap().inspection.counts;
    assert_eq!(counts.image_bytes, 0);
}

#[rstest]
fn an_archive_lists_what_llvm_ar_lists(
    #[values(LtoMode::None, LtoMode::Thin, LtoMode::ThinDist)] mode: LtoMode,
    #[values("built-in-fixup.a", "vmlinux.a", "lib/lib.a")] file: &str,
) {
    let tree = Tree::pristine(ARM64, mode);
    let table = NameTable::default();
    let read = archive::parse(&tree.read(file), std::path::Path::new(""), &table);
    let members: Vec<String> = read
        .members
        .iter()
        .map(|member| table.resolve(member).to_owned())
        .collect();
    let mut expected = tree.members(file);
    // `llvm-ar t` prints paths relative to the working directory, an archive has them relative
    // to its own.
    let folder = Path::new(file).parent().unwrap();
    for member in &mut expected {
        let path = Path::new(member.as_str()).strip_prefix(folder).unwrap();
        *member = path.to_str().unwrap().to_owned();
    }
    assert_eq!(members, expected);
    assert!(read.thin);
    assert_eq!((read.damaged, read.nondeterministic), (None, None));
}

const BASIC: &str = "struct version { unsigned long crc; char name[64 - sizeof(long)]; };\n\
                     struct version table[] __attribute__((section(\"__versions\"))) = {\n\
                     { 0x01020304, \"one\" }, { 0x05060708, \"two\" } };\n";
const EXTENDED: &str = "unsigned int crcs[] __attribute__((section(\"__version_ext_crcs\"))) = { 0x01020304, 0x05060708 };\n\
     char names[] __attribute__((section(\"__version_ext_names\"))) = \"one\\0\" \"two\\0\";\n";

/// As modpost writes them, for each width and byte order.
#[rstest]
fn a_table_of_versions_is_read(
    #[values(
        "x86_64-linux-gnu",
        "powerpc64-linux-gnu",
        "powerpc-linux-gnu",
        "i386-linux-gnu"
    )]
    target: &str,
    #[values(BASIC, EXTENDED)] table: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let uses =
        "extern int one, two, three __attribute__((weak)); int *uses[] = { &three, &two, &one };\n";
    std::fs::write(dir.path().join("m.c"), format!("{table}{uses}")).unwrap();
    let target = format!("--target={target}");
    let ran = run(dir.path(), CLANG, [&target, "-c", "-o", "m.ko", "m.c"]);
    assert!(ran.ok, "{}", ran.stderr);
    let bytes = std::fs::read(dir.path().join("m.ko")).unwrap();
    let names = NameTable::default();

    let tables = loader::module_tables(&bytes[..], &names).unwrap();

    let versions = tables.versions.iter();
    let mut versions: Vec<(&str, u32)> = versions
        .map(|(symbol, crc)| (names.resolve(symbol), *crc))
        .collect();
    versions.sort_unstable();
    versions.retain(|(symbol, _)| !symbol.is_empty());
    assert_eq!(versions, [("one", 0x0102_0304), ("two", 0x0506_0708)]);
    let imports = tables.imports.iter();
    let mut imports: Vec<(&str, bool)> = imports
        .map(|import| (names.resolve(&import.symbol), import.weak))
        .collect();
    imports.sort_unstable();
    assert_eq!(imports, [("one", false), ("three", true), ("two", false)]);
}
