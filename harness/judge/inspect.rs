//! One question, one answer: is this build tree right? Every command asks
//! through here. Collects, checks, applies the allow entries, and renders the
//! facets. [`cell`] builds first, [`cells`] all of a run, [`pair`] compares two trees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::input::allow::Allow;
use crate::input::arch_table::{self, ArchError};
use crate::judge::check::{self, Subject};
use crate::judge::snapshot::{self, BuildId, Snapshot};
use crate::model::arch::Arch;
use crate::model::cell::LtoMode;
use crate::model::error::Error;
use crate::model::facts::{Facts, Goal};
use crate::model::finding::Finding;
use crate::model::kernel_version::KernelVersion;
use crate::model::outcome::{Checked, Counts, Identity};
use crate::tree::collect::{self, BuildTree};

/// What to check, and against which expectations.
#[derive(Debug, Clone, Copy)]
pub struct InspectRequest<'a> {
    pub build: &'a Path,
    pub source: Option<&'a Path>,
    pub log: Option<&'a Path>,
    /// How far make was asked to go.
    pub goal: Goal,
    /// The architecture that the tree must be of; what it says itself, if `None`.
    pub arch: Option<&'a Arch>,
    /// The LTO mode that it must be in; what it says itself, if `None`.
    pub mode: Option<LtoMode>,
    /// Symbols that must have their values, with `CONFIG_`.
    pub requested: &'a BTreeMap<String, String>,
    /// Keys of the rules to run; all, if empty.
    pub only: &'a [String],
    pub allows: &'a [Allow],
    /// The cell's name, for allow entries; architecture and mode, if `None`.
    pub cell: Option<&'a str>,
}

/// What was found, and what a snapshot of it says.
#[derive(Debug)]
pub struct Answer {
    pub checked: Checked,
    pub taken: BuildId,
    pub facets: Snapshot,
}

/// Reads and checks one build tree.
///
/// # Errors
/// Where the tree cannot be read, is of no known architecture, or is of another
/// one than was expected.
pub fn check_tree(question: &InspectRequest) -> Result<Answer, Error> {
    let tree =
        BuildTree::open(question.build, question.source, question.log)?.with_goal(question.goal);
    let facts = collect::collect(&tree)?;
    let arch = expected_arch(question, &facts)?;
    let mode = question.mode.unwrap_or_else(|| mode_of(&facts));
    let subject = Subject {
        facts: &facts,
        arch,
        mode,
        requested: question.requested,
    };
    let (coverage, mut findings) = check::check(&subject, question.only);
    let default_name = format!("{}/any/{mode}/any", arch.name);
    suppress(
        &mut findings,
        question.allows,
        (question.cell.unwrap_or(&default_name), "build"),
        &facts.kernel,
    );
    Ok(Answer {
        taken: BuildId {
            kernel: facts.kernel.clone(),
            toolchain: snapshot::toolchain(&facts),
        },
        facets: snapshot::facets(&subject, &findings),
        checked: Checked {
            identity: identity(&facts, arch, mode),
            counts: Counts::of(&facts),
            warnings: facts
                .log
                .as_ref()
                .map(|log| log.warnings.clone())
                .unwrap_or_default(),
            // A rule that looked at nothing says nothing of this tree.
            rules: coverage
                .iter()
                .filter(|row| row.looked_at > 0)
                .map(|row| row.rule)
                .collect(),
            findings,
            unfinished: facts.unfinished(),
        },
    })
}

fn expected_arch(question: &InspectRequest, facts: &Facts) -> Result<&'static Arch, Error> {
    let found = arch_of(question.build, facts)?;
    match question.arch {
        Some(expected) if expected.name != found.name => Err(Error::Usage(format!(
            "{}: the tree is of {}, expected {}\n  pass the build tree of {}, or leave the expectation out",
            question.build.display(),
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
/// [`Error::Usage`] where klto does not know it.
pub fn arch_of(build: &Path, facts: &Facts) -> Result<&'static Arch, Error> {
    let table = |e: ArchError| Error::Usage(e.to_string());
    let found = arch_table::of_config(&facts.config).map_err(table)?;
    match found {
        Some(found) => Ok(found),
        None => Err(Error::Usage(format!(
            "{}: the configuration is of no architecture that klto knows ({})\n  a new one is one file in harness/input/arch, see CONTRIBUTING.md",
            build.display(),
            arch_table::names().map_err(table)?.join(", "),
        ))),
    }
}

/// What a tree is, in the words of a report.
pub fn identity(facts: &Facts, arch: &Arch, mode: LtoMode) -> Identity {
    Identity {
        arch: arch.name.clone(),
        mode,
        kernel: facts.kernel.clone(),
        compiler: facts
            .config("CONFIG_CC_VERSION_TEXT")
            .trim_matches('"')
            .to_owned(),
    }
}

/// The mode that is on; the first, should several be (a rule says so then).
pub fn mode_of(facts: &Facts) -> LtoMode {
    LtoMode::ALL
        .into_iter()
        .rev()
        .find(|mode| facts.config(&format!("CONFIG_{}", mode.config_symbol())) == "y")
        .unwrap_or(LtoMode::None)
}

/// Marks the findings that an allow entry covers. `place` is the cell's name and the
/// scenario's.
pub fn suppress(findings: &mut [Finding], allows: &[Allow], place: (&str, &str), kernel: &str) {
    let version: Option<KernelVersion> = kernel.parse().ok();
    for finding in findings {
        let mut covering = allows.iter().filter(|allow| allow.covers(finding, place));
        let expired = |allow: &&Allow| version.as_ref().is_some_and(|v| allow.is_expired(v));
        match covering.clone().find(|allow| !expired(allow)) {
            Some(allow) => finding.suppressed = Some(allow.reason.clone()),
            None => {
                if let Some(ended) = covering.next() {
                    let _ = write!(
                        finding.evidence,
                        " (allowed until {}: {})",
                        ended.until, ended.reason
                    );
                }
            }
        }
    }
}
