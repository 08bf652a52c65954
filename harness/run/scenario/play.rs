//! The engine: plays a scenario on a finished build tree, step by step, and brings the
//! tree and the sources back to what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::files::{copy_source, dependants, remove_products};
use super::rules;
use super::{Edit, EditTargets, Expectation, Jobs, Place, Scenario, Step, by_name};
use crate::build::dir_state::{DirState, SOURCE_TIME, mirror, remove_file, set_modified};
use crate::build::kbuild::{Build, Failure, Outcome};
use crate::judge::check;
use crate::judge::inspect::{Answer, InspectRequest, check_tree};
use crate::judge::snapshot::Snapshot;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::finding::{Finding, Rule};
use crate::model::outcome::ScenarioResult;

/// A finished build, and everything that a scenario needs to know of it.
#[derive(Debug)]
pub struct Stage<'a> {
    pub build: Build<'a>,
    /// The tree as it was before the first object was made.
    pub prepared: &'a DirState,
    /// A copy of the finished build tree.
    pub built: &'a Path,
    pub built_state: &'a DirState,
    pub site: &'a EditTargets,
    /// What was found after the first build: not reported again.
    pub findings: &'a [Finding],
    pub facets: &'a Snapshot,
    /// Clean builds of other modes, where there are some.
    pub others: &'a BTreeMap<LtoMode, CleanBuild<'a>>,
    /// Whether a mode without is worth a clean build; else it is left out.
    pub builds_others: bool,
    /// A folder for other build trees and logs, ours alone.
    pub scratch: &'a Path,
    /// The tree whose `.gitignore` files count.
    pub gitignore: &'a Path,
    /// Why `make --shuffle` cannot be had, if it cannot.
    pub no_shuffle: Option<&'a str>,
}

/// A clean build of the same sources in another mode.
#[derive(Debug, Clone, Copy)]
pub struct CleanBuild<'a> {
    pub dir: &'a Path,
    pub facets: &'a Snapshot,
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub struct Played {
    pub findings: Vec<Finding>,
    /// Steps that were left out, each with the reason.
    pub left_out: Vec<String>,
}

impl Stage<'_> {
    /// Plays the scenario of that name, where it is one for the cell's mode.
    ///
    /// # Errors
    /// As [`Stage::play`].
    pub fn play_named(&self, name: &str) -> Result<ScenarioResult, Error> {
        let started = Instant::now();
        let scenario = by_name(name)?;
        if let Some(result) = scenario.not_for(self.build.cell.lto) {
            return Ok(result);
        }
        let played = self.play(&scenario)?;
        Ok(ScenarioResult {
            name: name.to_owned(),
            findings: played.findings,
            left_out: played.left_out,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Plays a scenario.
    ///
    /// # Errors
    /// Where the machine fails, the time is over or the user interrupts: never for what
    /// the kernel does wrong.
    pub fn play(&self, scenario: &Scenario) -> Result<Played, Error> {
        let mut play = Play {
            stage: self,
            scenario,
            step: String::new(),
            makes: 0,
            edited: Vec::new(),
            lto: self.build.cell.lto,
            clean_facts: self.clean_facts(),
            configs: BTreeMap::new(),
            played: Played::default(),
        };
        let result = play.steps();
        let restored = play.restore_sources();
        mirror(self.built, self.build.dir)?;
        result?;
        restored?;
        Ok(play.played)
    }

    fn clean_facts(&self) -> BTreeMap<LtoMode, Snapshot> {
        let others = self
            .others
            .iter()
            .map(|(mode, clean)| (*mode, clean.facets));
        let own = [(self.build.cell.lto, self.facets)];
        let all = others.chain(own);
        all.map(|(mode, facets)| (mode, facets.clone())).collect()
    }
}

pub(super) struct Play<'a> {
    pub(super) stage: &'a Stage<'a>,
    scenario: &'a Scenario,
    /// The name of the step at hand.
    pub(super) step: String,
    /// How often make has run.
    makes: usize,
    /// Files that were changed, with what they held.
    edited: Vec<(PathBuf, Vec<u8>)>,
    pub(super) lto: LtoMode,
    /// The facts of clean builds of the sources as they are, by mode.
    pub(super) clean_facts: BTreeMap<LtoMode, Snapshot>,
    /// The configurations that the tree had in other modes than the build's own.
    configs: BTreeMap<LtoMode, Vec<u8>>,
    played: Played,
}

/// A name with what kbuild allows and a shell or make could take for something else. The
/// kernel's own tools cannot be built below a comma or a percent sign.
const ODD_PATH: &str = "odd+a@b~c=d";

/// How make ended, and what it wrote.
pub(super) struct Made {
    log: PathBuf,
    pub(super) failure: Option<Failure>,
}

/// Whether findings of a tree are reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    No,
    Yes,
    /// Yes, and that the tree is not finished is known already.
    OfFailure,
}

impl<'a> Play<'a> {
    fn steps(&mut self) -> Result<(), Error> {
        let mut is_whole = true;
        for step in &self.scenario.steps {
            self.step.clone_from(&step.name);
            if !is_whole && !step.fresh {
                self.played
                    .left_out
                    .push(format!("{}: the step before failed", step.name));
                continue;
            }
            if let Some(mode) = step.lto
                && !self.stage.builds_others
                && !self.clean_facts.contains_key(&mode)
            {
                self.played.left_out.push(format!(
                    "{}: there is no clean build in mode {mode} to compare with",
                    step.name
                ));
                continue;
            }
            if step.lto == Some(self.lto) {
                // The steps between were left out. Behind them, as in a clean build, no object
                // would be one that another mode has made.
                if let Some(clean) = self.stage.others.get(&self.lto) {
                    mirror(clean.dir, self.stage.build.dir)?;
                }
                continue;
            }
            if step.fresh && step.jobs == Some(Jobs::of(self.stage.build.jobs)) {
                // So did the first build.
                continue;
            }
            if let (true, Some(reason)) = (step.shuffle, self.stage.no_shuffle) {
                self.played
                    .left_out
                    .push(format!("{}: {reason}", step.name));
                continue;
            }
            is_whole = match (step.place, step.faults.is_empty()) {
                (Some(place), _) => self.elsewhere(step, place)?,
                (None, false) => self.faults(step)?,
                (None, true) => self.step(step)?,
            };
        }
        Ok(())
    }

    /// A step in the tree itself. Gives whether the scenario can go on.
    fn step(&mut self, step: &Step) -> Result<bool, Error> {
        let dir = self.stage.build.dir;
        let edits: Vec<&Edit> = step
            .edits
            .iter()
            .map(|name| self.edit(name))
            .collect::<Result<_, _>>()?;
        self.lto = step.lto.unwrap_or(self.lto);
        if step.fresh {
            remove_products(dir, self.stage.prepared)?;
        }
        let before = DirState::of(dir)?;
        let must_rebuild: BTreeSet<String> = edits
            .iter()
            .flat_map(|edit| dependants(dir, &before, edit))
            .collect();
        let cell = self.cell();
        let build = Build {
            cell: &cell,
            ..self.stage.build
        };
        let made = self.make(&build, step, step.lto.is_some())?;
        if let Some(failure) = made.failure {
            self.failed(&failure, &made.log);
            if step.expect.contains(&Expectation::Rules) {
                // What is there may say more than the log.
                self.answer(&build, &made.log, Report::OfFailure)?;
            }
            return Ok(false);
        }
        for expectation in &step.expect {
            if !self.expect(
                *expectation,
                step,
                &build,
                &made.log,
                &before,
                &must_rebuild,
            )? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Builds in another place.
    fn elsewhere(&mut self, step: &Step, place: Place) -> Result<bool, Error> {
        let result = self.build_elsewhere(step, place);
        for dir in ["in-tree", ODD_PATH] {
            remove_file(&self.stage.scratch.join(dir))?;
        }
        result.map(|()| true)
    }

    fn build_elsewhere(&mut self, step: &Step, place: Place) -> Result<(), Error> {
        let source = self.stage.scratch.join("in-tree");
        let odd = self.stage.scratch.join(ODD_PATH);
        for dir in [&source, &odd] {
            remove_file(dir)?;
        }
        let cell = self.cell();
        let other = match place {
            Place::OddPath => {
                mirror(self.stage.built, &odd)?;
                remove_products(&odd, self.stage.prepared)?;
                Build {
                    cell: &cell,
                    dir: &odd,
                    ..self.stage.build
                }
            }
            Place::InTree => {
                copy_source(self.stage.build.source, &source)?;
                let config = source.join(".config");
                std::fs::copy(self.stage.built.join(".config"), &config)
                    .map_err(Error::io(&config, "write"))?;
                Build {
                    cell: &cell,
                    dir: &source,
                    source: &source,
                    ..self.stage.build
                }
            }
        };
        let log = self.next_log();
        let build = Build { log: &log, ..other };
        if let Outcome::Failed(failure) = build.make_with(&[], &[])? {
            self.failed(&failure, &log);
            return Ok(());
        }
        let nothing = DirState::default();
        for expectation in &step.expect {
            self.expect(*expectation, step, &build, &log, &nothing, &BTreeSet::new())?;
        }
        Ok(())
    }

    /// Changes a source file.
    fn edit(&mut self, name: &str) -> Result<&'a Edit, Error> {
        let site = self.stage.site;
        let edit = site.edits.get(name).ok_or_else(|| {
            Error::Machine(format!(
                "{}: nothing here is named {name}",
                self.scenario.name
            ))
        })?;
        let file = self.stage.build.source.join(&edit.file);
        let content = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        let mut changed = content.clone();
        changed.extend_from_slice(edit.append.as_bytes());
        self.edited.push((file.clone(), content));
        self.clean_facts.clear();
        std::fs::write(&file, changed).map_err(Error::io(&file, "write"))?;
        Ok(edit)
    }

    fn restore_sources(&mut self) -> Result<(), Error> {
        for (file, content) in self.edited.drain(..).rev() {
            std::fs::write(&file, content).map_err(Error::io(&file, "write"))?;
            set_modified(&file, SOURCE_TIME)?;
        }
        Ok(())
    }

    /// The cell, in the mode of the step.
    fn cell(&self) -> Cell {
        Cell {
            lto: self.lto,
            ..self.stage.build.cell.clone()
        }
    }

    fn next_log(&mut self) -> PathBuf {
        self.makes += 1;
        self.stage
            .scratch
            .join(format!("{}-{}.log", self.scenario.name, self.makes))
    }

    pub(super) fn make(
        &mut self,
        build: &Build,
        step: &Step,
        configure: bool,
    ) -> Result<Made, Error> {
        let log = self.next_log();
        remove_file(&log)?;
        let build = Build {
            log: &log,
            jobs: step.jobs.map_or(build.jobs, |jobs| jobs.number(build.jobs)),
            ..*build
        };
        if configure && let Some(failure) = self.configure(&build)? {
            return Ok(Made {
                log,
                failure: Some(failure),
            });
        }
        let mut variables: Vec<String> = step
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if step.shuffle {
            variables.push("--shuffle".to_owned());
        }
        let image = [build.cell.arch.image.clone()];
        let goals = match step.image {
            true => &image[..],
            false => &step.goals,
        };
        let failure = match build.make_with(&variables, goals)? {
            Outcome::Done => None,
            Outcome::Failed(failure) => Some(failure),
        };
        Ok(Made { log, failure })
    }

    /// Configures the tree for the mode of the step; with what it had, where it was in that
    /// mode before, so that a difference is never one of the configuration.
    fn configure(&mut self, build: &Build) -> Result<Option<Failure>, Error> {
        let file = build.dir.join(".config");
        let read = |file: &Path| std::fs::read(file).map_err(Error::io(file, "read"));
        let known = match self.lto == self.stage.build.cell.lto {
            true => Some(read(&self.stage.built.join(".config"))?),
            false => self.configs.get(&self.lto).cloned(),
        };
        if let Some(config) = known {
            std::fs::write(&file, config).map_err(Error::io(&file, "write"))?;
            return Ok(None);
        }
        if let Err(failure) = build.configure(false)? {
            return Ok(Some(failure));
        }
        self.configs.insert(self.lto, read(&file)?);
        Ok(None)
    }

    /// Builds again from nothing but what was prepared. Gives the log, `None` where that
    /// fails.
    pub(super) fn clean_build(
        &mut self,
        build: &Build,
        step: &Step,
    ) -> Result<Option<PathBuf>, Error> {
        remove_products(build.dir, self.stage.prepared)?;
        let made = self.make(build, step, false)?;
        if let Some(failure) = &made.failure {
            self.failed(failure, &made.log);
        }
        Ok(made.failure.is_none().then_some(made.log))
    }

    /// Checks the tree; reports what the first build had not, if asked to.
    pub(super) fn answer(
        &mut self,
        build: &Build,
        log: &Path,
        report: Report,
    ) -> Result<Option<Snapshot>, Error> {
        let answer = check_tree(&InspectRequest {
            build: build.dir,
            source: Some(build.source),
            log: Some(log),
            goal: build.target.reaches,
            arch: Some(&build.cell.arch),
            mode: Some(self.lto),
            requested: &build.cell.requested(),
            only: &[],
            allows: &[],
            cell: None,
        });
        let Answer {
            checked, facets, ..
        } = match answer {
            Ok(answer) => answer,
            Err(Error::NotABuildTree { found, .. }) => {
                self.find(&rules::DIFFERS, ".", &found);
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        if report != Report::No {
            let known = self.stage.findings;
            let is_known = |new: &Finding| {
                known
                    .iter()
                    .any(|old| (old.rule, &old.object) == (new.rule, &new.object))
            };
            // A step that make did not come to is older than the one that failed.
            let is_left = |finding: &Finding| {
                report == Report::OfFailure && finding.rule == &check::archive::STALE
            };
            let new = checked
                .findings
                .into_iter()
                .filter(|finding| !is_known(finding) && !is_left(finding));
            let step = &self.step;
            self.played.findings.extend(new.map(|finding| Finding {
                step: Some(step.clone()),
                ..finding
            }));
            if let (Some(why), false) = (&checked.unfinished, report == Report::OfFailure) {
                let why = format!("make exits 0, but {why}");
                self.find(&rules::DIFFERS, "vmlinux", &why);
            }
        }
        Ok(Some(facets))
    }

    fn failed(&mut self, failure: &Failure, log: &Path) {
        let evidence = format!("make fails: {}; see {}", failure.said(), log.display());
        self.find(&rules::FAILED, &failure.summary, &evidence);
    }

    pub(super) fn find(&mut self, rule: &'static Rule, object: impl AsRef<Path>, evidence: &str) {
        self.played.findings.push(Finding {
            rule,
            object: object.as_ref().display().to_string(),
            evidence: evidence.to_owned(),
            step: Some(self.step.clone()),
            suppressed: None,
        });
    }
}
