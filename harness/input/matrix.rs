//! Reads a matrix file and turns it into cells, the input of every run. Its parts must fit
//! together before anything is built: `matrix/rules.rs` checks that.

mod files;
mod rules;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use self::files::Starts;
use crate::input::allow::Allow;
use crate::input::arch_table::ArchError;
use crate::input::suggest::nearest;
use crate::input::yaml::{self, Place, YamlError};
use crate::model::arch::Arch;
use crate::model::cell::{Cell, CellPattern, LtoMode, PatternError, SCENARIOS};
use crate::model::error::Error;
use crate::model::keep::Keep;
use crate::model::tolerances::Tolerances;

/// A matrix whose parts fit together, and its cells.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Its name, used for the folders of snapshots and runs.
    pub name: String,
    /// The file it was read from, as the user gave it.
    pub file: PathBuf,
    /// A hash of the file's text.
    pub digest: String,
    /// The names of the excluded cells, each with the reason.
    pub excluded: Vec<(String, String)>,
    /// Known findings.
    pub allow: Vec<Allow>,
    /// The modes whose trees are compared, all with the first.
    pub compare: Vec<LtoMode>,
    /// How much sizes may differ then.
    pub tolerances: Option<Tolerances>,
    /// Which build trees stay after a run, unless the user says otherwise.
    pub keep: Option<Keep>,
    cells: Vec<Cell>,
}

/// The file's own shape.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    toolchains: BTreeMap<String, Toolchain>,
    configs: BTreeMap<String, Config>,
    axes: Axes,
    #[serde(default)]
    exclude: Vec<Exclude>,
    #[serde(default = "build_only")]
    scenarios: Vec<ScenarioEntry>,
    #[serde(default)]
    compare: Vec<LtoMode>,
    #[serde(default)]
    tolerances: Option<Tolerances>,
    #[serde(default = "six_hours", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default)]
    keep: Option<Keep>,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Toolchain {
    make: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// A goal of make, or, with a slash, a file.
    base: String,
    /// In their order: a fragment of the kernel's, or, with a slash, a file.
    #[serde(default)]
    fragments: Vec<String>,
    #[serde(default)]
    enable: Vec<String>,
    #[serde(default)]
    disable: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// The goals of make.
    #[serde(default = "the_kernel")]
    goals: Vec<String>,
    /// More symbols, for the cells of one architecture.
    #[serde(default)]
    arch: BTreeMap<String, Symbols>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Symbols {
    #[serde(default)]
    enable: Vec<String>,
    #[serde(default)]
    disable: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// A scenario, and the cells it is run on: `switch`, or
/// `{ name: switch, cells: "x86_64" }`.
#[derive(Debug, Clone, PartialEq)]
struct ScenarioEntry {
    name: String,
    /// All, if `None`.
    cells: Option<CellPattern>,
}

impl<'de> Deserialize<'de> for ScenarioEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ScenarioEntry, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OnSome {
            name: String,
            #[serde(deserialize_with = "pattern")]
            cells: CellPattern,
        }

        struct WordOrMap;

        impl<'de> Visitor<'de> for WordOrMap {
            type Value = ScenarioEntry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a scenario, or '{ name: …, cells: … }'")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ScenarioEntry, E> {
                Ok(ScenarioEntry {
                    name: name.to_owned(),
                    cells: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ScenarioEntry, A::Error> {
                let OnSome { name, cells } = OnSome::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ScenarioEntry {
                    name,
                    cells: Some(cells),
                })
            }
        }

        deserializer.deserialize_any(WordOrMap)
    }
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CellPattern, D::Error> {
    yaml::word(deserializer, CellPattern::new)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Axes {
    arch: Vec<String>,
    config: Vec<String>,
    lto: Vec<LtoMode>,
    toolchain: Vec<String>,
}

/// Cells that are not built: those that match all given coordinates. Each is one value or a list of
/// several; any matches if none is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    /// Names of architectures.
    #[serde(default, deserialize_with = "one_or_more")]
    pub arch: Vec<String>,
    /// Names of configurations.
    #[serde(default, deserialize_with = "one_or_more")]
    pub config: Vec<String>,
    /// LTO modes.
    #[serde(default, deserialize_with = "one_or_more")]
    pub lto: Vec<LtoMode>,
    /// Names of toolchains.
    #[serde(default, deserialize_with = "one_or_more")]
    pub toolchain: Vec<String>,
    /// Why; never blank.
    pub reason: String,
}

impl Exclude {
    /// Whether it excludes `cell`.
    pub fn covers(&self, cell: &Cell) -> bool {
        fn has<T: PartialEq>(given: &[T], own: &T) -> bool {
            given.is_empty() || given.contains(own)
        }
        has(&self.arch, &cell.arch.name)
            && has(&self.config, &cell.config_name)
            && has(&self.lto, &cell.lto)
            && has(&self.toolchain, &cell.toolchain_name)
    }
}

fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct WordOrList<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrList<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a name or a list of names")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Vec<T>, E> {
            T::deserialize(name.into_deserializer()).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
            let all: Vec<T> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
            match all.is_empty() {
                true => Err(serde::de::Error::custom("the list is empty; leave it out")),
                false => Ok(all),
            }
        }
    }

    deserializer.deserialize_any(WordOrList(PhantomData))
}

fn the_kernel() -> Vec<String> {
    vec!["vmlinux".to_owned()]
}

fn build_only() -> Vec<ScenarioEntry> {
    vec![ScenarioEntry {
        name: "build".to_owned(),
        cells: None,
    }]
}

/// Nothing runs forever, even if the file sets no limit.
fn six_hours() -> Duration {
    Duration::from_hours(6)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    yaml::word(deserializer, |text| match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err(
            "the time limit is zero, so nothing would run; write one such as '2h' or '90min'"
                .into(),
        ),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!(
            "'{text}' is not a time limit ({error}); write one such as '2h' or '90min'"
        )),
    })
}

/// Why a matrix cannot be used. Nothing was built.
#[derive(Debug, Error)]
pub enum MatrixError {
    /// The file cannot be read, or is not a matrix.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The architecture table cannot be read.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// A part of the file breaks a rule.
    #[error("{place}: {message}")]
    Rule {
        /// Where.
        place: Place,
        /// What was expected, what was found, and what to do.
        message: String,
    },
    /// A pattern given on the command line cannot be read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A pattern matches no cell of the matrix.
    #[error("'{pattern}' matches no cell of {}; {hint}", .file.display())]
    NoCell {
        /// The pattern.
        pattern: String,
        /// The matrix file.
        file: PathBuf,
        /// The cells there are, and the nearest of them.
        hint: String,
    },
}

impl From<MatrixError> for crate::model::error::Error {
    fn from(error: MatrixError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Matrix {
    /// Reads and checks a matrix file.
    ///
    /// # Errors
    /// When it cannot be read or its parts do not fit; the message has the position.
    pub fn load(file: &Path) -> Result<Self, MatrixError> {
        Self::parse(&yaml::read(file)?, file)
    }

    /// A matrix for one `.config`, which has no file of its own.
    ///
    /// # Errors
    /// If the file is not the configuration of a kernel that klto can build.
    pub fn of_config(file: &Path, toolchains: &[(String, String)]) -> Result<Self, Error> {
        Ok(Self::parse(&files::matrix_of(file, toolchains)?, file)?)
    }

    /// A matrix from `text`, the contents of `file`.
    ///
    /// # Errors
    /// When its parts do not fit; the message has the position.
    pub fn parse(text: &str, file: &Path) -> Result<Self, MatrixError> {
        let document: Document = yaml::parse(text, file)?;
        let check = rules::Check { text, file };
        let arches = check.definitions(&document)?;
        let files = files::read(&document, &check)?;
        check.size(&document, &files)?;
        let mut cells = document.product(&arches, &files);
        check.patterns(&document, &cells)?;
        let mut excluded = Vec::new();
        cells.retain(|cell| {
            let by = document.exclude.iter().find(|e| e.covers(cell));
            excluded.extend(by.map(|e| (cell.name(), e.reason.clone())));
            by.is_none()
        });
        check.some_left(&cells)?;
        files::check_arches(&cells, &files, &check)?;
        Ok(Self {
            name: document.name,
            file: file.to_owned(),
            digest: files::digest(text, &files),
            excluded,
            allow: document.allow,
            compare: document.compare,
            tolerances: document.tolerances,
            keep: document.keep,
            cells,
        })
    }

    /// All cells that are not excluded, by architecture, config, LTO mode and toolchain, each
    /// in the order of the file.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells that at least one of `patterns` matches (see [`CellPattern`]), in the
    /// matrix's order; all cells if there is no pattern.
    ///
    /// # Errors
    /// When a pattern is invalid or matches no cell.
    pub fn select(&self, patterns: &[String]) -> Result<Vec<Cell>, MatrixError> {
        if patterns.is_empty() {
            return Ok(self.cells.clone());
        }
        let patterns = patterns
            .iter()
            .map(|text| self.pattern(text))
            .collect::<Result<Vec<_>, _>>()?;
        let selected = |cell: &&Cell| patterns.iter().any(|p| p.matches(&cell.name()));
        Ok(self.cells.iter().filter(selected).cloned().collect())
    }

    fn pattern(&self, text: &str) -> Result<CellPattern, MatrixError> {
        let pattern = CellPattern::new(text)?;
        let names: Vec<String> = self.cells.iter().map(Cell::name).collect();
        if names.iter().any(|name| pattern.matches(name)) {
            return Ok(pattern);
        }
        let hint = match nearest(text, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'? "),
            None => String::new(),
        };
        Err(MatrixError::NoCell {
            pattern: text.to_owned(),
            file: self.file.clone(),
            hint: format!("{hint}its cells:\n  {}", names.join("\n  ")),
        })
    }
}

/// The placeholder in a toolchain's variables for the prefix of the architecture's GNU tools.
const GNU: &str = "{gnu}";

impl Document {
    /// The scenarios of a cell, in the order they are run.
    fn scheduled(&self, cell: &str) -> Vec<String> {
        let is_played = |name: &&str| {
            self.scenarios.iter().any(|scheduled| {
                scheduled.name == **name && scheduled.cells.as_ref().is_none_or(|p| p.matches(cell))
            })
        };
        SCENARIOS
            .into_iter()
            .filter(is_played)
            .map(str::to_owned)
            .collect()
    }

    /// The cells of all combinations, before `exclude`. Every name is defined.
    fn product(&self, arches: &[Arc<Arch>], files: &Starts) -> Vec<Cell> {
        let mut cells = Vec::new();
        let axes = &self.axes;
        for arch in arches {
            for (name, config) in axes
                .config
                .iter()
                .filter_map(|c| self.configs.get_key_value(c))
            {
                let Some(start) = files.get(name) else {
                    continue;
                };
                for &lto in &axes.lto {
                    let toolchains = axes.toolchain.iter();
                    for (toolchain_name, toolchain) in
                        toolchains.filter_map(|t| self.toolchains.get_key_value(t))
                    {
                        let mut cell = Cell {
                            arch: Arc::clone(arch),
                            config_name: name.clone(),
                            base: start.base.clone(),
                            fragments: start.fragments.clone(),
                            enable: config.enable.clone(),
                            disable: config.disable.clone(),
                            set: config.set.clone(),
                            lto,
                            toolchain_name: toolchain_name.clone(),
                            make: toolchain.make.clone(),
                            goals: config.goals.clone(),
                            scenarios: Vec::new(),
                            timeout: self.timeout,
                        };
                        if let Some(more) = config.arch.get(&arch.name) {
                            cell.enable.extend(more.enable.iter().cloned());
                            cell.disable.extend(more.disable.iter().cloned());
                            cell.set.extend(more.set.clone());
                        }
                        start.add_to(&mut cell);
                        for value in cell.make.values_mut() {
                            *value = value.replace(GNU, &arch.gnu);
                        }
                        cell.scenarios = self.scheduled(&cell.name());
                        cell.enable_needed();
                        cells.push(cell);
                    }
                }
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests;
