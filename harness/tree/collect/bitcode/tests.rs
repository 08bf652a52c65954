//! Specifications of the reader of bitcode.

use proptest::prelude::*;
use rstest::rstest;

use super::writer::{HASH, Op, Writer, index, ir_object, symbol_table};
use super::*;

const HASH_WORDS: ModuleHash = [1, 2, 3, 0xDEAD_BEEF, 5];

#[test]
fn an_ir_object_says_what_it_is() {
    let bytes = ir_object();
    let object = read_object(&bytes).unwrap();
    assert_eq!(object.producer, "LLVM22.1.8");
    assert_eq!(object.epoch, 0);
    assert_eq!(object.triple, "riscv64-unknown-linux-gnu");
    assert_eq!(object.data_layout, "e-m:e-p:64:64");
    assert_eq!(object.source_file, "init/main.c");
    assert!(object.hash.is_some());
    assert_eq!(
        (object.thin_summary, object.full_lto_summary),
        (true, false)
    );
    assert_eq!((object.module_blocks, object.summaries), (1, 2));
    let symbols: Vec<_> = object
        .symbols
        .unwrap()
        .iter()
        .map(|symbol| (symbol.name, symbol.undefined, symbol.global))
        .collect();
    let expected = [
        (b"main".as_slice(), false, true),
        (b"printk".as_slice(), true, false),
    ];
    assert_eq!(symbols, expected);
}

#[test]
fn an_index_names_its_modules() {
    let index = read_index(&index()).unwrap();
    let modules = [
        IndexModule {
            id: 0,
            path: "main.o".to_owned(),
            hash: Some(HASH_WORDS),
            summaries: 2,
        },
        IndexModule {
            id: 300,
            path: "a/b".to_owned(),
            hash: None,
            summaries: 1,
        },
    ];
    assert_eq!(index.modules, modules);
    assert_eq!((index.summary_flags, index.skip), (Some(1129), false));
}

#[rstest]
#[case::skipped(&[2], Some(2), true)]
#[case::compiled(&[1129], Some(1129), false)]
#[case::no_flags(&[], None, false)]
fn the_skip_flag_of_an_index(
    #[case] flags: &[u64],
    #[case] summary_flags: Option<u64>,
    #[case] skip: bool,
) {
    let mut file = Writer::file();
    file.block(8, 3, |module| {
        module.block(19, 3, |_| {});
        module.block(20, 4, |summary| {
            summary.record(10, &[12]).record(20, flags);
        });
    });
    let expected = SummaryIndex {
        modules: Vec::new(),
        summary_flags,
        skip,
    };
    assert_eq!(read_index(&file.bytes), Ok(expected));
}

#[test]
fn the_index_of_a_full_lto_input_is_empty() {
    assert_eq!(read_index(b""), Err(BitcodeError::Empty));
}

#[test]
fn a_split_lto_unit_has_the_strings_of_its_first_module() {
    let mut file = Writer::file();
    file.block(8, 3, |module| {
        module.text(2, "x86_64-unknown-linux-gnu");
        module.block(20, 4, |_| {});
        module.module_hash("");
    });
    file.block(8, 3, |module| {
        module
            .text(2, "other")
            .text(16, "other")
            .block(24, 4, |_| {});
    });
    let object = read_object(&file.bytes).unwrap();
    assert_eq!(object.triple, "x86_64-unknown-linux-gnu");
    assert_eq!(object.source_file, "");
    assert!(object.hash.is_some());
    assert_eq!((object.thin_summary, object.full_lto_summary), (true, true));
    assert_eq!((object.module_blocks, object.symbols), (2, None));
}

#[test]
fn a_symbol_table_of_another_number_of_modules_is_left_out() {
    let mut file = Writer::file();
    file.block(8, 3, |_| {}).block(8, 3, |_| {});
    file.blob_block(25, &symbol_table(3, 1, &[]))
        .blob_block(23, b"");
    assert_eq!(read_object(&file.bytes).unwrap().symbols, None);
}

#[test]
fn a_file_cut_short_between_blocks_lacks_its_string_table() {
    for bytes in [ir_object(), index()] {
        let mut ends = vec![4];
        while let Some(end) = ends.last().copied().filter(|end| *end < bytes.len()) {
            let words = u32::from_le_bytes(bytes[end + 4..end + 8].try_into().unwrap());
            ends.push(end + 8 + words as usize * 4);
        }
        ends.pop();
        for end in ends {
            let error = read_object(&bytes[..end]).unwrap_err();
            assert!(
                matches!(error, BitcodeError::NoModule | BitcodeError::NoStringTable),
                "{error}"
            );
        }
    }
}

#[rstest]
#[case::ascii(&[97, 47, 98], "a/b")]
#[case::utf8(&[0xC3, 0xA4], "ä")]
#[case::sign_extended(&[0xFFFF_FFC3, 0xFFFF_FFA4], "ä")]
#[case::latin1(&[97, 0xE4], "a\u{FFFD}")]
fn strings_are_the_low_byte_of_each_operand(#[case] operands: &[u64], #[case] string: &str) {
    assert_eq!(text(operands), string);
}

#[rstest]
#[case::four_words(
        &[1, 2, 3, 4],
        "expected a module hash of 5 words at byte 13 bit 7, found [1, 2, 3, 4]"
    )]
#[case::a_wide_word(
        &[1, 2, 3, 4, 1 << 32],
        "expected a module hash of 5 words at byte 13 bit 7, found [1, 2, 3, 4, 100000000]"
    )]
fn a_malformed_hash_is_refused(#[case] hash: &[u64], #[case] message: &str) {
    let mut file = Writer::file();
    file.block(8, 3, |module| {
        module.record(17, hash);
    });
    assert_eq!(read_object(&file.bytes).unwrap_err().to_string(), message);
}

#[test]
fn a_hash_before_any_path_is_refused() {
    let mut file = Writer::file();
    file.block(8, 3, |module| {
        module.block(19, 3, |paths| {
            paths.record(2, &HASH);
        });
    });
    let error = read_index(&file.bytes).unwrap_err();
    assert!(
        matches!(error, BitcodeError::HashOfNothing { .. }),
        "{error}"
    );
}

#[rstest]
#[case::raw(b"BC\xC0\xDE", true)]
#[case::wrapped(b"\xDE\xC0\x17\x0B", true)]
#[case::elf(b"\x7fELF", false)]
#[case::archive(b"!<thin>\n", false)]
#[case::short(b"BC", false)]
#[case::empty(b"", false)]
fn bitcode_is_known_by_its_magic(#[case] bytes: &[u8], #[case] expected: bool) {
    assert_eq!(is_bitcode(bytes), expected);
}

/// Everything there is to read, for the sake of not panicking.
fn read_all(bytes: &[u8]) {
    is_bitcode(bytes);
    if let Ok(object) = read_object(bytes) {
        object.symbols.iter().flatten().for_each(drop);
    }
    drop(read_index(bytes));
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(ir_object()), Just(index())]
}

/// Records, definitions and nested blocks in a random order, some of them nonsense.
fn module_of(choices: &[(u8, u64, u32)]) -> Vec<u8> {
    let ops = |number: u64| -> Vec<Op> {
        (0..number % 5)
            .map(|index| match number >> (index * 8) & 7 {
                0 => Op::Fixed(number % 34),
                1 => Op::Vbr(number % 34),
                2 => Op::Array,
                3 => Op::Char6,
                4 => Op::Blob,
                _ => Op::Literal(number % 25),
            })
            .collect()
    };
    let fill = |block: &mut Writer| {
        for (choice, number, bits) in choices {
            match choice % 6 {
                0 => block.define(&ops(*number)),
                1 => block.record(number % 25, &[*number; 5]),
                2 => block.id(number % 8).fixed(*bits, *number),
                3 => block.block(0, 3, |info| {
                    info.record(1, &[19 + number % 2]).define(&ops(*number));
                }),
                4 => block.block(19 + number % 2, 3, |nested| {
                    nested.id(4 + number % 3).fixed(*bits, *number);
                }),
                _ => block.fixed(*bits, *number),
            };
        }
    };
    let mut file = Writer::file();
    file.block(8, 3, fill)
        .blob_block(25, &symbol_table(3, 1, &[(0, 2, 0)]));
    file.blob_block(23, b"ab");
    file.bytes
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
        for magic in [b"BC\xC0\xDE", b"\xDE\xC0\x17\x0B"] {
            let mut file = magic.to_vec();
            file.extend(&bytes);
            file.truncate(file.len() / 4 * 4);
            read_all(&file);
        }
    }

    #[test]
    fn a_truncated_file_is_refused(bytes in sample(), cut in any::<prop::sample::Index>()) {
        let truncated = &bytes[..cut.index(bytes.len())];
        read_all(truncated);
        prop_assert!(read_object(truncated).is_err());
        prop_assert!(read_index(truncated).is_err());
    }

    #[test]
    fn flipped_bits_are_read_or_refused(
        mut bytes in sample(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        read_all(&bytes);
    }

    #[test]
    fn nonsense_in_a_module_is_read_or_refused(
        choices in prop::collection::vec((any::<u8>(), any::<u64>(), 0..70_u32), 0..40),
    ) {
        read_all(&module_of(&choices));
    }
}
