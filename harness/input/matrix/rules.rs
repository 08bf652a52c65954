//! The rules of a matrix file beyond its shape: names are defined, used and safe in paths,
//! symbols are spelt correctly, and every line has an effect. A broken rule is reported with
//! its position in the file and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::files::{self, Starts};
use super::{Document, MatrixError};
use crate::input::arch_table;
use crate::input::suggest::known_names;
use crate::input::yaml;
use crate::model::arch::Arch;
use crate::model::cell::{Cell, LtoMode, SCENARIOS};

/// Variables of make's command line that klto sets itself.
const OWN_VARIABLES: [&str; 6] = [
    "ARCH",
    "SRCARCH",
    "O",
    "KBUILD_OUTPUT",
    "M",
    "KCONFIG_CONFIG",
];

/// The file that the rules are applied to, to find positions in it.
pub(super) struct Check<'a> {
    pub text: &'a str,
    pub file: &'a Path,
}

type Checked = Result<(), MatrixError>;

impl Check<'_> {
    pub(super) fn broken(&self, path: &[&str], message: impl Into<String>) -> MatrixError {
        MatrixError::Rule {
            place: yaml::locate(self.text, self.file, path),
            message: message.into(),
        }
    }

    /// All checks that need no cells. Returns the architectures in the order of their axis.
    pub fn definitions(&self, document: &Document) -> Result<Vec<Arc<Arch>>, MatrixError> {
        self.path_safe(&document.name, "matrix", &["name"])?;
        self.toolchains(document)?;
        self.configs(document)?;
        self.scenarios(document)?;
        let arches = self.axes(document)?;
        self.compare(document)?;
        Ok(arches)
    }

    /// Names become folders and parts of cell names.
    fn path_safe(&self, name: &str, what: &str, path: &[&str]) -> Checked {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.bytes().all(fits) {
            return Err(self.broken(
                path,
                format!(
                    "'{name}' cannot name a {what}: it becomes part of a path; use letters, \
                     digits and . _ + - and do not start with . or -"
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
                    let message =
                        format!("'{variable}' is not a make variable; use letters, digits and _");
                    return Err(self.broken(&path, message));
                }
                if OWN_VARIABLES.contains(&variable.as_str()) {
                    let message = format!(
                        "klto sets '{variable}' itself, from the cell and the build directory; remove it"
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
            if !files::is_file(&config.base) {
                self.path_safe(&config.base, "base config", &["configs", name, "base"])?;
            }
            for (index, fragment) in config.fragments.iter().enumerate() {
                let path = ["configs", name, "fragments", &index.to_string()];
                if files::is_file(fragment) {
                    continue;
                }
                self.path_safe(fragment, "fragment", &path)?;
                if !fragment.ends_with(".config") {
                    let message = format!(
                        "'{fragment}' is no fragment of the kernel's, for these end in '.config'; \
                         write './{fragment}' for a file beside this one"
                    );
                    return Err(self.broken(&path, message));
                }
            }
            self.filled("goals", &config.goals, &["configs", name, "goals"])?;
            for (index, goal) in config.goals.iter().enumerate() {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-/".contains(&b);
                if goal.is_empty() || goal.starts_with('-') || !goal.bytes().all(fits) {
                    let path = ["configs", name, "goals", &index.to_string()];
                    let message = format!(
                        "'{goal}' is not a make goal; variables belong under a toolchain's 'make:'"
                    );
                    return Err(self.broken(&path, message));
                }
            }
            if !config
                .goals
                .iter()
                .any(|goal| goal == "vmlinux" || goal == "all")
            {
                let message =
                    "vmlinux is not among the goals, so there is nothing to check; add 'vmlinux'";
                return Err(self.broken(&["configs", name, "goals"], message));
            }
            let own = (&config.enable[..], &config.disable[..], &config.set);
            self.symbols(own, &["configs", name], &mut BTreeSet::new())?;
            for (arch, more) in &config.arch {
                let path = ["configs", name, "arch", arch];
                let known = arch_table::all()?;
                self.defined(
                    arch,
                    "architecture",
                    known.keys().map(String::as_str),
                    &path,
                )?;
                let mut seen: BTreeSet<&str> =
                    own.0.iter().chain(own.1).map(String::as_str).collect();
                seen.extend(own.2.keys().map(String::as_str));
                self.symbols(
                    (&more.enable[..], &more.disable[..], &more.set),
                    &path,
                    &mut seen,
                )?;
            }
        }
        Ok(())
    }

    fn symbols<'s>(
        &self,
        (enable, disable, set): (&'s [String], &'s [String], &'s BTreeMap<String, String>),
        config: &[&str],
        seen: &mut BTreeSet<&'s str>,
    ) -> Checked {
        for (list, symbols) in [("enable", enable), ("disable", disable)] {
            for (index, symbol) in symbols.iter().enumerate() {
                let index = index.to_string();
                let path = [config, &[list, &index]].concat();
                self.symbol(symbol, &path)?;
                self.symbol_once(symbol, seen, &path)?;
            }
        }
        for (symbol, value) in set {
            let path = [config, &["set", symbol]].concat();
            self.symbol(symbol, &path)?;
            self.symbol_once(symbol, seen, &path)?;
            if value.is_empty() {
                let message =
                    format!("'{symbol}' has no value; write one, or '\"\"' for an empty string");
                return Err(self.broken(&path, message));
            }
        }
        Ok(())
    }

    pub(super) fn symbol(&self, symbol: &str, path: &[&str]) -> Checked {
        if let Some(bare) = symbol.strip_prefix("CONFIG_") {
            let message = format!("write symbols without 'CONFIG_' here: '{bare}'");
            return Err(self.broken(path, message));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if symbol.is_empty() || !symbol.bytes().all(letter) {
            let message = format!(
                "'{symbol}' is not a config symbol; use letters, digits and _; \
                 a value other than y or n belongs under 'set: {{ SYMBOL: value }}'"
            );
            return Err(self.broken(path, message));
        }
        let modes = LtoMode::ALL.map(LtoMode::config_symbol);
        if modes.contains(&symbol) || symbol == "LTO_CLANG" {
            let message = format!("'{symbol}' sets the LTO mode; use 'axes: lto' instead");
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
                "'{symbol}' is given twice in this config; keep one of enable, disable and set"
            );
            return Err(self.broken(path, message));
        }
        Ok(())
    }

    fn scenarios(&self, document: &Document) -> Checked {
        self.filled("scenarios", &document.scenarios, &["scenarios"])?;
        for (index, scenario) in document.scenarios.iter().enumerate() {
            let path = ["scenarios", &index.to_string()];
            self.defined(&scenario.name, "scenario", SCENARIOS, &path)?;
        }
        Ok(())
    }

    fn compare(&self, document: &Document) -> Checked {
        if let [_] = document.compare[..] {
            let message = "'compare' names one mode; name two or more, all others are compared \
                           with the first";
            return Err(self.broken(&["compare"], message));
        }
        for (index, mode) in document.compare.iter().enumerate() {
            let index = index.to_string();
            if !document.axes.lto.contains(mode) {
                let message = format!("compares mode '{mode}', which is not on the axis 'lto'");
                return Err(self.broken(&["compare", &index], message));
            }
        }
        if !document.compare.is_empty() {
            self.filled("compare", &document.compare, &["compare"])?;
        } else if document.tolerances.is_some() {
            let message = "nothing is compared, so tolerances have no effect; add 'compare:'";
            return Err(self.broken(&["tolerances"], message));
        }
        Ok(())
    }

    fn axes(&self, document: &Document) -> Result<Vec<Arc<Arch>>, MatrixError> {
        let axes = &document.axes;
        self.filled("axes: arch", &axes.arch, &["axes", "arch"])?;
        self.filled("axes: config", &axes.config, &["axes", "config"])?;
        self.filled("axes: lto", &axes.lto, &["axes", "lto"])?;
        self.filled("axes: toolchain", &axes.toolchain, &["axes", "toolchain"])?;
        let known = arch_table::all()?;
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

    /// The cells and their symbols fit into memory.
    pub fn size(&self, document: &Document, files: &Starts) -> Checked {
        /// A matrix of all architectures, modes and toolchains has some hundreds.
        const CELLS: usize = 20_000;
        const SYMBOLS: usize = 1_000_000;

        let axes = &document.axes;
        let configs = axes.config.iter();
        let configs =
            configs.filter_map(|name| Some((document.configs.get(name)?, files.get(name)?)));
        let symbols: usize = configs
            .map(|(config, start)| {
                let more = config.arch.values();
                let more = more.map(|more| more.enable.len() + more.disable.len() + more.set.len());
                let own = config.enable.len() + config.disable.len() + config.set.len();
                own + start.symbols.len() + more.sum::<usize>()
            })
            .sum();
        let others = [axes.arch.len(), axes.lto.len(), axes.toolchain.len()];
        let others = others.into_iter().fold(1, usize::saturating_mul);
        for (number, what, most) in [
            (axes.config.len().saturating_mul(others), "cells", CELLS),
            (symbols.saturating_mul(others), "symbols of cells", SYMBOLS),
        ] {
            if number > most {
                let message = format!(
                    "the axes make {number} {what}, more than the {most} that a matrix may have; \
                     divide it into several"
                );
                return Err(self.broken(&["axes"], message));
            }
        }
        Ok(())
    }

    /// A list is not empty and has no duplicates.
    fn filled<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        list: &[T],
        path: &[&str],
    ) -> Checked {
        if list.is_empty() {
            let message = format!("'{what}' is empty, so there is nothing to build; name one");
            return Err(self.broken(path, message));
        }
        for (index, entry) in list.iter().enumerate() {
            if list[..index].contains(entry) {
                let index = index.to_string();
                let place = [path, &[&index]].concat();
                let message = format!("'{what}' names this twice; remove one");
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
        Err(self.broken(path, format!("{what} '{name}' is not defined; {known}")))
    }

    /// Every `exclude` and `allow` matches some of `cells`, all combinations: a typo there
    /// would otherwise build a cell or hide a finding by mistake.
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
                if let Some(name) = given.iter().find(|name| !values.contains(name)) {
                    let known = known_names(name, values.iter().map(String::as_str));
                    let message = format!(
                        "excludes {axis} '{name}', which is not on that axis, so it excludes \
                         nothing; {known}"
                    );
                    return Err(self.broken(&["exclude", &index, axis], message));
                }
            }
            if exclude.lto.iter().any(|lto| !axes.lto.contains(lto)) {
                let message = "excludes an LTO mode that is not on the axis 'lto', so it excludes \
                               nothing; remove it";
                return Err(self.broken(&["exclude", &index, "lto"], message));
            }
            if exclude.reason.trim().is_empty() {
                let message = "the reason is blank; say why these cells are not built";
                return Err(self.broken(&["exclude", &index, "reason"], message));
            }
        }
        let scenarios = document.scenarios.iter().enumerate();
        let allows = document.allow.iter().enumerate();
        let patterns = scenarios
            .filter_map(|(index, scenario)| Some(("scenarios", index, scenario.cells.as_ref()?)))
            .chain(allows.map(|(index, allow)| ("allow", index, &allow.cells)));
        for (list, index, pattern) in patterns {
            if !cells.iter().any(|cell| pattern.matches(&cell.name())) {
                let message = format!(
                    "'{}' matches no cell of this matrix; cells have names like '{}'",
                    pattern.as_str(),
                    cells.first().map(Cell::name).unwrap_or_default(),
                );
                return Err(self.broken(&[list, &index.to_string(), "cells"], message));
            }
        }
        Ok(())
    }

    /// At least one cell is not excluded.
    pub fn some_left(&self, cells: &[Cell]) -> Checked {
        if cells.is_empty() {
            let message = "every cell is excluded, so there is nothing to build; remove an exclude";
            return Err(self.broken(&["exclude"], message));
        }
        Ok(())
    }
}
