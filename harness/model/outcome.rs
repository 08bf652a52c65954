//! What a command has to report: plain data that `verify` fills and `report`
//! turns into text. Paths are shown as the user gave them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::cell::{Cell, LtoMode};
use crate::model::facts::{Facts, ObjectFile};
use crate::model::finding::{Finding, Rule};

/// What a cell came to, against what was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "kebab-case")]
pub enum Verdict {
    /// As accepted.
    Same,
    /// A finding that was accepted is gone, and none is new.
    Fixed,
    /// A finding that the accepted snapshot does not have.
    Regressed,
    /// No new finding, but other facts.
    Changed,
    /// Nothing is accepted for this kernel and toolchain.
    New,
    /// Judged by its rules alone, as a probe is: they hold.
    Holds,
    /// Judged by its rules alone: one is broken, or the build failed.
    Broken,
    /// Accepted, but no longer a cell of the matrix.
    Missing,
    /// Not built on purpose.
    Skipped(String),
    /// Could not be told: the machine, the toolchain or a limit.
    Infra(String),
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Fixed => "fixed",
            Verdict::Regressed => "regressed",
            Verdict::Changed => "changed",
            Verdict::New => "new",
            Verdict::Holds => "holds",
            Verdict::Broken => "broken",
            Verdict::Missing => "missing",
            Verdict::Skipped(_) => "skipped",
            Verdict::Infra(_) => "infra",
        }
    }
}

/// How one facet differs: a unified diff, accepted text first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub facet: &'static str,
    pub diff: String,
}

/// What was checked, and what was found.
#[derive(Debug, Clone)]
pub struct Checked {
    pub identity: Identity,
    pub counts: Counts,
    /// Warnings in the build log, by kind.
    pub warnings: BTreeMap<String, usize>,
    /// Rules that were run: those that apply to the tree and were asked for.
    pub rules: Vec<&'static Rule>,
    /// In the order of the rule families, then of the archive.
    pub findings: Vec<Finding>,
    /// Why the build is not complete, where it is not.
    pub unfinished: Option<String>,
}

impl Checked {
    /// What is known of a cell whose build tree says nothing: its configuration alone
    /// was checked.
    #[must_use]
    pub fn without_tree(
        cell: &Cell,
        kernel: &str,
        rules: &[&'static Rule],
        findings: Vec<Finding>,
    ) -> Checked {
        Checked {
            identity: Identity {
                arch: cell.arch.name.clone(),
                mode: cell.lto,
                kernel: kernel.to_owned(),
                compiler: String::new(),
            },
            counts: Counts {
                objects: 0,
                ir: 0,
                exports: 0,
            },
            warnings: BTreeMap::new(),
            rules: rules.to_vec(),
            findings,
            unfinished: Some("the configuration is not the one that was asked for".to_owned()),
        }
    }

    /// Findings that no allow entry covers.
    pub fn open_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.suppressed.is_none())
    }
}

/// What a build tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our name for the architecture.
    pub arch: String,
    pub mode: LtoMode,
    /// Kernel release.
    pub kernel: String,
    /// `CONFIG_CC_VERSION_TEXT`.
    pub compiler: String,
}

/// How much there was to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Built-in objects.
    pub objects: usize,
    /// Those that hold bitcode.
    pub ir: usize,
    /// Symbols that vmlinux exports.
    pub exports: usize,
}

impl Counts {
    /// Counts what was read.
    #[must_use]
    pub fn of(facts: &Facts) -> Counts {
        Counts {
            objects: facts.objects.len(),
            ir: facts
                .objects
                .iter()
                .filter(|o| matches!(o.file, ObjectFile::Ir(_)))
                .count(),
            exports: facts.exports.as_ref().map_or(0, Vec::len),
        }
    }
}

/// What became of one cell of a run.
#[derive(Debug, Clone)]
pub struct CellResult {
    /// `arm64/tiny/thin-dist/llvm-22`.
    pub name: String,
    pub verdict: Verdict,
    /// `None` where there was nothing to check.
    pub checked: Option<Checked>,
    pub failure: Option<BuildFailure>,
    /// The cell whose finished build tree this one was made from.
    pub derived_from: Option<String>,
    /// Wall time of configuring, building and checking.
    pub seconds: f64,
    /// How this cell's facets differ from the accepted ones.
    pub differences: Vec<Difference>,
    /// Commands that build and check the cell again, ready to paste.
    pub reproduce: Vec<String>,
    /// What came of the scenarios behind the build, in the order of playing.
    pub scenarios: Vec<ScenarioResult>,
}

/// How the reason begins where a scenario is none for the cell's mode.
pub const NOT_IN_MODE: &str = "not played in mode";

/// What came of one scenario on a cell's build tree.
#[derive(Debug, Clone)]
pub struct ScenarioResult {
    pub name: String,
    /// In the order of the steps.
    pub findings: Vec<Finding>,
    /// Steps that were not played, each with the reason.
    pub left_out: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

impl ScenarioResult {
    /// Findings that no allow entry covers.
    pub fn open_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.suppressed.is_none())
    }
}

impl CellResult {
    /// A cell that was not built.
    #[must_use]
    pub fn without_build(name: String, verdict: Verdict) -> CellResult {
        CellResult {
            name,
            verdict,
            checked: None,
            failure: None,
            derived_from: None,
            seconds: 0.0,
            differences: Vec::new(),
            reproduce: Vec::new(),
            scenarios: Vec::new(),
        }
    }

    /// Findings of the build and of the scenarios that no allow entry covers.
    pub fn open_findings(&self) -> impl Iterator<Item = &Finding> {
        let build = self.checked.iter().flat_map(Checked::open_findings);
        let scenarios = self.scenarios.iter();
        build.chain(scenarios.flat_map(ScenarioResult::open_findings))
    }

    /// Whether the kernel is to blame: a failed build, or a finding that no
    /// allow entry covers.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.failure.is_some() || self.open_findings().next().is_some()
    }
}

/// A build that make did not bring to its end.
#[derive(Debug, Clone)]
pub struct BuildFailure {
    /// What failed: the object, where make names one.
    pub summary: String,
    /// The first lines of the log that are errors.
    pub first_errors: Vec<String>,
    /// Where the whole log is.
    pub log: String,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// The matrix's name.
    pub matrix: String,
    /// The version of the source tree.
    pub kernel: String,
    pub cells: Vec<CellResult>,
}
