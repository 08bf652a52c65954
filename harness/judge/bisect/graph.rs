//! The commits of a range, and what is in the history of each.

use super::Node;

/// Suspects are counted so many at a time: the sets of all commits then take 512 bytes a commit.
const AT_ONCE: usize = 4096;
const WORD: usize = 64;

/// A range, in which a commit that is as its first parent has only that parent: whatever it took
/// from the others, it did not take the fault.
#[derive(Debug)]
pub struct Graph {
    parents: Vec<Vec<usize>>,
    weights: Vec<u32>,
    /// The commit that a test of this one would be a test of; `None` if that is outside of the
    /// range.
    tested_as: Vec<Option<usize>>,
}

impl Graph {
    pub fn new(nodes: &[Node]) -> Graph {
        let mut graph = Graph {
            parents: Vec::with_capacity(nodes.len()),
            weights: Vec::with_capacity(nodes.len()),
            tested_as: Vec::with_capacity(nodes.len()),
        };
        for (at, node) in nodes.iter().enumerate() {
            let is_same = node.is_as_first_parent;
            let counted = match is_same {
                true => &node.parents[..node.parents.len().min(1)],
                false => &node.parents,
            };
            let parents: Vec<usize> = counted.iter().flatten().copied().collect();
            assert!(
                parents.iter().all(|parent| *parent < at),
                "a parent comes before its child"
            );
            graph.tested_as.push(match (is_same, parents.first()) {
                (false, _) => Some(at),
                (true, Some(parent)) => graph.tested_as[*parent],
                (true, None) => None,
            });
            graph.weights.push(if is_same { 0 } else { node.weight });
            graph.parents.push(parents);
        }
        graph
    }

    pub fn weight(&self, at: usize) -> u32 {
        self.weights[at]
    }

    pub fn tested_as(&self, at: usize) -> Option<usize> {
        self.tested_as[at]
    }

    /// Whether each commit is in the history of that one, which counts as in its own.
    pub fn ancestors(&self, of: usize) -> Vec<bool> {
        let mut is_in = vec![false; self.parents.len()];
        is_in[of] = true;
        for at in (0..=of).rev() {
            if is_in[at] {
                for parent in &self.parents[at] {
                    is_in[*parent] = true;
                }
            }
        }
        is_in
    }

    /// What the suspects weigh together that are in the history of each of `commits`, which are in
    /// the order of the range, as the suspects are.
    pub fn weight_of_ancestors(&self, commits: &[usize], suspects: &[usize]) -> Vec<u64> {
        let mut sums = vec![0; commits.len()];
        for part in suspects.chunks(AT_ONCE) {
            let weights = Weights::of(part, &self.weights);
            let words = part.len().div_ceil(WORD);
            let mut sets = vec![0u64; self.parents.len() * words];
            let mut own = part.iter().enumerate().peekable();
            for (at, parents) in self.parents.iter().enumerate() {
                let (earlier, rest) = sets.split_at_mut(at * words);
                let set = &mut rest[..words];
                for parent in parents {
                    let of_parent = &earlier[parent * words..][..words];
                    for (word, of_parent) in set.iter_mut().zip(of_parent) {
                        *word |= of_parent;
                    }
                }
                if let Some((bit, _)) = own.next_if(|(_, suspect)| **suspect == at) {
                    set[bit / WORD] |= 1 << (bit % WORD);
                }
            }
            for (sum, at) in sums.iter_mut().zip(commits) {
                *sum += weights.sum(&sets[at * words..][..words]);
            }
        }
        sums
    }
}

/// What the members of a set weigh. There are few weights, and many commits of each.
struct Weights(Vec<(u32, Vec<u64>)>);

impl Weights {
    fn of(part: &[usize], weights: &[u32]) -> Weights {
        let mut kinds: Vec<(u32, Vec<u64>)> = Vec::new();
        for (bit, suspect) in part.iter().enumerate() {
            let weight = weights[*suspect];
            let known = kinds.iter().position(|(known, _)| *known == weight);
            let kind = known.unwrap_or_else(|| {
                kinds.push((weight, vec![0; part.len().div_ceil(WORD)]));
                kinds.len() - 1
            });
            kinds[kind].1[bit / WORD] |= 1 << (bit % WORD);
        }
        Weights(kinds)
    }

    fn sum(&self, set: &[u64]) -> u64 {
        let kinds = self.0.iter().map(|(weight, of_kind)| {
            let words = set.iter().zip(of_kind);
            let members: u64 = words.map(|(a, b)| u64::from((a & b).count_ones())).sum();
            u64::from(*weight) * members
        });
        kinds.sum()
    }
}
