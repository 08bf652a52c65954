//! The fake kernel with what a probe needs, and an account of what make was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::fake_kernel::FakeKernel;
use crate::support::git::git;
use crate::support::program::{Ended, finish, klto, within};

/// What makes everything from nothing.
pub const ALL: [&str; 3] = ["tinyconfig", "prepare", "modpost"];

pub const EARLY: &str = "include/fault.h";
pub const NOT_READ_BY_PREPARE: &str = "scripts/Makefile.vmlinux_a";
/// A kernel that holds it is built without an error, and wrong.
pub const WRONG: &str = "empty-object";

/// A kernel to probe.
pub struct Probed {
    pub kernel: FakeKernel,
}

impl Probed {
    pub fn new() -> Probed {
        let probed = Probed {
            kernel: FakeKernel::new(),
        };
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support");
        let makefile = fs::read_to_string(support.join("probe_makefile")).unwrap();
        let around = probed.kernel.dir().to_str().unwrap();
        for (path, text) in [
            ("Makefile", makefile.replace("@AROUND@", around).as_str()),
            (
                "Kbuild",
                "obj-y += klto/\n\n# Ordinary directory descending\nobj-y += init/\n",
            ),
            (
                "scripts/head-object-list.txt",
                "arch/x86/kernel/head_64.o\n",
            ),
            (NOT_READ_BY_PREPARE, ""),
            (EARLY, ""),
            ("include/kconfig.h", ""),
            (".gitignore", "*.o\n"),
            ("drivers/net/net.c", "int net;\n"),
        ] {
            probed.write(path, text);
        }
        // Enough for a probe to start compilers through it, of which none does run.
        fs::write(probed.kernel.tools().join("ccache"), "").unwrap();
        for file in ["goals", "hangs-in", "fault"] {
            probed.around(file, "");
        }
        probed
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.kernel.source().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.kernel.source().join(path)).unwrap();
        self.write(path, &format!("{old}{text}"));
    }

    /// Commits the files as they are, and returns the number of the commit.
    pub fn commit(&self, title: &str) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", title]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git in the sources, whatever the user has configured, and returns what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.kernel.source(), args)
    }

    /// The environment's search path, and the fake toolchain after it.
    pub fn path(&self) -> std::ffi::OsString {
        let own = std::env::var_os("PATH").unwrap();
        let own: Vec<PathBuf> = std::env::split_paths(&own).collect();
        let folders = own.into_iter().chain([self.kernel.tools()]);
        std::env::join_paths(folders).unwrap()
    }

    /// Writes a file that no fingerprint covers.
    pub fn around(&self, file: &str, text: &str) {
        fs::write(self.kernel.dir().join(file), text).unwrap();
    }

    /// `klto probe` over the kernel as it is now.
    pub fn command(&self, more: &[&str]) -> Command {
        self.command_in(&self.kernel.work(), more)
    }

    /// The same, with another work directory.
    pub fn command_in(&self, work: &Path, more: &[&str]) -> Command {
        let mut command = klto(["probe", "--arch", "x86_64", "--format", "json"]);
        command
            .arg("--kernel")
            .arg(self.kernel.source())
            .arg("--work")
            .arg(work)
            .args(more)
            .env("PATH", self.kernel.tools())
            .env_remove("KLTO_PROBE_WORK")
            .current_dir(self.kernel.dir());
        command
    }

    /// Probes one cell; returns how it ended, and the goals that make ran for it.
    pub fn probe(&self, more: &[&str]) -> (Ended, Vec<String>) {
        let ended = finish(self.command(&["--lto", "thin-dist"]).args(more));
        (ended, self.goals())
    }

    /// Only the exit code.
    pub fn code(&self, more: &[&str]) -> i32 {
        self.probe(more).0.code.unwrap()
    }

    /// The goals that make ran since this was asked last.
    pub fn goals(&self) -> Vec<String> {
        let file = self.kernel.dir().join("goals");
        let goals = fs::read_to_string(&file).unwrap();
        fs::write(file, "").unwrap();
        goals.lines().map(str::to_owned).collect()
    }

    /// The folder of the one cell.
    pub fn slot(&self) -> PathBuf {
        self.kernel
            .work()
            .join("cells/x86_64/probe/thin-dist/llvm-22")
    }

    /// The record of the one cell, in the one state of the sources that was probed.
    pub fn record(&self) -> PathBuf {
        let states = fs::read_dir(self.kernel.work().join("records")).unwrap();
        let states: Vec<PathBuf> = states.map(|state| state.unwrap().path()).collect();
        assert_eq!(states.len(), 1, "{states:?}");
        states[0].join("x86_64/probe/thin-dist/llvm-22/record.json")
    }

    /// Forgets every result, and nothing that was built.
    pub fn forget(&self) {
        fs::remove_dir_all(self.kernel.work().join("records")).unwrap();
    }

    /// Starts a probe that hangs in a goal, and waits until it does.
    pub fn hang_in(&self, goal: &str, more: &[&str]) -> Hanging {
        let hanging = self.hang(goal, more, || self.hangs_in_a_goal());
        assert!(
            hanging.living().len() > 3,
            "make and its children are there"
        );
        hanging
    }

    /// Starts a probe that never ends to copy the prepared tree, and waits until it has
    /// begun to: the tree holds a FIFO, and a file before it.
    pub fn hang_in_copying(&self) -> Hanging {
        self.hang("copying", &[], || {
            let slot = self.slot();
            let prepared = fs::read_dir(slot.join("prepared"));
            let trees = prepared.into_iter().flatten().map(|e| e.unwrap().path());
            trees
                .chain([slot.join("prepared.partial")])
                .any(|tree| tree.join(".config").exists())
        })
    }

    fn hang(&self, place: &str, more: &[&str], hangs: impl FnMut() -> bool) -> Hanging {
        self.around("hangs-in", place);
        let mut command = self.command(&["--lto", "thin-dist"]);
        self.hang_by(command.args(more).stderr(Stdio::null()), hangs)
    }

    /// Whether a goal of the one cell hangs.
    pub fn hangs_in_a_goal(&self) -> bool {
        logs(&self.slot()).any(|log| log.contains("hanging"))
    }

    /// Starts a command that hangs, and waits until it does.
    pub fn hang_by(&self, command: &mut Command, hangs: impl FnMut() -> bool) -> Hanging {
        let child = command
            .env("KLTO_TEST_MARKER", self.marker())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let hanging = Hanging {
            marker: self.marker(),
            child,
        };
        assert!(within(Duration::from_mins(1), hangs), "it never hangs");
        self.around("hangs-in", "");
        hanging
    }

    fn marker(&self) -> String {
        let name = self.kernel.dir().file_name().unwrap();
        name.to_str().unwrap().to_owned()
    }
}

/// What the logs of a cell hold.
fn logs(slot: &Path) -> impl Iterator<Item = String> {
    [slot.to_owned(), slot.join("scenarios")]
        .into_iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .filter_map(|log| fs::read_to_string(log).ok())
}

/// The one cell of a report.
pub fn cell(ended: &Ended) -> Value {
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1, "{cells:#?}");
    cells[0].clone()
}

/// A probe in the middle of a goal, and everything that it started: all of it has a
/// variable of its own in its environment.
pub struct Hanging {
    marker: String,
    child: Child,
}

impl Hanging {
    /// Sends a signal to klto only; returns its exit code.
    pub fn end_by(&mut self, signal: Signal) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let ended = within(Duration::from_secs(30), || {
            self.child.try_wait().unwrap().is_some()
        });
        assert!(ended, "five seconds of grace are over long ago");
        self.child.wait().unwrap().code()
    }

    /// What is there of it; a zombie is not.
    pub fn living(&self) -> Vec<i32> {
        let variable = format!("KLTO_TEST_MARKER={}", self.marker);
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == variable.as_bytes()))
            })
            .collect()
    }

    /// Ends everything that is there of it: again and again, for what is ended may just have
    /// started something.
    pub fn end_all(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let gone = within(Duration::from_secs(30), || {
            let living = self.living();
            for pid in &living {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
            }
            living.is_empty()
        });
        assert!(gone, "{:?}", self.living());
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.living() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}
