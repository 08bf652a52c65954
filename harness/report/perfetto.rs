//! The time line of a run, in the JSON of Chrome's trace events, which <https://ui.perfetto.dev>
//! opens: a cell is a thread, and what it did are slices on it. Times are microseconds after the
//! first cell began.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use serde::Serialize;

use super::json::pretty;
use super::test_tree::{Test, leaves, of_cell, of_tree};
use super::{Reporter, printable};
use crate::model::record::{CellRecord, Cost, Inspection, Outcome, RuleText, RunRecord};
use crate::model::utilization::in_hundredths;

/// Writes records as a trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Perfetto;

/// The only process of a trace.
const PROCESS: u32 = 1;
/// The thread of the first cell. Perfetto takes one with the number of its process for the main
/// thread.
const FIRST_THREAD: usize = 2;
/// No machine has more.
const MOST_PROCESSORS: f64 = 1e6;
const REUSED: &str = "an earlier run built it; it took no time in this one";
const NEVER_BEGAN: &str = "it did not begin";
const NO_TIMES: &str = "a build tree has no time line: what is broken is marked at 0";

impl Reporter for Perfetto {
    fn run(&self, run: &RunRecord) -> String {
        let begins = run.cells.iter().filter_map(begin_of).min();
        let cells = run.cells.iter().zip(FIRST_THREAD..);
        let lines: Vec<Line<'_>> = cells
            .map(|(record, thread)| Line::of(record, thread, begins.unwrap_or_default()))
            .collect();
        let name = format!("klto: {}", run.title());
        let mut events = vec![process(&name)];
        for line in &lines {
            line.write(&mut events);
        }
        events.extend(at_work(&lines));
        events.extend(all_processors(&lines));
        let begin = begins.and_then(DateTime::from_timestamp_micros);
        written(
            events,
            OtherData {
                klto: &run.klto,
                begins: begin.map(|begin| begin.to_rfc3339()),
                note: None,
            },
        )
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        write(tree, &of_tree(inspection, rules))
    }
}

/// Tests of one thing, such as a build tree, which took no time: those that fail are marks.
#[must_use]
pub fn write(name: &str, tests: &[Test]) -> String {
    let mut events = vec![process(&format!("klto: {name}"))];
    events.extend(thread(FIRST_THREAD, "rules"));
    for (_, test) in leaves(tests) {
        events.extend(broken(test, FIRST_THREAD, 0));
    }
    written(
        events,
        OtherData {
            klto: env!("CARGO_PKG_VERSION"),
            begins: None,
            note: Some(NO_TIMES),
        },
    )
}

fn written(trace_events: Vec<Event<'_>>, other_data: OtherData<'_>) -> String {
    pretty(&Document {
        display_time_unit: "ms",
        other_data,
        trace_events,
    })
}

/// The file, with the keys of the format.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    display_time_unit: &'static str,
    other_data: OtherData<'a>,
    trace_events: Vec<Event<'a>>,
}

#[derive(Serialize)]
struct OtherData<'a> {
    /// The version that made the records.
    klto: &'a str,
    /// What 0 is, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    begins: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// The kinds of events, by the letters of the format.
#[derive(Clone, Copy, Serialize)]
enum Phase {
    /// The name of something.
    #[serde(rename = "M")]
    Metadata,
    /// A slice, with its length.
    #[serde(rename = "X")]
    Complete,
    /// A mark.
    #[serde(rename = "i")]
    Instant,
    /// The value of a counter from here on.
    #[serde(rename = "C")]
    Counter,
}

#[derive(Serialize)]
struct Event<'a> {
    ph: Phase,
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    pid: u32,
    /// Counters are the process's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<usize>,
    /// Microseconds.
    ts: u64,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    /// How far a mark goes: `t` for its thread.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Args<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Args<'a> {
    Name { name: Cow<'a, str> },
    Order { sort_index: usize },
    Cell(Box<CellArgs<'a>>),
    Evidence { evidence: Vec<String> },
    Cells { cells: i64 },
    Processors { processors: f64 },
}

#[derive(Serialize)]
struct CellArgs<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    baseline: &'static str,
    reused: bool,
    /// Why it is a mark and no slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    toolchain: Cow<'a, str>,
    #[serde(flatten)]
    cost: Cost,
}

impl<'a> Event<'a> {
    fn new(ph: Phase, name: impl Into<Cow<'a, str>>, ts: u64) -> Event<'a> {
        Event {
            ph,
            name: name.into(),
            cat: None,
            pid: PROCESS,
            tid: None,
            ts,
            dur: None,
            scope: None,
            args: None,
        }
    }

    fn on(self, thread: usize, cat: &'static str, args: Option<Args<'a>>) -> Event<'a> {
        Event {
            tid: Some(thread),
            cat: Some(cat),
            args,
            ..self
        }
    }
}

fn process(name: &str) -> Event<'static> {
    let name = printable(name).into_owned().into();
    Event {
        args: Some(Args::Name { name }),
        ..Event::new(Phase::Metadata, "process_name", 0)
    }
}

/// The name of a thread, and its place among the others.
fn thread(number: usize, name: &str) -> [Event<'_>; 2] {
    let metadata = |what, args| Event {
        tid: Some(number),
        args: Some(args),
        ..Event::new(Phase::Metadata, what, 0)
    };
    let name = printable(name);
    [
        metadata("thread_name", Args::Name { name }),
        metadata("thread_sort_index", Args::Order { sort_index: number }),
    ]
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    begin: u64,
    end: u64,
}

impl Span {
    /// What of a later span is within this one and after `now`, so that slices nest whatever a
    /// record says.
    fn within(self, span: Span, now: u64) -> Span {
        let begin = span.begin.clamp(now.clamp(self.begin, self.end), self.end);
        Span {
            begin,
            end: span.end.clamp(begin, self.end),
        }
    }
}

/// What a cell is on the time line.
struct Line<'a> {
    record: &'a CellRecord,
    thread: usize,
    /// When it was at work in this run, if it was.
    span: Option<Span>,
    /// How many processors it used from each of these times on.
    processors: Vec<(u64, f64)>,
}

impl<'a> Line<'a> {
    /// `zero` is where the time line begins, in microseconds since 1970.
    fn of(record: &'a CellRecord, thread: usize, zero: i64) -> Line<'a> {
        let span = begin_of(record).map(|begin| {
            let begin = u64::try_from(begin.saturating_sub(zero)).unwrap_or_default();
            let end = begin.saturating_add(micros(record.cost.wall_seconds));
            Span { begin, end }
        });
        let processors = span.map(|span| processors(record, span));
        Line {
            record,
            thread,
            span,
            processors: processors.unwrap_or_default(),
        }
    }

    fn write(&self, events: &mut Vec<Event<'a>>) {
        let (record, number) = (self.record, self.thread);
        events.extend(thread(number, &record.cell));
        let name = printable(&record.cell);
        let Some(span) = self.span else {
            let note = if record.reused { REUSED } else { NEVER_BEGAN };
            let args = of_record(record, Some(note));
            let mark = Event::new(Phase::Instant, name, 0).on(number, "cell", Some(args));
            events.push(Event {
                scope: Some("t"),
                ..mark
            });
            return;
        };
        let slice = |name, span: Span, cat, args| Event {
            dur: Some(span.end - span.begin),
            ..Event::new(Phase::Complete, name, span.begin).on(number, cat, args)
        };
        let args = of_record(record, None);
        events.push(slice(name.clone(), span, "cell", Some(args)));
        let stages = self.stages(span);
        for (name, stage) in &stages {
            events.push(slice(printable(name), *stage, "stage", None));
        }
        let test = of_cell(record);
        for (place, test) in leaves(&test.subtests) {
            let stage = if place.is_empty() { "inspect" } else { &place };
            let stage = stages.iter().rfind(|(name, _)| *name == stage);
            let end = stage.map_or(span.end, |(_, stage)| stage.end);
            events.extend(broken(test, number, end));
        }
        let name = match record.cpu_utilization.is_empty() {
            true => format!("processors in use, average of {name}"),
            false => format!("processors in use by {name}"),
        };
        let steps = self.processors.iter();
        events.extend(steps.map(|(at, processors)| in_use(name.clone(), *at, *processors)));
    }

    /// The stages in the time of the run.
    fn stages(&self, cell: Span) -> Vec<(&'a str, Span)> {
        let mut now = cell.begin;
        let stages = self.record.stages.iter().map(|stage| {
            let at = |seconds| cell.begin.saturating_add(micros(seconds));
            let span = Span {
                begin: at(stage.begins_seconds),
                end: at(stage.ends_seconds()),
            };
            let span = cell.within(span, now);
            now = span.end;
            (stage.name.as_str(), span)
        });
        stages.collect()
    }
}

/// When a cell began to work in this run, in microseconds since 1970, if it did.
fn begin_of(record: &CellRecord) -> Option<i64> {
    if record.reused {
        return None;
    }
    let begin = DateTime::parse_from_rfc3339(&record.started).ok()?;
    Some(begin.timestamp_micros())
}

fn micros(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or_default()
}

fn of_record<'a>(record: &'a CellRecord, note: Option<&'static str>) -> Args<'a> {
    let reason = match &record.outcome {
        Outcome::Pass | Outcome::Fail => record.error.clone(),
        Outcome::Error(why) => Some(why.clone()),
        Outcome::Skip(why) => Some(why.to_string()),
    };
    Args::Cell(Box::new(CellArgs {
        outcome: record.outcome.name(),
        reason: reason.map(|reason| printable(&reason).into_owned()),
        baseline: record.baseline.name(),
        reused: record.reused,
        note,
        toolchain: printable(&record.toolchain),
        cost: record.cost,
    }))
}

/// A mark for a test that fails.
fn broken(test: &Test, thread: usize, at: u64) -> Option<Event<'static>> {
    if test.is_ok() {
        return None;
    }
    let (name, cat) = match test.unknown() {
        Some(why) => (format!("inconclusive: {why}"), "inconclusive"),
        None => (test.name.clone(), "finding"),
    };
    let lines = test.diagnostics.iter();
    let evidence = lines.map(|line| printable(line).into_owned()).collect();
    let name = printable(&name).into_owned();
    let args = Args::Evidence { evidence };
    let mark = Event::new(Phase::Instant, name, at).on(thread, cat, Some(args));
    Some(Event {
        scope: Some("t"),
        ..mark
    })
}

/// How many processors a cell used from each of these times on: as the record has it, or the average
/// if an older klto wrote it.
fn processors(record: &CellRecord, span: Span) -> Vec<(u64, f64)> {
    let Cost {
        wall_seconds,
        waited_seconds: _,
        user_seconds,
        system_seconds,
        peak_memory_kib: _,
        disk_kib: _,
    } = record.cost;
    if span.begin == span.end {
        return Vec::new();
    }
    let shown = |processors: f64| processors.clamp(0.0, MOST_PROCESSORS);
    let utilization = &record.cpu_utilization;
    if utilization.is_empty() {
        let average = (user_seconds + system_seconds) / wall_seconds;
        return vec![(span.begin, shown(average)), (span.end, 0.0)];
    }
    let interval = Duration::from_micros(micros(utilization.interval_seconds));
    let mut steps = Vec::new();
    let mut now = span.begin;
    for processors in &utilization.processors {
        let end = now.saturating_add(micros(utilization.interval_seconds));
        let end = end.min(span.end);
        if end > now {
            // The last interval can end after the cell, which used nothing then.
            let part = interval.div_duration_f64(Duration::from_micros(end - now));
            steps.push((now, shown(in_hundredths(processors * part))));
        }
        now = end;
    }
    steps.push((now, 0.0));
    steps.dedup_by_key(|(_, processors)| processors.to_bits());
    steps
}

/// How many processors all cells used together, each time that this changes.
fn all_processors(lines: &[Line<'_>]) -> Vec<Event<'static>> {
    let mut changes: BTreeMap<u64, f64> = BTreeMap::new();
    for line in lines {
        let mut before = 0.0;
        for (at, processors) in &line.processors {
            *changes.entry(*at).or_default() += processors - before;
            before = *processors;
        }
    }
    let mut all = 0.0;
    let counters = changes.into_iter().map(|(at, change)| {
        all += change;
        in_use("processors in use, all cells", at, in_hundredths(all))
    });
    counters.collect()
}

fn in_use<'a>(name: impl Into<Cow<'a, str>>, at: u64, processors: f64) -> Event<'a> {
    Event {
        args: Some(Args::Processors { processors }),
        ..Event::new(Phase::Counter, name, at)
    }
}

/// How many cells are at work, each time that this changes.
fn at_work(lines: &[Line<'_>]) -> Vec<Event<'static>> {
    let mut changes: BTreeMap<u64, i64> = BTreeMap::new();
    for span in lines.iter().filter_map(|line| line.span) {
        *changes.entry(span.begin).or_default() += 1;
        *changes.entry(span.end).or_default() -= 1;
    }
    let mut cells = 0;
    let counters = changes.into_iter().map(|(at, change)| {
        cells += change;
        Event {
            args: Some(Args::Cells { cells }),
            ..Event::new(Phase::Counter, "cells at work", at)
        }
    });
    counters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::within([20, 30], [20, 30])]
    #[case::before_what_was_before([5, 30], [12, 30])]
    #[case::ends_before_it_begins([25, 15], [25, 25])]
    #[case::longer_than_the_cell([30, 99], [30, 40])]
    #[case::after_the_cell([50, 60], [40, 40])]
    fn a_slice_stays_within_its_cell(#[case] span: [u64; 2], #[case] expected: [u64; 2]) {
        let [span, expected] = [span, expected].map(|[begin, end]| Span { begin, end });
        let cell = Span { begin: 10, end: 40 };
        assert_eq!(cell.within(span, 12), expected);
    }

    #[test]
    fn seconds_that_are_no_time_are_none() {
        assert_eq!(micros(1.5), 1_500_000);
        for no_time in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(micros(no_time), 0);
        }
    }
}
