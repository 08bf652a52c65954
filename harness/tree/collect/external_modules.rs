//! Reads external modules (`make M=DIR`) and what they were built for: the configuration of a
//! kernel, its release and what it exports. The folder of its headers is enough, as distributions
//! package it.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use super::modules::read_modules;
use super::tree_files::{read_list, read_symvers, split_exports};
use super::{
    AUTO_CONF, BuildTree, TEXT, build_log, has_room, kconfig, kernel_release, step, symvers,
    times_kept,
};
use crate::file;
use crate::model::error::Error;
use crate::model::facts::file_names::FileNames;
use crate::model::facts::{Built, CompileCommandsFile, Export, Facts, Name, NameTable};
use crate::tree::path::stays_inside;

/// The modules to read, and the kernel that they were built for.
#[derive(Debug, Clone)]
pub struct ExternalModules {
    tree: BuildTree,
    kernel: BuildTree,
    /// See [`ExternalModules::with_exports`].
    exports: Vec<PathBuf>,
}

impl ExternalModules {
    /// The modules that make built in `dir` for the kernel whose build tree, or whose headers, are in
    /// `kernel`. `source` and `log` as in [`BuildTree::open`].
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no list of modules in `dir`, or none of exports in `kernel`; and what
    /// [`BuildTree::open`] says of `kernel`.
    pub fn open(
        dir: &Path,
        kernel: &Path,
        source: Option<&Path>,
        log: Option<&Path>,
    ) -> Result<Self, Error> {
        // Headers may come without .config: make does not read it.
        let kernel = BuildTree::open_with(&[AUTO_CONF], kernel, source, None)?;
        for (place, file, remedy) in [
            (
                dir,
                "modules.order",
                "pass the folder that make had as M=, or as MO= if it had that, after it built the modules",
            ),
            (
                kernel.dir(),
                "Module.symvers",
                "klto reads there what the kernel exports; build the kernel's modules, or pass its headers",
            ),
        ] {
            let path = place.join(file);
            std::fs::metadata(&path).map_err(|e| {
                Error::Usage(format!("{}: cannot read: {e}\n  {remedy}", path.display()))
            })?;
        }
        Ok(ExternalModules {
            tree: BuildTree::at(dir, kernel.source.as_deref(), log),
            kernel,
            exports: Vec::new(),
        })
    }

    /// The same with what make had as `KBUILD_EXTRA_SYMBOLS`: `Module.symvers` of other external
    /// modules.
    #[must_use]
    pub fn with_exports(self, exports: &[PathBuf]) -> Self {
        let exports = exports.to_owned();
        ExternalModules { exports, ..self }
    }

    /// Reads everything that the rules need.
    ///
    /// # Errors
    /// [`Error::Io`] if a file exists but cannot be read, [`Error::Usage`] if the log or the exports of
    /// something else make no sense, or if the modules were built elsewhere.
    pub fn collect(&self) -> Result<Facts, Error> {
        let names = NameTable::default();
        let config = kconfig::parse(&self.kernel.required_text(AUTO_CONF)?);
        let config_edits = match self.kernel.text(".config")? {
            Some(text) => kconfig::edits(&String::from_utf8_lossy(&text), &config),
            None => Vec::new(),
        };
        let log = match &self.tree.log {
            None => None,
            Some(path) => Some(build_log::read(&self.tree, path)?),
        };
        let objects = self.listed_objects(&names)?;
        let times_kept = times_kept(&self.tree, &objects, &names, false);
        let tree = BuildTree {
            times_kept,
            ..self.tree.clone()
        };
        let modules = read_modules(&tree, &names)?;
        let mut damaged = Vec::new();
        let own = read_symvers(&tree, "Module.symvers", &names, &mut damaged)?;
        let replaced = modules.iter().map(|module| module.name).collect();
        let (exports, others) = self.exports_of_others(&replaced, &names)?;
        let module_exports = own.map(|own| {
            let own = own.into_iter().map(|export| Export {
                module: names.get_or_intern(tree.inside(names.resolve(&export.module))),
                ..export
            });
            others.into_iter().chain(own).collect()
        });
        has_room(&tree, &names)?;
        Ok(Facts {
            built: Built::Modules,
            kernel: self.release()?,
            steps: vec![
                step(&tree, "modules.order", ""),
                step(&tree, "Module.symvers", "modules.order"),
            ],
            modules,
            exports: Some(exports),
            exports_from: "Module.symvers",
            module_exports,
            damaged,
            log,
            config,
            config_edits,
            times_kept,
            file_names: FileNames::default(),
            fixup: None,
            objects_from: "built-in-fixup.a",
            vmlinux_a: None,
            linked_whole: None,
            library_members: None,
            directory_archives: Vec::new(),
            tools: Vec::new(),
            builtin_order: None,
            index: None,
            vmlinux_objs: None,
            head_objects: None,
            objects: Vec::new(),
            export_c: None,
            vmlinux_o: None,
            vmlinux: None,
            compile_commands: CompileCommandsFile::Missing,
            names: names.into_reader(),
        })
    }

    /// The release that vermagic has. Debian's headers have another one in `kernel.release`.
    fn release(&self) -> Result<String, Error> {
        let header = self.kernel.text("include/generated/utsrelease.h")?;
        let header = String::from_utf8_lossy(&header.unwrap_or_default()).into_owned();
        let mut lines = header.lines();
        match lines.find_map(|line| line.strip_prefix("#define UTS_RELEASE ")) {
            Some(release) => Ok(release.trim().trim_matches('"').to_owned()),
            None => kernel_release(&self.kernel),
        }
    }

    /// The objects of the list of modules; all must be in the folder.
    fn listed_objects(&self, names: &NameTable) -> Result<Vec<Name>, Error> {
        let listed = read_list(self.tree.dir(), "modules.order", names)?.unwrap_or_default();
        listed
            .iter()
            .map(|name| {
                let path = self.tree.inside(names.resolve(name));
                match stays_inside(&path) {
                    true => Ok(names.get_or_intern(&path)),
                    false => Err(Error::Usage(format!(
                        "{}: modules.order names '{path}', which is elsewhere\n  klto reads modules where they were built: build these again in this folder, or pass the other one",
                        self.tree.dir().display()
                    ))),
                }
            })
            .collect()
    }

    /// What vmlinux exports, and what other modules export. External modules take the place of the
    /// kernel's modules of the same path.
    fn exports_of_others(
        &self,
        replaced: &FxHashSet<Name>,
        names: &NameTable,
    ) -> Result<(Vec<Export>, Vec<Export>), Error> {
        let of_kernel = read_exports(&self.kernel.dir().join("Module.symvers"), names)?;
        let (vmlinux, mut others) = split_exports(of_kernel, names);
        others.retain(|export| !replaced.contains(&export.module));
        for file in &self.exports {
            others.extend(read_exports(file, names)?);
        }
        Ok((vmlinux, others))
    }
}

/// Reads a list of exports that is not judged.
fn read_exports(path: &Path, names: &NameTable) -> Result<Vec<Export>, Error> {
    let text = file::read(path, TEXT).map_err(Error::io(path, "read"))?;
    symvers::parse(&String::from_utf8_lossy(&text), names)
        .map_err(|why| Error::Usage(format!("{}: {why}", path.display())))
}
