//! The symbol table that LLVM adds to bitcode so that linkers need not decode the IR: fixed-size
//! little-endian records in one blob, names in the string table beside it. The layout is
//! `storage` in LLVM's `llvm/Object/IRSymtab.h`.

use std::slice::ChunksExact;

use super::super::overlap::NameBudget;
use super::{BitcodeError, Result};

/// Versions whose header and symbols have the layout read here: LLVM 14 to 22 write 3,
/// its main branch 4.
const VERSIONS: std::ops::RangeInclusive<u32> = 3..=4;

/// Byte offsets in the header of the (offset, size) pairs used here.
const HEADER_MODULES: usize = 12;
const HEADER_SYMBOLS: usize = 28;
const HEADER_SIZE: usize = 76;

/// A symbol's words: the name's offset and size, the IR name's, the comdat index, the flags.
const SYMBOL_SIZE: usize = 24;
const SYMBOL_IR_NAME: usize = 8;
const SYMBOL_FLAGS: usize = 20;

/// The symbols of a bitcode file in the linker's order, borrowed from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolTable<'a> {
    modules: usize,
    symbols: &'a [u8],
    strtab: &'a [u8],
}

/// One symbol, including those that module-level inline assembly defines or uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrSymbol<'a> {
    /// The name as the object file will have it.
    pub name: &'a [u8],
    /// As the IR has it: without the prefix of private symbols. Empty for inline assembly's.
    pub ir_name: &'a [u8],
    pub undefined: bool,
    pub weak: bool,
    pub common: bool,
    /// Visible beyond the module. Inline assembly's undefined weak symbols lack it.
    pub global: bool,
    /// Not a symbol of the object file, like `llvm.used`.
    pub format_specific: bool,
    pub executable: bool,
    /// In `llvm.used`, or a runtime library function: to be kept.
    pub used: bool,
}

impl<'a> SymbolTable<'a> {
    /// Reads the header, and checks every name against the string table. None where the version
    /// is not known.
    pub(super) fn read(symtab: &'a [u8], strtab: &'a [u8]) -> Result<Option<Self>> {
        if !word(symtab, 0).is_some_and(|version| VERSIONS.contains(&version)) {
            return Ok(None);
        }
        let limit = symtab.len();
        if limit < HEADER_SIZE {
            return Err(BitcodeError::SymbolTable {
                what: "a header",
                offset: 0,
                size: HEADER_SIZE as u64,
                limit,
            });
        }
        let (offset, count) = pair(symtab, HEADER_SYMBOLS);
        let size = u64::from(count) * SYMBOL_SIZE as u64;
        let symbols = range(symtab, offset, size).ok_or(BitcodeError::SymbolTable {
            what: "the symbols",
            offset,
            size,
            limit,
        })?;
        let budget = NameBudget::of_table(strtab.len());
        for symbol in symbols.chunks_exact(SYMBOL_SIZE) {
            let (offset, size) = pair(symbol, 0);
            let size = u64::from(size);
            range(strtab, offset, size).ok_or(BitcodeError::SymbolTable {
                what: "a symbol's name",
                offset,
                size,
                limit: strtab.len(),
            })?;
            let (offset, ir_size) = pair(symbol, SYMBOL_IR_NAME);
            let ir_name = range(strtab, offset, u64::from(ir_size)).unwrap_or_default();
            budget.take(size + ir_name.len() as u64)?;
        }
        Ok(Some(SymbolTable {
            modules: pair(symtab, HEADER_MODULES).1 as usize,
            symbols,
            strtab,
        }))
    }

    /// How many modules the table covers.
    pub(super) fn modules(&self) -> usize {
        self.modules
    }

    pub fn len(&self) -> usize {
        self.symbols.len() / SYMBOL_SIZE
    }

    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    pub fn iter(&self) -> Symbols<'a> {
        Symbols {
            symbols: self.symbols.chunks_exact(SYMBOL_SIZE),
            strtab: self.strtab,
        }
    }
}

impl<'a> IntoIterator for SymbolTable<'a> {
    type Item = IrSymbol<'a>;
    type IntoIter = Symbols<'a>;

    fn into_iter(self) -> Symbols<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &SymbolTable<'a> {
    type Item = IrSymbol<'a>;
    type IntoIter = Symbols<'a>;

    fn into_iter(self) -> Symbols<'a> {
        self.iter()
    }
}

/// The symbols of a [`SymbolTable`].
#[derive(Clone, Debug)]
pub struct Symbols<'a> {
    symbols: ChunksExact<'a, u8>,
    strtab: &'a [u8],
}

impl<'a> Iterator for Symbols<'a> {
    type Item = IrSymbol<'a>;

    fn next(&mut self) -> Option<IrSymbol<'a>> {
        let symbol = self.symbols.next()?;
        let name = |at| {
            let (offset, size) = pair(symbol, at);
            range(self.strtab, offset, u64::from(size)).unwrap_or_default()
        };
        let flags = word(symbol, SYMBOL_FLAGS).unwrap_or(0);
        let flag = |bit: u32| flags >> bit & 1 == 1;
        Some(IrSymbol {
            name: name(0),
            ir_name: name(SYMBOL_IR_NAME),
            undefined: flag(3),
            weak: flag(4),
            common: flag(5),
            used: flag(7),
            global: flag(10),
            format_specific: flag(11),
            executable: flag(13),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.symbols.size_hint()
    }
}

impl ExactSizeIterator for Symbols<'_> {}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

/// Two words, which are 0 after the end.
fn pair(bytes: &[u8], at: usize) -> (u32, u32) {
    let word = |at| word(bytes, at).unwrap_or(0);
    (word(at), word(at + 4))
}

fn range(bytes: &[u8], offset: u32, size: u64) -> Option<&[u8]> {
    let size = usize::try_from(size).ok()?;
    bytes.get(offset as usize..)?.get(..size)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::writer::symbol_table;
    use super::*;

    const STRTAB: &[u8] = b"start_kernelprintkllvm.used";
    const SYMBOLS: [(u32, u32, u32); 3] = [
        (0, 12, 1 << 10 | 1 << 13),
        (12, 6, 1 << 3 | 1 << 4 | 1 << 10),
        (18, 9, 1 << 5 | 1 << 7 | 1 << 11),
    ];

    fn none() -> IrSymbol<'static> {
        IrSymbol {
            name: b"",
            ir_name: b"",
            undefined: false,
            weak: false,
            common: false,
            global: false,
            format_specific: false,
            executable: false,
            used: false,
        }
    }

    #[rstest]
    #[case::llvm_14_to_22(3)]
    #[case::main_branch(4)]
    fn symbols_borrow_their_names_and_decode_their_flags(#[case] version: u32) {
        let symtab = symbol_table(version, 1, &SYMBOLS);
        let table = SymbolTable::read(&symtab, STRTAB).unwrap().unwrap();
        let expected = [
            IrSymbol {
                name: b"start_kernel",
                global: true,
                executable: true,
                ..none()
            },
            IrSymbol {
                name: b"printk",
                undefined: true,
                weak: true,
                global: true,
                ..none()
            },
            IrSymbol {
                name: b"llvm.used",
                common: true,
                used: true,
                format_specific: true,
                ..none()
            },
        ];
        assert_eq!(table.iter().collect::<Vec<_>>(), expected);
        assert_eq!(
            (table.len(), table.is_empty(), table.modules()),
            (3, false, 1)
        );
        assert!(
            STRTAB
                .as_ptr_range()
                .contains(&table.iter().next().unwrap().name.as_ptr())
        );
    }

    #[test]
    fn a_private_symbol_has_no_prefix_in_the_ir() {
        let mut symtab = symbol_table(3, 1, &[(0, 6, 0)]);
        for (at, word) in [(84, 2u32), (88, 4)] {
            symtab[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let table = SymbolTable::read(&symtab, b".L.str").unwrap().unwrap();
        let symbol = table.iter().next().unwrap();
        assert_eq!(
            (symbol.name, symbol.ir_name),
            (&b".L.str"[..], &b".str"[..])
        );
    }

    #[rstest]
    #[case::older(2)]
    #[case::newer(5)]
    fn a_table_of_another_version_is_none(#[case] version: u32) {
        let symtab = symbol_table(version, 1, &SYMBOLS);
        assert_eq!(SymbolTable::read(&symtab, STRTAB), Ok(None));
    }

    #[test]
    fn an_empty_blob_is_none() {
        assert_eq!(SymbolTable::read(&[], STRTAB), Ok(None));
    }

    #[rstest]
    #[case::header(SYMBOLS[0], 75, "expected a header within 75 bytes, found 76 bytes at 0")]
    #[case::symbols(SYMBOLS[0], 99, "expected the symbols within 99 bytes, found 24 bytes at 76")]
    #[case::name(
        (20, 8, 0),
        100,
        "expected a symbol's name within 27 bytes, found 8 bytes at 20"
    )]
    #[case::overflow(
        (u32::MAX, u32::MAX, 0),
        100,
        "expected a symbol's name within 27 bytes, found 4294967295 bytes at 4294967295"
    )]
    fn a_range_outside_the_blobs_is_refused(
        #[case] symbol: (u32, u32, u32),
        #[case] length: usize,
        #[case] message: &str,
    ) {
        let symtab = symbol_table(3, 1, &[symbol]);
        let error = SymbolTable::read(&symtab[..length], STRTAB).unwrap_err();
        assert_eq!(error.to_string(), format!("symbol table: {message}"));
    }

    #[rstest]
    #[case::names(0)]
    #[case::names_of_the_ir(SYMBOL_IR_NAME)]
    fn names_that_overlap_more_than_real_ones_are_refused(#[case] at: usize) {
        let strtab = vec![b'a'; 1 << 20];
        let mut symtab = symbol_table(3, 1, &[(0, 1, 0); 18]);
        assert!(SymbolTable::read(&symtab, &strtab).is_ok());
        for symbol in symtab[HEADER_SIZE..].chunks_exact_mut(SYMBOL_SIZE) {
            symbol[at..at + 4].copy_from_slice(&0_u32.to_le_bytes());
            symbol[at + 4..at + 8].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        }
        let error = SymbolTable::read(&symtab, &strtab).unwrap_err();
        assert!(matches!(error, BitcodeError::Overlapping(_)), "{error}");
    }

    #[test]
    fn a_count_of_symbols_that_cannot_be_is_refused() {
        let mut symtab = symbol_table(3, 1, &SYMBOLS);
        symtab[32..36].copy_from_slice(&[0xFF; 4]);
        let error = SymbolTable::read(&symtab, STRTAB).unwrap_err();
        assert!(matches!(
            error,
            BitcodeError::SymbolTable {
                what: "the symbols",
                ..
            }
        ));
    }
}
