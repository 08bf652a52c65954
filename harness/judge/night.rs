//! How a night compares with the last result of each of its cells. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::runs::{Named, compare};
use crate::model::record::{CellRecord, Outcome, RunRecord};
use crate::model::stored::{RunComparison, RunHead};

/// Compares a run with the last earlier result of each of its cells, which may be of several runs.
/// A cell that has none is compared with the same cell without a finding: whatever is found in it is
/// new. Cells that were left out on purpose do not count.
#[must_use]
pub fn compare_with_last(last: &BTreeMap<String, CellRecord>, run: Named<'_>) -> RunComparison {
    let is_judged = |cell: &&CellRecord| !matches!(cell.outcome, Outcome::Skip(_));
    let after: Vec<CellRecord> = run.run.cells.iter().filter(is_judged).cloned().collect();
    let before: Vec<CellRecord> = after
        .iter()
        .map(|cell| last.get(&cell.cell).cloned().unwrap_or_else(|| clean(cell)))
        .collect();
    let revisions: BTreeSet<&str> = before.iter().map(|cell| cell.revision.as_str()).collect();
    let head = RunHead {
        run: "the last result of each cell".to_owned(),
        revision: match revisions.len() {
            1 => revisions.into_iter().collect(),
            _ => "of several revisions".to_owned(),
        },
        cells: before.len(),
        ..run.head.clone()
    };
    let of_cells = |cells: Vec<CellRecord>| RunRecord {
        cells,
        ..run.run.clone()
    };
    let (before, after) = (of_cells(before), of_cells(after));
    let mut comparison = compare(
        Named {
            head: &head,
            run: &before,
        },
        Named {
            head: run.head,
            run: &after,
        },
    );
    // What an earlier night did not tell is no news of this one, and neither is a build that may fail.
    let may_fail = run.run.cells.iter().filter(|cell| cell.fails_as_allowed());
    let may_fail: BTreeSet<&str> = may_fail.map(|cell| cell.cell.as_str()).collect();
    comparison
        .undecided
        .retain(|cell| cell.run == run.head.run && !may_fail.contains(cell.cell.as_str()));
    comparison
}

/// The record as it would be if nothing had been found.
fn clean(cell: &CellRecord) -> CellRecord {
    let mut cell = cell.clone();
    // Otherwise what is found would have come under the same job, by chance.
    cell.job.clear();
    cell.error = None;
    if let Some(inspection) = &mut cell.inspection {
        inspection.findings.clear();
        inspection.unfinished = None;
    }
    for scenario in &mut cell.scenarios {
        scenario.findings.clear();
    }
    for comparison in &mut cell.comparisons {
        comparison.findings.clear();
    }
    cell.outcome = Outcome::Pass;
    cell
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::judge::test_records::{CELL, state};
    use crate::model::record::{FORMAT, SkipReason};
    use crate::model::stored::ComparisonVerdict;

    fn night(cells: Vec<CellRecord>) -> RunRecord {
        RunRecord {
            format: FORMAT,
            klto: "0".to_owned(),
            matrix: "nightly".to_owned(),
            kernel: "7.2".to_owned(),
            revision: "7.2".to_owned(),
            mutations: Vec::new(),
            cells,
            shard: None,
            unreferenced: Vec::new(),
        }
    }

    fn compared(last: Option<char>, now: CellRecord) -> RunComparison {
        let head = RunHead {
            run: "now".to_owned(),
            recorded: String::new(),
            matrix: "nightly".to_owned(),
            kernel: "7.2".to_owned(),
            revision: "7.2".to_owned(),
            mutations: Vec::new(),
            shard: None,
            replaces: Vec::new(),
            cells: 1,
        };
        let last = last.map(|last| (CELL.to_owned(), state(last)));
        let run = night(vec![now]);
        compare_with_last(
            &last.into_iter().collect(),
            Named {
                head: &head,
                run: &run,
            },
        )
    }

    use ComparisonVerdict::{Inconclusive, NotWorse, Worse};

    #[rstest]
    #[case::first_and_clean(None, '.', NotWorse)]
    #[case::first_and_broken(None, 'x', Worse)]
    #[case::first_and_not_built(None, 'f', Worse)]
    #[case::first_and_known(None, 'a', NotWorse)]
    #[case::stays_clean(Some('.'), '.', NotWorse)]
    #[case::becomes_broken(Some('.'), 'x', Worse)]
    #[case::stays_broken(Some('x'), 'x', NotWorse)]
    #[case::no_longer_builds(Some('.'), 'f', Worse)]
    #[case::still_does_not_build(Some('f'), 'f', NotWorse)]
    #[case::is_mended(Some('x'), '.', NotWorse)]
    #[case::builds_again(Some('f'), '.', NotWorse)]
    #[case::the_machine_failed(Some('.'), 'e', Inconclusive)]
    #[case::first_and_the_machine_failed(None, 'e', Inconclusive)]
    #[case::no_such_mode(None, 's', NotWorse)]
    #[case::first_and_may_not_build(None, 'b', NotWorse)]
    #[case::may_not_build(Some('.'), 'b', NotWorse)]
    #[case::still_may_not_build(Some('f'), 'b', NotWorse)]
    #[case::broken_and_now_may_not_build(Some('x'), 'b', NotWorse)]
    fn a_night_is_as_bad_as_what_is_new_in_it(
        #[case] last: Option<char>,
        #[case] now: char,
        #[case] expected: ComparisonVerdict,
    ) {
        assert_eq!(compared(last, state(now)).verdict(), expected);
    }

    #[test]
    fn a_finding_that_a_broken_build_may_have_hidden_is_not_passed_over() {
        assert_eq!(compared(Some('f'), state('x')).verdict(), Inconclusive);
    }

    #[test]
    fn what_was_left_out_says_nothing() {
        let left_out = CellRecord::skipped(CELL.to_owned(), SkipReason::Budget);
        let compared = compared(Some('x'), left_out);
        assert_eq!((compared.findings.len(), compared.undecided.len()), (0, 0));
        assert_eq!(compared.verdict(), NotWorse);
    }
}
