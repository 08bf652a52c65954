//! The time line of a run: what Perfetto needs to show it, and that it says what the record says.
//! Perfetto's own reader, `trace_processor`, is a program that is not in any package, so the rules
//! of the format that it reads are checked here.

use std::collections::{BTreeMap, BTreeSet};

use klto::model::cell::LtoMode;
use klto::model::record::{CellRecord, RunRecord, StageTime};
use klto::model::utilization::CpuUtilization;
use klto::report::{Format, Options};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::run_record::{finding, inspection, rules, run_record};

const OPTIONS: Options = Options {
    all: false,
    allowed: false,
};
const SECOND: u64 = 1_000_000;

/// What the first cell does: names and ends.
const STAGES: [(&str, f64); 5] = [
    ("configure", 0.5),
    ("compile", 20.0),
    ("link vmlinux.o", 20.0),
    ("inspect", 21.25),
    ("scenario touch", 40.125),
];

/// The run of all outcomes, whose cells begin 10.5 seconds after each other; the second was made
/// by an earlier one.
fn run() -> RunRecord {
    let mut run = run_record();
    for (number, cell) in run.cells.iter_mut().enumerate() {
        if !cell.started.is_empty() {
            let millis = number * 10_500;
            let (minutes, seconds) = (millis / 60_000, millis % 60_000);
            cell.started = format!(
                "2026-11-25T02:{minutes:02}:{:02}.{:03}Z",
                seconds / 1000,
                seconds % 1000
            );
        }
        let mut begins_seconds = 0.0;
        for (name, end) in STAGES {
            cell.stages.push(StageTime {
                name: name.to_owned(),
                begins_seconds,
                seconds: end - begins_seconds,
            });
            begins_seconds = end;
        }
    }
    run.cells[1].reused = true;
    // The last interval ends 3.5 seconds after the cell. The other cells are of an older klto.
    run.cells[0].cpu_utilization = CpuUtilization {
        interval_seconds: 8.0,
        processors: vec![0.25, 2.0, 2.0, 0.0, 0.5, 0.9],
    };
    run
}

fn trace(run: &RunRecord) -> Value {
    let text = Format::Perfetto.reporter(OPTIONS).run(run);
    serde_json::from_str(&text).unwrap()
}

fn events(trace: &Value) -> &[Value] {
    trace["traceEvents"].as_array().unwrap()
}

/// The events of a kind: its letter and its category, or its name.
fn of<'a>(trace: &'a Value, ph: &str, what: &str) -> Vec<&'a Value> {
    let is = |event: &&Value| event["ph"] == ph && (event["cat"] == what || event["name"] == what);
    events(trace).iter().filter(is).collect()
}

fn ends(event: &Value) -> u64 {
    event["ts"].as_u64().unwrap() + event["dur"].as_u64().unwrap()
}

/// What the format asks of each event, and that the slices of a thread nest.
fn check(trace: &Value) {
    let mut threads: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for event in events(trace) {
        assert!(event["name"].is_string(), "{event:#}");
        assert_eq!(event["pid"], 1, "{event:#}");
        let begin = event["ts"].as_u64().expect("a time is not negative");
        let thread = event["tid"].as_u64();
        match event["ph"].as_str().unwrap() {
            "M" if event["name"] == "process_name" => assert!(event["args"]["name"].is_string()),
            "M" => {
                named.insert(thread.unwrap());
            }
            "X" => {
                let open = threads.entry(thread.unwrap()).or_default();
                // In the order of the file, one after the other or one in the other.
                open.retain(|end| begin < *end || (begin == *end && ends(event) == *end));
                assert!(open.iter().all(|end| ends(event) <= *end), "{event:#}");
                open.push(ends(event));
            }
            "i" => assert!(event["s"] == "t" && thread.is_some(), "{event:#}"),
            "C" => {
                let values = event["args"].as_object().unwrap();
                assert!(!values.is_empty() && values.values().all(Value::is_number));
            }
            other => panic!("{other}: {event:#}"),
        }
        assert!(
            thread.is_none_or(|thread| named.contains(&thread)),
            "{event:#}"
        );
    }
}

#[test]
fn every_cell_of_a_run_is_on_a_valid_time_line() {
    let run = run();
    let trace = trace(&run);
    check(&trace);

    let threads = of(&trace, "M", "thread_name");
    let names: Vec<&Value> = threads.iter().map(|event| &event["args"]["name"]).collect();
    let cells: Vec<&str> = run.cells.iter().map(|cell| cell.cell.as_str()).collect();
    assert_eq!(names, cells);
    for (thread, cell) in threads.iter().zip(&run.cells) {
        let is_own = |event: &&Value| event["cat"] == "cell" && event["tid"] == thread["tid"];
        let own: Vec<&Value> = events(&trace).iter().filter(is_own).collect();
        let [own] = own[..] else {
            panic!("{own:#?}");
        };
        assert_eq!(own["name"], cell.cell);
        assert_eq!(own["args"]["outcome"], cell.outcome.name());
        assert_eq!(own["args"]["wall_seconds"], cell.cost.wall_seconds);
        let is_slice = !cell.reused && !cell.started.is_empty();
        assert_eq!(own["ph"], if is_slice { "X" } else { "i" }, "{own:#}");
    }
    assert_eq!(trace["otherData"]["begins"], "2026-11-25T02:00:00+00:00");
}

#[test]
fn stages_are_where_and_as_long_as_the_record_says() {
    let trace = trace(&run());
    let third = &of(&trace, "X", "cell")[1];
    let begin = 21 * SECOND;
    assert_eq!([&third["ts"], &third["dur"]], [begin, 225_250_000]);
    let stages = of(&trace, "X", "stage");
    let stages = stages.iter().filter(|event| event["tid"] == third["tid"]);
    let stages: Vec<Value> = stages
        .map(|event| json!([event["name"], event["ts"], event["dur"]]))
        .collect();
    assert_eq!(
        stages,
        [
            json!(["configure", begin, 500_000]),
            json!(["compile", begin + 500_000, 19_500_000]),
            json!(["link vmlinux.o", begin + 20 * SECOND, 0]),
            json!(["inspect", begin + 20 * SECOND, 1_250_000]),
            json!(["scenario touch", begin + 21_250_000, 18_875_000]),
        ]
    );
}

#[test]
fn what_is_broken_is_marked_where_it_was_found() {
    let trace = trace(&run());
    let mark = |cell: &str, name: &str| {
        let thread = of(&trace, "X", cell)[0];
        let marks = of(&trace, "i", name);
        let mark = marks.iter().find(|mark| mark["tid"] == thread["tid"]);
        let mark = mark.unwrap_or_else(|| panic!("{name}"));
        let after = mark["ts"].as_u64().unwrap() - thread["ts"].as_u64().unwrap();
        (after, mark["args"]["evidence"][1].clone())
    };
    assert_eq!(
        mark("x86_64/tiny/thin-dist/llvm-22", "flags.saved-missing"),
        (
            21_250_000,
            json!("init/1.o: init/.1.o.cmd: no saved_c_flags line")
        )
    );
    let evidence = "vmlinux.a, after 'touch init/main.c': expected 4096 bytes, found 4100";
    assert_eq!(
        mark("loongarch/tiny/thin-dist/llvm-22", "rebuild.differs"),
        (40_125_000, json!(evidence))
    );
    // No stage of the record has this name: it is marked at the end of the cell.
    let (at, _) = mark("x86_64/boot/thin/llvm-22", "boot.panic");
    assert_eq!(at, 260 * SECOND);
}

#[test]
fn counters_say_how_much_was_at_work() {
    let run = run();
    let trace = trace(&run);
    let counts = of(&trace, "C", "cells at work");
    let counts: Vec<(u64, i64)> = counts
        .iter()
        .map(|event| {
            let cells = event["args"]["cells"].as_i64().unwrap();
            (event["ts"].as_u64().unwrap(), cells)
        })
        .collect();
    assert_eq!(counts[..3], [(0, 1), (21 * SECOND, 2), (31_500_000, 3)]);
    assert!(counts.is_sorted());
    assert_eq!(counts.last().map(|(_, cells)| *cells), Some(0));
}

/// The values of a counter, and from when on it has each.
fn processors(trace: &Value, name: &str) -> Vec<(u64, f64)> {
    let counters = of(trace, "C", name);
    let value = |event: &&Value| {
        let processors = event["args"]["processors"].as_f64().unwrap();
        (event["ts"].as_u64().unwrap(), processors)
    };
    counters.iter().map(value).collect()
}

#[test]
fn counters_say_how_many_processors_were_in_use() {
    let mut run = run();
    let shown = trace(&run);
    let by_cell = processors(&shown, "processors in use by arm64/tiny/thin/llvm-22");
    let expected = [
        (0, 0.25),
        (8 * SECOND, 2.0),
        (24 * SECOND, 0.0),
        (32 * SECOND, 0.5),
        (40 * SECOND, 1.6),
        (44_500_000, 0.0),
    ];
    assert_eq!(by_cell, expected);

    // Only the average is in the record of an older klto.
    let name = "processors in use, average of x86_64/tiny/thin-dist/llvm-22";
    let average = processors(&shown, name);
    let used = (225.25 * 1.5 + 8.25) / 225.25;
    let [(21_000_000, of_third), (246_250_000, 0.0)] = average[..] else {
        panic!("{average:?}");
    };
    assert!((of_third - used).abs() < 1e-9);

    let all = processors(&shown, "processors in use, all cells");
    assert!(all.is_sorted_by_key(|(at, _)| *at));
    assert_eq!(all[..2], expected[..2]);
    assert_eq!(all[2], (21 * SECOND, 3.54));
    assert_eq!(all[3], (24 * SECOND, 1.54));
    assert_eq!(all.last().map(|(_, processors)| *processors), Some(0.0));

    run.cells[0].reused = true;
    let reused = trace(&run);
    let by_cell = processors(&reused, "processors in use by arm64/tiny/thin/llvm-22");
    assert_eq!(by_cell, []);
    // The third cell begins the time line.
    let all = processors(&reused, "processors in use, all cells");
    assert_eq!(all[0], (0, 1.54));
}

#[test]
fn a_cell_of_an_earlier_run_took_no_time() {
    let mut run = run();
    run.cells.truncate(2);
    let reused = trace(&run);
    let marks = of(&reused, "i", "cell");
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0]["args"]["reused"], true);
    let note = "an earlier run built it; it took no time in this one";
    assert_eq!(marks[0]["args"]["note"], note);

    run.cells[0].reused = true;
    let nothing = trace(&run);
    check(&nothing);
    assert_eq!(of(&nothing, "i", "cell").len(), 2);
    assert!(events(&nothing).iter().all(|event| event["ts"] == 0));
}

fn used(cell: &mut CellRecord, interval_seconds: f64, processors: &[f64]) {
    cell.cpu_utilization = CpuUtilization {
        interval_seconds,
        processors: processors.to_vec(),
    };
}

/// A record can come from a clock that went back, or from a file that somebody edited.
#[rstest]
#[case::stages_overlap(|cell: &mut CellRecord| cell.stages[1].begins_seconds = 0.1)]
#[case::stage_before_the_cell(|cell: &mut CellRecord| cell.stages[1].begins_seconds = -7.0)]
#[case::stage_after_the_cell(|cell: &mut CellRecord| cell.stages[4].begins_seconds = 1e9)]
#[case::negative_time(|cell: &mut CellRecord| cell.stages[1].seconds = -7.0)]
#[case::no_time_at_all(|cell: &mut CellRecord| cell.cost.wall_seconds = 0.0)]
#[case::no_processors(|cell: &mut CellRecord| used(cell, 8.0, &[-2.0, 1.0]))]
#[case::too_many_processors(|cell: &mut CellRecord| used(cell, 1e9, &[1e308, 1e308]))]
#[case::no_interval(|cell: &mut CellRecord| used(cell, 0.0, &[1.0, 2.0]))]
#[case::negative_interval(|cell: &mut CellRecord| used(cell, -8.0, &[1.0, 2.0]))]
#[case::endless_interval(|cell: &mut CellRecord| used(cell, 1e300, &[1.0, 2.0]))]
#[case::no_date(|cell: &mut CellRecord| cell.started = "yesterday".to_owned())]
#[case::before_1970(|cell: &mut CellRecord| cell.started = "1950-01-01T00:00:00Z".to_owned())]
fn a_record_of_impossible_times_is_a_valid_time_line(#[case] change: fn(&mut CellRecord)) {
    let mut run = run();
    change(&mut run.cells[2]);
    check(&trace(&run));
}

#[test]
fn a_tree_is_a_time_line_of_marks() {
    let missing = finding("flags.saved-missing", "init/main.o\u{1b}[2K", "no line");
    let tree = inspection("x86_64", LtoMode::ThinDist, vec![missing]);
    let text = Format::Perfetto
        .reporter(OPTIONS)
        .inspection("linux-build", &tree, &rules());
    let trace: Value = serde_json::from_str(&text).unwrap();
    check(&trace);
    assert_eq!(of(&trace, "X", "cell"), [&Value::Null; 0]);
    let marks = of(&trace, "i", "finding");
    assert_eq!(marks.len(), 1, "{text}");
    assert_eq!(marks[0]["name"], "flags.saved-missing");
    let evidence = "init/main.o\\u{1b}[2K: no line";
    assert_eq!(marks[0]["args"]["evidence"][1], evidence);
}

#[test]
fn a_time_line_reads_well() {
    let mut run = run();
    run.cells.truncate(2);
    let text = Format::Perfetto.reporter(OPTIONS).run(&run);
    insta::assert_snapshot!("run-perfetto", text);
}
