//! Tests of commits that klto made to be sure of the one that was found. Each is kept as soon as it
//! is done: a command of the user's can take hours.

use super::Bisection;
use crate::model::bisect::{BisectRecord, MadeRecord, Verdict};
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
        let is_it = |made: &&MadeRecord| made.commit == commit.id();
        if let Some(made) = record.made.iter().find(is_it) {
            return Ok(made.clone());
        }
        let step = self.test(commit)?;
        let made = MadeRecord {
            commit: commit.id().to_owned(),
            verdict: step.verdict,
            why: step.why,
        };
        // What could not be told may be told next time.
        if made.verdict != Verdict::Unknown {
            record.made.push(made.clone());
            (self.keep)(record)?;
        }
        Ok(made)
    }
}
