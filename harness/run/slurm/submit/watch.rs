//! What the queue says of the tasks over time: which started, which wait for something unusual,
//! and which are lost. Pure, but for the accounts of a site.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::again::Stopped;
use crate::build::process::Cancel;
use crate::run::job::JobId;
use crate::run::slurm::queue::{Task, from_accounts};

/// How often a task must be seen ended, and without a result, before it counts as lost: a requeued
/// task looks so for a moment, and a shared folder may show a new file late.
const SURE: u32 = 3;

/// For these reasons every task waits at times.
const USUAL: [&str; 9] = [
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "JobArrayTaskLimit",
    "BeginTime",
    "Prolog",
    "Cleaning",
    "",
];

/// The tasks that were submitted.
#[derive(Debug, Default)]
pub struct Watch {
    tasks: BTreeMap<JobId, Seen>,
}

#[derive(Debug)]
struct Seen {
    array: String,
    index: usize,
    state: String,
    node: String,
    /// Why it waits, as it was said.
    reason: String,
    has_started: bool,
    /// How often it was seen ended, or not seen, one time after the other.
    ended: u32,
}

/// What is new.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    pub started: Vec<JobId>,
    /// With why.
    pub waiting: Vec<(JobId, String)>,
    pub lost: Vec<Lost>,
}

/// A task that ended without a result.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    pub id: JobId,
    array: String,
    index: usize,
    /// As it was seen last; empty if it never was.
    state: String,
    node: String,
    /// The queue no longer has it.
    is_gone: bool,
}

impl Watch {
    /// Notes that Slurm has the task of a cell.
    pub fn submitted(&mut self, id: JobId, array: &str, index: usize) {
        let seen = Seen {
            array: array.to_owned(),
            index,
            state: String::new(),
            node: String::new(),
            reason: String::new(),
            has_started: false,
            ended: 0,
        };
        self.tasks.insert(id, seen);
    }

    /// Forgets the task of a cell: it is submitted again.
    pub fn forget(&mut self, id: JobId) {
        self.tasks.remove(&id);
    }

    /// The numbers of the arrays of which the queue has tasks that are not over.
    #[must_use]
    pub fn arrays(&self) -> Vec<String> {
        let going = self.tasks.values().filter(|seen| seen.ended == 0);
        let numbers: BTreeSet<&String> = going.map(|seen| &seen.array).collect();
        numbers.into_iter().cloned().collect()
    }

    /// The number of a task that others can wait for; `None` if it is not submitted, or has left the
    /// queue.
    #[must_use]
    pub fn number(&self, id: JobId) -> Option<String> {
        let seen = self.tasks.get(&id)?;
        (seen.ended == 0).then(|| format!("{}_{}", seen.array, seen.index))
    }

    /// Compares what the queue shows with what it showed before. `is_done` says of which cells
    /// there is a result.
    pub fn see(&mut self, tasks: &[Task], is_done: impl Fn(JobId) -> bool) -> News {
        let shown: BTreeMap<(&str, Option<usize>), &Task> = tasks
            .iter()
            .map(|task| ((task.array.as_str(), task.index), task))
            .collect();
        let mut news = News::default();
        for (id, seen) in &mut self.tasks {
            let task = shown.get(&(seen.array.as_str(), Some(seen.index)));
            if let Some(task) = task {
                seen.state.clone_from(&task.state);
                if !task.node.is_empty() {
                    seen.node.clone_from(&task.node);
                }
                if task.state == "RUNNING" && !seen.has_started {
                    seen.has_started = true;
                    news.started.push(*id);
                }
                let is_unusual = !USUAL.contains(&task.reason.as_str());
                if task.state == "PENDING" && is_unusual && task.reason != seen.reason {
                    seen.reason.clone_from(&task.reason);
                    news.waiting.push((*id, task.reason.clone()));
                }
            }
            match task.is_some_and(|task| !task.is_over()) {
                true => seen.ended = 0,
                false => seen.ended += 1,
            }
            if seen.ended >= SURE && !is_done(*id) {
                news.lost.push(Lost {
                    id: *id,
                    array: seen.array.clone(),
                    index: seen.index,
                    state: seen.state.clone(),
                    node: seen.node.clone(),
                    is_gone: task.is_none(),
                });
            }
        }
        news
    }
}

/// The arrays that Slurm has a second time. `given` are the numbers of those that klto knows of, by
/// their comments.
#[must_use]
pub fn duplicates(tasks: &[Task], given: &BTreeMap<String, String>) -> BTreeSet<String> {
    let is_second = |task: &&Task| {
        let known = given.get(&task.comment);
        !task.is_over() && known.is_some_and(|known| *known != task.array)
    };
    let seconds = tasks.iter().filter(is_second);
    seconds.map(|task| task.array.clone()).collect()
}

impl Lost {
    /// How it ended, with the reason for the report.
    #[must_use]
    pub fn stopped(&self, plan: &Path, cancel: &Cancel) -> Stopped {
        let known = self
            .is_gone
            .then(|| from_accounts(&self.array, Some(self.index), cancel));
        let (state, node) = match known.flatten() {
            Some((state, node)) => (state, node),
            None => (self.state.clone(), self.node.clone()),
        };
        Stopped::by_slurm(self.text(&state, &node, plan), &state, &node)
    }

    fn text(&self, state: &str, node: &str, plan: &Path) -> String {
        let number = format!("{}_{}", self.array, self.index);
        let place = match node {
            "" => String::new(),
            node => format!(" on {node}"),
        };
        let said = match (state, self.is_gone) {
            ("", _) => "Slurm does not know it any more".to_owned(),
            ("RUNNING" | "PENDING" | "COMPLETING", true) => {
                format!("it was {state}{place} when Slurm showed it last")
            }
            (state, _) => format!("Slurm says {state}{place}"),
        };
        let log = plan.join("logs").join(&number);
        format!(
            "task {number} ended without a result: {said}; its log is {}",
            log.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn shown(index: usize, state: &str, node: &str, reason: &str) -> Task {
        Task {
            array: "12".to_owned(),
            index: Some(index),
            state: state.to_owned(),
            node: node.to_owned(),
            reason: reason.to_owned(),
            comment: "0:0-2".to_owned(),
        }
    }

    fn watch() -> Watch {
        let mut watch = Watch::default();
        watch.submitted(JobId(4), "12", 0);
        watch.submitted(JobId(7), "12", 1);
        watch
    }

    #[test]
    fn a_task_starts_once_and_waits_once_for_each_unusual_reason() {
        let mut watch = watch();
        let first = [
            shown(0, "RUNNING", "n1", "None"),
            shown(1, "PENDING", "", "PartitionTimeLimit"),
        ];
        let news = watch.see(&first, |_| false);
        assert_eq!(news.started, [JobId(4)]);
        let why = "PartitionTimeLimit".to_owned();
        assert_eq!(news.waiting, [(JobId(7), why)]);
        assert_eq!(watch.see(&first, |_| false), News::default());
    }

    #[test]
    fn a_task_is_lost_only_if_it_stays_ended_without_a_result() {
        let mut watch = watch();
        let failed = [
            shown(0, "NODE_FAIL", "n1", "None"),
            shown(1, "COMPLETED", "n2", "None"),
        ];
        let requeued = [
            shown(0, "PENDING", "", "BeginTime"),
            shown(1, "COMPLETED", "n2", "None"),
        ];
        let is_done = |id| id == JobId(7);
        for tasks in [&failed, &failed, &requeued, &failed, &failed] {
            assert_eq!(watch.see(tasks, is_done).lost, []);
        }
        let lost = watch.see(&failed, is_done).lost;
        assert_eq!(lost.len(), 1);
        assert_eq!((lost[0].id, lost[0].is_gone), (JobId(4), false));
    }

    #[rstest]
    #[case::state("NODE_FAIL", "n2", false, "Slurm says NODE_FAIL on n2")]
    #[case::gone(
        "RUNNING",
        "n2",
        true,
        "it was RUNNING on n2 when Slurm showed it last"
    )]
    #[case::accounts("OUT_OF_MEMORY", "n2", true, "Slurm says OUT_OF_MEMORY on n2")]
    #[case::never_seen("", "", true, "Slurm does not know it any more")]
    fn the_reason_names_the_node_and_what_slurm_says(
        #[case] state: &str,
        #[case] node: &str,
        #[case] is_gone: bool,
        #[case] said: &str,
    ) {
        let lost = Lost {
            id: JobId(0),
            array: "12".to_owned(),
            index: 3,
            state: String::new(),
            node: String::new(),
            is_gone,
        };
        let expected =
            format!("task 12_3 ended without a result: {said}; its log is /s/plans/1/logs/12_3");
        assert_eq!(lost.text(state, node, Path::new("/s/plans/1")), expected);
    }

    #[test]
    fn an_array_that_slurm_has_twice_is_found_once_it_shows() {
        let given = BTreeMap::from([("0:0-2".to_owned(), "12".to_owned())]);
        let second = Task {
            array: "13".to_owned(),
            ..shown(0, "PENDING", "", "None")
        };
        let ended = Task {
            state: "CANCELLED".to_owned(),
            array: "14".to_owned(),
            ..second.clone()
        };
        let other = Task {
            comment: "1:0-2".to_owned(),
            array: "15".to_owned(),
            ..second.clone()
        };
        let tasks = [shown(0, "RUNNING", "n1", "None"), second, ended, other];
        let expected = BTreeSet::from(["13".to_owned()]);
        assert_eq!(duplicates(&tasks, &given), expected);
    }

    #[test]
    fn a_task_that_is_submitted_again_is_another_one() {
        let mut watch = watch();
        for _ in 0..SURE {
            watch.see(&[shown(1, "RUNNING", "n1", "None")], |_| false);
        }
        assert_eq!(watch.arrays(), ["12"]);
        watch.forget(JobId(4));
        watch.submitted(JobId(4), "14", 0);
        assert_eq!(watch.arrays(), ["12", "14"]);
        let news = watch.see(&[shown(1, "COMPLETED", "n1", "None")], |_| false);
        assert_eq!(news.lost, []);
        assert_eq!(watch.arrays(), [""; 0]);
    }

    #[test]
    fn nobody_waits_for_a_task_that_ended() {
        let mut watch = watch();
        assert_eq!(watch.number(JobId(4)).as_deref(), Some("12_0"));
        assert_eq!(watch.number(JobId(5)), None);
        watch.see(&[shown(1, "RUNNING", "n1", "None")], |_| false);
        assert_eq!(watch.number(JobId(4)), None);
        assert_eq!(watch.number(JobId(7)).as_deref(), Some("12_1"));
    }
}
