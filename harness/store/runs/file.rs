//! The file of one run: JSON, one line for the run and one for each cell, in one zstd frame with a
//! checksum. `zstdcat` shows it; `docs/formats.md` describes it.
//!
//! What changes from night to night (times, places, the job's key) stands apart from the record, so
//! that a cell that did not change has the same record, byte for byte, and need not be read again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::frame::{self, Limits};
use crate::model::accepted::Unreferenced;
use crate::model::record::{
    CellRecord, CompilerCacheUse, Cost, FORMAT as RECORD_FORMAT, Reproduce, RuleText, RuleTexts,
    RunRecord, StageTime,
};
use crate::model::shard::ShardRecord;
use crate::model::stored::RunHead;
use crate::model::utilization::CpuUtilization;

/// The format that this klto writes, and the only one it reads.
pub const FORMAT: u32 = 1;
/// No run is longer: 2,000 cells take a hundredth of it, and are much alike.
const LIMITS: Limits = Limits {
    window: 23,
    largest: 2 << 30,
};
const LEVEL: i32 = 3;

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    pub head: RunHead,
    pub run: RunRecord,
    /// Of each cell, in their order.
    pub kept: Vec<Kept>,
}

/// What is kept of a cell besides its record: the names of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The facts that were read from its build tree; `None` if there are none.
    pub facts: Option<String>,
    /// Of each log that the record names; `None` if it could not be read.
    pub logs: Vec<Option<String>>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    klto: String,
    #[serde(flatten)]
    run: RunHead,
    #[serde(flatten)]
    more: More,
    /// The texts of the rules that the cells name.
    rules: BTreeMap<String, RuleText>,
}

/// What the record of a run has besides what its head and its cells say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct More {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreferenced: Vec<Unreferenced>,
    /// What all shards have, if the run is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sharded: Option<ShardRecord>,
}

/// What the first line of every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
    klto: String,
}

/// The line of a cell.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    now: Now,
    kept: Kept,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// What may differ although the result is the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Now {
    pub cell: String,
    pub job: String,
    pub revision: String,
    pub kernel: String,
    /// Of the inspection.
    pub release: String,
    pub host: String,
    pub started: String,
    pub cost: Cost,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
    #[serde(default, skip_serializing_if = "CpuUtilization::is_empty")]
    pub cpu_utilization: CpuUtilization,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler_cache: Option<CompilerCacheUse>,
    pub reused: bool,
    pub reproduce: Reproduce,
    pub logs: Vec<String>,
    /// Of each scenario.
    pub scenario_seconds: Vec<f64>,
    /// Of each comparison: the time, and the key of the other mode's job.
    pub comparisons: Vec<(f64, String)>,
}

impl Now {
    /// A number for everything that a cell's result depends on: its own job, and those of the trees
    /// that it was compared with.
    #[must_use]
    pub fn job_number(&self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        let others = self.comparisons.iter().map(|(_, job)| job);
        for key in std::iter::once(&self.job).chain(others) {
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key.as_bytes());
        }
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        i64::from_le_bytes(bytes)
    }
}

/// Why a run cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRun {
    #[error("it is of format {format}, written by klto {klto}")]
    OtherFormat { format: u32, klto: String },
    #[error("it is cut off after {0} bytes")]
    CutOff(usize),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Takes out of a record what may differ although the result is the same.
fn take_now(record: &mut CellRecord) -> Now {
    let inspection = record.inspection.as_mut();
    Now {
        cell: std::mem::take(&mut record.cell),
        job: std::mem::take(&mut record.job),
        revision: std::mem::take(&mut record.revision),
        kernel: std::mem::take(&mut record.kernel),
        release: inspection
            .map(|inspection| std::mem::take(&mut inspection.identity.kernel))
            .unwrap_or_default(),
        host: std::mem::take(&mut record.host),
        started: std::mem::take(&mut record.started),
        cost: std::mem::take(&mut record.cost),
        stages: std::mem::take(&mut record.stages),
        cpu_utilization: std::mem::take(&mut record.cpu_utilization),
        compiler_cache: record.compiler_cache.take(),
        reused: std::mem::take(&mut record.reused),
        reproduce: std::mem::take(&mut record.reproduce),
        logs: std::mem::take(&mut record.logs),
        scenario_seconds: record
            .scenarios
            .iter_mut()
            .map(|scenario| std::mem::take(&mut scenario.seconds))
            .collect(),
        comparisons: record
            .comparisons
            .iter_mut()
            .map(|c| (std::mem::take(&mut c.seconds), std::mem::take(&mut c.job)))
            .collect(),
    }
}

/// Puts it back.
fn put_back(now: Now, record: &mut CellRecord) {
    record.cell = now.cell;
    record.job = now.job;
    record.revision = now.revision;
    record.kernel = now.kernel;
    if let Some(inspection) = &mut record.inspection {
        inspection.identity.kernel = now.release;
    }
    record.host = now.host;
    record.started = now.started;
    record.cost = now.cost;
    record.stages = now.stages;
    record.cpu_utilization = now.cpu_utilization;
    record.compiler_cache = now.compiler_cache;
    record.reused = now.reused;
    record.reproduce = now.reproduce;
    record.logs = now.logs;
    for (scenario, seconds) in record.scenarios.iter_mut().zip(now.scenario_seconds) {
        scenario.seconds = seconds;
    }
    for (comparison, (seconds, job)) in record.comparisons.iter_mut().zip(now.comparisons) {
        comparison.seconds = seconds;
        comparison.job = job;
    }
}

/// The lines of the cells of a run, and what they have in common.
#[derive(Debug)]
pub struct Body {
    more: More,
    rules: BTreeMap<String, RuleText>,
    lines: Vec<u8>,
}

/// Writes the cells of a run; `kept` is of each cell, in their order.
///
/// # Errors
/// If something has no JSON.
pub fn body(run: &RunRecord, kept: &[Kept]) -> serde_json::Result<Body> {
    let mut rules: BTreeMap<String, RuleText> = BTreeMap::new();
    for (key, text) in run.cells.iter().flat_map(|cell| cell.rules.iter()) {
        rules.entry(key.clone()).or_insert_with(|| text.clone());
    }
    let mut lines = Vec::new();
    for (cell, kept) in run.cells.iter().zip(kept) {
        let mut record = cell.clone();
        let own = cell.rules.iter();
        let own = own.filter(|(key, text)| rules.get(*key) != Some(text));
        let own: BTreeMap<_, _> = own.map(|(k, text)| (k.clone(), text.clone())).collect();
        record.rules = own.into();
        let now = take_now(&mut record);
        let record = serde_json::value::to_raw_value(&record)?;
        let line = Line {
            now,
            kept: kept.clone(),
            record: &record,
        };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    Ok(Body {
        more: More {
            unreferenced: run.unreferenced.clone(),
            sharded: run.shard.clone(),
        },
        rules,
        lines,
    })
}

/// The name of a run that was recorded then: the time, and a part of the hash of its cells.
#[must_use]
pub fn name(recorded: &str, body: &Body) -> String {
    name_of(recorded, &body.lines)
}

fn name_of(recorded: &str, lines: &[u8]) -> String {
    let time: String = recorded.chars().filter(|c| !"-:".contains(*c)).collect();
    let hash = blake3::hash(lines).to_hex();
    format!("{time}-{}", &hash[..8])
}

/// The content of the file.
///
/// # Errors
/// If something has no JSON, or there is no memory.
pub fn encode(head: &RunHead, body: &Body) -> io::Result<Vec<u8>> {
    let head = Head {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        run: head.clone(),
        more: body.more.clone(),
        rules: body.rules.clone(),
    };
    let mut first = serde_json::to_vec(&head)?;
    first.push(b'\n');
    let length = Some(first.len() + body.lines.len());
    frame::seal(Vec::new(), LEVEL, LIMITS, length, |writer| {
        writer.write_all(&first)?;
        writer.write_all(&body.lines)
    })
}

/// A run whose cells are not read yet.
#[derive(Debug)]
pub struct Opened {
    pub head: RunHead,
    more: More,
    rules: BTreeMap<String, RuleText>,
    klto: String,
    text: Vec<u8>,
    lines: Vec<Range<usize>>,
}

/// The texts of rules, by the keys of the rules.
type Shared<'a> = Mutex<HashMap<Vec<&'a str>, RuleTexts>>;

/// A cell whose record is not read yet.
#[derive(Debug)]
pub struct OpenedCell<'a> {
    pub now: Now,
    pub kept: Kept,
    record: &'a RawValue,
}

impl OpenedCell<'_> {
    /// The same for every cell with the same record.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(self.record.get().as_bytes())
    }

    /// The record as it is kept: without what may differ although the result is the same.
    ///
    /// # Errors
    /// If it is not a record.
    pub fn bare_record(&self) -> Result<CellRecord, BadRun> {
        serde_json::from_str(self.record.get()).map_err(damaged)
    }
}

fn damaged(error: impl std::fmt::Display) -> BadRun {
    BadRun::Damaged(error.to_string())
}

/// Opens the content of a file.
///
/// # Errors
/// If it is cut off, damaged or of another format.
pub fn open(bytes: &[u8]) -> Result<Opened, BadRun> {
    let text = frame::unseal(bytes, LIMITS).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => BadRun::CutOff(bytes.len()),
        _ => damaged(e),
    })?;
    let mut lines = Vec::new();
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', &text) {
        lines.push(begin..end);
        begin = end + 1;
    }
    if begin != text.len() || lines.is_empty() {
        return Err(BadRun::Damaged("its last line does not end".to_owned()));
    }
    let first = &text[lines.remove(0)];
    let version: Version = serde_json::from_slice(first).map_err(damaged)?;
    if version.format != FORMAT {
        return Err(BadRun::OtherFormat {
            format: version.format,
            klto: version.klto,
        });
    }
    let head: Head = serde_json::from_slice(first).map_err(damaged)?;
    if head.run.cells != lines.len() {
        return Err(BadRun::Damaged(format!(
            "it has {} of {} cells",
            lines.len(),
            head.run.cells
        )));
    }
    Ok(Opened {
        head: head.run,
        more: head.more,
        rules: head.rules,
        klto: head.klto,
        text,
        lines,
    })
}

impl Opened {
    /// The name that follows from its content.
    #[must_use]
    pub fn name(&self) -> String {
        let first = self
            .lines
            .first()
            .map_or(self.text.len(), |line| line.start);
        name_of(&self.head.recorded, &self.text[first..])
    }

    /// How many cells it has.
    #[must_use]
    pub fn number_of_cells(&self) -> usize {
        self.lines.len()
    }

    /// One of the cells, which are in the order of the run.
    ///
    /// # Errors
    /// If the line is not of the form that klto writes.
    pub fn cell(&self, index: usize) -> Result<OpenedCell<'_>, BadRun> {
        let line: Line<'_> =
            serde_json::from_slice(&self.text[self.lines[index].clone()]).map_err(damaged)?;
        Ok(OpenedCell {
            now: line.now,
            kept: line.kept,
            record: line.record,
        })
    }

    /// The cells, in their order.
    ///
    /// # Errors
    /// As [`Opened::cell`].
    pub fn cells(&self) -> impl Iterator<Item = Result<OpenedCell<'_>, BadRun>> {
        (0..self.number_of_cells()).map(|index| self.cell(index))
    }

    /// Reads everything.
    ///
    /// # Errors
    /// As [`Opened::cells`].
    pub fn read(self) -> Result<StoredRun, BadRun> {
        let shared = Mutex::default();
        let read = (0..self.number_of_cells()).into_par_iter().map(|index| {
            let cell = self.cell(index)?;
            let mut record = cell.bare_record()?;
            put_back(cell.now, &mut record);
            self.add_rules(&mut record, &shared);
            Ok((record, cell.kept))
        });
        let read: Vec<(CellRecord, Kept)> = read.collect::<Result<_, BadRun>>()?;
        let (cells, kept) = read.into_iter().unzip();
        Ok(StoredRun {
            run: RunRecord {
                format: RECORD_FORMAT,
                klto: self.klto,
                matrix: self.head.matrix.clone(),
                kernel: self.head.kernel.clone(),
                revision: self.head.revision.clone(),
                mutations: self.head.mutations.clone(),
                shard: self.more.sharded,
                unreferenced: self.more.unreferenced,
                cells,
            },
            head: self.head,
            kept,
        })
    }

    /// The texts of the rules that a record names; records with the same rules share them.
    fn add_rules<'a>(&'a self, record: &mut CellRecord, shared: &Shared<'a>) {
        let keys = record.keys();
        let texts = self.rules.iter();
        let texts: Vec<(&String, &RuleText)> = texts
            .filter(|(key, _)| keys.contains(key.as_str()))
            .collect();
        let owned = texts
            .iter()
            .map(|(k, text)| ((*k).clone(), (*text).clone()));
        if !record.rules.is_empty() {
            record.rules.add(owned);
            return;
        }
        let names = texts.iter().map(|(key, _)| key.as_str()).collect();
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let made = shared
            .entry(names)
            .or_insert_with(|| owned.collect::<BTreeMap<_, _>>().into());
        record.rules = made.clone();
    }
}

#[cfg(test)]
pub(super) mod tests;
