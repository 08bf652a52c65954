//! Between which commits a search goes: from the arguments, or from a log.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::args::Bisect as Args;
use crate::file;
use crate::model::bisect::{StepRecord, Verdict};
use crate::model::error::Error;
use crate::report::bisect::{Told, read_log};
use crate::source::commit::Commit;
use crate::source::git::Git;
use crate::source::history::{describe, merge_bases};

/// Between which commits, and what of them.
pub struct Points {
    pub good: Vec<Commit>,
    pub bad: Commit,
    pub first_parent: bool,
    pub paths: Vec<String>,
    pub notes: Vec<String>,
}

impl Points {
    /// From the arguments and the log.
    pub fn find(args: &Args, told: &Told, git: &Git) -> Result<Points, Error> {
        let of_log = |verdict| {
            let marks = told
                .marks
                .iter()
                .filter(move |mark| mark.verdict == verdict);
            marks.map(|mark| mark.rev.clone())
        };
        let bad = args.bad.clone().or_else(|| of_log(Verdict::Bad).next());
        let mut good = args.good.clone();
        if good.is_empty() {
            good.extend(of_log(Verdict::Good).next());
        }
        let (Some(bad), false) = (bad, good.is_empty()) else {
            return Err(Error::Usage(
                "the log to replay has no good commit, or no bad one\n  name both with --good and --bad"
                    .to_owned(),
            ));
        };
        let bad = Commit::find(git, &bad)?;
        let good = good.iter().map(|rev| Commit::find(git, rev));
        let mut points = Points {
            good: good.collect::<Result<_, _>>()?,
            bad,
            first_parent: args.first_parent || told.first_parent,
            paths: match args.paths.as_slice() {
                [] => told.paths.clone(),
                paths => paths.to_vec(),
            },
            notes: Vec::new(),
        };
        points.add_merge_bases(git)?;
        Ok(points)
    }

    /// A good commit that the bad one does not have in its history says nothing of what both have:
    /// their merge base must be good, too.
    fn add_merge_bases(&mut self, git: &Git) -> Result<(), Error> {
        let dir = git.dir().display();
        for good in self.good.clone() {
            let (name, bad) = (good.rev().to_owned(), self.bad.rev().to_owned());
            if good.id() == self.bad.id() {
                return Err(Error::Usage(format!(
                    "{name} and {bad} are the same commit\n  name a commit without the fault and one with it"
                )));
            }
            let bases = merge_bases(git, &good, &self.bad)?;
            if bases.is_empty() {
                return Err(Error::Usage(format!(
                    "{dir}: {name} and {bad} have no commit in common\n  name commits of one history; if the clone is shallow, get the whole history with: git -C {dir} fetch --unshallow"
                )));
            }
            for base in bases {
                if base.id() == self.bad.id() {
                    return Err(Error::Usage(format!(
                        "{dir}: the bad commit, {bad}, is in the history of the good one, {name}\n  klto searches for what brought a fault; to search for what mended it, exchange --good and --bad and read good as bad"
                    )));
                }
                if base.id() == good.id() || self.good.iter().any(|known| known.id() == base.id()) {
                    continue;
                }
                self.notes.push(format!(
                    "{name} is not in the history of {bad}; their merge base, {}, is tested as a good end, too",
                    base.short()
                ));
                self.good.push(base);
            }
        }
        Ok(())
    }
}

/// The most that is read of a log, in bytes; that of a bisect has thousands.
const LARGEST_LOG: u64 = 16 << 20;

/// Reads a log.
pub fn replay(file: &Path) -> Result<Told, Error> {
    let bytes = file::read_named(file, LARGEST_LOG).map_err(|e| {
        Error::Usage(format!(
            "cannot read {}: {e}\n  name a file that 'git bisect log' or --format log wrote",
            file.display()
        ))
    })?;
    read_log(&String::from_utf8_lossy(&bytes)).map_err(|why| {
        Error::Usage(format!(
            "{}: not a log of a bisect: {why}\n  name a file that 'git bisect log' or --format log wrote",
            file.display()
        ))
    })
}

/// The verdicts of a log, by the numbers of the commits; the last on each counts.
pub fn told_verdicts(told: &Told, git: &Git) -> Result<BTreeMap<String, StepRecord>, Error> {
    let mut verdicts = BTreeMap::new();
    for mark in &told.marks {
        let commit = Commit::find(git, &mark.rev)?;
        let step = StepRecord {
            commit: describe(git, commit.id())?,
            verdict: mark.verdict,
            why: format!("line {} of the log says so", mark.line),
            others: Vec::new(),
            job: String::new(),
            seconds: 0.0,
            reused: true,
            is_clean: false,
        };
        verdicts.insert(commit.id().to_owned(), step);
    }
    Ok(verdicts)
}
