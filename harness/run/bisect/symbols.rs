//! Finds the configuration symbols that the fault needs: leaves out those in which the configuration
//! differs from a good one, and tests what is left at the commit that was found.

use super::{Bisection, Configuration};
use crate::judge::bisect::ddmin::Questions;
use crate::judge::bisect::symbols::without;
use crate::model::bisect::{BisectRecord, SymbolRecord, Verdict};
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::source::commit::Commit;

/// Tests that look for symbols.
const MOST_TESTS: usize = 32;

impl Bisection<'_> {
    /// Adds to the record the symbols without any of which the fault is not there.
    ///
    /// # Errors
    /// As [`Bisection::run`].
    pub(super) fn find_symbols(
        &self,
        record: &mut BisectRecord,
        culprit: &Commit,
    ) -> Result<(), Error> {
        let configuration = self.configuration.filter(|of| !of.symbols.is_empty());
        let Some(Configuration {
            cell,
            tests,
            symbols,
        }) = configuration
        else {
            return Ok(());
        };
        let mut questions = Questions::new(MOST_TESTS, |kept: &[usize]| {
            let reduced = (0..symbols.len()).filter(|at| !kept.contains(at));
            let reduced: Vec<&SymbolRecord> = reduced.map(|at| &symbols[at]).collect();
            self.say(&format!(
                "testing {} without {} of its configuration",
                culprit.short(),
                counted(reduced.len(), "symbols")
            ));
            let other = without(cell, &reduced);
            let names = reduced.iter().map(|symbol| symbol.symbol.clone());
            let tested = self.test_reduced(record, culprit, names.collect(), (tests, &other))?;
            // What cannot be configured or built without a symbol needs it.
            Ok::<_, Error>(tested.verdict == Verdict::Bad)
        });
        let needed = match questions.is_bad(&[])? {
            true => Vec::new(),
            false => questions.smallest((0..symbols.len()).collect())?,
        };
        if questions.is_cut() {
            record.notes.push(format!(
                "the symbols were searched by {MOST_TESTS} tests; fewer of them may be needed"
            ));
        }
        record.symbols_cell = cell.name();
        record.symbols = Some(needed.iter().map(|at| symbols[*at].clone()).collect());
        (self.keep)(record)
    }
}
