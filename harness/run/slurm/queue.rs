//! Slurm's commands, and what they answer.

use std::time::{Duration, Instant};

use crate::build::process::{Cancel, Captured, Command, Exit, capture, capture_until};
use crate::model::error::Error;

/// How long a command of Slurm's may take: it waits itself for a controller that is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same of sbatch: a controller that has much to do may take an array late, and one that is
/// submitted twice runs twice.
const PATIENCE_OF_SBATCH: Duration = Duration::from_secs(90);

/// What sbatch says before it tries again for minutes, because the queue is full. By then the
/// controller has refused, and nothing is under way.
const SLEEPS: &str = "temporarily unable to accept job";

/// Arrays have at most this many tasks, if the configuration does not say.
const USUAL_ARRAY: usize = 1001;

/// What Slurm answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Is(T),
    /// A limit on the jobs in the queue is reached: there is room later.
    Full(String),
    /// The array has more tasks than the site allows.
    TooMany(String),
    /// A job to wait for is no longer known, which means that it ended.
    NoSuchJob,
    /// The controller is away, or did not answer in time. Whether it did what it was asked for is
    /// not known.
    Away(String),
    Refused(String),
}

/// A task, or a job that is no array, as the queue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The number of the array, or of the job.
    pub array: String,
    /// The place in the array; `None` of a job that is no array.
    pub index: Option<usize>,
    /// In Slurm's words, such as `RUNNING`.
    pub state: String,
    /// Where it runs or ran; empty before.
    pub node: String,
    /// Why it waits, or ended so.
    pub reason: String,
    /// As it was submitted.
    pub comment: String,
}

impl Task {
    /// Whether it is over, unless it is requeued.
    #[must_use]
    pub fn is_over(&self) -> bool {
        const OVER: [&str; 11] = [
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "LAUNCH_FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "REVOKED",
            "TIMEOUT",
        ];
        OVER.contains(&self.state.as_str())
    }
}

/// The jobs of one plan in Slurm's queue.
#[derive(Debug)]
pub struct Queue<'a> {
    /// The name of all of them.
    pub job_name: String,
    pub cancel: &'a Cancel,
}

impl Queue<'_> {
    /// Submits a job; returns its number.
    ///
    /// # Errors
    /// If sbatch is missing or the user interrupts.
    pub fn submit(&self, command: &Command) -> Result<Answer<String>, Error> {
        let command = command.clone().env("SLURM_TIME_FORMAT", "standard");
        let deadline = Instant::now().checked_add(PATIENCE_OF_SBATCH);
        let sleeps = |said: &str| said.contains(SLEEPS);
        let said = capture_until(&command, deadline, self.cancel, &sleeps)?;
        let answer = understand(said, PATIENCE_OF_SBATCH)?;
        // 'NUMBER', or 'NUMBER;CLUSTER'.
        let number = |text: String| text.trim().split(';').next().unwrap_or_default().to_owned();
        Ok(match answer {
            Answer::Is(text) => Answer::Is(number(text)),
            Answer::Full(why) => Answer::Full(why),
            Answer::TooMany(why) => Answer::TooMany(why),
            Answer::NoSuchJob => Answer::NoSuchJob,
            Answer::Away(why) => Answer::Away(why),
            Answer::Refused(why) => Answer::Refused(why),
        })
    }

    /// All tasks of the plan that Slurm still knows.
    ///
    /// # Errors
    /// As [`Queue::submit`].
    pub fn tasks(&self) -> Result<Answer<Vec<Task>>, Error> {
        let command = Command::new("squeue")
            .args(["--noheader", "--array", "--states=all"])
            .arg(format!("--name={}", self.job_name))
            .arg("--format=%F|%K|%T|%N|%k|%r");
        Ok(match ask(&command, self.cancel)? {
            Answer::Is(text) => Answer::Is(text.lines().filter_map(task).collect()),
            Answer::NoSuchJob => Answer::Is(Vec::new()),
            Answer::Full(why) | Answer::Away(why) => Answer::Away(why),
            Answer::TooMany(why) | Answer::Refused(why) => Answer::Refused(why),
        })
    }

    /// Ends all jobs of the plan, also after an interrupt; says so if that fails.
    ///
    /// # Errors
    /// If scancel is missing.
    pub fn cancel_all(&self) -> Result<Option<String>, Error> {
        scancel(&format!("--name={}", self.job_name))
    }

    /// Ends one array, or a job that is none; says so if that fails.
    ///
    /// # Errors
    /// As [`Queue::cancel_all`].
    pub fn cancel(&self, number: &str) -> Result<Option<String>, Error> {
        scancel(number)
    }
}

fn scancel(which: &str) -> Result<Option<String>, Error> {
    let command = Command::new("scancel").arg(which);
    Ok(match ask(&command, &Cancel::new())? {
        Answer::Is(_) | Answer::NoSuchJob => None,
        Answer::Full(why) | Answer::TooMany(why) | Answer::Away(why) | Answer::Refused(why) => {
            Some(why)
        }
    })
}

/// How many tasks an array may have.
///
/// # Errors
/// If scontrol is missing or the user interrupts.
pub fn most_tasks(cancel: &Cancel) -> Result<Answer<usize>, Error> {
    let command = Command::new("scontrol").args(["show", "config"]);
    Ok(match ask(&command, cancel)? {
        // The highest place in an array is one less.
        Answer::Is(text) => Answer::Is(max_array_size(&text).max(2) - 1),
        Answer::Full(why) | Answer::Away(why) => Answer::Away(why),
        Answer::TooMany(why) | Answer::Refused(why) => Answer::Refused(why),
        Answer::NoSuchJob => Answer::Is(USUAL_ARRAY - 1),
    })
}

/// Whether the job or the task of an array with that number still has work; `None` if the controller does not say.
///
/// # Errors
/// If squeue is missing or the user interrupts.
pub fn is_at_work(number: &str, cancel: &Cancel) -> Result<Option<bool>, Error> {
    let command = Command::new("squeue")
        .args(["--noheader", "--format=%T"])
        .arg(format!("--jobs={number}"));
    Ok(match ask(&command, cancel)? {
        Answer::Is(text) => Some(text.split_whitespace().any(|state| state == "RUNNING")),
        Answer::NoSuchJob => Some(false),
        Answer::Full(_) | Answer::TooMany(_) | Answer::Away(_) | Answer::Refused(_) => None,
    })
}

/// The state and the node of a task that the queue no longer has, if the site keeps accounts.
#[must_use]
pub fn from_accounts(
    array: &str,
    index: Option<usize>,
    cancel: &Cancel,
) -> Option<(String, String)> {
    let number = index.map_or(array.to_owned(), |index| format!("{array}_{index}"));
    let command = Command::new("sacct")
        .args(["--noheader", "--parsable2", "--allocations"])
        .arg(format!("--jobs={number}"))
        .arg("--format=State,NodeList");
    match ask(&command, cancel) {
        Ok(Answer::Is(text)) => {
            let (state, node) = text.lines().last()?.split_once('|')?;
            Some((state.to_owned(), node.to_owned()))
        }
        Ok(_) | Err(_) => None,
    }
}

fn ask(command: &Command, cancel: &Cancel) -> Result<Answer<String>, Error> {
    let command = command.clone().env("SLURM_TIME_FORMAT", "standard");
    let deadline = Instant::now().checked_add(PATIENCE);
    understand(capture(&command, deadline, cancel)?, PATIENCE)
}

/// What a command that ended says, or that it did not end in time.
fn understand(said: Captured, patience: Duration) -> Result<Answer<String>, Error> {
    Ok(match said.status {
        Exit::Success => Answer::Is(said.stdout),
        Exit::Cancelled => return Err(Error::Cancelled),
        Exit::TimedOut => match complaint(&said.stderr) {
            full @ Answer::Full(_) => full,
            _ => Answer::Away(format!("no answer in {} seconds", patience.as_secs())),
        },
        Exit::Code(_) | Exit::Signal(_) | Exit::Stopped => complaint(&said.stderr),
    })
}

/// What a complaint of Slurm's commands means. The texts are those of its `slurm_errno.c`.
fn complaint<T>(stderr: &str) -> Answer<T> {
    const FULL: [&str; 5] = [
        "job queue full",
        // MaxJobCount: EAGAIN.
        "Resource temporarily unavailable",
        SLEEPS,
        // Limits of an account: MaxSubmitJobs and its like.
        "job submit limit",
        "Job violates accounting/QOS policy",
    ];
    const AWAY: [&str; 11] = [
        "Unable to contact slurm controller",
        "Socket timed out",
        "Connection refused",
        "Connection reset",
        "Connection timed out",
        "Transport endpoint is not connected",
        "Zero Bytes were transmitted or received",
        "Unexpected message received",
        "Communication connection failure",
        "in standby mode",
        "Message send/recv failure",
    ];
    const TOO_MANY: &str = "Invalid job array specification";
    const NO_SUCH_JOB: [&str; 2] = ["Job dependency problem", "Invalid job id specified"];
    let has = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.is_empty()).collect();
    let last = lines.last().copied().unwrap_or("it said nothing");
    let why = last.split_once("error: ").map_or(last, |(_, why)| why);
    match why.trim().to_owned() {
        why if has(&FULL) => Answer::Full(why),
        why if has(&AWAY) => Answer::Away(why),
        why if has(&[TOO_MANY]) => Answer::TooMany(why),
        _ if has(&NO_SUCH_JOB) => Answer::NoSuchJob,
        why => Answer::Refused(why),
    }
}

/// Whether a refusal says nothing of what was asked for: munge restarts, or the clocks differ.
#[must_use]
pub fn may_pass(why: &str) -> bool {
    const PASSING: [&str; 4] = [
        "Protocol authentication error",
        "Invalid authentication credential",
        "Munge",
        "munge",
    ];
    PASSING.iter().any(|text| why.contains(text))
}

fn task(line: &str) -> Option<Task> {
    let mut words = line.splitn(6, '|').map(|word| word.trim().to_owned());
    let mut next = || words.next();
    let (array, index, state, node) = (next()?, next()?, next()?, next()?);
    Some(Task {
        array,
        index: index.parse().ok(),
        state,
        node,
        comment: next()?,
        reason: next()?,
    })
}

/// `MaxArraySize = 1001` of `scontrol show config`.
fn max_array_size(config: &str) -> usize {
    let mut values = config.lines().filter_map(|line| line.split_once('='));
    let found = values.find(|(name, _)| name.trim() == "MaxArraySize");
    let number = found.and_then(|(_, value)| value.trim().parse().ok());
    number.unwrap_or(USUAL_ARRAY)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::running(
        "12|3|RUNNING|n2|0:0-9|None",
        "12",
        Some(3),
        "RUNNING",
        "n2",
        "0:0-9",
        "None"
    )]
    #[case::waiting(
        "12|4|PENDING||0:0-9|Resources",
        "12",
        Some(4),
        "PENDING",
        "",
        "0:0-9",
        "Resources"
    )]
    #[case::no_array(
        "15|N/A|PENDING||report|Dependency",
        "15",
        None,
        "PENDING",
        "",
        "report",
        "Dependency"
    )]
    fn a_line_of_the_queue_is_read(
        #[case] line: &str,
        #[case] array: &str,
        #[case] index: Option<usize>,
        #[case] state: &str,
        #[case] node: &str,
        #[case] comment: &str,
        #[case] reason: &str,
    ) {
        let [array, state, node, comment, reason] =
            [array, state, node, comment, reason].map(str::to_owned);
        let expected = Task {
            array,
            index,
            state,
            node,
            reason,
            comment,
        };
        assert_eq!(task(line), Some(expected));
        assert_eq!(task("slurm_load_jobs error"), None);
    }

    #[rstest]
    #[case::full("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\nsbatch: error: Batch job submission failed: Resource temporarily unavailable\n",
        Answer::Full("Batch job submission failed: Resource temporarily unavailable".to_owned()))]
    #[case::limit("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
        Answer::Full("Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)".to_owned()))]
    #[case::away("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        Answer::Away("Unable to contact slurm controller (connect failure)".to_owned()))]
    #[case::ended(
        "sbatch: error: Batch job submission failed: Job dependency problem\n",
        Answer::NoSuchJob
    )]
    #[case::gone("slurm_load_jobs error: Invalid job id specified\n", Answer::NoSuchJob)]
    #[case::refused("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid partition name specified\n",
        Answer::Refused("Batch job submission failed: Invalid partition name specified".to_owned()))]
    #[case::too_many("sbatch: error: Batch job submission failed: Invalid job array specification\n",
        Answer::TooMany("Batch job submission failed: Invalid job array specification".to_owned()))]
    #[case::nothing("", Answer::Refused("it said nothing".to_owned()))]
    fn a_complaint_is_understood(#[case] said: &str, #[case] expected: Answer<()>) {
        assert_eq!(complaint::<()>(said), expected);
    }

    #[rstest]
    #[case("Batch job submission failed: Protocol authentication error", true)]
    #[case("Unable to load jobs: Invalid authentication credential", true)]
    #[case("Batch job submission failed: Invalid partition name specified", false)]
    fn a_refusal_may_pass(#[case] why: &str, #[case] expected: bool) {
        assert_eq!(may_pass(why), expected);
    }

    #[rstest]
    #[case("MaxArrayTasks = 7\nMaxArraySize            = 4001\n", 4001)]
    #[case("", 1001)]
    fn the_limit_of_arrays_is_read(#[case] config: &str, #[case] expected: usize) {
        assert_eq!(max_array_size(config), expected);
    }
}
