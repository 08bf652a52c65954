//! Why bytes could not be read as bitcode, with the place, what was expected and what was found.

use std::fmt;

use thiserror::Error;

use super::super::overlap::Overlapping;

/// A position in the bytes that were handed in, counted in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitOffset(pub u64);

impl fmt::Display for BitOffset {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "byte {}", self.0 / 8)?;
        match self.0 % 8 {
            0 => Ok(()),
            bit => write!(f, " bit {bit}"),
        }
    }
}

/// Why bytes could not be read as bitcode. The caller adds which file it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BitcodeError {
    #[error(transparent)]
    Overlapping(#[from] Overlapping),
    #[error("expected LLVM bitcode, found an empty file")]
    Empty,
    #[error("expected the bitcode magic [42, 43, c0, de] at byte {at}, found {found:02x?}")]
    Magic { at: usize, found: Vec<u8> },
    #[error(
        "expected a length that is a multiple of 4 bytes, found {length}: the file was cut short"
    )]
    Length { length: usize },
    #[error(
        "expected a bitcode wrapper that points into the file's {length} bytes at a multiple of 4, \
         found offset {offset} and size {size}"
    )]
    Wrapper {
        offset: u32,
        size: u32,
        length: usize,
    },
    #[error(
        "expected {needed} more bits at {at}, found {left} before the end of the block or file"
    )]
    EndsEarly {
        at: BitOffset,
        needed: u64,
        left: u64,
    },
    #[error(
        "block {block} at {at} is truncated: expected {claimed} bytes after its header, found {left}"
    )]
    BlockTooLong {
        at: BitOffset,
        block: u64,
        claimed: u64,
        left: u64,
    },
    #[error("the block that ends at {at} has {left} more bits by its length")]
    BlockTooShort { at: BitOffset, left: u64 },
    #[error("block {block} at {at}: expected abbreviation ids of 1 to 32 bits, found {width}")]
    BlockWidth {
        at: BitOffset,
        block: u64,
        width: u32,
    },
    #[error("expected a block (abbreviation id 1) at {at}, found abbreviation id {found}")]
    NoBlock { at: BitOffset, found: u64 },
    #[error("unknown abbreviation id {id} at {at}: {defined} are defined there, from 4 on")]
    UnknownAbbreviation {
        at: BitOffset,
        id: u64,
        defined: usize,
    },
    #[error("malformed abbreviation at {at}: {problem}")]
    MalformedAbbreviation {
        at: BitOffset,
        problem: &'static str,
    },
    #[error("expected a number of at most 64 bits at {at}, found a longer one")]
    LongNumber { at: BitOffset },
    #[error("expected a record of at most {limit} operands at {at}, found {count}")]
    LongRecord {
        at: BitOffset,
        count: u64,
        limit: u64,
    },
    #[error("expected a module hash of 5 words at {at}, found {found:x?}")]
    Hash { at: BitOffset, found: Vec<u64> },
    #[error("the module hash at {at} is not the SHA-1 of the module: its content was changed")]
    OtherContent { at: BitOffset },
    #[error("expected a module path before the module hash at {at}, found none")]
    HashOfNothing { at: BitOffset },
    #[error("expected a module block, found the end of the bitcode")]
    NoModule,
    #[error(
        "expected a string table after the module or symbol table, found the end of the bitcode: \
         the file was cut short"
    )]
    NoStringTable,
    #[error("symbol table: expected {what} within {limit} bytes, found {size} bytes at {offset}")]
    SymbolTable {
        what: &'static str,
        offset: u32,
        size: u64,
        limit: usize,
    },
}
