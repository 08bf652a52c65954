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
    let on = |arch: &&Arc<Arch>| {
        config
            .get(&format!("CONFIG_{}", arch.config))
            .is_some_and(|v| v == "y")
    };
    Ok(all()?.values().find(on).map(|arch| &**arch))
}

/// The names of the table, sorted.
///
/// # Errors
/// As [`all`].
pub fn names() -> Result<Vec<&'static str>, ArchError> {
    Ok(all()?.keys().map(String::as_str).collect())
}

/// The names of the architectures whose kernels can be built with Clang's LTO, sorted.
///
/// # Errors
/// As [`all`].
pub fn names_with_lto() -> Result<Vec<&'static str>, ArchError> {
    let with_lto = all()?.values().filter(|arch| arch.lto);
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
        assert_eq!(names, ["arm64", "loongarch", "powerpc", "riscv", "x86_64"]);
    }

    #[test]
    fn what_identifies_an_architecture_is_unique() {
        for arch in all().unwrap().values() {
            let same = |a: &&Arc<Arch>| {
                a.config == arch.config
                    || a.triple == arch.triple
                    || a.elf.machine == arch.elf.machine
            };
            assert_eq!(all().unwrap().values().filter(same).count(), 1, "{arch:?}");
        }
    }

    #[rstest]
    #[case("CONFIG_X86_64", Some("x86_64"))]
    #[case("CONFIG_ARM64", Some("arm64"))]
    #[case("CONFIG_RISCV", Some("riscv"))]
    #[case("CONFIG_LOONGARCH", Some("loongarch"))]
    #[case("CONFIG_SPARC", None)]
    fn an_architecture_is_recognised(#[case] symbol: &str, #[case] name: Option<&str>) {
        let config = BTreeMap::from([(symbol.to_owned(), "y".to_owned())]);
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
            "architecture 'aarch64' is not known; did you mean 'arm64'? known: arm64, loongarch, powerpc, riscv, x86_64"
        );
    }
}
