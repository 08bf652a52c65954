//! How make handles damaged intermediate files: damages them, runs make again, and checks
//! the result.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::engine::ScenarioRun;
use super::equal::{Contents, different_files};
use super::files::{do_damage, products};
use super::rules;
use super::{Damage, Intermediate, Step};
use crate::build::dir_state::{DirState, mirror, remove_file};
use crate::build::kbuild::Build;
use crate::model::error::Error;

/// The results of make in damaged trees.
struct Repairs {
    /// The files of a correct build.
    wanted: Contents,
    known: Vec<(DamagedTree, Repair)>,
}

/// The files of a finished tree that are missing, and those that were rewritten, with
/// their content.
type DamagedTree = (BTreeSet<PathBuf>, Contents);

#[derive(Clone)]
enum Repair {
    Done,
    /// The files differ from those of the first build: which ones, and how.
    Differs(String),
    /// make failed, with this message.
    Fails(String),
}

impl ScenarioRun<'_> {
    /// Damages intermediate files, one by one or together, and runs make after each. Returns
    /// whether the scenario can continue.
    pub(super) fn damage(&mut self, step: &Step) -> Result<bool, Error> {
        let stage = self.context;
        let here = |file: &&Intermediate| {
            // If a file is missing that should be there, the rules of the first build report it.
            file.lto.contains(&self.variant.lto) && stage.build.dir.join(&file.file).is_file()
        };
        let files: Vec<&Intermediate> = stage
            .edit_targets
            .intermediates
            .iter()
            .filter(here)
            .collect();
        let batches: Vec<&[&Intermediate]> = match step.together {
            true => vec![&files],
            false => files.chunks(1).collect(),
        };
        let built = stage.built_state.clone().without(stage.prepared);
        let mut repairs = Repairs {
            wanted: built.contents(stage.built)?,
            known: Vec::new(),
        };
        for batch in batches {
            for damage in &step.damage {
                let files: Vec<&str> = batch
                    .iter()
                    .filter(|file| !file.spared.contains(damage))
                    .map(|file| file.file.as_str())
                    .collect();
                if !files.is_empty() {
                    self.damage_files(step, &files, *damage, &mut repairs)?;
                    mirror(stage.built, stage.build.dir)?;
                }
            }
        }
        Ok(true)
    }

    /// Damages files and runs make. If make fails, removes the files, as a person would, and
    /// runs make again.
    fn damage_files(
        &mut self,
        step: &Step,
        files: &[&str],
        damage: Damage,
        repairs: &mut Repairs,
    ) -> Result<(), Error> {
        let dir = self.context.build.dir;
        let object = match files {
            [file] => (*file).to_owned(),
            files => format!(
                "{} and {} more",
                files.first().unwrap_or(&""),
                files.len().saturating_sub(1)
            ),
        };
        self.step = format!("{object} {}", damage.name());
        let mut is_damaged = false;
        for file in files {
            is_damaged |= do_damage(&dir.join(file), damage)?;
        }
        if !is_damaged {
            return Ok(());
        }
        let mut repair = self.repair(step, repairs)?;
        let failed_first = matches!(repair, Repair::Fails(_));
        if failed_first {
            for file in files {
                remove_file(&dir.join(file))?;
            }
            repair = self.repair(step, repairs)?;
        }
        match repair {
            Repair::Done => {}
            Repair::Fails(said) => {
                let evidence = format!("make still failed after it was deleted: {said}");
                self.report(&rules::FAULT_STUCK, &object, &evidence);
            }
            Repair::Differs(how) => {
                let removed = if failed_first {
                    "after it was deleted "
                } else {
                    ""
                };
                let evidence = format!("{removed}make exited 0, but {how}");
                self.report(&rules::FAULT_SILENT, &object, &evidence);
            }
        }
        Ok(())
    }

    /// Runs make again, unless the result for the same damage is already known: after a
    /// failed make, removing the damaged file usually leaves the state that its deletion left.
    fn repair(&mut self, step: &Step, repairs: &mut Repairs) -> Result<Repair, Error> {
        let build = Build {
            fills_cache: false,
            ..self.context.build
        };
        let dir = build.dir;
        let state = DirState::of(dir)?;
        let rewritten: DirState = DirState(
            state
                .changed_since(self.context.built_state)
                .map(|path| (path.to_owned(), state.0[path].clone()))
                .collect(),
        );
        let gone = self.context.built_state.clone().without(&state);
        let damage = (gone.0.into_keys().collect(), rewritten.contents(dir)?);
        if let Some((_, repair)) = repairs.known.iter().find(|(known, _)| *known == damage) {
            return Ok(repair.clone());
        }
        let repair = match self.make(&build, step, false)?.failure {
            Some(failure) => Repair::Fails(failure.said().to_owned()),
            None => {
                let found = products(dir, self.context.prepared)?;
                let mut different = different_files(&repairs.wanted, &found);
                match (different.next(), different.count()) {
                    (None, _) => Repair::Done,
                    (Some((path, how)), 0) => Repair::Differs(format!("{} {how}", path.display())),
                    (Some((path, how)), more) => {
                        Repair::Differs(format!("{} {how} and {more} more differ", path.display()))
                    }
                }
            }
        };
        repairs.known.push((damage, repair.clone()));
        Ok(repair)
    }
}
