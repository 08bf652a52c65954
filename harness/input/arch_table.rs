//! The architecture table: one YAML file per architecture, embedded in the program, so that a
//! new architecture needs a file and no code (`build.rs` makes cargo notice new files). It is
//! read when a matrix names an architecture, and to recognise that of a build tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use include_dir::{Dir, include_dir};
use thiserror::Error;

use crate::input::suggest::known_names;
use crate::input::yaml::{self, YamlError};
use crate::model::arch::Arch;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/input/arch");

/// Why an architecture is not available.
#[derive(Debug, Error)]
pub enum ArchError {
    /// No file in the table has this name.
    #[error("architecture '{name}' is not known; {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known names and the nearest of them, to end the message.
        known: String,
    },
    /// A file of the table is invalid: a bug in klto itself.
    #[error(transparent)]
    File(#[from] YamlError),
    /// A file's name is not the architecture's.
    #[error(
        "arch/{file} describes '{name}', so it must be named '{name}.yaml'; rename one of the two"
    )]
    Misnamed {
        /// The file.
        file: String,
        /// The `name` inside it.
        name: String,
    },
}

impl From<ArchError> for crate::model::error::Error {
    fn from(error: ArchError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Every architecture, by name.
///
/// # Errors
/// If a file of the embedded table is invalid, which a unit test rules out.
pub fn all() -> Result<&'static BTreeMap<String, Arc<Arch>>, ArchError> {
    static TABLE: OnceLock<BTreeMap<String, Arc<Arch>>> = OnceLock::new();
    if let Some(table) = TABLE.get() {
        return Ok(table);
    }
    let table = parse_table(&FILES)?;
    Ok(TABLE.get_or_init(|| table))
}

/// The architecture of that name.
///
/// # Errors
/// [`ArchError::Unknown`] with the nearest name, if there is none.
pub fn by_name(name: &str) -> Result<&'static Arc<Arch>, ArchError> {
    let table = all()?;
    table.get(name).ok_or_else(|| ArchError::Unknown {
        name: name.to_owned(),
        known: known_names(name, table.keys().map(String::as_str)),
    })
}

/// The architecture of a configuration (symbols with `CONFIG_`).
///
/// # Errors
/// As [`all`].
pub fn of_config(config: &BTreeMap<String, String>) -> Result<Option<&'static Arch>, ArchError> {
    of_symbols(|symbol| {
        let value = config.get(&format!("CONFIG_{symbol}"));
        value.is_some_and(|value| value == "y")
    })
}

/// The same, where `is_set` says whether a symbol, without `CONFIG_`, is `y`.
///
/// # Errors
/// As [`all`].
pub fn of_symbols(is_set: impl Fn(&str) -> bool) -> Result<Option<&'static Arch>, ArchError> {
    let is_of = |arch: &&Arc<Arch>| arch.config.iter().all(|symbol| is_set(symbol));
    let found = all()?.values().filter(is_of);
    let found = found.max_by_key(|arch| arch.config.len());
    Ok(found.map(|arch| &**arch))
}

/// The names of the table, sorted.
///
/// # Errors
/// As [`all`].
pub fn names() -> Result<Vec<&'static str>, ArchError> {
    Ok(all()?.keys().map(String::as_str).collect())
}

/// The names of the machines whose kernels can be built with Clang's LTO, sorted. A kernel that is a
/// program is compiled as that of the machine that it runs on.
///
/// # Errors
/// As [`all`].
pub fn names_with_lto() -> Result<Vec<&'static str>, ArchError> {
    let with_lto = all()?
        .values()
        .filter(|arch| arch.lto && !arch.is_program());
    Ok(with_lto.map(|arch| arch.name.as_str()).collect())
}

fn parse_table(files: &Dir<'_>) -> Result<BTreeMap<String, Arc<Arch>>, ArchError> {
    let mut table = BTreeMap::new();
    for file in files.files() {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = String::from_utf8_lossy(file.contents());
        let arch: Arch = yaml::parse(&text, &Path::new("arch").join(path))?;
        if path.file_stem().is_none_or(|stem| *stem != *arch.name) {
            return Err(ArchError::Misnamed {
                file: path.display().to_string(),
                name: arch.name,
            });
        }
        table.insert(arch.name.clone(), Arc::new(arch));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn every_file_describes_the_architecture_it_is_named_after() {
        let names: Vec<&String> = all().unwrap().keys().collect();
        assert_eq!(
            names,
            ["arm64", "loongarch", "powerpc", "riscv", "um", "x86_64"]
        );
    }

    #[test]
    fn what_identifies_an_architecture_is_unique() {
        for arch in all().unwrap().values() {
            // A kernel that is a program is one for the machine of another architecture.
            let same = |a: &&Arc<Arch>| {
                let is_machine = a.triple == arch.triple || a.elf.machine == arch.elf.machine;
                a.config == arch.config || (is_machine && a.is_program() == arch.is_program())
            };
            assert_eq!(all().unwrap().values().filter(same).count(), 1, "{arch:?}");
        }
    }

    #[rstest]
    #[case("CONFIG_X86_64", Some("x86_64"))]
    #[case("CONFIG_ARM64", Some("arm64"))]
    #[case("CONFIG_RISCV", Some("riscv"))]
    #[case("CONFIG_LOONGARCH", Some("loongarch"))]
    #[case("CONFIG_64BIT CONFIG_UML CONFIG_X86_64", Some("um"))]
    #[case("CONFIG_UML CONFIG_X86_32", None)]
    #[case("CONFIG_PPC64 CONFIG_CPU_LITTLE_ENDIAN", Some("powerpc"))]
    #[case("CONFIG_SPARC", None)]
    fn an_architecture_is_recognised(#[case] symbols: &str, #[case] name: Option<&str>) {
        let symbols = symbols.split(' ');
        let config = symbols.map(|symbol| (symbol.to_owned(), "y".to_owned()));
        let config = config.collect();
        let found = of_config(&config).unwrap();
        assert_eq!(found.map(|arch| arch.name.as_str()), name);
    }

    #[test]
    fn the_architectures_with_lto_are_those_that_the_makefiles_know() {
        let names = names_with_lto().unwrap();
        assert_eq!(names, ["arm64", "loongarch", "riscv", "x86_64"]);
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        assert_eq!(
            by_name("aarch64").unwrap_err().to_string(),
            "architecture 'aarch64' is not known; did you mean 'arm64'? known: arm64, loongarch, powerpc, riscv, um, x86_64"
        );
    }
}
