//! The top level of a bitcode file: magic, wrapper, and the blocks that are about all of it. It
//! hands identification and module blocks to `bitcode` and keeps the symbol and string table.
//!
//! Which string table belongs to which symbol table, and what a wrapper holds, was learned from
//! LLVM's `lib/Bitcode/Reader/BitcodeReader.cpp`.

use super::bitstream::{Block, BlockInfo, Blocks, Body, Entry};
use super::{BitcodeError, Result, block, record};

const MAGIC: [u8; 4] = *b"BC\xC0\xDE";
/// 0x0B17C0DE, little endian.
const WRAPPER_MAGIC: [u8; 4] = [0xDE, 0xC0, 0x17, 0x0B];

pub(super) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) || bytes.starts_with(&WRAPPER_MAGIC)
}

/// The top level of a file: the magic, and the blocks that are about all of it.
pub(super) struct Container<'a> {
    blocks: Blocks<'a>,
    pub(super) info: BlockInfo,
    has_module: bool,
    /// Whether the last module's names are in a string table that has not been read yet.
    pub(super) lacks_strtab: bool,
    /// The first symbol table, and the first string table after it: LLVM uses the same.
    pub(super) symtab: Option<&'a [u8]>,
    pub(super) strtab: Option<&'a [u8]>,
}

impl<'a> Container<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let (stream, start) = find_stream(bytes)?;
        Ok(Container {
            blocks: Blocks::new(stream, start),
            info: BlockInfo::default(),
            has_module: false,
            lacks_strtab: false,
            symtab: None,
            strtab: None,
        })
    }

    /// The next identification or module block; none at the end of a complete file.
    pub(super) fn next(&mut self) -> Result<Option<Block<'a>>> {
        while let Some(block) = self.blocks.next()? {
            match block.id {
                block::IDENTIFICATION => return Ok(Some(block)),
                block::MODULE => {
                    self.has_module = true;
                    return Ok(Some(block));
                }
                block::BLOCKINFO => self.info.read(block)?,
                block::SYMTAB if self.symtab.is_none() => {
                    self.symtab = Some(read_blob(block.open(&self.info)?)?);
                }
                block::STRTAB => {
                    self.lacks_strtab = false;
                    if self.symtab.is_some() && self.strtab.is_none() {
                        self.strtab = Some(read_blob(block.open(&self.info)?)?);
                    }
                }
                _ => {}
            }
        }
        if !self.has_module {
            return Err(BitcodeError::NoModule);
        }
        if self.lacks_strtab || (self.symtab.is_some() && self.strtab.is_none()) {
            return Err(BitcodeError::NoStringTable);
        }
        Ok(None)
    }
}

/// The bytes up to the end of the bitcode, and where in them it begins.
fn find_stream(bytes: &[u8]) -> Result<(&[u8], usize)> {
    if bytes.is_empty() {
        return Err(BitcodeError::Empty);
    }
    let length = bytes.len();
    let (stream, start) = match bytes.starts_with(&WRAPPER_MAGIC) {
        true => unwrap_stream(bytes)?,
        false => (bytes, 0),
    };
    let magic = stream.get(start..).unwrap_or_default();
    if !magic.starts_with(&MAGIC) {
        return Err(BitcodeError::Magic {
            at: start,
            found: magic.iter().take(4).copied().collect(),
        });
    }
    if !length.is_multiple_of(4) {
        return Err(BitcodeError::Length { length });
    }
    Ok((stream, start + MAGIC.len()))
}

/// As [`find_stream`], by the five words of a wrapper: magic, version, offset, size, CPU type.
fn unwrap_stream(bytes: &[u8]) -> Result<(&[u8], usize)> {
    let word = |index: usize| {
        let word = bytes.get(index * 4..).and_then(<[u8]>::first_chunk);
        word.copied().map_or(0, u32::from_le_bytes)
    };
    let (offset, size) = (word(2), word(3));
    let start = offset as usize;
    match bytes.get(..start.saturating_add(size as usize)) {
        Some(stream) if start >= 20 && start.is_multiple_of(4) => Ok((stream, start)),
        _ => Err(BitcodeError::Wrapper {
            offset,
            size,
            length: bytes.len(),
        }),
    }
}

/// The blob that is all of a string or symbol table.
fn read_blob<'a>(mut body: Body<'a, '_>) -> Result<&'a [u8]> {
    while let Some(entry) = body.next()? {
        if let Entry::Record(record::BLOB) = entry {
            return body.blob();
        }
    }
    Ok(&[])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::writer::Writer;
    use super::*;

    fn block_ids(bytes: &[u8]) -> Result<Vec<u64>> {
        let mut container = Container::open(bytes)?;
        let mut ids = Vec::new();
        while let Some(block) = container.next()? {
            ids.push(block.id);
        }
        Ok(ids)
    }

    fn sample() -> Vec<u8> {
        let mut file = Writer::file();
        file.block(13, 5, |_| {})
            .block(8, 3, |_| {})
            .block(99, 2, |_| {});
        file.bytes
    }

    fn wrapped(offset: u32, size: u32, stream: &[u8]) -> Vec<u8> {
        let mut file: Vec<u8> = [0x0B17_C0DE_u32, 0, offset, size, 7]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        file.extend(stream);
        file
    }

    #[test]
    fn blocks_are_found_in_raw_and_wrapped_bitcode() {
        let raw = sample();
        assert_eq!(block_ids(&raw), Ok(vec![13, 8]));
        let mut wrapped = wrapped(20, u32::try_from(raw.len()).unwrap(), &raw);
        wrapped.extend([0xAA; 12]);
        assert_eq!(block_ids(&wrapped), Ok(vec![13, 8]));
    }

    #[rstest]
    #[case::none(0)]
    #[case::two_words(8)]
    fn zero_padding_is_no_block(#[case] padding: usize) {
        let mut file = sample();
        file.resize(file.len() + padding, 0);
        assert_eq!(block_ids(&file), Ok(vec![13, 8]));
    }

    #[rstest]
    #[case::empty(vec![], "expected LLVM bitcode, found an empty file")]
    #[case::elf(
        b"\x7fELF\x02\x01\x01\x00".to_vec(),
        "expected the bitcode magic [42, 43, c0, de] at byte 0, found [7f, 45, 4c, 46]"
    )]
    #[case::three_bytes(
        b"BC\xC0".to_vec(),
        "expected the bitcode magic [42, 43, c0, de] at byte 0, found [42, 43, c0]"
    )]
    #[case::cut_in_a_word(
        b"BC\xC0\xDE\x35\x14".to_vec(),
        "expected a length that is a multiple of 4 bytes, found 6: the file was cut short"
    )]
    #[case::magic_alone(
        b"BC\xC0\xDE".to_vec(),
        "expected a module block, found the end of the bitcode"
    )]
    #[case::no_block(
        b"BC\xC0\xDE\x02\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        "expected a block (abbreviation id 1) at byte 4, found abbreviation id 2"
    )]
    #[case::cut_in_a_block(
        b"BC\xC0\xDE\x21\x0c\0\0\x94\x26\0\0\x0b\x02\x21\0".to_vec(),
        "block 8 at byte 4 is truncated: expected 39504 bytes after its header, found 4"
    )]
    #[case::cut_wrapper(
        wrapped(20, 0, b"")[..12].to_vec(),
        "expected a bitcode wrapper that points into the file's 12 bytes at a multiple of 4, found \
         offset 20 and size 0"
    )]
    #[case::wrapper_behind_the_end(
        wrapped(u32::MAX - 3, u32::MAX, b"BC\xC0\xDE"),
        "expected a bitcode wrapper that points into the file's 24 bytes at a multiple of 4, found \
         offset 4294967292 and size 4294967295"
    )]
    #[case::wrapper_in_itself(
        wrapped(0, 24, b"BC\xC0\xDE"),
        "expected a bitcode wrapper that points into the file's 24 bytes at a multiple of 4, found \
         offset 0 and size 24"
    )]
    #[case::wrapped_elf(
        wrapped(20, 4, b"\x7fELF"),
        "expected the bitcode magic [42, 43, c0, de] at byte 20, found [7f, 45, 4c, 46]"
    )]
    fn other_bytes_are_refused(#[case] bytes: Vec<u8>, #[case] message: &str) {
        assert_eq!(block_ids(&bytes).unwrap_err().to_string(), message);
    }

    #[test]
    fn the_first_string_table_behind_the_first_symbol_table_is_its() {
        let mut file = Writer::file();
        file.block(8, 3, |_| {}).blob_block(23, b"module's");
        file.block(8, 3, |_| {})
            .blob_block(25, b"table")
            .blob_block(25, b"other");
        file.blob_block(23, b"names").blob_block(23, b"others");
        let mut container = Container::open(&file.bytes).unwrap();
        while container.next().unwrap().is_some() {}
        assert_eq!(container.symtab, Some(b"table".as_slice()));
        assert_eq!(container.strtab, Some(b"names".as_slice()));
    }

    #[test]
    fn a_symbol_table_without_a_string_table_is_refused() {
        let mut file = Writer::file();
        file.block(8, 3, |_| {}).blob_block(25, b"table");
        assert_eq!(block_ids(&file.bytes), Err(BitcodeError::NoStringTable));
    }
}
