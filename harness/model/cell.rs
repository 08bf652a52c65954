//! The vocabulary of all other layers: scenarios, LTO modes, and the cell, one point of a
//! matrix. Plain data.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::arch::Arch;
use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Every scenario, in the order they are run.
pub const SCENARIOS: [&str; 12] = [
    "build", "noop", "touch", "flags", "config", "shrink", "switch", "damage", "clean", "shuffle",
    "location", "boot",
];

/// The scenario that needs a whole kernel: a miniature cannot boot.
pub const BOOT: &str = "boot";

/// How the kernel is link-time optimised: the choice "Link Time Optimization (LTO)"
/// of the kernel's `arch/Kconfig`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LtoMode {
    /// No LTO: every object is native.
    None,
    /// ThinLTO with the back ends inside the linker.
    Thin,
    /// Distributed ThinLTO: the back ends are kbuild's own commands.
    ThinDist,
    /// Full LTO: one module at the link.
    Full,
}

impl LtoMode {
    /// Every mode.
    pub const ALL: [LtoMode; 4] = [Self::None, Self::Thin, Self::ThinDist, Self::Full];

    /// The name in matrix files and cell names.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Thin => "thin",
            Self::ThinDist => "thin-dist",
            Self::Full => "full",
        }
    }

    /// The Kconfig symbol that selects the mode, without `CONFIG_`.
    pub fn config_symbol(self) -> &'static str {
        match self {
            Self::None => "LTO_NONE",
            Self::Thin => "LTO_CLANG_THIN",
            Self::ThinDist => "LTO_CLANG_THIN_DIST",
            Self::Full => "LTO_CLANG_FULL",
        }
    }

    /// Whether a Kconfig symbol, without `CONFIG_`, selects a mode.
    pub fn is_config_symbol(symbol: &[u8]) -> bool {
        Self::ALL
            .iter()
            .any(|mode| mode.config_symbol().as_bytes() == symbol)
    }
}

impl fmt::Display for LtoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no LTO mode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not an LTO mode; use none, thin, thin-dist or full")]
pub struct UnknownLtoMode(
    /// The word found.
    pub String,
);

impl FromStr for LtoMode {
    type Err = UnknownLtoMode;

    fn from_str(name: &str) -> Result<Self, UnknownLtoMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| UnknownLtoMode(name.to_owned()))
    }
}

/// What a configuration starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A goal of make, such as `tinyconfig`.
    Goal(String),
    /// A `.config` that the user has.
    File {
        /// Where it was.
        path: PathBuf,
        /// What was in it when the matrix was read.
        text: Arc<str>,
    },
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Base::Goal(goal) => f.write_str(goal),
            Base::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// One point of a matrix: everything about what to build, and nothing about where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The architecture.
    pub arch: Arc<Arch>,
    /// The configuration's name in the matrix.
    pub config_name: String,
    /// What the configuration starts from.
    pub base: Base,
    /// Goals of make that add a fragment of the kernel's to it, such as `hardening.config`.
    pub fragments: Vec<String>,
    /// Symbols to set to `y`, without `CONFIG_`.
    pub enable: Vec<String>,
    /// Symbols to set to `n`, without `CONFIG_`.
    pub disable: Vec<String>,
    /// Symbols with another value, without `CONFIG_`, as the matrix gives it.
    pub set: BTreeMap<String, String>,
    /// The LTO mode.
    pub lto: LtoMode,
    /// The toolchain's name in the matrix.
    pub toolchain_name: String,
    /// The toolchain's variables for make's command line, such as `LLVM=-22`.
    pub make: BTreeMap<String, String>,
    /// The goals of make, such as `vmlinux`.
    pub goals: Vec<String>,
    /// The scenarios to run, names from [`SCENARIOS`].
    pub scenarios: Vec<String>,
    /// The time limit for the build and all scenarios together.
    pub timeout: Duration,
}

/// Adds those that are not there yet.
fn add<'a>(own: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for symbol in more {
        if !own.contains(symbol) {
            own.push(symbol.clone());
        }
    }
}

impl Cell {
    /// Asks for a symbol, without `CONFIG_`, with that value: `y`, `n`, or another as `set` takes it.
    pub fn ask_for(&mut self, symbol: String, value: String) {
        match value.as_str() {
            "y" => self.enable.push(symbol),
            "n" => self.disable.push(symbol),
            _ => drop(self.set.insert(symbol, value)),
        }
    }

    /// The cell's name everywhere: `arm64/tiny/thin-dist/llvm-22`.
    pub fn name(&self) -> String {
        let Self {
            arch,
            config_name,
            lto,
            toolchain_name,
            ..
        } = self;
        format!("{}/{config_name}/{lto}/{toolchain_name}", arch.name)
    }

    /// Adds the symbols that the architecture needs, and those that a kernel needs to boot, if the cell boots
    /// and klto can boot the architecture.
    pub fn enable_needed(&mut self) {
        let boots = self.runs(BOOT);
        let boot = self.arch.boot.as_ref().filter(|_| boots);
        let enable = boot.iter().flat_map(|boot| &boot.enable);
        add(&mut self.enable, self.arch.enable.iter().chain(enable));
        add(
            &mut self.disable,
            boot.iter().flat_map(|boot| &boot.disable),
        );
    }

    /// What the configuration starts from, and the fragments that are added, in words.
    #[must_use]
    pub fn begins_with(&self) -> String {
        let fragments = self.fragments.iter().map(|fragment| format!(" {fragment}"));
        self.base.to_string() + &fragments.collect::<String>()
    }

    /// What the modes of one kernel have in common.
    pub fn group(&self) -> (&str, &str, &str) {
        (&self.arch.name, &self.config_name, &self.toolchain_name)
    }

    /// Whether it names a scenario.
    pub fn runs(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
    }

    /// Every symbol the cell asks for, with `CONFIG_`, and its value as `.config`
    /// writes it; `n` stands for "is not set". The other LTO modes are not listed:
    /// they are one choice, so setting one unsets them.
    pub fn requested(&self) -> BTreeMap<String, String> {
        let enabled = self.enable.iter().map(|symbol| (symbol.as_str(), "y"));
        let disabled = self.disable.iter().map(|symbol| (symbol.as_str(), "n"));
        let set = self
            .set
            .iter()
            .map(|(s, value)| (s.as_str(), value.as_str()));
        let mode = [(self.lto.config_symbol(), "y")];
        enabled
            .chain(disabled)
            .chain(set)
            .chain(mode)
            .map(|(symbol, value)| (format!("CONFIG_{symbol}"), config_value(value)))
            .collect()
    }
}

/// `value` in the notation of `.config`: y, m, n and numbers are unchanged; anything else is
/// a string and gets quotes unless it has them. A string that looks like a number must
/// therefore be given with its quotes.
fn config_value(value: &str) -> String {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let hex = value
        .strip_prefix("0x")
        .or_else(|| value.strip_prefix("0X"))
        .is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit()));
    let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    if decimal || hex || quoted || matches!(value, "y" | "m" | "n") {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A pattern for cell names. `*` spans `/`; `?`, `[…]` and `{a,b}` work too. It matches the
/// whole name or its first components: `arm64`, `arm64/*` and `*/thin-dist` all match
/// `arm64/tiny/thin-dist/llvm-22`, but `*/thin` does not.
#[derive(Debug, Clone)]
pub struct CellPattern(GlobMatcher);

impl PartialEq for CellPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// A pattern that is invalid.
#[derive(Debug, Clone, Error)]
#[error(
    "'{pattern}' is not a pattern: {why}; write something like 'arm64/*', '*/thin-dist' or '*'"
)]
pub struct PatternError {
    pattern: String,
    why: String,
}

impl CellPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is empty, or a bracket or brace is not closed.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = |why: String| PatternError {
            pattern: pattern.to_owned(),
            why,
        };
        let components = pattern.trim_end_matches('/');
        if components.is_empty() {
            return Err(error("it is empty".to_owned()));
        }
        GlobBuilder::new(components)
            .literal_separator(false)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|e| error(e.kind().to_string()))
    }

    /// The pattern's own text.
    pub fn as_str(&self) -> &str {
        self.0.glob().glob()
    }

    /// Whether the pattern covers the cell of that name.
    pub fn matches(&self, cell_name: &str) -> bool {
        let ends = cell_name.match_indices('/').map(|(end, _)| end);
        ends.chain([cell_name.len()])
            .any(|end| self.0.is_match(&cell_name[..end]))
    }
}

impl FromStr for CellPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Self::new(pattern)
    }
}

#[cfg(test)]
mod tests;
