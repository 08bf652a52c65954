//! The flow for one cell: configure, build, collect, check, compare. What the
//! kernel does wrong is in the result; an error means that nobody can tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::rules::BUILD_FAILED;
use crate::build::dir_state::{DirState, create_dir, mirror, remove_file};
use crate::build::kbuild::{self, Build, Failure, Outcome};
use crate::build::process::{self, Cancel, Command, Exit};
use crate::input::allow::Allow;
use crate::judge::baseline::{Accepted, compare};
use crate::judge::check;
use crate::judge::inspect::{Answer, InspectRequest, check_tree, suppress};
use crate::judge::snapshot::Snapshot;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::facts::Goal;
use crate::model::finding::Finding;
use crate::model::outcome::Verdict;
use crate::model::outcome::{BuildFailure, CellResult, Checked};
use crate::run::progress::{Progress, say};
use crate::run::scenario::EditTargets;
use crate::run::scenario::play::{CleanBuild, Stage};
use crate::source::source_tree::SourceTree;
use crate::store::{CellDir, SnapshotDir, WorkDir};

/// What all cells of a run share.
#[derive(Debug)]
pub struct Run<'a> {
    pub source: &'a SourceTree<'a>,
    pub work: &'a WorkDir,
    pub snapshots: Option<&'a SnapshotDir>,
    pub allows: &'a [Allow],
    pub jobs: usize,
    pub ccache: bool,
    /// Why `make --shuffle` cannot be had, if it cannot.
    pub no_shuffle: Option<&'a str>,
    pub cancel: &'a Cancel,
}

/// A finished build tree: another mode may start from it, or be compared with it.
#[derive(Debug, Clone)]
pub struct Finished {
    pub cell: String,
    pub dir: PathBuf,
    /// What was there before the first object.
    prepared: DirState,
    /// What a snapshot says of it.
    pub facets: Snapshot,
}

impl Finished {
    /// For another mode to be compared with.
    #[must_use]
    pub fn clean_build(&self) -> CleanBuild<'_> {
        CleanBuild {
            dir: &self.dir,
            facets: &self.facets,
        }
    }
}

/// What other cells have left that one cell can use.
#[derive(Debug, Default)]
pub struct Others<'a> {
    /// The tree to start from, in place of nothing.
    pub from: Option<&'a Finished>,
    /// Clean builds of the other modes.
    pub clean: BTreeMap<LtoMode, CleanBuild<'a>>,
}

/// Builds and checks one cell; also gives its build tree, where that is whole.
/// A failure of the machine is the verdict [`Verdict::Infra`].
pub fn verify(run: &Run, cell: &Cell, others: &Others) -> (CellResult, Option<Finished>) {
    let started = Instant::now();
    let name = cell.name();
    if run.cancel.is_cancelled() {
        let verdict = Verdict::Infra("interrupted".to_owned());
        return (CellResult::without_build(name, verdict), None);
    }
    if let Some(reason) = run.source.lacks(cell) {
        return (
            CellResult::without_build(name, Verdict::Skipped(reason)),
            None,
        );
    }
    let (mut result, finished) = build_and_check(run, cell, others)
        .unwrap_or_else(|error| (CellResult::without_build(name, cannot_tell(&error)), None));
    result.seconds = started.elapsed().as_secs_f64();
    (result, finished)
}

fn build_and_check(
    run: &Run,
    cell: &Cell,
    others: &Others,
) -> Result<(CellResult, Option<Finished>), Error> {
    let from = others.from;
    let name = cell.name();
    let accepted = match run.snapshots {
        Some(snapshots) => snapshots.accepted(&name)?,
        None => None,
    };
    let cell_dir = run.work.fresh_cell(&name)?;
    let (dir, log) = (cell_dir.build(), cell_dir.log());
    let build = Build {
        cell,
        source: run.source.dir,
        dir: &dir,
        target: kbuild::KERNEL,
        jobs: run.jobs,
        ccache: run.ccache.then_some(&[]),
        log: &log,
        deadline: Instant::now().checked_add(cell.timeout),
        cancel: run.cancel,
    };
    match from {
        Some(finished) => copy_tree(&finished.dir, &dir, run.cancel)?,
        None => std::fs::create_dir(&dir).map_err(Error::io(&dir, "create"))?,
    }

    let mut progress = Progress::start(&name, accepted.as_ref().map(expected_objects));
    let mut prepared = from
        .map(|finished| finished.prepared.clone())
        .unwrap_or_default();
    let built = configure_and_build(&build, from.is_none(), &mut prepared, &mut progress);
    progress.finish();

    let mut result = CellResult::without_build(name.clone(), Verdict::New);
    result.derived_from = from.map(|finished| finished.cell.clone());
    let failed = match built? {
        Built::Done => None,
        Built::Misconfigured(findings) => {
            result.reproduce = reproduce(&build, None);
            result.checked = Some(without_tree(run, cell, findings));
            result.verdict = without_kernel(run, accepted.as_ref());
            return Ok((result, None));
        }
        Built::Failed(failure) => Some(failure),
    };
    let answer = check_tree(&InspectRequest {
        build: &dir,
        source: Some(run.source.dir),
        log: Some(&log),
        goal: Goal::Vmlinux,
        arch: Some(&cell.arch),
        mode: Some(cell.lto),
        requested: &cell.requested(),
        only: &[],
        allows: run.allows,
        cell: Some(&name),
    });
    result.reproduce = reproduce(&build, failed.as_ref().and_then(|f| f.target.as_deref()));
    if let Some(failure) = failed {
        // What is there may say more than the log: a back end without flags is
        // found even where make stopped for its sake.
        result.checked = answer.ok().map(|answer| answer.checked);
        result.failure = Some(BuildFailure {
            summary: failure.summary,
            first_errors: failure.first_errors,
            log: log.display().to_string(),
        });
        result.verdict = without_kernel(run, accepted.as_ref());
        return Ok((result, None));
    }
    // make may exit 0 and leave the kernel out, or even the configuration.
    let missing = match &answer {
        Ok(answer) => answer.checked.unfinished.clone(),
        Err(Error::NotABuildTree { found, .. }) => Some(found.clone()),
        Err(_) => None,
    };
    if let Some(why) = missing {
        let nothing = |_| without_tree(run, cell, Vec::new());
        let mut checked = answer.map_or_else(nothing, |answer| answer.checked);
        checked.unfinished = None;
        checked.findings.push(Finding {
            rule: &BUILD_FAILED,
            object: "vmlinux".to_owned(),
            evidence: format!("make exited 0, but {why}"),
            step: None,
            suppressed: None,
        });
        result.checked = Some(checked);
        result.verdict = without_kernel(run, accepted.as_ref());
        return Ok((result, None));
    }
    let answer = answer?;
    let finished = Finished {
        cell: name.clone(),
        dir: dir.clone(),
        prepared,
        facets: answer.facets.clone(),
    };
    judge(run, &name, accepted.as_ref(), answer, &mut result)?;
    if let Err(error) = play_scenarios(run, &build, &cell_dir, others, &finished, &mut result) {
        // What the build itself showed is still so.
        result.verdict = cannot_tell(&error);
        return Ok((result, None));
    }
    Ok((result, Some(finished)))
}

fn cannot_tell(error: &Error) -> Verdict {
    Verdict::Infra(match error {
        Error::Cancelled => "interrupted".to_owned(),
        error => error.to_string().replace("\n  ", "; "),
    })
}

/// Plays the scenarios behind the build, each on the tree that the build left.
fn play_scenarios(
    run: &Run,
    build: &Build,
    cell_dir: &CellDir,
    others: &Others,
    finished: &Finished,
    result: &mut CellResult,
) -> Result<(), Error> {
    let names = || build.cell.scenarios.iter().filter(|name| *name != "build");
    if names().next().is_none() {
        return Ok(());
    }
    let (built, scratch) = (cell_dir.built(), cell_dir.scratch());
    create_dir(&scratch)?;
    mirror(build.dir, &built)?;
    let findings = result
        .checked
        .as_ref()
        .map(|checked| checked.findings.clone());
    let stage = Stage {
        build: *build,
        prepared: &finished.prepared,
        built: &built,
        built_state: &DirState::of(&built)?,
        site: &EditTargets::kernel()?,
        findings: &findings.unwrap_or_default(),
        facets: &finished.facets,
        others: &others.clean,
        builds_others: false,
        scratch: &scratch,
        gitignore: build.source,
        no_shuffle: run.no_shuffle,
    };
    for name in names() {
        say(format_args!("{}: {name}", finished.cell));
        let mut played = stage.play_named(name)?;
        suppress(
            &mut played.findings,
            run.allows,
            (&finished.cell, name),
            &run.source.version,
        );
        result.scenarios.push(played);
    }
    remove_file(&built)
}

fn judge(
    run: &Run,
    name: &str,
    accepted: Option<&Accepted>,
    answer: Answer,
    result: &mut CellResult,
) -> Result<(), Error> {
    (result.verdict, result.differences) = compare(accepted, &answer.taken, &answer.facets);
    if let Some(snapshots) = run.snapshots {
        snapshots.propose(name, &answer.taken, &answer.facets, accepted)?;
    }
    result.checked = Some(answer.checked);
    Ok(())
}

/// The verdict where no kernel came of it: a regression only if that kernel
/// version has been accepted before.
fn without_kernel(run: &Run, accepted: Option<&Accepted>) -> Verdict {
    // The release may carry a local version behind the Makefile's.
    match accepted {
        Some(accepted) if accepted.taken.kernel.starts_with(&run.source.version) => {
            Verdict::Regressed
        }
        Some(_) | None => Verdict::New,
    }
}

enum Built {
    Done,
    Misconfigured(Vec<Finding>),
    Failed(Failure),
}

/// `prepared` becomes what is there before the first object, where the build begins with
/// nothing.
fn configure_and_build(
    build: &Build,
    from_base: bool,
    prepared: &mut DirState,
    progress: &mut Progress,
) -> Result<Built, Error> {
    let cell = build.cell;
    let config = match build.configure(from_base)? {
        Ok(config) => config,
        Err(failure) => return Ok(Built::Failed(failure)),
    };
    let findings = check::config::check_config(&config, cell.lto, &cell.requested());
    if !findings.is_empty() {
        return Ok(Built::Misconfigured(findings));
    }
    if from_base && cell.scenarios.iter().any(|name| name != "build") {
        if let Outcome::Failed(failure) = build.prepare(&mut |tail| progress.tick(tail))? {
            return Ok(Built::Failed(failure));
        }
        *prepared = DirState::of(build.dir)?;
    }
    Ok(match build.build(&mut |tail| progress.tick(tail))? {
        Outcome::Done => Built::Done,
        Outcome::Failed(failure) => Built::Failed(failure),
    })
}

fn without_tree(run: &Run, cell: &Cell, findings: Vec<Finding>) -> Checked {
    let rules: Vec<_> = check::config::FAMILY.rules().collect();
    Checked::without_tree(cell, &run.source.version, &rules, findings)
}

/// Objects that both passes will compile, as the accepted snapshot has them.
fn expected_objects(accepted: &Accepted) -> u64 {
    ["archive", "index"]
        .iter()
        .filter_map(|facet| accepted.facets.get(facet))
        .map(|list| list.lines().count() as u64)
        .sum()
}

fn reproduce(build: &Build, failed: Option<&str>) -> Vec<String> {
    let mut commands = build.reproduce(failed);
    commands.push(
        Command::new("klto")
            .arg("check")
            .arg(build.dir)
            .arg("--log")
            .arg(build.log)
            .shell_words(),
    );
    commands
}

/// Copies a build tree with its times, sharing blocks where the filesystem can.
fn copy_tree(from: &Path, to: &Path, cancel: &Cancel) -> Result<(), Error> {
    let copy = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from)
        .arg(to);
    let done = process::capture(&copy, None, cancel).map_err(kbuild::process_error)?;
    match done.status {
        Exit::Success => Ok(()),
        Exit::Cancelled => Err(Error::Cancelled),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut | Exit::Stopped => {
            Err(Error::Machine(format!(
                "{} cannot be copied to {}: {}",
                from.display(),
                to.display(),
                done.stderr.trim()
            )))
        }
    }
}
