//! Which headers there are. In direct mode, ccache compares the headers that a compilation read the last
//! time with those that are there now; that another one of the same name has come earlier in the search
//! path, it does not see. So the names of all of them are a part of its key, of direct mode only:
//! where they differ, ccache still finds what preprocesses to the same text.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// A variable that ccache hashes in direct mode because some compilers search the folders that it names.
/// Those of C and assembler do not.
const VARIABLE: &str = "OBJCPLUS_INCLUDE_PATH";

/// A folder below `include` of a build tree with a file for each symbol of the configuration, which are
/// no headers.
const CONFIG: &str = "config";

/// The variable for ccache, and a value that is another where files of the sources (`source_names` says
/// which there are) or headers of the build tree have other names.
pub fn variable(
    command: &[OsString],
    source_names: &OsStr,
    build: &Path,
) -> (&'static str, OsString) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source_names.as_bytes());
    for folder in searched(command) {
        hasher.update(&[0]).update(folder.as_bytes());
        for name in names(&build.join(folder)) {
            hasher.update(&[1]).update(name.as_os_str().as_bytes());
        }
    }
    // No folder has that name.
    let value = format!("/nonexistent/{}", hasher.finalize().to_hex());
    (VARIABLE, value.into())
}

/// The folders of the build tree that a command searches for headers, seen from there.
fn searched(command: &[OsString]) -> impl Iterator<Item = &OsStr> {
    command.iter().filter_map(|word| {
        let folder = word.as_bytes().strip_prefix(b"-I")?;
        let is_below = !folder.is_empty() && !folder.starts_with(b"/");
        is_below.then(|| OsStr::from_bytes(folder))
    })
}

/// The headers below a folder, seen from there.
fn names(folder: &Path) -> Vec<PathBuf> {
    let is_wanted = |entry: &DirEntry| entry.depth() != 1 || entry.file_name() != CONFIG;
    let walk = WalkDir::new(folder).into_iter().filter_entry(is_wanted);
    let files = walk.filter_map(Result::ok).map(DirEntry::into_path);
    let mut names: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "h"))
        .filter_map(|file| file.strip_prefix(folder).map(Path::to_owned).ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GENERATED: &str = "include/generated/uapi/linux/version.h";

    /// The value for a build tree with these files.
    fn value(files: &[&str], source_names: &str) -> OsString {
        let tree = tempfile::tempdir().unwrap();
        for file in files {
            let file = tree.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let command = ["clang", "-I/source/include", "-I./include", "-c", "a.c"];
        let command = command.map(OsString::from);
        variable(&command, source_names.as_ref(), tree.path()).1
    }

    #[rstest]
    #[case::same(&[GENERATED], "a", true)]
    #[case::header_of_the_build_tree(&[GENERATED, "include/generated/asm/cpu.h"], "a", false)]
    #[case::file_of_the_sources(&[GENERATED], "b", false)]
    #[case::symbol_of_the_configuration(&[GENERATED, "include/config/SMP.h"], "a", true)]
    #[case::no_header(&[GENERATED, "include/generated/autoconf.o"], "a", true)]
    #[case::not_searched(&[GENERATED, "scripts/mod/elfconfig.h"], "a", true)]
    fn names_count(#[case] files: &[&str], #[case] source_names: &str, #[case] is_same: bool) {
        assert_eq!(
            value(files, source_names) == value(&[GENERATED], "a"),
            is_same
        );
    }

    #[test]
    fn folders_of_the_build_tree_are_searched() {
        let command = [
            "clang",
            "-I/source/include",
            "-I./include",
            "-I",
            "-Iarch/x86/include",
            "-c",
        ];
        let command = command.map(OsString::from);
        let found: Vec<_> = searched(&command).collect();
        assert_eq!(found, ["./include", "arch/x86/include"]);
    }
}
