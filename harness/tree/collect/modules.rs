//! Reads loadable modules: what they are linked from, and what their `.ko` files take from
//! elsewhere. Called by `collect`.

use super::member::{parse_object, read_cmd, read_code};
use super::{BuildTree, elf, read_list};
use crate::model::error::Error;
use crate::model::facts::{Import, Module, ModuleObject, NameTable, ObjectFile};
use crate::tree::path::stays_inside;

/// The modules of `modules.order`, which exists if modules were built.
pub(super) fn read_modules(tree: &BuildTree, names: &NameTable) -> Result<Vec<Module>, Error> {
    let Some(order) = read_list(&tree.build, "modules.order", names)? else {
        return Ok(Vec::new());
    };
    let mut modules = Vec::new();
    for module in order {
        let Some(stem) = names.resolve(&module).strip_suffix(".o") else {
            continue;
        };
        let mut read = Module {
            name: names.get_or_intern(stem),
            objects: Vec::new(),
            file: ObjectFile::Missing,
            imports: Vec::new(),
        };
        if stays_inside(stem) {
            let objects = read_list(&tree.build, &format!("{stem}.mod"), names)?;
            read.objects = objects
                .unwrap_or_default()
                .into_iter()
                .map(|name| {
                    let path = names.resolve(&name);
                    Ok(ModuleObject {
                        name,
                        code: read_code(tree, path)?,
                        cmd: read_cmd(tree, path, names)?,
                    })
                })
                .collect::<Result<_, Error>>()?;
            (read.file, read.imports) = read_ko(tree, stem, names)?;
        }
        modules.push(read);
    }
    Ok(modules)
}

fn read_ko(
    tree: &BuildTree,
    stem: &str,
    names: &NameTable,
) -> Result<(ObjectFile, Vec<Import>), Error> {
    let file = format!("{stem}.ko");
    // make stopped between the two: the file is from an earlier build.
    if tree.is_older(&file, &format!("{stem}.mod.c")) {
        return Ok((ObjectFile::Missing, Vec::new()));
    }
    let Some(bytes) = tree.bytes(&file)? else {
        return Ok((ObjectFile::Missing, Vec::new()));
    };
    let object = parse_object(&bytes, names);
    if !matches!(object, ObjectFile::Elf(_)) {
        return Ok((object, Vec::new()));
    }
    Ok(match elf::imports(&bytes, names) {
        Ok(imports) => (object, imports),
        Err(why) => (ObjectFile::Damaged(why), Vec::new()),
    })
}
