//! How [`Facts`] are written and read back: the texts once, in the order of their numbers,
//! and every name as the number of its text. What is read back may be damaged, so that each
//! name is checked before anything asks for its text.

use std::collections::{BTreeMap, BTreeSet};

use lasso::Key as _;

use super::file_names::FileNames;
use super::{
    Archive, Backend, BuildFile, Built, Cmd, CmdFile, Code, CompileCommand, CompileCommands,
    CompileCommandsFile, ConfigEdit, DirectoryArchive, Elf, ElfHeader, Export, Exported, Facts,
    Import, IndexedModule, Ir, Log, Module, ModuleObject, ModuleTables, Name, Object, ObjectFile,
    SavedFlags, Step, StepState, SummaryFile, Vmlinux, VmlinuxO,
};

/// The files of a build tree that facts name by a text of the program.
const BUILD_FILES: [BuildFile; 7] = [
    "",
    "Module.symvers",
    "built-in-fixup.a",
    "vmlinux",
    "vmlinux.a",
    "vmlinux.o",
    "vmlinux.symvers",
];

impl Facts {
    /// Checks facts that were read back: [`Facts::text`] panics for a name that is not in
    /// the table.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_names(&self) -> Result<(), String> {
        let known = self.names.len();
        let mut unknown = None;
        self.each_name(&mut |name| {
            if name.into_usize() >= known {
                unknown.get_or_insert(name.into_usize());
            }
        });
        match unknown {
            Some(name) => Err(format!("text {name} is named, but there are {known} texts")),
            None => Ok(()),
        }
    }
}

/// Visits every name in a value.
trait EachName {
    fn each_name(&self, visit: &mut impl FnMut(Name));
}

impl EachName for Name {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        visit(*self);
    }
}

impl<T: EachName> EachName for Option<T> {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        if let Some(value) = self {
            value.each_name(visit);
        }
    }
}

impl<T: EachName> EachName for [T] {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        for value in self {
            value.each_name(visit);
        }
    }
}

impl<T: EachName> EachName for Vec<T> {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        self.as_slice().each_name(visit);
    }
}

impl<T: EachName + ?Sized> EachName for Box<T> {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        (**self).each_name(visit);
    }
}

impl<T: EachName> EachName for &T {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        (**self).each_name(visit);
    }
}

impl<A: EachName, B: EachName> EachName for (A, B) {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        self.0.each_name(visit);
        self.1.each_name(visit);
    }
}

impl<T: EachName, E> EachName for Result<T, E> {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        if let Ok(value) = self {
            value.each_name(visit);
        }
    }
}

/// Types without a name in them.
macro_rules! nameless {
    ($($type:ty),+) => {$(
        impl EachName for $type {
            fn each_name(&self, _visit: &mut impl FnMut(Name)) {}
        }
    )+};
}

nameless!(
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    [u32; 5],
    String,
    BuildFile,
    BTreeMap<String, String>,
    BTreeMap<String, usize>,
    BTreeSet<String>,
    super::Names,
    Built,
    Code,
    ElfHeader,
    FileNames,
    Step,
    StepState
);

/// Structs, each with all of its fields: a new field that is not listed does not compile.
macro_rules! structs {
    ($($type:ident { $($field:ident),+ })+) => {$(
        impl EachName for $type {
            fn each_name(&self, visit: &mut impl FnMut(Name)) {
                let $type { $($field),+ } = self;
                $($field.each_name(visit);)+
            }
        }
    )+};
}

structs! {
    Facts {
        built, kernel, config, config_edits, times_kept, file_names, steps, fixup, objects_from, vmlinux_a, linked_whole, library_members, directory_archives, tools, builtin_order,
        index, vmlinux_objs, head_objects, objects, exports, exports_from, export_c, vmlinux_o, vmlinux,
        modules, module_exports, compile_commands, damaged, log, names
    }
    Archive { thin, nondeterministic, damaged, members }
    DirectoryArchive { name, members, repeated }
    Object { name, file, cmd, backend }
    Backend { native, file, cmd, summary, stale }
    Ir { triple, producer, hash, thin, summaries, defined, initcalls }
    IndexedModule { name, hash, summaries }
    Elf { header, defined, hidden_undefined, initcalls }
    VmlinuxO { header, symbols, unresolved_promotions, initcall_script }
    Vmlinux { header, symbols, image_bytes, linker, is_of_release, exports, initcalls }
    Exported { symbol, crc, gpl_only }
    Cmd { c_source, command, relinked, moved, saved, symvers, bad_symvers }
    SavedFlags { object, line, flags }
    Export { symbol, crc, module, licence, namespace }
    ConfigEdit { symbol, dot_config, auto_conf }
    Module { name, objects, file, tables }
    ModuleTables { imports, versions, exports, modinfo }
    ModuleObject { name, code, cmd }
    Import { symbol, weak }
    CompileCommands { entries, stale, stale_modules }
    CompileCommand { source, instead }
    Log { messages, warnings, tools, left_out }
}

impl EachName for ObjectFile {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        match self {
            ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => {}
            ObjectFile::Ir(ir) => ir.each_name(visit),
            ObjectFile::Elf(elf) => elf.each_name(visit),
        }
    }
}

impl EachName for CmdFile {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        self.read().each_name(visit);
    }
}

impl EachName for SummaryFile {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        match self {
            SummaryFile::Missing | SummaryFile::Damaged(_) => {}
            SummaryFile::Read { modules, skip: _ } => modules.each_name(visit),
        }
    }
}

impl EachName for CompileCommandsFile {
    fn each_name(&self, visit: &mut impl FnMut(Name)) {
        match self {
            CompileCommandsFile::Missing | CompileCommandsFile::Damaged(_) => {}
            CompileCommandsFile::Read(commands) => commands.each_name(visit),
        }
    }
}

/// One of [`BUILD_FILES`], as its text.
pub(super) mod build_file {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

    use super::{BUILD_FILES, BuildFile};

    pub fn serialize<S: Serializer>(file: &BuildFile, serializer: S) -> Result<S::Ok, S::Error> {
        if !BUILD_FILES.contains(file) {
            let why = format!("'{file}' is not among the files that can be read back");
            return Err(ser::Error::custom(why));
        }
        file.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BuildFile, D::Error> {
        let file = String::deserialize(deserializer)?;
        let known = BUILD_FILES.into_iter().find(|known| *known == file);
        known.ok_or_else(|| de::Error::custom(format!("'{file}' is no file of a build tree")))
    }
}

/// A list whose entries each begin with one of [`BUILD_FILES`].
pub(super) mod by_build_file {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{BuildFile, build_file};

    #[derive(Serialize, Deserialize)]
    struct Entry(#[serde(with = "build_file")] BuildFile, String);

    pub fn serialize<S: Serializer>(
        entries: &[(BuildFile, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(entries.iter().map(|(file, why)| Entry(file, why.clone())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(BuildFile, String)>, D::Error> {
        let entries = Vec::<Entry>::deserialize(deserializer)?;
        Ok(entries.into_iter().map(|e| (e.0, e.1)).collect())
    }
}

/// The table of texts, in the order of their numbers. That of `lasso` takes it for granted
/// that no text stands twice.
pub(super) mod names {
    use std::fmt;

    use rustc_hash::FxBuildHasher;
    use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
    use serde::ser::{SerializeSeq as _, Serializer};

    use crate::model::facts::{Name, Names};

    type Table = lasso::Rodeo<Name, FxBuildHasher>;

    pub fn serialize<S: Serializer>(names: &Names, serializer: S) -> Result<S::Ok, S::Error> {
        let mut texts = serializer.serialize_seq(Some(names.len()))?;
        names
            .strings()
            .try_for_each(|text| texts.serialize_element(text))?;
        texts.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        deserializer.deserialize_seq(Texts)
    }

    struct Texts;

    impl<'de> Visitor<'de> for Texts {
        type Value = Names;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Names, A::Error> {
            let mut table = Table::with_hasher(FxBuildHasher);
            while texts.next_element_seed(Interned(&mut table))?.is_some() {}
            Ok(table.into_reader())
        }
    }

    /// Takes one text into the table.
    struct Interned<'a>(&'a mut Table);

    impl<'de> DeserializeSeed<'de> for Interned<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_str(self)
        }
    }

    impl Visitor<'_> for Interned<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
            let before = self.0.len();
            self.0.try_get_or_intern(text).map_err(E::custom)?;
            match self.0.len() > before {
                true => Ok(()),
                false => Err(E::custom(format!("the text '{text}' stands twice"))),
            }
        }
    }
}
