//! The miniature: a few objects of our own that the kernel's makefiles build in place of
//! the kernel. Its sources are in `miniature/`, what a scenario can change of them in
//! `edit-targets.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::build::dir_state::{self, Entry, SOURCE_TIME};
use crate::build::kbuild::Target;
use crate::input::yaml;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::facts::Goal;
use crate::run::scenario::EditTargets;
use crate::source::copy::{Extent, SourceCopy};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/run/probe/miniature");
const SITE: &str = include_str!("edit-targets.yaml");

/// Builds all of it, up to the link of `vmlinux`: nothing boots it.
pub const TARGET: Target = Target {
    args: &[
        "KBUILD_VMLINUX_OBJS=built-in.a probe/lib/lib.a",
        "KBUILD_VMLINUX_LIBS=probe/stub/lib.a",
        "modpost",
        "modules",
        "compile_commands.json",
    ],
    reaches: Goal::Modpost,
};

/// Adds objects with long paths, more than a command line takes.
pub const LONG: &str = "long";

/// Objects that can be added: a released kernel gets each wrong.
pub const KNOWN_BAD_OBJECTS: [&str; 5] = [
    "assign-space",
    "assign-word",
    "dollar-paren",
    "saved_c_flags_x",
    "y.thinlto-native",
];

const LONG_VARIABLE: &str = "KLTO_LONG";
const KNOWN_BAD_VARIABLE: &str = "KLTO_KNOWN_BAD_OBJECTS";

/// The variables of make's that add these, each [`LONG`] or one of [`KNOWN_BAD_OBJECTS`].
#[must_use]
pub fn adding(names: &[String]) -> BTreeMap<String, String> {
    let (long, harsh): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| *name == LONG);
    let harsh: Vec<String> = harsh.into_iter().map(|name| format!("{name}.o")).collect();
    let mut variables = BTreeMap::new();
    if !long.is_empty() {
        variables.insert(LONG_VARIABLE.to_owned(), "y".to_owned());
    }
    if !harsh.is_empty() {
        variables.insert(KNOWN_BAD_VARIABLE.to_owned(), harsh.join(" "));
    }
    variables
}

/// What these variables add.
#[must_use]
pub fn added(variables: &BTreeMap<String, String>) -> Vec<&str> {
    let long = variables.get(LONG_VARIABLE).map(|_| LONG);
    let harsh = variables.get(KNOWN_BAD_VARIABLE).map_or("", String::as_str);
    let names = harsh.split_ascii_whitespace();
    let names = names.map(|object| object.strip_suffix(".o").unwrap_or(object));
    long.into_iter().chain(names).collect()
}

/// Where the root `Kbuild` begins to name the kernel's own directories.
const DESCENDING: &str = "# Ordinary directory descending";
const HEAD_OBJECTS: &str = "scripts/head-object-list.txt";

/// Lays a tree of links out for a build: files of the kernel's, and the miniature as all that
/// its makefiles build.
///
/// # Errors
/// Where it cannot be written.
pub fn write_tree(
    copy: &SourceCopy,
    cell: &Cell,
    tree: &Path,
    extent: Extent,
) -> Result<(), Error> {
    let mut entries = copy.links(extent)?;
    add(&FILES, &mut entries);
    if cell.make.contains_key(LONG_VARIABLE) {
        add_long(&mut entries);
    }
    let kbuild = copy.read("Kbuild")?;
    let kernel = String::from_utf8_lossy(&kbuild);
    let (before, _) = kernel.split_once(DESCENDING).ok_or_else(|| {
        Error::Machine(format!(
            "Kbuild: marker line '{DESCENDING}' not found; klto probe does not support the top Kbuild of this kernel"
        ))
    })?;
    let kbuild = format!("{before}obj-y += probe/\n");
    entries.insert("Kbuild".into(), Entry::File(kbuild.into_bytes()));
    if extent == Extent::All {
        let mut list = copy.read(HEAD_OBJECTS)?;
        list.extend_from_slice(b"probe/head/head.o\nprobe/head/prom.o\n");
        entries.insert(HEAD_OBJECTS.into(), Entry::File(list));
    }
    // As old as the files of the copy.
    dir_state::write_tree(tree, &entries, SOURCE_TIME)
}

fn add(dir: &Dir, entries: &mut BTreeMap<PathBuf, Entry>) {
    for file in dir.files() {
        let path = Path::new("probe").join(file.path());
        entries.insert(path, Entry::File(file.contents().to_owned()));
    }
    for dir in dir.dirs() {
        add(dir, entries);
    }
}

/// 72 objects with paths of 2 KB: together more than xargs gives to one command (128 KiB),
/// though no recipe comes near what the kernel takes as one argument, also 128 KiB: that
/// of a compiler holds an object's path some 20 times.
fn add_long(entries: &mut BTreeMap<PathBuf, Entry>) {
    let long = Path::new("probe/long");
    let filler = "x".repeat(237);
    let chain: String = (1..=8).map(|depth| format!("{depth}__{filler}/")).collect();
    let mut above = String::new();
    for leaf in 0..8 {
        let dir = long.join(format!("{chain}leaf-{leaf}"));
        above.push_str(&format!("obj-y += {chain}leaf-{leaf}/\n"));
        let mut makefile = String::new();
        for object in 0..9 {
            makefile.push_str(&format!("obj-y += o-{object}.o\n"));
            let this = format!("probe_long_{leaf}_{object}");
            let next = format!("probe_long_{}_{object}", (leaf + 1) % 8);
            // Each imports from another.
            let source = format!(
                "int {this}(int value);\nint {this}_next(int value);\nint {next}(int value);\n\n\
                 int {this}(int value)\n{{\n\treturn value + {leaf};\n}}\n\n\
                 int {this}_next(int value)\n{{\n\treturn {next}(value);\n}}\n"
            );
            let file = dir.join(format!("o-{object}.c"));
            entries.insert(file, Entry::File(source.into_bytes()));
        }
        entries.insert(dir.join("Makefile"), Entry::File(makefile.into_bytes()));
    }
    entries.insert(long.join("Makefile"), Entry::File(above.into_bytes()));
}

/// What a scenario can change in it.
///
/// # Errors
/// When the embedded file is broken, which a unit test rules out.
pub fn edit_targets() -> Result<EditTargets, Error> {
    yaml::parse(SITE, Path::new("probe/edit-targets.yaml")).map_err(|e| Error::Usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_named_in_makes_variables() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for (what, variables) in [
            (names(&[]), vec![]),
            (names(&[LONG]), vec![("KLTO_LONG", "y")]),
            (
                names(&[LONG, "assign-space", "y.thinlto-native"]),
                vec![
                    (
                        "KLTO_KNOWN_BAD_OBJECTS",
                        "assign-space.o y.thinlto-native.o",
                    ),
                    ("KLTO_LONG", "y"),
                ],
            ),
        ] {
            let made = adding(&what);
            let made: Vec<(&str, &str)> =
                made.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(made, variables);
            assert_eq!(added(&adding(&what)), what);
        }
    }

    #[test]
    fn every_harsh_object_has_its_source_and_its_place_in_a_makefile() {
        let mut makefiles = String::new();
        for folder in ["flags", "names"] {
            let makefile = FILES.get_file(format!("{folder}/Makefile")).unwrap();
            makefiles.push_str(makefile.contents_utf8().unwrap());
        }
        for name in KNOWN_BAD_OBJECTS {
            let has_source = |folder| FILES.get_file(format!("{folder}/{name}.c")).is_some();
            assert!(["flags", "names"].into_iter().any(has_source), "{name}");
            assert!(makefiles.contains(&format!("{name}.o")), "{name}");
        }
    }

    /// What `long` is for: more than xargs gives to one command, and less than the kernel
    /// takes as one argument.
    #[test]
    fn long_paths_are_longer_than_a_command_line_and_no_recipe_is() {
        const LIMIT: usize = 128 * 1024;
        let mut entries = BTreeMap::new();
        add_long(&mut entries);
        let objects: Vec<usize> = entries
            .keys()
            .filter(|path| path.extension().is_some_and(|e| e == "c"))
            .map(|path| path.as_os_str().len())
            .collect();
        assert!(objects.iter().sum::<usize>() > LIMIT);
        assert!(objects.iter().all(|len| len * 30 < LIMIT));
    }
}
