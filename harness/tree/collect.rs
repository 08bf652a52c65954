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
mod file_names;
pub mod image;
pub mod kconfig;
mod link;
pub mod linked;
pub mod loader;
mod member;
mod modules;
pub mod shell_words;
pub mod symvers;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use object::ReadCache;
use rayon::prelude::*;

use crate::model::error::Error;
use crate::model::facts::file_names::FileNames;
use crate::model::facts::{
    Archive, Export, Facts, Goal, Module, Name, NameTable, Object, Step, StepState, Vmlinux,
    VmlinuxO,
};
use crate::tree::path::{cmd_file as cmd_path, normalise, stays_inside};
use link::{initcall_script, read_link};
use member::read_object;
use modules::read_modules;

/// The build tree to read, and what belongs to it.
#[derive(Debug, Clone)]
pub struct BuildTree {
    build: PathBuf,
    source: Option<PathBuf>,
    log: Option<PathBuf>,
    goal: Goal,
    roots: cmd_file::Roots,
    /// What its kernel calls the files of distributed mode.
    file_names: FileNames,
    /// See [`Facts::times_kept`].
    times_kept: bool,
}

impl BuildTree {
    /// A build tree; the source tree is found through the `source` link that
    /// kbuild leaves, unless given.
    ///
    /// # Errors
    /// [`Error::NotABuildTree`] if it has no configured kernel,
    /// [`Error::NotASourceTree`] if `source` has no kernel.
    pub fn open(build: &Path, source: Option<&Path>, log: Option<&Path>) -> Result<Self, Error> {
        let not = |found: &str| Error::NotABuildTree {
            dir: build.to_owned(),
            found: found.to_owned(),
        };
        match std::fs::metadata(build) {
            Err(e) => return Err(not(&e.to_string())),
            Ok(m) if !m.is_dir() => return Err(not("it is not a directory")),
            Ok(_) => {}
        }
        for file in [".config", "include/config/auto.conf"] {
            match std::fs::metadata(build.join(file)) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return Err(not(&format!("it has no {file}")));
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
        let roots = cmd_file::Roots::new(
            named.map(|path| path.as_os_str().as_bytes()),
            build
                .canonicalize()
                .ok()
                .as_deref()
                .map(|path| path.as_os_str().as_bytes()),
        );
        Ok(BuildTree {
            build: build.to_owned(),
            roots,
            source,
            log: log.map(Path::to_owned),
            goal: Goal::default(),
            file_names: FileNames::default(),
            times_kept: true,
        })
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

    fn spelling(&self) -> cmd_file::Spelling<'_> {
        cmd_file::Spelling {
            roots: &self.roots,
            saved_prefix: &self.file_names.saved_prefix,
        }
    }

    fn required_text(&self, file: &str) -> Result<String, Error> {
        let path = self.build.join(file);
        read_file(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::io(path, "read"))
    }

    /// The bytes of a file; `None` if there is none.
    fn bytes(&self, file: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.build.join(file);
        match read_file(&path) {
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
    let names = NameTable::with_hasher(Default::default());
    let config = kconfig::parse(&tree.required_text("include/config/auto.conf")?);
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
    // recordmcount writes the object again, after its .cmd file.
    let times_kept = config.contains_key("CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT")
        || times_kept(tree, &members, &names);
    let tree = &BuildTree {
        file_names,
        times_kept,
        ..tree.clone()
    };
    let exports_from = exports_from(tree);
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
    if let Some(index) = &around.index {
        leave_out_unlisted(&mut objects, index);
    }
    let compile_commands =
        compile_commands::of_objects(tree, compile_commands, &objects, &around.modules, &names);

    Ok(Facts {
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

const RELEASE: &str = "include/config/kernel.release";

/// The files that exist once per tree.
struct TreeFiles {
    builtin_order: Option<Vec<Name>>,
    index: Option<Vec<Name>>,
    vmlinux_objs: Option<Vec<Name>>,
    head_objects: Option<Vec<Name>>,
    exports: Option<Vec<Export>>,
    export_c: Option<Vec<(Name, u32)>>,
    vmlinux_o: Option<VmlinuxO>,
    vmlinux: Option<Vmlinux>,
    linked_whole: Option<Vec<Name>>,
    modules: Vec<Module>,
    module_exports: Option<Vec<Export>>,
    damaged: Vec<(&'static str, String)>,
}

impl TreeFiles {
    fn read(
        tree: &BuildTree,
        distributed: bool,
        has_modules: bool,
        exports_from: &'static str,
        names: &NameTable,
    ) -> Result<TreeFiles, Error> {
        let only_distributed = |file: &str| {
            if distributed {
                read_list(&tree.build, file, names)
            } else {
                Ok(None)
            }
        };
        let head_objects = match &tree.source {
            Some(source) => read_list(source, "scripts/head-object-list.txt", names)?,
            None => None,
        };
        let export_c = tree.bytes(".vmlinux.export.c")?;
        let mut damaged = Vec::new();
        let release = tree
            .bytes(RELEASE)?
            .filter(|_| !tree.is_older("vmlinux", RELEASE));
        let release = release.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        let vmlinux = read_linked(tree, "vmlinux", &mut damaged, |data| {
            image::read_vmlinux(data, release.as_deref(), names)
        })?;
        let vmlinux_o = read_linked(tree, "vmlinux.o", &mut damaged, |data| {
            image::read_vmlinux_o(data, names)
        })?;
        let link = read_link(tree, names)?;
        let script = match link.as_ref().and_then(|link| link.scripts.as_ref()) {
            Some(scripts) => initcall_script(tree, scripts, names)?,
            None => None,
        };
        let all = read_symvers(tree, "Module.symvers", names, &mut damaged)?;
        let (exports, module_exports) = match exports_from {
            VMLINUX_SYMVERS => {
                let with_modules = all.filter(|_| is_of_this_build(tree, "Module.symvers"));
                (
                    read_symvers(tree, VMLINUX_SYMVERS, names, &mut damaged)?,
                    with_modules,
                )
            }
            _ => split_exports(all, names),
        };
        Ok(TreeFiles {
            builtin_order: match &tree.file_names.order {
                Some(order) => only_distributed(order)?,
                None => None,
            },
            index: only_distributed(&tree.file_names.index)?,
            vmlinux_objs: read_list(&tree.build, ".vmlinux.objs", names)?,
            head_objects,
            exports,
            export_c: export_c.map(|text| symvers::export_crcs(&text, names)),
            vmlinux_o: vmlinux_o.map(|read| VmlinuxO {
                initcall_script: script,
                ..read
            }),
            vmlinux,
            linked_whole: link.map(|link| link.whole),
            // An earlier configuration may have left its list of modules.
            modules: match has_modules {
                true => read_modules(tree, names)?,
                false => Vec::new(),
            },
            module_exports,
            damaged,
        })
    }
}

fn kernel_release(tree: &BuildTree) -> Result<String, Error> {
    if let Some(release) = tree.bytes(RELEASE)? {
        return Ok(String::from_utf8_lossy(&release).trim().to_owned());
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

/// Whether the files have the times at which the build wrote them. make writes the `.cmd` file of
/// an object after the object; in a copy that was made without the times, each may be the older.
fn times_kept(tree: &BuildTree, members: &[Name], names: &NameTable) -> bool {
    /// Enough to tell a copy from a few files that somebody touched.
    const LOOKED_AT: usize = 256;

    let objects = members.iter().map(|name| names.resolve(name));
    let objects = objects.filter(|object| stays_inside(object));
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
    Ok(tree.bytes(file)?.map(|bytes| archive::parse(&bytes, names)))
}

fn unique_members(archive: &Archive) -> Vec<Name> {
    let mut seen = rustc_hash::FxHashSet::default();
    archive
        .members
        .iter()
        .copied()
        .filter(|name| seen.insert(*name))
        .collect()
}

/// Drops native objects that an earlier build left, of objects that the index no longer
/// lists: nothing uses them.
fn leave_out_unlisted(objects: &mut [Object], index: &[Name]) {
    let listed: rustc_hash::FxHashSet<Name> = index.iter().copied().collect();
    for object in objects.iter_mut().filter(|o| !listed.contains(&o.name)) {
        object.backend = None;
    }
}

/// A file with one path per line; `#` starts a comment.
fn read_list(dir: &Path, file: &str, names: &NameTable) -> Result<Option<Vec<Name>>, Error> {
    let path = dir.join(file);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, "read")(e)),
    };
    Ok(Some(
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| names.get_or_intern(normalise(line).as_ref()))
            .collect(),
    ))
}

fn read_symvers(
    tree: &BuildTree,
    file: &'static str,
    names: &NameTable,
    damaged: &mut Vec<(&'static str, String)>,
) -> Result<Option<Vec<Export>>, Error> {
    let Some(text) = tree.bytes(file)? else {
        return Ok(None);
    };
    let exports = symvers::parse(&String::from_utf8_lossy(&text), names);
    Ok(keep_or_note(exports, file, damaged))
}

const VMLINUX_SYMVERS: &str = "vmlinux.symvers";

/// The file that modpost wrote for this vmlinux.
fn exports_from(tree: &BuildTree) -> &'static str {
    if !is_of_this_build(tree, VMLINUX_SYMVERS) && is_of_this_build(tree, "Module.symvers") {
        "Module.symvers"
    } else {
        VMLINUX_SYMVERS
    }
}

/// Whether modpost wrote the file after this `vmlinux.o` was linked.
fn is_of_this_build(tree: &BuildTree, symvers: &str) -> bool {
    tree.modified(symvers).is_some() && !tree.is_older(symvers, "vmlinux.o")
}

/// What vmlinux exports, and everything that is exported.
fn split_exports(
    all: Option<Vec<Export>>,
    names: &NameTable,
) -> (Option<Vec<Export>>, Option<Vec<Export>>) {
    let Some(all) = all else {
        return (None, None);
    };
    let (vmlinux, modules) = all
        .into_iter()
        .partition(|export| names.resolve(&export.module) == "vmlinux");
    (Some(vmlinux), Some(modules))
}

/// Opens a regular file: reading a FIFO or a device in its place would never end.
fn open_file(path: &Path) -> std::io::Result<File> {
    match std::fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(std::io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_file(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Reads parts of a large ELF file; `None` if there is none.
fn read_linked<T>(
    tree: &BuildTree,
    file: &'static str,
    damaged: &mut Vec<(&'static str, String)>,
    read: impl FnOnce(&ReadCache<Watched>) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    let path = tree.build.join(file);
    match open_file(&path) {
        Ok(opened) => {
            let cache = ReadCache::new(Watched {
                file: opened,
                failure: None,
            });
            let content = read(&cache);
            match cache.into_inner().failure {
                Some(failure) => Err(Error::io(path, "read")(failure)),
                None => Ok(keep_or_note(content, file, damaged)),
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "read")(e)),
    }
}

/// A file, and how the machine failed to read it: a parser would take that for damage.
struct Watched {
    file: File,
    failure: Option<std::io::Error>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer);
        if let Err(error) = &read
            && let Some(code) = error.raw_os_error()
            && error.kind() != ErrorKind::Interrupted
        {
            self.failure = Some(std::io::Error::from_raw_os_error(code));
        }
        read
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// What could be read; otherwise nothing, and a note with the reason.
fn keep_or_note<T>(
    read: Result<T, String>,
    file: &'static str,
    damaged: &mut Vec<(&'static str, String)>,
) -> Option<T> {
    read.map_err(|why| damaged.push((file, why))).ok()
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
        .map(|(file, from)| Step {
            file: (*file).to_owned(),
            from: from.to_owned(),
            state: if tree.modified(file).is_none() {
                StepState::Missing
            } else if !from.is_empty() && tree.is_older(file, from) {
                StepState::Stale
            } else {
                StepState::Made
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_cannot_read_is_no_damage() {
        // Nothing is mapped at its first byte.
        let file = File::open("/proc/self/mem").unwrap();
        let mut watched = Watched {
            file,
            failure: None,
        };
        assert!(watched.read(&mut [0; 4]).is_err());
        assert_eq!(watched.failure.unwrap().raw_os_error(), Some(5));
    }
}
