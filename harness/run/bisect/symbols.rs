//! Finds the configuration symbols that the fault needs: leaves out those in which the configuration
//! differs from a good one, and tests what is left at the commit that was found.

use std::collections::BTreeMap;

use super::confirm::smallest;
use super::{Bisection, Configuration};
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
        let mut known: BTreeMap<Vec<usize>, Verdict> = BTreeMap::new();
        let mut is_cut = false;
        let mut test = |kept: &[usize]| {
            if let Some(known) = known.get(kept) {
                return Ok::<_, Error>(*known);
            }
            if known.len() == MOST_TESTS {
                is_cut = true;
                return Ok(Verdict::Unknown);
            }
            let dropped = (0..symbols.len()).filter(|at| !kept.contains(at));
            let dropped: Vec<&SymbolRecord> = dropped.map(|at| &symbols[at]).collect();
            self.say(&format!(
                "testing {} without {} of its configuration",
                culprit.short(),
                counted(dropped.len(), "symbols")
            ));
            let reduced = dropped.iter().map(|symbol| symbol.symbol.clone());
            let cell = without(cell, &dropped);
            let tested = self.test_reduced(record, culprit, reduced.collect(), (tests, &cell))?;
            let verdict = tested.verdict;
            known.insert(kept.to_vec(), verdict);
            Ok(verdict)
        };
        let all: Vec<usize> = (0..symbols.len()).collect();
        let needed = match test(&[])? {
            Verdict::Bad => Vec::new(),
            // What cannot be configured or built without a symbol needs it.
            Verdict::Good | Verdict::Unknown => {
                smallest(all, &mut |kept| Ok::<_, Error>(test(kept)? == Verdict::Bad))?
            }
        };
        if is_cut {
            record.notes.push(format!(
                "the symbols were searched by {MOST_TESTS} tests; fewer of them may be needed"
            ));
        }
        record.symbols_cell = cell.name();
        record.symbols = Some(needed.iter().map(|at| symbols[*at].clone()).collect());
        (self.keep)(record)
    }
}
