//! The rules a matrix file must keep beyond its shape: names are defined, used and fit
//! for paths, symbols are spelt right, and no line of the file is without effect. Each
//! broken rule is reported at its place in the file, with what to do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{Document, MatrixError};
use crate::arch;
use crate::cell::{Arch, Cell, LtoMode};
use crate::nearest::known_names;
use crate::yaml;

/// Variables of make's command line that klto sets itself.
const OWN_VARIABLES: [&str; 6] = [
    "ARCH",
    "SRCARCH",
    "O",
    "KBUILD_OUTPUT",
    "M",
    "KCONFIG_CONFIG",
];

/// The scenarios that a matrix may name: a matrix must never promise what `klto run` does
/// not do.
const PLAYED: [&str; 1] = ["build"];

/// The file that the rules are applied to, to find places in it.
pub(super) struct Check<'a> {
    pub text: &'a str,
    pub file: &'a Path,
}

type Checked = Result<(), MatrixError>;

impl Check<'_> {
    fn broken(&self, path: &[&str], message: impl Into<String>) -> MatrixError {
        MatrixError::Rule {
            place: yaml::locate(self.text, self.file, path),
            message: message.into(),
        }
    }

    /// Everything that can be said before cells are made; the architectures in
    /// the order of their axis.
    pub fn definitions(&self, document: &Document) -> Result<Vec<Arc<Arch>>, MatrixError> {
        self.path_safe(&document.name, "matrix", &["name"])?;
        self.toolchains(document)?;
        self.configs(document)?;
        self.scenarios(document)?;
        self.axes(document)
    }

    /// Names become folders and parts of cell names.
    fn path_safe(&self, name: &str, what: &str, path: &[&str]) -> Checked {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.bytes().all(fits) {
            return Err(self.broken(
                path,
                format!(
                    "`{name}` cannot name a {what}: it becomes part of a path; use letters, \
                     digits and . _ + - and begin with none of . and -"
                ),
            ));
        }
        Ok(())
    }

    fn toolchains(&self, document: &Document) -> Checked {
        for (name, toolchain) in &document.toolchains {
            self.path_safe(name, "toolchain", &["toolchains", name])?;
            for variable in toolchain.make.keys() {
                let path = ["toolchains", name, "make", variable];
                let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                if variable.is_empty() || !variable.bytes().all(letter) {
                    let message = format!(
                        "`{variable}` is not a make variable; expected letters, digits and _"
                    );
                    return Err(self.broken(&path, message));
                }
                if OWN_VARIABLES.contains(&variable.as_str()) {
                    let message = format!(
                        "`{variable}` is set by klto from the cell and the build folder; remove it"
                    );
                    return Err(self.broken(&path, message));
                }
            }
        }
        Ok(())
    }

    fn configs(&self, document: &Document) -> Checked {
        for (name, config) in &document.configs {
            self.path_safe(name, "config", &["configs", name])?;
            self.path_safe(&config.base, "base config", &["configs", name, "base"])?;
            let mut seen = BTreeSet::new();
            for (list, symbols) in [("enable", &config.enable), ("disable", &config.disable)] {
                for (index, symbol) in symbols.iter().enumerate() {
                    let path = ["configs", name, list, &index.to_string()];
                    self.symbol(symbol, &path)?;
                    self.symbol_once(symbol, &mut seen, &path)?;
                }
            }
            for (symbol, value) in &config.set {
                let path = ["configs", name, "set", symbol];
                self.symbol(symbol, &path)?;
                self.symbol_once(symbol, &mut seen, &path)?;
                if value.is_empty() {
                    let message = format!(
                        "`{symbol}` has no value; write one, or '\"\"' for an empty string"
                    );
                    return Err(self.broken(&path, message));
                }
            }
        }
        Ok(())
    }

    fn symbol(&self, symbol: &str, path: &[&str]) -> Checked {
        if let Some(bare) = symbol.strip_prefix("CONFIG_") {
            let message = format!("symbols are written without `CONFIG_` here; write `{bare}`");
            return Err(self.broken(path, message));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if symbol.is_empty() || !symbol.bytes().all(letter) {
            let message = format!(
                "`{symbol}` is not a config symbol; expected letters, digits and _; \
                 a value other than y or n belongs under `set: {{ SYMBOL: value }}`"
            );
            return Err(self.broken(path, message));
        }
        let modes = LtoMode::ALL.map(LtoMode::config_symbol);
        if modes.contains(&symbol) || symbol == "LTO_CLANG" {
            let message = format!("`{symbol}` belongs to the LTO mode; use `axes: lto` for it");
            return Err(self.broken(path, message));
        }
        Ok(())
    }

    fn symbol_once<'s>(
        &self,
        symbol: &'s str,
        seen: &mut BTreeSet<&'s str>,
        path: &[&str],
    ) -> Checked {
        if !seen.insert(symbol) {
            let message = format!(
                "`{symbol}` is given twice in this config; keep one of enable, disable and set"
            );
            return Err(self.broken(path, message));
        }
        Ok(())
    }

    fn scenarios(&self, document: &Document) -> Checked {
        self.filled("scenarios", &document.scenarios, &["scenarios"])?;
        for (index, name) in document.scenarios.iter().enumerate() {
            let path = ["scenarios", &index.to_string()];
            self.defined(name, "scenario", PLAYED, &path)?;
        }
        Ok(())
    }

    fn axes(&self, document: &Document) -> Result<Vec<Arc<Arch>>, MatrixError> {
        let axes = &document.axes;
        self.filled("axes: arch", &axes.arch, &["axes", "arch"])?;
        self.filled("axes: config", &axes.config, &["axes", "config"])?;
        self.filled("axes: lto", &axes.lto, &["axes", "lto"])?;
        self.filled("axes: toolchain", &axes.toolchain, &["axes", "toolchain"])?;
        let known = arch::all()?;
        let mut arches = Vec::new();
        for (index, name) in axes.arch.iter().enumerate() {
            let path = ["axes", "arch", &index.to_string()];
            self.defined(
                name,
                "architecture",
                known.keys().map(String::as_str),
                &path,
            )?;
            arches.extend(known.get(name).cloned());
        }
        for (index, name) in axes.config.iter().enumerate() {
            let path = ["axes", "config", &index.to_string()];
            let known = document.configs.keys().map(String::as_str);
            self.defined(name, "config", known, &path)?;
        }
        for (index, name) in axes.toolchain.iter().enumerate() {
            let path = ["axes", "toolchain", &index.to_string()];
            let known = document.toolchains.keys().map(String::as_str);
            self.defined(name, "toolchain", known, &path)?;
        }
        Ok(arches)
    }

    /// A list says something, and says it once.
    fn filled<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        list: &[T],
        path: &[&str],
    ) -> Checked {
        if list.is_empty() {
            let message = format!("`{what}` is empty, so there is nothing to build; name one");
            return Err(self.broken(path, message));
        }
        for (index, entry) in list.iter().enumerate() {
            if list[..index].contains(entry) {
                let index = index.to_string();
                let place = [path, &[&index]].concat();
                let message = format!("`{what}` names this twice; remove one");
                return Err(self.broken(&place, message));
            }
        }
        Ok(())
    }

    fn defined<'k>(
        &self,
        name: &str,
        what: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
        path: &[&str],
    ) -> Checked {
        if known.clone().into_iter().any(|k| k == name) {
            return Ok(());
        }
        let known = known_names(name, known);
        Err(self.broken(path, format!("{what} `{name}` is not defined; {known}")))
    }

    /// Every `exclude` and `allow` concerns some of `cells`, all combinations: a typo
    /// there would otherwise build or hide what nobody meant.
    pub fn patterns(&self, document: &Document, cells: &[Cell]) -> Checked {
        for (index, exclude) in document.exclude.iter().enumerate() {
            let index = index.to_string();
            let axes = &document.axes;
            let named = [
                ("arch", &exclude.arch, &axes.arch),
                ("config", &exclude.config, &axes.config),
                ("toolchain", &exclude.toolchain, &axes.toolchain),
            ];
            for (axis, given, values) in named {
                if let Some(name) = given.as_ref().filter(|name| !values.contains(name)) {
                    let known = known_names(name, values.iter().map(String::as_str));
                    let message = format!(
                        "excludes {axis} `{name}`, which is not on that axis, so it excludes \
                         nothing; {known}"
                    );
                    return Err(self.broken(&["exclude", &index, axis], message));
                }
            }
            if exclude.lto.is_some_and(|lto| !axes.lto.contains(&lto)) {
                let message = "excludes an LTO mode that is not on that axis, so it excludes \
                               nothing; remove it";
                return Err(self.broken(&["exclude", &index, "lto"], message));
            }
            if exclude.reason.trim().is_empty() {
                let message = "the reason is blank; say why these cells are not built";
                return Err(self.broken(&["exclude", &index, "reason"], message));
            }
        }
        for (index, allow) in document.allow.iter().enumerate() {
            if !cells.iter().any(|cell| allow.cells.matches(&cell.name())) {
                let message = format!(
                    "`{}` matches no cell of this matrix; a cell is named like `{}`",
                    allow.cells.as_str(),
                    cells.first().map(Cell::name).unwrap_or_default(),
                );
                return Err(self.broken(&["allow", &index.to_string(), "cells"], message));
            }
        }
        Ok(())
    }

    /// After `exclude`, something is left to build.
    pub fn some_left(&self, cells: &[Cell]) -> Checked {
        if cells.is_empty() {
            let message = "every cell is excluded, so there is nothing to build; remove an exclude";
            return Err(self.broken(&["exclude"], message));
        }
        Ok(())
    }
}
