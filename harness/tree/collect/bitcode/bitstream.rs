//! The LLVM bit stream: blocks, records and the abbreviations they are written with. It stands
//! between `bits` and the meaning that `container` and `bitcode` give to blocks and records.
//!
//! A block never reads past its own end, a block that is not opened costs only its header, and
//! nothing recurses, so the work is linear in the input. The format is LLVM's
//! `docs/BitCodeFormat.rst`; where that is silent, `lib/Bitstream/Reader` decides.

use std::collections::BTreeMap;

use super::abbreviation::{Abbreviations, Operand};
use super::bits::{Bits, MAX_WIDTH};
use super::{BitOffset, BitcodeError, Result};

const END_BLOCK: u64 = 0;
const ENTER_SUBBLOCK: u64 = 1;
const DEFINE_ABBREV: u64 = 2;
const UNABBREV_RECORD: u64 = 3;
const FIRST_ABBREV: u64 = 4;

const TOP_LEVEL_WIDTH: u32 = 2;
/// The longest record anyone asks for is a path. An array element may be a single bit, so
/// without a limit a hostile file could ask for 64 times its size in memory.
const MAX_OPERANDS: u64 = 1 << 16;

const SETBID: u64 = 1;
/// Block ids in use end at 26; BLOCKINFO is not remembered for ids above this one.
const HIGHEST_BLOCK: u64 = 63;

/// Abbreviations that BLOCKINFO blocks gave to the blocks of an id.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockInfo(BTreeMap<u64, Abbreviations>);

impl BlockInfo {
    /// Adds what a BLOCKINFO block defines.
    pub(super) fn read(&mut self, block: Block) -> Result<()> {
        let none = BlockInfo::default();
        let mut body = block.open(&none)?;
        let mut target = None;
        while let Some(entry) = body.next_defining(target.and_then(|id| self.0.get_mut(&id)))? {
            if let Entry::Record(SETBID) = entry {
                let id = body.operands()?.first().copied();
                target = id.filter(|id| *id <= HIGHEST_BLOCK);
                target.map(|id| self.0.entry(id).or_default());
            }
        }
        Ok(())
    }
}

/// A block whose header has been read; its parent is already positioned after it.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) id: u64,
    at: BitOffset,
    width: u32,
    body: Bits<'a>,
}

impl<'a> Block<'a> {
    /// Reads the header after ENTER_SUBBLOCK, which was at `at`, and passes over the body.
    fn enter(bits: &mut Bits<'a>, at: BitOffset) -> Result<Self> {
        let id = bits.vbr(8)?;
        let width = u32::try_from(bits.vbr(4)?).unwrap_or(u32::MAX);
        bits.align()?;
        let claimed = bits.fixed(32)? * 4;
        let left = bits.left() / 8;
        let body = bits
            .split(claimed)
            .map_err(|_| BitcodeError::BlockTooLong {
                at,
                block: id,
                claimed,
                left,
            })?;
        Ok(Block {
            id,
            at,
            width,
            body,
        })
    }

    /// The inside of the block, with the abbreviations that `info` has for it.
    pub(super) fn open<'i>(self, info: &'i BlockInfo) -> Result<Body<'a, 'i>> {
        if !(1..=MAX_WIDTH).contains(&self.width) {
            return Err(BitcodeError::BlockWidth {
                at: self.at,
                block: self.id,
                width: self.width,
            });
        }
        Ok(Body {
            bits: self.body,
            width: self.width,
            inherited: info.0.get(&self.id),
            own: Abbreviations::default(),
            start: self.body,
            entry: self.body.offset(),
            unread: Unread::Nothing,
            operands: Vec::new(),
        })
    }
}

/// The blocks of a whole stream.
pub(super) struct Blocks<'a>(Bits<'a>);

impl<'a> Blocks<'a> {
    /// The blocks from byte `start` of `bytes` on, a multiple of four.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Blocks(Bits::new(bytes, start))
    }

    /// The next block; none at the end, which may be followed by two words of zero padding.
    pub(super) fn next(&mut self) -> Result<Option<Block<'a>>> {
        let bits = &mut self.0;
        if bits.left() <= 64 && bits.rest().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let at = bits.offset();
        match bits.fixed(TOP_LEVEL_WIDTH)? {
            ENTER_SUBBLOCK => Block::enter(bits, at).map(Some),
            found => Err(BitcodeError::NoBlock { at, found }),
        }
    }
}

pub(super) enum Entry<'a> {
    Block(Block<'a>),
    /// A record of this code. Its operands can be had from [`Body::operands`] until the next
    /// entry is asked for, which skips them.
    Record(u64),
}

/// Operands of the record just begun that have not been read.
#[derive(Clone, Copy)]
enum Unread {
    Nothing,
    /// This many numbers of an unabbreviated record.
    Numbers(u64),
    /// All but the code of a record of this abbreviation.
    Abbreviated(u64),
}

/// The inside of a block.
pub(super) struct Body<'a, 'i> {
    bits: Bits<'a>,
    width: u32,
    inherited: Option<&'i Abbreviations>,
    own: Abbreviations,
    start: Bits<'a>,
    /// Where the current entry begins.
    entry: BitOffset,
    unread: Unread,
    /// One buffer for the operands of every record.
    operands: Vec<u64>,
}

impl<'a> Body<'a, '_> {
    /// Where the next bit is read.
    pub(super) fn offset(&self) -> BitOffset {
        self.bits.offset()
    }

    /// The whole 32-bit words of the block before the current entry.
    pub(super) fn words_before(&self) -> &'a [u8] {
        let words = (self.entry.0 - self.start.offset().0) / 32;
        let bytes = self.start.rest();
        bytes.get(..words as usize * 4).unwrap_or(bytes)
    }

    /// The next record or nested block; none at the end of this one.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>> {
        self.next_defining(None)
    }

    /// Like [`Body::next`], with abbreviations going to `target` if there is one.
    fn next_defining(
        &mut self,
        mut target: Option<&mut Abbreviations>,
    ) -> Result<Option<Entry<'a>>> {
        if let Unread::Numbers(count) = self.unread {
            self.unread = Unread::Nothing;
            self.bits.skip_vbr6(count)?;
        }
        self.walk(u64::MAX, |_| ())?;
        loop {
            let at = self.bits.offset();
            self.entry = at;
            match self.bits.fixed(self.width)? {
                END_BLOCK => {
                    // The end is padded to a whole word.
                    return match self.bits.left() {
                        0..32 => Ok(None),
                        left => Err(BitcodeError::BlockTooShort { at, left }),
                    };
                }
                ENTER_SUBBLOCK => {
                    let block = Block::enter(&mut self.bits, at)?;
                    return Ok(Some(Entry::Block(block)));
                }
                DEFINE_ABBREV => {
                    let target = target.as_deref_mut().unwrap_or(&mut self.own);
                    target.define(&mut self.bits)?;
                }
                UNABBREV_RECORD => {
                    let code = self.bits.vbr(6)?;
                    let count = self.bits.vbr(6)?;
                    self.bits.need(count.saturating_mul(6))?;
                    self.unread = Unread::Numbers(count);
                    return Ok(Some(Entry::Record(code)));
                }
                id => {
                    let mut bits = self.bits;
                    let code = match self.abbreviation(id) {
                        Some([Operand::Field(code), ..]) => code.read(&mut bits)?,
                        _ => return Err(self.unknown_abbreviation(at, id)),
                    };
                    self.bits = bits;
                    self.unread = Unread::Abbreviated(id);
                    return Ok(Some(Entry::Record(code)));
                }
            }
        }
    }

    /// The operands of the current record, without a blob.
    pub(super) fn operands(&mut self) -> Result<&[u64]> {
        let mut operands = std::mem::take(&mut self.operands);
        operands.clear();
        self.walk(MAX_OPERANDS, |operand| operands.push(operand))?;
        self.operands = operands;
        Ok(&self.operands)
    }

    /// The blob of the current record; empty if it has none.
    pub(super) fn blob(&mut self) -> Result<&'a [u8]> {
        Ok(self.walk(u64::MAX, |_| ())?.unwrap_or_default())
    }

    /// Hands the operands of the record just begun to `sink`, none where there are more than
    /// `limit` of them.
    #[inline]
    fn walk(&mut self, limit: u64, mut sink: impl FnMut(u64)) -> Result<Option<&'a [u8]>> {
        let mut bits = self.bits;
        let at = bits.offset();
        let check = |count| match count <= limit {
            true => Ok(()),
            false => Err(BitcodeError::LongRecord { at, count, limit }),
        };
        let mut blob = None;
        match std::mem::replace(&mut self.unread, Unread::Nothing) {
            Unread::Nothing => {}
            Unread::Numbers(count) => {
                check(count)?;
                for _ in 0..count {
                    sink(bits.vbr(6)?);
                }
            }
            Unread::Abbreviated(id) => {
                let operands = self.abbreviation(id).unwrap_or_default();
                let mut behind_code = operands.get(1..).unwrap_or_default();
                while let [operand, after @ ..] = behind_code {
                    behind_code = after;
                    match (operand, after) {
                        (Operand::Field(field), _) => sink(field.read(&mut bits)?),
                        (Operand::Blob, _) => blob = Some(bits.blob()?),
                        (Operand::Array, [Operand::Field(element)]) => {
                            behind_code = &[];
                            let count = element.array_length(&mut bits)?;
                            check(count)?;
                            for _ in 0..count {
                                sink(element.read(&mut bits)?);
                            }
                        }
                        (Operand::Array, _) => {}
                    }
                }
            }
        }
        self.bits = bits;
        Ok(blob)
    }

    fn abbreviation(&self, id: u64) -> Option<&[Operand]> {
        let index = usize::try_from(id.checked_sub(FIRST_ABBREV)?).ok()?;
        let inherited = self.inherited.map_or(0, Abbreviations::len);
        match index.checked_sub(inherited) {
            Some(own) => self.own.get(own),
            None => self.inherited?.get(index),
        }
    }

    fn unknown_abbreviation(&self, at: BitOffset, id: u64) -> BitcodeError {
        let inherited = self.inherited.map_or(0, Abbreviations::len);
        BitcodeError::UnknownAbbreviation {
            at,
            id,
            defined: inherited + self.own.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::writer::{Op, Writer};
    use super::*;

    /// The records of block 9, of width 4, that `body` fills; nested blocks as code 1000 + id.
    fn records(body: impl FnOnce(&mut Writer)) -> Result<Vec<(u64, Vec<u64>)>> {
        let mut writer = Writer::new();
        writer.block(9, 4, body);
        read_records(&writer.bytes, &BlockInfo::default())
    }

    fn read_records(bytes: &[u8], info: &BlockInfo) -> Result<Vec<(u64, Vec<u64>)>> {
        let mut body = first_block(bytes)?.open(info)?;
        let mut records = Vec::new();
        while let Some(entry) = body.next()? {
            records.push(match entry {
                Entry::Record(code) => (code, body.operands()?.to_vec()),
                Entry::Block(block) => (1000 + block.id, Vec::new()),
            });
        }
        Ok(records)
    }

    fn first_block(bytes: &[u8]) -> Result<Block<'_>> {
        Ok(Blocks::new(bytes, 0).next()?.expect("a block"))
    }

    #[test]
    fn a_block_that_ends_before_its_length_is_refused() {
        let ends_early = records(|block| {
            block.record(1, &[]).id(0).align().record(2, &[]);
        });
        assert!(
            matches!(ends_early, Err(BitcodeError::BlockTooShort { .. })),
            "{ends_early:?}"
        );
    }

    #[test]
    fn unabbreviated_records_have_64_bit_operands() {
        let read = records(|block| {
            block.record(1, &[]).record(70, &[0, 31, 32, u64::MAX]);
        });
        let expected = vec![(1, vec![]), (70, vec![0, 31, 32, u64::MAX])];
        assert_eq!(read, Ok(expected));
    }

    #[rstest]
    #[case::literals(&[Op::Literal(5), Op::Literal(6)], |_: &mut Writer| (), &[6])]
    #[case::fixed_zero(&[Op::Literal(5), Op::Fixed(0), Op::Fixed(3)], |w: &mut Writer| { w.fixed(3, 7); }, &[0, 7])]
    #[case::vbr_zero(&[Op::Literal(5), Op::Vbr(0), Op::Vbr(3)], |w: &mut Writer| { w.vbr(3, 77); }, &[0, 77])]
    #[case::code_in_the_record(&[Op::Fixed(4), Op::Char6], |w: &mut Writer| { w.fixed(4, 5).fixed(6, 63); }, &[95])]
    #[case::widest(
        &[Op::Literal(5), Op::Fixed(32), Op::Vbr(32)],
        |w: &mut Writer| { w.fixed(32, 0xFFFF_FFFF).vbr(32, u64::MAX); },
        &[0xFFFF_FFFF, u64::MAX]
    )]
    #[case::array_of_char6(
        &[Op::Literal(5), Op::Vbr(6), Op::Array, Op::Char6],
        |w: &mut Writer| { w.vbr(6, 9).char6("aZ0._"); },
        &[9, 97, 90, 48, 46, 95]
    )]
    #[case::array_of_vbr(
        &[Op::Literal(5), Op::Array, Op::Vbr(4)],
        |w: &mut Writer| { w.vbr(6, 2).vbr(4, 1).vbr(4, 100); },
        &[1, 100]
    )]
    #[case::empty_array_of_no_bits(
        &[Op::Literal(5), Op::Array, Op::Fixed(0)],
        |w: &mut Writer| { w.vbr(6, 0); },
        &[]
    )]
    #[case::blob_is_no_operand(
        &[Op::Literal(5), Op::Literal(8), Op::Blob],
        |w: &mut Writer| { w.blob(b"abcde"); },
        &[8]
    )]
    fn abbreviated_records(
        #[case] abbreviation: &[Op],
        #[case] operands: fn(&mut Writer),
        #[case] expected: &[u64],
    ) {
        let read = records(|block| {
            block.define(abbreviation);
            operands(block.id(4));
            block.record(6, &[1]);
        });
        assert_eq!(read, Ok(vec![(5, expected.to_vec()), (6, vec![1])]));
    }

    #[test]
    fn operands_that_nobody_asks_for_are_passed_over() {
        let mut writer = Writer::new();
        writer.block(9, 4, |block| {
            block.define(&[Op::Literal(5), Op::Fixed(3), Op::Array, Op::Fixed(7)]);
            block.define(&[Op::Literal(6), Op::Blob]);
            block.id(4).fixed(3, 1).vbr(6, 3).fixed(21, 0);
            block.id(5).blob(b"abcde");
            block.block(10, 5, |nested| {
                nested.record(1, &[2, 3]);
            });
            block.record(7, &[u64::MAX; 100]).record(8, &[4]);
        });
        let info = BlockInfo::default();
        let mut body = first_block(&writer.bytes).unwrap().open(&info).unwrap();
        let mut codes = Vec::new();
        while let Some(entry) = body.next().unwrap() {
            codes.push(match entry {
                Entry::Record(code) => code,
                Entry::Block(block) => 1000 + block.id,
            });
        }
        assert_eq!(codes, [5, 6, 1010, 7, 8]);
    }

    #[test]
    fn abbreviations_of_blockinfo_come_before_the_blocks_own() {
        let mut writer = Writer::new();
        writer.block(0, 2, |info| {
            info.record(1, &[10]);
            info.define(&[Op::Literal(1), Op::Literal(10)]);
            info.record(1, &[9]);
            info.define(&[Op::Literal(2), Op::Literal(20)]);
            info.record(1, &[u64::MAX]);
            info.define(&[Op::Literal(4), Op::Literal(40)]);
            info.record(1, &[9]);
            info.define(&[Op::Literal(3), Op::Literal(30)]);
        });
        let mut info = BlockInfo::default();
        info.read(first_block(&writer.bytes).unwrap()).unwrap();

        let mut writer = Writer::new();
        writer.block(9, 4, |block| {
            block.define(&[Op::Literal(9), Op::Literal(90)]);
            block.id(6).id(5).id(4);
        });
        let read = read_records(&writer.bytes, &info);
        let expected = vec![(9, vec![90]), (3, vec![30]), (2, vec![20])];
        assert_eq!(read, Ok(expected));
    }

    #[rstest]
    #[case::unknown_id(
        |w: &mut Writer| { w.define(&[Op::Literal(1)]).id(5); },
        "unknown abbreviation id 5 at byte 10 bit 2: 1 are defined there, from 4 on"
    )]
    #[case::more_operands_than_bits(
        |w: &mut Writer| { w.id(3).vbr(6, 1).vbr(6, u64::MAX); },
        "expected 18446744073709551615 more bits at byte 19, found 8 before the end of the \
         block or file"
    )]
    #[case::longer_array_than_bits(
        |w: &mut Writer| { w.define(&[Op::Literal(1), Op::Array, Op::Fixed(1)]).id(4).vbr(6, 1 << 40); },
        "expected 1099511627776 more bits at byte 19 bit 1, found 7 before the end of the block or file"
    )]
    #[case::nested_block_longer_than_its_parent(
        |w: &mut Writer| { w.id(1).vbr(8, 10).vbr(4, 3).align().fixed(32, 100); },
        "block 10 at byte 8 is truncated: expected 400 bytes after its header, found 4"
    )]
    fn malformed_blocks_are_refused(#[case] body: fn(&mut Writer), #[case] message: &str) {
        assert_eq!(records(body).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case::none(0)]
    #[case::too_wide(33)]
    fn a_block_of_another_width_is_refused(#[case] width: u64) {
        let mut writer = Writer::new();
        writer.id(1).vbr(8, 9).vbr(4, width).align().fixed(32, 0);
        let error = read_records(&writer.bytes, &BlockInfo::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("block 9 at byte 0: expected abbreviation ids of 1 to 32 bits, found {width}")
        );
    }

    #[test]
    fn a_block_without_an_end_does_not_read_into_the_next() {
        let mut writer = Writer::new();
        writer.id(1).vbr(8, 9).vbr(4, 3).align().fixed(32, 0);
        writer.block(10, 3, |_| {});
        let error = read_records(&writer.bytes, &BlockInfo::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 3 more bits at byte 8, found 0 before the end of the block or file"
        );
    }

    #[test]
    fn more_operands_than_anyone_needs_are_passed_over_but_not_kept() {
        let long = vec![0; usize::try_from(MAX_OPERANDS).unwrap() + 1];
        let error = records(|block| {
            block.record(1, &long);
        });
        assert!(matches!(error, Err(BitcodeError::LongRecord { .. })));

        let mut writer = Writer::new();
        writer.block(9, 4, |block| {
            block.record(1, &long).record(2, &[]);
        });
        let info = BlockInfo::default();
        let mut body = first_block(&writer.bytes).unwrap().open(&info).unwrap();
        assert!(matches!(body.next(), Ok(Some(Entry::Record(1)))));
        assert!(matches!(body.next(), Ok(Some(Entry::Record(2)))));
        assert!(matches!(body.next(), Ok(None)));
    }
}
