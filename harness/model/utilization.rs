//! How many processors a job used over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time line has at most this many intervals.
pub const MOST_INTERVALS: u32 = 60;
/// The length that intervals have at first.
const FIRST_INTERVAL: f64 = 0.25;

/// Processors in use over time (what `perf stat` calls "CPUs utilized"), by the commands of a job,
/// not by klto itself. The kernel counts the processor time in user mode and in the kernel; klto
/// looks at it about five times a second while a command runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuUtilization {
    /// The length of each interval. The first begins when the job begins, the others follow each
    /// other.
    pub interval_seconds: f64,
    /// Of each interval, at most 60: processor time divided by the length of the interval, rounded
    /// to 2 digits. The last interval can end after the job; nothing is in use after it. As for
    /// stages, what earlier runs took counts, what was between two runs does not.
    pub processors: Vec<f64>,
}

impl Default for CpuUtilization {
    fn default() -> CpuUtilization {
        CpuUtilization {
            interval_seconds: FIRST_INTERVAL,
            processors: Vec::new(),
        }
    }
}

impl CpuUtilization {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processors.is_empty()
    }

    /// All processor time, in seconds.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        self.processors.iter().sum::<f64>() * self.interval_seconds
    }

    /// Adds processor time that was used evenly between two times, in seconds after the job began.
    /// Where they are beyond the time line, it becomes longer: intervals are joined in pairs
    /// until there are few enough.
    pub fn add(&mut self, begins: f64, ends: f64, processor_seconds: f64) {
        let begins = begins.max(0.0);
        let ends = ends.max(begins);
        if !(ends.is_finite() && self.interval_seconds > 0.0) {
            return;
        }
        while self.interval_seconds * f64::from(MOST_INTERVALS) <= ends {
            self.join_pairs();
        }
        let interval = self.interval_seconds;
        for (number, place) in (0..MOST_INTERVALS).zip(0_usize..) {
            let from = f64::from(number) * interval;
            let to = from + interval;
            let share = match ends - begins {
                length if length > 0.0 => (to.min(ends) - from.max(begins)) / length,
                _ if (from..to).contains(&begins) => 1.0,
                _ => 0.0,
            };
            if share > 0.0 {
                let length = self.processors.len().max(place + 1);
                self.processors.resize(length, 0.0);
                self.processors[place] += share * processor_seconds / interval;
            }
        }
    }

    /// Adds a time line that begins that many seconds after the job.
    pub fn add_later(&mut self, begins: f64, later: &CpuUtilization) {
        let mut from = begins;
        for processors in &later.processors {
            let to = from + later.interval_seconds;
            self.add(from, to, processors * later.interval_seconds);
            from = to;
        }
    }

    /// As it is kept.
    #[must_use]
    pub fn rounded(mut self) -> CpuUtilization {
        for processors in &mut self.processors {
            *processors = in_hundredths(*processors);
        }
        self
    }

    fn join_pairs(&mut self) {
        let pairs = self.processors.chunks(2);
        self.processors = pairs.map(|pair| pair.iter().sum::<f64>() / 2.0).collect();
        self.interval_seconds *= 2.0;
    }
}

/// Rounds to 2 digits.
#[must_use]
pub fn in_hundredths(number: f64) -> f64 {
    // There is a negative zero.
    (number * 100.0).round() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(interval_seconds: f64, processors: &[f64]) -> CpuUtilization {
        CpuUtilization {
            interval_seconds,
            processors: processors.to_vec(),
        }
    }

    #[test]
    fn time_that_is_used_lies_in_its_intervals() {
        let mut line = CpuUtilization::default();
        assert!(line.is_empty());
        line.add(0.0, 0.25, 0.5);
        line.add(0.375, 0.875, 1.0);
        // A moment has its time, too.
        line.add(1.0, 1.0, 0.25);
        assert_eq!(line, of(0.25, &[2.0, 1.0, 2.0, 1.0, 1.0]));
        // Nothing that is used is known all the same.
        line.add(1.25, 1.5, 0.0);
        assert_eq!(line.processors.len(), 6);
    }

    #[test]
    fn a_long_job_has_longer_intervals() {
        let mut line = CpuUtilization::default();
        line.add(0.0, 0.25, 1.0);
        line.add(14.75, 15.5, 1.5);
        let mut expected = vec![0.0; 31];
        expected[0] = 2.0;
        expected[29..].copy_from_slice(&[1.0, 2.0]);
        assert_eq!(line, of(0.5, &expected));
        line.add(3600.0, 3601.0, 64.0);
        let mut expected = vec![0.0; 57];
        expected[0] = 2.5 / 64.0;
        expected[56] = 1.0;
        assert_eq!(line, of(64.0, &expected));
    }

    #[test]
    fn what_a_later_run_used_comes_after_the_earlier_ones() {
        let mut line = of(2.0, &[1.0, 3.0]);
        line.add_later(3.0, &of(0.5, &[2.0, 4.0, 0.0, 6.0]));
        assert_eq!(line, of(2.0, &[1.0, 4.5, 1.5]));
    }

    #[test]
    fn a_kept_time_line_has_two_digits() {
        let line = of(0.25, &[1.234_567, 0.0, -1e-17, 3.995_1]).rounded();
        let text = serde_json::to_string(&line).unwrap();
        let kept = r#"{"interval_seconds":0.25,"processors":[1.23,0.0,0.0,4.0]}"#;
        assert_eq!(text, kept);
    }

    #[test]
    fn times_that_are_none_change_nothing() {
        for interval in [0.25, 0.0, -1.0, f64::NAN] {
            let mut line = of(interval, &[]);
            line.add(0.0, f64::INFINITY, 1.0);
            assert!(line.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_processor_time_is_lost_and_the_time_line_is_never_long(
            uses in prop::collection::vec((0.0..600.0_f64, 0.0..90.0_f64, 0.0..300.0_f64), 0..80),
            begins in 0.0..5000.0_f64,
        ) {
            let mut line = CpuUtilization::default();
            let mut used = 0.0;
            for (from, length, processor_seconds) in uses {
                line.add(from, from + length, processor_seconds);
                used += processor_seconds;
                prop_assert!(line.processors.len() <= MOST_INTERVALS as usize);
                prop_assert!((line.processor_seconds() - used).abs() < 1e-6);
            }
            let mut all = line.clone();
            all.add_later(begins, &line);
            prop_assert!(all.processors.len() <= MOST_INTERVALS as usize);
            prop_assert!((all.processor_seconds() - 2.0 * used).abs() < 1e-6);
        }
    }
}
