//! What the index answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Params, Row, params};

use super::{Index, from_json};
use crate::judge::expected::PastRun;
use crate::judge::history::{Entry, Known, KnownFinding};
use crate::model::error::Error;
use crate::model::stored::{CellRun, RunAt, RunHead};

/// A run, and how many of its cells have each outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRun {
    pub head: RunHead,
    pub pass: usize,
    pub fail: usize,
    pub error: usize,
    pub skip: usize,
    /// A run that was merged from this one is there, and has its cells.
    pub is_replaced: bool,
}

impl Index {
    /// Every row of a query.
    fn rows<T, C: FromIterator<T>>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<C, Error> {
        let rows = || -> rusqlite::Result<C> {
            let mut query = self.db.prepare_cached(sql)?;
            query.query_map(params, read)?.collect()
        };
        rows().map_err(|e| self.failed(&e))
    }

    pub(super) fn names(&self) -> Result<BTreeSet<String>, Error> {
        self.rows("SELECT name FROM runs", [], |row| row.get(0))
    }

    /// The runs, the oldest first.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn runs(&self) -> Result<Vec<ListedRun>, Error> {
        let sql = "SELECT head, pass, fail, error, skip, name IN (SELECT name FROM replaced)
             FROM runs ORDER BY name";
        self.rows(sql, [], |row| {
            let count = |column| row.get::<_, u32>(column).map(|count| count as usize);
            Ok(ListedRun {
                head: from_json(&row.get::<_, String>(0)?)?,
                pass: count(1)?,
                fail: count(2)?,
                error: count(3)?,
                skip: count(4)?,
                is_replaced: row.get(5)?,
            })
        })
    }

    /// The runs that have the last result of some cell, by their names. Runs of sources that had a
    /// mutation do not count.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn last_results(&self) -> Result<BTreeSet<String>, Error> {
        let sql = "SELECT MAX(runs.name) FROM results
             JOIN runs ON runs.id = results.run
             JOIN bodies ON bodies.id = results.body
             WHERE bodies.outcome IN ('pass', 'fail') AND NOT runs.is_mutated
             GROUP BY results.cell";
        self.rows(sql, [], |row| row.get(0))
    }

    /// The cells that some run has: matrix and name.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn cells(&self) -> Result<Vec<(String, String)>, Error> {
        let sql = "SELECT matrix, name FROM cells ORDER BY matrix, name";
        self.rows(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// What the runs that were recorded at `since` or later say of a cell, without runs of sources
    /// that had a mutation and runs that others replace; the oldest first.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn entries(&self, matrix: &str, cell: &str, since: &str) -> Result<Vec<Entry>, Error> {
        let sql = "SELECT runs.name, runs.recorded, runs.revision, bodies.outcome, results.seconds,
                bodies.image, results.job, bodies.checked, bodies.id
             FROM cells
             JOIN results ON results.cell = cells.id
             JOIN runs ON runs.id = results.run
             JOIN bodies ON bodies.id = results.body
             WHERE cells.matrix = ?1 AND cells.name = ?2 AND runs.recorded >= ?3
               AND NOT runs.is_mutated AND runs.name NOT IN (SELECT name FROM replaced)
             ORDER BY runs.name";
        let rows = self.rows(sql, [matrix, cell, since], entry)?;
        self.with_findings(rows)
    }

    /// What the last runs up to `run`, `most` of them, say of each of these cells of a matrix; in the
    /// order of the cells, the oldest run first.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn until(
        &self,
        run: &str,
        most: usize,
        matrix: &str,
        cells: &[&str],
    ) -> Result<Vec<Vec<Entry>>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let wanted = "DROP TABLE IF EXISTS temp.wanted;
             CREATE TEMP TABLE wanted (run INTEGER PRIMARY KEY);";
        let fill = "INSERT INTO wanted SELECT id FROM runs
             WHERE name <= ?1 AND NOT is_mutated
               AND (name = ?1 OR name NOT IN (SELECT name FROM replaced))
             ORDER BY name DESC LIMIT ?2";
        self.db
            .execute_batch(wanted)
            .and_then(|()| self.db.execute(fill, params![run, most]))
            .map_err(|e| self.failed(&e))?;
        let sql = "SELECT runs.name, runs.recorded, runs.revision, bodies.outcome, results.seconds,
                bodies.image, results.job, bodies.checked, bodies.id
             FROM cells
             CROSS JOIN wanted
             JOIN results ON results.cell = cells.id AND results.run = wanted.run
             JOIN runs ON runs.id = results.run
             JOIN bodies ON bodies.id = results.body
             WHERE cells.matrix = ?1 AND cells.name = ?2
             ORDER BY runs.name";
        let of_cell = |cell: &&str| {
            let rows = self.rows(sql, [matrix, *cell], entry)?;
            self.with_findings(rows)
        };
        cells.iter().map(of_cell).collect()
    }

    /// What the last runs took of each cell of a matrix, the newest first: the last `most` results,
    /// however long ago, and `most` that the machine stopped. Runs do not count that left the cell
    /// out, that were merged into another, or whose sources had a mutation.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn past(&self, matrix: &str, most: usize) -> Result<BTreeMap<String, Vec<PastRun>>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT name, run, recorded, revision, outcome, seconds, memory, disk FROM (
                SELECT cells.name AS name, runs.name AS run, runs.recorded AS recorded, runs.revision AS revision,
                    bodies.outcome AS outcome, results.seconds AS seconds,
                    results.memory AS memory, results.disk AS disk,
                    ROW_NUMBER() OVER (
                        PARTITION BY cells.id, bodies.outcome = 'error' ORDER BY runs.name DESC) AS place
                FROM cells
                JOIN results ON results.cell = cells.id
                JOIN runs ON runs.id = results.run
                JOIN bodies ON bodies.id = results.body
                WHERE cells.matrix = ?1 AND NOT runs.is_mutated AND bodies.outcome <> 'skip'
                    AND runs.name NOT IN (SELECT name FROM replaced))
             WHERE place <= ?2 ORDER BY name, run DESC";
        let rows: Vec<(String, PastRun)> = self.rows(sql, params![matrix, most], |row| {
            let kib = |column| {
                let found = row.get::<_, Option<i64>>(column);
                found.map(|kib| kib.map_or(0, i64::unsigned_abs))
            };
            Ok((
                row.get(0)?,
                PastRun {
                    run: row.get(1)?,
                    recorded: row.get(2)?,
                    revision: row.get(3)?,
                    outcome: row.get(4)?,
                    seconds: row.get(5)?,
                    memory_kib: kib(6)?,
                    disk_kib: kib(7)?,
                },
            ))
        })?;
        let mut past: BTreeMap<String, Vec<PastRun>> = BTreeMap::new();
        for (cell, run) in rows {
            past.entry(cell).or_default().push(run);
        }
        Ok(past)
    }

    /// Adds to entries, each with the number of its record, the findings of that.
    fn with_findings(&self, mut rows: Vec<(Entry, i64)>) -> Result<Vec<Entry>, Error> {
        let mut found: HashMap<i64, BTreeMap<i64, bool>> = HashMap::new();
        for (entry, body) in &mut rows {
            if !found.contains_key(body) {
                found.insert(*body, self.found(*body)?);
            }
            entry.findings.clone_from(&found[body]);
        }
        Ok(rows.into_iter().map(|(entry, _)| entry).collect())
    }

    fn found(&self, body: i64) -> Result<BTreeMap<i64, bool>, Error> {
        let sql = "SELECT finding, is_open FROM found WHERE body = ?1";
        self.rows(sql, [body], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Adds to `known` what entries refer to.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn look_up(&self, entries: &[Entry], known: &mut Known) -> Result<(), Error> {
        for entry in entries {
            if !known.checked.contains_key(&entry.checked) {
                let sql = "SELECT id, json FROM checked WHERE id = ?1";
                let found: Vec<_> = self.rows(sql, [entry.checked], |row| {
                    Ok((row.get(0)?, from_json(&row.get::<_, String>(1)?)?))
                })?;
                known.checked.extend(found);
            }
            for number in entry.findings.keys() {
                if known.findings.contains_key(number) {
                    continue;
                }
                let sql = "SELECT id, number, place, object, evidence FROM findings WHERE id = ?1";
                let found: Vec<_> = self.rows(sql, [number], |row| {
                    let finding = KnownFinding {
                        id: row.get(1)?,
                        place: from_json(&row.get::<_, String>(2)?)?,
                        object: row.get(3)?,
                        evidence: row.get(4)?,
                    };
                    Ok((row.get(0)?, finding))
                })?;
                known.findings.extend(found);
            }
        }
        Ok(())
    }
}

/// An entry without its findings, and the number of its record.
fn entry(row: &Row<'_>) -> rusqlite::Result<(Entry, i64)> {
    let entry = Entry {
        run: CellRun {
            at: RunAt {
                run: row.get(0)?,
                recorded: row.get(1)?,
                revision: row.get(2)?,
            },
            outcome: row.get(3)?,
            seconds: row.get(4)?,
            image_bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        },
        job: row.get(6)?,
        checked: row.get(7)?,
        findings: BTreeMap::new(),
    };
    Ok((entry, row.get(8)?))
}
