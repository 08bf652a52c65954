//! A real Slurm with two nodes on this machine, as `ci/slurm-local` starts it, and `klto run` of a
//! fake kernel on it.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::fake_kernel::FakeKernel;
use super::git::git;
use super::program::{Ended, finish, within};

/// Slurm's programs that klto runs.
const CLIENTS: [&str; 5] = ["sbatch", "squeue", "scancel", "scontrol", "sacct"];

/// A Slurm; it ends with this.
pub struct Slurm {
    dir: TempDir,
    clients: PathBuf,
}

impl Slurm {
    /// Starts it, with more options of `ci/slurm-local start`.
    pub fn start(options: &[&str]) -> Slurm {
        let folder = std::env::var_os("KLTO_SLURM").map(PathBuf::from);
        let folder = folder.filter(|folder| folder.join("clients/sbatch").exists());
        let folder = folder
            .expect("KLTO_SLURM must name a Slurm: run ci/test, or KLTO_SLURM=$(ci/slurm-local fetch) cargo test");
        // The name of a socket must be short.
        let slurm = Slurm {
            dir: tempfile::Builder::new()
                .prefix("klto-")
                .tempdir_in("/tmp")
                .unwrap(),
            clients: folder.join("clients"),
        };
        let dir = slurm.dir.path().to_owned();
        let ended = finish(script("start").arg(&dir).args(options));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        slurm
    }

    /// Calls a verb of `ci/slurm-local`.
    pub fn call(&self, verb: &str, more: &[&str]) {
        let ended = finish(script(verb).arg(self.dir.path()).args(more));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// Runs one of Slurm's commands.
    pub fn ask(&self, command: &[&str]) -> String {
        let program = self.clients.join(command[0]);
        let mut command = {
            let mut started = Command::new(program);
            started.args(&command[1..]);
            started
        };
        finish(command.env("SLURM_CONF", self.configuration())).stdout
    }

    fn configuration(&self) -> PathBuf {
        self.dir.path().join("slurm.conf")
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let _ = script("stop").arg(self.dir.path()).status();
    }
}

fn script(verb: &str) -> Command {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/slurm-local"));
    script.arg(verb);
    script
}

/// A fake kernel whose cells are built on a Slurm.
pub struct OnSlurm {
    pub kernel: FakeKernel,
    pub slurm: Slurm,
}

impl OnSlurm {
    /// A kernel without a fault, with a matrix of these modes.
    pub fn new(modes: &str, options: &[&str]) -> OnSlurm {
        let on = OnSlurm {
            kernel: FakeKernel::new(),
            slurm: Slurm::start(options),
        };
        on.kernel.matrix(modes, "10min");
        for client in CLIENTS {
            let link = on.kernel.tools().join(client);
            symlink(on.slurm.clients.join(client), link).unwrap();
        }
        on
    }

    /// `klto run` there, with more arguments.
    pub fn run(&self, more: &[&str]) -> Command {
        let mut command = self.kernel.run(more);
        command
            .args(["--engine", "slurm", "--jobs", "1", "--shared"])
            .arg(self.shared())
            .arg("--scratch")
            .arg(self.scratch())
            .env("SLURM_CONF", self.slurm.configuration());
        command
    }

    pub fn shared(&self) -> PathBuf {
        self.kernel.dir().join("shared")
    }

    pub fn scratch(&self) -> PathBuf {
        self.kernel.dir().join("scratch")
    }

    /// The build of each cell waits as long as a file is there.
    pub fn hold(&self) {
        let script = self.kernel.source().join("scripts/fake-kbuild");
        let text = std::fs::read_to_string(&script).unwrap();
        let hold = self.kernel.dir().join("hold");
        let wait = format!(
            "if [ \"$step\" = compile ]; then while [ -e {} ]; do sleep 0.1; done; fi\n\ncase $step/$fault in\n",
            hold.display()
        );
        assert!(text.contains("\ncase $step/$fault in\n"));
        std::fs::write(&script, text.replace("\ncase $step/$fault in\n", &wait)).unwrap();
        std::fs::write(hold, "").unwrap();
    }

    /// Builds go on.
    pub fn release(&self) {
        std::fs::remove_file(self.kernel.dir().join("hold")).unwrap();
    }

    /// The folder of the last plan.
    pub fn plan(&self) -> PathBuf {
        let plans = std::fs::read_dir(self.shared().join("plans")).unwrap();
        let mut plans: Vec<PathBuf> = plans.map(|entry| entry.unwrap().path()).collect();
        plans.sort();
        plans.pop().unwrap()
    }

    /// How the tasks of the last plan ended, by the cell: what the node left.
    pub fn done(&self) -> Vec<Value> {
        let done = std::fs::read_dir(self.plan().join("done")).unwrap();
        let mut done: Vec<PathBuf> = done.map(|entry| entry.unwrap().path()).collect();
        done.sort();
        let read = |file: &PathBuf| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        done.iter().map(read).collect()
    }

    /// Makes the sources the one commit of a repository, and removes a file from the checkout.
    pub fn commit(&self) {
        let tool = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("git"))
            .find(|file| file.is_file())
            .unwrap();
        let _ = std::fs::remove_file(self.kernel.tools().join("git"));
        symlink(tool, self.kernel.tools().join("git")).unwrap();
        let source = self.kernel.source();
        git(&source, &["init", "--quiet"]);
        git(&source, &["add", "."]);
        git(&source, &["commit", "--quiet", "--message", "kernel"]);
        std::fs::remove_file(source.join("init/main.c")).unwrap();
    }

    /// The states and nodes of klto's tasks, without the report's.
    pub fn tasks(&self) -> Vec<(String, String)> {
        let shown = self.slurm.ask(&["squeue", "-h", "-r", "-o", "%T|%N|%k"]);
        let lines = shown.lines().filter(|line| !line.ends_with("|report"));
        lines
            .filter_map(|line| line.split_once('|'))
            .map(|(state, rest)| {
                let node = rest.split('|').next().unwrap_or_default();
                (state.to_owned(), node.to_owned())
            })
            .collect()
    }

    /// Waits until as many tasks run; returns their nodes.
    pub fn wait_for_running(&self, number: usize) -> Vec<String> {
        let mut nodes = Vec::new();
        let run = within(Duration::from_secs(30), || {
            let running = self.tasks().into_iter();
            let running = running.filter(|(state, _)| state == "RUNNING");
            nodes = running.map(|(_, node)| node).collect();
            std::thread::sleep(Duration::from_millis(200));
            nodes.len() >= number
        });
        assert!(run, "{:?}", self.tasks());
        nodes
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A klto that runs beside the test.
pub struct Started {
    child: Child,
    said: PathBuf,
}

impl Started {
    /// Starts it; what it says goes to a file in that folder.
    pub fn new(command: &mut Command, folder: &Path) -> Started {
        let said = folder.join("said");
        let file = File::create(&said).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Started { child, said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it says that.
    pub fn wait_for(&self, text: &str) {
        let says = within(Duration::from_mins(1), || self.said().contains(text));
        assert!(says, "{}", self.said());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let started = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if started.elapsed() > Duration::from_mins(2) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("it does not end; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let stderr = self.said();
        eprintln!("{stderr}");
        Ended {
            code,
            stdout: String::new(),
            stderr,
        }
    }
}
