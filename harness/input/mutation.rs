//! Mutations: named mistakes in the kernel's makefiles, each a small data file with the edit
//! and the rules that must report it. Harmless edits are written in the same way, but no rule
//! may report them. `klto probe --mutate` applies both to its copy of the source tree.

use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::input::suggest::known_names;
use crate::input::yaml;
use crate::model::cell::LtoMode;
use crate::model::error::Error;

static MISTAKES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/input/mutations");
static HARMLESS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/input/harmless");

/// A mutation, or a harmless edit: that has neither [`Mutation::expect`] nor
/// [`Mutation::unseen`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// The stem of its file.
    pub name: String,
    /// What the mistake is, and what it leads to.
    pub about: String,
    /// The version of the distributed-ThinLTO series that had it.
    #[serde(default)]
    pub history: Option<String>,
    /// Applied in order.
    pub edits: Vec<Edit>,
    /// The modes in which it can be seen; all, if not given.
    #[serde(default = "all_modes")]
    pub lto: Vec<LtoMode>,
    /// The architectures on which it can be seen; all, if not given.
    #[serde(default)]
    pub arch: Option<Vec<String>>,
    /// The cheapest scenario that reveals it.
    #[serde(default = "build")]
    pub scenario: String,
    /// The keys that must be reported.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Keys that may be reported as well.
    #[serde(default)]
    pub also: Vec<String>,
    /// Why no rule can report it.
    #[serde(default)]
    pub unseen: Option<String>,
}

/// A change to one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Relative to the source tree.
    pub file: String,
    /// A text that occurs exactly once in the file.
    #[serde(rename = "match")]
    pub pattern: String,
    pub replace: String,
}

fn all_modes() -> Vec<LtoMode> {
    LtoMode::ALL.to_vec()
}

fn build() -> String {
    "build".to_owned()
}

impl Mutation {
    /// The files that it changes.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.edits.iter().map(|edit| edit.file.as_str())
    }

    /// The error for a kernel that has no `file` to change.
    #[must_use]
    pub fn no_file(&self, kernel: &Path, file: &str) -> Error {
        Error::Usage(format!(
            "{}: there is no {file}, which mutation {} changes\n  it does not apply to this kernel; choose another mutation or another kernel",
            kernel.display(),
            self.name
        ))
    }

    /// The text of `file` with the mutation applied.
    ///
    /// # Errors
    /// When a pattern does not occur exactly once.
    pub fn apply(&self, file: &str, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = text.to_vec();
        for edit in self.edits.iter().filter(|edit| edit.file == file) {
            let finder = memchr::memmem::Finder::new(edit.pattern.as_bytes());
            let places: Vec<usize> = finder.find_iter(&text).collect();
            let [place] = places[..] else {
                return Err(format!(
                    "mutation {}: {file} has '{}' {} times, not once\n  it does not apply to this kernel; choose another mutation or another kernel",
                    self.name,
                    edit.pattern.escape_debug(),
                    places.len()
                ));
            };
            text.splice(place..place + edit.pattern.len(), edit.replace.bytes());
        }
        Ok(text)
    }
}

/// Every mistake of the table, by name.
///
/// # Errors
/// If a file of the embedded table is invalid, which a unit test rules out.
pub fn all() -> Result<Vec<Mutation>, Error> {
    table(&MISTAKES)
}

/// Every harmless edit, by name: what a maintainer may well do.
///
/// # Errors
/// As [`all`].
pub fn harmless() -> Result<Vec<Mutation>, Error> {
    table(&HARMLESS)
}

fn table(files: &Dir<'_>) -> Result<Vec<Mutation>, Error> {
    let mut table = files
        .files()
        .map(|file| {
            let text = String::from_utf8_lossy(file.contents());
            yaml::parse(&text, file.path()).map_err(|e| Error::Usage(e.to_string()))
        })
        .collect::<Result<Vec<Mutation>, Error>>()?;
    table.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(table)
}

/// The mutations of these names, in their order.
///
/// # Errors
/// As [`load`].
pub fn load_all(names: &[String]) -> Result<Vec<Mutation>, Error> {
    names.iter().map(|name| load(name)).collect()
}

/// The mutation or harmless edit of that name. A name that ends in `.yaml` is the path of the user's own file.
///
/// # Errors
/// [`Error::Usage`] with the nearest name, if there is none.
pub fn load(name: &str) -> Result<Mutation, Error> {
    if name.ends_with(".yaml") {
        let file = Path::new(name);
        return yaml::read(file)
            .and_then(|text| yaml::parse(&text, file))
            .map_err(|e| Error::Usage(e.to_string()));
    }
    let table = [all()?, harmless()?].concat();
    match table.iter().find(|mutation| mutation.name == name) {
        Some(mutation) => Ok(mutation.clone()),
        None => Err(Error::Usage(format!(
            "there is no mutation '{name}'; {}",
            known_names(name, table.iter().map(|m| m.name.as_str()))
        ))),
    }
}

#[cfg(test)]
mod tests;
