//! Reads how `vmlinux.o` was linked: from which archives, and in which order the calls at start.
//! Called by `collect`.

use rustc_hash::FxHashSet;

use super::{BuildTree, CMD, cmd_file, image, read_archive};
use crate::model::error::Error;
use crate::model::facts::{Name, NameTable};
use crate::tree::path::{normalise, stays_inside};

/// What the command says that linked `vmlinux.o`.
pub(super) struct Link {
    /// The archives that it took whole.
    pub(super) whole: Vec<Name>,
    /// Those of the build tree of which it took only what it needed.
    libraries: Vec<String>,
    /// `None` where the command reads its arguments from a file.
    pub(super) scripts: Option<Vec<String>>,
}

/// `None` if no command is recorded.
pub(super) fn read_link(tree: &BuildTree, names: &NameTable) -> Result<Option<Link>, Error> {
    let Some(text) = tree.bytes(".vmlinux.o.cmd", CMD)? else {
        return Ok(None);
    };
    let cmd = cmd_file::parse(&text, &tree.spelling(), names);
    let Some(Ok(words)) = cmd.command else {
        return Ok(None);
    };
    let mut is_whole = false;
    let mut outside = Vec::new();
    let (mut whole, mut libraries) = (Vec::new(), Vec::new());
    for word in &words {
        let word = names.resolve(word);
        // A long option may begin with one dash.
        let option = word.strip_prefix('-');
        match option.map(|option| option.trim_start_matches('-')) {
            Some("whole-archive") => is_whole = true,
            Some("no-whole-archive") => is_whole = false,
            Some("push-state") => outside.push(is_whole),
            Some("pop-state") => is_whole = outside.pop().unwrap_or_default(),
            None if is_whole => whole.push(names.get_or_intern(normalise(word))),
            None if word.ends_with(".a") => libraries.push(normalise(word).into_owned()),
            Some(_) | None => {}
        }
    }
    let words = words.iter().map(|word| names.resolve(word));
    Ok(Some(Link {
        whole,
        libraries,
        scripts: scripts(words),
    }))
}

/// The members of the archives of which the link took only what it needed, in its order. Those
/// outside the build tree, such as libgcc.a, are the compiler's, and `vmlinux.a` is no library.
/// `None` where one cannot be read.
pub(super) fn library_members(
    tree: &BuildTree,
    link: &Link,
    names: &NameTable,
) -> Result<Option<Vec<Name>>, Error> {
    let mut members = Vec::new();
    let is_library = |file: &&String| stays_inside(file) && *file != "vmlinux.a";
    let mut seen = FxHashSet::default();
    let libraries = link.libraries.iter().filter(is_library);
    for library in libraries.filter(|library| seen.insert(*library)) {
        match read_archive(tree, library, names)? {
            Some(archive) if archive.damaged.is_none() => members.extend(archive.members),
            Some(_) | None => return Ok(None),
        }
    }
    Ok(Some(members))
}

/// The linker scripts among a linker's arguments: `-T FILE`, `-TFILE`, `--script=FILE`. `None`
/// where more arguments are in a file.
fn scripts<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut scripts = Vec::new();
    while let Some(word) = words.next() {
        if word.starts_with('@') {
            return None;
        }
        let Some(option) = word.strip_prefix('-') else {
            continue;
        };
        let long = option.trim_start_matches('-');
        if option == "T" || long == "script" {
            scripts.extend(words.next());
        } else {
            let short = || option.strip_prefix('T');
            scripts.extend(long.strip_prefix("script=").or_else(short));
        }
    }
    Some(scripts.into_iter().map(str::to_owned).collect())
}

/// The calls at start in the linker scripts; `None` where one of them is not there, or not of
/// this build.
pub(super) fn initcall_script(
    tree: &BuildTree,
    scripts: &[String],
    names: &NameTable,
) -> Result<Option<Vec<Vec<Name>>>, Error> {
    let mut calls = Vec::new();
    for script in scripts {
        if !stays_inside(script) || tree.is_older(script, "vmlinux.a") {
            return Ok(None);
        }
        let Some(text) = tree.text(script)? else {
            return Ok(None);
        };
        calls.append(&mut image::initcall_script(
            &String::from_utf8_lossy(&text),
            names,
        ));
    }
    Ok(Some(calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_script_is_named_in_several_ways() {
        let words = "ld.lld -T one -Ttwo -z T --script=three -script four five";
        let expected = ["one", "two", "three", "four"].map(str::to_owned);
        assert_eq!(scripts(words.split(' ')), Some(expected.to_vec()));
        assert_eq!(scripts("ld.lld -T one @more".split(' ')), None);
    }
}
