//! Shards: the cells of a matrix divided among machines. Pure, and the same on each of them.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cell::Cell;

/// One of several parts of the cells of a matrix.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Shard {
    /// Which part; the first is 1.
    pub number: usize,
    /// How many parts there are.
    pub of: usize,
}

/// A word that is not a shard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not a shard; expected I/N with I from 1 to N, such as 1/4")]
pub struct NoShard(
    /// The word found.
    pub String,
);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(word: &str) -> Result<Shard, NoShard> {
        let number = |digits: &str| {
            let is_plain = digits.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| digits.parse::<usize>().ok())?
        };
        word.split_once('/')
            .and_then(|(first, second)| Some((number(first)?, number(second)?)))
            .filter(|(first, second)| (1..=*second).contains(first))
            .map(|(number, of)| Shard { number, of })
            .ok_or_else(|| NoShard(word.to_owned()))
    }
}

/// The shard that a run has, and what the other shards have: from it `klto merge` knows what is
/// missing, and the order of the cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardRecord {
    #[serde(flatten)]
    pub shard: Shard,
    /// A hash of the matrix file.
    pub matrix: String,
    /// The cells of all shards, in the order of the matrix.
    pub cells: Vec<PlacedCell>,
}

/// A cell, and where it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlacedCell {
    /// As [`super::record::CellRecord::cell`].
    pub cell: String,
    /// The number of the shard that it is in.
    pub shard: usize,
}

impl ShardRecord {
    /// A shard of these cells.
    #[must_use]
    pub fn new(shard: Shard, matrix: String, cells: &[Cell]) -> ShardRecord {
        let groups = cells.iter().map(Cell::group);
        let placed = std::iter::zip(cells, deal(groups, shard.of));
        ShardRecord {
            shard,
            matrix,
            cells: placed
                .map(|(cell, shard)| PlacedCell {
                    cell: cell.name(),
                    shard,
                })
                .collect(),
        }
    }

    /// Whether each of the cells is in the shard.
    pub fn has(&self) -> impl Iterator<Item = bool> {
        let cells = self.cells.iter();
        cells.map(|cell| cell.shard == self.shard.number)
    }
}

/// The number of the shard of each cell, of so many shards, given the groups of the cells. Cells of
/// one group stay together; the groups are dealt out in the order in which they first occur, one
/// to each shard in turn.
pub fn deal<G: Eq + Hash>(groups: impl Iterator<Item = G>, of: usize) -> Vec<usize> {
    let numbers = numbers(groups).into_iter();
    numbers.map(|group| group % of.max(1) + 1).collect()
}

/// How many groups of cells there are that share trees, and therefore stay together.
#[must_use]
pub fn count_groups(cells: &[Cell]) -> usize {
    let numbers = numbers(cells.iter().map(Cell::group)).into_iter();
    numbers.max().map_or(0, |last| last + 1)
}

/// The number of each group, in the order in which they first occur, from 0.
fn numbers<G: Eq + Hash>(groups: impl Iterator<Item = G>) -> Vec<usize> {
    let mut known = HashMap::new();
    let number = |group| {
        let next = known.len();
        *known.entry(group).or_insert(next)
    };
    groups.map(number).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    proptest! {
        #[test]
        fn every_cell_is_in_one_shard_with_its_group(
            groups in proptest::collection::vec(0_u8..20, 0..60),
            of in 1_usize..12,
        ) {
            let shards = deal(groups.iter(), of);
            prop_assert_eq!(shards.len(), groups.len());
            prop_assert!(shards.iter().all(|shard| (1..=of).contains(shard)));
            for (one, first) in std::iter::zip(&groups, &shards) {
                for (other, second) in std::iter::zip(&groups, &shards) {
                    prop_assert!(one != other || first == second, "{} is in two shards", one);
                }
            }
            let in_shard = |number: usize| {
                let placed = std::iter::zip(&groups, &shards);
                let own = placed.filter(|(_, shard)| **shard == number);
                own.map(|(group, _)| group).collect::<std::collections::BTreeSet<_>>().len()
            };
            let sizes: Vec<usize> = (1..=of).map(in_shard).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", sizes);
        }
    }

    #[test]
    fn groups_are_dealt_out_in_turn() {
        let groups = ["a", "a", "b", "c", "b", "d"];
        assert_eq!(deal(groups.into_iter(), 3), [1, 1, 2, 3, 2, 1]);
        assert_eq!(deal(groups.into_iter(), 1), [1; 6]);
    }

    #[rstest]
    #[case("1/1", 1, 1)]
    #[case("2/4", 2, 4)]
    fn a_shard_is_read_back_from_its_name(
        #[case] word: &str,
        #[case] number: usize,
        #[case] of: usize,
    ) {
        assert_eq!(word.parse(), Ok(Shard { number, of }));
        assert_eq!(Shard { number, of }.to_string(), word);
    }

    #[rstest]
    fn what_is_no_shard_is_refused(
        #[values(
            "0/4", "5/4", "4", "1/", "/4", "a/b", "1/4/2", "-1/4", "+1/4", "1 /4", "0/0"
        )]
        word: &str,
    ) {
        let error = word.parse::<Shard>().unwrap_err().to_string();
        let expected =
            format!("'{word}' is not a shard; expected I/N with I from 1 to N, such as 1/4");
        assert_eq!(error, expected);
    }
}
