//! `klto bisect`: the commit that brought a fault.

mod by_command;
mod by_kernel;
mod by_probe;
mod points;
mod two_toolchains;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use self::points::{Points, replay, told_verdicts};
use self::two_toolchains::Toolchains;
use super::args::{Bisect as Args, Known as KnownFindings};
use super::output::{print, write_report};
use super::probe::work_dir;
use super::{check_place, events, known_findings, real_kernel};
use crate::build::process::Cancel;
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::judge::bisect::sought::{Asked, Ends, Sought};
use crate::model::bisect::{
    BisectRecord, CheckOf, Ended, FORMAT, SoughtFinding, StepRecord, SymbolRecord, Verdict,
};
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::record::CellRecord;
use crate::run::bisect::{Bisection, Configuration, Confirms, Known, Oracle};
use crate::run::events::{Event, Events};
use crate::run::key::{CommonKey, own_program};
use crate::run::rules;
use crate::source::commit::Commit;
use crate::source::git::Git;
use crate::source::history::{Range, Wanted, describe};
use crate::source::regzbot::tracked_as;
use crate::source::series::apply::OwnRepository;
use crate::store::bisect::{BisectDir, SearchKey};
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
    let _lock = work.lock_sources(patience, &mut |who| {
        let text = format!("waiting for {who}, which uses the same work directory");
        events.on(&Event::Note { text: &text });
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
    let mut record = begin(args, own.git(), &kernel, &ends)?;
    record.commits = range.commits.len();
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
    let mut record = match (&args.run, &args.matrix) {
        (Some(command), _) => search.by_command(record, command)?,
        (None, Some(matrix)) => search.by_kernel(record, matrix)?,
        (None, None) => search.by_probe(record)?,
    };
    if let Some(Ended::Culprit { commit }) = &record.ended {
        record.tracked = tracked_as(&user, &commit.commit)?;
    }
    for file in &args.report {
        write_report(&file.file, &file.bisect(&record))?;
    }
    print(&args.format.report(&record))?;
    Ok(match record.ended {
        Some(Ended::Culprit { .. } | Ended::Toolchain) => Exit::Pass,
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
        toolchains: None,
        hunks: None,
        symbols: None,
        symbols_cell: String::new(),
        good_config: String::new(),
        made: Vec::new(),
        tracked: None,
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
    /// The findings that do not count.
    fn allows(&self, of_matrix: &[Allow]) -> Result<Vec<Allow>, Error> {
        let mut allows = known_findings(&KnownFindings {
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
        toolchains: Option<&Toolchains>,
        test: &dyn Fn(&Commit) -> Result<Vec<CellRecord>, Error>,
    ) -> Result<Option<Sought>, Error> {
        if let Some(toolchains) = toolchains {
            return self.sought_of_two(record, toolchains, test);
        }
        let ends = self.ends_of(test, &self.asked())?;
        Ok(match ends.choose() {
            Ok((sought, others)) => {
                set_sought(record, &sought, others);
                Some(sought)
            }
            Err(why) => {
                record.ended = Some(Ended::EndsDoNotFit { why });
                None
            }
        })
    }

    /// What the user says of the finding.
    fn asked(&self) -> Asked {
        let asked = self.args.key.as_deref();
        asked.map(Asked::parse).unwrap_or_default()
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

    /// What tests the commits, and for what: cells of which the first has the finding.
    fn of_oracle(
        &self,
        cells: &[Cell],
        sought: &Sought,
        sandbox: Option<&Sandbox>,
    ) -> Result<Vec<String>, Error> {
        let key = CommonKey::new(&own_program()?, "bisect", &[self.work.path()]);
        let key = key.sandboxed(sandbox.map(Sandbox::enforced));
        let cells = cells
            .iter()
            .map(|cell| format!("{} {}", key.of(cell, &[]), cell.scenarios.join(",")));
        let finding = [sought.finding.id.clone(), sought.finding.cell.clone()];
        Ok(cells.chain(finding).collect())
    }

    /// Searches. `finish` says of a record what is known only after its commit was made sure of.
    fn search(
        &self,
        mut record: BisectRecord,
        oracle: &dyn Oracle,
        confirms: &dyn Confirms,
        configuration: Option<Configuration<'_>>,
        key: &SearchKey,
        finish: &dyn Fn(&mut BisectRecord),
    ) -> Result<BisectRecord, Error> {
        let mut kept = match self.args.jobs_options.fresh {
            true => None,
            false => self.kept.load(key)?,
        };
        if let Some(mut kept) = kept.clone()
            && is_final(&kept)
        {
            kept.steps.iter_mut().for_each(|step| step.reused = true);
            // As the user names them this time.
            kept.kernel = record.kernel;
            kept.reproduce = record.reproduce;
            finish(&mut kept);
            return Ok(kept);
        }
        let mut known = Known {
            steps: self.told.clone(),
            clean: BTreeMap::new(),
        };
        if let Some(kept) = &mut kept {
            record.made = std::mem::take(&mut kept.made);
        }
        let others = match self.args.jobs_options.fresh {
            true => Vec::new(),
            false => self.kept.like(key)?,
        };
        // A commit that was made sure of speaks for the verdicts that led to it.
        let is_steady = |other: &BisectRecord| {
            matches!(other.ended, Some(Ended::Culprit { .. })) && is_sure(other)
        };
        let others = others.into_iter().filter(is_steady);
        let others = others.flat_map(|other| other.steps);
        // Not what a log said, and nothing that makes sure of a commit.
        let others = others.filter(|step| !step.job.is_empty() && !step.is_clean);
        // What could not be told may be told this time.
        let steps = kept.into_iter().flat_map(|kept| kept.steps).chain(others);
        for step in steps.filter(|step| step.verdict != Verdict::Unknown) {
            let of = match step.is_clean {
                true => &mut known.clean,
                false => &mut known.steps,
            };
            of.entry(step.commit.commit.clone()).or_insert(step);
        }
        let bisection = Bisection {
            own: &self.own,
            good: &self.ends.good,
            bad: &self.ends.bad,
            range: self.range,
            oracle,
            confirms,
            known: &known,
            configuration,
            keep: &|record| {
                let mut record = record.clone();
                finish(&mut record);
                self.kept.save(key, &record)
            },
            events: self.events,
            cancel: self.cancel,
        };
        bisection.run(&mut record)?;
        finish(&mut record);
        Ok(record)
    }

    /// Tells the search from any other: `of_oracle` what tests the commits, `record` and `symbols` what
    /// else was asked for.
    fn key(
        &self,
        record: &BisectRecord,
        symbols: &[SymbolRecord],
        of_oracle: &[String],
    ) -> SearchKey {
        let good = self.ends.good.iter().map(|good| good.id().to_owned());
        let told = self.told.iter();
        let told = told.map(|(commit, step)| format!("{commit} {:?}", step.verdict));
        let toolchains = record.toolchains.as_ref();
        let toolchains = toolchains.map(|of| (&of.good, &of.bad, &of.searched_with));
        let rest = [
            self.ends.bad.id().to_owned(),
            format!("{} {:?}", self.ends.first_parent, self.ends.paths),
            // More than before if a clone is no longer shallow.
            record.commits.to_string(),
            format!("{} {symbols:?}", record.good_config),
            format!("{toolchains:?}"),
        ];
        let rest = rest.into_iter().chain(good).chain(told);
        SearchKey {
            tests: hash(of_oracle),
            rest: hash(&rest.collect::<Vec<_>>()),
        }
    }
}

fn hash(parts: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Says in the record what is searched for.
fn set_sought(record: &mut BisectRecord, sought: &Sought, others: Vec<SoughtFinding>) {
    record.rules = rules::texts([sought.finding.key.as_str()]);
    record.finding = Some(sought.finding.clone());
    record.others = others;
}

/// Whether a search is not to be gone on with: what the machine failed to make sure of may be known next
/// time.
fn is_final(record: &BisectRecord) -> bool {
    match record.ended {
        Some(Ended::Contradiction { .. }) => true,
        Some(Ended::Culprit { .. }) => {
            let mut checks = record.checks.iter();
            checks.all(|check| check.holds.is_some() || check.of == CheckOf::Revert)
        }
        Some(Ended::Among { .. } | Ended::Toolchain | Ended::EndsDoNotFit { .. }) | None => false,
    }
}

/// Whether the commit that was found is bad, and its parents are good.
fn is_sure(record: &BisectRecord) -> bool {
    let checks = record.checks.iter();
    let mut of_commits = checks.filter(|check| check.of != CheckOf::Revert);
    of_commits.all(|check| check.holds == Some(true))
}
