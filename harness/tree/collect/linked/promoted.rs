//! Recognises promoted locals that kept their names, as LLVM 23 and newer have them: a symbol
//! that is global in `vmlinux.o`, and only local in the bitcode that this was made from.

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::model::error::Error;
use crate::model::facts::linked::Linked;
use crate::model::facts::{Facts, ObjectFile};
use crate::tree::collect::{BuildTree, OBJECT, bitcode};

/// Marks the symbols that were local before the link.
///
/// # Errors
/// If an object cannot be read.
pub(super) fn mark(tree: &BuildTree, facts: &Facts, linked: &mut Linked) -> Result<(), Error> {
    let symbols = linked.functions.iter().chain(&linked.variables);
    let global = symbols.filter(|(_, symbol)| symbol.global);
    let global: FxHashSet<&str> = global.map(|(name, _)| &**name).collect();
    let origins: Origins = facts
        .objects
        .par_iter()
        .map(|object| match &object.file {
            ObjectFile::Ir(_) => Origins::in_bitcode(tree, facts.text(object.name), &global),
            ObjectFile::Elf(elf) => {
                let names = elf.defined.iter().map(|name| facts.text(*name));
                Ok(Origins {
                    global: names.map(str::to_owned).collect(),
                    local: FxHashSet::default(),
                })
            }
            ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => {
                Ok(Origins::default())
            }
        })
        .try_reduce(Origins::default, |one, other| Ok(one.and(other)))?;
    for name in origins.local.difference(&origins.global) {
        for table in [&mut linked.functions, &mut linked.variables] {
            if let Some(symbol) = table.get_mut(name.as_str()) {
                symbol.global = false;
                symbol.promoted = true;
            }
        }
    }
    Ok(())
}

/// The names that objects define.
#[derive(Default)]
struct Origins {
    global: FxHashSet<String>,
    local: FxHashSet<String>,
}

impl Origins {
    /// Those of the wanted names that a bitcode file defines.
    fn in_bitcode(
        tree: &BuildTree,
        object: &str,
        wanted: &FxHashSet<&str>,
    ) -> Result<Origins, Error> {
        let bytes = tree.bytes(object, OBJECT)?.unwrap_or_default();
        let symbols = bitcode::read_object(&bytes).ok().and_then(|ir| ir.symbols);
        let mut origins = Origins::default();
        for symbol in symbols.iter().flatten().filter(|symbol| !symbol.undefined) {
            let (name, names) = match symbol.global {
                true => (symbol.name, &mut origins.global),
                // Promotion takes away the prefix of private symbols.
                false => (symbol.ir_name, &mut origins.local),
            };
            let name = String::from_utf8_lossy(name);
            if wanted.contains(&*name) {
                names.insert(name.into_owned());
            }
        }
        Ok(origins)
    }

    fn and(mut self, other: Origins) -> Origins {
        self.global.extend(other.global);
        self.local.extend(other.local);
        self
    }
}
