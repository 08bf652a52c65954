//! Tests of commits that klto made to be sure of the one that was found. Each is kept as soon as it
//! is done: a command of the user's can take hours.

use super::{Bisection, TestsCells};
use crate::model::bisect::{BisectRecord, MadeRecord, Verdict};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::source::commit::Commit;

impl Bisection<'_> {
    /// Tests a commit that klto made, unless the record has its verdict.
    ///
    /// # Errors
    /// As [`Bisection::run`].
    pub(super) fn test_made(
        &self,
        record: &mut BisectRecord,
        commit: &Commit,
    ) -> Result<MadeRecord, Error> {
        let test = || {
            let step = self.test(commit)?;
            Ok((step.verdict, step.why))
        };
        self.kept_or(record, commit, Vec::new(), test)
    }

    /// Tests a commit whose symbols `reduced` are as in the good configuration, as that cell, unless
    /// the record has its verdict.
    ///
    /// # Errors
    /// As [`Bisection::run`].
    pub(super) fn test_reduced(
        &self,
        record: &mut BisectRecord,
        commit: &Commit,
        reduced: Vec<String>,
        (tests, cell): (&dyn TestsCells, &Cell),
    ) -> Result<MadeRecord, Error> {
        let test = || {
            let mut tested = tests.test_as(cell, commit)?;
            if tested.machine_failed {
                self.say_once_more(&tested);
                tested = tests.test_as(cell, commit)?;
            }
            Ok((tested.verdict, tested.why))
        };
        self.kept_or(record, commit, reduced, test)
    }

    fn kept_or(
        &self,
        record: &mut BisectRecord,
        commit: &Commit,
        reduced: Vec<String>,
        test: impl FnOnce() -> Result<(Verdict, String), Error>,
    ) -> Result<MadeRecord, Error> {
        let is_it = |made: &&MadeRecord| made.commit == commit.id() && made.reduced == reduced;
        if let Some(made) = record.made.iter().find(is_it) {
            return Ok(made.clone());
        }
        let (verdict, why) = test()?;
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let made = MadeRecord {
            commit: commit.id().to_owned(),
            reduced,
            verdict,
            why,
        };
        // What could not be told may be told next time.
        if made.verdict != Verdict::Unknown {
            record.made.push(made.clone());
            (self.keep)(record)?;
        }
        Ok(made)
    }
}
