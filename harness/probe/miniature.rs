//! The miniature: a few objects of our own that the kernel's makefiles build in place of
//! the kernel. Its sources are in `miniature/`, what a scenario can change of them in
//! `site.yaml`.

use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::error::Error;
use crate::facts::Goal;
use crate::kbuild::Target;
use crate::scenario::Site;
use crate::source_copy::SourceCopy;
use crate::tree_state::{create_dir, remove_file, write_file};
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

/// The time of its files: as old as those of the source copy.
const TIME: i128 = 1_600_000_000 * 1_000_000_000;

/// Puts the miniature into a tree of links, and has the kernel's makefiles build it alone.
///
/// # Errors
/// Where it cannot be written.
pub fn write(copy: &SourceCopy, tree: &Path, with_late: bool) -> Result<(), Error> {
    let folder = tree.join("probe");
    remove_file(&folder)?;
    create_dir(&folder)?;
    write_dir(&FILES, &folder)?;
    let kbuild = copy.read("Kbuild")?;
    let kernel = String::from_utf8_lossy(&kbuild);
    let (before, _) = kernel.split_once(DESCENDING).ok_or_else(|| {
        Error::Machine(format!(
            "Kbuild: «{DESCENDING}» is not in it, so the probe does not know where the kernel's objects are named; this kernel words it otherwise"
        ))
    })?;
    write_file(
        &tree.join("Kbuild"),
        format!("{before}obj-y += probe/\n").as_bytes(),
        0o644,
        TIME,
    )?;
    let heads = tree.join(HEAD_OBJECTS);
    if with_late {
        let mut list = copy.read(HEAD_OBJECTS)?;
        list.extend_from_slice(b"probe/head/head.o\nprobe/head/prom.o\n");
        write_file(&heads, &list, 0o644, TIME)?;
    }
    Ok(())
}

fn write_dir(dir: &Dir, to: &Path) -> Result<(), Error> {
    for file in dir.files() {
        let path = to.join(file.path());
        if let Some(folder) = path.parent() {
            create_dir(folder)?;
        }
        write_file(&path, file.contents(), 0o644, TIME)?;
    }
    dir.dirs().try_for_each(|dir| write_dir(dir, to))
}

/// What a scenario can change of it.
///
/// # Errors
/// When the embedded file is broken, which a unit test rules out.
pub fn site() -> Result<Site, Error> {
    yaml::parse(SITE, Path::new("probe/site.yaml")).map_err(|e| Error::Usage(e.to_string()))
}
