//! A kernel source tree that builds in no time, and fails in a chosen way: the
//! tree is `fake_kernel/`, its `fault` file says what goes wrong. Comes with a matrix,
//! and with a `PATH` of its own, so that tests depend only on make and a shell.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Ended, finish, klto};

/// The programs that the fake kernel and klto really run.
const PROGRAMS: [&str; 11] = [
    "sh", "make", "cat", "cp", "grep", "mkdir", "mkfifo", "rm", "sed", "setsid", "sleep",
];

/// The cell that [`FakeKernel::matrix`] has with the mode `thin-dist`.
pub const CELL: &str = "x86_64/tiny/thin-dist/llvm-22";

/// A source tree with all that a run over it needs, in one folder.
pub struct FakeKernel {
    dir: TempDir,
}

impl FakeKernel {
    /// A kernel without a fault, and a matrix of one cell, [`CELL`].
    pub fn new() -> Self {
        let kernel = Self {
            dir: tempfile::Builder::new().prefix("klto-").tempdir().unwrap(),
        };
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/fake_kernel");
        copy(&pristine, &kernel.source());
        kernel.write_tools();
        kernel.matrix("[thin-dist]", "10min");
        kernel
    }

    /// A kernel with a fault.
    pub fn with_fault(fault: &str) -> Self {
        let kernel = Self::new();
        kernel.set_fault(fault);
        kernel
    }

    pub fn set_fault(&self, fault: &str) {
        fs::write(self.source().join("fault"), fault).unwrap();
    }

    /// The folder that everything is in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn source(&self) -> PathBuf {
        self.dir().join("source")
    }

    pub fn work(&self) -> PathBuf {
        self.dir().join("work")
    }

    /// The only folder in `PATH`.
    pub fn tools(&self) -> PathBuf {
        self.dir().join("tools")
    }

    /// Replaces the matrix.
    pub fn matrix(&self, modes: &str, timeout: &str) {
        let text = format!(
            "name: fake\n\
             toolchains:\n  llvm-22: {{ make: {{ LLVM: \"-22\" }} }}\n\
             configs:\n  tiny: {{ base: tinyconfig, enable: [MODULES, MODVERSIONS] }}\n\
             axes:\n  arch: [x86_64]\n  config: [tiny]\n  lto: {modes}\n  toolchain: [llvm-22]\n\
             timeout: {timeout}\n"
        );
        fs::create_dir_all(self.dir().join("matrices")).unwrap();
        fs::write(self.matrix_file(), text).unwrap();
    }

    /// The matrix has this architecture instead.
    pub fn has_arch(&self, name: &str) {
        let text = fs::read_to_string(self.matrix_file()).unwrap();
        assert!(text.contains("[x86_64]"));
        let text = text.replace("[x86_64]", &format!("[{name}]"));
        fs::write(self.matrix_file(), text).unwrap();
    }

    /// Adds lines to the matrix.
    pub fn add_to_matrix(&self, lines: &str) {
        let text = fs::read_to_string(self.matrix_file()).unwrap();
        fs::write(self.matrix_file(), text + lines).unwrap();
    }

    /// Adds the kernels `small` and `other` to a matrix, in the modes that it has.
    pub fn add_kernels(&self) {
        let text = fs::read_to_string(self.matrix_file()).unwrap();
        let tiny = "  tiny: { base: tinyconfig, enable: [MODULES, MODVERSIONS] }\n";
        assert!(text.contains(tiny));
        let [small, other] = ["small", "other"].map(|name| tiny.replacen("tiny", name, 1));
        let text = text
            .replace(tiny, &format!("{tiny}{small}{other}"))
            .replace("config: [tiny]", "config: [tiny, small, other]");
        fs::write(self.matrix_file(), text).unwrap();
    }

    pub fn matrix_file(&self) -> PathBuf {
        self.dir().join("matrices/fake.yaml")
    }

    /// `klto run` over this kernel, with more arguments, which come first.
    pub fn run(&self, more: &[&str]) -> Command {
        let mut command = klto(more);
        self.arguments(&mut command, &self.source(), &self.work());
        command
    }

    /// `klto run` of the cells that a pattern matches.
    pub fn run_cell(&self, pattern: &str) -> Command {
        let mut command = self.run(&[]);
        command.args(["--cell", pattern]);
        command
    }

    /// `klto run` with the same matrix, elsewhere.
    pub fn run_in(&self, source: &Path, work: &Path) -> Command {
        let mut command = klto([""; 0]);
        self.arguments(&mut command, source, work);
        command
    }

    fn arguments(&self, command: &mut Command, source: &Path, work: &Path) {
        command
            .arg("run")
            .arg(self.matrix_file())
            .arg("--kernel")
            .arg(source)
            .arg("--work")
            .arg(work)
            .env("PATH", self.tools())
            // What other tests took must not show in the order of the cells.
            .env("KLTO_STORE", self.dir().join("store"))
            .current_dir(self.dir());
    }

    /// What the last run says in `report.json`.
    pub fn report(&self) -> Value {
        let text = fs::read_to_string(self.work().join("report.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The one cell in it.
    pub fn cell(&self) -> Value {
        let cells = self.report()["cells"].as_array().unwrap().clone();
        assert_eq!(cells.len(), 1, "{cells:#?}");
        cells[0].clone()
    }

    /// What the last run says in `report.ktap`.
    pub fn ktap(&self) -> String {
        fs::read_to_string(self.work().join("report.ktap")).unwrap()
    }

    /// Runs a line as a person would paste it, with klto in `PATH`.
    pub fn in_shell(&self, line: &str) -> Ended {
        let klto = Path::new(env!("CARGO_BIN_EXE_klto")).parent().unwrap();
        let path = std::env::join_paths([self.tools(), klto.to_owned()]).unwrap();
        finish(Command::new("sh").args(["-c", line]).env("PATH", path))
    }

    /// What [`FakeKernel::run`] leaves for the cell of that name.
    pub fn cell_dir(&self, cell: &str) -> PathBuf {
        self.work().join("cells/7.2.13").join(cell)
    }

    /// Links to the programs that do run, and programs that do nothing in place of
    /// those that klto wants to be there.
    fn write_tools(&self) {
        let tools = self.tools();
        fs::create_dir(&tools).unwrap();
        // Nothing needs ccache, and one that says nothing is noted.
        for program in wanted_tools(&tools).iter().filter(|tool| *tool != "ccache") {
            let file = tools.join(program);
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        for program in PROGRAMS {
            let real = std::env::split_paths(&path)
                .map(|folder| folder.join(program))
                .find(|file| file.is_file())
                .unwrap_or_else(|| panic!("{program} is not installed"));
            let _ = fs::remove_file(tools.join(program));
            symlink(real, tools.join(program)).unwrap();
        }
    }
}

/// The tools that `klto doctor` looks for if there are none at all.
fn wanted_tools(empty: &Path) -> Vec<String> {
    let doctor = finish(klto(["doctor"]).env("PATH", empty));
    doctor
        .stdout
        .lines()
        .filter_map(|line| line.strip_suffix(" missing"))
        .map(|tool| tool.trim().to_owned())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Ends what a killed run left: whatever has the kernel's folder on its command line.
pub fn end_makes(kernel: &FakeKernel) {
    let ours = kernel.dir().display().to_string();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(process.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line);
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|pid| pid.parse().ok())
        else {
            continue;
        };
        if line.starts_with("make") && line.contains(&ours) {
            let group = rustix::process::Pid::from_raw(pid)
                .and_then(|pid| rustix::process::getpgid(Some(pid)).ok());
            if let Some(group) = group {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Everything below a folder: mode, time of the last write, content.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if meta.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            content = fs::read(&path).unwrap();
        }
        found.insert(
            path,
            (meta.mode(), meta.mtime(), meta.mtime_nsec(), content),
        );
    }
    found
}
