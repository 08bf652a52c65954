//! Which job needs which, and the order in which they run.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::input::arch_table;
use crate::model::cell::Base;

pub const ALL: PlanOptions<'static> = PlanOptions {
    reuse_trees: true,
    share_clean_builds: true,
    prepare_all: false,
    one_mode_at_a_time: false,
    compare: &[],
};

pub fn cell(arch: &str, lto: LtoMode, scenarios: &[&str]) -> Cell {
    Cell {
        arch: arch_table::by_name(arch).unwrap().clone(),
        config_name: "tiny".to_owned(),
        base: Base::Goal("tinyconfig".to_owned()),
        fragments: Vec::new(),
        enable: Vec::new(),
        disable: Vec::new(),
        set: BTreeMap::new(),
        lto,
        toolchain_name: "llvm-22".to_owned(),
        make: BTreeMap::new(),
        goals: Vec::new(),
        scenarios: scenarios.iter().map(|s| (*s).to_owned()).collect(),
        timeout: Duration::from_secs(1),
    }
}

/// The plan in short: `1 from 0` begins with the tree of 0, `2 (0 1)` switches to the
/// clean builds of 0 and 1, `2 after 0` is compared with 0, which the matrix names first, `2 not
/// before 1` shares a source tree with 1, `p` notes what was prepared.
fn short(jobs: &[Job]) -> Vec<String> {
    let one = |job: &Job| {
        let mut text = job.id.0.to_string();
        if let Some(base) = job.base {
            text.push_str(&format!(" from {}", base.0));
        }
        if !job.clean_builds.is_empty() {
            let ids: Vec<String> = job.clean_builds.iter().map(|id| id.0.to_string()).collect();
            text.push_str(&format!(" ({})", ids.join(" ")));
        }
        for other in &job.comparisons {
            let order = if other.is_first { "before" } else { "after" };
            text.push_str(&format!(" {order} {}", other.with.0));
        }
        if let Some(other) = job.not_before {
            text.push_str(&format!(" not before {}", other.0));
        }
        if job.prepares {
            text.push_str(" p");
        }
        text
    };
    jobs.iter().map(one).collect()
}

use LtoMode::{Full, None as No, Thin, ThinDist};

#[rstest]
#[case::distributed_first(&[(Thin, "build"), (ThinDist, "build")], &["1", "0 from 1"])]
#[case::nothing_to_begin_with(&[(Thin, "build"), (No, "build")], &["0", "1"])]
#[case::other_modes_are_not_derived(
    &[(ThinDist, "build"), (No, "build"), (Full, "build")], &["0", "1", "2"])]
// Both need it: the base for what begins with its tree.
#[case::a_base_is_prepared_for_what_begins_with_it(
    &[(ThinDist, "build"), (Thin, "clean")], &["0 p", "1 from 0 p"])]
#[case::a_base_alone_is_prepared(
    &[(ThinDist, "clean"), (Thin, "build")], &["0 p", "1 from 0"])]
#[case::switching_comes_last(
    &[(ThinDist, "switch"), (Thin, "build"), (No, "build")], &["1", "2", "0 (1 2) p"])]
#[case::files_are_compared_with_a_tree_of_its_own(
    &[(ThinDist, "build"), (Thin, "shuffle")], &["0", "1 p"])]
#[case::a_mode_that_does_not_switch(
    &[(ThinDist, "build"), (Thin, "switch")], &["0 p", "1 from 0 p"])]
fn jobs_run_after_what_they_need(#[case] cells: &[(LtoMode, &str)], #[case] expected: &[&str]) {
    let cells: Vec<Cell> = cells
        .iter()
        .map(|(lto, scenario)| cell("arm64", *lto, &["build", scenario]))
        .collect();
    let jobs = plan(&cells, ALL);
    assert_eq!(short(&jobs), expected);
    for (at, job) in jobs.iter().enumerate() {
        for needed in job.runs_after() {
            assert!(jobs[..at].iter().any(|before| before.id == needed));
        }
    }
}

#[test]
fn groups_stay_together_and_in_the_order_of_the_matrix() {
    let cells = [
        cell("riscv", Thin, &["build"]),
        cell("arm64", Thin, &["build"]),
        cell("riscv", ThinDist, &["build"]),
        cell("arm64", ThinDist, &["build"]),
    ];
    assert_eq!(
        short(&plan(&cells, ALL)),
        ["2", "0 from 2", "3", "1 from 3"]
    );
    let alone = PlanOptions {
        reuse_trees: false,
        ..ALL
    };
    assert_eq!(short(&plan(&cells, alone)), ["2", "0", "3", "1"]);
}

#[test]
fn modes_are_compared_with_the_first_that_is_named() {
    let cells = [
        cell("arm64", ThinDist, &["build"]),
        cell("arm64", Thin, &["build"]),
        cell("riscv", ThinDist, &["build"]),
    ];
    let options = PlanOptions {
        compare: &[Thin, ThinDist],
        ..ALL
    };
    assert_eq!(
        short(&plan(&cells, options)),
        ["0", "1 from 0 before 0", "2"],
        "riscv has no cell in mode thin"
    );
}

#[test]
fn every_other_mode_is_compared_with_the_first_whatever_runs_first() {
    let modes = [Thin, No, ThinDist, Full];
    let cells = modes.map(|lto| cell("arm64", lto, &["build"]));
    let options = PlanOptions {
        compare: &[No, Thin, ThinDist],
        ..ALL
    };
    assert_eq!(
        short(&plan(&cells, options)),
        ["2", "0 from 2", "1 before 2 before 0", "3"],
        "thin is not compared with thin-dist, and full with none of them"
    );
}

#[test]
fn a_miniature_makes_its_own_clean_builds() {
    let cells = [
        cell("arm64", ThinDist, &["build", "switch"]),
        cell("arm64", Thin, &["build"]),
    ];
    let options = PlanOptions {
        reuse_trees: false,
        share_clean_builds: false,
        prepare_all: true,
        one_mode_at_a_time: true,
        compare: &[],
    };
    assert_eq!(short(&plan(&cells, options)), ["0 p", "1 not before 0 p"]);
}

#[test]
fn modes_that_share_a_source_tree_run_one_after_the_other() {
    let cells = [
        cell("arm64", Thin, &["build"]),
        cell("riscv", ThinDist, &["build"]),
        cell("arm64", ThinDist, &["build"]),
        cell("arm64", Full, &["build"]),
    ];
    let options = PlanOptions {
        reuse_trees: false,
        one_mode_at_a_time: true,
        ..ALL
    };
    let plan = plan(&cells, options);
    assert_eq!(short(&plan), ["2", "0 not before 2", "3 not before 0", "1"]);
    for (at, job) in plan.iter().enumerate() {
        for before in job.runs_after() {
            assert!(plan[..at].iter().any(|other| other.id == before));
        }
    }
}

#[rstest]
#[case::only_built(&[(ThinDist, "build"), (Thin, "boot")], "")]
#[case::nothing_is_compared(&[(ThinDist, "noop"), (Thin, "clean")], "")]
#[case::own_scenario(&[(No, "build"), (Full, "touch")], "1")]
// The first objects of both are those of the base.
#[case::what_began_with_its_tree(&[(ThinDist, "build"), (Thin, "touch")], "0 1")]
#[case::what_it_began_with(&[(ThinDist, "touch"), (Thin, "build")], "0 1")]
#[case::what_switch_compares_with(&[(ThinDist, "switch"), (Thin, "build"), (No, "build")], "0 1 2")]
fn a_build_is_a_measure_if_something_is_compared_with_it(
    #[case] cells: &[(LtoMode, &str)],
    #[case] expected: &str,
) {
    let cells: Vec<Cell> = cells
        .iter()
        .map(|(lto, scenario)| cell("arm64", *lto, &["build", scenario]))
        .collect();
    let jobs = plan(&cells, ALL);
    let mut measures: Vec<usize> = jobs
        .iter()
        .filter(|job| job.is_measure)
        .map(|job| job.id.0)
        .collect();
    measures.sort_unstable();
    let measures: Vec<String> = measures.iter().map(ToString::to_string).collect();
    assert_eq!(measures.join(" "), expected);
}

#[test]
fn a_comparison_of_modes_is_no_measure() {
    let cells = [
        cell("arm64", ThinDist, &["build"]),
        cell("arm64", Thin, &["build"]),
    ];
    let options = PlanOptions {
        compare: &[Thin, ThinDist],
        ..ALL
    };
    assert!(plan(&cells, options).iter().all(|job| !job.is_measure));
}
