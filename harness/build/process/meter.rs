//! What children cost: processor time, as the kernel counts it for a child and all that it
//! waited for, memory, and the processors that they use over time, looked at while they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::group::Group;
use crate::model::utilization::CpuUtilization;

/// After each look at a group, the pause is at least this many times as long as the look, which
/// takes longer the more processes the machine has.
const REST: u32 = 50;

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

/// Adds up what the commands that carry it cost, and notes when they used processors. All clones
/// share one sum.
#[derive(Debug, Clone)]
pub struct Meter {
    /// Where the time line begins.
    begins: Instant,
    sum: Arc<Mutex<Sum>>,
}

#[derive(Debug, Default)]
struct Sum {
    usage: Usage,
    utilization: CpuUtilization,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter::new()
    }
}

impl Meter {
    /// A sum that begins with nothing, and a time line that begins now.
    #[must_use]
    pub fn new() -> Meter {
        Meter {
            begins: Instant::now(),
            sum: Arc::default(),
        }
    }

    /// The sum so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.sum().usage
    }

    /// When processors were in use so far.
    #[must_use]
    pub fn utilization(&self) -> CpuUtilization {
        self.sum().utilization.clone()
    }

    fn sum(&self) -> MutexGuard<'_, Sum> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, one: Usage) {
        let sum = &mut self.sum().usage;
        sum.user += one.user;
        sum.system += one.system;
        sum.peak_memory_kib = sum.peak_memory_kib.max(one.peak_memory_kib);
    }

    /// Notes processor time that was used between two times.
    fn note(&self, [from, to]: [Instant; 2], used: Duration) {
        let [from, to] = [from, to].map(|at| at.saturating_duration_since(self.begins));
        let utilization = &mut self.sum().utilization;
        utilization.add(from.as_secs_f64(), to.as_secs_f64(), used.as_secs_f64());
    }
}

/// Looks at the group of a command while it runs.
pub(super) struct Watch<'a> {
    meter: &'a Meter,
    last_look: Instant,
    next_look: Instant,
    /// What the group has used until the last look.
    processor_time: Duration,
    peak_memory_kib: u64,
}

impl<'a> Watch<'a> {
    /// Of a command that begins now.
    pub fn new(meter: &'a Meter) -> Watch<'a> {
        let now = Instant::now();
        Watch {
            meter,
            last_look: now,
            next_look: now,
            processor_time: Duration::ZERO,
            peak_memory_kib: 0,
        }
    }

    /// Looks at the group, unless the last look is too near.
    pub fn tick(&mut self, group: &Group) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        let look = group.look();
        self.next_look = Instant::now() + now.elapsed() * REST;
        self.peak_memory_kib = self.peak_memory_kib.max(look.memory_kib);
        self.advance(now, look.processor_time);
    }

    /// Adds what the command cost to the meter; its processes have ended, and its leader is not
    /// reaped.
    pub fn end(mut self, group: &Group) {
        let (user, system) = group.processor_time().unwrap_or_default();
        self.advance(Instant::now(), user + system);
        self.meter.add(Usage {
            user,
            system,
            peak_memory_kib: self.peak_memory_kib,
        });
    }

    /// Notes what was used since the last look. A sum that is smaller than an earlier one lacks the
    /// time of a process that has left the group.
    fn advance(&mut self, now: Instant, processor_time: Duration) {
        let used = processor_time.saturating_sub(self.processor_time);
        self.meter.note([self.last_look, now], used);
        self.last_look = now;
        self.processor_time += used;
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

    #[test]
    fn processor_time_is_noted_when_it_is_used_and_never_twice() {
        let meter = Meter::new();
        let at = |millis| meter.begins + Duration::from_millis(millis);
        let mut watch = Watch::new(&meter);
        watch.last_look = at(500);
        for (millis, used) in [
            (1000, 600),
            (1250, 1100),
            (1500, 900),
            (1750, 1000),
            (2000, 1350),
        ] {
            watch.advance(at(millis), Duration::from_millis(used));
        }
        let expected = CpuUtilization {
            interval_seconds: 0.25,
            processors: vec![0.0, 0.0, 1.2, 1.2, 2.0, 0.0, 0.0, 1.0],
        };
        assert_eq!(meter.utilization().rounded(), expected);
    }
}
