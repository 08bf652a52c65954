//! Judges the facts of old runs by the rules of this klto: since when something is wrong, and in
//! which cells, with nothing rebuilt.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use crate::input::allow::Allow;
use crate::judge::allowed::mark_allowed;
use crate::judge::history::{Entry, Known, KnownFinding, of_cell};
use crate::judge::identity::{Checked, Placed};
use crate::judge::inspect::{Expected, judge_facts};
use crate::model::cell::LtoMode;
use crate::model::error::Error;
use crate::model::record::{CellRecord, FORMAT, Inspection};
use crate::model::stored::{CellRun, History, RunAt};
use crate::store::runs::RunStore;
use crate::store::runs::file::Now;

/// What to judge.
#[derive(Debug, Clone, Copy)]
pub struct Again<'a> {
    pub store: &'a RunStore,
    /// The runs, the oldest first.
    pub runs: &'a [String],
    /// Which cells: matrix and name.
    pub cells: &'a BTreeSet<(String, String)>,
    /// Only these rules, and those below them; all if empty.
    pub only: &'a [String],
    pub allows: &'a [Allow],
}

/// A cell of a run, and what its facts are judged by.
struct Old {
    at: RunAt,
    matrix: String,
    kernel: String,
    now: Now,
    image_bytes: u64,
    question: Option<Question>,
}

/// What the answer depends on: equal questions are asked once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    facts: String,
    mode: LtoMode,
    requested: BTreeMap<String, String>,
}

type Answer = Result<Inspection, String>;

impl Again<'_> {
    /// The history of the cells, by today's rules.
    ///
    /// # Errors
    /// If the store cannot be read. A run or facts that cannot be read are in the history.
    pub fn history(&self) -> Result<History, Error> {
        let mut unreadable = Vec::new();
        let mut old = Vec::new();
        let read: Vec<Result<Vec<Old>, Error>> =
            self.runs.par_iter().map(|name| self.read(name)).collect();
        for cells in read {
            match cells {
                Ok(cells) => old.extend(cells),
                Err(error @ (Error::Kept { .. } | Error::Io { .. })) => {
                    unreadable.push(error.in_one_line());
                }
                Err(error) => return Err(error),
            }
        }
        let answers = self.answers(&old);
        let mut failed: Vec<String> = answers
            .values()
            .filter_map(|a| a.as_ref().err().cloned())
            .collect();
        failed.sort();
        failed.dedup();
        unreadable.extend(failed);

        let mut known = Interned::default();
        let mut cells: BTreeMap<(String, String), Vec<Entry>> = BTreeMap::new();
        for old in old {
            let answer = old
                .question
                .as_ref()
                .and_then(|question| answers.get(question));
            let record = self.record(&old, answer);
            let entry = known.entry(&old, &record);
            cells
                .entry((old.matrix, old.now.cell))
                .or_default()
                .push(entry);
        }
        let cells = cells.iter();
        Ok(History {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            cells: cells
                .map(|((matrix, cell), entries)| of_cell(matrix, cell, entries, &known.known))
                .collect(),
            unreadable,
        })
    }

    /// The cells of a run that are wanted.
    fn read(&self, name: &str) -> Result<Vec<Old>, Error> {
        let run = self.store.open_run(name)?;
        let head = &run.head;
        let mut wanted = Vec::new();
        if !head.mutations.is_empty() {
            return Ok(wanted);
        }
        for cell in run.cells() {
            let cell = cell.map_err(|bad| self.store.unreadable(name, bad))?;
            let name_of_cell = (head.matrix.clone(), cell.now.cell.clone());
            if !self.cells.contains(&name_of_cell) {
                continue;
            }
            let record = cell.bare_record();
            let inspection = record
                .map_err(|bad| self.store.unreadable(name, bad))?
                .inspection;
            wanted.push(Old {
                at: RunAt {
                    run: head.run.clone(),
                    recorded: head.recorded.clone(),
                    revision: head.revision.clone(),
                },
                matrix: head.matrix.clone(),
                kernel: head.kernel.clone(),
                image_bytes: inspection.as_ref().map_or(0, |i| i.counts.image_bytes),
                question: inspection
                    .zip(cell.kept.facts)
                    .map(|(inspection, facts)| Question {
                        facts,
                        mode: inspection.identity.lto,
                        requested: inspection.requested,
                    }),
                now: cell.now,
            });
        }
        Ok(wanted)
    }

    /// Each question with its answer.
    fn answers(&self, old: &[Old]) -> HashMap<Question, Answer> {
        let mut questions: Vec<&Question> =
            old.iter().filter_map(|old| old.question.as_ref()).collect();
        questions.sort_by(|a, b| a.facts.cmp(&b.facts));
        questions.dedup();
        let answers = questions.par_iter().map(|question| {
            let answer = self.judge(question).map_err(|error| error.in_one_line());
            ((*question).clone(), answer)
        });
        answers.collect()
    }

    fn judge(&self, question: &Question) -> Result<Inspection, Error> {
        let facts = self.store.objects().facts(&question.facts)?;
        let expected = Expected {
            arch: None,
            mode: Some(question.mode),
            requested: &question.requested,
            only: self.only,
        };
        Ok(judge_facts(facts, self.store.path(), &expected)?.inspection)
    }

    /// The record that the cell would have today.
    fn record(&self, old: &Old, answer: Option<&Answer>) -> CellRecord {
        let cell = old.now.cell.clone();
        let mut record = match answer {
            Some(Ok(inspection)) => CellRecord {
                inspection: Some(inspection.clone()),
                ..CellRecord::new(cell)
            },
            Some(Err(why)) => CellRecord::inconclusive(cell, why.clone()),
            None => CellRecord::inconclusive(cell, "the run has no facts of it".to_owned()),
        };
        if let Some(inspection) = &mut record.inspection {
            let place = (old.now.cell.as_str(), "build");
            mark_allowed(&mut inspection.findings, self.allows, place, &old.kernel);
            if let Some(why) = &inspection.unfinished {
                record.error = Some(why.clone());
            }
        }
        record.settle();
        record
    }
}

/// What the entries refer to, each once.
#[derive(Default)]
struct Interned {
    known: Known,
    checked: Vec<Checked>,
    findings: HashMap<String, i64>,
}

impl Interned {
    fn entry(&mut self, old: &Old, record: &CellRecord) -> Entry {
        let checked = self.checked(Checked::of(record));
        let findings =
            Placed::all(record).map(|placed| (self.finding(placed), placed.finding.is_open()));
        Entry {
            run: CellRun {
                at: old.at.clone(),
                outcome: record.outcome.name().to_owned(),
                seconds: old.now.cost.wall_seconds,
                image_bytes: old.image_bytes,
            },
            job: old.now.job_number(),
            checked,
            findings: findings.collect(),
        }
    }

    fn checked(&mut self, checked: Checked) -> i64 {
        let at = self.checked.iter().position(|known| *known == checked);
        let at = at.unwrap_or_else(|| {
            self.checked.push(checked.clone());
            self.checked.len() - 1
        });
        let number = i64::try_from(at).unwrap_or(i64::MAX);
        self.known.checked.entry(number).or_insert(checked);
        number
    }

    fn finding(&mut self, placed: Placed<'_>) -> i64 {
        let id = placed.id();
        let next = i64::try_from(self.findings.len()).unwrap_or(i64::MAX);
        let number = *self.findings.entry(id.clone()).or_insert(next);
        self.known
            .findings
            .entry(number)
            .or_insert_with(|| KnownFinding {
                id,
                place: placed.place(),
                object: placed.finding.object.clone(),
                evidence: placed.finding.evidence.clone(),
            });
        number
    }
}
