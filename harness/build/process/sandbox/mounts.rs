//! The file systems as a sandboxed command sees them, in a mount namespace: its own folders as
//! they are, all else read-only, and without what the services of the machine put up. Landlock
//! does not ask who changes modes and times, nor who connects to a socket that has a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::Policy;

/// Folders that are empty inside, unless something the command needs is in them.
const EMPTY: [&str; 4] = ["/run", "/tmp", "/var/tmp", "/dev/shm"];

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    at: PathBuf,
    flags: MountFlags,
}

/// Mounts everything as the policy wants it.
pub fn arrange(policy: &Policy) -> Result<(), String> {
    // A current directory stays on the file system that was mounted when it was entered.
    let folder = std::env::current_dir().map_err(|e| format!("find the current directory: {e}"))?;
    for folder in &policy.writable {
        let said = |e: Errno| format!("mount {}: {e}", folder.display());
        mount_bind(folder, folder).map_err(said)?;
    }
    let table = "/proc/self/mountinfo";
    let table = std::fs::read(table).map_err(|e| format!("read {table}: {e}"))?;
    for mounted in table.split(|byte| *byte == b'\n').filter_map(read) {
        if policy.writable.contains(&mounted.at) {
            continue;
        }
        let flags = mounted.flags | MountFlags::BIND | MountFlags::RDONLY;
        match mount_remount(&mounted.at, flags, "") {
            // Under another mount, or out of reach.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::ACCESS) => {}
            Err(e) => return Err(format!("mount {} read-only: {e}", mounted.at.display())),
        }
    }
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for empty in EMPTY.map(Path::new) {
        if empty.is_dir() && !policy.paths().any(|path| path.starts_with(empty)) {
            let flags = plain | MountFlags::RDONLY;
            mount("none", empty, "tmpfs", flags, None)
                .map_err(|e| format!("mount {}: {e}", empty.display()))?;
        }
    }
    // With the processes of the namespace only. Some containers do not allow it.
    let _ = mount("proc", "/proc", "proc", plain, None);
    std::env::set_current_dir(&folder).map_err(|e| format!("enter {}: {e}", folder.display()))
}

/// Reads a line of `/proc/self/mountinfo`: numbers, root, place, options.
fn read(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let at = PathBuf::from(OsStr::from_bytes(&unescaped(fields.next()?)));
    let mut flags = MountFlags::empty();
    for option in fields.next()?.split(|byte| *byte == b',') {
        flags |= match option {
            b"nosuid" => MountFlags::NOSUID,
            b"nodev" => MountFlags::NODEV,
            b"noexec" => MountFlags::NOEXEC,
            b"noatime" => MountFlags::NOATIME,
            b"nodiratime" => MountFlags::NODIRATIME,
            b"relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    Some(Mounted { at, flags })
}

/// Undoes `\040` and its like.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_file_system_keeps_its_options() {
        let line = br"36 35 98:0 /mnt1 /mnt\040\134two rw,nosuid,noexec,relatime master:1 - ext3 /dev/root rw";
        let mounted = read(line).unwrap();
        assert_eq!(mounted.at, Path::new(r"/mnt \two"));
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::RELATIME;
        assert_eq!(mounted.flags, flags);
        // What is not kept cannot be mounted again by a user who is not root.
        for (option, flag) in [
            ("nosuid", MountFlags::NOSUID),
            ("nodev", MountFlags::NODEV),
            ("noexec", MountFlags::NOEXEC),
            ("noatime", MountFlags::NOATIME),
            ("nodiratime", MountFlags::NODIRATIME),
            ("relatime", MountFlags::RELATIME),
            ("rw", MountFlags::empty()),
        ] {
            let line = format!("36 35 98:0 / /x {option} - ext3 /dev/root rw");
            assert_eq!(read(line.as_bytes()).unwrap().flags, flag, "{option}");
        }
        assert_eq!(read(b""), None);
        assert_eq!(read(b"36 35 98:0 / /x"), None);
    }

    #[test]
    fn a_backslash_that_begins_no_number_stays() {
        assert_eq!(unescaped(br"a\09\1"), br"a\09\1");
    }
}
