//! Abbreviations of the LLVM bit stream: how the operands of a record are laid out. They are
//! checked when they are defined, so that reading a record cannot meet a nonsensical one.

use super::bits::{Bits, MAX_WIDTH};
use super::{BitcodeError, Result};

/// In the blocks that are read here, LLVM's own abbreviations have less than ten. Literals take no
/// bits in a record, so without a limit a record of three bits could cost any amount of time.
const MAX_OPERANDS: u64 = 32;
/// LLVM's own blocks have a few dozen.
const MAX_ABBREVIATIONS: usize = 1024;

const CHAR6: [u8; 64] = *b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";

/// How one number is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Literal(u64),
    Fixed(u32),
    Vbr(u32),
    Char6,
}

impl Field {
    #[inline]
    pub(super) fn read(self, bits: &mut Bits) -> Result<u64> {
        match self {
            Field::Literal(value) => Ok(value),
            Field::Fixed(width) => bits.fixed(width),
            Field::Vbr(width) => bits.vbr(width),
            Field::Char6 => {
                // Six bits always are an index into the table.
                let index = usize::try_from(bits.fixed(6)?).unwrap_or_default();
                Ok(CHAR6.get(index).copied().map_or(0, u64::from))
            }
        }
    }

    /// Reads the length of an array of such fields, which follow.
    pub(super) fn array_length(self, bits: &mut Bits) -> Result<u64> {
        let at = bits.offset();
        let count = bits.vbr(6)?;
        let least_bits = self.least_bits();
        if least_bits == 0 && count > 0 {
            let problem = "an array whose elements have no bits";
            return Err(BitcodeError::MalformedAbbreviation { at, problem });
        }
        bits.need(count.saturating_mul(least_bits))?;
        Ok(count)
    }

    /// The fewest bits that one such field takes.
    fn least_bits(self) -> u64 {
        match self {
            Field::Literal(_) => 0,
            Field::Fixed(width) | Field::Vbr(width) => u64::from(width),
            Field::Char6 => 6,
        }
    }
}

/// A part of an abbreviation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Field(Field),
    /// Followed by the one field that every element is.
    Array,
    Blob,
}

impl Operand {
    fn define(bits: &mut Bits) -> Result<Self> {
        let at = bits.offset();
        if bits.fixed(1)? == 1 {
            return Ok(Operand::Field(Field::Literal(bits.vbr(8)?)));
        }
        let malformed = |problem| BitcodeError::MalformedAbbreviation { at, problem };
        let encoding = bits.fixed(3)?;
        match encoding {
            1 | 2 => {
                let width = u32::try_from(bits.vbr(5)?).unwrap_or(u32::MAX);
                match (width, encoding) {
                    // LLVM writes these where every value is zero, and reads them without a bit.
                    (0, _) => Ok(Operand::Field(Field::Literal(0))),
                    (1..=MAX_WIDTH, 1) => Ok(Operand::Field(Field::Fixed(width))),
                    (1..=MAX_WIDTH, _) => Ok(Operand::Field(Field::Vbr(width))),
                    _ => Err(malformed("a field wider than 32 bits")),
                }
            }
            3 => Ok(Operand::Array),
            4 => Ok(Operand::Field(Field::Char6)),
            5 => Ok(Operand::Blob),
            _ => Err(malformed("an unknown encoding")),
        }
    }
}

/// Abbreviations in the order of their definition. Every one begins with a field, the code; an
/// array is second to last and its element a field; a blob is last.
#[derive(Clone, Debug, Default)]
pub(super) struct Abbreviations {
    operands: Vec<Operand>,
    ends: Vec<usize>,
}

impl Abbreviations {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&[Operand]> {
        let start = match index.checked_sub(1) {
            Some(previous) => *self.ends.get(previous)?,
            None => 0,
        };
        self.operands.get(start..*self.ends.get(index)?)
    }

    /// Reads one definition, which follows DEFINE_ABBREV.
    pub(super) fn define(&mut self, bits: &mut Bits) -> Result<()> {
        let at = bits.offset();
        let malformed = |problem| BitcodeError::MalformedAbbreviation { at, problem };
        let count = bits.vbr(5)?;
        if !(1..=MAX_OPERANDS).contains(&count) {
            return Err(malformed("not between 1 and 32 operands"));
        }
        if self.ends.len() >= MAX_ABBREVIATIONS {
            return Err(malformed("more than 1024 abbreviations in a block"));
        }
        let mut previous = None;
        for left in (0..count).rev() {
            let operand = Operand::define(bits)?;
            match (previous, operand, left) {
                (None, Operand::Array | Operand::Blob, _) => {
                    return Err(malformed("no field for the record's code"));
                }
                (Some(Operand::Array), Operand::Field(_), 0) => {}
                (Some(Operand::Array), _, _) | (_, Operand::Array, 0) => {
                    return Err(malformed("an array without exactly one element field"));
                }
                (_, Operand::Blob, 1..) => return Err(malformed("a blob that is not last")),
                (_, Operand::Field(_) | Operand::Array | Operand::Blob, _) => {}
            }
            self.operands.push(operand);
            previous = Some(operand);
        }
        self.ends.push(self.operands.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::writer::{Op, Writer};
    use super::*;

    fn define(ops: &[Op]) -> Result<Abbreviations> {
        let mut writer = Writer::new();
        writer.definition(ops);
        let mut abbreviations = Abbreviations::default();
        abbreviations.define(&mut Bits::new(&writer.bytes, 0))?;
        Ok(abbreviations)
    }

    #[rstest]
    #[case::no_operands(&[], "not between 1 and 32 operands")]
    #[case::too_many_operands(&[Op::Literal(0); 33], "not between 1 and 32 operands")]
    #[case::code_is_an_array(&[Op::Array, Op::Char6], "no field for the record's code")]
    #[case::code_is_a_blob(&[Op::Blob], "no field for the record's code")]
    #[case::array_of_nothing(
        &[Op::Literal(1), Op::Array],
        "an array without exactly one element field"
    )]
    #[case::array_not_last(
        &[Op::Literal(1), Op::Array, Op::Char6, Op::Char6],
        "an array without exactly one element field"
    )]
    #[case::array_of_arrays(
        &[Op::Literal(1), Op::Array, Op::Array, Op::Char6],
        "an array without exactly one element field"
    )]
    #[case::array_of_blobs(
        &[Op::Literal(1), Op::Array, Op::Blob],
        "an array without exactly one element field"
    )]
    #[case::blob_not_last(&[Op::Literal(1), Op::Blob, Op::Char6], "a blob that is not last")]
    #[case::wide_fixed(&[Op::Fixed(33)], "a field wider than 32 bits")]
    #[case::wide_vbr(&[Op::Vbr(1 << 40)], "a field wider than 32 bits")]
    fn malformed_definitions_are_refused(#[case] ops: &[Op], #[case] expected: &str) {
        match define(ops) {
            Err(BitcodeError::MalformedAbbreviation { problem, .. }) => {
                assert_eq!(problem, expected);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unknown_encoding_is_refused() {
        let mut writer = Writer::new();
        writer.vbr(5, 1).fixed(1, 0).fixed(3, 7);
        let error = Abbreviations::default()
            .define(&mut Bits::new(&writer.bytes, 0))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed abbreviation at byte 0 bit 5: an unknown encoding"
        );
    }

    #[test]
    fn widths_of_zero_are_a_literal_zero() {
        let abbreviations = define(&[Op::Fixed(0), Op::Vbr(0)]).unwrap();
        let fields = abbreviations.get(0).unwrap();
        assert!(
            fields
                .iter()
                .all(|field| matches!(field, Operand::Field(Field::Literal(0))))
        );
    }

    #[test]
    fn definitions_in_a_block_are_limited() {
        let mut writer = Writer::new();
        for _ in 0..=MAX_ABBREVIATIONS {
            writer.definition(&[Op::Literal(1)]);
        }
        let mut bits = Bits::new(&writer.bytes, 0);
        let mut abbreviations = Abbreviations::default();
        for _ in 0..MAX_ABBREVIATIONS {
            abbreviations.define(&mut bits).unwrap();
        }
        abbreviations.define(&mut bits).unwrap_err();
        assert!(abbreviations.get(MAX_ABBREVIATIONS - 1).is_some());
        assert!(abbreviations.get(MAX_ABBREVIATIONS).is_none());
    }

    #[test]
    fn an_array_whose_elements_have_no_bits_has_to_be_empty() {
        let element = Field::Literal(0);
        let length = |length| {
            let mut writer = Writer::new();
            writer.vbr(6, length);
            element.array_length(&mut Bits::new(&writer.bytes, 0))
        };
        assert_eq!(length(0), Ok(0));
        assert!(length(u64::MAX).is_err());
    }
}
