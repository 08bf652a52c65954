//! What must hold after a step: one function per [`Expectation`], all called from
//! [`ScenarioRun::expect`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::engine::{ReportFindings, ScenarioRun};
use super::equal::{Contents, different_facets, different_files, without_location};
use super::files::{compiled_since, lay_out_gitignore, products};
use super::rules;
use super::{Expectation, Step};
use crate::build::boot::{self, Boot};
use crate::build::dir_state::DirState;
use crate::build::kbuild::Build;
use crate::file::bounded_log;
use crate::judge::snapshot::Snapshot;
use crate::model::error::Error;
use crate::model::finding::Rule;

impl ScenarioRun<'_> {
    /// Checks one expectation. Returns whether the scenario can continue.
    pub(super) fn expect(
        &mut self,
        expectation: Expectation,
        step: &Step,
        build: &Build,
        log: &Path,
        before: &DirState,
        must_rebuild: &BTreeSet<String>,
    ) -> Result<bool, Error> {
        let (dir, prepared) = (build.dir, self.context.prepared);
        match expectation {
            Expectation::NoCommand => self.expect_no_command(log)?,
            Expectation::NothingRewritten => {
                let after = DirState::of(dir)?;
                for path in after.changed_since(before) {
                    self.report(
                        &rules::REWRITTEN,
                        path,
                        "was rewritten, though nothing had changed",
                    );
                }
            }
            Expectation::DependantsRebuilt => {
                let rebuilt = compiled_since(dir, before)?;
                self.expect_rebuilt(&rebuilt, must_rebuild);
            }
            Expectation::Rules => {
                self.inspect(build, log, ReportFindings::All)?;
            }
            Expectation::BytesOfCleanBuild => {
                let found = products(dir, prepared)?;
                if self.clean_build(build, step)?.is_none() {
                    return Ok(false);
                }
                self.expect_same_files(&rules::DIFFERS, &products(dir, prepared)?, &found);
            }
            Expectation::FactsOfCleanBuild => {
                let found = self.inspect(build, log, ReportFindings::No)?;
                let variant = self.variant.clone();
                if !self.clean_snapshots.contains_key(&variant) {
                    let Some(log) = self.clean_build(build, step)? else {
                        return Ok(false);
                    };
                    let facts = self.inspect(build, &log, ReportFindings::No)?;
                    self.clean_snapshots
                        .extend(facts.map(|facts| (variant.clone(), facts)));
                }
                let wanted = self.clean_snapshots.get(&variant).cloned();
                self.expect_same_facts(&rules::DIFFERS, wanted, found);
            }
            Expectation::BytesOfBuild => {
                let built = self.context.built_state.clone().without(prepared);
                let wanted = built.contents(self.context.built)?;
                self.expect_same_files(&rules::ORDER_DIFFERS, &wanted, &products(dir, prepared)?);
            }
            Expectation::FactsOfBuild => {
                let found = self.inspect(build, log, ReportFindings::No)?;
                let wanted = Some(without_location(self.context.snapshot.clone()));
                self.expect_same_facts(&rules::WHERE_DIFFERS, wanted, found.map(without_location));
            }
            Expectation::NothingLeft => self.expect_nothing_left(step)?,
            Expectation::IgnoredByGit => self.expect_ignored()?,
            // `damage` checks it itself.
            Expectation::Repaired => {}
            Expectation::Boots => self.expect_boot(build)?,
        }
        Ok(true)
    }

    fn expect_boot(&mut self, build: &Build) -> Result<(), Error> {
        let release = build.dir.join("include/config/kernel.release");
        let release = std::fs::read_to_string(&release).map_err(Error::io(&release, "read"))?;
        let boot = Boot {
            cell: build.cell,
            build: build.dir,
            release: release.trim(),
            scratch: self.context.scratch,
            console: &self.context.scratch.join("console.log"),
            limit: boot::LIMIT,
            deadline: build.deadline,
            cancel: build.cancel,
        };
        for (rule, evidence) in boot.run()? {
            let evidence = format!("{evidence}; see {}", boot.console.display());
            self.report(rule, "console", &evidence);
        }
        Ok(())
    }

    fn expect_no_command(&mut self, log: &Path) -> Result<(), Error> {
        let text = bounded_log::read(log).map_err(Error::io(log, "read"))?;
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some((tool, target)) = quiet_command(line) {
                self.report(
                    &rules::COMMAND,
                    target,
                    &format!("'{tool}' ran, though nothing had changed"),
                );
            }
        }
        Ok(())
    }

    fn expect_rebuilt(&mut self, rebuilt: &BTreeSet<String>, wanted: &BTreeSet<String>) {
        for object in wanted.difference(rebuilt) {
            self.report(&rules::MISSED, object, "was not recompiled");
        }
        for object in rebuilt.difference(wanted) {
            self.report(&rules::EXTRA, object, "was recompiled");
        }
    }

    fn expect_same_files(&mut self, rule: &'static Rule, wanted: &Contents, found: &Contents) {
        let different: Vec<_> = different_files(wanted, found)
            .map(|(path, how)| (path.to_owned(), how))
            .collect();
        for (path, how) in different {
            self.report(rule, &path, how);
        }
    }

    fn expect_same_facts(
        &mut self,
        rule: &'static Rule,
        wanted: Option<Snapshot>,
        found: Option<Snapshot>,
    ) {
        let (Some(wanted), Some(found)) = (wanted, found) else {
            return;
        };
        for (facet, how) in different_facets(&wanted, &found) {
            self.report(rule, facet, &how);
        }
    }

    fn expect_nothing_left(&mut self, step: &Step) -> Result<(), Error> {
        let left = DirState::of(self.context.build.dir)?.without(self.context.prepared);
        let is_kept = |path: &&PathBuf| step.keeps.iter().any(|kept| path.starts_with(kept));
        for path in left.0.keys().filter(|path| !is_kept(path)) {
            self.report(
                &rules::CLEAN_LEFT,
                path,
                &format!("is still there after make {}", step.goals.join(" ")),
            );
        }
        Ok(())
    }

    fn expect_ignored(&mut self) -> Result<(), Error> {
        // make leaves these only in a build directory, never in the source tree.
        const OUTPUT_DIRECTORY: [&str; 3] = ["Makefile", "source", ".gitignore"];
        let files = self.context.built_state.0.keys();
        let made: Vec<&Path> = files
            .map(PathBuf::as_path)
            .filter(|path| !OUTPUT_DIRECTORY.iter().any(|name| *path == Path::new(name)))
            .collect();
        let gitignore = self.context.scratch.join("gitignore");
        lay_out_gitignore(self.context.gitignore, &gitignore)?;
        for path in crate::source::git::not_ignored(&gitignore, &made, self.context.build.cancel)? {
            self.report(
                &rules::CLEAN_NOT_IGNORED,
                path,
                "no line of a .gitignore file covers it",
            );
        }
        Ok(())
    }
}

/// The command and its target in a line of make's quiet output: `  CC      init/main.o`.
fn quiet_command(line: &str) -> Option<(&str, &str)> {
    // These run every time, and write only if something differs.
    const ALWAYS: [&str; 3] = ["CALL", "DESCEND", "CHK"];
    let (tool, target) = line.strip_prefix("  ")?.split_once(' ')?;
    let target = target.trim_start();
    let is_command = !tool.is_empty()
        && tool
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !ALWAYS.contains(&tool)
        && (tool, target) != ("GEN", "Makefile");
    is_command.then_some((tool, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("  CC      init/main.o", Some(("CC", "init/main.o")))]
    #[case("  LD [M]  drivers/x.ko", Some(("LD", "[M]  drivers/x.ko")))]
    #[case("  GEN     Makefile", None)]
    #[case("  CALL    scripts/checksyscalls.sh", None)]
    #[case("make: nothing to be done", None)]
    #[case("  in function x", None)]
    fn commands_are_distinguished_from_other_output(
        #[case] line: &str,
        #[case] command: Option<(&str, &str)>,
    ) {
        assert_eq!(quiet_command(line), command);
    }
}
