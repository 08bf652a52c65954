//! What children cost: processor time, as the kernel counts it for a child and all that it
//! waited for, and memory, looked at while they run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a number of children have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The largest amount of memory that the processes of one child had to themselves at one
    /// time, in KiB, sampled at most five times a second: 0 for a child that ended before
    /// the first sample.
    pub peak_memory_kib: u64,
}

/// Adds up what the commands that carry it cost. All clones share one sum.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Usage>>);

impl Meter {
    /// A sum that begins with nothing.
    #[must_use]
    pub fn new() -> Meter {
        Meter::default()
    }

    /// The sum so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, one: Usage) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.user += one.user;
        sum.system += one.system;
        sum.peak_memory_kib = sum.peak_memory_kib.max(one.peak_memory_kib);
    }
}

/// Processor time out of `/proc/PID/stat` (`proc_pid_stat(5)`, fields 14 to 17): of the
/// process and of the children that it waited for. A zombie still has it.
pub(super) fn processor_time(stat: &str, ticks_per_second: u64) -> Option<(Duration, Duration)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // The state is field 3.
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (user, system, children_user, children_system) = (next()?, next()?, next()?, next()?);
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / ticks_per_second.max(1));
    Some((time(user + children_user), time(system + children_system)))
}

/// Pages that only this process has, out of `/proc/PID/statm`: resident less shared.
pub(super) fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (resident, shared) = (next()?, next()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_includes_the_children_that_were_waited_for() {
        let stat = "12 (a) b) Z 1 12 12 0 -1 0 1 2 3 4 100 20 300 50 20 0 1 0 9 0 0";
        let millis = |n| Duration::from_millis(n);
        assert_eq!(processor_time(stat, 100), Some((millis(4000), millis(700))));
        assert_eq!(processor_time("", 100), None);
    }

    #[test]
    fn shared_pages_are_not_counted() {
        assert_eq!(own_pages("900 300 100 1 0 2 0\n"), Some(200));
        assert_eq!(own_pages("0 0 0 0 0 0 0"), Some(0));
        assert_eq!(own_pages(""), None);
    }

    #[test]
    fn clones_share_one_sum() {
        let meter = Meter::new();
        let one = Usage {
            user: Duration::from_secs(1),
            system: Duration::from_secs(2),
            peak_memory_kib: 7,
        };
        meter.clone().add(one);
        let more = Usage {
            peak_memory_kib: 5,
            ..one
        };
        meter.add(more);
        let usage = meter.usage();
        assert_eq!((usage.user.as_secs(), usage.system.as_secs()), (2, 4));
        assert_eq!(usage.peak_memory_kib, 7);
    }
}
