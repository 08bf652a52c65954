//! How the runs of shards are joined, and when they are not.

use rstest::rstest;

use super::*;
use crate::judge::test_records::{finding, record};
use crate::model::record::{Baseline, FORMAT};
use crate::model::shard::PlacedCell;

/// Four cells, of which each shard of two has two, in turn.
const CELLS: [&str; 4] = ["a", "b", "c", "d"];

fn whole(cells: Vec<CellRecord>) -> RunRecord {
    RunRecord {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: "nightly".to_owned(),
        kernel: "7.3".to_owned(),
        revision: "7.3-g0123456789ab".to_owned(),
        mutations: Vec::new(),
        shard: None,
        cells,
        unreferenced: Vec::new(),
    }
}

fn cell(name: &str) -> CellRecord {
    CellRecord {
        job: format!("job of {name}"),
        ..record(name, Vec::new())
    }
}

fn broken(name: &str) -> CellRecord {
    let mut broken = record(name, vec![finding("flags.x", "a.o", "lacks -O2")]);
    broken.job = format!("job of {name}");
    broken
}

fn shard(number: usize) -> RunRecord {
    let placed = CELLS.iter().enumerate().map(|(at, cell)| PlacedCell {
        cell: (*cell).to_owned(),
        shard: at % 2 + 1,
    });
    let record = ShardRecord {
        shard: Shard { number, of: 2 },
        matrix: "hash".to_owned(),
        cells: placed.collect(),
    };
    let cells = std::iter::zip(CELLS, record.has());
    let own = cells.filter(|(_, has)| *has).map(|(name, _)| cell(name));
    RunRecord {
        shard: Some(record.clone()),
        ..whole(own.collect())
    }
}

fn changed(mut run: RunRecord, change: impl FnOnce(&mut RunRecord)) -> RunRecord {
    change(&mut run);
    run
}

/// Merges runs that are named A, B and C.
fn merged(runs: &[RunRecord], partial: bool) -> Result<Merged, MergeError> {
    let parts = std::iter::zip(["A", "B", "C"], runs).map(|(name, run)| Part { name, run });
    merge(&parts.collect::<Vec<_>>(), partial)
}

#[rstest]
#[case::in_order([1, 2])]
#[case::the_other_way_round([2, 1])]
fn all_shards_are_the_run_of_one_machine(#[case] numbers: [usize; 2]) {
    let merged = merged(&numbers.map(shard), false).unwrap();
    assert_eq!(merged.run, whole(CELLS.map(cell).into()));
    assert_eq!(merged.missing, []);
    let first = numbers.iter().position(|number| *number == 1).unwrap();
    let second = 1 - first;
    let from = [(first, 0), (second, 0), (first, 1), (second, 1)];
    assert_eq!(merged.from, from.map(Some));
}

#[test]
fn what_is_no_cell_comes_last_once() {
    let gone = CellRecord {
        baseline: Baseline::Gone,
        ..CellRecord::skipped("0".to_owned(), SkipReason::NoCell)
    };
    let first = changed(shard(1), |run| run.cells.push(gone.clone()));
    let again = changed(whole(Vec::new()), |run| run.cells.push(gone.clone()));
    let merged = merged(&[first, shard(2), again], false).unwrap();
    let names: Vec<&str> = merged.run.cells.iter().map(|cell| &*cell.cell).collect();
    assert_eq!(names, ["a", "b", "c", "d", "0"]);
    assert_eq!(merged.from[4], Some((0, 2)));
}

#[test]
fn a_missing_shard_is_an_error_or_makes_its_cells_inconclusive() {
    let error = merged(&[shard(2)], false).unwrap_err().to_string();
    assert_eq!(
        error,
        "shard 1/2 is missing, with 2 cells\n  name the missing runs, too; with --partial these cells are inconclusive instead"
    );
    let merged = merged(&[shard(2)], true).unwrap();
    assert_eq!(merged.missing, [Shard { number: 1, of: 2 }]);
    let why = "shard 1/2 is missing".to_owned();
    let missing = |name: &str| CellRecord::inconclusive(name.to_owned(), why.clone());
    let expected = vec![missing("a"), cell("b"), missing("c"), cell("d")];
    assert_eq!(merged.run, whole(expected));
    assert_eq!(merged.from, [None, Some((0, 0)), None, Some((0, 1))]);
}

#[test]
fn a_shard_without_cells_may_be_missing() {
    let of_three = |number| {
        changed(shard(number), |run| {
            run.shard.as_mut().unwrap().shard.of = 3;
        })
    };
    let merged = merged(&[1, 2].map(of_three), false).unwrap();
    assert_eq!(merged.run.cells.len(), 4);
}

#[test]
fn what_was_merged_without_a_shard_is_completed_by_it() {
    let partial = merged(&[shard(2)], true).unwrap().run;
    let complete = merged(&[partial, shard(1)], false).unwrap();
    assert_eq!(complete.run, whole(CELLS.map(cell).into()));
}

#[rstest]
#[case::stopped(CellRecord::inconclusive("a".to_owned(), "no space".to_owned()))]
#[case::no_time(CellRecord::skipped("a".to_owned(), SkipReason::Budget))]
#[case::fail_fast(CellRecord::skipped("a".to_owned(), SkipReason::FailFast))]
fn a_result_comes_before_none(#[case] none: CellRecord, #[values(false, true)] first: bool) {
    let failed = changed(shard(1), |run| run.cells[0] = none);
    let again = whole(vec![cell("a")]);
    let runs = match first {
        true => [again, failed, shard(2)],
        false => [failed, again, shard(2)],
    };
    let merged = merged(&runs, false).unwrap();
    assert_eq!(merged.run, whole(CELLS.map(cell).into()));
}

#[test]
fn the_same_result_twice_is_one() {
    let runs = [shard(1), shard(2), whole(vec![cell("b")])];
    let merged = merged(&runs, false).unwrap();
    assert_eq!(merged.run, whole(CELLS.map(cell).into()));
    assert_eq!(merged.from[1], Some((1, 0)));
}

fn with_b(record: CellRecord) -> [RunRecord; 3] {
    [shard(1), shard(2), whole(vec![record])]
}

fn with_second(change: impl FnOnce(&mut RunRecord)) -> [RunRecord; 3] {
    [shard(1), changed(shard(2), change), whole(Vec::new())]
}

fn division(run: &mut RunRecord) -> &mut ShardRecord {
    run.shard.as_mut().unwrap()
}

#[rstest]
#[case::matrix(
    with_second(|run| run.matrix = "full".to_owned()),
    "A and B are not parts of one run: matrix 'nightly' and 'full'"
)]
#[case::revision(
    with_second(|run| run.revision = "7.3".to_owned()),
    "A and B are not parts of one run: revision '7.3-g0123456789ab' and '7.3'"
)]
#[case::mutations(
    with_second(|run| run.mutations = vec!["v11".to_owned()]),
    "A and B are not parts of one run: mutations 'none' and 'v11'"
)]
#[case::number_of_shards(
    with_second(|run| division(run).shard.of = 3),
    "A and B are not parts of one run: they are shards 1/2 and 2/3"
)]
#[case::matrix_file(
    with_second(|run| division(run).matrix = "other".to_owned()),
    "A and B are not parts of one run: the matrix file was changed between them"
)]
#[case::selection(
    with_second(|run| division(run).cells.truncate(3)),
    "A and B are not parts of one run: other cells were asked for"
)]
#[case::twice(
    [shard(1), shard(2), shard(1)],
    "shard 1/2 is there twice: A and C\n  leave one of them out"
)]
#[case::no_shard(
    [1, 2, 3].map(|_| whole(vec![cell("a")])),
    "none of the runs is a shard, so it is not known which cells there are"
)]
#[case::stray(
    with_b(cell("x")),
    "C has the cell x, which is not among the cells that were divided into shards"
)]
#[case::flaky(
    with_b(broken("b")),
    "the cell b has different results: pass in B, and fail in C, although nothing that it depends on differs: it is flaky\n  leave one"
)]
#[case::other_job(
    with_b(CellRecord { job: "other".to_owned(), ..broken("b") }),
    "the cell b has different results: pass in B, and fail in C, which was built from other sources, with other tools or elsewhere\n  leave one"
)]
fn what_cannot_be_joined_is_refused(#[case] runs: [RunRecord; 3], #[case] expected: &str) {
    let error = merged(&runs, true).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}
