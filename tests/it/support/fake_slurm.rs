//! Programs that answer as Slurm's do, and do a task while it is submitted: for answers that a real
//! Slurm gives only at times.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::fake_kernel::FakeKernel;

/// Reads its arguments, and does `task` for each task. A test can have something else done.
const SBATCH: &str = r#"
printf '%s\n' "$*" >>"$dir/submitted"
number=$(($(cat "$dir/number") + 1))
printf '%s\n' "$number" >"$dir/number"
array='' comment='' exclude='' memory=''
while :; do
  case $1 in
    --array=*) array=${1#*=} ;;
    --comment=*) comment=${1#*=} ;;
    --exclude=*) exclude=,${1#*=}, ;;
    --mem=*) memory=${1#*=} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
node=n1
case $exclude in *,n1,*) node=n2 ;; esac
refuse() {
  printf 'sbatch: error: Batch job submission failed: %s\n' "$1" >&2
  exit 1
}
do_task() {
  state=COMPLETED
  SLURM_ARRAY_JOB_ID=$number SLURM_ARRAY_TASK_ID=$at SLURMD_NODENAME=$node \
    sh "$@" >>"$dir/log" 2>&1 || state=FAILED
}
task() { do_task "$@"; }
[ ! -e "$dir/when-submitted" ] || . "$dir/when-submitted"
if [ -n "$array" ]; then
  at=${array%-*}
  while [ "$at" -le "${array#*-}" ]; do
    task "$@"
    printf '%s\n' "$number|$at|$state|$node|$comment|None" >>"$dir/tasks"
    at=$((at + 1))
  done
fi
printf '%s\n' "$number"
"#;

const SQUEUE: &str = r#"
[ ! -e "$dir/when-asked" ] || . "$dir/when-asked"
cat "$dir/tasks"
"#;

/// A fake kernel whose cells are built by tasks of a fake Slurm. Its nodes are n1, and n2 for tasks
/// that exclude n1.
pub struct FakeSlurm {
    pub kernel: FakeKernel,
}

impl FakeSlurm {
    /// A kernel without a fault, with a matrix of these modes.
    pub fn new(modes: &str) -> FakeSlurm {
        let on = FakeSlurm {
            kernel: FakeKernel::new(),
        };
        on.kernel.matrix(modes, "10min");
        fs::create_dir(on.dir()).unwrap();
        for (file, text) in [
            ("number", "0\n"),
            ("tasks", ""),
            ("submitted", ""),
            ("cancelled", ""),
        ] {
            fs::write(on.dir().join(file), text).unwrap();
        }
        let scancel = "printf '%s\\n' \"$*\" >>\"$dir/cancelled\"\n";
        for (program, text) in [
            ("sbatch", SBATCH),
            ("squeue", SQUEUE),
            ("scancel", scancel),
            ("scontrol", "printf 'MaxArraySize = 1001\\n'\n"),
            ("sacct", "exit 1\n"),
        ] {
            let file = on.kernel.tools().join(program);
            let _ = fs::remove_file(&file);
            let text = format!("#!/bin/sh\ndir={}\n{text}", on.dir().display());
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        on
    }

    /// `klto run` there, with more arguments.
    pub fn run(&self, more: &[&str]) -> Command {
        let mut command = self.kernel.run(&[]);
        command
            .args(["--engine", "slurm", "--jobs", "1", "--shared"])
            .arg(self.kernel.dir().join("shared"))
            .arg("--scratch")
            .arg(self.kernel.dir().join("scratch"))
            .args(more);
        command
    }

    /// What sbatch does once it has read its arguments: lines of a shell.
    pub fn when_submitted(&self, lines: &str) {
        fs::write(self.dir().join("when-submitted"), lines).unwrap();
    }

    /// What squeue does first.
    pub fn when_asked(&self, lines: &str) {
        fs::write(self.dir().join("when-asked"), lines).unwrap();
    }

    /// The folder for what the programs note.
    pub fn dir(&self) -> PathBuf {
        self.kernel.dir().join("slurm")
    }

    /// How sbatch was called, without the jobs that write a report.
    pub fn submitted(&self) -> Vec<String> {
        let all = self.lines("submitted").into_iter();
        all.filter(|line| !line.contains("--comment=report"))
            .collect()
    }

    /// How often a job that writes a report was submitted.
    pub fn reports(&self) -> usize {
        self.lines("submitted").len() - self.submitted().len()
    }

    /// How scancel was called.
    pub fn cancelled(&self) -> Vec<String> {
        self.lines("cancelled")
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir().join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
