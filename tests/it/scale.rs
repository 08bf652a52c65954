//! The simulation of a night, over cells whose times can be added up by hand.

use std::path::Path;
use std::process::Command;

use klto::model::record::{CellRecord, Cost, RunRecord, StageTime};
use klto::model::utilization::CpuUtilization;
use rstest::rstest;

use crate::support::program::finish;
use crate::support::run_record::run_record;

/// A cell that took these stages, with one processor in use.
fn cell(name: &str, stages: &[(&str, f64)], peak_memory_kib: u64) -> CellRecord {
    let mut ends = 0.0;
    let stages = stages.iter().map(|(name, seconds)| {
        let begins_seconds = ends;
        ends += seconds;
        StageTime {
            name: (*name).to_owned(),
            begins_seconds,
            seconds: *seconds,
        }
    });
    let stages: Vec<StageTime> = stages.collect();
    CellRecord {
        cost: Cost {
            wall_seconds: ends,
            user_seconds: ends,
            peak_memory_kib,
            ..Cost::default()
        },
        stages,
        ..CellRecord::new(name.to_owned())
    }
}

/// One kernel in two modes, the second of which begins with the tree of the first: 105 and 30
/// seconds, of which 15 and 10 are one command after the other.
fn kernel() -> Vec<CellRecord> {
    let dist = [("prepare", 10.0), ("compile", 90.0), ("link vmlinux", 5.0)];
    let thin = [("prepare", 4.0), ("link vmlinux.o", 20.0), ("modpost", 6.0)];
    let first = cell("x86_64/tiny/thin-dist/llvm-22", &dist, 1 << 20);
    let second = CellRecord {
        derived_from: Some(first.cell.clone()),
        ..cell("x86_64/tiny/thin/llvm-22", &thin, 1 << 20)
    };
    vec![first, second]
}

/// What the simulation prints of one machine: makespan, percent in use, GiB of memory, and the rest.
fn simulate(cells: Vec<CellRecord>, args: &[&str]) -> (String, String, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let run = RunRecord {
        cells,
        ..run_record()
    };
    std::fs::write(&report, serde_json::to_vec(&run).unwrap()).unwrap();
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    let program = klto.with_file_name("examples").join("scale");
    let ended = finish(Command::new(program).arg(&report).args(args));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = ended.stdout.lines().last().unwrap().to_owned();
    let words: Vec<&str> = line.split_whitespace().skip(3).collect();
    let lost = words[5..].join(" ");
    (
        words[0].to_owned(),
        words[2].to_owned(),
        words[3].to_owned(),
        lost,
    )
}

#[rstest]
#[case::one_processor_takes_the_sum("1", "1", "1", "135.0", "100.0%")]
#[case::two_in_one_cell("1", "2", "1", "80.0", "84.4%")]
#[case::without_end_the_longest_chain("1", "1000000", "1", "25.0", "0.0%")]
#[case::two_kernels_one_after_the_other("2", "2", "1", "160.0", "84.4%")]
#[case::two_side_by_side_fill_two_processors("2", "2", "2", "135.0", "100.0%")]
#[case::two_side_by_side_take_no_longer_than_one("2", "1000000", "2", "25.0", "0.0%")]
fn a_night_takes_what_can_be_added_up(
    #[case] repeat: &str,
    #[case] processors: &str,
    #[case] at_once: &str,
    #[case] seconds: &str,
    #[case] used: &str,
) {
    let args = [
        "--repeat",
        repeat,
        "--processors",
        processors,
        "--at-once",
        at_once,
    ];
    let (makespan, in_use, memory, _) = simulate(kernel(), &args);
    assert_eq!((makespan.as_str(), in_use.as_str()), (seconds, used));
    assert_eq!(memory, format!("{at_once}.00"));
}

#[test]
fn nodes_share_the_kernels_and_the_last_one_counts() {
    let args = |nodes| {
        [
            "--repeat",
            "3",
            "--processors",
            "2",
            "--at-once",
            "1",
            "--nodes",
            nodes,
        ]
    };
    assert_eq!(simulate(kernel(), &args("3")).0, "80.0");
    assert_eq!(simulate(kernel(), &args("2")).0, "160.0");
}

#[test]
fn too_little_memory_for_two_cells_means_one_after_the_other() {
    let args = |memory| {
        [
            "--repeat",
            "2",
            "--processors",
            "2",
            "--at-once",
            "2",
            "--memory",
            memory,
        ]
    };
    assert_eq!(simulate(kernel(), &args("2GiB")).0, "135.0");
    assert_eq!(simulate(kernel(), &args("1GiB")).0, "160.0");
}

#[test]
fn what_cannot_use_the_processors_is_named() {
    let dist = kernel().swap_remove(0);
    let args = ["--repeat", "9", "--processors", "16", "--at-once", "1"];
    let (.., lost) = simulate(vec![dist], &args);
    // The last of the nine has nothing after it.
    assert_eq!(lost, "prepare 59%, link vmlinux 30%, end of the night 11%");
}

#[test]
fn a_time_line_says_how_much_work_a_stage_is() {
    let mut cells = kernel();
    cells.truncate(1);
    // Of 90 seconds of compilation 45 with two processors in use, and 45 with none.
    cells[0].cpu_utilization = CpuUtilization {
        interval_seconds: 5.0,
        processors: [vec![1.0; 2], vec![2.0; 9], vec![0.0; 9], vec![1.0]].concat(),
    };
    let args = ["--processors", "3", "--at-once", "1"];
    assert_eq!(simulate(cells.clone(), &args).0, "45.0");
    cells[0].cpu_utilization.processors[..2].fill(0.5);
    cells[0].cost.user_seconds = 100.0;
    assert_eq!(simulate(cells, &args).0, "40.0");
}
