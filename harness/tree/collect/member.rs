//! Reads one built-in object and the files that belong to it: `.cmd` file,
//! summary index, native object. Called by `collect`, which runs it in
//! parallel.

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::SystemTime;

use rustix::io::Errno;

use super::initcalls::INITCALL;
use super::{BuildTree, CMD, OBJECT, bitcode, cmd_file, elf, has_room};
use crate::file;
use crate::model::error::Error;
use crate::model::facts::{
    Backend, CmdFile, Code, IndexedModule, Ir, Name, NameTable, Object, ObjectFile, SummaryFile,
};
use crate::tree::path::{cmd_file as cmd_path, normalise, stays_inside};

/// Reads a member of the archive and, in distributed mode, what was built from it.
///
/// # Errors
/// If the machine cannot read a file that is there.
pub(super) fn read_object(
    tree: &BuildTree,
    name: Name,
    distributed: bool,
    names: &NameTable,
) -> Result<Object, Error> {
    has_room(tree, names)?;
    let path = names.resolve(&name);
    let (file, made) = read_object_file(tree, path, names)?;
    // A damaged file may have been bitcode; the index shows which.
    let backend = (distributed && !matches!(file, ObjectFile::Elf(_)))
        .then(|| read_backend(tree, path, made, names));
    Ok(Object {
        name,
        file,
        cmd: read_cmd(tree, path, names)?,
        backend: backend.transpose()?.map(Box::new),
    })
}

fn read_backend(
    tree: &BuildTree,
    object: &str,
    object_made: Option<SystemTime>,
    names: &NameTable,
) -> Result<Backend, Error> {
    let native = tree.file_names.native_object(object);
    let summary_path = format!("{object}.thinlto.bc");
    let (file, native_made) = read_object_file(tree, &native, names)?;
    let (summary, summary_made) = read_summary(tree, &summary_path, names)?;
    let mut stale = Vec::new();
    if tree.is_before(summary_made, object_made) {
        stale.push((summary_path.clone(), object.to_owned()));
    }
    if tree.is_before(native_made, object_made) {
        stale.push((native.clone(), object.to_owned()));
    } else if tree.is_before(native_made, summary_made) {
        stale.push((native.clone(), summary_path));
    }
    Ok(Backend {
        cmd: read_cmd(tree, &native, names)?,
        native: names.get_or_intern(native),
        file,
        summary,
        stale,
    })
}

/// Reads the `.cmd` file of an object.
///
/// # Errors
/// If the machine cannot read a file that is there.
pub(super) fn read_cmd(
    tree: &BuildTree,
    object: &str,
    names: &NameTable,
) -> Result<CmdFile, Error> {
    let read = with_file(tree, &cmd_path(object), CMD, |text| {
        Box::new(cmd_file::parse(text, &tree.spelling(), names))
    })?;
    Ok(match read {
        FileRead::Missing => CmdFile::Missing,
        FileRead::Refused(why) => CmdFile::Unreadable(why),
        FileRead::Read(cmd, _) => CmdFile::Read(cmd),
    })
}

/// What kind of code an object contains, by its first bytes.
///
/// # Errors
/// If the machine cannot read a file that is there.
pub(super) fn read_code(tree: &BuildTree, object: &str) -> Result<Option<Code>, Error> {
    let read = with_beginning(tree, object, 4, |bytes| {
        if bytes.starts_with(elf::MAGIC) {
            Some(Code::Machine)
        } else {
            bitcode::is_bitcode(bytes).then_some(Code::Bitcode)
        }
    })?;
    Ok(match read {
        FileRead::Missing | FileRead::Refused(_) => None,
        FileRead::Read(code, _) => code,
    })
}

pub(super) fn read_object_file(
    tree: &BuildTree,
    path: &str,
    names: &NameTable,
) -> Result<(ObjectFile, Option<SystemTime>), Error> {
    let read = with_file(tree, path, OBJECT, |bytes| parse_object(bytes, names))?;
    Ok(match read {
        FileRead::Missing => (ObjectFile::Missing, None),
        FileRead::Refused(why) => (ObjectFile::Damaged(why), None),
        FileRead::Read(file, made) => (file, made),
    })
}

fn parse_object(bytes: &[u8], names: &NameTable) -> ObjectFile {
    if bytes.is_empty() {
        ObjectFile::Empty
    } else if bytes.starts_with(elf::MAGIC) {
        elf::parse_object(bytes, names)
    } else if bitcode::is_bitcode(bytes) {
        match bitcode::read_object(bytes) {
            Ok(object) => ObjectFile::Ir(Box::new(Ir {
                triple: names.get_or_intern(&object.triple),
                producer: names.get_or_intern(&object.producer),
                hash: object.hash,
                thin: object.thin_summary,
                summaries: object.summaries,
                defined: symbols(&object, names, |symbol| {
                    symbol.global && !symbol.weak && !symbol.format_specific
                }),
                initcalls: symbols(&object, names, |symbol| {
                    symbol.name.starts_with(INITCALL.as_bytes())
                }),
            })),
            Err(error) => ObjectFile::Damaged(format!("damaged bitcode: {error}")),
        }
    } else {
        let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        ObjectFile::Damaged(format!(
            "neither bitcode nor ELF: the file begins with {}",
            head.join(" ")
        ))
    }
}

/// The symbols that an IR object defines, of those that are `wanted`.
fn symbols(
    object: &bitcode::IrObject,
    names: &NameTable,
    wanted: impl Fn(&bitcode::IrSymbol) -> bool,
) -> Option<Vec<Name>> {
    let defined = object.symbols?.iter().filter(|symbol| !symbol.undefined);
    let names_of = defined
        .filter(wanted)
        .map(|symbol| names.get_or_intern(String::from_utf8_lossy(symbol.name)));
    Some(names_of.collect())
}

fn read_summary(
    tree: &BuildTree,
    path: &str,
    names: &NameTable,
) -> Result<(SummaryFile, Option<SystemTime>), Error> {
    let read = with_file(tree, path, OBJECT, |bytes| {
        match bitcode::read_index(bytes) {
            Ok(index) => SummaryFile::Read {
                skip: index.skip,
                modules: index
                    .modules
                    .into_iter()
                    .map(|module| IndexedModule {
                        name: names.get_or_intern(normalise(&module.path).as_ref()),
                        hash: module.hash,
                        summaries: module.summaries,
                    })
                    .collect(),
            },
            Err(error) => SummaryFile::Damaged(error.to_string()),
        }
    })?;
    Ok(match read {
        FileRead::Missing => (SummaryFile::Missing, None),
        FileRead::Refused(why) => (SummaryFile::Damaged(why), None),
        FileRead::Read(summary, made) => (summary, made),
    })
}

pub(super) enum FileRead<T> {
    Missing,
    /// Why what the tree has under that name is not read.
    Refused(String),
    /// What was parsed, and when the file was last written.
    Read(T, Option<SystemTime>),
}

/// Passes the content of a file, which has at most `most` bytes, to `parse`. Names come from
/// archives, which are untrusted: one that leads out of the tree, or to a device, is not opened.
///
/// # Errors
/// If the machine cannot read a file that is there, such as when too many files are open, or if the
/// file is larger: that says nothing about the tree.
pub(super) fn with_file<T>(
    tree: &BuildTree,
    path: &str,
    most: u64,
    parse: impl FnOnce(&[u8]) -> T,
) -> Result<FileRead<T>, Error> {
    with_opened(tree, path, parse, |file, buffer| {
        tree.reads.note(&file.metadata()?)?;
        file::read_into(file, most, buffer)
    })
}

/// The same with the first `limit` bytes of a file of any size.
///
/// # Errors
/// As [`with_file`].
fn with_beginning<T>(
    tree: &BuildTree,
    path: &str,
    limit: u64,
    parse: impl FnOnce(&[u8]) -> T,
) -> Result<FileRead<T>, Error> {
    with_opened(tree, path, parse, |file, buffer| {
        file.take(limit).read_to_end(buffer).map(drop)
    })
}

/// Reads into a buffer that each thread keeps.
fn with_opened<T>(
    tree: &BuildTree,
    path: &str,
    parse: impl FnOnce(&[u8]) -> T,
    read: impl FnOnce(File, &mut Vec<u8>) -> std::io::Result<()>,
) -> Result<FileRead<T>, Error> {
    thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    /// A buffer that grew for one huge file is freed.
    const KEPT: usize = 4 << 20;

    if !stays_inside(path) {
        let why = "the name leads out of the build tree; not read".to_owned();
        return Ok(FileRead::Refused(why));
    }
    let path = tree.build.join(path);
    let file = match file::open(&path) {
        Ok(file) => file,
        Err(e) => return not_read(&path, e),
    };
    let made = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok();
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let answer = match read(file, buffer) {
            Ok(()) => Ok(FileRead::Read(parse(buffer), made)),
            Err(e) => not_read(&path, e),
        };
        if buffer.capacity() > KEPT {
            *buffer = Vec::new();
        }
        answer
    })
}

/// Tells what the tree is to blame for from what the machine is.
fn not_read<T>(path: &Path, error: std::io::Error) -> Result<FileRead<T>, Error> {
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
        return Ok(FileRead::Missing);
    }
    let is_bad_name = matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::IsADirectory
    ) || matches!(
        Errno::from_io_error(&error),
        Some(Errno::NAMETOOLONG | Errno::LOOP)
    );
    match is_bad_name {
        true => Ok(FileRead::Refused(error.to_string())),
        false => Err(Error::io(path, "read")(error)),
    }
}
