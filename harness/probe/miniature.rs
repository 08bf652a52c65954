//! The miniature: a few objects of our own that the kernel's makefiles build in place of
//! the kernel. Its sources are in `miniature/`, what a scenario can change of them in
//! `site.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::error::Error;
use crate::facts::Goal;
use crate::kbuild::Target;
use crate::scenario::Site;
use crate::source_copy::{SourceCopy, TIME};
use crate::tree_state::{self, Entry};
use crate::yaml;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/probe/miniature");
const SITE: &str = include_str!("site.yaml");

/// What makes everything of it, up to the link of `vmlinux`: nothing boots it.
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

/// Where the root `Kbuild` begins to name the kernel's own directories.
const DESCENDING: &str = "# Ordinary directory descending";
const HEAD_OBJECTS: &str = "scripts/head-object-list.txt";

/// Lays a tree of links out for a build: the kernel's makefiles, with or without those
/// that preparing does not read, and the miniature as all that they build.
///
/// # Errors
/// Where it cannot be written.
pub fn lay_out(copy: &SourceCopy, tree: &Path, with_late: bool) -> Result<(), Error> {
    let mut entries = copy.links(with_late)?;
    add(&FILES, &mut entries);
    let kbuild = copy.read("Kbuild")?;
    let kernel = String::from_utf8_lossy(&kbuild);
    let (before, _) = kernel.split_once(DESCENDING).ok_or_else(|| {
        Error::Machine(format!(
            "Kbuild: «{DESCENDING}» is not in it, so the probe does not know where the kernel's objects are named; this kernel words it otherwise"
        ))
    })?;
    let kbuild = format!("{before}obj-y += probe/\n");
    entries.insert("Kbuild".into(), Entry::File(kbuild.into_bytes()));
    if with_late {
        let mut list = copy.read(HEAD_OBJECTS)?;
        list.extend_from_slice(b"probe/head/head.o\nprobe/head/prom.o\n");
        entries.insert(HEAD_OBJECTS.into(), Entry::File(list));
    }
    // As old as the files of the copy.
    tree_state::lay_out(tree, &entries, TIME)
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

/// What a scenario can change of it.
///
/// # Errors
/// When the embedded file is broken, which a unit test rules out.
pub fn site() -> Result<Site, Error> {
    yaml::parse(SITE, Path::new("probe/site.yaml")).map_err(|e| Error::Usage(e.to_string()))
}
