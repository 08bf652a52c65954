//! Reads the files that exist once per tree: lists, exports, `vmlinux.o` and `vmlinux`. Called by
//! `collect`.

use std::io::ErrorKind;
use std::path::Path;

use super::link::{initcall_script, library_members, read_link};
use super::modules::read_modules;
use super::parts::{Parts, read_parts};
use super::{BuildTree, ENTRIES, RELEASE, TEXT, image, release_file, symvers};
use crate::file;
use crate::model::error::Error;
use crate::model::facts::{Export, Module, Name, NameTable, Vmlinux, VmlinuxO};
use crate::tree::path::normalise;

/// The most that is read of the symbols and tables of what the linker made, in bytes: more than
/// twice those of allyesconfig.
pub(super) const SYMBOLS: u64 = 256 << 20;

/// The files that exist once per tree.
pub(super) struct TreeFiles {
    pub(super) builtin_order: Option<Vec<Name>>,
    pub(super) index: Option<Vec<Name>>,
    pub(super) vmlinux_objs: Option<Vec<Name>>,
    pub(super) head_objects: Option<Vec<Name>>,
    pub(super) exports: Option<Vec<Export>>,
    pub(super) export_c: Option<Vec<(Name, u32)>>,
    pub(super) vmlinux_o: Option<VmlinuxO>,
    pub(super) vmlinux: Option<Vmlinux>,
    pub(super) linked_whole: Option<Vec<Name>>,
    pub(super) library_members: Option<Vec<Name>>,
    pub(super) modules: Vec<Module>,
    pub(super) module_exports: Option<Vec<Export>>,
    pub(super) damaged: Vec<(&'static str, String)>,
}

impl TreeFiles {
    pub(super) fn read(
        tree: &BuildTree,
        distributed: bool,
        has_modules: bool,
        exports_from: &'static str,
        names: &NameTable,
    ) -> Result<TreeFiles, Error> {
        let only_distributed = |file: &str| {
            if distributed {
                read_list(&tree.build, file, names)
            } else {
                Ok(None)
            }
        };
        let head_objects = match &tree.source {
            Some(source) => read_list(source, "scripts/head-object-list.txt", names)?,
            None => None,
        };
        let export_c = tree.text(".vmlinux.export.c")?;
        let mut damaged = Vec::new();
        let release = release_file(tree)?.filter(|_| !tree.is_older("vmlinux", RELEASE));
        let vmlinux = read_linked(tree, "vmlinux", &mut damaged, |data| {
            image::read_vmlinux(data, release.as_deref(), names)
        })?;
        let vmlinux_o = read_linked(tree, "vmlinux.o", &mut damaged, |data| {
            image::read_vmlinux_o(data, names)
        })?;
        let link = read_link(tree, names)?;
        let script = match link.as_ref().and_then(|link| link.scripts.as_ref()) {
            Some(scripts) => initcall_script(tree, scripts, names)?,
            None => None,
        };
        let all = read_symvers(tree, "Module.symvers", names, &mut damaged)?;
        let (exports, module_exports) = match exports_from {
            VMLINUX_SYMVERS => {
                let with_modules = all.filter(|_| is_of_this_build(tree, "Module.symvers"));
                (
                    read_symvers(tree, VMLINUX_SYMVERS, names, &mut damaged)?,
                    with_modules,
                )
            }
            _ => match all {
                Some(all) => {
                    let (vmlinux, modules) = split_exports(all, names);
                    (Some(vmlinux), Some(modules))
                }
                None => (None, None),
            },
        };
        Ok(TreeFiles {
            builtin_order: match &tree.file_names.order {
                Some(order) => only_distributed(order)?,
                None => None,
            },
            index: only_distributed(&tree.file_names.index)?,
            vmlinux_objs: read_list(&tree.build, ".vmlinux.objs", names)?,
            head_objects,
            exports,
            export_c: export_c.map(|text| symvers::export_crcs(&text, names)),
            vmlinux_o: vmlinux_o.map(|read| VmlinuxO {
                initcall_script: script,
                ..read
            }),
            vmlinux,
            library_members: match &link {
                Some(link) => library_members(tree, link, names)?,
                None => None,
            },
            linked_whole: link.map(|link| link.whole),
            // An earlier configuration may have left its list of modules.
            modules: match has_modules {
                true => read_modules(tree, names)?,
                false => Vec::new(),
            },
            module_exports,
            damaged,
        })
    }
}

/// A file with one path per line; `#` starts a comment.
pub(super) fn read_list(
    dir: &Path,
    file: &str,
    names: &NameTable,
) -> Result<Option<Vec<Name>>, Error> {
    let path = dir.join(file);
    let text = match file::read(&path, TEXT) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, "read")(e)),
    };
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let of_lines = lines.by_ref().take(ENTRIES);
    let entries = of_lines.map(|line| names.get_or_intern(normalise(line).as_ref()));
    let entries = entries.collect();
    match lines.next() {
        None => Ok(Some(entries)),
        Some(_) => {
            let why = format!("it lists more than the {ENTRIES} files that klto reads of a list");
            let too_many = std::io::Error::new(ErrorKind::FileTooLarge, why);
            Err(Error::io(path, "read")(too_many))
        }
    }
}

pub(super) fn read_symvers(
    tree: &BuildTree,
    file: &'static str,
    names: &NameTable,
    damaged: &mut Vec<(&'static str, String)>,
) -> Result<Option<Vec<Export>>, Error> {
    let Some(text) = tree.text(file)? else {
        return Ok(None);
    };
    let exports = symvers::parse(&String::from_utf8_lossy(&text), names);
    let exports = exports.and_then(|exports| {
        let is_foreign = |export: &&Export| names.resolve(&export.module) != "vmlinux";
        match exports.iter().find(is_foreign) {
            Some(export) if file == VMLINUX_SYMVERS => Err(format!(
                "'{}' is of '{}', expected vmlinux",
                names.resolve(&export.symbol),
                names.resolve(&export.module)
            )),
            Some(_) | None => Ok(exports),
        }
    });
    Ok(keep_or_note(exports, file, damaged))
}

const VMLINUX_SYMVERS: &str = "vmlinux.symvers";

/// The file that modpost wrote for this vmlinux.
pub(super) fn exports_from(tree: &BuildTree) -> &'static str {
    if !is_of_this_build(tree, VMLINUX_SYMVERS) && is_of_this_build(tree, "Module.symvers") {
        "Module.symvers"
    } else {
        VMLINUX_SYMVERS
    }
}

/// Whether modpost wrote the file after this `vmlinux.o` was linked.
fn is_of_this_build(tree: &BuildTree, symvers: &str) -> bool {
    tree.modified(symvers).is_some() && !tree.is_older(symvers, "vmlinux.o")
}

/// What vmlinux exports, and what modules do.
pub(super) fn split_exports(all: Vec<Export>, names: &NameTable) -> (Vec<Export>, Vec<Export>) {
    all.into_iter()
        .partition(|export| names.resolve(&export.module) == "vmlinux")
}

/// Reads parts of what the linker made; `None` if there is none.
fn read_linked<T>(
    tree: &BuildTree,
    file: &'static str,
    damaged: &mut Vec<(&'static str, String)>,
    read: impl FnOnce(&Parts) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    let content = read_parts(tree, file, SYMBOLS, read)?;
    Ok(content.and_then(|content| keep_or_note(content, file, damaged)))
}

/// What could be read; otherwise nothing, and a note with the reason.
fn keep_or_note<T>(
    read: Result<T, String>,
    file: &'static str,
    damaged: &mut Vec<(&'static str, String)>,
) -> Option<T> {
    read.map_err(|why| damaged.push((file, why))).ok()
}
