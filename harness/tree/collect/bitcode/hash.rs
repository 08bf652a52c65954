//! The hash of a module, by which an index refers to it: read, and held against the module.

use sha1::{Digest as _, Sha1};

use super::super::overlap::NameBudget;
use super::bitstream::Body;
use super::{BitOffset, BitcodeError, Result};

/// A module's hash: the SHA-1 of its symbols' names and its bitcode, as five big-endian words.
pub type ModuleHash = [u32; 5];

/// What the hash of a module is of, by `addToStrtab` and `writeModuleHash` of LLVM's
/// `lib/Bitcode/Writer/BitcodeWriter.cpp`.
#[derive(Default)]
pub(super) struct Hashed<'a> {
    /// Offset and size of each name in the string table, in the order of the records.
    pub(super) names: Vec<(u64, u64)>,
    /// Where the record of the hash is, and the words of the block that were written when LLVM came
    /// to it.
    pub(super) content: Option<(BitOffset, &'a [u8])>,
}

impl Hashed<'_> {
    /// # Errors
    /// [`BitcodeError::OtherContent`] if the module does not have this hash,
    /// [`BitcodeError::Overlapping`] if its names cannot be real ones.
    pub(super) fn check(&self, recorded: ModuleHash, strtab: &[u8]) -> Result<()> {
        let Some((at, content)) = self.content else {
            return Ok(());
        };
        let mut hasher = Sha1::new();
        let budget = NameBudget::of_table(strtab.len());
        for (offset, size) in &self.names {
            let name = name(strtab, *offset, *size).unwrap_or_default();
            budget.take(name.len() as u64)?;
            hasher.update(name);
        }
        let digest = hasher.chain_update(content).finalize();
        let words = digest.as_chunks::<4>().0.iter().copied();
        match words.map(u32::from_be_bytes).eq(recorded) {
            true => Ok(()),
            false => Err(BitcodeError::OtherContent { at }),
        }
    }
}

fn name(strtab: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(size).ok()?.checked_add(start)?;
    strtab.get(start..end)
}

pub(super) fn read_hash(body: &mut Body) -> Result<ModuleHash> {
    let at = body.offset();
    let operands = body.operands()?;
    let malformed = || BitcodeError::Hash {
        at,
        found: operands.iter().take(8).copied().collect(),
    };
    let operands: &[u64; 5] = operands.try_into().map_err(|_| malformed())?;
    let mut hash = [0; 5];
    for (word, operand) in hash.iter_mut().zip(operands) {
        *word = u32::try_from(*operand).map_err(|_| malformed())?;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::read_object;
    use super::super::writer::{Writer, ir_object};
    use super::*;

    fn position(bytes: &[u8], text: &[u8]) -> usize {
        let found = bytes.windows(text.len()).position(|window| window == text);
        found.unwrap()
    }

    #[rstest]
    #[case::a_name(b"main", true)]
    #[case::a_name_of_another_module(b"printk", false)]
    fn a_changed_name_is_seen_where_the_module_has_it(#[case] name: &[u8], #[case] is_seen: bool) {
        let mut bytes = ir_object();
        let at = position(&bytes, name);

        bytes[at] ^= 1;

        let refused = matches!(read_object(&bytes), Err(BitcodeError::OtherContent { .. }));
        assert_eq!(refused, is_seen);
    }

    #[test]
    fn every_changed_bit_of_the_content_is_seen() {
        let mut file = Writer::file();
        file.block(8, 3, |module| {
            module.text(2, "riscv64-unknown-linux-gnu").module_hash("");
        });
        let bytes = file.bytes;
        assert!(read_object(&bytes).is_ok());
        // After the magic and the header of the block; the text has more bytes than this.
        for bit in 12 * 8..40 * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read_object(&changed).is_err(), "bit {bit}");
        }
    }
    #[test]
    fn names_that_overlap_more_than_real_ones_are_refused() {
        let strtab = vec![b'a'; 1 << 20];
        let hashed = |names: usize| Hashed {
            names: vec![(0, 1 << 20); names],
            content: Some((BitOffset(0), b"")),
        };
        let refused = |names| hashed(names).check([0; 5], &strtab).unwrap_err();
        assert!(matches!(refused(17), BitcodeError::OtherContent { .. }));
        assert!(matches!(refused(18), BitcodeError::Overlapping(_)));
    }
}
