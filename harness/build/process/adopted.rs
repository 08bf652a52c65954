//! Daemons: processes that have left the group of their command and go on after it. klto is the
//! nearest reaper of all that it starts, so that a process whose parent ends becomes klto's child.
//! The environment says which command a process comes from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};

use super::cancel::Cancel;
use super::descendants::{self, Process};
use super::group::{BURIAL, POLL};

/// The environment variable with the marks of the command, and of those that started it: a command
/// may run a klto, too.
pub(super) const VARIABLE: &str = "KLTO_COMMAND";

/// How often a process is asked whose environment cannot be read, as in the middle of an `exec`.
const ASKS: usize = 3;

/// The most that is shown of a command line, in bytes.
const SHOWN: usize = 120;

/// The leaders of groups that are not reaped yet. Held while one is started, so that no child is
/// unknown.
static LEADERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn leaders() -> MutexGuard<'static, BTreeSet<i32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tells the processes of one command from all others.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    pub fn new() -> Mark {
        // The keys of no two states are equal.
        let number = RandomState::new().hash_one(Instant::now());
        let process = getpid().as_raw_nonzero();
        Mark(format!("{process}-{number:016x}"))
    }

    /// The value of [`VARIABLE`] for the command.
    pub fn value(&self) -> OsString {
        let mut value = std::env::var_os(VARIABLE).unwrap_or_default();
        value.push(":");
        value.push(&self.0);
        value
    }

    /// Whether a process comes from the command.
    fn is_on(&self, process: i32) -> bool {
        for _ in 0..ASKS {
            match std::fs::read(format!("/proc/{process}/environ")) {
                Ok(variables) if variables.is_empty() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(variables) => return self.is_in(&variables),
                Err(_) => return false,
            }
        }
        false
    }

    fn is_in(&self, variables: &[u8]) -> bool {
        variables.split(|byte| *byte == 0).any(|variable| {
            let value = variable.strip_prefix(VARIABLE.as_bytes());
            let value = value.and_then(|value| value.strip_prefix(b"="));
            value.is_some_and(|value| {
                let mut marks = value.split(|byte| *byte == b':');
                marks.any(|mark| mark == self.0.as_bytes())
            })
        })
    }
}

/// Whether klto becomes the parent of all that it started and whose parent ends. Where the system
/// refuses that, daemons go to another process, as they do without it.
pub(super) fn takes_all() -> bool {
    static IS_REAPER: LazyLock<bool> = LazyLock::new(|| {
        let is_reaper = set_child_subreaper(Some(getpid())).is_ok();
        is_reaper && descendants::own_number_for_signals().is_some()
    });
    *IS_REAPER
}

/// Starts the leader of a group by `start`, which returns its number.
pub(super) fn start<T>(start: impl FnOnce() -> io::Result<(T, Pid)>) -> io::Result<(T, Pid)> {
    takes_all();
    let mut leaders = leaders();
    let (started, leader) = start()?;
    leaders.insert(leader.as_raw_nonzero().get());
    Ok((started, leader))
}

/// Reaps the leader of a group by `reap`.
pub(super) fn reap<T>(leader: Pid, reap: impl FnOnce() -> T) -> T {
    let mut leaders = leaders();
    let reaped = reap();
    leaders.remove(&leader.as_raw_nonzero().get());
    reaped
}

/// Reaps the children that klto did not start and that have ended, and returns those that have not.
pub(super) fn reap_ended() -> Vec<i32> {
    // Nobody is started or reaped meanwhile.
    let leaders = leaders();
    let group = descendants::own_group();
    // A program that links klto may have children of its own, in its own group.
    let is_adopted =
        |child: &Process| Some(child.group) != group && !leaders.contains(&child.number);
    let mut living = Vec::new();
    for child in descendants::children_of_this()
        .into_iter()
        .filter(is_adopted)
    {
        match (child.has_ended, Pid::from_raw(child.number)) {
            (true, Some(number)) => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                let _ = waitid(WaitId::Pid(number), options);
            }
            (true, None) | (false, _) => living.push(child.number),
        }
    }
    living
}

/// Ends what a command whose group has ended left: SIGTERM, `grace`, SIGKILL. Returns what that
/// was, in words.
pub(super) fn end(mark: &Mark, grace: Duration, cancel: &Cancel) -> Vec<String> {
    let mut said = Vec::new();
    let mut asked = BTreeSet::new();
    let begun = Instant::now();
    loop {
        let mut left: Vec<i32> = reap_ended();
        left.retain(|child| mark.is_on(*child));
        if left.is_empty() {
            return said;
        }
        let is_late = begun.elapsed() >= grace || cancel.is_urgent();
        if begun.elapsed() >= grace + BURIAL {
            said.push("some of it hangs in the kernel and survives SIGKILL".to_owned());
            return said;
        }
        let all = descendants::all();
        for root in left {
            let below = descendants::below(root, &all);
            let numbers = below.iter().map(|process| process.number);
            for number in [root].into_iter().chain(numbers) {
                if asked.insert(number) {
                    said.push(describe(number).unwrap_or_else(|| format!("process {number}")));
                    signal(number, Signal::TERM);
                    // A stopped process would not see SIGTERM.
                    signal(number, Signal::CONT);
                }
                if is_late {
                    signal(number, Signal::KILL);
                }
            }
        }
        std::thread::sleep(POLL);
    }
}

fn signal(process: i32, signal: Signal) {
    // The only possible failures: it has ended, or is another user's by now.
    let _ = Pid::from_raw(process).map(|process| kill_process(process, signal));
}

/// `process 12 ('sleep 1000')`; `None` if there is no such process.
#[must_use]
pub fn describe(process: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let line = &line[..line.len().min(SHOWN)];
    let words: String = String::from_utf8_lossy(line)
        .trim_end_matches('\0')
        .chars()
        .map(|c| match c.is_control() {
            true => ' ',
            false => c,
        })
        .collect();
    Some(format!("process {process} ('{words}')"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_those_of_outer_commands_and_nowhere_else() {
        let mark = Mark("12-ab".to_owned());
        for (variables, expected) in [
            ("A=1\0KLTO_COMMAND=:12-ab\0B=2\0", true),
            ("KLTO_COMMAND=:7-cd:12-ab:9-ef\0", true),
            ("KLTO_COMMAND=:12-abc\0", false),
            ("KLTO_COMMANDS=:12-ab\0", false),
            ("X=KLTO_COMMAND=:12-ab\0", false),
            ("", false),
        ] {
            assert_eq!(mark.is_in(variables.as_bytes()), expected, "{variables:?}");
        }
        assert_ne!(Mark::new().0, Mark::new().0);
    }
}
