//! What is done to a build tree after the first build, and what must hold then. A
//! scenario is data, one small file of named steps; [`play`] is the one engine for all of
//! them, on a miniature and on a whole kernel.

mod expect;
mod fault;
mod files;
pub mod play;
pub mod rules;
mod same;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::input::yaml;
use crate::model::cell::LtoMode;
use crate::model::error::Error;
use crate::model::outcome::{NOT_IN_MODE, ScenarioResult};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/harness/run/scenarios");

/// Named steps on a finished build tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The stem of its file; a name in [`crate::model::cell::SCENARIOS`].
    pub name: String,
    /// What happens to the tree, in one sentence.
    pub about: String,
    /// The modes in which it is played; all, if not given.
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
    /// What happens, for people.
    pub name: String,
    /// The changes of the sources, by their names in [`EditTargets::edits`].
    #[serde(default)]
    pub edits: Vec<String>,
    /// The mode that the tree is configured for.
    #[serde(default)]
    pub lto: Option<LtoMode>,
    /// Where the build happens instead.
    #[serde(default)]
    pub place: Option<Place>,
    /// Damage that is done, each kind to each intermediate file in turn, and make run
    /// after each.
    #[serde(default)]
    pub faults: Vec<Damage>,
    /// Whether they are done to all files at once, and make run once.
    #[serde(default)]
    pub together: bool,
    /// Files, and folders with all in them, that make leaves on purpose.
    #[serde(default)]
    pub keeps: Vec<PathBuf>,
    /// Whether everything that the build made is removed first.
    #[serde(default)]
    pub fresh: bool,
    /// Goals in place of the build's own.
    #[serde(default)]
    pub goals: Vec<String>,
    /// Whether the goal is the boot image of the architecture.
    #[serde(default)]
    pub image: bool,
    /// Variables for make's command line.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// How many jobs make runs; as many as in the first build, if not given.
    #[serde(default)]
    pub jobs: Option<Jobs>,
    /// Whether make takes prerequisites in another order; since make 4.4.
    #[serde(default)]
    pub shuffle: bool,
    pub expect: Vec<Expectation>,
}

/// How many jobs make runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jobs {
    One,
    Several,
}

impl Jobs {
    /// The kind of a number of jobs.
    #[must_use]
    pub fn of(number: usize) -> Jobs {
        if number > 1 { Jobs::Several } else { Jobs::One }
    }

    /// A number of this kind, the first build's where that is one.
    #[must_use]
    pub fn number(self, first_build: usize) -> usize {
        match self {
            Jobs::One => 1,
            Jobs::Several if Jobs::of(first_build) == Jobs::Several => first_build,
            Jobs::Several => 8,
        }
    }
}

/// Another place for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A build directory whose path has every character that kbuild allows and shells do
    /// not. What comes before the first object is copied there.
    OddPath,
    /// The source tree itself.
    InTree,
}

/// What happens to an intermediate file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    Deleted,
    Truncated,
    Garbage,
    Older,
    Newer,
}

impl Damage {
    /// As it is reported.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Damage::Deleted => "is deleted",
            Damage::Truncated => "is truncated to half",
            Damage::Garbage => "is filled with garbage",
            Damage::Older => "is older than everything",
            Damage::Newer => "is newer than everything",
        }
    }
}

/// What must hold after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// make runs no command that makes a file.
    NoCommand,
    /// No file of the tree is written.
    NothingRewritten,
    /// The objects that depend on the change are compiled again, and no other.
    DependantsRebuilt,
    /// The rules of `klto check` hold, as far as they did after the first build.
    Rules,
    /// Every file is what a clean build makes of these sources.
    BytesOfCleanBuild,
    /// The facts are those of a clean build: for where bytes differ rightly.
    FactsOfCleanBuild,
    /// Every file is what the first build made.
    BytesOfBuild,
    /// The facts are those of the first build.
    FactsOfBuild,
    /// Nothing that the build made is left.
    NothingLeft,
    /// `.gitignore` covers every file that the build made.
    IgnoredByGit,
    /// make repairs the damage, or says so and goes on when the file is removed.
    Repaired,
    /// The kernel boots in an emulator and runs our own init; the console shows no fault.
    Boots,
}

/// Where the steps find what they change: names there, places here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditTargets {
    pub edits: BTreeMap<String, Edit>,
    /// Intermediate files of a build, one of each kind.
    pub intermediates: Vec<Intermediate>,
}

impl EditTargets {
    /// Where a whole kernel has what the steps change.
    ///
    /// # Errors
    /// When the embedded file is broken, which a unit test rules out.
    pub fn kernel() -> Result<EditTargets, Error> {
        yaml::parse(
            include_str!("scenario/kernel.yaml"),
            Path::new("kernel.yaml"),
        )
        .map_err(|e| Error::Usage(e.to_string()))
    }
}

/// A file that one command of the build makes and another reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intermediate {
    /// From the build tree's top.
    pub file: String,
    /// The modes whose builds make it; all, if not given.
    #[serde(default = "all_modes")]
    pub lto: Vec<LtoMode>,
    /// Damage that is not done to it, for what a tool then does to the machine.
    #[serde(default)]
    pub spared: Vec<Damage>,
}

/// A change of one source file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// From the source tree's top.
    pub file: String,
    /// What is written behind its end.
    pub append: String,
    /// The objects that must be compiled again; those whose dependencies name the file,
    /// if not given.
    #[serde(default)]
    pub rebuilds: Option<Rebuilds>,
}

/// Objects that a change concerns.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Rebuilds {
    /// All that are made from C, in this folder and not below.
    In(PathBuf),
    Objects(Vec<String>),
}

impl Scenario {
    /// What came of it in a mode that it is not played in.
    #[must_use]
    pub fn not_for(&self, mode: LtoMode) -> Option<ScenarioResult> {
        (!self.lto.contains(&mode)).then(|| ScenarioResult {
            name: self.name.clone(),
            findings: Vec::new(),
            left_out: vec![format!("{NOT_IN_MODE} {mode}")],
            seconds: 0.0,
        })
    }

    /// Whether a step changes the sources.
    #[must_use]
    pub fn edits_sources(&self) -> bool {
        self.steps.iter().any(|step| !step.edits.is_empty())
    }
}

/// The scenario of that name, which is one of [`crate::model::cell::SCENARIOS`] but `build`.
///
/// # Errors
/// When its embedded file is missing or broken, which a unit test rules out.
pub fn by_name(name: &str) -> Result<Scenario, Error> {
    let file = format!("{name}.yaml");
    let text = FILES.get_file(&file).map(include_dir::File::contents);
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    yaml::parse(&text, &Path::new("scenarios").join(file)).map_err(|e| Error::Usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cell::SCENARIOS;

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
