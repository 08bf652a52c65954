//! What configurations start from: goals of make, and files of the user's, which are read with the
//! matrix. A word with a slash is a file, from the folder of the matrix file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::rules::Check;
use super::{Document, MatrixError};
use crate::file;
use crate::input::arch_table::{self, ArchError};
use crate::input::fragment;
use crate::model::arch::Arch;
use crate::model::cell::{Base, Cell};
use crate::model::error::Error;

/// The most that is read of a configuration, in bytes. That of a distribution has 300,000.
const MOST: u64 = 4 << 20;

/// What each config of a matrix starts from.
pub(super) type Starts = BTreeMap<String, Start>;

/// What a config starts from.
#[derive(Debug)]
pub(super) struct Start {
    pub base: Base,
    /// The architecture that a file is of, where klto knows it.
    pub arch: Option<&'static Arch>,
    /// Goals of make.
    pub fragments: Vec<String>,
    /// The symbols of all fragments that are files, with their values. The config's own come before
    /// them.
    pub symbols: BTreeMap<String, String>,
}

impl Start {
    /// Adds the symbols of the fragments that the cell does not set itself.
    pub fn add_to(&self, cell: &mut Cell) {
        let is_own = |symbol: &String| {
            cell.enable.contains(symbol)
                || cell.disable.contains(symbol)
                || cell.set.contains_key(symbol)
        };
        let others = self.symbols.iter().filter(|(symbol, _)| !is_own(symbol));
        let others: Vec<(String, String)> = others.map(|(s, v)| (s.clone(), v.clone())).collect();
        for (symbol, value) in others {
            cell.ask_for(symbol, value);
        }
    }
}

/// Whether a word of a config names a file.
pub(super) fn is_file(word: &str) -> bool {
    word.contains('/')
}

/// Reads the files that the configs name.
///
/// # Errors
/// If one cannot be read or is no configuration; the message has the position in the matrix.
pub(super) fn read(document: &Document, check: &Check<'_>) -> Result<Starts, MatrixError> {
    let mut starts = Starts::new();
    for (name, config) in &document.configs {
        let (base, arch) = match is_file(&config.base) {
            false => (Base::Goal(config.base.clone()), None),
            true => {
                let at = ["configs", name, "base"];
                let (path, text) = read_file(&config.base, check, &at)?;
                let symbols = parsed(&path, &text, check, &at)?;
                (Base::File { path, text }, arch_of(&symbols)?)
            }
        };
        let mut start = Start {
            base,
            arch,
            fragments: Vec::new(),
            symbols: BTreeMap::new(),
        };
        for (index, fragment) in config.fragments.iter().enumerate() {
            if !is_file(fragment) {
                start.fragments.push(fragment.clone());
                continue;
            }
            let at = ["configs", name, "fragments", &index.to_string()];
            let (path, text) = read_file(fragment, check, &at)?;
            let symbols = parsed(&path, &text, check, &at)?;
            for symbol in symbols.keys() {
                check.symbol(symbol, &at)?;
            }
            start.symbols.extend(symbols);
        }
        starts.insert(name.clone(), start);
    }
    Ok(starts)
}

/// The architecture of a configuration.
fn arch_of(symbols: &BTreeMap<String, String>) -> Result<Option<&'static Arch>, ArchError> {
    arch_table::of_symbols(|symbol| symbols.get(symbol).is_some_and(|value| value == "y"))
}

/// Checks whether each cell that starts from a file has the architecture of the file: make would
/// turn it into a configuration of another without a message.
///
/// # Errors
/// With the position of the file's name in the matrix.
pub(super) fn check_arches(
    cells: &[Cell],
    starts: &Starts,
    check: &Check<'_>,
) -> Result<(), MatrixError> {
    for cell in cells {
        let Base::File { path, .. } = &cell.base else {
            continue;
        };
        let arch = starts.get(&cell.config_name).and_then(|start| start.arch);
        if arch.is_none_or(|arch| arch.name != cell.arch.name) {
            let of = arch.map_or("none that klto knows", |arch| &arch.name);
            let message = format!(
                "{} is to be built for {}, but its architecture is {of}; exclude the other cells",
                path.display(),
                cell.arch.name
            );
            let at = ["configs", cell.config_name.as_str(), "base"];
            return Err(check.broken(&at, message));
        }
    }
    Ok(())
}

fn read_file(
    word: &str,
    check: &Check<'_>,
    at: &[&str],
) -> Result<(PathBuf, Arc<str>), MatrixError> {
    let folder = check.file.parent().unwrap_or(Path::new(""));
    let path = folder.join(word);
    let path = std::path::absolute(&path).unwrap_or(path);
    match file::read_text(&path, MOST) {
        Ok(text) => Ok((path, text.into())),
        Err(why) => {
            let path = path.display();
            let message = format!("cannot read the configuration {path}: {why}");
            Err(check.broken(at, message))
        }
    }
}

fn parsed(
    path: &Path,
    text: &str,
    check: &Check<'_>,
    at: &[&str],
) -> Result<BTreeMap<String, String>, MatrixError> {
    fragment::parse(text).map_err(|bad| {
        let place = format!("{}:{}", path.display(), bad.number);
        check.broken(at, format!("{place}: {bad}"))
    })
}

/// A hash of the matrix, and of the files that it names.
pub(super) fn digest(text: &str, starts: &Starts) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes());
    for (name, start) in starts {
        if let Base::File { text, .. } = &start.base {
            hasher.update(name.as_bytes()).update(text.as_bytes());
        }
        for (symbol, value) in &start.symbols {
            hasher.update(format!("\0{name} {symbol}={value}").as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The text of a matrix for one configuration: its architecture, both modes of ThinLTO, and these
/// toolchains, each with a name and what make takes as `LLVM=`. It stands in the folder of the file.
///
/// # Errors
/// If the file cannot be read, is no configuration, or is of no architecture that klto knows.
pub(super) fn matrix_of(file: &Path, toolchains: &[(String, String)]) -> Result<String, Error> {
    let wrong = |why: String| Error::Usage(format!("{}: {why}", file.display()));
    let text = file::read_text(file, MOST).map_err(|e| {
        wrong(format!(
            "cannot be read as a configuration: {e}\n  give a kernel's .config"
        ))
    })?;
    let symbols = fragment::parse(&text).map_err(|bad| {
        wrong(format!(
            "line {}: {bad}\n  give a kernel's .config",
            bad.number
        ))
    })?;
    let Some(arch) = arch_of(&symbols)? else {
        return Err(wrong(
            "sets the symbol of no architecture that klto knows, such as CONFIG_X86_64=y\n  give a whole .config, not only a fragment of one"
                .to_owned(),
        ));
    };
    let name = name_of(file);
    let base = format!(
        "./{}",
        file.file_name().unwrap_or_default().to_string_lossy()
    );
    let make = |llvm: &String| json!({ "make": { "LLVM": llvm } });
    let made = toolchains
        .iter()
        .map(|(name, llvm)| (name.clone(), make(llvm)));
    let names: Vec<&String> = toolchains.iter().map(|(name, _)| name).collect();
    // JSON is YAML.
    Ok(json!({
        "name": name,
        "toolchains": made.collect::<serde_json::Map<_, _>>(),
        "configs": { name.as_str(): { "base": base } },
        "axes": {
            "arch": [arch.name], "config": [name], "lto": ["thin-dist", "thin"], "toolchain": names
        },
    })
    .to_string())
}

/// The name of a configuration's file, as a part of paths.
fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let name: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    match name.trim_start_matches(['.', '-']) {
        "" => "config".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(".config", "config")]
    #[case("a/laptop.config", "laptop.config")]
    #[case("my config (old)", "my-config--old-")]
    #[case("..", "config")]
    fn a_configuration_has_the_name_of_its_file(#[case] file: &str, #[case] name: &str) {
        assert_eq!(name_of(Path::new(file)), name);
    }
}
