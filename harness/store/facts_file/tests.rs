//! What is written is read back; what is damaged is an error, wherever the damage is.

use std::collections::{BTreeMap, BTreeSet};

use lasso::Key as _;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use rstest::rstest;

use super::*;
use crate::model::facts::file_names::FileNames;
use crate::model::facts::{
    Archive, Backend, Built, Cmd, CmdFile, Code, CompileCommand, CompileCommands,
    CompileCommandsFile, ConfigEdit, DirectoryArchive, Elf, ElfHeader, Export, Exported, Import,
    IndexedModule, Ir, Log, Module, ModuleObject, ModuleTables, Name, NameTable, Object,
    ObjectFile, SavedFlags, Step, StepState, SummaryFile, Vmlinux, VmlinuxO,
};

fn list(names: &NameTable, texts: &[&str]) -> Vec<Name> {
    let texts = texts.iter();
    texts.map(|text| names.get_or_intern(text)).collect()
}

fn cmd(names: &NameTable) -> CmdFile {
    CmdFile::Read(Box::new(Cmd {
        c_source: Some(names.get_or_intern("init/main.c")),
        command: Some(Ok(list(names, &["clang", "-O2", "-c"]).into())),
        relinked: true,
        moved: Some((
            names.get_or_intern("tmp"),
            names.get_or_intern("init/main.o"),
        )),
        saved: vec![SavedFlags {
            object: names.get_or_intern("init/main.o"),
            line: 2,
            flags: Err("a quote does not end".to_owned()),
        }],
        symvers: vec![(names.get_or_intern("start_kernel"), 0xdead_beef)],
        bad_symvers: vec![(7, "#SYMVER x".to_owned())],
    }))
}

fn ir(names: &NameTable) -> ObjectFile {
    ObjectFile::Ir(Box::new(Ir {
        triple: names.get_or_intern("x86_64-linux-gnu"),
        producer: names.get_or_intern("LLVM22.1.8"),
        hash: Some([1, 2, 3, 4, u32::MAX]),
        thin: true,
        summaries: 6,
        defined: Some(list(names, &["start_kernel"])),
        initcalls: Some(list(names, &["__initcall__kmod_a__1_2_b6"])),
    }))
}

fn elf(names: &NameTable) -> ObjectFile {
    ObjectFile::Elf(Box::new(Elf {
        header: header(),
        defined: list(names, &["ring"]),
        hidden_undefined: list(names, &["ring.llvm.1"]),
        initcalls: list(names, &["__initcall__kmod_a__1_2_b6"]),
    }))
}

fn header() -> ElfHeader {
    ElfHeader {
        machine: 62,
        class: 64,
        little_endian: true,
        flags: 5,
        relocatable: true,
    }
}

/// An object with each kind of file, then one with each kind of summary.
fn objects(names: &NameTable) -> Vec<Object> {
    let name = |text: &str| names.get_or_intern(text);
    let files = [
        ir(names),
        elf(names),
        ObjectFile::Missing,
        ObjectFile::Empty,
        ObjectFile::Damaged("offset 4".to_owned()),
    ];
    let summaries = [
        SummaryFile::Missing,
        SummaryFile::Damaged("empty".to_owned()),
        SummaryFile::Read {
            modules: vec![
                IndexedModule {
                    name: name("init/main.o"),
                    hash: Some([9; 5]),
                    summaries: 6,
                },
                IndexedModule {
                    name: name("lib/ring.o"),
                    hash: None,
                    summaries: 2,
                },
            ],
            skip: true,
        },
    ];
    let assembled = files.into_iter().map(|file| Object {
        name: name("lib/ring.o"),
        file,
        cmd: CmdFile::Missing,
        backend: None,
    });
    let compiled = summaries.into_iter().map(|summary| Object {
        name: name("init/main.o"),
        file: ir(names),
        cmd: cmd(names),
        backend: Some(Box::new(Backend {
            native: name("init/main.thinlto-native.o"),
            file: elf(names),
            cmd: CmdFile::Unreadable("no regular file".to_owned()),
            summary,
            stale: vec![("a".to_owned(), "b".to_owned())],
        })),
    });
    assembled.chain(compiled).collect()
}

fn module(names: &NameTable, exported: Exported) -> Module {
    let name = |text: &str| names.get_or_intern(text);
    Module {
        name: name("drivers/foo"),
        objects: vec![ModuleObject {
            name: name("drivers/foo.o"),
            code: Some(Code::Bitcode),
            cmd: cmd(names),
        }],
        file: elf(names),
        tables: ModuleTables {
            imports: vec![Import {
                symbol: name("ring"),
                weak: true,
            }],
            versions: vec![(name("ring"), 1)],
            exports: vec![exported],
            modinfo: vec![(name("license"), name("GPL"))],
        },
    }
}

/// Facts with something in every field, and every kind of file.
pub fn sample() -> Facts {
    let names = NameTable::default();
    let name = |text: &str| names.get_or_intern(text);
    let list = |texts: &[&str]| list(&names, texts);
    let archive = || Archive {
        thin: true,
        nondeterministic: Some("init/main.o: mtime".to_owned()),
        damaged: Some("offset 8".to_owned()),
        members: list(&["init/main.o", "lib/ring.o"]),
    };
    let objects = objects(&names);
    let export = || Export {
        symbol: name("ring"),
        crc: 1,
        module: name("vmlinux"),
        licence: name("EXPORT_SYMBOL"),
        namespace: name(""),
    };
    let exported = || Exported {
        symbol: name("ring"),
        crc: Some(1),
        gpl_only: Some(false),
    };
    Facts {
        built: Built::Kernel,
        kernel: "7.2.13".to_owned(),
        config: BTreeMap::from([("CONFIG_X86_64".to_owned(), "y".to_owned())]),
        config_edits: vec![ConfigEdit {
            symbol: "CONFIG_LTO_NONE".to_owned(),
            dot_config: "y".to_owned(),
            auto_conf: "n".to_owned(),
        }],
        times_kept: true,
        file_names: FileNames::default(),
        steps: [StepState::Made, StepState::Stale, StepState::Missing]
            .map(|state| Step {
                file: "vmlinux.o".to_owned(),
                from: "vmlinux.a".to_owned(),
                state,
            })
            .to_vec(),
        fixup: Some(archive()),
        objects_from: "built-in-fixup.a",
        vmlinux_a: Some(archive()),
        linked_whole: Some(list(&["vmlinux.a"])),
        library_members: Some(list(&["lib/ring.o"])),
        directory_archives: vec![DirectoryArchive {
            name: name("lib/built-in.a"),
            members: 2,
            repeated: list(&["lib/ring.o"]),
        }],
        tools: list(&["llvm-ar-22"]),
        builtin_order: Some(list(&["init/main.o"])),
        index: Some(list(&["init/main.o"])),
        vmlinux_objs: Some(list(&["init/main.o"])),
        head_objects: None,
        objects,
        exports: Some(vec![export()]),
        exports_from: "vmlinux.symvers",
        export_c: Some(vec![(name("ring"), 1)]),
        vmlinux_o: Some(VmlinuxO {
            header: header(),
            symbols: 3,
            unresolved_promotions: list(&["ring.llvm.1"]),
            initcall_script: Some(vec![list(&["__initcall__kmod_a__1_2_b6"])]),
        }),
        vmlinux: Some(Vmlinux {
            header: header(),
            symbols: 4,
            image_bytes: 20_000_000,
            linker: Some(name("LLD 22")),
            is_of_release: Some(true),
            exports: vec![exported()],
            initcalls: vec![list(&["__initcall__kmod_a__1_2_b6"])],
        }),
        modules: vec![module(&names, exported())],
        module_exports: Some(vec![export()]),
        compile_commands: CompileCommandsFile::Read(CompileCommands {
            entries: vec![CompileCommand {
                source: name("init/main.c"),
                instead: Some(name("init/main.i")),
            }],
            stale: true,
            stale_modules: false,
        }),
        damaged: vec![("vmlinux", "offset 64".to_owned())],
        log: Some(Log {
            messages: vec![(3, "warning: x".to_owned())],
            warnings: BTreeMap::from([("-Wunused".to_owned(), 1)]),
            tools: BTreeSet::from(["llvm-nm-22".to_owned()]),
            left_out: 2,
        }),
        names: names.into_reader(),
    }
}

fn content() -> Vec<u8> {
    postcard::to_stdvec(&sample()).unwrap()
}

/// Facts that are read back are written as the same bytes again.
#[test]
fn what_is_written_is_read_back() {
    let kept = decode(&encode(&sample(), "abc").unwrap()).unwrap();

    assert_eq!(kept.job, "abc");
    assert_eq!(postcard::to_stdvec(&kept.facts).unwrap(), content());
    assert_eq!(kept.facts.text(kept.facts.objects[0].name), "lib/ring.o");
}

/// Facts of an earlier klto must not be taken for something else. Where this fails, count
/// [`FORMAT`] up and put the new hash here.
#[test]
fn the_format_is_the_one_that_its_number_stands_for() {
    let hash = blake3::hash(&content()).to_hex();
    assert_eq!((FORMAT, &hash[..16]), (5, "91bcebbf480a35f5"));
}

#[test]
fn a_file_that_could_not_be_read_back_is_not_written() {
    let facts = Facts {
        exports_from: "thesis.txt",
        ..sample()
    };
    assert!(encode(&facts, "").is_err());
}

#[test]
fn a_file_that_is_cut_off_is_an_error_at_every_length() {
    let whole = encode(&sample(), "abc").unwrap();
    for length in 0..whole.len() {
        let error = decode(&whole[..length]).unwrap_err();
        assert_eq!(error, BadFacts::CutOff(length));
    }
}

#[rstest]
#[case::nothing_of_ours(b"\x7fELF and more that is no facts", BadFacts::NotFacts)]
#[case::newer(
    b"klto facts, format 6, by klto 3.1.4, in a way to come\nx",
    BadFacts::OtherFormat { format: 6, klto: "3.1.4, in a way to come".to_owned() }
)]
#[case::no_number(
    b"klto facts, format x, by klto 3.1.4, job a\n",
    BadFacts::Damaged("its first line is not of the form that klto writes".to_owned())
)]
#[case::no_job(
    b"klto facts, format 5, by klto 3.1.4\n",
    BadFacts::Damaged("its first line is not of the form that klto writes".to_owned())
)]
fn a_file_that_is_something_else_says_what(#[case] bytes: &[u8], #[case] expected: BadFacts) {
    assert_eq!(decode(bytes).unwrap_err(), expected);
}

#[test]
fn a_first_line_without_an_end_is_not_searched_for_it() {
    let mut bytes = MAGIC.as_bytes().to_vec();
    bytes.resize(LONGEST_HEADER, b' ');
    assert!(matches!(decode(&bytes), Err(BadFacts::Damaged(_))));
}

#[test]
fn what_stands_after_the_end_is_an_error() {
    let mut bytes = encode(&sample(), "abc").unwrap();
    bytes.push(b'x');
    assert!(matches!(decode(&bytes), Err(BadFacts::Damaged(_))));
    let long = [content(), vec![0]].concat();
    assert!(matches!(
        decode(&seal(&long, "abc").unwrap()),
        Err(BadFacts::Damaged(_))
    ));
}

/// A frame can promise more than the machine has, and a list as many entries.
#[test]
fn a_length_that_nothing_stands_after_takes_no_memory() {
    // A frame header with the window descriptor of 3.75 TiB.
    let mut frame = seal(&[], "abc").unwrap();
    frame.truncate(frame.iter().position(|b| *b == b'\n').unwrap() + 1);
    let window = [&frame[..], &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff]].concat();
    assert!(decode(&window).is_err());

    let kernel_of_no_end = [&[0xff; 9][..], &[0x01]].concat();
    let no_kernel_and_a_config_of_no_end = [&[0][..], &[0xff; 9], &[0x01]].concat();
    for content in [kernel_of_no_end, no_kernel_and_a_config_of_no_end] {
        assert!(parse(&content).is_err());
    }
}

#[test]
fn a_name_without_a_text_is_an_error() {
    let facts = Facts {
        index: Some(vec![Name::try_from_usize(1_000).unwrap()]),
        ..sample()
    };
    let error = parse(&postcard::to_stdvec(&facts).unwrap()).unwrap_err();
    assert!(
        error.starts_with("text 1000 is named, but there are "),
        "{error}"
    );
}

/// The table of texts comes last.
#[test]
fn a_text_that_stands_twice_is_an_error() {
    let mut content = content();
    let once = b"\x0binit/main.c";
    let other = b"\x0binit/main.i";
    let at = content.windows(other.len()).rposition(|w| w == other);
    let at = at.expect("the sample names it");
    content[at..at + once.len()].copy_from_slice(once);
    let error = parse(&content).unwrap_err();
    assert_eq!(error, "Serde Deserialization Error");
}

proptest! {
    #[test]
    fn bytes_that_are_flipped_never_panic(at in 0..100_000_usize, byte: u8, more: bool) {
        let whole = content();
        let mut content = whole.clone();
        let at = at % content.len();
        content[at] = byte;
        if more {
            let next = (at * 7 + 13) % content.len();
            content[next] ^= byte;
        }
        let _ = parse(&content);
        prop_assert!(parse(&whole[..at]).is_err());
    }

    /// But for bits that say nothing, such as how much memory the reader is to keep.
    #[test]
    fn a_flipped_bit_of_the_file_changes_nothing_or_is_found(at in 0..100_000_usize, bit in 0..8_u8) {
        let mut file = encode(&sample(), "abc").unwrap();
        let header = file.iter().position(|b| *b == b'\n').unwrap() + 1;
        let at = header + at % (file.len() - header);
        file[at] ^= 1 << bit;
        if let Ok(kept) = decode(&file) {
            prop_assert_eq!(postcard::to_stdvec(&kept.facts).unwrap(), content());
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = parse(&bytes);
        let _ = decode(&seal(&bytes, "abc").unwrap());
    }
}
