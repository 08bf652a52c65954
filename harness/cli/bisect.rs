//! `klto bisect`: the commit that brought a fault.

mod points;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use self::points::{Points, replay, told_verdicts};
use super::args::{Bisect as Args, Known, ProbeCells};
use super::output::{print, write_report};
use super::probe::{cells, kernel_command, with_cells, with_sandbox, work_dir};
use super::{check_place, events, jobs, known_findings, load_matrix, real_kernel};
use crate::build::process::{Cancel, Command};
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::judge::bisect::sought::{Asked, Ends, Sought};
use crate::model::bisect::{BisectRecord, CheckOf, Ended, FORMAT, StepRecord, Verdict};
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::record::CellRecord;
use crate::run::bisect::command::CommandOracle;
use crate::run::bisect::kernel::{KernelOracle, build};
use crate::run::bisect::probe::{ProbeOracle, probe_cells};
use crate::run::bisect::{Bisection, Oracle};
use crate::run::events::{Event, Events};
use crate::run::key::{CommonKey, own_program};
use crate::run::probe::drive::{Caches, Probe, arch_folders};
use crate::run::rules;
use crate::run::whole::drive::Run;
use crate::source::commit::Commit;
use crate::source::git::Git;
use crate::source::history::{Range, Wanted, describe};
use crate::source::series::apply::OwnRepository;
use crate::source::worktree::Worktree;
use crate::store::bisect::BisectDir;
use crate::store::lock::Patience;
use crate::store::work_dir::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let cancel = Cancel::install()?;
    let told = args
        .replay
        .as_deref()
        .map(replay)
        .transpose()?
        .unwrap_or_default();
    let kernel = real_kernel(&args.kernel)?;
    let user = Git::open(&kernel, &cancel)?;
    // Refuses what the user named in the user's own words, before anything is written.
    let ends = Points::find(args, &told, &user)?;
    let place = work_dir(args.place.work.as_deref())?;
    check_place(&place, &kernel)?;
    let work = WorkDir::open(&place)?;
    let events = events(&args.jobs_options)?;
    let patience = Patience {
        until: Instant::now().checked_add(args.cells.timeout),
        cancel: &cancel,
    };
    let _lock = work.lock_sources(patience, &mut || {
        let text = "waiting for another klto that uses the same work directory";
        events.on(&Event::Note { text });
    })?;
    let kept = BisectDir::of(work.path());
    let own = OwnRepository::open(&user, &kept.path().join("repositories"))?;
    own.start(ends.bad.id())?;
    let range = Range::list(
        own.git(),
        Wanted {
            good: &ends.good,
            bad: &ends.bad,
            first_parent: ends.first_parent,
            paths: &ends.paths,
        },
    )?;
    let record = begin(args, own.git(), &kernel, &ends)?;
    let search = Prepared {
        args,
        ends: &ends,
        range: &range,
        told: told_verdicts(&told, &user)?,
        kept,
        own,
        work: &work,
        kernel: &kernel,
        events: &*events,
        cancel: &cancel,
    };
    let record = match (&args.run, &args.matrix) {
        (Some(command), _) => search.by_command(record, command)?,
        (None, Some(matrix)) => search.by_kernel(record, matrix)?,
        (None, None) => search.by_probe(record)?,
    };
    for file in &args.report {
        write_report(&file.file, &file.bisect(&record))?;
    }
    print(&args.format.report(&record))?;
    Ok(match record.ended {
        Some(Ended::Culprit { .. }) => Exit::Pass,
        Some(Ended::Among { .. } | Ended::EndsDoNotFit { .. } | Ended::Contradiction { .. })
        | None => Exit::Inconclusive,
    })
}

/// What is known before anything is tested.
fn begin(args: &Args, git: &Git, kernel: &Path, ends: &Points) -> Result<BisectRecord, Error> {
    let good = ends.good.iter().map(|commit| describe(git, commit.id()));
    Ok(BisectRecord {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        began: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        kernel: kernel.display().to_string(),
        oracle: match (&args.run, &args.matrix) {
            (Some(command), _) => command.clone(),
            (None, Some(_)) => "whole kernels".to_owned(),
            (None, None) => "probe".to_owned(),
        },
        good: good.collect::<Result<_, _>>()?,
        bad: describe(git, ends.bad.id())?,
        first_parent: ends.first_parent,
        paths: ends.paths.clone(),
        finding: None,
        others: Vec::new(),
        commits: 0,
        suspects: 0,
        steps: Vec::new(),
        ended: None,
        checks: Vec::new(),
        hunks: None,
        rules: BTreeMap::new(),
        reproduce: Vec::new(),
        notes: ends.notes.clone(),
    })
}

/// A search that only lacks what tests the commits.
struct Prepared<'a> {
    args: &'a Args,
    ends: &'a Points,
    range: &'a Range,
    /// What the log says.
    told: BTreeMap<String, StepRecord>,
    kept: BisectDir,
    own: OwnRepository,
    work: &'a WorkDir,
    kernel: &'a Path,
    events: &'a dyn Events,
    cancel: &'a Cancel,
}

impl Prepared<'_> {
    fn by_command(&self, record: BisectRecord, command: &str) -> Result<BisectRecord, Error> {
        let folder = self.kept.path().join("checkout");
        let worktree = Worktree::open(self.own.git(), &folder)?;
        let oracle = CommandOracle {
            worktree: &worktree,
            command: command.to_owned(),
            log: self.kept.path().join("command.log"),
            timeout: self.args.cells.timeout,
            cancel: self.cancel,
        };
        let searched = self.search(record, &oracle, &oracle, &[command.to_owned()]);
        // What stopped the search is said before what keeps a worktree.
        let removed = worktree.remove();
        let searched = searched?;
        removed?;
        Ok(searched)
    }

    fn by_probe(&self, mut record: BisectRecord) -> Result<BisectRecord, Error> {
        let args = self.args;
        let all = cells(&args.cells, &args.lto, &[])?;
        let allows = self.allows(&[])?;
        let sandbox = Sandbox::find(args.sandbox, self.cancel)?;
        let command = with_cells(kernel_command(self.kernel), &args.cells);
        let command = with_sandbox(command, args.sandbox);
        let probe = self.probe(&command, &allows, sandbox.as_ref());
        let test = |commit: &Commit| probe_cells(&probe, &all, commit);
        let Some(sought) = self.sought(&mut record, &test)? else {
            return Ok(record);
        };
        let Some(cell) = all.iter().find(|cell| cell.name() == sought.finding.cell) else {
            return Err(Error::Machine(format!(
                "no cell is named {}",
                sought.finding.cell
            )));
        };
        let again = command.clone().args(["--ref", self.ends.bad.short()]);
        let again = again.args(["--arch", &cell.arch.name, "--lto", cell.lto.name()]);
        record.reproduce = vec![again.shell_words()];
        let of_oracle = self.of_oracle(cell, &sought, sandbox.as_ref())?;
        let oracle = ProbeOracle {
            probe: &probe,
            cell: cell.clone(),
            sought,
            arches: arch_folders()?,
        };
        self.search(record, &oracle, &oracle, &of_oracle)
    }

    fn by_kernel(&self, mut record: BisectRecord, file: &Path) -> Result<BisectRecord, Error> {
        let args = self.args;
        let matrix = load_matrix(file)?;
        let selected = matrix.select(&args.patterns)?;
        let allows = self.allows(&matrix.allow)?;
        let sandbox = Sandbox::find(args.sandbox, self.cancel)?;
        let carried = self.kept.path().join("kernels");
        let whole = |cells| Run {
            work: self.work,
            matrix: &matrix,
            cells,
            mutations: &[],
            allows: &allows,
            snapshots: None,
            jobs: jobs(args.place.jobs, 1),
            ccache: false,
            // A tree that is copied from another mode's is not carried.
            reuse_trees: false,
            fresh: args.jobs_options.fresh,
            fail_fast: args.jobs_options.fail_fast,
            sandbox: sandbox.as_ref(),
            carried: Some(&carried),
            events: self.events,
            cancel: self.cancel,
        };
        let all = whole(&selected);
        let test = |commit: &Commit| build(&all, commit);
        let Some(sought) = self.sought(&mut record, &test)? else {
            return Ok(record);
        };
        let name = &sought.finding.cell;
        let cells: Vec<Cell> = selected
            .iter()
            .filter(|cell| cell.name() == *name)
            .cloned()
            .collect();
        let Some(cell) = cells.first() else {
            return Err(Error::Machine(format!("no cell is named {name}")));
        };
        let again = Command::new("klto").arg("run").arg(file);
        let again = again.args(["--cell", name, "--kernel"]).arg(self.kernel);
        record.reproduce = vec![again.args(["--ref", self.ends.bad.short()]).shell_words()];
        let of_oracle = self.of_oracle(cell, &sought, sandbox.as_ref())?;
        let run = whole(&cells);
        let oracle = KernelOracle {
            run: &Run {
                carried: None,
                ..run
            },
            sought,
            carried: &carried,
        };
        self.search_by_probe_first(record, cell, &oracle, &of_oracle)
    }

    /// Searches by the probe if that sees the same rule broken, which takes seconds and not minutes, and
    /// makes sure of the commit by whole kernels. If these say otherwise, they search themselves.
    fn search_by_probe_first(
        &self,
        record: BisectRecord,
        cell: &Cell,
        kernels: &KernelOracle<'_>,
        of_oracle: &[String],
    ) -> Result<BisectRecord, Error> {
        let by_kernels = |record| self.search(record, kernels, kernels, of_oracle);
        let (Some(llvm), None) = (cell.make.get("LLVM"), &kernels.sought.finding.step) else {
            return by_kernels(record);
        };
        let wanted = ProbeCells {
            arch: vec![cell.arch.name.clone()],
            toolchain: llvm.clone(),
            scenario: Vec::new(),
            timeout: cell.timeout,
        };
        let Ok(cells) = cells(&wanted, &[cell.lto], &[]) else {
            return by_kernels(record);
        };
        let command = with_cells(kernel_command(self.kernel), &wanted);
        let probe = self.probe(&command, kernels.run.allows, kernels.run.sandbox);
        let asked = Asked {
            key: Some(kernels.sought.finding.key.clone()),
            object: None,
        };
        let ends = self.ends_of(&|commit| probe_cells(&probe, &cells, commit), &asked);
        let ends = match ends {
            Ok(ends) => ends,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) => return by_kernels(record),
        };
        let (Ok((sought, _)), [cell]) = (ends.choose(), cells.as_slice()) else {
            return by_kernels(record);
        };
        let mut probed = record.clone();
        probed.notes.push(format!(
            "the probe sees the same rule broken, for {}: it tested the commits, and whole kernels made sure of the one that it found",
            sought.finding.object
        ));
        let oracle = ProbeOracle {
            probe: &probe,
            cell: cell.clone(),
            sought,
            arches: arch_folders()?,
        };
        let of_both = [of_oracle, &["by the probe first".to_owned()]].concat();
        let probed = self.search(probed, &oracle, kernels, &of_both)?;
        match probed.ended {
            Some(Ended::Culprit { .. }) if is_sure(&probed) => Ok(probed),
            Some(
                Ended::Culprit { .. }
                | Ended::Among { .. }
                | Ended::EndsDoNotFit { .. }
                | Ended::Contradiction { .. },
            )
            | None => by_kernels(record),
        }
    }

    /// A probe of the user's kernel.
    fn probe<'p>(
        &'p self,
        command: &'p Command,
        allows: &'p [Allow],
        sandbox: Option<&'p Sandbox>,
    ) -> Probe<'p> {
        Probe {
            work: self.work,
            kernel: self.kernel,
            mutations: &[],
            allows,
            command,
            jobs: jobs(self.args.place.jobs, 2),
            fresh: self.args.jobs_options.fresh,
            fail_fast: self.args.jobs_options.fail_fast,
            sandbox,
            caches: Caches::Own,
            events: self.events,
            cancel: self.cancel,
        }
    }

    /// The findings that do not count.
    fn allows(&self, of_matrix: &[Allow]) -> Result<Vec<Allow>, Error> {
        let mut allows = known_findings(&Known {
            mutate: Vec::new(),
            allow: self.args.allow.clone(),
            no_known_defects: false,
        })?;
        allows.extend(of_matrix.iter().cloned());
        Ok(allows)
    }

    /// Tests the ends and chooses the finding; `None` if the record says why they do not fit.
    fn sought(
        &self,
        record: &mut BisectRecord,
        test: &dyn Fn(&Commit) -> Result<Vec<CellRecord>, Error>,
    ) -> Result<Option<Sought>, Error> {
        let asked = self.args.key.as_deref();
        let asked = asked.map(Asked::parse).unwrap_or_default();
        let ends = self.ends_of(test, &asked)?;
        Ok(match ends.choose() {
            Ok((sought, others)) => {
                record.rules = rules::texts([sought.finding.key.as_str()]);
                record.finding = Some(sought.finding.clone());
                record.others = others;
                Some(sought)
            }
            Err(why) => {
                record.ended = Some(Ended::EndsDoNotFit { why });
                None
            }
        })
    }

    /// What a test of the ends shows.
    fn ends_of(
        &self,
        test: &dyn Fn(&Commit) -> Result<Vec<CellRecord>, Error>,
        asked: &Asked,
    ) -> Result<Ends, Error> {
        let test = |commit: &Commit| test(&Commit::find(self.own.git(), commit.id())?);
        let good = self.ends.good.iter().map(test);
        let good = good.collect::<Result<Vec<_>, _>>()?;
        Ok(Ends::of(test(&self.ends.bad)?, &good, asked))
    }

    /// What tests the commits, and for what.
    fn of_oracle(
        &self,
        cell: &Cell,
        sought: &Sought,
        sandbox: Option<&Sandbox>,
    ) -> Result<[String; 4], Error> {
        let key = CommonKey::new(&own_program()?, "bisect", &[self.work.path()]);
        Ok([
            key.sandboxed(sandbox.map(Sandbox::enforced)).of(cell, &[]),
            cell.scenarios.join(","),
            sought.finding.id.clone(),
            sought.finding.cell.clone(),
        ])
    }

    /// Searches; `of_oracle` tells what tests the commits from anything else that could.
    fn search(
        &self,
        mut record: BisectRecord,
        oracle: &dyn Oracle,
        confirms: &dyn Oracle,
        of_oracle: &[String],
    ) -> Result<BisectRecord, Error> {
        let key = self.key(of_oracle);
        let kept = match self.args.jobs_options.fresh {
            true => None,
            false => self.kept.load(&key)?,
        };
        if let Some(mut kept) = kept.clone()
            && let Some(Ended::Culprit { .. } | Ended::Contradiction { .. }) = kept.ended
        {
            kept.steps.iter_mut().for_each(|step| step.reused = true);
            return Ok(kept);
        }
        let mut known = self.told.clone();
        // What could not be told may be told this time.
        let steps = kept.into_iter().flat_map(|kept| kept.steps);
        for step in steps.filter(|step| step.verdict != Verdict::Unknown) {
            // The first is that of the search; what follows makes sure.
            known.entry(step.commit.commit.clone()).or_insert(step);
        }
        let bisection = Bisection {
            own: &self.own,
            good: &self.ends.good,
            bad: &self.ends.bad,
            range: self.range,
            oracle,
            confirms,
            known: &known,
            keep: &|record| self.kept.save(&key, record),
            events: self.events,
            cancel: self.cancel,
        };
        bisection.run(&mut record)?;
        Ok(record)
    }

    /// Tells the search from any other.
    fn key(&self, of_oracle: &[String]) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(self.ends.bad.id());
        for good in &self.ends.good {
            add(good.id());
        }
        add(&format!("{} {:?}", self.ends.first_parent, self.ends.paths));
        for (commit, step) in &self.told {
            add(&format!("{commit} {:?}", step.verdict));
        }
        for part in of_oracle {
            add(part);
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Whether the commit that was found is bad, and its parents are good.
fn is_sure(record: &BisectRecord) -> bool {
    let checks = record.checks.iter();
    let mut of_commits = checks.filter(|check| check.of != CheckOf::Revert);
    of_commits.all(|check| check.holds == Some(true))
}
