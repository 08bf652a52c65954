//! A run under way on a cluster: submits tasks, takes in their results, and follows the queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use super::Cluster;
use super::watch::{Lost, Watch};
use crate::build::process::Cancel;
use crate::model::error::Error;
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome, SkipReason};
use crate::run::events::Event;
use crate::run::job::{Job, JobId};
use crate::run::pipeline::{adopt, new_record};
use crate::run::slurm::arrays::{Array, Part, Terms};
use crate::run::slurm::done::Done;
use crate::run::slurm::queue::{Answer, Queue};
use crate::run::slurm::task::{place, result};
use crate::run::slurm::{Plan, memory_to_ask_for};
use crate::source::sources::Sources;

/// How often results are looked for.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Every how many of these Slurm is asked: it serves everybody.
pub(super) const ASK_EVERY: u32 = 8;
/// How many of these times nothing is submitted after the queue was full.
const REST: u32 = 2;

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
    /// A part of which is not known whether Slurm has it.
    pub(super) in_doubt: bool,
    /// The numbers of the arrays in the queue.
    pub(super) numbers: Vec<String>,
    pub(super) has_report: bool,
    /// How often submitting is left out: the queue was full, and sbatch itself tries for seconds.
    pub(super) rest: u32,
    pub(super) watch: Watch,
    pub(super) records: BTreeMap<JobId, CellRecord>,
    /// Why submitting waits, as it was said last.
    pub(super) said: Option<String>,
}

impl Going<'_> {
    /// Submits, and waits until every cell has a record, or the user interrupts.
    pub(super) fn follow(&mut self) -> Result<(), Error> {
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
            self.take_done()?;
            if self.is_over() {
                return Ok(());
            }
            let went_on = match round % ASK_EVERY {
                0 => self.ask().and_then(|()| self.submit()),
                _ => Ok(()),
            };
            round += 1;
            match went_on.and_then(|()| pause(self.cluster.run.cancel, POLL)) {
                // The report says what is there.
                Err(Error::Cancelled) => return Ok(()),
                went_on => went_on?,
            }
        }
    }

    fn is_over(&self) -> bool {
        let has_failed = |record: &CellRecord| record.outcome == Outcome::Fail;
        self.records.len() == self.jobs.len()
            || self.cluster.run.policy.fail_fast && self.records.values().any(has_failed)
    }

    /// Takes in what tasks have left since.
    fn take_done(&mut self) -> Result<(), Error> {
        let missing = self.plan.wanted.iter().map(|at| JobId(*at));
        let missing: Vec<JobId> = missing
            .filter(|id| !self.records.contains_key(id))
            .collect();
        for id in missing {
            if let Some(done) = Done::read(&self.folder, id.0)? {
                self.take(id, done.record)?;
            }
        }
        Ok(())
    }

    /// Takes in the record of a cell, as a run here would have left it.
    pub(super) fn take(&mut self, id: JobId, mut record: CellRecord) -> Result<(), Error> {
        let Some(job) = self.jobs.iter().find(|job| job.id == id) else {
            return Ok(());
        };
        let run = &self.cluster.run;
        let place = place(run, self.sources, job);
        if !record.job.is_empty() && record.inspection.is_some() {
            let result = result(self.cluster.shared, self.sources, job, &record.job);
            match result.fetch(&place, &record.job, false, run.cancel) {
                Err(Error::Cancelled) => return Ok(()),
                fetched => fetched?,
            }
        }
        adopt(
            job,
            &place,
            run.snapshots,
            run.allows,
            self.sources,
            &mut record,
        );
        run.events.on(&Event::Done { record: &record });
        self.records.insert(id, record);
        Ok(())
    }

    /// Asks Slurm about the tasks.
    fn ask(&mut self) -> Result<(), Error> {
        if self.numbers.is_empty() && !self.in_doubt {
            return Ok(());
        }
        let tasks = match self.queue.tasks()? {
            Answer::Is(tasks) => tasks,
            Answer::Full(why) | Answer::Away(why) => {
                self.say(&format!("Slurm does not answer, klto asks again: {why}"));
                return Ok(());
            }
            Answer::Refused(why) => return Err(refused("squeue", &why)),
            Answer::NoSuchJob => Vec::new(),
        };
        if self.in_doubt {
            self.in_doubt = false;
            let part = self.parts.first().map(Part::comment);
            let found = tasks
                .iter()
                .find(|task| Some(&task.comment) == part.as_ref());
            if let Some(number) = found.map(|task| task.array.clone()) {
                self.submitted(number);
            }
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
            self.refresh();
            self.take_done()?;
        }
        for lost in seen.lost {
            if !self.records.contains_key(&lost.id) {
                self.lose(&lost, &name_of(lost.id))?;
            }
        }
        Ok(())
    }

    /// Has a network file system look at the folder again: a file that is new there may not show.
    fn refresh(&self) {
        let file = self.folder.join("done/.asked");
        let _ = std::fs::write(&file, "");
        let _ = std::fs::remove_file(&file);
    }

    /// Notes that a cell has no result, and will have none.
    fn lose(&mut self, lost: &Lost, name: &str) -> Result<(), Error> {
        let why = lost.why(&self.folder, self.cluster.run.cancel);
        let mut record = new_record(self.sources, self.cluster.run.sandbox, name);
        record.error = Some(why);
        self.take(lost.id, record)
    }

    /// Submits as much as Slurm takes.
    fn submit(&mut self) -> Result<(), Error> {
        if self.rest > 0 {
            self.rest -= 1;
            return Ok(());
        }
        while let Some(part) = self.parts.first().cloned() {
            if self.in_doubt {
                return Ok(());
            }
            let array = &self.arrays[part.array];
            let after = array.after.iter();
            let after = after.filter(|id| !self.records.contains_key(id));
            let after: Vec<String> = after.filter_map(|id| self.watch.number(*id)).collect();
            let cells = array.cells.iter().map(|id| &self.jobs_cell(*id).cell);
            let limit = cells.clone().map(|cell| cell.timeout).max();
            let expected = self.cluster.run.policy.expected;
            let asked = cells.map(|cell| memory_to_ask_for(expected.get(&cell.name())?));
            // If nothing is known of one, Slurm's own default is for all.
            let memory_mib = asked.collect::<Option<Vec<u64>>>();
            let memory_mib = memory_mib.and_then(|asked| asked.into_iter().max());
            let command = self
                .terms
                .submit(&part, &after, limit.unwrap_or_default(), memory_mib);
            match self.queue.submit(&command)? {
                Answer::Is(number) => self.submitted(number),
                Answer::Full(why) => {
                    if !self.make_room(&part, &why)? {
                        return Ok(());
                    }
                }
                Answer::NoSuchJob => {
                    // The next answer of the queue shows that it ended.
                    self.say("a task to wait for ended just now, klto submits again");
                    return Ok(());
                }
                Answer::Away(why) => {
                    self.in_doubt = true;
                    self.say(&format!("Slurm does not answer, klto asks again: {why}"));
                    return Ok(());
                }
                Answer::Refused(why) => return Err(refused("sbatch", &why)),
            }
        }
        if !self.has_report && !self.numbers.is_empty() {
            // For a klto that is killed while it waits.
            let command = self.terms.submit_report(&self.numbers);
            let answer = self.queue.submit(&command)?;
            self.has_report = matches!(answer, Answer::Is(_) | Answer::Away(_));
            self.rest = REST;
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
            Answer::Full(_) | Answer::Away(_) | Answer::Refused(_) => {
                self.in_doubt = true;
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
        for index in part.tasks {
            let id = self.arrays[part.array].cells[index];
            self.watch.submitted(id, &number, index);
        }
        self.numbers.push(number);
        self.said = None;
    }

    fn left(&self) -> usize {
        self.parts.iter().map(|part| part.tasks.len()).sum()
    }

    fn jobs_cell(&self, id: JobId) -> &Job {
        let found = self.jobs.iter().find(|job| job.id == id);
        found.unwrap_or(&self.jobs[0])
    }

    /// Ends what still runs or waits, and says of cells without a record why.
    pub(super) fn stop(&mut self) -> Result<(), Error> {
        if self.numbers.is_empty() && !self.in_doubt {
            return self.fill();
        }
        if let Some(why) = self.queue.cancel_all()? {
            let name = self.plan.job_name();
            self.note(&format!(
                "the tasks could not be cancelled: {why}; run: scancel --name={name}"
            ));
        }
        self.fill()
    }

    fn fill(&mut self) -> Result<(), Error> {
        let is_interrupted = self.cluster.run.cancel.is_cancelled();
        for job in self.jobs {
            if self.records.contains_key(&job.id) {
                continue;
            }
            let mut record = new_record(self.sources, self.cluster.run.sandbox, &job.cell.name());
            match is_interrupted {
                true => record.error = Some("interrupted".to_owned()),
                false => record.outcome = Outcome::Skip(SkipReason::FailFast),
            }
            self.take(job.id, record)?;
        }
        Ok(())
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
