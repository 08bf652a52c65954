//! Reads with which options modules were linked: to `foo.ko`, and to `foo.o` from several objects
//! or from bitcode.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::model::error::Error;
use crate::model::facts::{Facts, Module, ObjectFile};
use crate::tree::collect::member::{FileRead, with_file};
use crate::tree::collect::{BuildTree, CMD, cmd_file};
use crate::tree::path::{cmd_file as cmd_path, normalise};

type Options = BTreeSet<Box<str>>;

/// The links of the modules whose `.ko` file is of this build, by the file that was made.
///
/// # Errors
/// If a `.cmd` file cannot be read.
pub(super) fn read(tree: &BuildTree, facts: &Facts) -> Result<BTreeMap<Box<str>, Options>, Error> {
    let is_linked = |module: &&Module| matches!(module.file, ObjectFile::Elf(_));
    let links = facts.modules.par_iter().filter(is_linked).map(|module| {
        let name = facts.text(module.name);
        let mut links = Vec::new();
        for file in [format!("{name}.o"), format!("{name}.ko")] {
            if let Some(options) = link(tree, &file)? {
                links.push((file.into(), options));
            }
        }
        Ok(links)
    });
    let links = links.collect::<Result<Vec<_>, Error>>()?;
    Ok(links.into_iter().flatten().collect())
}

fn link(tree: &BuildTree, file: &str) -> Result<Option<Options>, Error> {
    let words = with_file(tree, &cmd_path(file), CMD, |text| {
        cmd_file::link_words(text, &tree.roots)
    })?;
    Ok(match words {
        FileRead::Read(words, _) => words.map(|words| options(&words)),
        FileRead::Missing | FileRead::Refused(_) => None,
    })
}

/// The options of a link, each with its value; without inputs and output.
fn options(words: &[String]) -> Options {
    let is_input = |word: &str| {
        word.starts_with('@') || [".o", ".a"].iter().any(|suffix| word.ends_with(suffix))
    };
    let mut options = Options::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if matches!(word, "-o" | "--output") {
            words.next();
        } else if word.starts_with('-') && !word.starts_with("--output=") {
            let is_value = |next: &&str| {
                matches!(word, "-mllvm" | "--mllvm") || !next.starts_with('-') && !is_input(next)
            };
            let option = match words.next_if(is_value) {
                Some(value) => format!("{word} {}", normalise(value)),
                None => word.to_owned(),
            };
            options.insert(option.into());
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::ko(
        "ld.lld-22 -r -m elf_x86_64 -mllvm -import-instr-limit=5 -z noexecstack --build-id=sha1 -T ./scripts/module.lds -o a.ko a.o a.mod.o .module-common.o",
        &["--build-id=sha1", "-T scripts/module.lds", "-m elf_x86_64", "-mllvm -import-instr-limit=5", "-r", "-z noexecstack"]
    )]
    #[case::several("ccache ld.lld -EL -r -o a.o @a.mod", &["-EL", "-r"])]
    #[case::joined("ld.lld -r --output=a.o -melf64lriscv b.o", &["-melf64lriscv", "-r"])]
    #[case::nothing("ld.lld", &[])]
    #[case::cut("ld.lld -mllvm", &["-mllvm"])]
    fn inputs_and_output_are_no_options(#[case] command: &str, #[case] expected: &[&str]) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let options = options(&words);
        let options: Vec<&str> = options.iter().map(|option| &**option).collect();
        assert_eq!(options, expected);
    }
}
