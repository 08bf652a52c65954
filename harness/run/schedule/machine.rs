//! What the machine has left for jobs: memory and disk.

use std::path::PathBuf;

use super::queue::Room;

/// Says what is free. Asked while jobs run.
pub trait Machine: std::fmt::Debug + Sync {
    /// What can be had now.
    fn room(&self) -> Room;
}

/// The machine that klto runs on.
#[derive(Debug)]
pub struct ThisMachine {
    /// Where the build trees are.
    pub work: PathBuf,
    /// The most memory for all jobs together, in KiB, if the user gave one.
    pub memory_kib: Option<u64>,
}

impl Machine for ThisMachine {
    fn room(&self) -> Room {
        let limits = [self.memory_kib, available_memory(), left_in_group()];
        Room {
            memory_kib: limits.into_iter().flatten().min(),
            disk_kib: rustix::fs::statvfs(&self.work)
                .ok()
                .map(|space| space.f_bavail.saturating_mul(space.f_frsize) / 1024),
        }
    }
}

/// Memory that can be had without swapping, in KiB, as the kernel estimates it.
fn available_memory() -> Option<u64> {
    kib_of(
        &std::fs::read_to_string("/proc/meminfo").ok()?,
        "MemAvailable:",
    )
}

fn kib_of(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What the control group that klto is in may still use, in KiB: a container has less than its
/// machine. Of version 2 of control groups; `None` if there is no limit.
fn left_in_group() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let folders = root.join(own);
    let levels = folders.ancestors().take_while(|dir| dir.starts_with(root));
    levels
        .filter_map(|dir| {
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
            let statistics = read("memory.stat").unwrap_or_default();
            left(&read("memory.max")?, &read("memory.current")?, &statistics)
        })
        .min()
}

/// What the kernel takes back from a group when it needs memory: files that nobody has read for a
/// while, and what it keeps of names and inodes. A build reads more files than it has memory for.
const RECLAIMABLE: [&str; 2] = ["inactive_file", "slab_reclaimable"];

fn left(max: &str, current: &str, statistics: &str) -> Option<u64> {
    let bytes = |text: &str| text.trim().parse::<u64>().ok();
    let lines = statistics.lines().filter_map(|line| line.split_once(' '));
    let reclaimable = lines.filter(|(name, _)| RECLAIMABLE.contains(name));
    let reclaimable: u64 = reclaimable.filter_map(|(_, value)| bytes(value)).sum();
    let used = bytes(current)?.saturating_sub(reclaimable);
    Some(bytes(max)?.saturating_sub(used) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::there("MemTotal: 9 kB\nMemAvailable:   23456 kB\n", Some(23_456))]
    #[case::an_old_kernel("MemTotal: 9 kB\n", None)]
    #[case::another_unit("MemAvailable: 9 MB\n", None)]
    fn available_memory_is_read_from_meminfo(#[case] text: &str, #[case] kib: Option<u64>) {
        assert_eq!(kib_of(text, "MemAvailable:"), kib);
    }

    #[rstest]
    #[case::limited("3145728\n", "1048576\n", "", Some(2048))]
    #[case::used_up("1024\n", "4096\n", "", Some(0))]
    #[case::no_limit("max\n", "4096\n", "", None)]
    #[case::filled_with_files(
        "3145728\n",
        "3145728\n",
        "anon 524288\nactive_file 524288\ninactive_file 1048576\nslab_reclaimable 1048576\nslab 9\n",
        Some(2048)
    )]
    fn a_control_group_leaves_what_it_has_not_used_or_can_take_back(
        #[case] max: &str,
        #[case] current: &str,
        #[case] statistics: &str,
        #[case] kib: Option<u64>,
    ) {
        assert_eq!(left(max, current, statistics), kib);
    }

    #[test]
    fn this_machine_has_memory_and_disk_and_a_limit_is_kept() {
        let machine = |memory_kib| ThisMachine {
            work: std::env::temp_dir(),
            memory_kib,
        };
        let room = machine(None).room();
        assert!(room.memory_kib > Some(1024), "{room:?}");
        assert!(room.disk_kib > Some(1024), "{room:?}");
        assert_eq!(machine(Some(7)).room().memory_kib, Some(7));
    }
}
