//! Reads loadable modules: what they are linked from, and what their `.ko` files take from
//! elsewhere. Called by `collect`.

use super::member::{read_cmd, read_code, read_object_file};
use super::parts::read_parts;
use super::tree_files::read_list;
use super::{BuildTree, OBJECT, elf, has_room, loader};
use crate::model::error::Error;
use crate::model::facts::{Code, Module, ModuleObject, ModuleTables, NameTable, ObjectFile};
use crate::tree::path::stays_inside;

/// The modules of `modules.order`, which exists if modules were built.
pub(super) fn read_modules(tree: &BuildTree, names: &NameTable) -> Result<Vec<Module>, Error> {
    let Some(order) = read_list(&tree.build, "modules.order", names)? else {
        return Ok(Vec::new());
    };
    let mut modules = Vec::new();
    for module in order {
        has_room(tree, names)?;
        let module = tree.inside(names.resolve(&module));
        // Before 6.2 the list has the .ko files.
        let Some(stem) = [".o", ".ko"]
            .iter()
            .find_map(|end| module.strip_suffix(end))
        else {
            continue;
        };
        let mut read = Module {
            name: names.get_or_intern(stem),
            objects: Vec::new(),
            file: ObjectFile::Missing,
            tables: ModuleTables::default(),
        };
        if stays_inside(stem) {
            let objects = read_list(&tree.build, &format!("{stem}.mod"), names)?;
            read.objects = objects
                .unwrap_or_default()
                .into_iter()
                .map(|name| {
                    let path = tree.inside(names.resolve(&name));
                    Ok(ModuleObject {
                        name: names.get_or_intern(&path),
                        code: read_code(tree, &path)?,
                        cmd: read_cmd(tree, &path, names)?,
                    })
                })
                .collect::<Result<_, Error>>()?;
            (read.file, read.tables) = read_ko(tree, stem, names)?;
        }
        modules.push(read);
    }
    Ok(modules)
}

fn read_ko(
    tree: &BuildTree,
    stem: &str,
    names: &NameTable,
) -> Result<(ObjectFile, ModuleTables), Error> {
    let file = format!("{stem}.ko");
    let without = |object| (object, ModuleTables::default());
    // make stopped before it was linked again: the file is from an earlier build.
    let from = [
        format!("{stem}.mod.c"),
        format!("{stem}.o"),
        "include/generated/utsrelease.h".to_owned(),
    ];
    if from.iter().any(|from| tree.is_older(&file, from)) {
        return Ok(without(ObjectFile::Missing));
    }
    if read_code(tree, &file)? != Some(Code::Machine) {
        return Ok(without(read_object_file(tree, &file, names)?.0));
    }
    let read = read_parts(tree, &file, OBJECT, |data| {
        let object = elf::parse_object(data, names);
        if !matches!(object, ObjectFile::Elf(_)) {
            return Ok(without(object));
        }
        Ok((object, loader::module_tables(data, names)?))
    })?;
    Ok(match read {
        Some(Ok(read)) => read,
        Some(Err(why)) => without(ObjectFile::Damaged(why)),
        None => without(ObjectFile::Missing),
    })
}
