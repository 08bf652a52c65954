//! Reads `compile_commands.json`: which sources of the tree's objects have an entry, and
//! what its command compiles. The format is clang's "JSON Compilation Database", the
//! kernel's writer `scripts/clang-tools/gen_compile_commands.py`. Called by `collect`.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::cmd_file::Roots;
use super::{BuildTree, ENTRIES};
use crate::file;
use crate::model::facts::{
    CompileCommand, CompileCommands, CompileCommandsFile, Module, Name, NameTable, Object,
};

const FILE: &str = "compile_commands.json";
/// The most that is read of it, in bytes. That of allyesconfig has 150 million.
const MOST: u64 = 256 << 20;

/// An entry of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where the command runs.
    pub directory: Name,
    /// The file that it compiles, joined to the directory if it is relative.
    pub file: Name,
    /// See [`CompileCommand::instead`].
    pub instead: Option<Name>,
}

/// Parses the whole file.
///
/// # Errors
/// When it is not JSON or has another format: why, with line and column or entry.
pub fn parse(text: &[u8], roots: &Roots, names: &NameTable) -> Result<Vec<Entry>, String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let entries = json.deserialize_seq(Entries { roots, names });
    let entries = entries.and_then(|entries| json.end().map(|()| entries));
    entries.map_err(|e| e.to_string())
}

/// Takes one entry after the other: a whole file of them as it is written takes gigabytes.
struct Entries<'c> {
    roots: &'c Roots,
    names: &'c NameTable,
}

/// An entry as it is written.
#[derive(serde::Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    directory: Text<'a>,
    #[serde(borrow)]
    file: Text<'a>,
    #[serde(default, deserialize_with = "command")]
    command: Option<Input>,
    #[serde(default, deserialize_with = "arguments")]
    arguments: Option<Input>,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut written: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = written.next_element()? {
            if entries.len() == ENTRIES {
                return Err(A::Error::custom(format!("more than {ENTRIES} entries")));
            }
            let entry = self.entry(entries.len() + 1, entry);
            entries.push(entry.map_err(A::Error::custom)?);
        }
        Ok(entries)
    }
}

impl Entries<'_> {
    /// The entry with that number, from 1.
    fn entry(&self, number: usize, written: Written<'_>) -> Result<Entry, String> {
        let Text(directory) = written.directory;
        let file = file_name(&directory, &written.file.0, self.roots);
        // If both are given, clang uses the arguments.
        let input = written.arguments.or(written.command);
        let instead = match input {
            Some(Input::Source) => None,
            Some(Input::Other(word)) => Some(self.names.get_or_intern(self.roots.file_name(&word))),
            None => {
                return Err(format!(
                    "entry {number}, for {file}: neither command nor arguments"
                ));
            }
        };
        Ok(Entry {
            directory: self
                .names
                .get_or_intern(String::from_utf8_lossy(&directory)),
            file: self.names.get_or_intern(file),
            instead,
        })
    }
}

/// Text of the file, not copied unless something is escaped. It is bytes, because the kernel's
/// script writes bytes that are not UTF-8 as escapes that a `str` cannot contain.
struct Text<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Cow<'de, [u8]>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(Bytes).map(Text)
    }
}

/// What a command compiles. Nothing else is kept of the command, which takes kilobytes.
enum Input {
    /// A C or assembly file is among its words.
    Source,
    /// None is; the last word.
    Other(Box<[u8]>),
}

impl Input {
    /// The kernel's commands end with the source; those of other tools may continue.
    fn of<'w>(words: impl DoubleEndedIterator<Item = &'w [u8]>) -> Option<Input> {
        let mut last = None;
        for word in words.rev() {
            let bare = word.trim_ascii();
            let bare = bare.strip_suffix(b"\"").unwrap_or(bare);
            let bare = bare.strip_suffix(b"'").unwrap_or(bare);
            if bare.ends_with(b".c") || bare.ends_with(b".S") {
                return Some(Input::Source);
            }
            if last.is_none() && !bare.is_empty() {
                last = Some(Input::Other(bare.into()));
            }
        }
        last
    }
}

fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Input>, D::Error> {
    let Text(command) = Text::deserialize(from)?;
    match Input::of(command.split(u8::is_ascii_whitespace)) {
        None => Err(D::Error::custom("the command is empty")),
        input => Ok(input),
    }
}

fn arguments<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Input>, D::Error> {
    let words = Vec::<Text>::deserialize(from)?;
    match Input::of(words.iter().map(|word| &*word.0)) {
        None => Err(D::Error::custom("there are no arguments")),
        input => Ok(input),
    }
}

/// The same name for a file, whether its path is absolute or relative to `directory`.
fn file_name(directory: &[u8], file: &[u8], roots: &Roots) -> String {
    // In facts, a placeholder replaces the path of a root.
    if file.starts_with(b"/") || file.starts_with(b"$(") {
        roots.file_name(file)
    } else {
        roots.file_name(&[directory, b"/", file].concat())
    }
}

/// Reads the file of a tree, or returns why it cannot be read. That does not stop the check:
/// nothing is built from it.
pub(super) fn read(tree: &BuildTree, names: &NameTable) -> Result<Option<Vec<Entry>>, String> {
    match file::read(&tree.build.join(FILE), MOST) {
        Ok(text) => parse(&text, &tree.roots, names).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}

/// What the file says about the sources of objects.
pub(super) fn of_objects(
    tree: &BuildTree,
    read: Result<Option<Vec<Entry>>, String>,
    objects: &[Object],
    modules: &[Module],
    names: &NameTable,
) -> CompileCommandsFile {
    let written = match read {
        Ok(Some(written)) => written,
        Ok(None) => return CompileCommandsFile::Missing,
        Err(why) => return CompileCommandsFile::Damaged(why),
    };
    let of_modules = modules.iter().flat_map(|module| &module.objects);
    let cmds = objects.iter().map(|object| &object.cmd);
    let mut seen = FxHashSet::default();
    let sources: Vec<Name> = cmds
        .chain(of_modules.map(|object| &object.cmd))
        .filter_map(|cmd| cmd.read()?.c_source)
        .filter(|source| seen.insert(*source))
        .collect();

    let mut inputs: FxHashMap<Name, Vec<Option<Name>>> = FxHashMap::default();
    for entry in &written {
        inputs.entry(entry.file).or_default().push(entry.instead);
    }
    // Relative paths in `.cmd` files start at the build tree's path in the entries, which may
    // differ from its current path.
    let directory = written
        .first()
        .map_or("", |entry| names.resolve(&entry.directory));
    let entries = sources.par_iter().flat_map_iter(|source| {
        let text = names.resolve(source);
        let inputs_of = |file: String| inputs.get(&names.get(&file)?);
        inputs_of(file_name(
            directory.as_bytes(),
            text.as_bytes(),
            &tree.roots,
        ))
        // The kernel's script resolves symbolic links.
        .or_else(|| {
            let file = on_disk(tree, text).canonicalize().ok()?;
            inputs_of(tree.roots.file_name(file.as_os_str().as_bytes()))
        })
        .into_iter()
        .flatten()
        .map(|instead| CompileCommand {
            source: *source,
            instead: *instead,
        })
    });

    let older_than = |file: &str| tree.is_older(FILE, file);
    CompileCommandsFile::Read(CompileCommands {
        entries: entries.collect(),
        stale: older_than("vmlinux.a"),
        // make writes the list of a module's objects when it changes, and `modules.order`
        // only once all of them are built.
        stale_modules: older_than("modules.order")
            || modules
                .iter()
                // The others need not be read.
                .filter(|module| !module.objects.is_empty())
                .any(|module| older_than(&format!("{}.mod", names.resolve(&module.name)))),
    })
}

/// The path of a file that facts name.
fn on_disk(tree: &BuildTree, name: &str) -> PathBuf {
    let below = |root: &str| name.strip_prefix(root)?.strip_prefix('/');
    match (below("$(srctree)"), &tree.source) {
        (Some(below), Some(source)) => source.join(below),
        _ => tree.build.join(below("$(objtree)").unwrap_or(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn read(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
        let names = NameTable::default();
        let roots = Roots::new(Some(b"/k/linux"), Some(b"/k/linux/out"));
        let text_of = |name: Name| names.resolve(&name).to_owned();
        let entries = parse(text.as_bytes(), &roots, &names)?;
        Ok(entries
            .iter()
            .map(|entry| (text_of(entry.file), entry.instead.map(text_of)))
            .collect())
    }

    fn entry(rest: &str) -> String {
        format!(r#"[{{"directory": "/k/linux/out", {rest}}}]"#)
    }

    #[rstest]
    #[case::in_the_source_tree("/k/linux/init/main.c", "$(srctree)/init/main.c")]
    #[case::in_the_build_tree("/k/linux/out/x/made.c", "$(objtree)/x/made.c")]
    #[case::from_the_directory("../init/main.c", "$(srctree)/init/main.c")]
    #[case::by_a_detour("../arch/x/kvm/../../../virt/a.c", "$(srctree)/virt/a.c")]
    #[case::made_here("x/made.c", "$(objtree)/x/made.c")]
    #[case::elsewhere("/elsewhere/init/main.c", "/elsewhere/init/main.c")]
    #[case::escaped(r#"/k/linux/\u00e4 \"b\".c"#, "$(srctree)/ä \"b\".c")]
    fn a_file_has_one_name(#[case] written: &str, #[case] name: &str) {
        let text = entry(&format!(r#""file": "{written}", "command": "cc x.c""#));
        assert_eq!(read(&text), Ok(vec![(name.to_owned(), None)]));
    }

    #[rstest]
    #[case::c(r#""command": "cc -DX='\"y\"' -c -o x.o ../x.c""#, None)]
    #[case::assembly(r#""command": "cc -c -o x.o ../x.S""#, None)]
    #[case::options_behind(r#""command": "cc -c ../x.c -o x.o""#, None)]
    #[case::arguments(r#""arguments": ["cc", "-c", "../x.c"]"#, None)]
    #[case::arguments_count(r#""command": "cc x.o", "arguments": ["cc", "x.c"]"#, None)]
    #[case::bitcode(r#""command": "cc -x ir -c -o x.native.o x.o ""#, Some("x.o"))]
    #[case::bitcode_arguments(r#""arguments": ["cc", "-x", "ir", "x.o"]"#, Some("x.o"))]
    #[case::a_root(r#""command": "cc /k/linux/out/x.o""#, Some("$(objtree)/x.o"))]
    fn what_the_command_compiles_is_seen(#[case] command: &str, #[case] instead: Option<&str>) {
        let text = entry(&format!(r#""file": "x.c", {command}, "output": "x.o""#));
        let found = read(&text).unwrap();
        assert_eq!(found[0].1.as_deref(), instead);
    }

    #[rstest]
    #[case::nothing("", "EOF while parsing")]
    #[case::cut("[{", "EOF while parsing")]
    #[case::no_array("{}", "expected a sequence")]
    #[case::no_objects("[1]", "expected struct")]
    #[case::more_after("[] x", "trailing characters")]
    #[case::no_directory(
        r#"[{"file": "x.c", "command": "cc x.c"}]"#,
        "missing field `directory`"
    )]
    #[case::no_file(r#"[{"directory": "/", "command": "cc x.c"}]"#, "missing field `file`")]
    #[case::no_text(
        r#"[{"directory": "/", "file": 1, "command": "cc x.c"}]"#,
        "expected a string"
    )]
    #[case::no_command(
        r#"[{"directory": "/", "file": "/x.c"}]"#,
        "entry 1, for /x.c: neither command nor arguments"
    )]
    #[case::empty_command(
        r#"[{"directory": "/", "file": "x.c", "command": " "}]"#,
        "command is empty"
    )]
    #[case::no_arguments(
        r#"[{"directory": "/", "file": "x.c", "arguments": []}]"#,
        "no arguments"
    )]
    #[case::twice(r#"[{"file": "x.c", "file": "y.c"}]"#, "duplicate field `file`")]
    fn what_is_not_of_the_format_is_refused(#[case] text: &str, #[case] why: &str) {
        let refused = read(text).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }

    #[test]
    fn an_empty_array_has_no_entries() {
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    /// Python writes a byte that is not UTF-8 as half of a surrogate pair.
    #[test]
    fn a_path_need_not_be_utf_8() {
        let found = read(&entry(r#""file": "/x\udcff.c", "command": "cc x.c""#));
        assert_eq!(found.unwrap().len(), 1);
    }

    #[test]
    fn deep_nesting_ends() {
        let text = "[".repeat(1 << 20);
        assert!(read(&text).is_err());
        assert!(read(&entry(&format!(r#""x": {text}"#))).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0..200usize, at in 0..200usize, byte: u8) {
            let mut text = entry(r#""file": "\u00e4.c", "command": "cc -DX=\"'\" -c x.c""#).into_bytes();
            let at = at % text.len();
            text[at] = byte;
            text.truncate(cut);
            let _ = parse(&text, &Roots::default(), &NameTable::default());
        }
    }
}
