//! A run under way on a cluster: submits tasks, takes in their results, and follows the queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Cluster;
use super::again::{Again, Stopped};
use super::watch::{Lost, Watch, duplicates};
use crate::build::process::{Cancel, Command};
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome, SkipReason};
use crate::run::events::Event;
use crate::run::job::{Job, JobId};
use crate::run::pipeline::{adopt, new_record};
use crate::run::slurm::arrays::{Array, Part, Terms};
use crate::run::slurm::done::{Done, refresh};
use crate::run::slurm::queue::{Answer, Queue, Task, may_pass};
use crate::run::slurm::task::{place, result};
use crate::run::slurm::{Plan, memory_to_ask_for};
use crate::source::sources::Sources;

/// How often results are looked for.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Every how many of these Slurm is asked: it serves everybody.
pub(super) const ASK_EVERY: u32 = 8;
/// How many of these times nothing is submitted after the queue was full.
const REST: u32 = 2;
/// How many looks at the queue have to miss what may have been submitted, before it is submitted again:
/// a controller that has much to do takes it late.
const SURE: u32 = 3;
/// How often in a row an answer may be one that makes no sense, as while munge restarts.
const ODD: u32 = 10;
/// How often a result is read that cannot be read: a shared folder may be away for a while.
const TRIES: u32 = 20;
/// How long after sbatch was ended the controller may still take what it sent.
const LATE: Duration = Duration::from_secs(2);

/// Why a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Every cell has a record.
    Complete,
    FailFast,
    /// The time is over.
    Budget,
    Interrupted,
    /// It cannot go on.
    Failed(String),
}

/// Whether there is a job that writes the report, for a klto that is killed while it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReportJob {
    /// There is none, or one of an earlier state, with that number.
    Wanted(Option<String>),
    /// With its number, if that is known.
    There(Option<String>),
    Refused,
}

/// A run under way.
pub(super) struct Going<'a> {
    pub(super) cluster: &'a Cluster<'a>,
    pub(super) sources: &'a Sources,
    pub(super) jobs: &'a [Job],
    pub(super) plan: &'a Plan,
    pub(super) folder: PathBuf,
    pub(super) terms: Terms,
    pub(super) queue: Queue<'a>,
    pub(super) arrays: Vec<Array>,
    /// What is not submitted yet, in order.
    pub(super) parts: Vec<Part>,
    /// Set if it is not known whether Slurm has the first part: how many looks at the queue missed it.
    pub(super) in_doubt: Option<u32>,
    /// What sbatch was asked for last may reach the queue yet.
    pub(super) is_under_way: bool,
    /// By comment, the numbers of the arrays that were submitted.
    pub(super) numbers: BTreeMap<String, String>,
    pub(super) report_job: ReportJob,
    /// How often submitting is left out: the queue was full, and sbatch itself tries for seconds.
    pub(super) rest: u32,
    /// How often in a row squeue, and sbatch, answered what makes no sense.
    pub(super) odd: u32,
    pub(super) refusals: u32,
    /// How often the result of a cell could not be read.
    pub(super) unread: BTreeMap<JobId, u32>,
    pub(super) again: Again,
    pub(super) watch: Watch,
    pub(super) records: BTreeMap<JobId, CellRecord>,
    /// Why submitting waits, as it was said last.
    pub(super) said: Option<String>,
}

impl<'a> Going<'a> {
    /// Submits, and waits until every cell has a record, the time is over, or the user interrupts.
    pub(super) fn follow(&mut self) -> Result<End, Error> {
        let cells = counted(self.plan.wanted.len(), "cells");
        if !self.plan.wanted.is_empty() {
            let name = self.plan.job_name();
            let folder = self.folder.display().to_string();
            self.note(&format!(
                "to Slurm as {name}: {cells}; the plan is {folder}"
            ));
        }
        let mut round = 0;
        loop {
            self.take_done();
            let has_failed = |record: &CellRecord| record.outcome == Outcome::Fail;
            if self.records.len() == self.jobs.len() {
                return Ok(End::Complete);
            }
            if self.cluster.run.policy.fail_fast && self.records.values().any(has_failed) {
                return Ok(End::FailFast);
            }
            if self.is_past() {
                let left = counted(self.jobs.len() - self.records.len(), "cells");
                self.note(&format!(
                    "the time is over (--budget), and the tasks of {left} end"
                ));
                return Ok(End::Budget);
            }
            let went_on = match round % ASK_EVERY {
                0 => self.ask().and_then(|()| self.submit()),
                _ => Ok(()),
            };
            round += 1;
            match went_on.and_then(|()| pause(self.cluster.run.cancel, POLL)) {
                // The report says what is there.
                Err(Error::Cancelled) => return Ok(End::Interrupted),
                went_on => went_on?,
            }
        }
    }

    fn is_past(&self) -> bool {
        let until = self.cluster.run.policy.until;
        until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether Slurm may have something of this run.
    pub(super) fn has_submitted(&self) -> bool {
        !self.numbers.is_empty() || self.in_doubt.is_some() || self.is_under_way
    }

    /// Takes in what tasks have left since.
    fn take_done(&mut self) {
        let missing = self.plan.wanted.iter().map(|at| JobId(*at));
        let missing: Vec<JobId> = missing
            .filter(|id| !self.records.contains_key(id))
            .collect();
        for id in missing {
            let taken = match Done::read(&self.folder, id.0) {
                Ok(None) => Ok(()),
                Ok(Some(done)) => self.take_in(id, done),
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => {
                    self.unread.remove(&id);
                }
                // The report says what is there.
                Err(Error::Cancelled) => return,
                Err(error) => self.not_read(id, &error),
            }
        }
    }

    /// Notes that the result of a cell cannot be read; after some tries that is all of it.
    fn not_read(&mut self, id: JobId, error: &Error) {
        let tries = self.unread.entry(id).or_default();
        *tries += 1;
        if *tries >= TRIES {
            self.give_up(id, error.in_one_line());
        }
    }

    /// Takes in how a task ended, unless its cell is submitted again.
    fn take_in(&mut self, id: JobId, done: Done) -> Result<(), Error> {
        if let Outcome::Error(why) = &done.record.outcome {
            let stopped = Stopped::by_itself(why, &done.node);
            // A task that finds its cell done does nothing.
            if self.may_try_again(id, &stopped) && Done::remove(&self.folder, id.0).is_ok() {
                self.submit_again(id, why);
                return Ok(());
            }
        } else {
            self.again.ended(&done.node);
        }
        self.take(id, done.record)
    }

    /// Takes in the record of a cell, as a run here would have left it.
    pub(super) fn take(&mut self, id: JobId, record: CellRecord) -> Result<(), Error> {
        let Some(job) = self.jobs.iter().find(|job| job.id == id) else {
            return Ok(());
        };
        let run = &self.cluster.run;
        if !record.job.is_empty() && record.inspection.is_some() {
            let place = place(run, self.sources, job);
            let result = result(self.cluster.shared, self.sources, job, &record.job);
            result.fetch(&place, &record.job, false, run.cancel)?;
        }
        self.enter(job, record);
        Ok(())
    }

    fn enter(&mut self, job: &Job, mut record: CellRecord) {
        let run = &self.cluster.run;
        adopt(
            job,
            &place(run, self.sources, job),
            run.snapshots,
            run.allows,
            self.sources,
            &mut record,
        );
        let earlier = self.again.earlier(job.id).iter().cloned();
        record.earlier_errors.splice(0..0, earlier);
        run.events.on(&Event::Done { record: &record });
        self.records.insert(job.id, record);
    }

    /// Notes that a cell has no result, and will have none.
    fn give_up(&mut self, id: JobId, why: String) {
        let job = self.job(id);
        let mut record = new_record(self.sources, self.cluster.run.sandbox, &job.cell.name());
        record.error = Some(why);
        self.enter(job, record);
    }

    /// Asks Slurm about the tasks.
    fn ask(&mut self) -> Result<(), Error> {
        if self.numbers.is_empty() && self.in_doubt.is_none() {
            return Ok(());
        }
        let tasks = match self.queue.tasks()? {
            Answer::Is(tasks) => tasks,
            Answer::Full(why) | Answer::Away(why) => {
                self.say(&format!("Slurm does not answer, klto asks again: {why}"));
                return Ok(());
            }
            Answer::TooMany(why) | Answer::Refused(why) => {
                self.odd += 1;
                if self.odd >= ODD {
                    return Err(refused("squeue", &why));
                }
                self.say(&format!("squeue failed, klto asks again: {why}"));
                return Ok(());
            }
            Answer::NoSuchJob => Vec::new(),
        };
        self.odd = 0;
        self.settle_doubt(&tasks);
        for number in duplicates(&tasks, &self.numbers) {
            self.note(&format!("Slurm took an array twice; {number} is cancelled"));
            self.queue.cancel(&number)?;
        }
        let (events, jobs) = (self.cluster.run.events, self.jobs);
        let name_of = |id: JobId| {
            let job = jobs.iter().find(|job| job.id == id);
            job.map(|job| job.cell.name()).unwrap_or_default()
        };
        let seen = self.watch.see(&tasks, |id| self.records.contains_key(&id));
        for id in seen.started {
            let cell = &name_of(id);
            events.on(&Event::Started { cell });
        }
        for (id, why) in seen.waiting {
            let cell = &name_of(id);
            let why = &format!("Slurm says: {why}");
            events.on(&Event::Waiting { cell, why });
        }
        if !seen.lost.is_empty() {
            refresh(&self.folder.join("done"));
            self.take_done();
        }
        for lost in seen.lost {
            let is_there = self.unread.contains_key(&lost.id);
            if !self.records.contains_key(&lost.id) && !is_there {
                self.lose(&lost);
            }
        }
        Ok(())
    }

    /// Checks whether Slurm has the part of which that was not known.
    fn settle_doubt(&mut self, tasks: &[Task]) {
        let Some(missed) = self.in_doubt else {
            return;
        };
        let comment = self.parts.first().map(Part::comment);
        let found = tasks
            .iter()
            .find(|task| Some(&task.comment) == comment.as_ref());
        match found.map(|task| task.array.clone()) {
            Some(number) => self.submitted(number),
            None if missed + 1 >= SURE => self.in_doubt = None,
            None => self.in_doubt = Some(missed + 1),
        }
    }

    /// The task of a cell ended without a result.
    fn lose(&mut self, lost: &Lost) {
        let stopped = lost.stopped(&self.folder, self.cluster.run.cancel);
        match self.may_try_again(lost.id, &stopped) {
            true => self.submit_again(lost.id, &stopped.why),
            false => self.give_up(lost.id, stopped.why),
        }
    }

    fn may_try_again(&mut self, id: JobId, stopped: &Stopped) -> bool {
        let is_over = self.is_past() || self.cluster.run.cancel.is_cancelled();
        !is_over && self.again.is_wanted(id, stopped)
    }

    /// Puts the task of a cell before those that were never submitted, and after those that it waits for.
    fn submit_again(&mut self, id: JobId, why: &str) {
        let cell = &self.job(id).cell.name();
        self.cluster.run.events.on(&Event::Again { cell, why });
        self.watch.forget(id);
        let mut arrays = self.arrays.iter().enumerate();
        let found =
            arrays.find_map(|(array, of)| Some((array, of.cells.iter().position(|at| *at == id)?)));
        if let Some((array, index)) = found {
            let part = self.again.part(id, array, index);
            // The first one may be in the queue already.
            let first = usize::from(self.in_doubt.is_some()).min(self.parts.len());
            let comes_before = |other: &Part| other.attempt > 0 && other.array <= array;
            let before = self.parts[first..]
                .iter()
                .take_while(|other| comes_before(other));
            self.parts.insert(first + before.count(), part);
        }
        if let ReportJob::There(number) = &mut self.report_job {
            self.report_job = ReportJob::Wanted(number.take());
        }
    }

    /// Submits as much as Slurm takes.
    fn submit(&mut self) -> Result<(), Error> {
        if self.rest > 0 {
            self.rest -= 1;
            return Ok(());
        }
        while let Some(part) = self.parts.first().cloned() {
            if self.in_doubt.is_some() {
                return Ok(());
            }
            let command = self.command(&part);
            match self.give(&command)? {
                Answer::Is(number) => self.submitted(number),
                Answer::Full(why) => {
                    if !self.make_room(&part, &why)? {
                        return Ok(());
                    }
                }
                Answer::TooMany(why) => match part.halves() {
                    Some(halves) => drop(self.parts.splice(0..1, halves)),
                    None => return self.refused(&part, &why),
                },
                Answer::NoSuchJob => {
                    // The next answer of the queue shows that it ended.
                    self.say("a task to wait for ended just now, klto submits again");
                    return Ok(());
                }
                Answer::Away(why) => {
                    self.in_doubt = Some(0);
                    self.say(&format!("Slurm does not answer, klto asks again: {why}"));
                    return Ok(());
                }
                Answer::Refused(why) if !part.exclude.is_empty() && !may_pass(&why) => {
                    // There is no other node.
                    self.parts[0].exclude.clear();
                }
                Answer::Refused(why) => return self.refused(&part, &why),
            }
        }
        self.submit_report()
    }

    fn command(&self, part: &Part) -> Command {
        let array = &self.arrays[part.array];
        let after = array.after.iter();
        let after = after.filter(|id| !self.records.contains_key(id));
        let after: Vec<String> = after.filter_map(|id| self.watch.number(*id)).collect();
        let cells = array.cells.iter().map(|id| &self.job(*id).cell);
        let limit = cells.clone().map(|cell| cell.timeout).max();
        let expected = self.cluster.run.policy.expected;
        let asked = cells.map(|cell| memory_to_ask_for(expected.get(&cell.name())?));
        // If nothing is known of one, Slurm's own default is for all.
        let memory_mib = asked.collect::<Option<Vec<u64>>>();
        let memory_mib = memory_mib.and_then(|asked| asked.into_iter().max());
        self.terms
            .submit(part, &after, limit.unwrap_or_default(), memory_mib)
    }

    /// Has Slurm take a job. While that is under way, and if there is no clear answer, Slurm may have it.
    fn give(&mut self, command: &Command) -> Result<Answer<String>, Error> {
        self.is_under_way = true;
        let answer = self.queue.submit(command)?;
        self.is_under_way = matches!(answer, Answer::Away(_));
        Ok(answer)
    }

    /// sbatch refuses a part. If that does not pass, it is a mistake of the user's before anything is
    /// submitted; later its cells have no result, and the others go on.
    fn refused(&mut self, part: &Part, why: &str) -> Result<(), Error> {
        self.refusals += 1;
        let may_pass = self.has_submitted() || may_pass(why);
        if may_pass && self.refusals < ODD {
            self.say(&format!("sbatch failed, klto tries again: {why}"));
            return Ok(());
        }
        if !self.has_submitted() {
            return Err(refused("sbatch", why));
        }
        self.parts.remove(0);
        let cells = self.arrays[part.array].cells[part.tasks.clone()].to_vec();
        for id in cells {
            self.give_up(id, refused("sbatch", why).in_one_line());
        }
        Ok(())
    }

    /// Submits the job that writes the report, or another one if tasks came after it.
    fn submit_report(&mut self) -> Result<(), Error> {
        let numbers = self.watch.arrays();
        let ReportJob::Wanted(earlier) = &mut self.report_job else {
            return Ok(());
        };
        if numbers.is_empty() {
            return Ok(());
        }
        if let Some(earlier) = earlier.take() {
            self.queue.cancel(&earlier)?;
        }
        let command = self.terms.submit_report(&numbers);
        match self.give(&command)? {
            Answer::Is(number) => self.report_job = ReportJob::There(Some(number)),
            Answer::Away(_) => self.report_job = ReportJob::There(None),
            Answer::Full(_) | Answer::NoSuchJob => self.rest = REST,
            Answer::TooMany(why) | Answer::Refused(why) => {
                self.report_job = ReportJob::Refused;
                self.note(&format!(
                    "if this klto is killed, no job writes the report: sbatch failed: {why}"
                ));
            }
        }
        Ok(())
    }

    /// The queue has no room for a part: halves it. Returns whether to go on at once.
    fn make_room(&mut self, part: &Part, why: &str) -> Result<bool, Error> {
        // sbatch tries several times, and was ended while it did.
        match self.queue.tasks()? {
            Answer::Is(tasks) => {
                let comment = part.comment();
                if let Some(task) = tasks.iter().find(|task| task.comment == comment) {
                    self.submitted(task.array.clone());
                    return Ok(true);
                }
            }
            Answer::NoSuchJob => {}
            Answer::Full(_) | Answer::TooMany(_) | Answer::Away(_) | Answer::Refused(_) => {
                self.in_doubt = Some(0);
                return Ok(false);
            }
        }
        if let Some(halves) = part.halves() {
            self.parts.splice(0..1, halves);
            return Ok(true);
        }
        let left = counted(self.left(), "tasks");
        self.say(&format!(
            "the queue is full, room is missing for {left}: {why}"
        ));
        self.rest = REST;
        Ok(false)
    }

    /// Notes that Slurm has the first part.
    fn submitted(&mut self, number: String) {
        let part = self.parts.remove(0);
        let comment = part.comment();
        for index in part.tasks {
            let id = self.arrays[part.array].cells[index];
            self.watch.submitted(id, &number, index);
        }
        self.numbers.insert(comment, number);
        self.in_doubt = None;
        self.is_under_way = false;
        self.refusals = 0;
        self.said = None;
    }

    fn left(&self) -> usize {
        self.parts.iter().map(|part| part.tasks.len()).sum()
    }

    fn job(&self, id: JobId) -> &'a Job {
        let found = self.jobs.iter().find(|job| job.id == id);
        found.unwrap_or(&self.jobs[0])
    }

    /// Ends what still runs or waits, and says of cells without a record why.
    pub(super) fn stop(&mut self, end: &End) {
        if self.has_submitted() {
            self.cancel_all();
            if self.is_under_way {
                sleep(LATE);
                self.cancel_all();
            }
        }
        for job in self.jobs {
            if self.records.contains_key(&job.id) {
                continue;
            }
            let mut record = new_record(self.sources, self.cluster.run.sandbox, &job.cell.name());
            match end {
                End::Complete | End::FailFast => {
                    record.outcome = Outcome::Skip(SkipReason::FailFast);
                }
                End::Budget => record.outcome = Outcome::Skip(SkipReason::Budget),
                End::Interrupted => record.error = Some("interrupted".to_owned()),
                End::Failed(why) => record.error = Some(why.clone()),
            }
            self.enter(job, record);
        }
    }

    fn cancel_all(&self) {
        let why = match self.queue.cancel_all() {
            Ok(None) => return,
            Ok(Some(why)) => why,
            Err(error) => error.in_one_line(),
        };
        let name = self.plan.job_name();
        self.note(&format!(
            "the tasks could not be cancelled: {why}; run: scancel --name={name}"
        ));
    }

    /// Says something once, until something else was said or submitted.
    fn say(&mut self, text: &str) {
        if self.said.as_deref() != Some(text) {
            self.note(text);
            self.said = Some(text.to_owned());
        }
    }

    fn note(&self, text: &str) {
        self.cluster.note(text);
    }
}

pub(super) fn refused(program: &str, why: &str) -> Error {
    Error::Machine(format!(
        "{program} failed: {why}\n  see what '{program}' says by hand; --partition names another partition"
    ))
}

/// Sleeps, unless the user interrupts.
pub(super) fn pause(cancel: &Cancel, time: Duration) -> Result<(), Error> {
    let step = Duration::from_millis(100);
    for _ in 0..time.as_millis().div_ceil(step.as_millis()) {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        sleep(step);
    }
    Ok(())
}
