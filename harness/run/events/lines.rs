//! Plain lines, for logs and pipes: one for each stage that a cell reaches, one every half
//! minute while a stage goes on, and each verdict as it lands.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, Events, say, verdict};

/// How often a line says that a long stage goes on.
const EVERY: Duration = Duration::from_secs(30);

/// Writes lines to standard error.
#[derive(Debug, Default)]
pub struct Lines {
    /// By cell: the stage that was last written, and when.
    last: Mutex<BTreeMap<String, (&'static str, Instant)>>,
}

impl Lines {
    /// Nothing has been written yet.
    #[must_use]
    pub fn new() -> Lines {
        Lines::default()
    }

    /// The line for an event, if it gets one.
    fn line(&self, event: &Event<'_>, now: Instant) -> Option<String> {
        match event {
            Event::Planned { .. }
            | Event::Started { .. }
            | Event::Queue { .. }
            | Event::Finished => None,
            Event::Note { text } => Some((*text).to_owned()),
            Event::Waiting { cell, why } => Some(format!("{cell}: waiting: {why}")),
            Event::Again { cell, why } => Some(format!("{cell}: will run again: {why}")),
            Event::Stage {
                cell,
                stage,
                objects,
                expected,
            } => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let is_old = last
                    .get(*cell)
                    .is_some_and(|(known, at)| known == stage && now.duration_since(*at) < EVERY);
                if is_old {
                    return None;
                }
                last.insert((*cell).to_owned(), (stage, now));
                Some(match expected {
                    Some(expected) => {
                        format!("{cell}: {stage} ({objects} of about {expected} objects)")
                    }
                    None => format!("{cell}: {stage} ({objects} objects)"),
                })
            }
            Event::Scenario { cell, scenario } => {
                let open = scenario.findings.iter().filter(|f| f.is_open()).count();
                let what = match (open, scenario.skipped.first()) {
                    (0, Some(skip)) if skip.step.is_none() => format!("skipped: {skip}"),
                    (0, _) => "done".to_owned(),
                    (n, _) => crate::model::finding::counted(n, "findings"),
                };
                Some(format!("{cell}: {}: {what}", scenario.name))
            }
            Event::Done { record } => Some(verdict(record)),
        }
    }
}

impl Events for Lines {
    fn on(&self, event: &Event<'_>) {
        if let Some(line) = self.line(event, Instant::now()) {
            say(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{CellRecord, ScenarioRecord, SkipReason};

    fn stage<'a>(cell: &'a str, stage: &'static str, objects: u64) -> Event<'a> {
        Event::Stage {
            cell,
            stage,
            objects,
            expected: Some(9),
        }
    }

    #[test]
    fn a_stage_is_written_when_it_begins_and_every_half_minute() {
        let lines = Lines::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let line = |event: &Event<'_>, seconds| lines.line(event, at(seconds));
        assert_eq!(
            line(&stage("a", "compile", 1), 0).as_deref(),
            Some("a: compile (1 of about 9 objects)")
        );
        assert_eq!(line(&stage("a", "compile", 2), 29), None);
        assert!(
            line(&stage("b", "compile", 2), 29).is_some(),
            "another cell"
        );
        assert!(line(&stage("a", "compile", 3), 30).is_some());
        assert!(line(&stage("a", "back end", 3), 31).is_some());
    }

    #[test]
    fn verdicts_and_scenarios_are_written_as_they_end() {
        let lines = Lines::new();
        let now = Instant::now();
        let scenario = ScenarioRecord::skipped("switch", SkipReason::BuildFailed);
        let event = Event::Scenario {
            cell: "a",
            scenario: &scenario,
        };
        assert_eq!(
            lines.line(&event, now).as_deref(),
            Some("a: switch: skipped: the build failed")
        );
        let record = CellRecord::inconclusive("a".to_owned(), "no disk".to_owned());
        assert_eq!(
            lines.line(&Event::Done { record: &record }, now).as_deref(),
            Some("a: inconclusive: no disk")
        );
    }
}
