//! What happens while jobs run, as a stream: progress bars, plain lines and JSON lines are
//! its consumers. An event names its cell, so that any number of cells can run at once.

pub mod bars;
pub mod json;
pub mod lines;
pub mod stage;

use std::fmt::{self, Display};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use serde::Serialize;

use crate::model::printable::on_terminal;
use crate::model::record::{CellRecord, ScenarioRecord};

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// Jobs are about to run: the names of their cells, in the order of the report.
    Planned { cells: &'a [String] },
    /// Something that is not about one cell.
    Note { text: &'a str },
    /// A job began.
    Started { cell: &'a str },
    /// A job waits: for another klto, or for memory or disk.
    Waiting { cell: &'a str, why: &'a str },
    /// A build reached a stage, or goes on in one.
    Stage {
        cell: &'a str,
        stage: &'static str,
        /// Objects compiled, in both passes.
        objects: u64,
        /// How many it will be, where an accepted snapshot says so.
        expected: Option<u64>,
    },
    /// A scenario ended; `build` is the first.
    Scenario {
        cell: &'a str,
        scenario: &'a ScenarioRecord,
    },
    /// A job ended.
    Done { record: &'a CellRecord },
    /// The machine stopped a job, which runs again later.
    Again { cell: &'a str, why: &'a str },
    /// A job is about to start: how many run now, how many others could, and how many have to
    /// come after another.
    Queue {
        running: usize,
        ready: usize,
        after_others: usize,
    },
    /// All jobs ended.
    Finished,
}

/// Where events go. Called from several threads at once.
pub trait Events: fmt::Debug + Sync + Send {
    /// Takes an event in; it must not fail, and not take long.
    fn on(&self, event: &Event<'_>);
}

/// Several consumers, one after the other.
pub struct Fan(pub Vec<Arc<dyn Events>>);

impl fmt::Debug for Fan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fan of {}", self.0.len())
    }
}

impl Events for Fan {
    fn on(&self, event: &Event<'_>) {
        for consumer in &self.0 {
            consumer.on(event);
        }
    }
}

/// For a caller that wants no events, such as a test.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Events for Silent {
    fn on(&self, _: &Event<'_>) {}
}

/// Bars on a terminal, plain lines elsewhere.
#[must_use]
pub fn for_standard_error() -> Arc<dyn Events> {
    match std::io::stderr().is_terminal() {
        true => Arc::new(bars::Bars::new()),
        false => Arc::new(lines::Lines::new()),
    }
}

/// Prints a line to standard error. If nobody reads it, that is no reason to stop or fail:
/// `eprintln!` would panic there, which `git bisect` takes for a bad commit.
pub fn say(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(anstream::stderr(), "{}", on_terminal(&line));
}

/// The verdict of a cell in one line.
#[must_use]
pub fn verdict(record: &CellRecord) -> String {
    use crate::model::record::Outcome;

    let open = record.open_findings().count();
    let what = match &record.outcome {
        Outcome::Pass => "pass".to_owned(),
        Outcome::Fail => format!("FAIL, {}", crate::model::finding::counted(open, "findings")),
        Outcome::Error(why) => format!("inconclusive: {why}"),
        Outcome::Skip(why) => format!("skipped: {why}"),
    };
    let reused = if record.reused { ", reused" } else { "" };
    format!("{}: {what}{reused}", record.cell)
}
