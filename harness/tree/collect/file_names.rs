//! What this kernel calls the files of distributed mode, read from what the build recorded:
//! the command that makes `vmlinux.a`, those of the files that it names, the members of that
//! archive, and the `.cmd` files of a few objects. Where these say nothing, the names are
//! those of Linux 7.2.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::member::{FileRead, with_file};
use super::{BuildTree, CMD, LONGEST, cmd_file};
use crate::model::error::Error;
use crate::model::facts::file_names::FileNames;
use crate::model::facts::{Archive, NameTable};
use crate::tree::path::{cmd_file as cmd_path, normalise, stays_inside};

/// Reads the names. `fixup` has all built-in objects, `vmlinux_a` what is linked.
///
/// # Errors
/// If a file exists but cannot be read, or if native objects have names that do not show
/// which objects they are of.
pub(super) fn read(
    tree: &BuildTree,
    fixup: &Archive,
    vmlinux_a: Option<&Archive>,
    names: &NameTable,
) -> Result<FileNames, Error> {
    let usual = FileNames::default();
    let objects: Vec<&str> = fixup.members.iter().map(|n| names.resolve(n)).collect();
    let own: FxHashSet<&str> = objects.iter().copied().collect();
    let linked = vmlinux_a.iter().flat_map(|archive| &archive.members);
    let natives = linked
        .map(|n| names.resolve(n))
        .filter(|n| !own.contains(n));
    let natives: Vec<&str> = natives.collect();

    let (order, index) = match lists(tree, &usual)? {
        Some(lists) => lists,
        None if natives.is_empty() || tree.modified(&usual.index).is_some() => {
            (usual.order, usual.index)
        }
        None => return Err(otherwise(tree, "the list that the thin link writes")),
    };
    let native_suffix = native_suffix(&own, &natives, usual.native_suffix)
        .ok_or_else(|| otherwise(tree, "its native objects"))?;
    Ok(FileNames {
        order,
        index,
        native_suffix,
        saved_prefix: saved_prefix(tree, &objects, usual.saved_prefix)?,
    })
}

/// The error for a kernel whose commands do not show a name.
fn otherwise(tree: &BuildTree, what: &str) -> Error {
    Error::Machine(format!(
        "{}: vmlinux.a has native objects, but this kernel names {what} otherwise, in a way that its .cmd files do not show\n  nothing was checked; docs/formats.md says what klto looks for",
        tree.dir().display()
    ))
}

/// The text of a `.cmd` file; `None` where there is none to read.
fn cmd_text(tree: &BuildTree, file: &str) -> Result<Option<String>, Error> {
    let read = with_file(tree, &cmd_path(file), CMD, |text| {
        String::from_utf8_lossy(text).into_owned()
    })?;
    Ok(match read {
        FileRead::Read(text, _) => Some(text),
        FileRead::Missing | FileRead::Refused(_) => None,
    })
}

/// The list of objects and the index: the files that the command of the thin link reads and
/// writes. It is among the commands by which `vmlinux.a` comes about, unless none is recorded.
fn lists(tree: &BuildTree, usual: &FileNames) -> Result<Option<(Option<String>, String)>, Error> {
    /// The commands of the whole build name some forty files.
    const MOST: usize = 1000;

    let mut named = vec!["vmlinux.a".to_owned()];
    let in_tree = |path: &str| Some(normalise(path).into_owned()).filter(|p| stays_inside(p));
    let mut at = 0;
    while at < named.len() {
        let text = cmd_text(tree, &named[at])?.unwrap_or_default();
        let words = cmd_file::rough_words(&text);
        let mut values = words
            .iter()
            .filter_map(|w| w.split_once("thinlto-index-only="));
        if let Some(index) = values.find_map(|(_, index)| in_tree(index)) {
            let mut lists = words.iter().filter_map(|word| word.strip_prefix('@'));
            let order = lists.find_map(in_tree);
            let is_named = |order: &String| named.contains(order);
            let order = order.or(usual.order.clone().filter(is_named));
            return Ok(Some((order, index)));
        }
        // What the top makefiles make is in the top directory.
        let files = words.iter().filter_map(|word| in_tree(word));
        for file in files.filter(|file| !file.contains('/')) {
            if named.len() < MOST && !named.contains(&file) {
                named.push(file);
            }
        }
        at += 1;
    }
    Ok(None)
}

/// What native objects have where the names of their objects have `.o`; `None` where there
/// are some, but most of their names do not begin as those of objects do.
fn native_suffix(objects: &FxHashSet<&str>, natives: &[&str], usual: String) -> Option<String> {
    if natives.is_empty() || natives.iter().any(|name| name.ends_with(&usual)) {
        return Some(usual);
    }
    let stems: FxHashSet<&str> = objects
        .iter()
        .filter_map(|o| o.strip_suffix(".o"))
        .collect();
    let mut suffixes: BTreeMap<&str, usize> = BTreeMap::new();
    for native in natives.iter().filter(|name| name.len() < LONGEST) {
        // The longest: there may be a.o and a.o.o.
        let ends = native.rmatch_indices('.').map(|(end, _)| end);
        if let Some(end) = ends.into_iter().find(|end| stems.contains(&native[..*end])) {
            *suffixes.entry(&native[end..]).or_default() += 1;
        }
    }
    let (suffix, count) = suffixes.into_iter().max_by_key(|(_, count)| *count)?;
    (count * 2 > natives.len()).then(|| suffix.to_owned())
}

/// What comes before the object in the lines that save flags. A line that kbuild itself
/// writes is none.
fn saved_prefix(tree: &BuildTree, objects: &[&str], usual: String) -> Result<String, Error> {
    /// Enough to meet some that are compiled from C.
    const LOOKED_AT: usize = 256;
    const OF_KBUILD: [&str; 5] = ["", "savedcmd_", "cmd_", "source_", "deps_"];

    let mut prefixes: BTreeMap<String, usize> = BTreeMap::new();
    for object in objects.iter().take(LOOKED_AT) {
        let text = cmd_text(tree, object)?.unwrap_or_default();
        let variables = text.lines().filter_map(|line| line.split_once(" := "));
        for prefix in variables.filter_map(|(variable, _)| variable.strip_suffix(*object)) {
            if prefix == usual {
                return Ok(usual);
            }
            // With a slash it is of an object that is named with ../ in it.
            if !OF_KBUILD.contains(&prefix) && !prefix.contains('/') {
                *prefixes.entry(prefix.to_owned()).or_default() += 1;
            }
        }
    }
    let most = prefixes.into_iter().max_by_key(|(_, count)| *count);
    Ok(most.map_or(usual, |(prefix, _)| prefix))
}
