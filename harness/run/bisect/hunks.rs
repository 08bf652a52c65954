//! Finds the places of the commit that bring the fault: leaves out some of them, and tests what is
//! left.

use super::Bisection;
use crate::judge::bisect::ddmin::Questions;
use crate::model::bisect::{BisectRecord, HunkRecord, Verdict};
use crate::model::error::Error;
use crate::source::commit::Commit;
use crate::source::series::commits::pieces_between;
use crate::source::series::hunk::Piece;

/// A commit with more places is not taken apart.
const MOST_PIECES: usize = 64;
/// Tests that take one apart.
const MOST_TESTS: usize = 64;

impl Bisection<'_> {
    /// Adds to the record the places of the commit without any of which the fault is not there.
    ///
    /// # Errors
    /// As [`Bisection::run`].
    pub(super) fn find_hunks(
        &self,
        record: &mut BisectRecord,
        culprit: &Commit,
        parent: &str,
    ) -> Result<(), Error> {
        let pieces = match pieces_between(self.own.git(), parent, culprit.id())? {
            Ok(pieces) => pieces,
            Err(refused) => {
                let note = format!("the commit was not taken apart: {refused}");
                record.notes.push(note);
                return Ok(());
            }
        };
        let pieces = pieces.into_iter();
        let pieces: Vec<Piece> = pieces.filter(|p| self.oracle.reads(&p.path)).collect();
        if pieces.is_empty() {
            return Ok(());
        }
        if pieces.len() > MOST_PIECES {
            record.notes.push(format!(
                "the commit was not taken apart: it changes {} places, and klto takes at most {MOST_PIECES} apart",
                pieces.len()
            ));
            return Ok(());
        }
        let mut questions = Questions::new(MOST_TESTS, |kept: &[usize]| {
            let dropped = (0..pieces.len()).filter(|at| !kept.contains(at));
            let dropped: Vec<&Piece> = dropped.map(|at| &pieces[at]).collect();
            let Some(commit) = self.own.without_all(culprit.id(), &dropped)? else {
                return Ok::<_, Error>(false);
            };
            self.say(&format!(
                "testing {} without {} of its {} places",
                culprit.short(),
                dropped.len(),
                pieces.len()
            ));
            Ok(self.test_made(record, &commit)?.verdict == Verdict::Bad)
        });
        let all: Vec<usize> = (0..pieces.len()).collect();
        if !questions.is_bad(&all)? {
            return Ok(());
        }
        let needed = questions.smallest(all)?;
        if questions.is_cut() {
            record.notes.push(format!(
                "the commit was taken apart by {MOST_TESTS} tests; fewer places may bring the fault"
            ));
        }
        record.hunks = Some(needed.iter().map(|at| hunk(&pieces[*at])).collect());
        (self.keep)(record)
    }
}

fn hunk(piece: &Piece) -> HunkRecord {
    HunkRecord {
        file: piece.path.clone(),
        line: piece.line,
        text: piece.text.clone(),
    }
}
