//! Which cells that were stopped are submitted again, where, and how often. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::job::JobId;
use crate::run::slurm::arrays::Part;

/// A node on which so many cells were stopped, and none came to its end, gets no more of those that
/// are submitted again.
const BAD: usize = 3;

/// How a cell was stopped that is not at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    pub why: String,
    /// Empty if it is not known.
    pub node: String,
    /// Its memory was not enough.
    pub is_for_memory: bool,
    /// Somebody cancelled its task, and does not want it again.
    pub is_cancelled: bool,
}

impl Stopped {
    /// By what Slurm says of the task.
    #[must_use]
    pub fn by_slurm(why: String, state: &str, node: &str) -> Stopped {
        Stopped {
            why,
            node: node.to_owned(),
            is_for_memory: state.starts_with("OUT_OF_ME"),
            is_cancelled: state.starts_with("CANCELLED"),
        }
    }

    /// By what the task itself left: only some of its processes were killed.
    #[must_use]
    pub fn by_itself(why: &str, node: &str) -> Stopped {
        Stopped {
            why: why.to_owned(),
            node: node.to_owned(),
            is_for_memory: why.contains("ran out of memory"),
            is_cancelled: false,
        }
    }
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Again {
    /// How often a cell is submitted again.
    retries: usize,
    /// Each task has all the memory of its node.
    has_all_memory: bool,
    cells: BTreeMap<JobId, Tried>,
    /// How many cells were stopped on a node.
    stopped_on: BTreeMap<String, usize>,
    /// Nodes on which cells came to their end.
    good: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Tried {
    /// What stopped it, each time.
    stopped: Vec<String>,
    /// Where, unless that was for memory.
    nodes: BTreeSet<String>,
    /// It is submitted with all the memory of a node, which is no retry.
    all_memory: bool,
}

impl Again {
    /// Nothing was tried yet.
    #[must_use]
    pub fn new(retries: usize, has_all_memory: bool) -> Again {
        Again {
            retries,
            has_all_memory,
            ..Again::default()
        }
    }

    /// Notes that a cell came to its end on a node.
    pub fn ended(&mut self, node: &str) {
        self.good.insert(node.to_owned());
    }

    /// Whether a cell that was stopped is to be submitted again; notes it, if so.
    pub fn is_wanted(&mut self, id: JobId, stopped: &Stopped) -> bool {
        if !stopped.node.is_empty() && !stopped.is_cancelled && !stopped.is_for_memory {
            *self.stopped_on.entry(stopped.node.clone()).or_default() += 1;
        }
        let has_all_memory = self.has_all_memory;
        let tried = self.cells.entry(id).or_default();
        let needs_memory = stopped.is_for_memory && !tried.all_memory && !has_all_memory;
        let counted = tried.stopped.len() - usize::from(tried.all_memory);
        if stopped.is_cancelled || !needs_memory && counted >= self.retries {
            return false;
        }
        tried.stopped.push(stopped.why.clone());
        match needs_memory {
            true => tried.all_memory = true,
            false if stopped.node.is_empty() => {}
            false => {
                tried.nodes.insert(stopped.node.clone());
            }
        }
        true
    }

    /// What to submit of a cell that has that place in an array.
    #[must_use]
    pub fn part(&self, id: JobId, array: usize, index: usize) -> Part {
        let first = Part::first(array, index..index + 1);
        let Some(tried) = self.cells.get(&id) else {
            return first;
        };
        let bad = self.stopped_on.iter();
        let bad = bad
            .filter(|(node, times)| **times >= BAD && !self.good.contains(*node))
            .map(|(node, _)| node);
        let exclude: BTreeSet<&String> = tried.nodes.iter().chain(bad).collect();
        Part {
            attempt: tried.stopped.len(),
            exclude: exclude.into_iter().cloned().collect(),
            all_memory: tried.all_memory,
            ..first
        }
    }

    /// What stopped a cell before.
    #[must_use]
    pub fn earlier(&self, id: JobId) -> &[String] {
        let tried = self.cells.get(&id);
        tried.map_or(&[], |tried| &tried.stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(state: &str, node: &str) -> Stopped {
        Stopped::by_slurm(format!("{state} on {node}"), state, node)
    }

    #[test]
    fn a_cell_is_submitted_again_as_often_as_it_may_and_elsewhere() {
        let mut again = Again::new(2, false);
        let id = JobId(5);
        assert!(again.is_wanted(id, &lost("NODE_FAIL", "n2")));
        let part = again.part(id, 1, 4);
        assert_eq!((part.array, part.tasks), (1, 4..5));
        assert_eq!((part.attempt, part.all_memory), (1, false));
        assert_eq!(part.exclude, ["n2"]);

        assert!(again.is_wanted(id, &lost("FAILED", "n1")));
        assert_eq!(again.part(id, 1, 4).exclude, ["n1", "n2"]);
        assert!(!again.is_wanted(id, &lost("FAILED", "n3")));
        assert_eq!(again.earlier(id), ["NODE_FAIL on n2", "FAILED on n1"]);
        assert_eq!(again.earlier(JobId(6)), [""; 0]);
        assert!(!Again::new(0, false).is_wanted(id, &lost("FAILED", "n1")));
    }

    #[test]
    fn what_somebody_cancelled_is_not_submitted_again() {
        assert!(!Again::new(2, false).is_wanted(JobId(0), &lost("CANCELLED by 1000", "n1")));
    }

    #[test]
    fn what_lacked_memory_gets_all_of_a_node_once_whatever_may_be_tried() {
        let mut again = Again::new(0, false);
        assert!(again.is_wanted(JobId(0), &lost("OUT_OF_MEMORY", "n1")));
        let part = again.part(JobId(0), 0, 0);
        assert!(part.all_memory && part.exclude.is_empty());
        assert!(!again.is_wanted(JobId(0), &lost("OUT_OF_MEMORY", "n1")));

        // The task came to its end, and what it had started did not.
        let killed = "a program was killed, as happens if the machine ran out of memory: cc";
        let killed = Stopped::by_itself(killed, "n1");
        assert!(again.is_wanted(JobId(1), &killed));
        again.has_all_memory = true;
        assert!(!again.is_wanted(JobId(2), &killed));
        again.retries = 1;
        assert!(again.is_wanted(JobId(2), &killed));
    }

    #[test]
    fn a_node_that_stops_all_that_it_gets_is_left_out() {
        let mut again = Again::new(1, false);
        for id in 0..BAD {
            assert!(again.is_wanted(JobId(id), &lost("FAILED", "n1")));
        }
        assert!(again.is_wanted(JobId(7), &lost("FAILED", "n2")));
        assert_eq!(again.part(JobId(7), 0, 7).exclude, ["n1", "n2"]);
        again.ended("n1");
        assert_eq!(again.part(JobId(7), 0, 7).exclude, ["n2"]);
    }
}
