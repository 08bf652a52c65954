//! A cursor over the bits of a bitcode file: fixed and variable width numbers, alignment, blobs.
//! The lowest layer of the reader: nothing is read after the bytes it was given, and every length
//! is compared with the bits that are left before it is believed.

use super::{BitOffset, BitcodeError, Result};

/// The widest fixed or VBR field that LLVM reads.
pub(super) const MAX_WIDTH: u32 = 32;

/// A position in a bit stream, which never exceeds the bits in `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Bits<'a> {
    /// A cursor at byte `start`, where 32-bit alignment counts from: a multiple of four.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        let at = start.min(bytes.len()) as u64 * 8;
        Bits { bytes, at }
    }

    pub(super) fn offset(&self) -> BitOffset {
        BitOffset(self.at)
    }

    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() as u64 * 8).saturating_sub(self.at)
    }

    /// The bytes from the one on in which the next bit is.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get((self.at / 8) as usize..).unwrap_or_default()
    }

    /// Fails unless that many bits are left.
    pub(super) fn need(&self, bits: u64) -> Result<()> {
        if bits <= self.left() {
            return Ok(());
        }
        Err(BitcodeError::EndsEarly {
            at: self.offset(),
            needed: bits,
            left: self.left(),
        })
    }

    /// Reads `width` bits, at most [`MAX_WIDTH`].
    #[inline]
    pub(super) fn fixed(&mut self, width: u32) -> Result<u64> {
        self.need(u64::from(width))?;
        let rest = self.rest();
        let window = match rest.first_chunk::<8>() {
            Some(window) => u64::from_le_bytes(*window),
            None => rest
                .iter()
                .rev()
                .fold(0, |window, byte| window << 8 | u64::from(*byte)),
        };
        let value = (window >> (self.at % 8)) & ((1 << width) - 1);
        self.at += u64::from(width);
        Ok(value)
    }

    /// Reads a number of up to 64 bits in chunks of `width` bits, 1 to [`MAX_WIDTH`].
    #[inline]
    pub(super) fn vbr(&mut self, width: u32) -> Result<u64> {
        let at = self.offset();
        let more = 1 << (width - 1);
        let (mut value, mut shift) = (0, 0);
        loop {
            let chunk = self.fixed(width)?;
            value |= (chunk & (more - 1)) << shift;
            if chunk & more == 0 {
                return Ok(value);
            }
            shift += width - 1;
            if shift >= u64::BITS {
                return Err(BitcodeError::LongNumber { at });
            }
        }
    }

    /// Passes over `count` numbers in chunks of six bits, nine chunks at a time. Most of a module
    /// block outside nested blocks is such numbers.
    pub(super) fn skip_vbr6(&mut self, mut count: u64) -> Result<()> {
        const LAST_OF_CHUNK: u64 = 0o40_40_40_40_40_40_40_40_40;
        while let Some(window) = self.rest().first_chunk::<8>() {
            let window = u64::from_le_bytes(*window) >> (self.at % 8);
            let ended = u64::from((!window & LAST_OF_CHUNK).count_ones());
            if ended >= count {
                break;
            }
            count -= ended;
            self.at += 54;
        }
        for _ in 0..count {
            self.vbr(6)?;
        }
        Ok(())
    }

    /// Passes over the rest of a 32-bit word.
    pub(super) fn align(&mut self) -> Result<()> {
        let padding = self.at.next_multiple_of(32) - self.at;
        self.need(padding)?;
        self.at += padding;
        Ok(())
    }

    /// Passes over `length` bytes, for which there is a cursor that ends where they end.
    pub(super) fn split(&mut self, length: u64) -> Result<Bits<'a>> {
        self.need(length.saturating_mul(8))?;
        let start = self.at;
        self.at += length * 8;
        let bytes = self.bytes.get(..(self.at / 8) as usize);
        Ok(Bits {
            bytes: bytes.unwrap_or_default(),
            at: start,
        })
    }

    /// Reads a blob: its length, then its bytes, padded to 32 bits on both sides.
    pub(super) fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.vbr(6)?;
        self.align()?;
        let blob = self.split(length)?;
        self.align()?;
        Ok(blob.rest())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::writer::Writer;
    use super::*;

    #[test]
    fn numbers_come_back_at_any_bit_and_at_the_end() {
        for lead in 0..64 {
            let mut writer = Writer::new();
            writer
                .fixed(lead, u64::MAX)
                .fixed(32, 0x89AB_CDEF)
                .vbr(6, u64::MAX)
                .fixed(3, 5);
            let mut bits = Bits::new(&writer.bytes, 0);
            for _ in 0..lead {
                assert_eq!(bits.fixed(1), Ok(1));
            }
            assert_eq!(bits.fixed(32), Ok(0x89AB_CDEF));
            assert_eq!(bits.vbr(6), Ok(u64::MAX));
            assert_eq!(bits.fixed(3), Ok(5));
            assert!(bits.left() < 8);
        }
    }

    #[test]
    fn reading_behind_the_end_names_the_place() {
        let mut bits = Bits::new(&[0xFF; 3], 0);
        bits.fixed(17).unwrap();
        assert_eq!(
            bits.fixed(8).unwrap_err().to_string(),
            "expected 8 more bits at byte 2 bit 1, found 7 before the end of the block or file"
        );
    }

    #[rstest]
    #[case::six(6, 100)]
    #[case::two(2, 100)]
    #[case::thirty_two(32, 100)]
    fn a_number_that_never_ends_is_refused(#[case] width: u32, #[case] length: usize) {
        let bytes = vec![0xFF; length];
        let error = Bits::new(&bytes, 0).vbr(width).unwrap_err();
        assert_eq!(error, BitcodeError::LongNumber { at: BitOffset(0) });
    }

    #[test]
    fn a_number_in_chunks_without_payload_ends_with_the_bytes() {
        assert_eq!(Bits::new(&[0x7F], 0).vbr(1), Ok(0));
        assert!(matches!(
            Bits::new(&[0xFF; 1000], 0).vbr(1),
            Err(BitcodeError::EndsEarly { .. })
        ));
    }

    #[test]
    fn a_blob_is_borrowed_and_padded_on_both_sides() {
        let mut writer = Writer::new();
        writer.fixed(5, 0).blob(b"kernel").fixed(8, 42);
        let mut bits = Bits::new(&writer.bytes, 0);
        bits.fixed(5).unwrap();
        assert_eq!(bits.blob(), Ok(b"kernel".as_slice()));
        assert_eq!(bits.fixed(8), Ok(42));
    }

    #[test]
    fn a_blob_longer_than_the_rest_is_refused() {
        let mut writer = Writer::new();
        writer.vbr(6, u64::MAX).align();
        assert!(matches!(
            Bits::new(&writer.bytes, 0).blob(),
            Err(BitcodeError::EndsEarly { .. })
        ));
    }

    proptest! {
        #[test]
        fn skipping_numbers_ends_where_reading_them_does(
            numbers in prop::collection::vec(prop_oneof![0..40_u64, any::<u64>()], 0..200),
            lead in 0..32_u32,
            tail in 0..80_u32,
        ) {
            let mut writer = Writer::new();
            writer.fixed(lead, 0);
            for number in &numbers {
                writer.vbr(6, *number);
            }
            writer.fixed(tail, u64::MAX);
            let mut read = Bits::new(&writer.bytes, 0);
            if lead > 0 {
                read.fixed(lead).unwrap();
            }
            let mut skipped = read;
            for number in &numbers {
                prop_assert_eq!(read.vbr(6), Ok(*number));
            }
            skipped.skip_vbr6(numbers.len() as u64).unwrap();
            prop_assert_eq!(skipped.offset(), read.offset());
        }
    }
}
