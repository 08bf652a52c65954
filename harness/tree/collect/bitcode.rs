//! LLVM bitcode as a container: which module an IR object holds, for which target, which symbols
//! it has, and which modules a distributed ThinLTO index names. No IR is decoded: everything
//! comes from a few records, and nested blocks are passed over by their length.
//!
//! Called by `collect` on the bytes of `foo.o` and of `foo.o.thinlto.bc`; touches no file itself.
//! Block and record numbers are those of LLVM's `llvm/Bitcode/LLVMBitCodes.h`, the order of the
//! top-level blocks that of `lib/Bitcode/Reader/BitcodeReader.cpp`.

mod abbreviation;
mod bits;
mod bitstream;
mod container;
mod error;
mod hash;
mod symtab;
#[cfg(test)]
mod writer;

use bitstream::{BlockInfo, Body, Entry};
use container::Container;
pub use error::{BitOffset, BitcodeError};
pub use hash::ModuleHash;
use hash::{Hashed, read_hash};
pub use symtab::{IrSymbol, SymbolTable, Symbols};

type Result<T> = std::result::Result<T, BitcodeError>;

/// `bitc::` block ids.
mod block {
    pub(super) const BLOCKINFO: u64 = 0;
    pub(super) const MODULE: u64 = 8;
    pub(super) const IDENTIFICATION: u64 = 13;
    pub(super) const MODULE_STRTAB: u64 = 19;
    pub(super) const GLOBALVAL_SUMMARY: u64 = 20;
    pub(super) const STRTAB: u64 = 23;
    pub(super) const FULL_LTO_GLOBALVAL_SUMMARY: u64 = 24;
    pub(super) const SYMTAB: u64 = 25;
}

/// `bitc::` record codes, each with its block's name in front.
mod record {
    pub(super) const IDENTIFICATION_STRING: u64 = 1;
    pub(super) const IDENTIFICATION_EPOCH: u64 = 2;
    pub(super) const MODULE_VERSION: u64 = 1;
    pub(super) const MODULE_TRIPLE: u64 = 2;
    pub(super) const MODULE_DATALAYOUT: u64 = 3;
    /// Global variables, functions, comdats, aliases and ifuncs: their names come first.
    pub(super) const NAMED: [u64; 5] = [7, 8, 12, 14, 15];
    pub(super) const MODULE_SOURCE_FILENAME: u64 = 16;
    pub(super) const MODULE_HASH: u64 = 17;
    pub(super) const MODULE_STRTAB_ENTRY: u64 = 1;
    pub(super) const MODULE_STRTAB_HASH: u64 = 2;
    pub(super) const SUMMARY_FLAGS: u64 = 20;
    /// Summaries in an IR object: of functions, variables and aliases.
    pub(super) const SUMMARIES: [u64; 6] = [1, 2, 3, 7, 19, 23];
    /// The same in an index; the second operand is the number of the module.
    pub(super) const COMBINED_SUMMARIES: [u64; 4] = [4, 5, 6, 8];
    pub(super) const BLOB: u64 = 1;
}

/// From this module version on (LLVM 5), names are in a string table outside the module.
const VERSION_WITH_STRTAB: u64 = 2;
/// The summary flag of an index that a lazy, unused archive member gets.
const FLAG_SKIP_MODULE: u64 = 0x2;

/// What an IR object says about itself. With more than one module block, as in a split LTO
/// unit, the strings are the first one's. A string that the file lacks is empty; one that is not
/// UTF-8 is read with replacement characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IrObject<'a> {
    /// Who wrote it, like `LLVM22.1.8`.
    pub producer: String,
    /// The compatibility epoch; LLVM has written nothing but 0 so far.
    pub epoch: u64,
    pub triple: String,
    pub data_layout: String,
    /// The source path as the compiler was given it.
    pub source_file: String,
    /// The hash by which an index refers to this module; ThinLTO front ends write one.
    pub hash: Option<ModuleHash>,
    /// Whether a module has a ThinLTO summary.
    pub thin_summary: bool,
    /// How many functions, variables and aliases that summary speaks of.
    pub summaries: usize,
    /// Whether a module has a full-LTO summary.
    pub full_lto_summary: bool,
    pub module_blocks: usize,
    /// The linker's view of the symbols; none where the file has no table, where the table is of
    /// a version unknown to us, or where it covers other modules than the file has (bitcode
    /// files that were concatenated).
    pub symbols: Option<SymbolTable<'a>>,
}

/// A summary index: what the thin link wrote to `foo.o.thinlto.bc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryIndex {
    /// The modules that the back end may read, in the order of the file; empty in the index of a
    /// skipped module, and in the summary that an IR object carries.
    pub modules: Vec<IndexModule>,
    pub summary_flags: Option<u64>,
    /// Whether the back end has nothing to do: the linker did not use the module.
    pub skip: bool,
}

/// One module named by an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexModule {
    pub id: u64,
    /// The path as the thin link was given it.
    pub path: String,
    pub hash: Option<ModuleHash>,
    /// How many of its functions, variables and aliases the index speaks of.
    pub summaries: usize,
}

/// Whether the bytes begin like bitcode, raw or in a wrapper.
pub fn is_bitcode(bytes: &[u8]) -> bool {
    container::has_magic(bytes)
}

/// Reads the container of an IR object.
///
/// # Errors
///
/// When the bytes are not bitcode, are cut short, hold no module, or break the format in a
/// place that is looked at.
pub fn read_object(bytes: &[u8]) -> Result<IrObject<'_>> {
    let mut container = Container::open(bytes)?;
    let mut object = IrObject::default();
    let mut hashed = Hashed::default();
    while let Some(block) = container.next()? {
        let body = block.open(&container.info)?;
        if block.id == block::IDENTIFICATION {
            read_identification(body, &mut object)?;
        } else {
            let info = container.info.clone();
            let version = read_module(body, info, &mut object, &mut hashed)?;
            container.lacks_strtab = version >= VERSION_WITH_STRTAB;
        }
    }
    if let (Some(symtab), Some(strtab)) = (container.symtab, container.strtab) {
        object.symbols = SymbolTable::read(symtab, strtab)?
            .filter(|symbols| symbols.modules() == object.module_blocks);
    }
    if let Some(recorded) = object.hash {
        hashed.check(recorded, container.strtab.unwrap_or_default())?;
    }
    Ok(object)
}

/// Reads a distributed ThinLTO index. The thin link leaves an empty file, which is
/// [`BitcodeError::Empty`], for an input without a ThinLTO summary.
///
/// # Errors
///
/// As [`read_object`].
pub fn read_index(bytes: &[u8]) -> Result<SummaryIndex> {
    let mut container = Container::open(bytes)?;
    let mut index = SummaryIndex::default();
    while let Some(block) = container.next()? {
        if block.id == block::MODULE {
            let info = container.info.clone();
            let body = block.open(&container.info)?;
            let version = read_index_module(body, info, &mut index)?;
            container.lacks_strtab = version >= VERSION_WITH_STRTAB;
        }
    }
    index.skip = index.summary_flags.unwrap_or(0) & FLAG_SKIP_MODULE != 0;
    Ok(index)
}

fn read_identification(mut body: Body, object: &mut IrObject) -> Result<()> {
    while let Some(entry) = body.next()? {
        match entry {
            Entry::Record(record::IDENTIFICATION_STRING) => {
                object.producer = text(body.operands()?);
            }
            Entry::Record(record::IDENTIFICATION_EPOCH) => {
                object.epoch = body.operands()?.first().copied().unwrap_or(0);
            }
            Entry::Record(_) | Entry::Block(_) => {}
        }
    }
    Ok(())
}

/// Reads a module block's own records, and returns the version of its layout. `info` holds what
/// applies to blocks nested in this one.
fn read_module<'a>(
    mut body: Body<'a, '_>,
    mut info: BlockInfo,
    object: &mut IrObject,
    hashed: &mut Hashed<'a>,
) -> Result<u64> {
    let first = object.module_blocks == 0;
    if object.hash.is_none() {
        hashed.names.clear();
    }
    object.module_blocks += 1;
    let mut version = 0;
    while let Some(entry) = body.next()? {
        match entry {
            Entry::Record(record::MODULE_VERSION) => {
                version = body.operands()?.first().copied().unwrap_or(0);
            }
            Entry::Record(record::MODULE_TRIPLE) if first => {
                object.triple = text(body.operands()?);
            }
            Entry::Record(record::MODULE_DATALAYOUT) if first => {
                object.data_layout = text(body.operands()?);
            }
            Entry::Record(record::MODULE_SOURCE_FILENAME) if first => {
                object.source_file = text(body.operands()?);
            }
            Entry::Record(record::MODULE_HASH) if object.hash.is_none() => {
                let (at, words) = (body.offset(), body.words_before());
                object.hash = Some(read_hash(&mut body)?);
                hashed.content = Some((at, words));
            }
            Entry::Record(code) if record::NAMED.contains(&code) && object.hash.is_none() => {
                if let [offset, size, ..] = *body.operands()? {
                    hashed.names.push((offset, size));
                }
            }
            Entry::Block(nested) => match nested.id {
                block::BLOCKINFO => info.read(nested)?,
                block::GLOBALVAL_SUMMARY => {
                    object.thin_summary = true;
                    object.summaries += count_summaries(nested.open(&info)?)?;
                }
                block::FULL_LTO_GLOBALVAL_SUMMARY => object.full_lto_summary = true,
                _ => {}
            },
            Entry::Record(_) => {}
        }
    }
    Ok(version)
}

fn count_summaries(mut body: Body) -> Result<usize> {
    let mut summaries = 0;
    while let Some(entry) = body.next()? {
        let is_summary =
            |entry| matches!(entry, Entry::Record(code) if record::SUMMARIES.contains(&code));
        summaries += usize::from(is_summary(entry));
    }
    Ok(summaries)
}

/// Reads the module block of an index, and returns the version of its layout. `info` holds what
/// applies to blocks nested in this one.
fn read_index_module(mut body: Body, mut info: BlockInfo, index: &mut SummaryIndex) -> Result<u64> {
    let mut version = 0;
    while let Some(entry) = body.next()? {
        match entry {
            Entry::Record(record::MODULE_VERSION) => {
                version = body.operands()?.first().copied().unwrap_or(0);
            }
            Entry::Block(nested) => match nested.id {
                block::BLOCKINFO => info.read(nested)?,
                block::MODULE_STRTAB => read_module_paths(nested.open(&info)?, index)?,
                block::GLOBALVAL_SUMMARY => read_combined(nested.open(&info)?, index)?,
                _ => {}
            },
            Entry::Record(_) => {}
        }
    }
    Ok(version)
}

fn read_module_paths(mut body: Body, index: &mut SummaryIndex) -> Result<()> {
    while let Some(entry) = body.next()? {
        match entry {
            Entry::Record(record::MODULE_STRTAB_ENTRY) => {
                let (id, path) = body.operands()?.split_first().unwrap_or((&0, &[]));
                index.modules.push(IndexModule {
                    id: *id,
                    path: text(path),
                    ..IndexModule::default()
                });
            }
            Entry::Record(record::MODULE_STRTAB_HASH) => {
                let at = body.offset();
                let hash = read_hash(&mut body)?;
                let module = index.modules.last_mut();
                module.ok_or(BitcodeError::HashOfNothing { at })?.hash = Some(hash);
            }
            Entry::Record(_) | Entry::Block(_) => {}
        }
    }
    Ok(())
}

/// Reads the flags, and counts the summaries of each module.
fn read_combined(mut body: Body, index: &mut SummaryIndex) -> Result<()> {
    while let Some(entry) = body.next()? {
        match entry {
            Entry::Record(record::SUMMARY_FLAGS) => {
                index.summary_flags = body.operands()?.first().copied();
            }
            Entry::Record(code) if record::COMBINED_SUMMARIES.contains(&code) => {
                let of = body.operands()?.get(1).copied();
                let module = index
                    .modules
                    .iter_mut()
                    .find(|module| Some(module.id) == of);
                if let Some(module) = module {
                    module.summaries += 1;
                }
            }
            Entry::Record(_) | Entry::Block(_) => {}
        }
    }
    Ok(())
}

/// A string of one byte an operand. LLVM writes a byte from 0x80 on as a negative number in some
/// records, and keeps the low eight bits when it reads.
fn text(operands: &[u64]) -> String {
    let bytes: Vec<u8> = operands
        .iter()
        .map(|operand| operand.to_le_bytes()[0])
        .collect();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
