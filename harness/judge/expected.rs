//! What a cell is expected to take, by what it took in earlier runs. Pure.

use crate::model::record::Outcome;

/// What a run of a cell took.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// Its name in the store.
    pub run: String,
    /// When it was recorded, in RFC 3339, UTC.
    pub recorded: String,
    /// As [`crate::model::record::CellRecord::revision`].
    pub revision: String,
    /// As [`Outcome::name`].
    pub outcome: String,
    /// Wall time of the build and all that came after it, without waits for others.
    pub seconds: f64,
    /// As [`crate::model::record::Cost::peak_memory_kib`]; 0 if unknown.
    pub memory_kib: u64,
    /// As [`crate::model::record::Cost::disk_kib`]; 0 if unknown.
    pub disk_kib: u64,
}

impl PastRun {
    /// Whether the cell was built to its end, and the result says something of the kernel.
    #[must_use]
    pub fn is_result(&self) -> bool {
        let results = [Outcome::Pass, Outcome::Fail];
        results.iter().any(|outcome| outcome.name() == self.outcome)
    }
}

/// What a cell is expected to take; `None` where no earlier run says so.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    /// Wall time, without waits for others.
    pub seconds: Option<f64>,
    /// The most memory that its commands have at one time, in KiB.
    pub memory_kib: Option<u64>,
    /// What its build tree takes on disk, in KiB.
    pub disk_kib: Option<u64>,
}

impl Expected {
    /// From earlier runs, the newest first: the time of the last result, and the largest amounts
    /// of memory and disk, for what does not fit costs more than what waits.
    #[must_use]
    pub fn of(past: &[PastRun]) -> Expected {
        let largest = |of: fn(&PastRun) -> u64| past.iter().map(of).filter(|kib| *kib > 0).max();
        let last = past.iter().find(|run| run.is_result());
        Expected {
            seconds: last.map(|run| run.seconds),
            memory_kib: largest(|run| run.memory_kib),
            disk_kib: largest(|run| run.disk_kib),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn run(outcome: &str, seconds: f64, memory_kib: u64, disk_kib: u64) -> PastRun {
        PastRun {
            run: String::new(),
            recorded: String::new(),
            revision: String::new(),
            outcome: outcome.to_owned(),
            seconds,
            memory_kib,
            disk_kib,
        }
    }

    #[rstest]
    #[case::nothing_known(&[], (None, None, None))]
    #[case::the_last(
        &[run("pass", 3.0, 4, 0), run("fail", 9.0, 5, 0)],
        (Some(3.0), Some(5), None)
    )]
    #[case::one_that_was_cut_short_says_nothing_of_the_time(
        &[run("error", 1.0, 9, 0), run("skip", 0.0, 0, 0), run("fail", 9.0, 4, 7)],
        (Some(9.0), Some(9), Some(7))
    )]
    fn what_is_expected_follows_from_earlier_runs(
        #[case] past: &[PastRun],
        #[case] expected: (Option<f64>, Option<u64>, Option<u64>),
    ) {
        let of = Expected::of(past);
        assert_eq!((of.seconds, of.memory_kib, of.disk_kib), expected);
    }
}
