//! The scenarios of a job: each runs on the tree that the build left, and restores it.

use std::collections::BTreeMap;

use super::super::events::Event;
use super::super::job::Job;
use super::super::scenario;
use super::super::scenario::engine::{CleanBuild, ScenarioContext};
use super::AtWork;
use super::build::Paths;
use crate::build::dir_state::{DirState, create_dir};
use crate::build::kbuild::Watch;
use crate::judge::inspect::Inspected;
use crate::model::error::Error;
use crate::model::record::{CellRecord, ScenarioRecord, SkipReason};

/// Whether a scenario was asked for whose result is not in the record.
pub(super) fn are_missing(work: &AtWork<'_>, record: &CellRecord) -> bool {
    !are_all_in(work.job, record)
}

/// Whether the record has the results of all scenarios that were asked for.
pub(super) fn are_all_in(job: &Job, record: &CellRecord) -> bool {
    job.scenarios().all(|name| has(record, name))
}

fn has(record: &CellRecord, name: &str) -> bool {
    record.scenarios.iter().any(|known| known.name == name)
}

/// Says of each scenario that there was no finished build to run it on.
pub(super) fn skip_all(job: &Job, record: &mut CellRecord) {
    record.scenarios = job
        .scenarios()
        .map(|name| ScenarioRecord::skipped(name, SkipReason::BuildFailed))
        .collect();
}

/// Leaves the scenarios that were asked for, in that order: a record may have more.
pub(super) fn keep_asked_for(job: &Job, record: &mut CellRecord) {
    let mut all = std::mem::take(&mut record.scenarios);
    for name in job.scenarios() {
        if let Some(at) = all.iter().position(|known| known.name == name) {
            record.scenarios.push(all.swap_remove(at));
        }
    }
}

/// Runs those that are missing, and saves the record after each.
///
/// # Errors
/// Where the machine fails, the time is over or the user interrupts.
pub(super) fn run(
    work: &AtWork<'_>,
    inspected: &Inspected,
    record: &mut CellRecord,
) -> Result<(), Error> {
    let begins = work.now();
    let layout = work.context.layout;
    let (paths, place) = (Paths::of(work)?, work.place);
    let build = work.build(&paths, Watch(&|_| {}));
    let scratch = place.scratch();
    create_dir(&scratch)?;
    layout.restore_sources(&work.job.cell)?;
    let built = place.keep_built()?;
    let prepared = place.read_prepared()?;

    let mut locks = Vec::new();
    let mut clean = Vec::new();
    for (mode, tree) in work.clean_builds() {
        locks.push(work.lock_tree(tree)?);
        let judged = AtWork::judge_kept(&tree.cell, &tree.place)?;
        clean.push((mode, tree.place.build(), judged.snapshot));
    }
    let clean_builds: BTreeMap<_, _> = clean
        .iter()
        .map(|(mode, dir, snapshot)| (*mode, CleanBuild { dir, snapshot }))
        .collect();
    let scenarios = ScenarioContext {
        build,
        prepared: &prepared,
        built: &built,
        built_state: &DirState::of(&built)?,
        edit_targets: &layout.edit_targets()?,
        findings: &inspected.inspection.findings,
        snapshot: &inspected.snapshot,
        clean_builds: &clean_builds,
        builds_others: layout.builds_other_modes(),
        scratch: &scratch,
        gitignore: &layout.gitignore(&paths.source),
        has_shuffle: work.context.has_shuffle,
    };
    work.note(record, "copy tree", begins);
    for name in work.job.scenarios() {
        if has(record, name) {
            continue;
        }
        let begins = work.now();
        let scenario = {
            let edits = scenario::by_name(name)?.edits_sources();
            let _held = work.hold_sources(edits);
            scenarios.run_named(name)
        };
        layout.check_sources()?;
        // One of another mode does nothing.
        if !scenario.as_ref().is_ok_and(ScenarioRecord::is_skipped) {
            work.note(record, format!("scenario {name}"), begins);
        }
        record.scenarios.push(scenario?);
        work.save(record)?;
        if let Some(scenario) = record.scenarios.last() {
            work.context.events.on(&Event::Scenario {
                cell: work.name,
                scenario,
            });
        }
    }
    place.forget_built()
}
