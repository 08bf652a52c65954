//! Searches for the commit that brought a fault: tests the ends, then the commits that tell most,
//! then makes sure of the one that was found. `judge::bisect` says what to test next; an [`Oracle`]
//! tests.

pub mod command;
mod confirm;
mod hunks;
pub mod kernel;
mod made;
pub mod probe;
mod symbols;

use std::collections::BTreeMap;
use std::time::Instant;

use super::events::{Event, Events};
use crate::build::process::Cancel;
use crate::judge::bisect::cost::costs;
use crate::judge::bisect::sought::Tested;
use crate::judge::bisect::{Node, Search, Step};
use crate::model::bisect::{BisectRecord, CommitRecord, Ended, StepRecord, SymbolRecord, Verdict};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::source::commit::Commit;
use crate::source::history::{Range, describe};
use crate::source::series::apply::OwnRepository;

/// What a merge weighs, of which most bring nothing of their own, …
const MERGE: u32 = 1;
/// … and any other commit.
const USUAL: u32 = 4;

/// Tests commits for one fault.
pub trait Oracle {
    /// Whether the verdict can depend on a file, by its path from the top of the tree.
    fn reads(&self, path: &str) -> bool;

    /// Tests a commit; what an earlier test left may be used. What the machine does wrong is
    /// [`Verdict::Unknown`].
    ///
    /// # Errors
    /// If the user interrupts, or nothing can be tested at all.
    fn test(&self, commit: &Commit) -> Result<Tested, Error>;

    /// What an earlier run found out about a commit, if there was one.
    ///
    /// # Errors
    /// If what it left cannot be read.
    fn kept(&self, _id: &str) -> Result<Option<Tested>, Error> {
        Ok(None)
    }

    /// What part of everything that a test makes, from 0 to 1, is rebuilt after a change of this file.
    fn share(&self, path: &str) -> f64;

    /// Of how many commits, those tested last, the build trees are there.
    fn trees(&self) -> usize;
}

/// Tests a commit as another cell than the one that was searched with.
pub trait TestsCells: std::fmt::Debug {
    /// # Errors
    /// As [`Oracle::test`].
    fn test_as(&self, cell: &Cell, commit: &Commit) -> Result<Tested, Error>;
}

/// Makes sure of the commit that was found.
pub trait Confirms {
    /// Whether the finding is chosen from all commits together: then all are tested, or none.
    fn needs_all(&self) -> bool {
        false
    }

    /// Tests commits; nothing of an earlier test counts. The first is the one that was found, the others
    /// are its parents. `on` takes what happens.
    ///
    /// # Errors
    /// As [`Oracle::test`], and those of `on`.
    fn test_clean(
        &self,
        commits: &[Commit],
        on: &mut dyn FnMut(Clean) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// What happens in [`Confirms::test_clean`], with the place of the commit.
#[derive(Debug)]
pub enum Clean {
    Begins(usize),
    Done {
        at: usize,
        tested: Tested,
        seconds: f64,
    },
}

/// Tests commits one after the other.
///
/// # Errors
/// Those of `test` and `on`.
pub fn test_each(
    commits: &[Commit],
    on: &mut dyn FnMut(Clean) -> Result<(), Error>,
    test: impl Fn(&Commit) -> Result<Tested, Error>,
) -> Result<(), Error> {
    for (at, commit) in commits.iter().enumerate() {
        on(Clean::Begins(at))?;
        let began = Instant::now();
        let tested = test(commit)?;
        let seconds = began.elapsed().as_secs_f64();
        on(Clean::Done {
            at,
            tested,
            seconds,
        })?;
    }
    Ok(())
}

/// What is known before the search, by the number of a commit: it is not tested again.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub steps: BTreeMap<String, StepRecord>,
    /// What an interrupted search did to make sure of the commit that it found.
    pub clean: BTreeMap<String, StepRecord>,
}

/// A configuration that has the fault.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    pub cell: &'a Cell,
    /// Tests the commit with others.
    pub tests: &'a dyn TestsCells,
    /// Where it differs from a good one.
    pub symbols: &'a [SymbolRecord],
}

/// A search, whatever tests the commits.
#[derive(Clone, Copy)]
pub struct Bisection<'a> {
    /// The repository of klto's own, which has all commits of the user's, and some that nobody made.
    pub own: &'a OwnRepository,
    pub good: &'a [Commit],
    pub bad: &'a Commit,
    pub range: &'a Range,
    /// Tests the ends and what is between them.
    pub oracle: &'a dyn Oracle,
    pub confirms: &'a dyn Confirms,
    pub known: &'a Known,
    /// The configuration that has the fault, and what differs from one that does not have it.
    pub configuration: Option<Configuration<'a>>,
    /// Keeps the record after each step.
    pub keep: &'a dyn Fn(&BisectRecord) -> Result<(), Error>,
    pub events: &'a dyn Events,
    pub cancel: &'a Cancel,
}

impl std::fmt::Debug for Bisection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let commits = self.range.commits.len();
        f.debug_struct("Bisection")
            .field("commits", &commits)
            .finish_non_exhaustive()
    }
}

impl Bisection<'_> {
    /// Tests the ends, and then what tells most, until the commit is found; then makes sure of it.
    /// What happened is in the record.
    ///
    /// # Errors
    /// If the user interrupts, the machine fails, or the record cannot be kept.
    pub fn run(&self, record: &mut BisectRecord) -> Result<(), Error> {
        if let Some(why) = self.test_ends(record)? {
            record.ended = Some(Ended::EndsDoNotFit { why });
            return (self.keep)(record);
        }
        let nodes = self.nodes();
        let mut search = Search::new(&nodes);
        record.suspects = search.suspects().len();
        self.take_known(record, &mut search)?;
        (self.keep)(record)?;
        let ended = self.search(record, &mut search)?;
        record.ended = Some(match ended {
            Ended::Culprit { commit } => {
                self.say(&format!("found {}; making sure of it", commit.commit));
                self.confirm(record, commit)?
            }
            ended => ended,
        });
        (self.keep)(record)
    }

    /// Takes the verdicts that are known.
    fn take_known(&self, record: &mut BisectRecord, search: &mut Search) -> Result<(), Error> {
        for (at, commit) in self.range.commits.iter().enumerate() {
            let known = match self.known.steps.get(&commit.id) {
                Some(known) => known_step(known),
                None => match self.oracle.kept(&commit.id)? {
                    Some(kept) => self.step(&commit.id, kept, 0.0)?,
                    None => continue,
                },
            };
            search.tell(at, known.verdict);
            // The ends are there already.
            let is_there = |step: &StepRecord| step.commit.commit == commit.id;
            if !record.steps.iter().any(is_there) {
                record.steps.push(known);
            }
        }
        Ok(())
    }

    /// Tests what tells most, until the search ends.
    fn search(&self, record: &mut BisectRecord, search: &mut Search) -> Result<Ended, Error> {
        let ids = self.range.commits.iter().map(|commit| commit.id.as_str());
        let places: BTreeMap<&str, usize> = ids.zip(0..).collect();
        loop {
            let costs = self.costs(record, &places);
            match search.next(|at| costs[at]) {
                Step::Test(at) => {
                    let left = search.suspects().len();
                    let commit = self.commit(&self.range.commits[at].id)?;
                    self.say(&format!(
                        "{} left; testing {}",
                        counted(left, "commits"),
                        commit.short()
                    ));
                    let step = self.test(&commit)?;
                    search.tell(at, step.verdict);
                    record.steps.push(step);
                    (self.keep)(record)?;
                }
                Step::Found(at) => {
                    let commit = self.describe(&self.range.commits[at].id)?;
                    return Ok(Ended::Culprit { commit });
                }
                Step::Among(all) => {
                    let ids = all.iter().map(|at| &self.range.commits[*at].id);
                    return Ok(Ended::Among {
                        commits: ids.map(|id| self.describe(id)).collect::<Result<_, _>>()?,
                    });
                }
                Step::Nobody => {
                    return Ok(Ended::Contradiction {
                        why: nobody(record),
                    });
                }
            }
        }
    }

    /// Tests the ends; says why they do not fit, if they do not.
    fn test_ends(&self, record: &mut BisectRecord) -> Result<Option<String>, Error> {
        let ends = [(self.bad, Verdict::Bad)].into_iter();
        let ends = ends.chain(self.good.iter().map(|good| (good, Verdict::Good)));
        for (commit, expected) in ends {
            let known = self.known.steps.get(commit.id());
            let step = match known {
                Some(known) => known_step(known),
                None => {
                    self.say(&format!(
                        "testing the {} end, {}",
                        expected.name(),
                        commit.short()
                    ));
                    self.test(&self.commit(commit.id())?)?
                }
            };
            let (seen, why) = (step.verdict, step.why.clone());
            record.steps.push(step);
            if known.is_none() {
                (self.keep)(record)?;
            }
            if seen != expected {
                return Ok(Some(does_not_fit(commit, expected, seen, &why)));
            }
        }
        Ok(None)
    }

    /// The range as the search has it.
    fn nodes(&self) -> Vec<Node> {
        let reads = |path: &String| self.oracle.reads(path);
        let commits = self.range.commits.iter();
        commits
            .map(|commit| Node {
                parents: commit.parents.clone(),
                is_as_first_parent: !commit.files.iter().any(reads) && !commit.parents.is_empty(),
                weight: match commit.parents.len() {
                    _ if !commit.is_of_paths => 0,
                    2.. => MERGE,
                    _ => USUAL,
                },
            })
            .collect()
    }

    fn commit(&self, id: &str) -> Result<Commit, Error> {
        Commit::find(self.own.git(), id)
    }

    fn describe(&self, id: &str) -> Result<CommitRecord, Error> {
        describe(self.own.git(), id)
    }

    /// The seconds that a test of each commit is expected to take.
    fn costs(&self, record: &BisectRecord, places: &BTreeMap<&str, usize>) -> Vec<f64> {
        let built = record
            .steps
            .iter()
            .map(|step| places.get(step.commit.commit.as_str()).copied());
        let built: Vec<Option<usize>> = built.rev().take(self.oracle.trees()).collect();
        let files = self.range.commits.iter();
        let files: Vec<&[String]> = files.map(|commit| commit.files.as_slice()).collect();
        let earlier = self.known.steps.values();
        let took = record.steps.iter().chain(earlier);
        let took = took.filter(|step| !step.reused).map(|step| step.seconds);
        costs(&files, &built, took, |path| self.oracle.share(path))
    }

    /// Tests a commit, once more if the machine failed.
    fn test(&self, commit: &Commit) -> Result<StepRecord, Error> {
        let began = Instant::now();
        let mut tested = self.oracle.test(commit)?;
        if tested.machine_failed {
            self.say_once_more(&tested);
            tested = self.oracle.test(commit)?;
        }
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        self.step(commit.id(), tested, began.elapsed().as_secs_f64())
    }

    fn say_once_more(&self, tested: &Tested) {
        let why = tested.why.escape_debug();
        self.say(&format!("{why}; testing it once more"));
    }

    fn step(&self, id: &str, tested: Tested, seconds: f64) -> Result<StepRecord, Error> {
        Ok(StepRecord {
            commit: self.describe(id)?,
            verdict: tested.verdict,
            why: tested.why,
            others: tested.others,
            job: tested.job,
            seconds,
            reused: tested.reused,
            is_clean: false,
        })
    }

    fn say(&self, text: &str) {
        self.events.on(&Event::Note { text });
    }
}

fn known_step(known: &StepRecord) -> StepRecord {
    StepRecord {
        reused: true,
        ..known.clone()
    }
}

/// Why no commit of the range can be it.
fn nobody(record: &BisectRecord) -> String {
    match record.paths.as_slice() {
        [] if record.suspects == 0 => {
            "no commit of the range changes a file that a test reads, but the ends differ".to_owned()
        }
        [] => "the verdicts contradict each other: a good commit has every suspect in its history, or a bad one has none".to_owned(),
        paths => format!(
            "no commit that changes {} fits the verdicts; search without these paths",
            paths.join(" ")
        ),
    }
}

fn does_not_fit(commit: &Commit, expected: Verdict, seen: Verdict, why: &str) -> String {
    let (expected, rev) = (expected.name(), commit.rev());
    match seen {
        Verdict::Unknown => {
            format!("whether the {expected} end, {rev}, has the fault could not be told: {why}")
        }
        Verdict::Good | Verdict::Bad => {
            format!("the {expected} end, {rev}, is {}: {why}", seen.name())
        }
    }
}
