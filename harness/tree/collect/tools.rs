//! Finds out which tools of LLVM a build names, so that one of another version is seen. Called by
//! `collect` and `build_log`.

use std::collections::BTreeSet;

use memchr::memmem;

use super::{BuildTree, CMD};
use crate::model::error::Error;
use crate::model::facts::{Log, Name, NameTable};

/// The commands that handle all built-in objects.
const COMMANDS: [&str; 3] = [".built-in-fixup.a.cmd", ".vmlinux.a.cmd", ".vmlinux.o.cmd"];

/// The tools that read the kernel's objects, and no host program's.
const READERS: [&str; 5] = [
    "llvm-nm",
    "llvm-objcopy",
    "llvm-objdump",
    "llvm-readelf",
    "llvm-strip",
];

/// The tools that those commands and the log name.
pub(super) fn read(
    tree: &BuildTree,
    log: Option<&Log>,
    names: &NameTable,
) -> Result<Vec<Name>, Error> {
    let mut found: BTreeSet<String> = log.map(|log| log.tools.clone()).unwrap_or_default();
    for file in COMMANDS {
        if let Some(text) = tree.bytes(file, CMD)? {
            add_named(&text, &["ld.lld", "llvm-ar"], &mut found);
            add_named(&text, &READERS, &mut found);
        }
    }
    Ok(found.iter().map(|tool| names.get_or_intern(tool)).collect())
}

/// Adds the tools that a line of a log names and that read the kernel's objects.
pub(super) fn add_readers(line: &[u8], found: &mut BTreeSet<String>) {
    // Most lines name none at all.
    if memmem::find(line, b"llvm-").is_some() {
        add_named(line, &READERS, found);
    }
}

/// Adds the `tools` that a text names as words, each with what follows in the word.
fn add_named(text: &[u8], tools: &[&str], found: &mut BTreeSet<String>) {
    /// No build names as many.
    const MOST: usize = 32;
    const LONGEST: usize = 64;

    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._+".contains(byte);
    for tool in tools {
        for at in memmem::find_iter(text, tool.as_bytes()) {
            let starts_word = !text[..at].last().is_some_and(in_word);
            let rest = text[at..].iter().take(LONGEST);
            let word: Vec<u8> = rest.take_while(|byte| in_word(byte)).copied().collect();
            let of_tool = word[tool.len()..].first().is_none_or(|byte| *byte == b'-');
            if starts_word && of_tool && found.len() < MOST {
                found.insert(String::from_utf8_lossy(&word).into_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_named_as_whole_words() {
        let text =
            b"rm -f a; /usr/bin/llvm-nm-19 x | llvm-nm -p; NM=llvm-nm-22 my-llvm-nm-18 llvm-nmx";
        let mut found = BTreeSet::new();

        add_named(text, &READERS, &mut found);

        let expected = ["llvm-nm", "llvm-nm-19", "llvm-nm-22"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
    }
}
