//! The engine: runs a scenario on a finished build tree, step by step, and then restores
//! the tree and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::files::{copy_source, dependants, remove_products};
use super::rules;
use super::{
    ConfigChange, Edit, EditTargets, Expectation, Jobs, Location, Scenario, Step, by_name,
};
use crate::build::dir_state::{DirState, SOURCE_TIME, mirror, remove_file, set_modified};
use crate::build::kbuild::{Build, BuildOutcome, Failure};
use crate::judge::check;
use crate::judge::inspect::{InspectRequest, inspect};
use crate::judge::snapshot::Snapshot;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::finding::Rule;
use crate::model::record::{FindingRecord, Inspection, ScenarioRecord, Skip, SkipReason};

/// A finished build, and everything that a scenario needs to know about it.
#[derive(Debug)]
pub struct ScenarioContext<'a> {
    pub build: Build<'a>,
    /// The tree as it was before the first object was built.
    pub prepared: &'a DirState,
    /// A copy of the finished build tree.
    pub built: &'a Path,
    pub built_state: &'a DirState,
    /// What the steps can edit and damage.
    pub edit_targets: &'a EditTargets,
    /// The findings of the first build; they are not reported again.
    pub findings: &'a [FindingRecord],
    pub snapshot: &'a Snapshot,
    /// Clean builds of other modes, if there are any.
    pub clean_builds: &'a BTreeMap<LtoMode, CleanBuild<'a>>,
    /// Whether to make clean builds for modes missing from `clean_builds`; if not, their steps
    /// are skipped.
    pub builds_others: bool,
    /// A folder for other build trees and logs; nothing else uses it.
    pub scratch: &'a Path,
    /// The tree whose `.gitignore` files count.
    pub gitignore: &'a Path,
    /// Whether this make has `--shuffle`.
    pub has_shuffle: bool,
}

/// A clean build of the same sources in another mode.
#[derive(Debug, Clone, Copy)]
pub struct CleanBuild<'a> {
    pub dir: &'a Path,
    pub snapshot: &'a Snapshot,
}

/// What a scenario found.
#[derive(Debug, Default)]
pub struct ScenarioOutcome {
    pub findings: Vec<FindingRecord>,
    pub skipped: Vec<Skip>,
}

impl ScenarioContext<'_> {
    /// Runs the scenario of that name, if it applies to the cell's mode.
    ///
    /// # Errors
    /// As [`ScenarioContext::run`].
    pub fn run_named(&self, name: &str) -> Result<ScenarioRecord, Error> {
        let started = Instant::now();
        let scenario = by_name(name)?;
        let mode = self.build.cell.lto;
        if !scenario.lto.contains(&mode) {
            return Ok(ScenarioRecord::skipped(
                name,
                SkipReason::NotInMode { mode },
            ));
        }
        let outcome = self.run(&scenario)?;
        Ok(ScenarioRecord {
            name: name.to_owned(),
            findings: outcome.findings,
            skipped: outcome.skipped,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Runs a scenario.
    ///
    /// # Errors
    /// When the machine fails, the time limit is exceeded or the user interrupts; never for
    /// what the kernel does wrong.
    pub fn run(&self, scenario: &Scenario) -> Result<ScenarioOutcome, Error> {
        let mut run = ScenarioRun {
            context: self,
            scenario,
            step: String::new(),
            makes: 0,
            edited: Vec::new(),
            variant: Variant::of_mode(self.build.cell.lto),
            clean_snapshots: self.clean_snapshots(),
            configs: BTreeMap::new(),
            outcome: ScenarioOutcome::default(),
        };
        let result = run.steps();
        let restored = run.restore_sources();
        mirror(self.built, self.build.dir)?;
        result?;
        restored?;
        Ok(run.outcome)
    }

    fn clean_snapshots(&self) -> BTreeMap<Variant, Snapshot> {
        let others = self
            .clean_builds
            .iter()
            .map(|(mode, clean)| (*mode, clean.snapshot));
        let own = [(self.build.cell.lto, self.snapshot)];
        let all = others.chain(own);
        all.map(|(mode, facets)| (Variant::of_mode(mode), facets.clone()))
            .collect()
    }
}

/// What a tree is configured for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variant {
    pub(super) lto: LtoMode,
    config: ConfigChange,
}

impl Variant {
    fn of_mode(lto: LtoMode) -> Variant {
        Variant {
            lto,
            config: ConfigChange::default(),
        }
    }
}

pub(super) struct ScenarioRun<'a> {
    pub(super) context: &'a ScenarioContext<'a>,
    scenario: &'a Scenario,
    /// The name of the current step.
    pub(super) step: String,
    /// How often make has run.
    makes: usize,
    /// Files that were changed, with their original content.
    edited: Vec<(PathBuf, Vec<u8>)>,
    pub(super) variant: Variant,
    /// The snapshots of clean builds of the current sources.
    pub(super) clean_snapshots: BTreeMap<Variant, Snapshot>,
    /// The configurations that the tree had, other than that of the build.
    configs: BTreeMap<Variant, Vec<u8>>,
    outcome: ScenarioOutcome,
}

/// A name with characters that kbuild allows but a shell or make could misread. The
/// kernel's own tools cannot be built below a comma or a percent sign.
const ODD_PATH: &str = "odd+a@b~c=d";

/// How make ended, and what it wrote.
pub(super) struct MakeResult {
    log: PathBuf,
    pub(super) failure: Option<Failure>,
}

/// Whether findings of a tree are reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReportFindings {
    No,
    All,
    /// All but those that follow from the failed build: an unfinished tree, stale steps.
    AfterFailure,
}

impl<'a> ScenarioRun<'a> {
    fn steps(&mut self) -> Result<(), Error> {
        let mut can_continue = true;
        for step in &self.scenario.steps {
            self.step.clone_from(&step.name);
            if !can_continue && !step.fresh {
                self.skip(step, SkipReason::StepFailed);
                continue;
            }
            if let Some(mode) = step.lto
                && !self.context.builds_others
                && !self.clean_snapshots.contains_key(&Variant::of_mode(mode))
            {
                self.skip(step, SkipReason::NoCleanBuild { mode });
                continue;
            }
            if step.lto == Some(self.variant.lto) {
                // The steps in between were skipped. After them, as in a clean build, no
                // object would come from another mode.
                if let Some(clean) = self.context.clean_builds.get(&self.variant.lto) {
                    mirror(clean.dir, self.context.build.dir)?;
                }
                continue;
            }
            if step.fresh && step.jobs == Some(Jobs::of(self.context.build.parallelism.most())) {
                // The first build already did.
                continue;
            }
            if step.shuffle && !self.context.has_shuffle {
                self.skip(step, SkipReason::NoShuffle);
                continue;
            }
            can_continue = match (step.location, step.damage.is_empty()) {
                (Some(location), _) => self.at_location(step, location)?,
                (None, false) => self.damage(step)?,
                (None, true) => self.step(step)?,
            };
        }
        Ok(())
    }

    /// Runs a step in the tree itself. Returns whether the scenario can continue.
    fn step(&mut self, step: &Step) -> Result<bool, Error> {
        let dir = self.context.build.dir;
        let edits: Vec<&Edit> = step
            .edits
            .iter()
            .map(|name| self.edit(name))
            .collect::<Result<_, _>>()?;
        self.variant.lto = step.lto.unwrap_or(self.variant.lto);
        if let Some(config) = &step.config {
            self.variant.config.clone_from(config);
        }
        if step.fresh {
            remove_products(dir, self.context.prepared)?;
        }
        let before = DirState::of(dir)?;
        let must_rebuild: BTreeSet<String> = edits
            .iter()
            .flat_map(|edit| dependants(dir, &before, edit))
            .collect();
        let cell = self.cell();
        let build = Build {
            cell: &cell,
            fills_cache: step.fresh,
            ..self.context.build
        };
        let configure = step.lto.is_some() || step.config.is_some();
        let made = self.make(&build, step, configure)?;
        if let Some(failure) = made.failure {
            self.failed(&failure, &made.log);
            if step.expect.contains(&Expectation::Rules) {
                // The files in the tree may say more than the log.
                self.inspect(&build, &made.log, ReportFindings::AfterFailure)?;
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

    /// Builds in another location. Returns whether the scenario can continue.
    fn at_location(&mut self, step: &Step, location: Location) -> Result<bool, Error> {
        let result = self.build_at(step, location);
        for dir in ["in-tree", ODD_PATH] {
            remove_file(&self.context.scratch.join(dir))?;
        }
        result.map(|()| true)
    }

    fn build_at(&mut self, step: &Step, location: Location) -> Result<(), Error> {
        let source = self.context.scratch.join("in-tree");
        let odd = self.context.scratch.join(ODD_PATH);
        for dir in [&source, &odd] {
            remove_file(dir)?;
        }
        let cell = self.cell();
        let other = match location {
            Location::OddPath => {
                mirror(self.context.built, &odd)?;
                remove_products(&odd, self.context.prepared)?;
                Build {
                    cell: &cell,
                    dir: &odd,
                    ..self.context.build
                }
            }
            Location::InTree => {
                copy_source(self.context.build.source, &source)?;
                let config = source.join(".config");
                std::fs::copy(self.context.built.join(".config"), &config)
                    .map_err(Error::io(&config, "write"))?;
                Build {
                    cell: &cell,
                    dir: &source,
                    source: &source,
                    ..self.context.build
                }
            }
        };
        let log = self.next_log();
        let build = Build { log: &log, ..other };
        let made = build.make_with(&[], &[]);
        self.report_complaints(&build);
        if let BuildOutcome::Failed(failure) = made? {
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
        let site = self.context.edit_targets;
        let edit = site.edits.get(name).ok_or_else(|| {
            Error::Machine(format!(
                "scenario {}: there is no edit named '{name}'",
                self.scenario.name
            ))
        })?;
        let file = self.context.build.source.join(&edit.file);
        let content = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        let mut changed = content.clone();
        changed.extend_from_slice(edit.append.as_bytes());
        self.edited.push((file.clone(), content));
        self.clean_snapshots.clear();
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

    /// The cell as the step configures it.
    fn cell(&self) -> Cell {
        self.variant.config.apply(Cell {
            lto: self.variant.lto,
            ..self.context.build.cell.clone()
        })
    }

    fn next_log(&mut self) -> PathBuf {
        self.makes += 1;
        self.context
            .scratch
            .join(format!("{}-{}.log", self.scenario.name, self.makes))
    }

    pub(super) fn make(
        &mut self,
        build: &Build,
        step: &Step,
        configure: bool,
    ) -> Result<MakeResult, Error> {
        let log = self.next_log();
        remove_file(&log)?;
        let build = Build {
            log: &log,
            parallelism: match step.jobs {
                Some(jobs) => jobs.or(build.parallelism),
                None => build.parallelism,
            },
            ..*build
        };
        if configure && let Some(failure) = self.configure(&build)? {
            return Ok(MakeResult {
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
        let made = build.make_with(&variables, goals);
        self.report_complaints(&build);
        let failure = match made? {
            BuildOutcome::Done => None,
            BuildOutcome::Failed(failure) => Some(failure),
        };
        Ok(MakeResult { log, failure })
    }

    /// Configures the tree for the step, starting from the configuration of the build. If the
    /// tree had the same configuration before, it gets that back, so that no difference comes
    /// from the configuration.
    fn configure(&mut self, build: &Build) -> Result<Option<Failure>, Error> {
        let file = build.config();
        let read = |file: &Path| std::fs::read(file).map_err(Error::io(file, "read"));
        let known = self.configs.get(&self.variant).cloned();
        let is_known =
            known.is_some() || self.variant == Variant::of_mode(self.context.build.cell.lto);
        let config = match known {
            Some(config) => config,
            None => read(&self.context.built.join(".config"))?,
        };
        // Not through a link.
        remove_file(&file)?;
        std::fs::write(&file, config).map_err(Error::io(&file, "write"))?;
        if is_known {
            return Ok(None);
        }
        if let Err(failure) = build.configure()? {
            return Ok(Some(failure));
        }
        self.configs.insert(self.variant.clone(), read(&file)?);
        Ok(None)
    }

    /// Builds again from only what was prepared. Returns the log, or `None` if the build
    /// fails.
    pub(super) fn clean_build(
        &mut self,
        build: &Build,
        step: &Step,
    ) -> Result<Option<PathBuf>, Error> {
        remove_products(build.dir, self.context.prepared)?;
        let build = Build {
            fills_cache: true,
            ..*build
        };
        let made = self.make(&build, step, false)?;
        if let Some(failure) = &made.failure {
            self.failed(failure, &made.log);
        }
        Ok(made.failure.is_none().then_some(made.log))
    }

    /// Checks the tree. If asked to, reports the findings that the first build did not have.
    pub(super) fn inspect(
        &mut self,
        build: &Build,
        log: &Path,
        report: ReportFindings,
    ) -> Result<Option<Snapshot>, Error> {
        let inspected = inspect(&InspectRequest {
            build: build.dir,
            external: None,
            source: Some(build.source),
            log: Some(log),
            goal: build.target.reaches,
            arch: Some(&build.cell.arch),
            mode: Some(self.variant.lto),
            requested: &build.cell.requested(),
            only: &[],
        });
        let inspected = match inspected {
            Ok(inspected) => inspected,
            Err(Error::NotABuildTree { found, .. }) => {
                self.report(&rules::DIFFERS, ".", &found);
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        if report != ReportFindings::No {
            self.report_new(inspected.inspection, report);
        }
        Ok(Some(inspected.snapshot))
    }

    /// Reports what the first build did not have.
    fn report_new(&mut self, inspection: Inspection, report: ReportFindings) {
        let known = self.context.findings;
        let is_known = |new: &FindingRecord| {
            let same = |old: &FindingRecord| (&old.key, &old.object) == (&new.key, &new.object);
            known.iter().any(same)
        };
        // A step that make did not reach is older than the one that failed.
        let is_consequence = |finding: &FindingRecord| {
            report == ReportFindings::AfterFailure && finding.key == check::archive::STALE.key
        };
        let found = inspection.findings.into_iter();
        let new = found.filter(|finding| !is_known(finding) && !is_consequence(finding));
        let step = &self.step;
        self.outcome
            .findings
            .extend(new.map(|finding| FindingRecord {
                step: Some(step.clone()),
                ..finding
            }));
        if let (Some(why), false) = (
            &inspection.unfinished,
            report == ReportFindings::AfterFailure,
        ) {
            let why = format!("make exited 0, but {why}");
            self.report(&rules::DIFFERS, "vmlinux", &why);
        }
    }

    /// What the build tried that its sandbox did not allow.
    fn report_complaints(&mut self, build: &Build) {
        let Some(inside) = build.sandbox else {
            return;
        };
        let step = &self.step;
        let found = inside.complaints.take().into_iter();
        self.outcome
            .findings
            .extend(found.map(|finding| FindingRecord {
                step: Some(step.clone()),
                ..finding
            }));
    }

    fn skip(&mut self, step: &Step, reason: SkipReason) {
        self.outcome.skipped.push(Skip {
            step: Some(step.name.clone()),
            reason,
        });
    }

    fn failed(&mut self, failure: &Failure, log: &Path) {
        let evidence = format!("make failed: {}; see {}", failure.said(), log.display());
        self.report(&rules::FAILED, &failure.summary, &evidence);
    }

    pub(super) fn report(&mut self, rule: &'static Rule, object: impl AsRef<Path>, evidence: &str) {
        let object = object.as_ref().display().to_string();
        self.outcome.findings.push(FindingRecord {
            step: Some(self.step.clone()),
            ..FindingRecord::new(rule, object, evidence)
        });
    }
}
