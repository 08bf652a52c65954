//! Which commit brought a fault: a search over the commits between those that do not have it and
//! one that has it. Pure: who tests the commits tells it the verdicts.
//!
//! It assumes what `git bisect` assumes: one commit brought the fault, and whatever has that commit
//! in its history has the fault. A commit whose verdict could not be told stays a suspect.

pub mod cost;
pub mod ddmin;
mod graph;
pub mod sought;
pub mod symbols;
pub mod toolchain;

use self::graph::Graph;
use crate::model::bisect::Verdict;

/// A commit of the range, by its place in it: parents come before their children.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Its parents in git's order; `None` for one outside of the range, which is good.
    pub parents: Vec<Option<usize>>,
    /// It is proven to have the verdict of its first parent.
    pub is_as_first_parent: bool,
    /// How likely it is, in relation to others, that it brought the fault; 0 if it cannot have.
    pub weight: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Test this commit.
    Test(usize),
    /// This commit brought the fault.
    Found(usize),
    /// One of these did, and no commit that tells them apart can be told. In the order of the range.
    Among(Vec<usize>),
    /// None of the range can have brought it: the verdicts contradict each other, or the weights.
    Nobody,
}

/// The state of a search.
#[derive(Debug)]
pub struct Search {
    graph: Graph,
    verdicts: Vec<Option<Verdict>>,
    /// The commits that have the whole fault in their history, or have it themselves: what is left
    /// of the range.
    region: Vec<bool>,
}

impl Search {
    /// Begins a search; the last commit is bad.
    ///
    /// # Panics
    /// If there is no commit, or a parent does not come before its child.
    #[must_use]
    pub fn new(nodes: &[Node]) -> Search {
        let graph = Graph::new(nodes);
        let last = nodes.len().checked_sub(1).expect("a range has a commit");
        let mut search = Search {
            region: vec![true; nodes.len()],
            verdicts: vec![None; nodes.len()],
            graph,
        };
        search.tell(last, Verdict::Bad);
        search
    }

    /// Takes a verdict on a commit.
    pub fn tell(&mut self, commit: usize, verdict: Verdict) {
        // What a proof says of its parent is said of the parent.
        let Some(commit) = self.graph.tested_as(commit) else {
            return;
        };
        self.verdicts[commit] = Some(verdict);
        let ancestors = match verdict {
            Verdict::Unknown => return,
            Verdict::Good | Verdict::Bad => self.graph.ancestors(commit),
        };
        let keeps = verdict == Verdict::Bad;
        for (is_in, is_ancestor) in self.region.iter_mut().zip(ancestors) {
            *is_in &= is_ancestor == keeps;
        }
    }

    /// What is known of a commit.
    #[must_use]
    pub fn verdict(&self, commit: usize) -> Option<Verdict> {
        match self.graph.tested_as(commit) {
            Some(tested) => self.verdicts[tested],
            None => Some(Verdict::Good),
        }
    }

    /// Those that may have brought the fault, in the order of the range.
    #[must_use]
    pub fn suspects(&self) -> Vec<usize> {
        let all = 0..self.region.len();
        all.filter(|at| self.region[*at] && self.graph.weight(*at) > 0)
            .collect()
    }

    /// What to do next: the test that is expected to tell most for its `cost`, which is in any unit
    /// and more than 0.
    #[must_use]
    pub fn next(&self, cost: impl Fn(usize) -> f64) -> Step {
        let suspects = self.suspects();
        match suspects.as_slice() {
            [] => return Step::Nobody,
            [only] => return Step::Found(*only),
            _ => {}
        }
        // A commit of another branch tells suspects apart, too, if those between them are
        // inconclusive.
        let best = [true, false]
            .into_iter()
            .find_map(|is_in_region| self.best(&suspects, is_in_region, &cost));
        best.map_or(Step::Among(suspects), Step::Test)
    }

    /// The test that is worth most, of the commits in the region or of the others.
    fn best(
        &self,
        suspects: &[usize],
        is_in_region: bool,
        cost: &impl Fn(usize) -> f64,
    ) -> Option<usize> {
        let can_be_told = |at: &usize| {
            self.region[*at] == is_in_region
                && self.verdicts[*at].is_none()
                && self.graph.tested_as(*at) == Some(*at)
        };
        let tested: Vec<usize> = (0..self.region.len()).filter(can_be_told).collect();
        let before = self.graph.weight_of_ancestors(&tested, suspects);
        let weights = suspects.iter().map(|at| u64::from(self.graph.weight(*at)));
        let whole: u64 = weights.sum();
        let doubt = Doubt::of(suspects, &self.verdicts, whole);
        let mut best: Option<(f64, usize)> = None;
        for (at, weight) in std::iter::zip(tested, before) {
            if weight == 0 || weight == whole {
                continue;
            }
            let worth = bits(weight, whole) * doubt.of_telling(at) / cost(at);
            if best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, at));
            }
        }
        best.map(|(_, at)| at)
    }
}

/// What a yes or no tells that is yes for `part` of `whole` cases, in bits.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
fn bits(part: u64, whole: u64) -> f64 {
    let of = |share: f64| -share * share.log2();
    let share = part as f64 / whole as f64;
    of(share) + of(1.0 - share)
}

/// How likely a test is to give a verdict. Where it does not, the neighbours of a commit seldom give
/// one: they are avoided, farther the more tests have failed, and most of all what is between two
/// commits whose tests failed.
struct Doubt {
    /// Where commits failed, in the order of the range.
    failed: Vec<usize>,
    /// How far from one of them a commit is as likely to be told as not, in commits.
    reach: f64,
}

impl Doubt {
    #[expect(clippy::cast_precision_loss, reason = "a distance needs no more")]
    fn of(suspects: &[usize], verdicts: &[Option<Verdict>], whole: u64) -> Doubt {
        let (first, last) = (suspects.first(), suspects.last());
        let range = first
            .zip(last)
            .map_or(0..0, |(first, last)| *first..last + 1);
        let failed: Vec<usize> = range
            .filter(|at| verdicts[*at] == Some(Verdict::Unknown))
            .collect();
        let reach = 2f64.powi(i32::try_from(failed.len()).unwrap_or(i32::MAX)) - 1.0;
        Doubt {
            failed,
            reach: reach.min(whole as f64),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a distance needs no more")]
    fn of_telling(&self, at: usize) -> f64 {
        let next = self.failed.partition_point(|failed| *failed < at);
        let before = next.checked_sub(1).map(|before| self.failed[before]);
        let nearest = [before, self.failed.get(next).copied()];
        let odds = nearest.into_iter().flatten().map(|failed| {
            let distance = failed.abs_diff(at) as f64;
            distance / (distance + self.reach)
        });
        odds.product()
    }
}

#[cfg(test)]
mod tests;
