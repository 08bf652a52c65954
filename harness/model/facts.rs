//! What was read from a build tree: plain, ordered data without clock or
//! absolute path. `collect` fills it, `check` and `snapshot` read it.
//!
//! Text that recurs (flags, symbols, object names) is interned: a [`Name`] is
//! four bytes, and [`Facts::text`] gives the text back. A tree of 30,000
//! objects so fits into a few hundred megabytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use file_names::FileNames;

pub mod file_names;
pub mod linked;
pub mod names;
pub mod stored;

pub use names::{Name, NameTable, Names};

/// A file of a build tree that the program itself names, such as `vmlinux.o`.
pub type BuildFile = &'static str;

/// Everything that was read from one build tree.
#[derive(Serialize, Deserialize)]
pub struct Facts {
    /// What the tree is of. Not kept: records are of kernels.
    #[serde(skip)]
    pub built: Built,
    /// `include/config/kernel.release`, such as `7.2.13`.
    pub kernel: String,
    /// `include/config/auto.conf`: symbol (with `CONFIG_`) to value, as make sees it.
    pub config: BTreeMap<String, String>,
    /// Symbols that have another value in `.config`.
    pub config_edits: Vec<ConfigEdit>,
    /// Whether the files have the times at which the build wrote them. In a copy that was made
    /// without them nothing is taken for out of date.
    pub times_kept: bool,
    /// What this kernel calls the files of distributed mode.
    pub file_names: FileNames,
    /// Which steps of the build have left their file, in build order.
    pub steps: Vec<Step>,
    /// Every built-in object in link order: the archive of [`Facts::objects_from`].
    pub fixup: Option<Archive>,
    /// `built-in-fixup.a`; kernels before 7.2 make `vmlinux.a` at once.
    #[serde(with = "stored::build_file")]
    pub objects_from: BuildFile,
    /// `vmlinux.a`, what is linked.
    pub vmlinux_a: Option<Archive>,
    /// The archives that the command in `.vmlinux.o.cmd` links whole into `vmlinux.o`.
    pub linked_whole: Option<Vec<Name>>,
    /// The members of the archives of which `vmlinux.o` takes only what it needs, in the order of
    /// that command; `None` where one of them cannot be read.
    pub library_members: Option<Vec<Name>>,
    /// The archives by way of which kbuild makes the one of all built-in objects.
    pub directory_archives: Vec<DirectoryArchive>,
    /// LLVM's tools as the commands of the whole build name them, such as `llvm-ar-22`.
    pub tools: Vec<Name>,
    /// [`FileNames::order`]; distributed mode only.
    pub builtin_order: Option<Vec<Name>>,
    /// [`FileNames::index`]; distributed mode only.
    pub index: Option<Vec<Name>>,
    /// `.vmlinux.objs`, the objects modpost looks for CRCs of.
    pub vmlinux_objs: Option<Vec<Name>>,
    /// `scripts/head-object-list.txt` of the source tree, where that is known.
    pub head_objects: Option<Vec<Name>>,
    /// The members of that archive, each once, in archive order.
    pub objects: Vec<Object>,
    /// What vmlinux exports, out of [`Facts::exports_from`].
    pub exports: Option<Vec<Export>>,
    /// `vmlinux.symvers`; or `Module.symvers`, where one run of modpost was for vmlinux and
    /// modules together, as in a plain `make`.
    #[serde(with = "stored::build_file")]
    pub exports_from: BuildFile,
    /// CRCs in `.vmlinux.export.c`, where it exists.
    pub export_c: Option<Vec<(Name, u32)>>,
    /// `vmlinux.o`, where it is there and can be read.
    pub vmlinux_o: Option<VmlinuxO>,
    /// `vmlinux`, likewise.
    pub vmlinux: Option<Vmlinux>,
    /// Loadable modules of `modules.order`, where they were built.
    pub modules: Vec<Module>,
    /// Lines of `Module.symvers`, where modules were built with this vmlinux.
    pub module_exports: Option<Vec<Export>>,
    /// `compile_commands.json`, which is there only where it was asked for.
    pub compile_commands: CompileCommandsFile,
    /// Of the other files above, those whose content makes no sense: which, and why.
    #[serde(with = "stored::by_build_file")]
    pub damaged: Vec<(BuildFile, String)>,
    /// The build log, where one was given.
    pub log: Option<Log>,
    /// The interned texts.
    #[serde(with = "stored::names")]
    pub names: Names,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("kernel", &self.kernel)
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

impl Facts {
    /// The text of an interned name.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        self.names.resolve(&name)
    }

    /// The value of a configuration symbol (with `CONFIG_`), `n` where unset.
    #[must_use]
    pub fn config(&self, symbol: &str) -> &str {
        self.config.get(symbol).map_or("n", String::as_str)
    }

    /// Whether the build got as far as `file`, with nothing on the way older
    /// than what it was made from.
    #[must_use]
    pub fn reached(&self, file: &str) -> bool {
        for step in &self.steps {
            if step.state != StepState::Made {
                return false;
            }
            if step.file == file {
                return true;
            }
        }
        false
    }

    /// Whether `objects` are all that the archive names. Those after damage are lost, and
    /// rules about all objects then have nothing to check.
    #[must_use]
    pub fn objects_complete(&self) -> bool {
        match self.built {
            Built::Kernel => self.fixup.as_ref().is_some_and(|a| a.damaged.is_none()),
            Built::Modules => true,
        }
    }

    /// Whether everything is compiled, as far as its `.cmd` file says.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.reached(match self.built {
            Built::Kernel => "vmlinux.a",
            Built::Modules => "modules.order",
        })
    }

    /// The modules that were built with this vmlinux: those of an earlier build stay where only
    /// vmlinux is made.
    #[must_use]
    pub fn built_modules(&self) -> &[Module] {
        match self.module_exports {
            Some(_) => &self.modules,
            None => &[],
        }
    }

    /// Whether what modpost wrote is of this build: it runs between `vmlinux.o` and
    /// `vmlinux`, and where make stopped there, an earlier build's is still to be seen.
    #[must_use]
    pub fn modpost_ran(&self) -> bool {
        if self.built == Built::Modules {
            return self.reached("Module.symvers");
        }
        let behind = self
            .steps
            .iter()
            .skip_while(|step| step.file != "vmlinux.o");
        self.reached("vmlinux.o") && !behind.clone().any(|s| s.state == StepState::Stale)
    }

    /// Why the build did not get to its end, where it did not.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        let missing = |step: &&Step| step.state == StepState::Missing;
        let first = self.steps.iter().find(missing)?;
        Some(match self.steps.last().filter(|last| !missing(last)) {
            Some(last) if self.fixup.is_none() => format!(
                "{} is there, but neither built-in-fixup.a nor vmlinux.a: klto reads kernels from 6.1 on",
                last.file
            ),
            Some(_) | None => format!("{} is missing", first.file),
        })
    }
}

/// What a tree is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Built {
    #[default]
    Kernel,
    /// External modules (`make M=`). The configuration and what vmlinux exports are those of the
    /// kernel that they were built for; there are no built-in objects.
    Modules,
}

/// How far make was asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Goal {
    /// The whole kernel.
    #[default]
    Vmlinux,
    /// vmlinux.o and what modpost writes of it, but no link of vmlinux.
    Modpost,
}

/// A symbol whose value in `.config` is not the one that make sees. Unset is `n`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEdit {
    /// With `CONFIG_`.
    pub symbol: String,
    pub dot_config: String,
    pub auto_conf: String,
}

/// A file that one step of the build makes from the file of the step before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The file, from the build tree's top.
    pub file: String,
    /// The file it is made from; empty in the first step.
    pub from: String,
    pub state: StepState,
}

/// Whether a step has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    Made,
    /// There, but older than what it is made from.
    Stale,
    Missing,
}

/// An `ar` archive.
#[derive(Debug, Serialize, Deserialize)]
pub struct Archive {
    pub thin: bool,
    /// A header with a clock, a user or a mode in it: the member and the field.
    pub nondeterministic: Option<String>,
    /// Why reading stopped, with the offset, when the file is damaged.
    pub damaged: Option<String>,
    /// Paths from the build tree's top, in archive order.
    pub members: Vec<Name>,
}

/// The archive of one directory, with the objects below it: `lib/built-in.a`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DirectoryArchive {
    pub name: Name,
    /// How many members it has.
    pub members: usize,
    /// Those that it names again, each once.
    pub repeated: Vec<Name>,
}

/// A built-in object and everything the build keeps beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Object {
    /// Path from the build tree's top, such as `init/main.o`.
    pub name: Name,
    pub file: ObjectFile,
    /// `.main.o.cmd`.
    pub cmd: CmdFile,
    /// What distributed mode makes of it; `None` in the other modes, for objects
    /// that hold machine code, and for those that the index does not list.
    pub backend: Option<Box<Backend>>,
}

/// What distributed mode makes of one IR object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Backend {
    /// Such as `main.thinlto-native.o`.
    pub native: Name,
    pub file: ObjectFile,
    /// Its `.cmd` file.
    pub cmd: CmdFile,
    /// `main.o.thinlto.bc`.
    pub summary: SummaryFile,
    /// Pairs where the first file is older than the second it is made from.
    pub stale: Vec<(String, String)>,
}

/// The content of a `.o` file.
#[derive(Debug, Serialize, Deserialize)]
pub enum ObjectFile {
    Missing,
    Empty,
    /// LLVM bitcode.
    Ir(Box<Ir>),
    Elf(Box<Elf>),
    /// Something else, or damaged: what, and at which offset.
    Damaged(String),
}

/// What an IR object says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ir {
    pub triple: Name,
    /// The identification block's text, such as `LLVM22.1.8`.
    pub producer: Name,
    /// The module's hash, which its summary index repeats.
    pub hash: Option<[u32; 5]>,
    /// Whether it has a ThinLTO summary; a full-LTO object has another kind.
    pub thin: bool,
    /// How many functions, variables and aliases that summary speaks of.
    pub summaries: usize,
    /// Global symbols that it defines, not counting weak ones; `None` where the
    /// symbol table is of a version that is not known.
    pub defined: Option<Vec<Name>>,
    /// Its `__initcall__kmod_…` symbols; `None` likewise.
    pub initcalls: Option<Vec<Name>>,
}

/// How ThinLTO names a promoted local, unless it keeps its name: `name.llvm.<hash>`, by
/// `ModuleSummaryIndex::getGlobalNameForLocal` of LLVM.
pub const PROMOTED: &str = ".llvm.";

/// What an ELF object says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Elf {
    pub header: ElfHeader,
    /// Global and weak symbols that it defines.
    pub defined: Vec<Name>,
    /// Undefined references of hidden visibility: those to promoted locals have it.
    pub hidden_undefined: Vec<Name>,
    /// Its calls at start, as [`Ir::initcalls`].
    pub initcalls: Vec<Name>,
}

/// The header of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElfHeader {
    /// `e_machine`.
    pub machine: u16,
    /// 32 or 64.
    pub class: u8,
    pub little_endian: bool,
    /// `e_flags`.
    pub flags: u32,
    /// Whether it is of the type `ET_REL`: an input of the linker, not a program.
    pub relocatable: bool,
}

/// All built-in code, linked into one relocatable object.
#[derive(Debug, Serialize, Deserialize)]
pub struct VmlinuxO {
    pub header: ElfHeader,
    /// How many symbols it has.
    pub symbols: usize,
    /// Undefined `….llvm.<hash>` references that are left.
    pub unresolved_promotions: Vec<Name>,
    /// The calls at start in the linker scripts that its command names, as [`Ir::initcalls`], level
    /// by level; `None` where the scripts are not known.
    pub initcall_script: Option<Vec<Vec<Name>>>,
}

/// The linked kernel.
#[derive(Debug, Serialize, Deserialize)]
pub struct Vmlinux {
    pub header: ElfHeader,
    /// How many symbols it has; none after `strip`.
    pub symbols: usize,
    /// Bytes of its sections that take memory (`SHF_ALLOC`), also of those that begin as zeros.
    pub image_bytes: u64,
    /// What the linker says of itself in `.comment`, such as `Debian LLD 22.1.8`.
    pub linker: Option<Name>,
    /// Whether the bytes of `linux_banner` or `init_uts_ns` have [`Facts::kernel`] in them; `None`
    /// where `include/config/kernel.release` is newer.
    pub is_of_release: Option<bool>,
    /// Its `__ksymtab`, in the order of addresses.
    pub exports: Vec<Exported>,
    /// Its calls at start, in the order in which they are made, level by level.
    pub initcalls: Vec<Vec<Name>>,
}

/// An entry of `__ksymtab`, and what the module loader takes for its CRC and its flags: what has
/// the same place in `__kcrctab` and in `__kflagstab`
/// (`find_exported_symbol_in_section` in `kernel/module/main.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    pub symbol: Name,
    pub crc: Option<u32>,
    /// Whether only GPL-compatible modules may use it. Kernels without `__kflagstab` have a table
    /// of their own for these, `__ksymtab_gpl`.
    pub gpl_only: Option<bool>,
}

/// What kind of code a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    Bitcode,
    Machine,
}

/// A `.foo.o.cmd` file.
#[derive(Debug, Serialize, Deserialize)]
pub enum CmdFile {
    Missing,
    /// Cannot be read.
    Unreadable(String),
    Read(Box<Cmd>),
}

impl ObjectFile {
    /// The kind of its code, where it is whole.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            ObjectFile::Ir(_) => Some(Code::Bitcode),
            ObjectFile::Elf(_) => Some(Code::Machine),
            ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => None,
        }
    }

    /// The global symbols that it defines, where they could be read.
    #[must_use]
    pub fn defined(&self) -> Option<&[Name]> {
        match self {
            ObjectFile::Ir(ir) => ir.defined.as_deref(),
            ObjectFile::Elf(elf) => Some(&elf.defined),
            ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => None,
        }
    }
}

impl CmdFile {
    /// The content, where there is any.
    #[must_use]
    pub fn read(&self) -> Option<&Cmd> {
        match self {
            CmdFile::Read(cmd) => Some(cmd),
            CmdFile::Missing | CmdFile::Unreadable(_) => None,
        }
    }
}

/// The lines of a `.cmd` file that matter.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cmd {
    /// The C file of the line `source_… := x.c`; none where the object is made from
    /// something else.
    pub c_source: Option<Name>,
    /// The first simple command of the `savedcmd_… := …` line that makes a file.
    pub command: Option<Words>,
    /// Whether a later command of that line links the object again (`ld -r`).
    pub relinked: bool,
    /// The last file that a later command of that line moves: from where, and to where.
    pub moved: Option<(Name, Name)>,
    /// Every line `saved_c_flags_<object> := <flags>`; see [`FileNames::saved_prefix`].
    pub saved: Vec<SavedFlags>,
    /// Every `#SYMVER name 0xcrc` line.
    pub symvers: Vec<(Name, u32)>,
    /// `#SYMVER` lines that modpost would skip: line number and text.
    pub bad_symvers: Vec<(usize, String)>,
}

/// The words of a command, or why a shell would not take it.
pub type Words = Result<Box<[Name]>, String>;

/// A line with the flags of an object.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedFlags {
    /// The object that the line names.
    pub object: Name,
    /// 1-based line in the `.cmd` file.
    pub line: usize,
    pub flags: Words,
}

/// A `foo.o.thinlto.bc` file.
#[derive(Debug, Serialize, Deserialize)]
pub enum SummaryFile {
    Missing,
    /// Empty, truncated or no index: why, with the offset.
    Damaged(String),
    /// The modules it speaks of: the module's own is among them. `skip` marks the stub written
    /// for an unused member.
    Read {
        modules: Vec<IndexedModule>,
        skip: bool,
    },
}

/// A module that an index speaks of.
#[derive(Debug, Serialize, Deserialize)]
pub struct IndexedModule {
    /// Its object.
    pub name: Name,
    pub hash: Option<[u32; 5]>,
    /// How many of its functions, variables and aliases the index speaks of: all of the module's
    /// own, and of the others those that it may import.
    pub summaries: usize,
}

/// A line of `vmlinux.symvers` or `Module.symvers`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Export {
    pub symbol: Name,
    pub crc: u32,
    /// `vmlinux` or the module's path.
    pub module: Name,
    /// `EXPORT_SYMBOL` or `EXPORT_SYMBOL_GPL`.
    pub licence: Name,
    /// Empty where the symbol is in no namespace.
    pub namespace: Name,
}

/// A loadable module, and the objects it is linked from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Module {
    /// Path without suffix, such as `drivers/foo/foo`.
    pub name: Name,
    /// Objects of its `.mod` file.
    pub objects: Vec<ModuleObject>,
    /// The `.ko` file; missing too where it is older than what modpost wrote for it.
    pub file: ObjectFile,
    /// What the `.ko` file tells the module loader.
    pub tables: ModuleTables,
}

/// What a loadable module tells the module loader about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ModuleTables {
    /// Its undefined symbols, in the order of its symbol table.
    pub imports: Vec<Import>,
    /// Its table of versions: the CRC by which it asks for each symbol.
    pub versions: Vec<(Name, u32)>,
    /// Its own `__ksymtab`.
    pub exports: Vec<Exported>,
    /// Its `.modinfo`: `license` and `GPL`, for example.
    pub modinfo: Vec<(Name, Name)>,
}

/// An object of a module.
#[derive(Debug, Serialize, Deserialize)]
pub struct ModuleObject {
    pub name: Name,
    /// By its first bytes; none where it is missing or neither.
    pub code: Option<Code>,
    pub cmd: CmdFile,
}

/// A symbol that a module takes from elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Import {
    pub symbol: Name,
    /// Whether the module does without it.
    pub weak: bool,
}

/// The file that clangd and other tools of clang read: how each source is compiled.
#[derive(Debug, Serialize, Deserialize)]
pub enum CompileCommandsFile {
    Missing,
    /// Cannot be read, is no JSON or not of the format: why, with line and column.
    Damaged(String),
    Read(CompileCommands),
}

/// What `compile_commands.json` says of the sources that objects here are compiled from.
#[derive(Debug, Serialize, Deserialize)]
pub struct CompileCommands {
    /// Its entries for these sources, in file order.
    pub entries: Vec<CompileCommand>,
    /// It is older than `vmlinux.a`: made only on request, it may be of an earlier build.
    pub stale: bool,
    /// It is older than `modules.order`, or than the list of a module's objects.
    pub stale_modules: bool,
}

/// An entry of `compile_commands.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CompileCommand {
    /// The file that it is for, named as [`Cmd::c_source`].
    pub source: Name,
    /// The last word of its command, where no word of it is a source file.
    pub instead: Option<Name>,
}

/// What a build log says besides the commands it ran.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Log {
    /// 1-based line and text.
    pub messages: Vec<(usize, String)>,
    /// Warnings by kind: `-Wunused-variable`, or the tool that warns.
    pub warnings: BTreeMap<String, usize>,
    /// LLVM's tools that are named in commands and read the kernel's objects: `llvm-nm-22`.
    pub tools: BTreeSet<String>,
    /// Messages left out because there were too many to keep; one, if they were not counted
    /// because the log was too long.
    pub left_out: usize,
}
