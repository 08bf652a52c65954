//! What tests ask of the machine: which processes run, and a disk that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::fake_kernel::FakeKernel;

/// A word that only one test has.
pub fn marker(kernel: &FakeKernel) -> String {
    kernel
        .dir()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The processes that have the marker in their environment; a zombie has none.
pub fn living(marker: &str) -> Vec<i32> {
    let variable = format!("KLTO_TEST_MARKER={marker}");
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == variable.as_bytes()))
        })
        .collect()
}

/// A small file system in memory; dropping this unmounts it.
pub struct Disk(PathBuf);

impl Disk {
    /// One with room for the program itself, which klto copies into a work directory, and a little more;
    /// `None` where this user cannot mount one.
    pub fn mount(at: &Path) -> Option<Self> {
        let program = fs::metadata(env!("CARGO_BIN_EXE_klto")).unwrap().len();
        let size = (program >> 20) + 8;
        fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|o| o.status.success())
            .then(|| Self(at.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Allows writing (`rw`) or not (`ro`).
    pub fn remount(&self, how: &str) {
        let remount = ["-o", &format!("remount,{how}")];
        let done = Command::new("mount").args(remount).arg(&self.0).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
