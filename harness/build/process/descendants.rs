//! All processes below one, whatever sessions and groups they have moved to: a process whose
//! parent has ended becomes a child of the nearest reaper.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often stopped processes are looked for before all are killed, stopped or not: one that
/// waits for a disk does not stop.
const PATIENCE: usize = 200;

/// How often killed processes are looked for.
const ATTEMPTS: usize = 5000;

/// A process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub number: i32,
    pub parent: i32,
    pub group: i32,
    pub is_stopped: bool,
    /// Nobody has waited for it yet.
    pub has_ended: bool,
}

/// Whether there are more processes below this one.
pub fn are_more_than(limit: usize) -> bool {
    if folders().count() <= limit {
        return false;
    }
    own_number().is_some_and(|own| below(own, &all()).len() > limit)
}

/// The number of this process where `/proc` counts, which may be outside of its own namespace.
fn own_number() -> Option<i32> {
    let own = std::fs::read_link("/proc/self").ok()?;
    own.to_str()?.parse().ok()
}

/// The group of this process: 0 if it is of an outer namespace, as in a container that was begun
/// without a session of its own.
pub(super) fn own_group() -> Option<i32> {
    read_from(Path::new("/proc/self")).map(|own| own.group)
}

/// Ends all processes below this one. They are stopped first, so that none starts another.
pub fn end_all() {
    let Ok(own) = i32::try_from(std::process::id()) else {
        return;
    };
    for attempt in 0..ATTEMPTS {
        let found = below(own, &all());
        if found.is_empty() {
            return;
        }
        let all_stopped = found.iter().all(|process| process.is_stopped);
        let signal = match all_stopped || attempt > PATIENCE {
            true => Signal::KILL,
            false => Signal::STOP,
        };
        for process in found {
            if let Some(number) = Pid::from_raw(process.number) {
                let _ = kill_process(number, signal);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every process that has not ended.
pub(super) fn all() -> Vec<Process> {
    let found = folders().filter_map(|folder| read_from(&folder));
    found.filter(|process| !process.has_ended).collect()
}

/// The children of this process, also those that have ended.
pub(super) fn children_of_this() -> Vec<Process> {
    let Some(own) = own_number_for_signals() else {
        return Vec::new();
    };
    let listed = listed_children().unwrap_or_else(|| folders().collect());
    let found = listed.iter().filter_map(|folder| read_from(folder));
    found.filter(|process| process.parent == own).collect()
}

/// klto's number, if it is the same in `/proc` and for signals.
pub(super) fn own_number_for_signals() -> Option<i32> {
    let own = i32::try_from(std::process::id()).ok();
    own.filter(|own| own_number() == Some(*own))
}

/// The folders of the children as the kernel lists them, if it was built to do so.
fn listed_children() -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let children = match std::fs::read_to_string(thread.path().join("children")) {
            Ok(children) => children,
            // The thread has ended, and left its children to another.
            Err(_) if !thread.path().exists() => continue,
            Err(_) => return None,
        };
        let children = children.split_ascii_whitespace();
        found.extend(children.map(|number| Path::new("/proc").join(number)));
    }
    Some(found)
}

/// The folders of all processes that `/proc` shows.
fn folders() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &OsString| {
        let first = name.as_encoded_bytes().first();
        first.is_some_and(u8::is_ascii_digit)
    };
    entries
        .filter(move |entry| is_process(&entry.file_name()))
        .map(|entry| entry.path())
}

fn read_from(folder: &Path) -> Option<Process> {
    let stat = std::fs::read(folder.join("stat")).ok()?;
    read(&String::from_utf8_lossy(&stat))
}

/// Reads `/proc/PID/stat`: number, (name), state, parent, group. The name may hold anything.
fn read(stat: &str) -> Option<Process> {
    let number = stat.split(' ').next()?.parse().ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let mut next = || fields.next()?.parse().ok();
    Some(Process {
        number,
        parent: next()?,
        group: next()?,
        is_stopped: matches!(state, "T" | "t"),
        has_ended: matches!(state, "Z" | "X"),
    })
}

/// Those of `all` that descend from the process with that number.
pub(super) fn below(number: i32, all: &[Process]) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<&Process>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut todo = vec![number];
    while let Some(parent) = todo.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            todo.push(process.number);
            found.push(*process);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_whatever_their_names() {
        let stats = [
            "1 (init) S 0 1 1",
            "10 (make) S 1 10 10",
            "12 (a) Z 1) T 10 12 12",
            "13 (sh) R 12 9 9",
            "14 (ended) Z 10 10 10",
            "20 (other) S 1 20 20",
            "not a stat",
        ];
        let all = stats.iter().filter_map(|stat| read(stat));
        let all: Vec<Process> = all.filter(|process| !process.has_ended).collect();
        let mut found: Vec<_> = below(10, &all)
            .iter()
            .map(|p| (p.number, p.is_stopped))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [(12, true), (13, false)]);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let process = |number, parent| Process {
            number,
            parent,
            group: number,
            is_stopped: false,
            has_ended: false,
        };
        assert_eq!(below(1, &[process(2, 1), process(1, 2)]).len(), 2);
    }
}
