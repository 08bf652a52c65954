//! The build of a job: configure, prepare, make, inspect.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::super::events::stage::StageReader;
use super::super::layout::Prepared;
use super::{AtWork, FinishedJob};
use crate::build::dir_state::{DirState, remove_file};
use crate::build::kbuild::{Build, BuildOutcome, Failure, Launcher, Watch};
use crate::build::process::LogTail;
use crate::judge::check::{self, Unit};
use crate::judge::inspect::{InspectRequest, Inspected, inspect};
use crate::model::error::Error;
use crate::model::finding::{BUILD_FAILED, Rule};
use crate::model::record::{CellRecord, FindingRecord, Inspection, RuleCount};

/// How a build ended.
pub struct Built {
    /// What the tree showed, if there is one.
    pub inspected: Option<Inspected>,
    /// Whether make succeeded and built what it was asked for.
    pub is_finished: bool,
}

/// What a [`Build`] borrows.
pub struct Paths {
    pub source: PathBuf,
    pub dir: PathBuf,
    pub log: PathBuf,
    pub launcher: Launcher,
}

impl Paths {
    /// Of a job.
    ///
    /// # Errors
    /// As [`super::super::layout::Layout::launcher`].
    pub fn of(work: &AtWork<'_>) -> Result<Paths, Error> {
        let layout = work.context.layout;
        Ok(Paths {
            source: layout.source(&work.job.cell),
            dir: work.place.build(),
            log: work.place.log(),
            launcher: layout.launcher(work.job, work.place)?,
        })
    }
}

/// Builds the job's cell and fills its record; the stages also of a build that an error stopped.
///
/// # Errors
/// Where the machine fails, the time is over or the user interrupts: never for what the
/// kernel does wrong.
pub(super) fn build(work: &AtWork<'_>, record: &mut CellRecord) -> Result<Built, Error> {
    let layout = work.context.layout;
    let paths = Paths::of(work)?;
    let stages = Mutex::new(StageReader::new(
        work.name,
        work.context.events,
        expected_objects(work)?,
        work.started.elapsed(),
    ));
    let watch = |tail: &LogTail<'_>| {
        let mut stages = stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.tick(tail, work.started.elapsed());
    };
    let build = work.build(&paths, Watch(&watch));
    work.place.set_tree_of(None)?;
    remove_file(&work.place.scratch())?;
    remove_file(build.log)?;
    remove_file(&work.place.cache_statistics())?;
    record.logs = vec![build.log.display().to_string()];

    let base = work.job.base.and_then(|id| work.finished.get(&id));
    let base = base.filter(|job| job.has_tree);
    record.derived_from = base.map(|tree| tree.cell.name());
    let made = make(work, &build, base);
    let stages = stages.lock().unwrap_or_else(PoisonError::into_inner);
    record.stages = stages.times(work.started.elapsed());
    let statistics = paths.launcher.statistics.as_deref();
    let cache = layout.compiler_cache(work.job);
    record.compiler_cache = cache.and_then(|cache| cache.used(statistics?));
    let made = made?;
    layout.check_sources()?;
    match made {
        Made::Tree(outcome) => judge(work, &build, outcome, record),
        Made::Misconfigured(findings) => {
            record.reproduce = layout.reproduce(&build, None);
            let findings = work.complaints.take().into_iter().chain(findings);
            record.inspection = Some(without_tree(
                work,
                config_rules(work),
                findings.collect(),
                "the configuration is not the one that was asked for",
            ));
            Ok(Built {
                inspected: None,
                is_finished: false,
            })
        }
    }
}

/// What make left.
enum Made {
    Tree(BuildOutcome),
    /// The configuration is not the one that was asked for, and nothing was built.
    Misconfigured(Vec<FindingRecord>),
}

fn make(work: &AtWork<'_>, build: &Build<'_>, base: Option<&FinishedJob>) -> Result<Made, Error> {
    let layout = work.context.layout;
    let prepared = {
        let _lock = base.map(|base| work.lock_tree(base)).transpose()?;
        layout.prepare(work.job, work.place, build, base)?
    };
    match prepared {
        Prepared::Ready => {
            if work.job.prepares {
                note_prepared(work, build, base)?;
            }
            Ok(Made::Tree(build.build()?))
        }
        Prepared::Misconfigured(findings) => Ok(Made::Misconfigured(findings)),
        Prepared::Failed(failure) => Ok(Made::Tree(BuildOutcome::Failed(failure))),
    }
}

/// Notes what is there before the first object; a tree that began as another's has that
/// one's, which was copied with it.
fn note_prepared(
    work: &AtWork<'_>,
    build: &Build<'_>,
    base: Option<&FinishedJob>,
) -> Result<(), Error> {
    let prepared = match base {
        Some(base) => base.place.read_prepared()?,
        None => DirState::of(build.dir)?,
    };
    work.place.write_prepared(&prepared)
}

fn judge(
    work: &AtWork<'_>,
    build: &Build<'_>,
    outcome: BuildOutcome,
    record: &mut CellRecord,
) -> Result<Built, Error> {
    let layout = work.context.layout;
    let cell = &work.job.cell;
    if let BuildOutcome::Failed(_) = &outcome {
        layout.check_failure(build)?;
    }
    let inspected = inspect(&InspectRequest {
        build: build.dir,
        external: None,
        source: Some(build.source),
        log: Some(build.log),
        goal: build.target.reaches,
        arch: Some(&cell.arch),
        mode: Some(cell.lto),
        requested: &cell.requested(),
        only: &[],
    });
    let failed = match &outcome {
        BuildOutcome::Failed(failure) => failure.target.clone(),
        BuildOutcome::Done => None,
    };
    record.reproduce = layout.reproduce(build, failed.as_deref());
    let failure = match outcome {
        // What is there may say more than the log: a back end without flags is found even
        // where make stopped because of it.
        BuildOutcome::Failed(failure) => Some(failed_make(failure)),
        // make may exit 0 without building the kernel, or even the configuration.
        BuildOutcome::Done => match &inspected {
            Ok(inspected) => inspected.inspection.unfinished.clone(),
            Err(Error::NotABuildTree { found, .. }) => Some(found.clone()),
            Err(_) => None,
        }
        .map(|why| {
            FindingRecord::new(
                &BUILD_FAILED,
                "vmlinux",
                format!("make exited 0, but {why}"),
            )
        }),
    };
    match (failure, inspected) {
        (None, inspected) => {
            let inspected = inspected?;
            record.toolchain.clone_from(&inspected.build_id.toolchain);
            let mut inspection = inspected.inspection.clone();
            inspection.findings.splice(0..0, work.complaints.take());
            record.inspection = Some(inspection);
            Ok(Built {
                inspected: Some(inspected),
                is_finished: true,
            })
        }
        (Some(failure), inspected) => {
            let inspected = inspected.ok();
            let mut inspection = match &inspected {
                Some(inspected) => {
                    record.toolchain.clone_from(&inspected.build_id.toolchain);
                    inspected.inspection.clone()
                }
                None => without_tree(work, Vec::new(), Vec::new(), "make left no build tree"),
            };
            let complaints = work.complaints.take().into_iter();
            inspection
                .findings
                .splice(0..0, complaints.chain([failure]));
            record.inspection = Some(inspection);
            Ok(Built {
                inspected,
                is_finished: false,
            })
        }
    }
}

fn failed_make(failure: Failure) -> FindingRecord {
    let object = failure.target.unwrap_or_else(|| "make".to_owned());
    FindingRecord {
        details: failure.first_errors,
        ..FindingRecord::new(&BUILD_FAILED, object, failure.summary)
    }
}

/// The rules of a configuration, which looked at the symbols that the cell asked for.
fn config_rules(work: &AtWork<'_>) -> Vec<RuleCount> {
    let looked_at = work.job.cell.requested().len();
    let count = |rule: &'static Rule| RuleCount {
        key: rule.key.to_owned(),
        looked_at,
        unit: Unit::ConfigSymbols.name().to_owned(),
    };
    check::config::FAMILY.rules().map(count).collect()
}

/// What is known of a cell whose build tree says nothing: at most its configuration was
/// checked.
fn without_tree(
    work: &AtWork<'_>,
    rules: Vec<RuleCount>,
    findings: Vec<FindingRecord>,
    unfinished: &str,
) -> Inspection {
    let cell = &work.job.cell;
    Inspection::without_tree(
        cell,
        work.context.sources.version(),
        rules,
        findings,
        unfinished,
    )
}

/// Objects that both passes will compile, as the accepted snapshot has them.
fn expected_objects(work: &AtWork<'_>) -> Result<Option<u64>, Error> {
    let Some(snapshots) = work.context.snapshots else {
        return Ok(None);
    };
    let accepted = snapshots.accepted(work.name)?;
    Ok(accepted.map(|accepted| {
        ["archive", "index"]
            .iter()
            .filter_map(|part| accepted.parts.get(part))
            .map(|list| list.body.lines().count() as u64)
            .sum()
    }))
}
