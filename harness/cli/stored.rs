//! What the commands on kept runs share: where the store is, which run is meant, since when.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::HistoryOf;
use crate::build::process::Cancel;
use crate::input::suggest::{known_names, nearest};
use crate::model::cell::CellPattern;
use crate::model::error::Error;
use crate::model::record::{CellRecord, RunRecord};
use crate::model::stored::RunHead;
use crate::run::events::say;
use crate::store::record_dir::RecordDir;
use crate::store::runs::RunStore;
use crate::store::runs::index::{Index, ListedRun};

/// Where runs are kept, unless the user says otherwise.
pub fn store_dir(asked: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(dir) = asked {
        return Ok(dir.to_owned());
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    data.map(|dir| dir.join("klto/runs")).ok_or_else(|| {
        Error::Usage(
            "neither XDG_DATA_HOME nor HOME is set\n  name a folder for runs with --store or KLTO_STORE"
                .to_owned(),
        )
    })
}

/// The store in which a run will be kept, made if there is none: a place that cannot be written shows
/// before hours of building. `None` if nobody asked for one, and the usual place is none.
pub fn store_for_run(asked: Option<&Path>) -> Result<Option<PathBuf>, Error> {
    let opened = store_dir(asked).and_then(|dir| RunStore::open(&dir).map(|_| dir));
    match (asked, opened) {
        (_, Ok(dir)) => Ok(Some(dir)),
        (Some(_), Err(error)) => Err(error),
        (None, Err(error)) => {
            let why = error.in_one_line();
            say(format_args!("klto: this run will not be kept: {why}"));
            Ok(None)
        }
    }
}

/// The store that is there, and its index.
pub fn open(asked: Option<&Path>) -> Result<(RunStore, Index), Error> {
    let store = RunStore::existing(&store_dir(asked)?)?;
    let index = Index::open(&store, &Cancel::install()?)?;
    if let Some(note) = &index.note {
        say(format_args!("klto: {note}"));
    }
    for why in &index.unreadable {
        say(format_args!("klto: left out: {why}"));
    }
    Ok((store, index))
}

/// Keeps a run, and says where.
pub fn keep(
    dir: &Path,
    run: &RunRecord,
    record_dir: &(dyn Fn(&CellRecord) -> Option<RecordDir> + Sync),
    cancel: &Cancel,
) -> Result<RunHead, Error> {
    let added = RunStore::open(dir)?.add(run, record_dir, cancel)?;
    for missing in &added.missing {
        say(format_args!("klto: not kept: {missing}"));
    }
    if let Some(back) = added.clock_went_back {
        let back = humantime::format_duration(std::time::Duration::from_secs(back.as_secs()));
        say(format_args!(
            "klto: the clock went back by {back} since the last run was kept; this one is kept as the next after it"
        ));
    }
    say(format_args!("klto: kept as run {}", added.head.run));
    Ok(added.head)
}

/// The run that a word means: its name or the beginning of it, `latest`, a matrix; with `~N` the
/// Nth before that one.
pub fn select<'a>(runs: &'a [ListedRun], word: &str) -> Result<&'a ListedRun, Error> {
    let (word, back) = match word.split_once('~') {
        Some((word, back)) => {
            let back: usize = back.parse().map_err(|_| {
                Error::Usage(format!(
                    "'{word}~{back}' is not a run\n  a number follows '~': {word}~1"
                ))
            })?;
            (word, back)
        }
        None => (word, 0),
    };
    let last = |matches: &dyn Fn(&ListedRun) -> bool| runs.iter().rposition(matches);
    let is_named = |run: &ListedRun| run.head.run.starts_with(word);
    let named = runs.iter().filter(|run| is_named(run)).count();
    let found = match word {
        "latest" => last(&|run| !run.is_replaced),
        _ if named == 1 => last(&is_named),
        _ => last(&|run| run.head.matrix == word && !run.is_replaced),
    };
    let Some(found) = found else {
        return Err(no_run(runs, word, named));
    };
    // A part of a merged run comes before nothing but itself.
    let is_alike = |run: &&ListedRun| {
        let is_it = run.head.run == runs[found].head.run;
        let is_of_matrix = word == "latest" || run.head.matrix == runs[found].head.matrix;
        is_it || (is_of_matrix && !run.is_replaced)
    };
    let mut earlier = runs[..=found].iter().rev().filter(is_alike);
    earlier.nth(back).ok_or_else(|| {
        Error::Usage(format!(
            "'{word}~{back}' is not a run: there are only {} before it\n  'klto runs' lists them",
            runs[..found].iter().filter(is_alike).count()
        ))
    })
}

fn no_run(runs: &[ListedRun], word: &str, named: usize) -> Error {
    let why = match named {
        0 => {
            let matrices: BTreeSet<&str> =
                runs.iter().map(|run| run.head.matrix.as_str()).collect();
            let words = matrices.into_iter().chain(["latest"]);
            format!("no run has that name; {}", known_names(word, words))
        }
        more => format!("the names of {more} runs begin so"),
    };
    Error::Usage(format!(
        "'{word}' is not a run: {why}\n  'klto runs' lists them"
    ))
}

/// Which cells and runs of a history are wanted.
#[derive(Debug)]
pub struct Wanted {
    patterns: Vec<CellPattern>,
    matrix: Option<String>,
    /// In RFC 3339; empty for all.
    pub since: String,
}

impl Wanted {
    /// Reads what the user asked for.
    pub fn new(asked: &HistoryOf) -> Result<Wanted, Error> {
        let pattern =
            |text: &String| CellPattern::new(text).map_err(|e| Error::Usage(e.to_string()));
        Ok(Wanted {
            patterns: asked.cells.iter().map(pattern).collect::<Result<_, _>>()?,
            matrix: asked.matrix.clone(),
            since: match &asked.since {
                Some(text) => since(text, SystemTime::now())?,
                None => String::new(),
            },
        })
    }

    /// The cells that are wanted, of those that the runs have: matrix and name.
    pub fn cells(&self, index: &Index) -> Result<Vec<(String, String)>, Error> {
        let mut all = index.cells()?;
        if let Some(wanted) = &self.matrix {
            let known: BTreeSet<String> = all.iter().map(|(matrix, _)| matrix.clone()).collect();
            if !known.contains(wanted) {
                return Err(Error::Usage(format!(
                    "no run is of the matrix '{wanted}'; {}",
                    known_names(wanted, known.iter().map(String::as_str))
                )));
            }
            all.retain(|(matrix, _)| matrix == wanted);
        }
        for pattern in &self.patterns {
            if !all.iter().any(|(_, cell)| pattern.matches(cell)) {
                let near = nearest(pattern.as_str(), all.iter().map(|(_, cell)| cell.as_str()));
                let near = near.map(|near| format!("; did you mean '{near}'?"));
                return Err(Error::Usage(format!(
                    "no run has a cell that matches '{}'{}\n  'klto history --all' lists the cells",
                    pattern.as_str(),
                    near.unwrap_or_default()
                )));
            }
        }
        all.retain(|(_, cell)| {
            self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(cell))
        });
        Ok(all)
    }
}

/// A time in RFC 3339: of a date, of itself, or of how long before `now`.
fn since(text: &str, now: SystemTime) -> Result<String, Error> {
    let midnight = format!("{text}T00:00:00Z");
    let ago = || {
        let ago = humantime::parse_duration(text).ok()?;
        now.checked_sub(ago)
    };
    let time = humantime::parse_rfc3339(&midnight)
        .or_else(|_| humantime::parse_rfc3339(text))
        .ok()
        .or_else(ago);
    match time {
        Some(time) => Ok(humantime::format_rfc3339_millis(time).to_string()),
        None => Err(Error::Usage(format!(
            "'{text}' is not a time\n  give a date such as 2026-11-01, a time such as 2026-11-01T02:00:00Z, or how long ago, such as 30d"
        ))),
    }
}
