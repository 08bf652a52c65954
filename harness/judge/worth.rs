//! Which cells a night runs first, where its time may not suffice for all. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::expected::PastRun;
use crate::model::arch::Arch;

/// What is known of a cell before a night.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    pub cell: &'a str,
    /// Earlier runs, the newest first.
    pub past: &'a [PastRun],
    /// Whether its sources have changed since its last result, as far as its architecture reads
    /// them.
    pub is_changed: bool,
}

impl Standing<'_> {
    fn last(&self) -> Option<&PastRun> {
        last_result(self.past)
    }

    fn is_red(&self) -> bool {
        // A cell that the machine stopped says nothing of the kernel.
        self.last().is_some_and(|run| run.outcome != "pass")
    }
}

/// The last run of a cell that says something of the kernel.
#[must_use]
pub fn last_result(past: &[PastRun]) -> Option<&PastRun> {
    past.iter().find(|run| run.is_result())
}

/// The rank of each cell, the first to run is 0: what has changed or never ran, of that what failed
/// last, of that what has not run for the longest time.
#[must_use]
pub fn ranks(cells: &[Standing<'_>]) -> BTreeMap<String, usize> {
    let mut order: Vec<&Standing<'_>> = cells.iter().collect();
    order.sort_by_key(|standing| {
        let last = standing.last();
        let is_changed = standing.is_changed || last.is_none();
        let recorded = last.map(|run| run.recorded.as_str());
        (Reverse(is_changed), Reverse(standing.is_red()), recorded)
    });
    let ranked = order.into_iter().enumerate();
    ranked
        .map(|(rank, standing)| (standing.cell.to_owned(), rank))
        .collect()
}

/// Whether one of the files that changed can concern kernels of an architecture: everything but
/// documentation, and the code of other architectures.
#[must_use]
pub fn concerns(arch: &Arch, changed: &[String]) -> bool {
    changed.iter().any(|file| match file.split_once('/') {
        Some(("Documentation", _)) => false,
        // Files of the folder itself are of all.
        Some(("arch", below)) => match below.split_once('/') {
            Some((other, _)) => other == arch.src,
            None => true,
        },
        Some(_) | None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::arch_table;
    use rstest::rstest;

    fn run(outcome: &str, recorded: &str) -> PastRun {
        PastRun {
            run: String::new(),
            recorded: recorded.to_owned(),
            revision: String::new(),
            outcome: outcome.to_owned(),
            seconds: 1.0,
            memory_kib: 0,
            disk_kib: 0,
        }
    }

    #[test]
    fn what_changed_comes_first_then_what_is_red_then_what_is_oldest() {
        let red = [run("error", "2026-11-09"), run("fail", "2026-11-05")];
        let [old, new] = ["2026-11-01", "2026-11-08"].map(|date| [run("pass", date)]);
        let stopped = [run("error", "2026-11-09")];
        let standing = |cell, past, is_changed| Standing {
            cell,
            past,
            is_changed,
        };
        let cells = [
            standing("new", &new[..], false),
            standing("old", &old, false),
            standing("red", &red, false),
            standing("changed", &new, true),
            standing("changed and red", &red, true),
            standing("never judged", &stopped, false),
        ];
        let ranks = ranks(&cells);
        let mut order: Vec<&str> = cells.iter().map(|standing| standing.cell).collect();
        order.sort_by_key(|cell| ranks[*cell]);
        assert_eq!(
            order,
            [
                "changed and red",
                "never judged",
                "changed",
                "red",
                "old",
                "new"
            ]
        );
    }

    #[rstest]
    #[case::own(&["arch/riscv/Makefile"], true)]
    #[case::others(&["arch/arm64/Makefile", "Documentation/kbuild/llvm.rst"], false)]
    #[case::of_all(&["arch/arm64/Makefile", "scripts/Makefile.thinlto"], true)]
    #[case::of_all_in_arch(&["arch/Kconfig"], true)]
    #[case::top(&["Makefile"], true)]
    #[case::nothing(&[], false)]
    fn a_change_concerns_the_architectures_that_read_it(
        #[case] changed: &[&str],
        #[case] expected: bool,
    ) {
        let arch = arch_table::by_name("riscv").unwrap();
        let changed: Vec<String> = changed.iter().map(|file| (*file).to_owned()).collect();
        assert_eq!(concerns(arch, &changed), expected);
    }
}
