//! Scenarios: what to do with a build tree after the first build, and what must hold then.
//! A scenario is data, one small file of named steps; [`engine`] runs all of them, on the
//! miniature and on whole kernels.

mod damage;
pub mod engine;
mod equal;
mod expect;
mod files;
pub mod rules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::build::kbuild::Parallelism;
use crate::input::yaml;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/run/scenarios");

/// Named steps on a finished build tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The stem of its file; a name in [`crate::model::cell::SCENARIOS`].
    pub name: String,
    /// What happens to the tree, in one sentence.
    pub about: String,
    /// The modes it applies to; all, if not given.
    #[serde(default = "all_modes")]
    pub lto: Vec<LtoMode>,
    pub steps: Vec<Step>,
}

fn all_modes() -> Vec<LtoMode> {
    LtoMode::ALL.to_vec()
}

/// A change, a run of make, and what must hold after it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What happens, in words.
    pub name: String,
    /// The changes to the sources, by their names in [`EditTargets::edits`].
    #[serde(default)]
    pub edits: Vec<String>,
    /// The mode to configure the tree for.
    #[serde(default)]
    pub lto: Option<LtoMode>,
    /// How the configuration differs from the cell's, from this step on.
    #[serde(default)]
    pub config: Option<ConfigChange>,
    /// Where to build instead of in the tree itself.
    #[serde(default)]
    pub location: Option<Location>,
    /// Kinds of damage: each is done to each intermediate file in turn, and make is run after
    /// each.
    #[serde(default)]
    pub damage: Vec<Damage>,
    /// Whether the damage is done to all files at once, and make is run once.
    #[serde(default)]
    pub together: bool,
    /// Files and folders that make leaves on purpose.
    #[serde(default)]
    pub keeps: Vec<PathBuf>,
    /// Whether all build products are removed first.
    #[serde(default)]
    pub fresh: bool,
    /// Goals instead of the build's own.
    #[serde(default)]
    pub goals: Vec<String>,
    /// Whether the goal is the boot image of the architecture.
    #[serde(default)]
    pub image: bool,
    /// Variables for make's command line.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// How many jobs make runs; the same as in the first build, if not given.
    #[serde(default)]
    pub jobs: Option<Jobs>,
    /// Whether make shuffles prerequisites (`make --shuffle`, since make 4.4).
    #[serde(default)]
    pub shuffle: bool,
    pub expect: Vec<Expectation>,
}

/// How a configuration differs from the cell's.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigChange {
    /// Symbols to set to `y`, without `CONFIG_`.
    #[serde(default)]
    pub enable: Vec<String>,
    /// Symbols to set to `n`, without `CONFIG_`.
    #[serde(default)]
    pub disable: Vec<String>,
}

impl ConfigChange {
    /// The cell with this change.
    #[must_use]
    pub fn apply(&self, mut cell: Cell) -> Cell {
        for (own, more, less) in [
            (&mut cell.enable, &self.enable, &self.disable),
            (&mut cell.disable, &self.disable, &self.enable),
        ] {
            own.retain(|symbol| !less.contains(symbol) && !more.contains(symbol));
            own.extend_from_slice(more);
        }
        cell
    }
}

/// How many jobs make runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jobs {
    One,
    Several,
}

impl Jobs {
    /// Which of the two a number of jobs is.
    #[must_use]
    pub fn of(number: usize) -> Jobs {
        if number > 1 { Jobs::Several } else { Jobs::One }
    }

    /// Jobs of this kind: as the first build's, if those are of this kind.
    #[must_use]
    pub fn or(self, first_build: Parallelism<'_>) -> Parallelism<'_> {
        match self {
            _ if Jobs::of(first_build.most()) == self => first_build,
            Jobs::One => Parallelism::Jobs(1),
            Jobs::Several => Parallelism::Jobs(8),
        }
    }
}

/// Another location for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// A build directory whose path has every character that kbuild allows but shells treat
    /// specially. The prepared tree is copied there.
    OddPath,
    /// The source tree itself.
    InTree,
}

/// What is done to an intermediate file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    Deleted,
    Truncated,
    Garbage,
    /// A `.cmd` file has only what fixdep wrote: make was killed before the recipe's next line.
    TailLost,
    /// A `.cmd` file lacks the last line that was appended to it after fixdep.
    LastLineLost,
    Older,
    Newer,
}

impl Damage {
    /// The words used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Damage::Deleted => "is deleted",
            Damage::Truncated => "is truncated to half",
            Damage::Garbage => "is overwritten with garbage",
            Damage::TailLost => "has lost what was appended to it",
            Damage::LastLineLost => "has lost its last line",
            Damage::Older => "is older than everything",
            Damage::Newer => "is newer than everything",
        }
    }
}

/// What must hold after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// make runs no command that creates a file.
    NoCommand,
    /// No file in the tree is rewritten.
    NothingRewritten,
    /// The objects that depend on the change are recompiled, and no others.
    DependantsRebuilt,
    /// There is no finding of `klto check` that the first build did not have.
    Rules,
    /// Every file has the bytes of a clean build of these sources.
    BytesOfCleanBuild,
    /// The facts are those of a clean build; for files whose bytes may legitimately differ.
    FactsOfCleanBuild,
    /// Every file has the bytes of the first build.
    BytesOfBuild,
    /// The facts are those of the first build.
    FactsOfBuild,
    /// No build products are left.
    NothingLeft,
    /// `.gitignore` covers every build product.
    IgnoredByGit,
    /// make repairs the damage; or it fails, and succeeds once the file is deleted.
    Repaired,
    /// The kernel boots in an emulator to klto's init, and the console shows no error.
    Boots,
}

/// What the steps of scenarios may edit and damage in a source tree: they use names, this
/// says which files those are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditTargets {
    pub edits: BTreeMap<String, Edit>,
    /// Intermediate files of a build, one of each kind.
    pub intermediates: Vec<Intermediate>,
}

impl EditTargets {
    /// The edit targets of a whole kernel.
    ///
    /// # Errors
    /// If the embedded file is invalid, which a unit test rules out.
    pub fn kernel() -> Result<EditTargets, Error> {
        yaml::parse(
            include_str!("scenario/edit-targets.yaml"),
            Path::new("scenario/edit-targets.yaml"),
        )
        .map_err(|e| Error::Usage(e.to_string()))
    }
}

/// A file that one command of the build writes and another reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intermediate {
    /// Relative to the build tree.
    pub file: String,
    /// The modes whose builds create it; all, if not given.
    #[serde(default = "all_modes")]
    pub lto: Vec<LtoMode>,
    /// Damage that is not done to it, because of what a tool would then do to the machine.
    #[serde(default)]
    pub spared: Vec<Damage>,
}

/// A change to one source file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Relative to the source tree.
    pub file: String,
    /// The text to append to it.
    pub append: String,
    /// The objects that must be recompiled; those whose dependencies name the file, if not
    /// given.
    #[serde(default)]
    pub rebuilds: Option<Rebuilds>,
}

/// Objects that a change affects.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Rebuilds {
    /// All objects in this folder, not below it, that are compiled from a source.
    In(PathBuf),
    Objects(Vec<String>),
}

impl Scenario {
    /// The names of the steps after which findings are reported; `None` where they depend on
    /// the files of the tree.
    #[must_use]
    pub fn step_names(&self) -> Option<Vec<String>> {
        let names = self.steps.iter().map(|step| match step.damage.is_empty() {
            true => Some(step.name.clone()),
            false => None,
        });
        names.collect()
    }

    /// Whether any step changes the sources.
    #[must_use]
    pub fn edits_sources(&self) -> bool {
        self.steps.iter().any(|step| !step.edits.is_empty())
    }
}

/// The scenario of that name: one of [`crate::model::cell::SCENARIOS`] except `build`.
///
/// # Errors
/// If its embedded file is missing or invalid, which a unit test rules out.
pub fn by_name(name: &str) -> Result<Scenario, Error> {
    let file = format!("{name}.yaml");
    let text = FILES.get_file(&file).map(include_dir::File::contents);
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    yaml::parse(&text, &Path::new("scenarios").join(file)).map_err(|e| Error::Usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_of_the_first_build_are_kept_where_they_are_of_the_kind() {
        let or = |kind: Jobs, first| kind.or(Parallelism::Jobs(first)).most();
        assert_eq!([1, 2, 64].map(|first| or(Jobs::Several, first)), [8, 2, 64]);
        assert_eq!([1, 2, 64].map(|first| or(Jobs::One, first)), [1, 1, 1]);
    }

    /// What the list in `run::job` says of these, they must say themselves.
    #[test]
    fn scenarios_that_compare_nothing_with_the_build_are_known() {
        use Expectation::{Boots, IgnoredByGit, NoCommand, NothingLeft, NothingRewritten};

        let compares = |expectation: &Expectation| match expectation {
            NoCommand | NothingRewritten | NothingLeft | IgnoredByGit | Boots => false,
            Expectation::DependantsRebuilt
            | Expectation::Rules
            | Expectation::BytesOfCleanBuild
            | Expectation::FactsOfCleanBuild
            | Expectation::BytesOfBuild
            | Expectation::FactsOfBuild
            | Expectation::Repaired => true,
        };
        for name in crate::model::cell::SCENARIOS {
            if name == "build" {
                continue;
            }
            let scenario = by_name(name).unwrap();
            let any = scenario
                .steps
                .iter()
                .any(|step| step.expect.iter().any(compares));
            let is_known = crate::run::job::COMPARES_NOTHING.contains(&name);
            assert_eq!(any, !is_known, "{name}");
        }
    }
    use crate::input::arch_table;
    use crate::model::cell::{Base, SCENARIOS};

    #[test]
    fn every_scenario_has_its_file_and_every_file_its_scenario() {
        let mut files: Vec<String> = FILES
            .files()
            .map(|file| {
                file.path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .chain(["build".to_owned()])
            .collect();
        files.sort();
        let mut names = SCENARIOS.map(str::to_owned).to_vec();
        names.sort();
        assert_eq!(files, names);
        for name in names.iter().filter(|name| *name != "build") {
            assert_eq!(by_name(name).unwrap().name, *name);
        }
    }

    #[test]
    fn a_change_of_the_configuration_replaces_what_the_cell_asks_for() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let change = ConfigChange {
            enable: names(&["A", "C"]),
            disable: names(&["B"]),
        };
        let changed = change.apply(Cell {
            arch: arch_table::by_name("x86_64").unwrap().clone(),
            config_name: String::new(),
            base: Base::Goal(String::new()),
            fragments: Vec::new(),
            enable: names(&["A", "B", "D"]),
            disable: names(&["C", "E"]),
            set: BTreeMap::new(),
            lto: LtoMode::Thin,
            toolchain_name: String::new(),
            make: BTreeMap::new(),
            goals: Vec::new(),
            scenarios: Vec::new(),
            timeout: std::time::Duration::ZERO,
        });
        assert_eq!(changed.enable, names(&["D", "A", "C"]));
        assert_eq!(changed.disable, names(&["E", "B"]));
    }

    /// The plan of a run gives such cells a tree of their own.
    #[test]
    fn only_shuffle_compares_every_file_with_the_first_build() {
        let names = SCENARIOS.iter().filter(|name| **name != "build");
        let compares = |name: &&&str| {
            let steps = by_name(name).unwrap().steps;
            let mut expected = steps.iter().flat_map(|step| &step.expect);
            expected.any(|e| *e == Expectation::BytesOfBuild)
        };
        assert_eq!(names.filter(compares).collect::<Vec<_>>(), [&"shuffle"]);
    }

    #[test]
    fn a_whole_kernel_has_everything_that_the_steps_change() {
        let site = EditTargets::kernel().unwrap();
        for name in SCENARIOS.iter().filter(|name| **name != "build") {
            for edit in by_name(name)
                .unwrap()
                .steps
                .iter()
                .flat_map(|step| &step.edits)
            {
                assert!(site.edits.contains_key(edit), "{edit}");
            }
        }
    }
}
