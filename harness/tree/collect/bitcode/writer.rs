//! A tiny writer of LLVM bit streams for the tests of the reader, and the sample files they share.

#![expect(clippy::cast_possible_truncation, reason = "sample files are small")]

use sha1::{Digest as _, Sha1};

pub(super) const MAGIC: [u8; 4] = *b"BC\xC0\xDE";

/// The parts of an abbreviation as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Literal(u64),
    Fixed(u64),
    Vbr(u64),
    Array,
    Char6,
    Blob,
}

/// Bits, least significant first. A block's length is filled in when its closure returns.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    bits: usize,
    width: u32,
    /// Where the current block's body begins.
    start: usize,
}

impl Writer {
    /// A stream without magic, in which alignment counts from the first bit.
    pub(super) fn new() -> Self {
        Writer {
            bytes: Vec::new(),
            bits: 0,
            width: 2,
            start: 0,
        }
    }

    /// A file that so far has its magic.
    pub(super) fn file() -> Self {
        let mut writer = Writer::new();
        for byte in MAGIC {
            writer.fixed(8, u64::from(byte));
        }
        writer
    }

    pub(super) fn fixed(&mut self, width: u32, value: u64) -> &mut Self {
        for bit in 0..width {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let set = (value.checked_shr(bit).unwrap_or(0) & 1) as u8;
            *self.bytes.last_mut().unwrap() |= set << (self.bits % 8);
            self.bits += 1;
        }
        self
    }

    pub(super) fn vbr(&mut self, width: u32, mut value: u64) -> &mut Self {
        let more = 1 << (width - 1);
        while value >= more {
            self.fixed(width, value & (more - 1) | more);
            value >>= width - 1;
        }
        self.fixed(width, value)
    }

    pub(super) fn align(&mut self) -> &mut Self {
        let padding = self.bits.next_multiple_of(32) - self.bits;
        self.fixed(u32::try_from(padding).unwrap(), 0)
    }

    /// The id with which an entry of the current block begins.
    pub(super) fn id(&mut self, id: u64) -> &mut Self {
        self.fixed(self.width, id)
    }

    pub(super) fn block(&mut self, id: u64, width: u32, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.id(1).vbr(8, id).vbr(4, u64::from(width)).align();
        self.fixed(32, 0);
        let start = self.bytes.len();
        let outer = (self.width, self.start);
        (self.width, self.start) = (width, start);
        body(self);
        self.id(0).align();
        (self.width, self.start) = outer;
        let words = ((self.bytes.len() - start) / 4) as u32;
        self.bytes[start - 4..start].copy_from_slice(&words.to_le_bytes());
        self
    }

    pub(super) fn record(&mut self, code: u64, operands: &[u64]) -> &mut Self {
        self.id(3).vbr(6, code).vbr(6, operands.len() as u64);
        for operand in operands {
            self.vbr(6, *operand);
        }
        self
    }

    /// The record with the hash of a module whose symbols have these names.
    pub(super) fn module_hash(&mut self, names: &str) -> &mut Self {
        let written = self.bits / 32 * 4;
        let digest = Sha1::new()
            .chain_update(names)
            .chain_update(&self.bytes[self.start..written])
            .finalize();
        let words = digest.as_chunks::<4>().0.iter();
        let words: Vec<u64> = words.map(|word| u32::from_be_bytes(*word).into()).collect();
        self.record(17, &words)
    }

    pub(super) fn text(&mut self, code: u64, text: &str) -> &mut Self {
        let operands: Vec<u64> = text.bytes().map(u64::from).collect();
        self.record(code, &operands)
    }

    pub(super) fn define(&mut self, ops: &[Op]) -> &mut Self {
        self.id(2).definition(ops)
    }

    /// What follows DEFINE_ABBREV.
    pub(super) fn definition(&mut self, ops: &[Op]) -> &mut Self {
        self.vbr(5, ops.len() as u64);
        for op in ops {
            match *op {
                Op::Literal(value) => self.fixed(1, 1).vbr(8, value),
                Op::Fixed(width) => self.fixed(1, 0).fixed(3, 1).vbr(5, width),
                Op::Vbr(width) => self.fixed(1, 0).fixed(3, 2).vbr(5, width),
                Op::Array => self.fixed(1, 0).fixed(3, 3),
                Op::Char6 => self.fixed(1, 0).fixed(3, 4),
                Op::Blob => self.fixed(1, 0).fixed(3, 5),
            };
        }
        self
    }

    /// The array of char6 in a record of an abbreviation.
    pub(super) fn char6(&mut self, text: &str) -> &mut Self {
        const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
        self.vbr(6, text.len() as u64);
        for char in text.chars() {
            self.fixed(6, ALPHABET.find(char).unwrap() as u64);
        }
        self
    }

    pub(super) fn blob(&mut self, blob: &[u8]) -> &mut Self {
        self.vbr(6, blob.len() as u64).align();
        for byte in blob {
            self.fixed(8, u64::from(*byte));
        }
        self.align()
    }

    /// A block that holds nothing but a blob, as string and symbol tables do.
    pub(super) fn blob_block(&mut self, id: u64, blob: &[u8]) -> &mut Self {
        self.block(id, 3, |block| {
            block.define(&[Op::Literal(1), Op::Blob]);
            block.id(4).blob(blob);
        })
    }
}

/// The blob of a symbol table with symbols of (name offset, name size, flags).
pub(super) fn symbol_table(version: u32, modules: u32, symbols: &[(u32, u32, u32)]) -> Vec<u8> {
    let mut words = vec![0; 19];
    words[0] = version;
    words[4] = modules;
    words[7] = 76;
    words[8] = symbols.len() as u32;
    for (offset, size, flags) in symbols {
        words.extend([*offset, *size, 0, 0, u32::MAX, *flags]);
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

pub(super) const HASH: [u64; 5] = [1, 2, 3, 0xDEAD_BEEF, 5];

/// An IR object as a ThinLTO front end writes it, with nested blocks and records that the reader
/// passes over.
pub(super) fn ir_object() -> Vec<u8> {
    let mut file = Writer::file();
    file.block(13, 5, |block| {
        block.define(&[Op::Literal(1), Op::Array, Op::Char6]);
        block.id(4).char6("LLVM22.1.8");
        block.record(2, &[0]);
    });
    file.block(8, 3, |module| {
        module.record(1, &[2]);
        module.block(0, 2, |info| {
            info.record(1, &[11]);
            info.define(&[Op::Literal(1), Op::Fixed(0)]);
        });
        module.block(17, 4, |types| {
            types.record(1, &[3]);
            types.block(18, 3, |_| {});
        });
        module
            .text(2, "riscv64-unknown-linux-gnu")
            .text(3, "e-m:e-p:64:64");
        module.text(4, ".globl asm_symbol");
        module.define(&[Op::Literal(16), Op::Array, Op::Fixed(7)]);
        module.id(4).vbr(6, 11);
        for byte in *b"init/main.c" {
            module.fixed(7, u64::from(byte));
        }
        module.define(&[
            Op::Literal(7),
            Op::Vbr(6),
            Op::Fixed(0),
            Op::Vbr(0),
            Op::Fixed(3),
        ]);
        module.id(5).vbr(6, 1000).fixed(3, 5);
        module.record(8, &[0, 4, 1, u64::MAX, 7, 100, 200, 300, 400, 500, 600]);
        module.block(20, 4, |summary| {
            summary
                .record(20, &[1])
                .record(1, &[1, 2])
                .record(7, &[2, 2, 1]);
        });
        module.module_hash("main");
    });
    file.blob_block(25, &symbol_table(3, 1, &[(0, 4, 1 << 10), (4, 6, 1 << 3)]));
    file.blob_block(23, b"mainprintk");
    file.bytes
}

/// A distributed index of two modules; abbreviations come from BLOCKINFO and from the block.
pub(super) fn index() -> Vec<u8> {
    let mut file = Writer::file();
    file.block(8, 3, |module| {
        module.record(1, &[2]);
        module.block(0, 2, |info| {
            info.record(1, &[19]);
            info.define(&[Op::Literal(1), Op::Vbr(8), Op::Array, Op::Char6]);
        });
        module.block(19, 3, |paths| {
            paths.define(&[
                Op::Literal(2),
                Op::Fixed(32),
                Op::Fixed(32),
                Op::Fixed(32),
                Op::Fixed(32),
                Op::Fixed(32),
            ]);
            paths.id(4).vbr(8, 0).char6("main.o");
            paths.id(5);
            for word in HASH {
                paths.fixed(32, word);
            }
            paths.record(1, &[300, 97, 47, 98]);
        });
        module.block(20, 4, |summary| {
            summary
                .record(10, &[12])
                .record(20, &[1129])
                .record(16, &[1, 2, 3])
                .record(5, &[1, 0, 3])
                .record(8, &[2, 0, 3])
                .record(6, &[3, 300, 3]);
        });
    });
    file.blob_block(23, b"");
    file.bytes
}
