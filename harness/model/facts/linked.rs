//! What the linker made: read from `vmlinux.o`, which keeps relocations, and from
//! `vmlinux`. Plain, ordered data, for the comparison of two build trees.

use std::collections::{BTreeMap, BTreeSet};

/// What was linked in one build tree.
#[derive(Debug, Default)]
pub struct Linked {
    /// Functions of `vmlinux.o`, by name.
    pub functions: BTreeMap<Box<str>, Symbol>,
    /// Variables of `vmlinux.o`, by name.
    pub variables: BTreeMap<Box<str>, Symbol>,
    /// Global symbols of `vmlinux.o` that are said to be neither: labels of assembly.
    pub labels: BTreeSet<Box<str>>,
    /// Sections of `vmlinux` that are loaded, by name; empty ones are left out.
    pub sections: BTreeMap<Box<str>, Section>,
    /// Calls at start, in the order in which they are made.
    pub initcalls: Vec<Initcall>,
    /// The symbol where `vmlinux` is entered; the address, where it has no name.
    pub entry: String,
    /// Parameters and other information of built-in modules: `modules.builtin.modinfo`.
    pub modinfo: BTreeSet<Box<str>>,
    /// The linker's options, without inputs and output, for each file that a module was linked
    /// to: `foo.ko`, and `foo.o` if that was linked too.
    pub module_links: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// Whether the build log shows that `vmlinux.o` was linked: if not, it is the log of a build
    /// that had less to do, and lacks warnings.
    pub link_in_log: bool,
}

/// The symbols of one name: more than one, where several files have a static one. ThinLTO
/// makes `name` global where another module refers to it, mostly as `name.llvm.<hash>`; the name
/// here is without.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub count: u32,
    /// Bytes of all of them.
    pub size: u64,
    /// Whether one is global or weak, and was before any promotion.
    pub global: bool,
    /// Whether one has been promoted.
    pub promoted: bool,
    /// The C file's name, without its folder, where the symbol table has it.
    pub file: Option<Box<str>>,
    /// Types of the relocations within them, by their number in the ELF file.
    pub relocations: BTreeSet<u32>,
}

/// A section of `vmlinux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub kind: SectionKind,
    pub size: u64,
}

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionKind {
    Code,
    ReadOnly,
    Data,
    /// Data that begins as zeros, and has no bytes in the file.
    Zeroed,
}

impl SectionKind {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SectionKind::Code => "code",
            SectionKind::ReadOnly => "read-only data",
            SectionKind::Data => "data",
            SectionKind::Zeroed => "zeroed data",
        }
    }
}

/// A call at start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Initcall {
    /// As `__initcall<level>_start` has it, `6s` in the second half of `6`; `early` before the first
    /// of them.
    pub level: Box<str>,
    /// Module and function, with the suffix that kbuild gives the level: `main foo_init6`.
    pub call: Box<str>,
}
