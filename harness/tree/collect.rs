//! From a build tree to [`Facts`]: opens every file that the build left for
//! each built-in object, in parallel, and reads it with the parser for its
//! kind. Knows no rules; what is missing or damaged is itself a fact.
//!
//! Files are read, not memory-mapped: nearly all are small, a mapping of a file
//! that make truncates meanwhile would kill the process, and of the large ones
//! (`vmlinux`, `vmlinux.o`) only the symbol tables are fetched.

pub mod archive;
pub mod bitcode;
pub mod build_log;
pub mod cmd_file;
pub mod compile_commands;
pub mod elf;
mod external_modules;
mod file_names;
pub mod image;
mod initcalls;
pub mod kconfig;
mod link;
pub mod linked;
pub mod loader;
mod member;
mod modules;
mod overlap;
mod parts;
mod reads;
pub mod shell_words;
pub mod symvers;
mod tools;
mod tree_files;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::file;
use crate::model::error::Error;
use crate::model::facts::file_names::FileNames;
use crate::model::facts::{
    Archive, Built, DirectoryArchive, Facts, Goal, Name, NameTable, Object, Step, StepState, names,
};
use crate::tree::path::{cmd_file as cmd_path, stays_inside};
pub use external_modules::ExternalModules;
use member::read_object;
use reads::Reads;
use tree_files::{TreeFiles, exports_from};

/// The most that is read of a text about the whole kernel, in bytes: a list, a configuration, a
/// table of exports, a linker script. Those of allyesconfig have up to ten million.
const TEXT: u64 = 32 << 20;
/// The most that is read of a `.cmd` file, in bytes: of most, a few thousand.
const CMD: u64 = 4 << 20;
/// The most that is read of an object, in bytes. Of what the linker made, only parts are read.
const OBJECT: u64 = 128 << 20;
/// The most entries of a list or an archive: seven times the objects of allyesconfig.
const ENTRIES: usize = 1 << 18;
/// No path is longer, in bytes.
const LONGEST: usize = 4096;

/// The build tree to read, and what belongs to it.
#[derive(Debug, Clone)]
pub struct BuildTree {
    build: PathBuf,
    /// The same without links; `None` if there is none.
    canonical: Option<PathBuf>,
    source: Option<PathBuf>,
    log: Option<PathBuf>,
    goal: Goal,
    roots: cmd_file::Roots,
    /// What its kernel calls the files of distributed mode.
    file_names: FileNames,
    /// See [`Facts::times_kept`].
    times_kept: bool,
    reads: Arc<Reads>,
}

impl BuildTree {
    /// A build tree; the source tree is found through the `source` link that
    /// kbuild leaves, unless given.
    ///
    /// # Errors
    /// [`Error::NotABuildTree`] if it has no configured kernel,
    /// [`Error::NotASourceTree`] if `source` has no kernel.
    pub fn open(build: &Path, source: Option<&Path>, log: Option<&Path>) -> Result<Self, Error> {
        BuildTree::open_with(&[".config", AUTO_CONF], build, source, log)
    }

    /// The same with these files at least.
    fn open_with(
        files: &[&str],
        build: &Path,
        source: Option<&Path>,
        log: Option<&Path>,
    ) -> Result<Self, Error> {
        let not = |found: &str| Error::NotABuildTree {
            dir: build.to_owned(),
            found: found.to_owned(),
        };
        match std::fs::metadata(build) {
            Err(e) => return Err(not(&e.to_string())),
            Ok(m) if !m.is_dir() => return Err(not("it is not a directory")),
            Ok(_) => {}
        }
        for file in files {
            match std::fs::metadata(build.join(file)) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    // A kernel that external modules are for may lack that file.
                    let is_modules = *file == ".config" && build.join("modules.order").exists();
                    return Err(not(&match is_modules {
                        false => format!("it has no {file}"),
                        true => format!(
                            "it has no {file}; if these are external modules, name the kernel that they are for with --kernel"
                        ),
                    }));
                }
                Err(e) => return Err(Error::io(build.join(file), "read")(e)),
            }
        }
        let source = match source {
            Some(dir) if !dir.join("scripts/Makefile.build").is_file() => {
                return Err(Error::NotASourceTree {
                    dir: dir.to_owned(),
                    found: "it has no scripts/Makefile.build".to_owned(),
                });
            }
            Some(dir) => Some(dir.to_owned()),
            None => [build.join("source"), build.to_owned()]
                .into_iter()
                .find(|dir| dir.join("scripts/Makefile.build").is_file()),
        };
        let link = std::fs::read_link(build.join("source")).ok();
        let named = link.as_deref().or(source.as_deref());
        Ok(BuildTree {
            source: source.clone(),
            ..BuildTree::at(build, named, log)
        })
    }

    /// What is in a folder, whatever that is. `named` is how commands name the source tree.
    fn at(build: &Path, named: Option<&Path>, log: Option<&Path>) -> BuildTree {
        let canonical = build.canonicalize().ok();
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        BuildTree {
            build: build.to_owned(),
            roots: cmd_file::Roots::new(
                named.map(bytes).as_deref(),
                canonical.as_deref().map(bytes).as_deref(),
            ),
            canonical,
            source: None,
            log: log.map(Path::to_owned),
            goal: Goal::default(),
            file_names: FileNames::default(),
            times_kept: true,
            reads: Arc::default(),
        }
    }

    /// The same tree, for a build that was to make less than the whole kernel.
    #[must_use]
    pub fn with_goal(self, goal: Goal) -> Self {
        BuildTree { goal, ..self }
    }

    /// The directory that was opened.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.build
    }

    /// The path from the top of the tree of a file that a list names. Kernels before 6.13 write absolute
    /// paths into the lists of external modules.
    fn inside<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let absolute = Path::new(path);
        let relative = || {
            let folder = absolute.parent()?.canonicalize().ok()?;
            let folder = folder.strip_prefix(self.canonical.as_ref()?).ok()?;
            folder
                .join(absolute.file_name()?)
                .into_os_string()
                .into_string()
                .ok()
        };
        let relative = absolute.is_absolute().then(relative).flatten();
        relative.map_or(Cow::Borrowed(path), Cow::Owned)
    }

    fn spelling(&self) -> cmd_file::Spelling<'_> {
        cmd_file::Spelling {
            roots: &self.roots,
            saved_prefix: &self.file_names.saved_prefix,
        }
    }

    fn required_text(&self, file: &str) -> Result<String, Error> {
        let path = self.build.join(file);
        file::read(&path, TEXT)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::io(path, "read"))
    }

    /// The bytes of a text about the whole kernel; `None` if there is none.
    fn text(&self, file: &str) -> Result<Option<Vec<u8>>, Error> {
        self.bytes(file, TEXT)
    }

    /// The bytes of a file that has at most so many; `None` if there is none.
    fn bytes(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.build.join(file);
        let read = file::open(&path).and_then(|opened| {
            self.reads.note(&opened.metadata()?)?;
            let mut content = Vec::new();
            file::read_into(opened, most, &mut content)?;
            Ok(content)
        });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path, "read")(e)),
        }
    }

    fn modified(&self, file: &str) -> Option<SystemTime> {
        std::fs::metadata(self.build.join(file))
            .and_then(|m| m.modified())
            .ok()
    }

    /// Whether both files are there, and `file` was written before `other`.
    fn is_older(&self, file: &str, other: &str) -> bool {
        self.is_before(self.modified(file), self.modified(other))
    }

    /// The same of times that are known already.
    fn is_before(&self, file: Option<SystemTime>, other: Option<SystemTime>) -> bool {
        self.times_kept && file.zip(other).is_some_and(|(file, other)| file < other)
    }
}

/// Reads everything that the rules need.
///
/// # Errors
/// [`Error::Io`] if a file exists but cannot be read, [`Error::Usage`] if the log cannot be
/// read.
pub fn collect(tree: &BuildTree) -> Result<Facts, Error> {
    let names = NameTable::default();
    let config = kconfig::parse(&tree.required_text(AUTO_CONF)?);
    let config_edits = kconfig::edits(&tree.required_text(".config")?, &config);
    let distributed = config.contains_key("CONFIG_LTO_CLANG_THIN_DIST");
    let has_modules = config.contains_key("CONFIG_MODULES");
    let kernel = kernel_release(tree)?;
    let log = match &tree.log {
        None => None,
        Some(path) => Some(build_log::read(tree, path)?),
    };

    let objects_from = if !distributed
        && tree.modified("built-in-fixup.a").is_none()
        && tree.modified("vmlinux.a").is_some()
    {
        "vmlinux.a"
    } else {
        "built-in-fixup.a"
    };
    let fixup = read_archive(tree, objects_from, &names)?;
    let vmlinux_a = read_archive(tree, "vmlinux.a", &names)?;
    let file_names = match &fixup {
        Some(fixup) if distributed => file_names::read(tree, fixup, vmlinux_a.as_ref(), &names)?,
        Some(_) | None => FileNames::default(),
    };
    let members = fixup.as_ref().map(unique_members).unwrap_or_default();
    let clock_went_back = log.as_ref().is_some_and(build_log::says_clock_went_back);
    let times_kept = !clock_went_back
        && times_kept(
            tree,
            &members,
            &names,
            // recordmcount writes the object again, after its .cmd file.
            config.contains_key("CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT"),
        );
    let tree = &BuildTree {
        file_names,
        times_kept,
        ..tree.clone()
    };
    let exports_from = exports_from(tree);
    let directory_archives = read_directory_archives(tree, &members, &names);
    let (objects, (around, compile_commands)) = rayon::join(
        || {
            members
                .par_iter()
                .map(|name| read_object(tree, *name, distributed, &names))
                .collect::<Result<Vec<_>, Error>>()
        },
        || {
            rayon::join(
                || TreeFiles::read(tree, distributed, has_modules, exports_from, &names),
                || compile_commands::read(tree, &names),
            )
        },
    );
    let (mut objects, around) = (objects?, around?);
    has_room(tree, &names)?;
    if let Some(index) = &around.index {
        leave_out_unlisted(&mut objects, index);
    }
    let compile_commands =
        compile_commands::of_objects(tree, compile_commands, &objects, &around.modules, &names);

    Ok(Facts {
        built: Built::Kernel,
        kernel,
        steps: read_steps(tree, distributed, objects_from, exports_from),
        fixup,
        objects_from,
        vmlinux_a,
        file_names: tree.file_names.clone(),
        builtin_order: around.builtin_order,
        index: around.index,
        vmlinux_objs: around.vmlinux_objs,
        head_objects: around.head_objects,
        objects,
        exports: around.exports,
        exports_from,
        export_c: around.export_c,
        vmlinux_o: around.vmlinux_o,
        vmlinux: around.vmlinux,
        linked_whole: around.linked_whole,
        library_members: around.library_members,
        directory_archives: directory_archives?,
        tools: tools::read(tree, log.as_ref(), &names)?,
        modules: around.modules,
        module_exports: around.module_exports,
        compile_commands,
        damaged: around.damaged,
        log,
        config,
        config_edits,
        times_kept,
        names: names.into_reader(),
    })
}

/// Fails when the names in the files of the tree found no room in the table.
fn has_room(tree: &BuildTree, names: &NameTable) -> Result<(), Error> {
    match names.is_full() {
        false => Ok(()),
        true => Err(Error::Machine(format!(
            "{}: the files of this tree name so much that {} have no room for it\n  nothing was checked: that is no kernel's tree, or a file in it is damaged",
            tree.dir().display(),
            bytesize::ByteSize::b(names::MOST).display().iec()
        ))),
    }
}

/// The configuration as make sees it.
const AUTO_CONF: &str = "include/config/auto.conf";

const RELEASE: &str = "include/config/kernel.release";

/// The text of that file, as `$(shell cat …)` gives it to make.
fn release_file(tree: &BuildTree) -> Result<Option<String>, Error> {
    let text = tree.text(RELEASE)?;
    Ok(text.map(|text| {
        String::from_utf8_lossy(&text)
            .trim_end_matches('\n')
            .to_owned()
    }))
}

fn kernel_release(tree: &BuildTree) -> Result<String, Error> {
    if let Some(release) = release_file(tree)? {
        return Ok(release);
    }
    // Before `make prepare` only the first lines of .config have it:
    // '# Linux/x86 7.2.13 Kernel Configuration'.
    let config = tree.required_text(".config")?;
    Ok(config
        .lines()
        .take(5)
        .find_map(|line| line.strip_prefix("# Linux/")?.split(' ').nth(1))
        .unwrap_or("of unknown version")
        .to_owned())
}

/// Whether the files have the times at which the build wrote them, by one clock. make writes the
/// `.cmd` file of an object after the object, unless the object is written again later; in a copy
/// that was made without the times, each may be the older. A time to come is of a clock that has
/// gone back since.
fn times_kept(
    tree: &BuildTree,
    members: &[Name],
    names: &NameTable,
    objects_are_written_again: bool,
) -> bool {
    /// Enough to tell a copy from a few files that somebody touched.
    const LOOKED_AT: usize = 256;
    /// The clock of a file server may be ahead.
    const SLACK: Duration = Duration::from_mins(1);

    let latest = SystemTime::now().checked_add(SLACK);
    let is_to_come = |time: SystemTime| latest.is_some_and(|latest| time > latest);
    let objects = members.iter().map(|name| names.resolve(name));
    let objects = objects.filter(|object| stays_inside(object));
    if objects
        .clone()
        .filter_map(|object| tree.modified(object))
        .any(is_to_come)
    {
        return false;
    }
    if objects_are_written_again {
        return true;
    }
    let pairs = objects.take(LOOKED_AT).filter_map(|object| {
        let cmd = tree.modified(&cmd_path(object))?;
        Some(cmd < tree.modified(object)?)
    });
    let is_reversed: Vec<bool> = pairs.collect();
    let reversed = is_reversed
        .iter()
        .filter(|is_reversed| **is_reversed)
        .count();
    reversed * 5 <= is_reversed.len()
}

fn read_archive(tree: &BuildTree, file: &str, names: &NameTable) -> Result<Option<Archive>, Error> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let bytes = tree.text(file)?;
    Ok(bytes.map(|bytes| archive::parse(&bytes, folder, names)))
}

fn unique_members(archive: &Archive) -> Vec<Name> {
    let mut seen = FxHashSet::default();
    archive
        .members
        .iter()
        .copied()
        .filter(|name| seen.insert(*name))
        .collect()
}

/// The archives of the directories that the objects are in, and of those above: kbuild makes one
/// archive of all by way of them.
fn read_directory_archives(
    tree: &BuildTree,
    objects: &[Name],
    names: &NameTable,
) -> Result<Vec<DirectoryArchive>, Error> {
    /// None of a kernel is as deep.
    const DEEPEST: usize = 64;

    let objects = objects.iter().map(|name| names.resolve(name));
    let objects = objects.filter(|object| stays_inside(object) && object.len() < LONGEST);
    let folders: BTreeSet<&Path> = objects
        .flat_map(|object| Path::new(object).ancestors().skip(1).take(DEEPEST))
        .collect();
    let archives: Vec<Option<DirectoryArchive>> = folders
        .into_par_iter()
        .map(|folder| {
            let file = folder.join("built-in.a").to_string_lossy().into_owned();
            let Some(archive) = read_archive(tree, &file, names)? else {
                return Ok(None);
            };
            let (mut seen, mut again) = (FxHashSet::default(), FxHashSet::default());
            let members = archive.members.iter().copied();
            let repeated = members.filter(|member| !seen.insert(*member) && again.insert(*member));
            Ok(Some(DirectoryArchive {
                name: names.get_or_intern(&file),
                members: archive.members.len(),
                repeated: repeated.collect(),
            }))
        })
        .collect::<Result<_, Error>>()?;
    Ok(archives.into_iter().flatten().collect())
}

/// Drops native objects that an earlier build left, of objects that the index no longer
/// lists: nothing uses them.
fn leave_out_unlisted(objects: &mut [Object], index: &[Name]) {
    let listed: FxHashSet<Name> = index.iter().copied().collect();
    for object in objects.iter_mut().filter(|o| !listed.contains(&o.name)) {
        object.backend = None;
    }
}

fn read_steps(
    tree: &BuildTree,
    distributed: bool,
    objects_from: &str,
    exports_from: &'static str,
) -> Vec<Step> {
    let mut files = vec![objects_from];
    if distributed {
        files.extend(tree.file_names.order.as_deref());
        files.push(&tree.file_names.index);
    }
    if objects_from != "vmlinux.a" {
        files.push("vmlinux.a");
    }
    let last = match tree.goal {
        Goal::Vmlinux => "vmlinux",
        Goal::Modpost => exports_from,
    };
    files.extend(["vmlinux.o", last]);
    let from = std::iter::once("").chain(files.iter().copied());
    files
        .iter()
        .zip(from)
        .map(|(file, from)| step(tree, file, from))
        .collect()
}

/// A step of the build that makes `file` from `from`, which is empty in the first step.
fn step(tree: &BuildTree, file: &str, from: &str) -> Step {
    Step {
        file: file.to_owned(),
        from: from.to_owned(),
        state: if tree.modified(file).is_none() {
            StepState::Missing
        } else if !from.is_empty() && tree.is_older(file, from) {
            StepState::Stale
        } else {
            StepState::Made
        },
    }
}
