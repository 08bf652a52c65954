//! Makes sure of the commit that was found: tests it and its parents again with nothing of earlier
//! tests, and the bad end without it.

use super::{Bisection, Clean, known_step};
use crate::model::bisect::{
    BisectRecord, CheckOf, CheckRecord, CommitRecord, Ended, StepRecord, Verdict,
};
use crate::model::error::Error;
use crate::source::commit::{Commit, SHORT};

/// A commit to make sure of.
struct Wanted {
    commit: Commit,
    of: CheckOf,
    what: String,
}

impl Bisection<'_> {
    /// Adds to the record what makes sure of the commit; how the search ends by that.
    ///
    /// # Errors
    /// As [`Bisection::run`].
    pub(super) fn confirm(
        &self,
        record: &mut BisectRecord,
        culprit: CommitRecord,
    ) -> Result<Ended, Error> {
        let commit = self.commit(&culprit.commit)?;
        let parents = self
            .own
            .git()
            .run(["rev-parse", &format!("{}^@", commit.id())])?;
        let parents = parents.text();
        let parents: Vec<&str> = match record.first_parent {
            true => parents.lines().take(1).collect(),
            false => parents.lines().collect(),
        };
        if parents.is_empty() && self.is_shallow()? {
            let why = format!(
                "the clone is shallow and ends at {}; get the whole history with: git fetch --unshallow",
                commit.short()
            );
            return Ok(Ended::Contradiction { why });
        }
        let mut wanted = vec![Wanted {
            commit: commit.clone(),
            of: CheckOf::Culprit,
            what: "the commit".to_owned(),
        }];
        for (number, parent) in (1..).zip(parents.iter().copied()) {
            let what = match parents.len() {
                1 => "its parent".to_owned(),
                _ => format!("its parent {number}"),
            };
            wanted.push(Wanted {
                commit: self.commit(parent)?,
                of: CheckOf::Parent,
                what,
            });
        }
        self.test_clean(record, &wanted)?;
        for Wanted {
            commit: tested,
            of,
            what,
        } in wanted
        {
            let clean = record.steps.iter().rev();
            let mut clean = clean.filter(|step| step.is_clean);
            let Some(step) = clean
                .find(|step| step.commit.commit == tested.id())
                .cloned()
            else {
                continue;
            };
            let expected = match of {
                CheckOf::Culprit => Verdict::Bad,
                CheckOf::Parent | CheckOf::Revert => Verdict::Good,
            };
            let check = CheckRecord {
                of,
                what: format!("{what} is {}", expected.name()),
                holds: holds(step.verdict, expected),
                seen: step.why,
            };
            record.checks.push(check.clone());
            if let Some(why) = flaky(&record.steps, tested.id(), &what) {
                return Ok(Ended::Contradiction { why });
            }
            if check.holds == Some(false) {
                let why = format!(
                    "the search came to {}, but that {} does not hold: {}",
                    commit.short(),
                    check.what,
                    check.seen
                );
                return Ok(Ended::Contradiction { why });
            }
        }
        (self.keep)(record)?;
        self.revert(record, &commit)?;
        if let [parent] = parents[..] {
            self.find_hunks(record, &commit, parent)?;
        }
        self.find_symbols(record, &commit)?;
        Ok(Ended::Culprit { commit: culprit })
    }

    /// Tests the commit that was found and its parents, with nothing of earlier tests, each once more if
    /// the machine failed.
    fn test_clean(&self, record: &mut BisectRecord, wanted: &[Wanted]) -> Result<(), Error> {
        let is_known = |wanted: &&Wanted| {
            !self.confirms.needs_all() && self.known.clean.contains_key(wanted.commit.id())
        };
        let (known, mut left): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(is_known);
        let known = known.into_iter();
        let known = known.filter_map(|wanted| self.known.clean.get(wanted.commit.id()));
        record.steps.extend(known.map(known_step));
        for may_fail in [true, false] {
            if left.is_empty() {
                break;
            }
            let commits: Vec<Commit> = left.iter().map(|wanted| wanted.commit.clone()).collect();
            let mut failed = Vec::new();
            self.confirms
                .test_clean(&commits, &mut |clean| match clean {
                    Clean::Begins(at) => {
                        let what = &left[at].what;
                        self.say(&format!(
                            "testing {what} again, with nothing of earlier tests"
                        ));
                        Ok(())
                    }
                    Clean::Done { .. } if self.cancel.is_cancelled() => Err(Error::Cancelled),
                    Clean::Done { at, tested, .. } if may_fail && tested.machine_failed => {
                        self.say_once_more(&tested);
                        failed.push(left[at]);
                        Ok(())
                    }
                    Clean::Done {
                        at,
                        tested,
                        seconds,
                    } => {
                        let step = self.step(commits[at].id(), tested, seconds)?;
                        record.steps.push(StepRecord {
                            is_clean: true,
                            ..step
                        });
                        (self.keep)(record)
                    }
                })?;
            if failed.is_empty() || !self.confirms.needs_all() {
                left = failed;
            }
        }
        Ok(())
    }

    fn is_shallow(&self) -> Result<bool, Error> {
        let answer = self
            .own
            .git()
            .run(["rev-parse", "--is-shallow-repository"])?;
        Ok(answer.text() == "true")
    }

    /// Tests the bad end without the commit.
    fn revert(&self, record: &mut BisectRecord, culprit: &Commit) -> Result<(), Error> {
        let what = "the bad end without the commit is good".to_owned();
        let of = CheckOf::Revert;
        let check = match self.own.revert(culprit.id(), self.bad.id())? {
            Err(why) => CheckRecord {
                of,
                what,
                holds: None,
                seen: format!("it cannot be reverted there: {why}"),
            },
            Ok(without) => {
                self.say("testing the bad end without the commit");
                let made = self.test_made(record, &without)?;
                CheckRecord {
                    of,
                    what,
                    holds: holds(made.verdict, Verdict::Good),
                    seen: made.why,
                }
            }
        };
        if check.holds == Some(false) {
            record.notes.push(
                "the fault is there without the commit, too: something else brings it as well, or the commit only uncovers it"
                    .to_owned(),
            );
        }
        record.checks.push(check);
        (self.keep)(record)
    }
}

fn holds(seen: Verdict, expected: Verdict) -> Option<bool> {
    match seen {
        Verdict::Unknown => None,
        Verdict::Good | Verdict::Bad => Some(seen == expected),
    }
}

/// That tests of a commit had different results, though nothing changed that they depend on, and how
/// often it was bad.
fn flaky(steps: &[StepRecord], id: &str, what: &str) -> Option<String> {
    let of = steps.iter().filter(|step| step.commit.commit == id);
    let told = of.filter(|step| step.verdict != Verdict::Unknown);
    let told: Vec<&StepRecord> = told.collect();
    let last = told.last()?;
    // What a log says depends on nothing that is known.
    let is_same = |step: &&&StepRecord| step.job == last.job && !step.job.is_empty();
    let same: Vec<&&StepRecord> = told.iter().filter(is_same).collect();
    let bad = same.iter().filter(|step| step.verdict == Verdict::Bad);
    let bad = bad.count();
    let is_steady = bad == 0 || bad == same.len();
    let id = id.get(..SHORT).unwrap_or(id);
    (!is_steady).then(|| {
        format!(
            "{what}, {id}, was bad in {bad} of {} tests of the same sources; --fresh tests everything again",
            same.len()
        )
    })
}
