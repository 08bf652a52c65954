//! How long a test of a commit is expected to take: from what tests took, and from the files that
//! differ between the commit and those whose build trees are there. Pure.

use std::collections::BTreeSet;

/// How long tests take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seconds {
    /// Of a test that finds all objects made.
    least: f64,
    /// Of one that makes everything.
    most: f64,
}

impl Seconds {
    /// What nothing is known of: making everything takes longer, that is all.
    const UNKNOWN: Seconds = Seconds {
        least: 1.0,
        most: 4.0,
    };

    /// From how long tests took.
    fn of(took: impl IntoIterator<Item = f64>) -> Seconds {
        let took = took.into_iter().filter(|seconds| *seconds > 0.0);
        let found = took.fold(None, |found: Option<Seconds>, seconds| {
            let found = found.unwrap_or(Seconds {
                least: seconds,
                most: seconds,
            });
            Some(Seconds {
                least: found.least.min(seconds),
                most: found.most.max(seconds),
            })
        });
        found.unwrap_or(Seconds::UNKNOWN)
    }

    /// Of a test that makes this share of everything, from 0 to 1.
    fn for_share(self, share: f64) -> f64 {
        self.least + share * (self.most - self.least)
    }
}

/// For each commit of a range the seconds that a test is expected to take, from how long others `took`;
/// the other arguments are those of [`shares`].
#[must_use]
pub fn costs(
    files: &[&[String]],
    built: &[Option<usize>],
    took: impl IntoIterator<Item = f64>,
    share: impl Fn(&str) -> f64,
) -> Vec<f64> {
    let seconds = Seconds::of(took);
    let shares = shares(files, built, share).into_iter();
    shares.map(|share| seconds.for_share(share)).collect()
}

/// For each commit of a range the share of everything that is made if it is built in the best of the
/// trees that are there, from 0 to 1. `files` are the files that each commit changes; `built` are the
/// places of those whose trees are there, where `None` stands for a commit before the range; `share` is
/// what a change of one file makes.
fn shares(files: &[&[String]], built: &[Option<usize>], share: impl Fn(&str) -> f64) -> Vec<f64> {
    let mut best = vec![1.0_f64; files.len()];
    for place in built {
        let first_after = place.map_or(0, |at| at + 1);
        if let Some(at) = place {
            best[*at] = 0.0;
        }
        // What a commit changes differs between it and the tree that is older; what the next one changes
        // differs between it and the tree that is younger.
        let after = (first_after..files.len()).map(|at| (at, at));
        let before = (1..first_after).rev().map(|at| (at - 1, at));
        walk(&mut best, files, after, &share);
        walk(&mut best, files, before, &share);
    }
    best
}

/// Goes away from a tree: each of `steps` is a commit and the one whose files differ from there on.
fn walk(
    best: &mut [f64],
    files: &[&[String]],
    steps: impl Iterator<Item = (usize, usize)>,
    share: &impl Fn(&str) -> f64,
) {
    let mut differ: BTreeSet<&str> = BTreeSet::new();
    let mut sum = 0.0;
    for (commit, changes) in steps {
        for file in files[changes] {
            let share = share(file);
            if share > 0.0 && differ.insert(file) {
                sum += share;
            }
        }
        if sum >= 1.0 {
            return;
        }
        best[commit] = best[commit].min(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::bisect::{Node, Search, Step};

    fn shares_of(files: &[&str], built: &[Option<usize>]) -> Vec<f64> {
        let files: Vec<Vec<String>> = files
            .iter()
            .map(|names| names.split_whitespace().map(str::to_owned).collect())
            .collect();
        let files: Vec<&[String]> = files.iter().map(Vec::as_slice).collect();
        shares(&files, built, |file| match file {
            "Makefile" => 1.0,
            _ => 0.25,
        })
    }

    #[test]
    fn each_file_that_differs_from_a_tree_counts_once() {
        let files = ["a", "b", "a", "c"];
        assert_eq!(shares_of(&files, &[None]), [0.25, 0.5, 0.5, 0.75]);
        // The files of the commit itself are in its tree; those of the commits after an older one are not.
        assert_eq!(shares_of(&files, &[Some(3)]), [0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn the_nearest_tree_counts() {
        let files = ["a", "b", "c", "d", "e"];
        let seen = shares_of(&files, &[Some(0), Some(4)]);
        assert_eq!(seen, [0.0, 0.25, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn without_a_tree_everything_is_made_and_so_it_is_beyond_a_change_of_everything() {
        assert_eq!(shares_of(&["a", "b"], &[]), [1.0, 1.0]);
        let files = ["a", "Makefile", "b"];
        assert_eq!(shares_of(&files, &[None]), [0.25, 1.0, 1.0]);
        assert_eq!(shares_of(&files, &[Some(2)]), [1.0, 0.25, 0.0]);
    }

    /// The fifth of ten commits tells most, but is on the other side of a change of everything.
    #[test]
    fn a_commit_that_tells_less_and_is_built_sooner_is_tested_first() {
        let node = |at: usize| Node {
            parents: vec![at.checked_sub(1)],
            weight: 1,
            ..Node::default()
        };
        let nodes: Vec<Node> = (0..10).map(node).collect();
        let search = Search::new(&nodes);
        assert_eq!(search.next(|_| 1.0), Step::Test(4));
        let changes = ["a", "b", "c", "d", "Makefile", "f", "g", "h", "i", "j"];
        let files = changes.map(|file| vec![file.to_owned()]);
        let files: Vec<&[String]> = files.iter().map(Vec::as_slice).collect();
        let share = |file: &str| if file == "Makefile" { 1.0 } else { 0.0 };
        let costs = costs(&files, &[None], [10.0, 100.0], share);
        assert_eq!(search.next(|at| costs[at]), Step::Test(3));
    }

    #[test]
    fn the_seconds_of_a_share_are_between_the_shortest_and_the_longest_test() {
        let seconds = Seconds::of([30.0, 0.0, 10.0, 50.0]);
        assert_eq!(
            seconds,
            Seconds {
                least: 10.0,
                most: 50.0
            }
        );
        assert!((seconds.for_share(0.5) - 30.0).abs() < 1e-9);
        assert_eq!(Seconds::of([]), Seconds::UNKNOWN);
    }
}
