//! Locks on folders, held by a klto and by every process that it started: a make that
//! outlives a killed klto goes on writing, and so goes on holding the lock.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock, major, minor};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::build::dir_state::create_dir;
use crate::build::process::{Cancel, describe};
use crate::model::error::Error;

/// The file that is locked.
const FILE: &str = "lock";

/// How often a waiting klto tries.
const POLL: Duration = Duration::from_millis(100);

/// Who else may have the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: for writers.
    Exclusive,
    /// Others that only read.
    Shared,
}

/// How long to wait for another klto.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// When to give up; never, if `None`.
    pub until: Option<Instant>,
    pub cancel: &'a Cancel,
}

/// A lock, held as long as this lives.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks `folder`, by the file `lock` in it. `on_wait` is called once, if it has to wait, with who
    /// has the lock.
    ///
    /// # Errors
    /// If the lock file cannot be written, the time is over or the user interrupts.
    pub fn take(
        folder: &Path,
        sharing: Sharing,
        patience: Patience<'_>,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lock, Error> {
        create_dir(folder)?;
        let path = folder.join(FILE);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io(&path, "write"))?;
        let operation = match sharing {
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
        };
        let mut waits = false;
        loop {
            match flock(&file, operation) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(e @ (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS)) => {
                    return Err(no_locks(folder, &std::io::Error::from(e).to_string()));
                }
                Err(e) => return Err(Error::io(&path, "lock")(e.into())),
            }
            if patience.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if patience.until.is_some_and(|until| Instant::now() >= until) {
                return Err(Error::Machine(format!(
                    "timed out while waiting for {}\n  {} still holds it; end that, or choose another directory with --work",
                    path.display(),
                    holder(&file)
                )));
            }
            if !waits {
                waits = true;
                on_wait(&holder(&file));
            }
            std::thread::sleep(POLL);
        }
        check_that_it_locks(&file, folder, &path)?;
        fcntl_setfd(&file, FdFlags::empty()).map_err(|e| Error::io(&path, "lock")(e.into()))?;
        Ok(Lock(file))
    }
}

/// Whether the folder is locked now, or was some time.
#[must_use]
pub fn was_locked(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder.join(FILE)).is_ok_and(|meta| meta.is_file())
}

/// Who has the lock of a file, in words: another klto, as far as the system tells.
fn holder(file: &File) -> String {
    const UNKNOWN: &str = "another klto, or a make that a killed one left,";

    let number = || {
        let meta = file.metadata().ok()?;
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        holder_in(&locks, meta.dev(), meta.ino())
    };
    match number() {
        None => UNKNOWN.to_owned(),
        Some(number) => match describe(number) {
            Some(process) => process,
            // Its children have inherited the lock.
            None => format!("what process {number} left when it ended"),
        },
    }
}

/// The process that took a lock, by the lines of `/proc/locks`:
/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`.
fn holder_in(locks: &str, device: u64, inode: u64) -> Option<i32> {
    let id = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    locks.lines().find_map(|line| {
        // Those that wait have an arrow in the second place.
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next() != Some("FLOCK") {
            return None;
        }
        let number = words.nth(2)?.parse().ok()?;
        (words.next() == Some(id.as_str()) && number > 0).then_some(number)
    })
}

/// Checks once per file system that a lock which is held keeps others out: some give it to all.
fn check_that_it_locks(held: &File, folder: &Path, path: &Path) -> Result<(), Error> {
    static KNOWN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

    let device = held.metadata().map_err(Error::io(path, "read"))?.dev();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(&device) {
        return Ok(());
    }
    let other = File::open(path).map_err(Error::io(path, "read"))?;
    match flock(&other, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Err(no_locks(folder, "two have the same lock at once")),
        Err(_) => {
            known.insert(device);
            Ok(())
        }
    }
}

fn no_locks(folder: &Path, why: &str) -> Error {
    Error::Machine(format!(
        "{}: locks do not work on this file system: {why}; two klto would write there at the same time\n  choose a folder on a local disk with --work or --store, or mount this one with locks (of NFS, flock needs a lock service or local_lock=flock)",
        folder.display()
    ))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing our own handle would not do: children of other jobs have inherited it.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn take(folder: &Path, sharing: Sharing, wait: Duration) -> (Result<Lock, Error>, usize) {
        let mut waits = 0;
        let patience = Patience {
            until: Instant::now().checked_add(wait),
            cancel: &Cancel::new(),
        };
        let lock = Lock::take(folder, sharing, patience, &mut |who| {
            assert!(
                who.starts_with(&format!("process {} ", std::process::id())),
                "{who}"
            );
            waits += 1;
        });
        (lock, waits)
    }

    #[rstest]
    #[case::two_writers(Sharing::Exclusive, Sharing::Exclusive, false)]
    #[case::a_writer_and_a_reader(Sharing::Exclusive, Sharing::Shared, false)]
    #[case::a_reader_and_a_writer(Sharing::Shared, Sharing::Exclusive, false)]
    #[case::two_readers(Sharing::Shared, Sharing::Shared, true)]
    fn readers_share_and_writers_do_not(
        #[case] first: Sharing,
        #[case] second: Sharing,
        #[case] both: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (held, waits) = take(folder.path(), first, Duration::ZERO);
        assert_eq!((held.is_ok(), waits), (true, 0));

        let (other, _) = take(folder.path(), second, Duration::ZERO);
        assert_eq!(other.is_ok(), both);
        if let Err(error) = other {
            let said = error.to_string();
            assert!(said.starts_with("timed out while waiting"));
            let holder = format!("  process {} (", std::process::id());
            assert!(said.contains(&holder), "{said}");
        }
        drop(held);
        assert!(take(folder.path(), second, Duration::ZERO).0.is_ok());
    }

    #[test]
    fn whoever_waits_says_so_once_and_goes_on_when_the_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let (held, _) = take(folder.path(), Sharing::Exclusive, Duration::ZERO);
        std::thread::scope(|scope| {
            let path = folder.path();
            let waiting =
                scope.spawn(move || take(path, Sharing::Exclusive, Duration::from_mins(1)));
            std::thread::sleep(POLL * 3);
            drop(held);
            let (lock, waits) = waiting.join().unwrap();
            assert_eq!((lock.is_ok(), waits), (true, 1));
        });
    }

    #[rstest]
    #[case::held("1: FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF\n", Some(12))]
    #[case::waits("1: -> FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF\n", None)]
    #[case::of_another_kind("1: POSIX  ADVISORY  WRITE 12 fe:00:7 0 EOF\n", None)]
    #[case::another_file("1: FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n", None)]
    #[case::another_device("1: FLOCK  ADVISORY  WRITE 12 fe:01:7 0 EOF\n", None)]
    #[case::of_another_namespace("1: FLOCK  ADVISORY  WRITE 0 fe:00:7 0 EOF\n", None)]
    #[case::cut(
        "1: FLOCK  ADVISORY\n2: FLOCK  ADVISORY  READ 13 fe:00:7 0 EOF\n",
        Some(13)
    )]
    fn the_holder_is_read_from_the_system_s_list(
        #[case] locks: &str,
        #[case] expected: Option<i32>,
    ) {
        let device = rustix::fs::makedev(0xfe, 0);
        assert_eq!(holder_in(locks, device, 7), expected);
    }

    #[test]
    fn a_child_of_another_job_does_not_keep_the_lock() {
        use crate::build::process::{Command, capture};

        let folder = tempfile::tempdir().unwrap();
        let (held, _) = take(folder.path(), Sharing::Exclusive, Duration::ZERO);
        let (begun, cancel) = (folder.path().join("begun"), Cancel::new());
        let other = Command::new("sh")
            .args(["-c", r#": >"$0"; sleep 100"#])
            .arg(&begun);
        std::thread::scope(|scope| {
            scope.spawn(|| capture(&other, None, &cancel).unwrap());
            while !begun.exists() {
                std::thread::sleep(POLL);
            }
            drop(held);
            let (lock, waits) = take(folder.path(), Sharing::Exclusive, Duration::ZERO);
            cancel.cancel();
            assert_eq!((lock.is_ok(), waits), (true, 0));
        });
    }
}
