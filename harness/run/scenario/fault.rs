//! What make does with damaged intermediate files: damages them, makes again, and looks
//! what came of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::files::{do_damage, products};
use super::play::Play;
use super::rules;
use super::same::{Contents, different_files};
use super::{Damage, Intermediate, Step};
use crate::build::dir_state::{DirState, mirror, remove_file};
use crate::model::error::Error;

/// What make made of damaged trees.
struct Repairs {
    /// What it is to make.
    wanted: Contents,
    known: Vec<(DamagedTree, Repair)>,
}

/// The files of a finished tree that are gone, and those that were written again, with
/// their content.
type DamagedTree = (BTreeSet<PathBuf>, Contents);

#[derive(Clone)]
enum Repair {
    Done,
    /// The files differ from those of the first build: which, and how.
    Differs(String),
    /// What make says.
    Fails(String),
}

impl Play<'_> {
    /// Damages intermediate files, one by one or together, and makes again after each.
    pub(super) fn faults(&mut self, step: &Step) -> Result<bool, Error> {
        let stage = self.stage;
        let here = |file: &&Intermediate| {
            // The rules of the first build tell of a file that is wrongly missing.
            file.lto.contains(&self.lto) && stage.build.dir.join(&file.file).is_file()
        };
        let files: Vec<&Intermediate> = stage.site.intermediates.iter().filter(here).collect();
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
            for damage in &step.faults {
                let files: Vec<&str> = batch
                    .iter()
                    .filter(|file| !file.spared.contains(damage))
                    .map(|file| file.file.as_str())
                    .collect();
                if !files.is_empty() {
                    self.fault(step, &files, *damage, &mut repairs)?;
                    mirror(stage.built, stage.build.dir)?;
                }
            }
        }
        Ok(true)
    }

    /// Damages files; where make then fails, removes them as a person would, and makes
    /// again.
    fn fault(
        &mut self,
        step: &Step,
        files: &[&str],
        damage: Damage,
        repairs: &mut Repairs,
    ) -> Result<(), Error> {
        let dir = self.stage.build.dir;
        let object = match files {
            [file] => (*file).to_owned(),
            files => format!(
                "{} and {} more",
                files.first().unwrap_or(&""),
                files.len().saturating_sub(1)
            ),
        };
        self.step = format!("{object} {}", damage.name());
        for file in files {
            do_damage(&dir.join(file), damage)?;
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
                let evidence = format!("make still fails when it is removed: {said}");
                self.find(&rules::FAULT_STUCK, &object, &evidence);
            }
            Repair::Differs(how) => {
                let removed = if failed_first {
                    "after it was removed "
                } else {
                    ""
                };
                let evidence = format!("{removed}make exits 0, but {how}");
                self.find(&rules::FAULT_SILENT, &object, &evidence);
            }
        }
        Ok(())
    }

    /// Makes again, unless it is known what comes of files like these: mostly a failed
    /// make and the removal of what made it fail leave what the deletion left.
    fn repair(&mut self, step: &Step, repairs: &mut Repairs) -> Result<Repair, Error> {
        let (dir, build) = (self.stage.build.dir, self.stage.build);
        let state = DirState::of(dir)?;
        let rewritten: DirState = DirState(
            state
                .changed_since(self.stage.built_state)
                .map(|path| (path.to_owned(), state.0[path].clone()))
                .collect(),
        );
        let gone = self.stage.built_state.clone().without(&state);
        let damage = (gone.0.into_keys().collect(), rewritten.contents(dir)?);
        if let Some((_, repair)) = repairs.known.iter().find(|(known, _)| *known == damage) {
            return Ok(repair.clone());
        }
        let repair = match self.make(&build, step, false)?.failure {
            Some(failure) => Repair::Fails(failure.said().to_owned()),
            None => {
                let found = products(dir, self.stage.prepared)?;
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
