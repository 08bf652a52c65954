//! A child with all its descendants, as a process group: started together, signalled
//! together, and gone together. The leader is reaped last, so the group's number cannot
//! be given to anyone else while it is signalled.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cancel::Cancel;

/// How often a waiting runner looks.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How long the kernel may take to bury what got SIGKILL; longer means that a process
/// hangs in the kernel.
const BURIAL: Duration = Duration::from_secs(10);

pub(super) struct Group {
    handle: duct::Handle,
    leader: Pid,
    is_reaped: bool,
}

impl Group {
    /// Starts `expression` as the leader of a group of its own.
    pub fn start(expression: &duct::Expression) -> io::Result<Self> {
        let own_group = |command: &mut std::process::Command| {
            command.process_group(0);
            Ok(())
        };
        let handle = expression.unchecked().before_spawn(own_group).start()?;
        let pid = handle
            .pids()
            .first()
            .and_then(|pid| i32::try_from(*pid).ok());
        let leader = pid.and_then(Pid::from_raw);
        Ok(Self {
            leader: leader.ok_or_else(|| io::Error::other("the child has no process number"))?,
            handle,
            is_reaped: false,
        })
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
        self.handle.wait().map(|output| output.status)
    }

    fn signal(&self, signal: Signal) {
        // The one possible failure is that nobody is left.
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

    /// Whether a process of the group still runs. A zombie does not; it may stay long
    /// where process 1 of a container reaps nobody, so asking the group itself with
    /// signal 0 would not do.
    fn is_alive(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return false;
        };
        let group = self.leader.as_raw_nonzero().to_string();
        processes.flatten().any(|process| {
            let is_process = process
                .file_name()
                .as_encoded_bytes()
                .first()
                .is_some_and(u8::is_ascii_digit);
            is_process
                && std::fs::read(process.path().join("stat"))
                    .is_ok_and(|stat| runs_in_group(&String::from_utf8_lossy(&stat), &group))
        })
    }
}

impl Drop for Group {
    /// Reached only when a runner fails or panics half-way.
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            if self.is_gone_within(BURIAL, || false) {
                let _ = self.handle.wait();
            }
        }
    }
}

/// Reads `/proc/PID/stat`: number, (name), state, parent, group; `proc_pid_stat(5)`. The
/// name may hold anything, parentheses too.
fn runs_in_group(stat: &str, group: &str) -> bool {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_ascii_whitespace();
    let (state, _parent, own_group) = (fields.next(), fields.next(), fields.next());
    own_group == Some(group) && !matches!(state, Some("Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::runs("12 (sh) S 1 10 10 0", true)]
    #[case::odd_name("12 (a) Z 1 10) R 1 10 9", true)]
    #[case::zombie("12 (sh) Z 1 10 10 0", false)]
    #[case::other_group("10 (sh) S 10 12 10 0", false)]
    #[case::gone("", false)]
    fn only_a_running_process_of_the_group_counts(#[case] stat: &str, #[case] expected: bool) {
        assert_eq!(runs_in_group(stat, "10"), expected);
    }
}
