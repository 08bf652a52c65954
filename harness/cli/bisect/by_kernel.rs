//! Searches by whole kernels: by the probe where that sees the same fault, which takes seconds and not
//! minutes, and whole kernels make sure.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::args::ProbeCells;
use super::super::probe::{cells, kernel_command, with_cells};
use super::super::{jobs, load_matrix};
use super::two_toolchains::Toolchains;
use super::{Prepared, is_sure, set_sought};
use crate::build::dir_state::remove_file;
use crate::build::process::Command;
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::input::matrix::Matrix;
use crate::input::suggest::known_names;
use crate::judge::bisect::sought::{Asked, Sought};
use crate::judge::bisect::symbols::differing;
use crate::judge::identity::Part;
use crate::model::bisect::{BisectRecord, Ended};
use crate::model::cell::{BOOT, Cell};
use crate::model::error::Error;
use crate::run::bisect::Configuration;
use crate::run::bisect::kernel::{CleanKernels, KernelOracle, build, built_in};
use crate::run::bisect::probe::{ProbeOracle, probe_cells};
use crate::run::events::Event;
use crate::run::probe::drive::arch_folders;
use crate::run::schedule::Policy;
use crate::run::whole::drive::Run;
use crate::source::commit::{Commit, SHORT};
use crate::store::bisect::SearchKey;

/// The beginning of the names of folders with clean builds.
const CLEAN: &str = "clean-";

/// What builds the kernels of a matrix.
struct Kernels<'a> {
    file: &'a Path,
    matrix: &'a Matrix,
    allows: &'a [Allow],
    sandbox: Option<&'a Sandbox>,
    /// Where the carried tree is.
    carried: &'a Path,
}

impl Prepared<'_> {
    pub fn by_kernel(&self, mut record: BisectRecord, file: &Path) -> Result<BisectRecord, Error> {
        let matrix = load_matrix(file)?;
        let mut selected = matrix.select(&self.args.patterns)?;
        let names = &self.args.cells.toolchain;
        let toolchains = Toolchains::of(names)?;
        if !names.is_empty() {
            let known = selected.iter().map(|cell| cell.toolchain_name.as_str());
            let known: BTreeSet<&str> = known.collect();
            if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
                return Err(Error::Usage(format!(
                    "{}: no cell has the toolchain '{name}'; {}",
                    file.display(),
                    known_names(name, known)
                )));
            }
            selected.retain(|cell| names.contains(&cell.toolchain_name));
        }
        for cell in &selected {
            self.good_config(&matrix, cell)?;
        }
        let sandbox = Sandbox::find(self.args.sandbox, self.cancel)?;
        let kernels = Kernels {
            file,
            matrix: &matrix,
            allows: &self.allows(&matrix.allow)?,
            sandbox: sandbox.as_ref(),
            carried: &self.kept.path().join("kernels"),
        };
        let asked = self.asked();
        if asked.key.is_some() && toolchains.is_none() {
            // No kernel is built to find out what to search for.
            for cell in &selected {
                let found = self.by_probe_first(&record, &kernels, cell, &asked, None)?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
        }
        let all = self.kernels(&kernels, &selected);
        let test = |commit: &Commit| build(&all, commit);
        let Some(sought) = self.sought(&mut record, toolchains.as_ref(), &test)? else {
            return Ok(record);
        };
        let name = &sought.finding.cell;
        let Some(cell) = selected.iter().find(|cell| cell.name() == *name) else {
            return Err(Error::Machine(format!("no cell is named {name}")));
        };
        if asked.key.is_none() || toolchains.is_some() {
            let asked = Asked {
                key: Some(sought.finding.key.clone()),
                object: Some(sought.finding.object.clone()),
            };
            let sought = Some(&sought);
            if let Some(found) = self.by_probe_first(&record, &kernels, cell, &asked, sought)? {
                return Ok(found);
            }
        }
        record.reproduce = self.reproduce(&kernels, cell, self.ends.bad.short());
        let needed = needed(&selected, cell, &sought);
        let run = Run {
            carried: None,
            ..self.kernels(&kernels, &needed)
        };
        let cell = &needed[0];
        let good = self.good_config(&matrix, cell)?;
        set_good_config(&mut record, cell, good.as_ref());
        let symbols = differing(cell, good.as_ref());
        let of_oracle = self.of_kernels(&kernels, &needed, &sought)?;
        let key = self.key(&record, &symbols, &of_oracle);
        let oracle = KernelOracle {
            run: &run,
            cell,
            sought: sought.clone(),
            git: self.own.git(),
            carried: kernels.carried,
            built: built_in(kernels.carried),
        };
        let is_compared = matches!(sought.part(), Part::Comparison(_));
        // A comparison needs other cells with the same configuration.
        let configuration = (!is_compared).then_some(Configuration {
            cell,
            tests: &oracle,
            symbols: &symbols,
        });
        let clean = CleanKernels {
            run: &run,
            cell,
            place: &self.clean_place(&key)?,
            carried: kernels.carried,
            asked: &asked,
            sought: OnceCell::from(sought),
        };
        let searched = self.search(record, &oracle, &clean, configuration, &key, &|_| {})?;
        self.remove_clean(None)?;
        Ok(searched)
    }

    /// Searches by the probe, and makes sure of the commit by whole kernels of the cell; `None` if the
    /// probe does not see the fault, or the kernels say otherwise.
    fn by_probe_first(
        &self,
        record: &BisectRecord,
        kernels: &Kernels<'_>,
        cell: &Cell,
        asked: &Asked,
        sought: Option<&Sought>,
    ) -> Result<Option<BisectRecord>, Error> {
        let Some(wanted) = as_probe(cell, sought) else {
            return Ok(None);
        };
        let Ok(probed) = cells(&wanted, &[cell.lto], &[]) else {
            return Ok(None);
        };
        let command = with_cells(kernel_command(self.kernel), &wanted);
        let probe = self.probe(&command, kernels.allows, kernels.sandbox);
        let of_rule = Asked {
            key: asked.key.clone(),
            object: None,
        };
        let ends = self.ends_of(&|commit| probe_cells(&probe, &probed, commit), &of_rule);
        let ends = match ends {
            Ok(ends) => ends,
            Err(error @ Error::Usage(_)) => {
                self.say(&format!(
                    "the probe does not go first: {}",
                    error.in_one_line()
                ));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (Ok((seen, _)), [probed]) = (ends.choose(), probed.as_slice()) else {
            return Ok(None);
        };
        let mut record = record.clone();
        let others = std::mem::take(&mut record.others);
        set_sought(&mut record, &seen, others);
        record.notes.push(format!(
            "the probe sees the rule broken, for {}: it tested the commits, and the bad end without the one that it found; whole kernels made sure of that one and of its parents",
            seen.finding.object
        ));
        let needed = needed(std::slice::from_ref(cell), cell, sought.unwrap_or(&seen));
        let run = Run {
            carried: None,
            ..self.kernels(kernels, &needed)
        };
        // What the probe shows is what the kernels have to show.
        let asked = Asked {
            key: Some(seen.finding.key.clone()),
            object: asked.object.clone(),
        };
        let good = self.good_config(kernels.matrix, cell)?;
        let configured = if good.is_some() { &needed[0] } else { probed };
        set_good_config(&mut record, configured, good.as_ref());
        let symbols = differing(configured, good.as_ref());
        let mut of_oracle = self.of_kernels(kernels, &needed, &seen)?;
        of_oracle.push(format!("{asked:?}"));
        let key = self.key(&record, &symbols, &of_oracle);
        let oracle = ProbeOracle {
            probe: &probe,
            cell: probed.clone(),
            sought: seen,
            arches: arch_folders()?,
        };
        let clean = CleanKernels {
            run: &run,
            cell: &needed[0],
            place: &self.clean_place(&key)?,
            carried: kernels.carried,
            asked: &asked,
            sought: sought.cloned().map_or_else(OnceCell::new, OnceCell::from),
        };
        let configuration = Configuration {
            cell: configured,
            tests: if good.is_some() { &clean } else { &oracle },
            symbols: &symbols,
        };
        let finish = |record: &mut BisectRecord| {
            if let Some(of_kernels) = clean.sought.get() {
                let others = std::mem::take(&mut record.others);
                set_sought(record, of_kernels, others);
            }
            if let Some(Ended::Culprit { commit }) = &record.ended {
                let short = commit.commit.get(..SHORT).unwrap_or(&commit.commit);
                record.reproduce = self.reproduce(kernels, cell, short);
            }
        };
        let searched = self.search(record, &oracle, &clean, Some(configuration), &key, &finish)?;
        self.remove_clean(None)?;
        let is_found = matches!(searched.ended, Some(Ended::Culprit { .. })) && is_sure(&searched);
        if !is_found {
            self.say("whole kernels do not say the same as the probe; they search themselves");
        }
        Ok(is_found.then_some(searched))
    }

    /// What tells a search by these kernels from others.
    fn of_kernels(
        &self,
        kernels: &Kernels<'_>,
        needed: &[Cell],
        sought: &Sought,
    ) -> Result<Vec<String>, Error> {
        let mut of_oracle = self.of_oracle(needed, sought, kernels.sandbox)?;
        of_oracle.push(format!("{:?}", kernels.matrix.tolerances));
        Ok(of_oracle)
    }

    fn kernels<'r>(&'r self, kernels: &'r Kernels<'_>, cells: &'r [Cell]) -> Run<'r> {
        Run {
            work: self.work,
            matrix: kernels.matrix,
            cells,
            mutations: &[],
            allows: kernels.allows,
            snapshots: None,
            jobs: jobs(self.args.place.jobs, 1),
            cache: None,
            caches: None,
            // A tree that is copied from another mode's is not carried.
            reuse_trees: false,
            fresh: self.args.jobs_options.fresh,
            policy: Policy::plain(1, self.args.jobs_options.fail_fast),
            sandbox: kernels.sandbox,
            carried: Some(kernels.carried),
            events: self.events,
            cancel: self.cancel,
        }
    }

    /// The cell with the configuration that the user says is good, if there is one.
    fn good_config(&self, matrix: &Matrix, cell: &Cell) -> Result<Option<Cell>, Error> {
        let Some(name) = &self.args.good_config else {
            return Ok(None);
        };
        let cells = matrix.select(&[])?;
        let is_like = |other: &&Cell| other.arch == cell.arch && other.lto == cell.lto;
        let others: Vec<&Cell> = cells.iter().filter(is_like).collect();
        let Some(good) = others.iter().find(|other| other.config_name == *name) else {
            let known: BTreeSet<&str> = others.iter().map(|c| c.config_name.as_str()).collect();
            return Err(Error::Usage(format!(
                "--good-config {name}: no cell beside {} has that configuration; {}",
                cell.name(),
                known_names(name, known)
            )));
        };
        if (&good.base, &good.fragments) != (&cell.base, &cell.fragments) {
            return Err(Error::Usage(format!(
                "--good-config {name}: it begins with {}, and that of {} with {}\n  name a configuration that begins with the same target of make",
                good.begins_with(),
                cell.name(),
                cell.begins_with()
            )));
        }
        Ok(Some((*good).clone()))
    }

    /// Commands that show the fault at a commit.
    fn reproduce(&self, kernels: &Kernels<'_>, cell: &Cell, commit: &str) -> Vec<String> {
        let again = Command::new("klto").arg("run").arg(kernels.file);
        let again = again.args(["--cell", &cell.name(), "--kernel"]);
        let again = again.arg(self.kernel).args(["--ref", commit]);
        vec![again.shell_words()]
    }

    /// Where the clean builds of a search are. Those of other searches are removed, and with `--fresh` its
    /// own.
    fn clean_place(&self, key: &SearchKey) -> Result<PathBuf, Error> {
        let place = self.kept.path().join(format!("{CLEAN}{}", key.name()));
        let fresh = self.args.jobs_options.fresh;
        self.remove_clean(Some(&place).filter(|_| !fresh))?;
        Ok(place)
    }

    /// Removes the clean builds of all searches but one, with the worktrees of their sources.
    fn remove_clean(&self, but: Option<&PathBuf>) -> Result<(), Error> {
        let entries = std::fs::read_dir(self.kept.path());
        let entries = entries.map_err(Error::io(self.kept.path(), "read"))?;
        for entry in entries.flatten() {
            let is_clean = entry.file_name().to_string_lossy().starts_with(CLEAN);
            if is_clean && but != Some(&entry.path()) {
                remove_file(&entry.path())?;
            }
        }
        self.own.git().run(["worktree", "prune", "--expire=now"])?;
        Ok(())
    }

    fn say(&self, text: &str) {
        self.events.on(&Event::Note { text });
    }
}

/// Names the good configuration in the record: one of the matrix, or what the cell begins with.
fn set_good_config(record: &mut BisectRecord, cell: &Cell, good: Option<&Cell>) {
    record.good_config = match good {
        Some(good) => good.config_name.clone(),
        None => cell.begins_with(),
    };
}

/// The cell as the probe has it: with the scenario after which the finding is there, or with all of the
/// cell if that is not known; `None` if the probe cannot show it.
fn as_probe(cell: &Cell, sought: Option<&Sought>) -> Option<ProbeCells> {
    let scenarios = match sought.map(Sought::part) {
        Some(Part::Build) => Vec::new(),
        Some(Part::Scenario(name)) => vec![name.clone()],
        // The probe compares no modes.
        Some(Part::Comparison(_)) => return None,
        None => cell.scenarios.clone(),
    };
    let usual = scenarios.into_iter();
    Some(ProbeCells {
        arch: vec![cell.arch.name.clone()],
        toolchain: vec![cell.make.get("LLVM")?.clone()],
        scenario: usual
            .filter(|name| name != "build" && name != BOOT)
            .collect(),
        timeout: cell.timeout,
    })
}

/// The cells that show a finding: the one that has it first, without the scenarios that are not needed,
/// and those that it is compared with.
fn needed(selected: &[Cell], cell: &Cell, sought: &Sought) -> Vec<Cell> {
    let only = |cell: &Cell, scenario: Option<&String>| Cell {
        scenarios: ["build".to_owned()]
            .iter()
            .chain(scenario)
            .cloned()
            .collect(),
        ..cell.clone()
    };
    match sought.part() {
        Part::Build => vec![only(cell, None)],
        Part::Scenario(name) => vec![only(cell, Some(name))],
        Part::Comparison(_) => {
            let others = selected
                .iter()
                .filter(|other| other.group() == cell.group() && other.lto != cell.lto);
            let cells = [cell].into_iter().chain(others);
            cells.map(|cell| only(cell, None)).collect()
        }
    }
}
