//! Which arrays of tasks a run becomes, and how they are given to Slurm. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::process::Command;
use crate::run::job::{Job, JobId};

/// Time that a task may take beside its cell: to bring trees, and to end after the cell's limit.
const BESIDE: Duration = Duration::from_mins(15);

/// Tasks that are submitted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// One task each.
    pub cells: Vec<JobId>,
    /// The cells whose tasks have to end first.
    pub after: BTreeSet<JobId>,
}

/// The jobs, those of a lower rank first: Slurm starts tasks in the order in which they are submitted.
#[must_use]
pub fn ranked(jobs: &[Job], ranks: &BTreeMap<String, usize>) -> Vec<Job> {
    let mut ranked = jobs.to_vec();
    ranked.sort_by_key(|job| ranks.get(&job.cell.name()).copied().unwrap_or_default());
    ranked
}

/// The arrays of these jobs, at most `most` tasks each. Those that wait for no other come first;
/// the others are together only if they wait for the same, so that none waits for more.
#[must_use]
pub fn arrays(jobs: &[Job], wanted: &BTreeSet<JobId>, most: usize) -> Vec<Array> {
    let mut found: Vec<Array> = Vec::new();
    let mut placed: BTreeSet<JobId> = BTreeSet::new();
    loop {
        let left = jobs
            .iter()
            .filter(|job| wanted.contains(&job.id) && !placed.contains(&job.id));
        let after = |job: &Job| -> BTreeSet<JobId> {
            job.runs_after().filter(|id| wanted.contains(id)).collect()
        };
        let ready: Vec<(JobId, BTreeSet<JobId>)> = left
            .map(|job| (job.id, after(job)))
            .filter(|(_, after)| after.is_subset(&placed))
            .collect();
        if ready.is_empty() {
            return found;
        }
        let first = found.len();
        for (id, after) in ready {
            placed.insert(id);
            let fits = |array: &&mut Array| array.after == after && array.cells.len() < most.max(1);
            match found[first..].iter_mut().find(fits) {
                Some(array) => array.cells.push(id),
                None => found.push(Array {
                    cells: vec![id],
                    after,
                }),
            }
        }
    }
}

/// Where and how the tasks of a run are submitted.
#[derive(Debug, Clone)]
pub struct Terms {
    pub job_name: String,
    /// The plan's folder.
    pub plan: PathBuf,
    pub partition: Option<String>,
    /// How many tasks of an array may run at the same time.
    pub nodes: Option<usize>,
    /// Processors of a task; a whole node, if `None`.
    pub processors: Option<usize>,
}

/// Tasks of one array, which are submitted as they are or in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The array's place in the plan.
    pub array: usize,
    /// The places of its tasks in the array.
    pub tasks: std::ops::Range<usize>,
    /// How often its tasks were submitted before.
    pub attempt: usize,
    /// Nodes on which they were lost.
    pub exclude: Vec<String>,
    /// Whether each needs all the memory of its node.
    pub all_memory: bool,
}

impl Part {
    /// What is submitted for the first time.
    #[must_use]
    pub fn first(array: usize, tasks: std::ops::Range<usize>) -> Part {
        Part {
            array,
            tasks,
            attempt: 0,
            exclude: Vec::new(),
            all_memory: false,
        }
    }

    /// Both halves; `None` of a single task.
    #[must_use]
    pub fn halves(&self) -> Option<[Part; 2]> {
        let half = self.tasks.len() / 2;
        (half > 0).then(|| {
            let middle = self.tasks.start + half;
            [self.tasks.start..middle, middle..self.tasks.end].map(|tasks| Part {
                tasks,
                ..self.clone()
            })
        })
    }

    /// What the queue shows of it, by which it is found again.
    #[must_use]
    pub fn comment(&self) -> String {
        let which = format!("{}:{}-{}", self.array, self.tasks.start, self.tasks.end);
        match self.attempt {
            0 => which,
            attempt => format!("{which}:{attempt}"),
        }
    }
}

impl Terms {
    /// Submits a part of an array. `after` are the numbers of tasks in the queue, `memory_mib` is what
    /// each task asks for, in MiB, unless it has a node for itself: then it has all of it.
    #[must_use]
    pub fn submit(
        &self,
        part: &Part,
        after: &[String],
        limit: Duration,
        memory_mib: Option<u64>,
    ) -> Command {
        let last = part.tasks.end.saturating_sub(1);
        let tasks = match part.tasks.len() {
            1 => format!("{last}"),
            _ => format!("{}-{last}", part.tasks.start),
        };
        let throttle = self.nodes.map(|nodes| format!("%{nodes}"));
        let array = format!("--array={tasks}{}", throttle.unwrap_or_default());
        let processors = match self.processors {
            Some(number) => format!("--cpus-per-task={number}"),
            None => "--exclusive".to_owned(),
        };
        let memory = match (self.processors, part.all_memory) {
            (None, _) | (_, true) => Some("--mem=0".to_owned()),
            (Some(_), false) => memory_mib.map(|mib| format!("--mem={mib}M")),
        };
        let exclude =
            (!part.exclude.is_empty()).then(|| format!("--exclude={}", part.exclude.join(",")));
        let more = [processors, minutes(limit + BESIDE)]
            .into_iter()
            .chain(memory)
            .chain(exclude);
        self.sbatch(&part.comment(), "%A_%a", after)
            .arg(array)
            .args(more)
            .arg(self.plan.join("task.sh"))
            .arg(part.array.to_string())
    }

    /// Submits what joins the results, after all tasks.
    #[must_use]
    pub fn submit_report(&self, after: &[String]) -> Command {
        self.sbatch("report", "report", after)
            .arg("--cpus-per-task=1")
            .arg(minutes(BESIDE))
            .arg(self.plan.join("task.sh"))
            .arg("report")
    }

    fn sbatch(&self, comment: &str, log: &str, after: &[String]) -> Command {
        let plan = self.plan.display();
        let mut command = Command::new("sbatch").args(["--parsable", "--requeue"]);
        command = command.args(["--nodes=1", "--ntasks=1", "--open-mode=append"]);
        command = command.arg(format!("--job-name={}", self.job_name));
        command = command.arg(format!("--comment={comment}"));
        command = command.arg(format!("--chdir={plan}"));
        command = command.arg(format!("--output={plan}/logs/{log}"));
        if let Some(partition) = &self.partition {
            command = command.arg(format!("--partition={partition}"));
        }
        if !after.is_empty() {
            command = command.arg(format!("--dependency=afterany:{}", after.join(":")));
        }
        command
    }
}

/// Slurm's limits are whole minutes.
fn minutes(limit: Duration) -> String {
    format!("--time={}", limit.as_secs().div_ceil(60))
}

/// The script of all tasks. A task can be started again at any time.
#[must_use]
pub fn script(klto: &Path, plan: &Path) -> String {
    let words = Command::new(klto).arg("task").arg(plan).shell_words();
    format!(
        "#!/bin/sh\n\
         # A task of 'klto run --engine slurm': an array of the plan, and the place in it; or 'report'.\n\
         # What the session had from which it was submitted need not be here.\n\
         [ \"$1\" != report ] || unset SLURM_ARRAY_TASK_ID\n\
         [ -d \"${{TMPDIR:-/}}\" ] || unset TMPDIR\n\
         exec {words} \"$1\" ${{SLURM_ARRAY_TASK_ID:+\"$SLURM_ARRAY_TASK_ID\"}}\n"
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::cell::LtoMode;
    use crate::model::cell::LtoMode::{Full, None as NoLto, Thin, ThinDist};
    use crate::run::job::tests::cell;
    use crate::run::job::{PlanOptions, plan};

    fn of(modes: &[LtoMode], compare: &[LtoMode], wanted: &[usize], most: usize) -> Vec<String> {
        ranked_of(modes, compare, wanted, most, None)
    }

    fn ranked_of(
        modes: &[LtoMode],
        compare: &[LtoMode],
        wanted: &[usize],
        most: usize,
        first: Option<usize>,
    ) -> Vec<String> {
        let cells: Vec<_> = modes
            .iter()
            .map(|mode| cell("x86_64", *mode, &[]))
            .collect();
        let options = PlanOptions {
            reuse_trees: true,
            share_clean_builds: true,
            prepare_all: false,
            one_mode_at_a_time: false,
            compare,
        };
        let wanted = wanted.iter().map(|at| JobId(*at)).collect();
        let show = |ids: Vec<JobId>| {
            let ids = ids.iter().map(|id| id.0.to_string());
            ids.collect::<Vec<_>>().join(",")
        };
        // As it is given, but for the cell that is worth more than all others.
        let ranks = cells.iter().map(|cell| (cell.name(), 1));
        let mut ranks: BTreeMap<String, usize> = ranks.collect();
        if let Some(first) = first {
            ranks.insert(cells[first].name(), 0);
        }
        arrays(&ranked(&plan(&cells, options), &ranks), &wanted, most)
            .into_iter()
            .map(|array| {
                let after = show(array.after.into_iter().collect());
                format!("{} after {after}", show(array.cells))
            })
            .collect()
    }

    #[rstest]
    #[case::worth_most(&[NoLto, Full, ThinDist], &["1,2,0 after "])]
    #[case::has_to_wait(&[ThinDist, Thin], &["0 after ", "1 after 0"])]
    fn what_is_worth_most_comes_first_if_it_can(
        #[case] modes: &[LtoMode],
        #[case] expected: &[&str],
    ) {
        assert_eq!(ranked_of(modes, &[], &[0, 1, 2], 9, Some(1)), expected);
    }

    #[rstest]
    #[case::derived(&[Thin, ThinDist], &[], &[0, 1], 9, &["1 after ", "0 after 1"])]
    #[case::nothing_between(&[NoLto, Full, ThinDist], &[], &[0, 1, 2], 9, &["2,0,1 after "])]
    #[case::compared(&[NoLto, Thin, ThinDist], &[ThinDist, NoLto, Thin], &[0, 1, 2], 9, &["2 after ", "0,1 after 2"])]
    #[case::at_most(&[NoLto, Full, ThinDist], &[], &[0, 1, 2], 2, &["2,0 after ", "1 after "])]
    #[case::there_already(&[Thin, ThinDist], &[], &[0], 9, &["0 after "])]
    #[case::none(&[Thin, ThinDist], &[], &[], 9, &[])]
    fn a_task_waits_for_what_it_runs_after_and_for_nothing_else(
        #[case] modes: &[LtoMode],
        #[case] compare: &[LtoMode],
        #[case] wanted: &[usize],
        #[case] most: usize,
        #[case] expected: &[&str],
    ) {
        assert_eq!(of(modes, compare, wanted, most), expected);
    }

    fn terms() -> Terms {
        Terms {
            job_name: "klto-1".to_owned(),
            plan: PathBuf::from("/s/plans/1"),
            partition: None,
            nodes: None,
            processors: None,
        }
    }

    fn shown(command: &Command) -> String {
        shlex::split(&command.shell_words()).unwrap().join("\n")
    }

    fn part(tasks: std::ops::Range<usize>) -> Part {
        Part::first(2, tasks)
    }

    #[test]
    fn an_array_is_submitted_with_what_it_waits_for() {
        let terms = Terms {
            partition: Some("long".to_owned()),
            nodes: Some(8),
            processors: Some(16),
            ..terms()
        };
        let after = ["12_0".to_owned(), "12_3".to_owned()];
        let expected = Some(4096);
        let command = terms.submit(&part(0..4), &after, Duration::from_hours(6), expected);
        insta::assert_snapshot!(shown(&command), @r"
        sbatch
        --parsable
        --requeue
        --nodes=1
        --ntasks=1
        --open-mode=append
        --job-name=klto-1
        --comment=2:0-4
        --chdir=/s/plans/1
        --output=/s/plans/1/logs/%A_%a
        --partition=long
        --dependency=afterany:12_0:12_3
        --array=0-3%8
        --cpus-per-task=16
        --time=375
        --mem=4096M
        /s/plans/1/task.sh
        2
        ");
    }

    #[test]
    fn a_task_has_a_node_for_itself_unless_it_asks_for_less() {
        // What its cells took with so many jobs as there were then says little.
        let command = terms().submit(&part(3..4), &[], Duration::from_secs(61), Some(4096));
        insta::assert_snapshot!(shown(&command), @r"
        sbatch
        --parsable
        --requeue
        --nodes=1
        --ntasks=1
        --open-mode=append
        --job-name=klto-1
        --comment=2:3-4
        --chdir=/s/plans/1
        --output=/s/plans/1/logs/%A_%a
        --array=3
        --exclusive
        --time=17
        --mem=0
        /s/plans/1/task.sh
        2
        ");
    }

    #[test]
    fn a_task_that_is_submitted_again_goes_elsewhere() {
        let again = Part {
            attempt: 2,
            exclude: vec!["n1".to_owned(), "n7".to_owned()],
            all_memory: true,
            ..part(3..4)
        };
        let terms = Terms {
            processors: Some(4),
            ..terms()
        };
        let command = terms.submit(&again, &[], Duration::from_secs(61), Some(4096));
        insta::assert_snapshot!(shown(&command), @r"
        sbatch
        --parsable
        --requeue
        --nodes=1
        --ntasks=1
        --open-mode=append
        --job-name=klto-1
        --comment=2:3-4:2
        --chdir=/s/plans/1
        --output=/s/plans/1/logs/%A_%a
        --array=3
        --cpus-per-task=4
        --time=17
        --mem=0
        --exclude=n1,n7
        /s/plans/1/task.sh
        2
        ");
    }

    #[test]
    fn the_report_waits_for_all() {
        let command = terms().submit_report(&["12".to_owned(), "14".to_owned()]);
        insta::assert_snapshot!(shown(&command), @r"
        sbatch
        --parsable
        --requeue
        --nodes=1
        --ntasks=1
        --open-mode=append
        --job-name=klto-1
        --comment=report
        --chdir=/s/plans/1
        --output=/s/plans/1/logs/report
        --dependency=afterany:12:14
        --cpus-per-task=1
        --time=15
        /s/plans/1/task.sh
        report
        ");
    }

    #[test]
    fn the_script_starts_the_klto_that_is_kept() {
        insta::assert_snapshot!(script(Path::new("/s/a b/klto"), Path::new("/s/plans/1")), @r#"
        #!/bin/sh
        # A task of 'klto run --engine slurm': an array of the plan, and the place in it; or 'report'.
        # What the session had from which it was submitted need not be here.
        [ "$1" != report ] || unset SLURM_ARRAY_TASK_ID
        [ -d "${TMPDIR:-/}" ] || unset TMPDIR
        exec '/s/a b/klto' task /s/plans/1 "$1" ${SLURM_ARRAY_TASK_ID:+"$SLURM_ARRAY_TASK_ID"}
        "#);
    }

    #[test]
    fn the_halves_of_a_part_are_all_of_it() {
        assert_eq!(part(2..7).halves(), Some([part(2..4), part(4..7)]));
        assert_eq!(part(2..3).halves(), None);
    }
}
