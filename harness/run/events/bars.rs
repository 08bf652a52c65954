//! Progress bars on a terminal: a bar for each cell at work, and a line above them for each
//! verdict as it lands.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, Events, verdict};
use crate::model::printable::{on_terminal, printable};

/// Bars on standard error.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    /// The line below them: what runs and waits.
    queue: Mutex<Option<ProgressBar>>,
    /// The bars of the cells at work.
    cells: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Bars {
    /// No cell is at work yet.
    #[must_use]
    pub fn new() -> Bars {
        Bars::default()
    }

    fn say(&self, line: &str) {
        // If the terminal is gone, nobody can be informed.
        let _ = self.all.println(on_terminal(line));
    }

    fn with_bar(&self, cell: &str, change: impl FnOnce(&ProgressBar)) {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = cells.get(cell) {
            change(bar);
        }
    }

    fn start(&self, cell: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(cell.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.insert(cell.to_owned(), bar);
    }

    /// Shows what waits, if anything does.
    fn show_queue(&self, running: usize, ready: usize, after_others: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = queue.take() {
            old.finish_and_clear();
            self.all.remove(&old);
        }
        if ready + after_others == 0 {
            return;
        }
        let bar = self.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar.set_message(queue_line(running, ready, after_others));
        *queue = Some(bar);
    }

    fn end(&self, cell: &str) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = cells.remove(cell) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

/// What runs and waits, in one line.
fn queue_line(running: usize, ready: usize, after_others: usize) -> String {
    let after = match after_others {
        0 => String::new(),
        more => format!(", {more} come after another"),
    };
    format!("{running} at work, {ready} wait for their turn{after}")
}

impl Events for Bars {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Planned { .. } => {}
            Event::Again { cell, why } => self.say(&format!("{cell}: will run again: {why}")),
            Event::Queue {
                running,
                ready,
                after_others,
            } => self.show_queue(*running, *ready, *after_others),
            Event::Note { text } => self.say(text),
            Event::Started { cell } => self.start(cell),
            Event::Waiting { cell, why } => {
                let text = format!("waiting: {why}");
                self.with_bar(cell, |bar| bar.set_message(printable(&text).into_owned()));
            }
            Event::Stage {
                cell,
                stage,
                objects,
                expected,
            } => self.with_bar(cell, |bar| {
                let of = expected.map_or(String::new(), |all| format!("/{all}"));
                bar.set_message(format!("{stage}, {objects}{of} objects"));
            }),
            Event::Scenario { cell, scenario } => {
                let name = &scenario.name;
                self.with_bar(cell, |bar| bar.set_message(format!("{name} done")));
            }
            Event::Done { record } => {
                self.end(&record.cell);
                self.say(&verdict(record));
            }
            Event::Finished => {
                self.show_queue(0, 0, 0);
                // No bar is in the way of what is printed next.
                let _ = self.all.clear();
            }
        }
    }
}
