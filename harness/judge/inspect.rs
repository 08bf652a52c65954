//! Whether a build tree is right: collects facts, judges them, and renders the snapshot.
//! The same function judges facts that were kept. Every command uses it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::input::arch_table;
use crate::judge::check::{self, Coverage, Subject};
use crate::judge::snapshot::{self, BuildId, Snapshot};
use crate::model::arch::Arch;
use crate::model::cell::LtoMode;
use crate::model::error::Error;
use crate::model::facts::{Facts, Goal};
use crate::model::finding::Finding;
use crate::model::record::{CellRecord, Counts, FindingRecord, Identity, Inspection, RuleCount};
use crate::tree::collect::{self, BuildTree, ExternalModules};

/// What to check, and against which expectations.
#[derive(Debug, Clone, Copy)]
pub struct InspectRequest<'a> {
    pub build: &'a Path,
    /// Where `build` has external modules.
    pub external: Option<External<'a>>,
    pub source: Option<&'a Path>,
    pub log: Option<&'a Path>,
    /// How far make was asked to go.
    pub goal: Goal,
    /// The architecture that the tree must be of; its own, if `None`.
    pub arch: Option<&'a Arch>,
    /// The LTO mode that it must be in; its own, if `None`.
    pub mode: Option<LtoMode>,
    /// Symbols that must have their values, with `CONFIG_`.
    pub requested: &'a BTreeMap<String, String>,
    /// Keys of the rules to run; all, if empty.
    pub only: &'a [String],
}

/// What external modules were built for.
#[derive(Debug, Clone, Copy)]
pub struct External<'a> {
    /// The build tree of the kernel, or its headers.
    pub kernel: &'a Path,
    /// The lists of what further external modules export.
    pub symbols: &'a [PathBuf],
}

impl<'a> InspectRequest<'a> {
    /// What is asked of the tree, wherever its facts come from.
    #[must_use]
    pub fn expected(&self) -> Expected<'a> {
        Expected {
            arch: self.arch,
            mode: self.mode,
            requested: self.requested,
            only: self.only,
        }
    }
}

/// What to judge facts by. The fields are those of [`InspectRequest`].
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub arch: Option<&'a Arch>,
    pub mode: Option<LtoMode>,
    pub requested: &'a BTreeMap<String, String>,
    pub only: &'a [String],
}

impl<'a> Expected<'a> {
    /// What the facts of a record are judged by, apart from rules and allow entries;
    /// `None` where nothing was inspected.
    #[must_use]
    pub fn of_record(record: &'a CellRecord) -> Option<Expected<'a>> {
        let inspection = record.inspection.as_ref()?;
        Some(Expected {
            arch: None,
            mode: Some(inspection.identity.lto),
            requested: &inspection.requested,
            only: &[],
        })
    }
}

/// What one build tree showed, and the facts that showed it.
#[derive(Debug)]
pub struct Inspected {
    pub inspection: Inspection,
    pub build_id: BuildId,
    pub snapshot: Snapshot,
    pub facts: Facts,
}

/// Reads and judges one build tree.
///
/// # Errors
/// If the tree cannot be read, is of no known architecture, or is of another
/// one than was expected.
pub fn inspect(request: &InspectRequest) -> Result<Inspected, Error> {
    judge_facts(read(request)?, request.build, &request.expected())
}

/// Judges facts, whether just read from a tree or kept from then. `from` is where they come
/// from, for messages.
///
/// # Errors
/// If they are of no known architecture, or of another one than was expected.
pub fn judge_facts(facts: Facts, from: &Path, expected: &Expected) -> Result<Inspected, Error> {
    let judged = Judged::of(&facts, from, expected)?;
    let snapshot = judged.snapshot(&facts, expected);
    let findings = judged.findings.into_iter().map(FindingRecord::from);
    Ok(Inspected {
        inspection: Inspection {
            identity: identity(&facts, judged.arch, judged.mode),
            counts: Counts::of(&facts),
            warnings: warnings(&facts),
            rules: judged.coverage.iter().map(RuleCount::from).collect(),
            findings: findings.collect(),
            unfinished: facts.unfinished(),
            times_lost: !facts.times_kept,
            requested: expected.requested.clone(),
        },
        build_id: build_id(&facts),
        snapshot,
        facts,
    })
}

/// What the rules say of facts.
struct Judged {
    arch: &'static Arch,
    mode: LtoMode,
    coverage: Vec<Coverage>,
    findings: Vec<Finding>,
}

impl Judged {
    fn of(facts: &Facts, from: &Path, expected: &Expected) -> Result<Judged, Error> {
        let arch = expected_arch(expected.arch, from, facts)?;
        let mode = expected.mode.unwrap_or_else(|| mode_of(facts));
        let subject = Subject {
            facts,
            arch,
            mode,
            requested: expected.requested,
        };
        let (coverage, findings) = check::check(&subject, expected.only);
        Ok(Judged {
            arch,
            mode,
            coverage,
            findings,
        })
    }

    fn snapshot(&self, facts: &Facts, expected: &Expected) -> Snapshot {
        let subject = Subject {
            facts,
            arch: self.arch,
            mode: self.mode,
            requested: expected.requested,
        };
        snapshot::of(&subject, &self.findings)
    }
}

fn read(request: &InspectRequest) -> Result<Facts, Error> {
    if let Some(External { kernel, symbols }) = request.external {
        let modules = ExternalModules::open(request.build, kernel, request.source, request.log)?;
        return modules.with_exports(symbols).collect();
    }
    let tree = BuildTree::open(request.build, request.source, request.log)?;
    collect::collect(&tree.with_goal(request.goal))
}

fn warnings(facts: &Facts) -> BTreeMap<String, usize> {
    let log = facts.log.as_ref();
    log.map(|log| log.warnings.clone()).unwrap_or_default()
}

fn build_id(facts: &Facts) -> BuildId {
    BuildId {
        kernel: facts.kernel.clone(),
        toolchain: snapshot::toolchain(facts),
    }
}

fn expected_arch(
    expected: Option<&Arch>,
    build: &Path,
    facts: &Facts,
) -> Result<&'static Arch, Error> {
    let found = arch_of(build, facts)?;
    match expected {
        Some(expected) if expected.name != found.name => Err(Error::Usage(format!(
            "{}: the tree is of {}, expected {}\n  pass the build tree of {}, or leave the expectation out",
            build.display(),
            found.name,
            expected.name,
            expected.name,
        ))),
        Some(_) | None => Ok(found),
    }
}

/// The architecture that the tree in `build` is of.
///
/// # Errors
/// [`Error::Usage`] if klto does not know it.
pub fn arch_of(build: &Path, facts: &Facts) -> Result<&'static Arch, Error> {
    let found = arch_table::of_config(&facts.config)?;
    match found {
        Some(found) => Ok(found),
        None => Err(Error::Usage(format!(
            "{}: the configuration is of no architecture that klto knows ({})\n  a new one is one file in harness/input/arch, see CONTRIBUTING.md",
            build.display(),
            arch_table::names()?.join(", "),
        ))),
    }
}

/// What a tree is, in the words of a report.
pub fn identity(facts: &Facts, arch: &Arch, mode: LtoMode) -> Identity {
    Identity {
        arch: arch.name.clone(),
        lto: mode,
        kernel: facts.kernel.clone(),
        compiler: facts
            .config("CONFIG_CC_VERSION_TEXT")
            .trim_matches('"')
            .to_owned(),
    }
}

/// The mode that is on; the first, if there are several (a rule reports that).
pub fn mode_of(facts: &Facts) -> LtoMode {
    LtoMode::ALL
        .into_iter()
        .rev()
        .find(|mode| facts.config(&format!("CONFIG_{}", mode.config_symbol())) == "y")
        .unwrap_or(LtoMode::None)
}

impl From<Finding> for FindingRecord {
    fn from(finding: Finding) -> FindingRecord {
        FindingRecord::new(finding.rule, finding.object, finding.evidence)
    }
}
