//! A child with all its descendants, as a process group: started, signalled and ended
//! together. The leader is reaped last, so that the group's number cannot be reused while it
//! is signalled.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::adopted::{self, Mark};
use super::cancel::Cancel;
use super::meter::{own_pages, processor_time};

/// How often a waiting runner polls.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How long processes may take to disappear after SIGKILL; if one takes longer, it hangs in
/// the kernel.
pub(super) const BURIAL: Duration = Duration::from_secs(10);

pub(super) struct Group {
    handle: duct::Handle,
    leader: Pid,
    /// Of its daemons, if they are to end with it.
    mark: Option<Mark>,
    is_reaped: bool,
}

impl Group {
    /// Starts `expression` as the leader of its own group. Its daemons end with it, or are left.
    pub fn start(expression: &duct::Expression, leaves_daemons: bool) -> io::Result<Self> {
        let own_group = |command: &mut std::process::Command| {
            command.process_group(0);
            Ok(())
        };
        let mark = (!leaves_daemons).then(Mark::new);
        let expression = match &mark {
            Some(mark) => expression.env(adopted::VARIABLE, mark.value()),
            None => expression.clone(),
        };
        let expression = expression.unchecked().before_spawn(own_group);
        let (handle, leader) = adopted::start(|| {
            let handle = expression.start()?;
            let pid = handle
                .pids()
                .first()
                .and_then(|pid| i32::try_from(*pid).ok());
            let leader = pid.and_then(Pid::from_raw);
            let leader =
                leader.ok_or_else(|| io::Error::other("the child has no process number"))?;
            Ok((handle, leader))
        })?;
        Ok(Self {
            handle,
            leader,
            mark,
            is_reaped: false,
        })
    }

    /// Ends the daemons of the command, whose group has ended, as [`Group::end`] does. Returns what
    /// they were, in words.
    pub fn end_daemons(&self, grace: Duration, cancel: &Cancel) -> Vec<String> {
        let mark = self.mark.iter();
        mark.flat_map(|mark| adopted::end(mark, grace, cancel))
            .collect()
    }

    /// Whether the leader has ended; it stays a zombie until [`Group::reap`].
    pub fn leader_has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.leader), options)?.is_some())
    }

    /// Ends what is left of the group: SIGTERM, `grace`, SIGKILL. False when something
    /// survives even that.
    pub fn end(&self, grace: Duration, cancel: &Cancel) -> bool {
        if !self.is_alive() {
            return true;
        }
        self.signal(Signal::TERM);
        // A stopped process would not see SIGTERM.
        self.signal(Signal::CONT);
        if self.is_gone_within(grace, || cancel.is_urgent()) {
            return true;
        }
        self.signal(Signal::KILL);
        self.is_gone_within(BURIAL, || false)
    }

    /// The leader's status. Blocks unless the leader has ended.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.is_reaped = true;
        adopted::reap(self.leader, || self.handle.wait()).map(|output| output.status)
    }

    fn signal(&self, signal: Signal) {
        // The only possible failure is that no process is left.
        let _ = kill_process_group(self.leader, signal);
    }

    fn is_gone_within(&self, time: Duration, is_enough: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() >= time || is_enough() {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// Whether a process of the group still runs. A zombie does not. Signal 0 to the group
    /// cannot be used: a zombie may stay for long if process 1 of a container reaps none.
    fn is_alive(&self) -> bool {
        self.processes().any(|process| process.runs)
    }

    /// The processes of the group, also those that have ended and that nobody waited for yet.
    fn processes(&self) -> impl Iterator<Item = Process> {
        let group = self.leader.as_raw_nonzero().to_string();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(move |process| {
            let name = process.file_name();
            let is_process = name.as_encoded_bytes().first()?.is_ascii_digit();
            let stat = is_process.then(|| std::fs::read(process.path().join("stat")))?;
            let stat = stat.ok()?;
            let stat = String::from_utf8_lossy(&stat);
            Some(Process {
                runs: runs_in_group(&stat, &group)?,
                folder: process.path(),
                stat: stat.into_owned(),
            })
        })
    }

    /// What the processes of the group have and have used, by one pass over `/proc`.
    pub fn look(&self) -> Look {
        let page = rustix::param::page_size() as u64 / 1024;
        let ticks = rustix::param::clock_ticks_per_second();
        let mut look = Look::default();
        for process in self.processes() {
            let (user, system) = processor_time(&process.stat, ticks).unwrap_or_default();
            look.processor_time += user + system;
            if process.runs {
                let statm = std::fs::read_to_string(process.folder.join("statm"));
                let pages = statm.ok().and_then(|statm| own_pages(&statm));
                look.memory_kib += pages.unwrap_or_default() * page;
            }
        }
        look
    }

    /// Processor time of the leader and of all that it waited for, in user mode and in the
    /// kernel; to be asked before [`Group::reap`].
    pub fn processor_time(&self) -> Option<(Duration, Duration)> {
        let stat = format!("/proc/{}/stat", self.leader.as_raw_nonzero());
        let stat = std::fs::read(stat).ok()?;
        let ticks = rustix::param::clock_ticks_per_second();
        processor_time(&String::from_utf8_lossy(&stat), ticks)
    }
}

impl Drop for Group {
    /// Reached only when a runner fails or panics half-way.
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            if self.is_gone_within(BURIAL, || false) {
                let _ = adopted::reap(self.leader, || self.handle.wait().map(|_| ()));
            }
            let _ = self.end_daemons(Duration::ZERO, &Cancel::new());
        }
    }
}

/// A process of a group.
struct Process {
    /// Under `/proc`.
    folder: PathBuf,
    /// `/proc/PID/stat`.
    stat: String,
    runs: bool,
}

/// What a look at a group shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// Used by the processes of the group and by those that they waited for. A process takes its
    /// time along if its parent ends first, and one that ends during the look can be counted
    /// twice, or not at all.
    pub processor_time: Duration,
    /// What the processes that run have to themselves.
    pub memory_kib: u64,
}

/// Whether a process runs, if it is of the group, by `/proc/PID/stat`: number, (name), state,
/// parent, group; `proc_pid_stat(5)`. The name may hold anything, parentheses too.
fn runs_in_group(stat: &str, group: &str) -> Option<bool> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let (state, _parent, own_group) = (fields.next()?, fields.next()?, fields.next()?);
    (own_group == group).then_some(!matches!(state, "Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::runs("12 (sh) S 1 10 10 0", Some(true))]
    #[case::odd_name("12 (a) Z 1 10) R 1 10 9", Some(true))]
    #[case::zombie("12 (sh) Z 1 10 10 0", Some(false))]
    #[case::other_group("10 (sh) S 10 12 10 0", None)]
    #[case::gone("", None)]
    fn a_process_of_the_group_runs_or_is_a_zombie(
        #[case] stat: &str,
        #[case] expected: Option<bool>,
    ) {
        assert_eq!(runs_in_group(stat, "10"), expected);
    }
}
