//! What the index keeps of a run.

use std::collections::HashMap;

use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::to_json;
use crate::judge::identity::{Checked, Placed};
use crate::model::record::{CellRecord, Outcome};
use crate::model::stored::RunHead;
use crate::store::runs::file::{BadRun, Now, Opened};

/// A run whose lines are read, but not the records in them.
#[derive(Debug)]
pub(super) struct Scanned {
    opened: Opened,
    cells: Vec<ScannedCell>,
}

#[derive(Debug)]
struct ScannedCell {
    now: Now,
    /// Of the record, the same for every cell with the same record.
    hash: blake3::Hash,
}

/// Why a run is not taken in.
#[derive(Debug)]
pub(super) enum NotTaken {
    Run(BadRun),
    Index(rusqlite::Error),
}

impl From<rusqlite::Error> for NotTaken {
    fn from(error: rusqlite::Error) -> NotTaken {
        NotTaken::Index(error)
    }
}

/// Reads the lines of a run.
pub(super) fn scan(opened: Opened) -> Result<Scanned, BadRun> {
    let indices = (0..opened.number_of_cells()).into_par_iter();
    let cells = indices.map(|index| {
        let cell = opened.cell(index)?;
        Ok(ScannedCell {
            hash: cell.hash(),
            now: cell.now,
        })
    });
    Ok(Scanned {
        cells: cells.collect::<Result<_, BadRun>>()?,
        opened,
    })
}

/// How many cells have each outcome.
#[derive(Debug, Default)]
struct Outcomes([usize; 4]);

impl Outcomes {
    const NAMES: [&'static str; 4] = ["pass", "fail", "error", "skip"];

    fn count(&mut self, outcome: &str) {
        let place = Outcomes::NAMES.iter().position(|name| *name == outcome);
        if let Some(count) = place.and_then(|place| self.0.get_mut(place)) {
            *count += 1;
        }
    }
}

/// Enters a run. Where that fails, a part of it may have been entered.
pub(super) fn take_in(db: &Connection, run: &Scanned) -> Result<(), NotTaken> {
    let head = &run.opened.head;
    let id = insert_run(db, head)?;
    let mut bodies: HashMap<blake3::Hash, Body> = HashMap::new();
    let mut outcomes = Outcomes::default();
    for (index, ScannedCell { now, hash }) in run.cells.iter().enumerate() {
        let body = match bodies.get(hash) {
            Some(body) => body,
            None => {
                let body = match body_of(db, hash)? {
                    Some(body) => body,
                    None => {
                        let cell = run.opened.cell(index).map_err(NotTaken::Run)?;
                        let record = cell.bare_record().map_err(NotTaken::Run)?;
                        insert_body(db, hash, &record)?
                    }
                };
                bodies.entry(*hash).or_insert(body)
            }
        };
        outcomes.count(&body.outcome);
        insert_result(db, id, &head.matrix, now, body.id)?;
    }
    let [pass, fail, error, skip] = outcomes
        .0
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    db.prepare_cached("UPDATE runs SET pass = ?2, fail = ?3, error = ?4, skip = ?5 WHERE id = ?1")?
        .execute(params![id, pass, fail, error, skip])?;
    Ok(())
}

fn insert_run(db: &Connection, head: &RunHead) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO runs (name, recorded, revision, head, is_mutated)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        head.run,
        head.recorded,
        head.revision,
        to_json(head)?,
        !head.mutations.is_empty()
    ])?;
    let id = db.last_insert_rowid();
    for replaced in &head.replaces {
        db.prepare_cached("INSERT OR IGNORE INTO replaced (name, run) VALUES (?1, ?2)")?
            .execute(params![replaced, id])?;
    }
    Ok(id)
}

/// A record in the index.
#[derive(Debug)]
struct Body {
    id: i64,
    outcome: String,
}

fn body_of(db: &Connection, hash: &blake3::Hash) -> rusqlite::Result<Option<Body>> {
    db.prepare_cached("SELECT id, outcome FROM bodies WHERE hash = ?1")?
        .query_row([hash.as_bytes()], |row| {
            Ok(Body {
                id: row.get(0)?,
                outcome: row.get(1)?,
            })
        })
        .optional()
}

fn insert_result(
    db: &Connection,
    run: i64,
    matrix: &str,
    now: &Now,
    body: i64,
) -> rusqlite::Result<()> {
    let cell = db
        .prepare_cached("SELECT id FROM cells WHERE matrix = ?1 AND name = ?2")?
        .query_row([matrix, &now.cell], |row| row.get(0))
        .optional()?;
    let cell: i64 = match cell {
        Some(cell) => cell,
        None => {
            db.prepare_cached("INSERT INTO cells (matrix, name) VALUES (?1, ?2)")?
                .execute([matrix, &now.cell])?;
            db.last_insert_rowid()
        }
    };
    // A run that has a cell twice says of it what it says last.
    db.prepare_cached(
        "INSERT OR REPLACE INTO results (cell, run, body, job, seconds, memory, disk)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        cell,
        run,
        body,
        now.job_number(),
        now.cost.own_seconds(),
        whole(now.cost.peak_memory_kib),
        whole(now.cost.disk_kib)
    ])?;
    Ok(())
}

/// As `SQLite` has numbers.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn insert_body(
    db: &Connection,
    hash: &blake3::Hash,
    record: &CellRecord,
) -> rusqlite::Result<Body> {
    let checked = checked_of(db, &to_json(&Checked::of(record))?)?;
    let outcome = Outcome::name(&record.outcome).to_owned();
    let counts = record.inspection.as_ref().map(|i| i.counts);
    let image = counts.map_or(0, |counts| {
        i64::try_from(counts.image_bytes).unwrap_or(i64::MAX)
    });
    db.prepare_cached(
        "INSERT INTO bodies (hash, checked, outcome, image) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![hash.as_bytes(), checked, outcome, image])?;
    let id = db.last_insert_rowid();
    for placed in Placed::all(record) {
        let finding = finding_of(db, placed)?;
        db.prepare_cached(
            "INSERT INTO found (body, finding, is_open) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET is_open = is_open OR excluded.is_open",
        )?
        .execute(params![id, finding, placed.finding.is_open()])?;
    }
    Ok(Body { id, outcome })
}

fn checked_of(db: &Connection, json: &str) -> rusqlite::Result<i64> {
    db.prepare_cached("INSERT OR IGNORE INTO checked (json) VALUES (?1)")?
        .execute([json])?;
    db.prepare_cached("SELECT id FROM checked WHERE json = ?1")?
        .query_row([json], |row| row.get(0))
}

fn finding_of(db: &Connection, placed: Placed<'_>) -> rusqlite::Result<i64> {
    let number = placed.id();
    let found = db
        .prepare_cached("SELECT id FROM findings WHERE number = ?1")?
        .query_row([&number], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    db.prepare_cached(
        "INSERT INTO findings (number, place, object, evidence) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        number,
        to_json(&placed.place())?,
        placed.finding.object,
        placed.finding.evidence
    ])?;
    Ok(db.last_insert_rowid())
}

/// Removes a run.
pub(super) fn forget(db: &Connection, name: &str) -> rusqlite::Result<()> {
    for table in ["results", "replaced"] {
        let of_run = "WHERE run = (SELECT id FROM runs WHERE name = ?1)";
        db.execute(&format!("DELETE FROM {table} {of_run}"), [name])?;
    }
    db.execute("DELETE FROM runs WHERE name = ?1", [name])?;
    Ok(())
}

/// Removes what only removed runs had.
pub(super) fn forget_unused(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM found WHERE body NOT IN (SELECT body FROM results);
         DELETE FROM bodies WHERE id NOT IN (SELECT body FROM results);
         DELETE FROM cells WHERE id NOT IN (SELECT cell FROM results);",
    )
}
