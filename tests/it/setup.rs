//! `ci/setup`, and the steps of the template for GitHub that install, on a machine that has next to
//! nothing: no Rust, no compiler, and an apt-get that only notes what it is asked for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use tempfile::TempDir;

use crate::support::program::{Ended, finish, write_program};
use crate::templates::parsed;

/// What every machine has.
const PROGRAMS: [&str; 17] = [
    "awk", "bash", "cat", "chmod", "cp", "cut", "dirname", "env", "grep", "head", "mkdir",
    "mktemp", "rm", "sed", "sh", "sort", "tail",
];

/// Installs the packages it is asked for: dpkg knows them from then on, and cargo runs.
const APT_GET: &str = r#"echo "$*" >>"$MACHINE/asked"
case "$*" in *" install "* | install*) ;; *) exit 0 ;; esac
for package; do
  echo "$package" >>"$MACHINE/installed"
  if [ "$package" = cargo ]; then
    printf '#!/bin/sh\nmkdir -p target/release\necho "$*" >target/release/klto\n' >"$MACHINE/bin/cargo"
    chmod +x "$MACHINE/bin/cargo"
  fi
done"#;

const DPKG_QUERY: &str = r#"for package; do :; done
if grep -qx "$package" "$MACHINE/installed"; then printf installed; else exit 1; fi"#;

struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(machine.path("bin")).unwrap();
        fs::write(machine.path("installed"), "").unwrap();
        let folders = std::env::var_os("PATH").unwrap();
        for program in PROGRAMS {
            let mut files = std::env::split_paths(&folders).map(|folder| folder.join(program));
            let file = files.find(|file| file.is_file()).unwrap();
            symlink(file, machine.path("bin").join(program)).unwrap();
        }
        machine.program("apt-get", APT_GET);
        machine.program("dpkg-query", DPKG_QUERY);
        machine.program("sudo", r#"shift; exec "$@""#);
        machine.program("git", "echo /nowhere");
        // The checkout.
        symlink(ci(), machine.path("ci")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        write_program(&self.path("bin").join(name), text);
    }

    /// Runs a program with nothing else in its environment than what the machine has.
    fn run(&self, program: &Path, args: &[&str]) -> Ended {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.dir.path())
            .env("MACHINE", self.dir.path());
        finish(&mut command)
    }

    fn setup(&self, args: &[&str]) -> Ended {
        self.run(&ci().join("setup"), args)
    }

    /// Whether a package was asked for.
    fn has(&self, package: &str) -> bool {
        let installed = fs::read_to_string(self.path("installed")).unwrap();
        installed.lines().any(|line| line == package)
    }
}

fn ci() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ci")
}

/// What only tests and benchmarks need. `ci/setup` knows others by files that this machine may have.
const OF_TESTS: [&str; 3] = ["chromium", "hyperfine", "libxml2-utils"];

#[test]
fn what_builds_and_boots_kernels_is_installed_without_rust_and_what_tests_need() {
    let machine = Machine::new();

    let ended = machine.setup(&["--kernels"]);

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    for package in ["clang-22", "ccache", "make", "python3", "gcc"] {
        assert!(machine.has(package), "{package}");
    }
    for package in ["x86", "arm", "misc", "riscv"] {
        let package = format!("qemu-system-{package}");
        assert!(machine.has(&package), "{package}");
    }
    for package in OF_TESTS.iter().chain(&["git-email", "python3-venv"]) {
        assert!(!machine.has(package), "{package}");
    }

    // The second time there is nothing to do.
    fs::write(machine.path("asked"), "").unwrap();
    assert_eq!(machine.setup(&["--kernels"]).code, Some(0));
    assert_eq!(fs::read_to_string(machine.path("asked")).unwrap(), "");
}

#[test]
fn all_that_tests_need_is_more() {
    let machine = Machine::new();

    let ended = machine.setup(&[]);

    // There is no Python with which b4 could be installed.
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    for package in OF_TESTS {
        assert!(machine.has(package), "{package}");
    }
}

#[rstest]
#[case::other(&["--kernel"], "expected nothing or --kernels, found '--kernel'")]
#[case::more(&["--kernels", "x"], "expected nothing or --kernels, found '--kernels x'")]
fn what_setup_does_not_know_is_a_usage_error(#[case] args: &[&str], #[case] says: &str) {
    let machine = Machine::new();
    let ended = machine.setup(args);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert!(!machine.path("asked").exists());
}

/// Runs the steps of a job of the template for GitHub that come before the one of that id.
fn begin(machine: &Machine, job: &str, before: &str) {
    let template = parsed("github.yml");
    let steps = template["jobs"][job]["steps"].as_sequence().unwrap();
    let before = steps.iter().take_while(|step| step["id"] != before);
    let texts: Vec<&str> = before.filter_map(|step| step["run"].as_str()).collect();
    assert!(!texts.is_empty());
    let bash = machine.path("bin/bash");
    for text in texts {
        let args = ["--noprofile", "--norc", "-eo", "pipefail", "-c", text];
        let ended = machine.run(&bash, &args);
        assert_eq!(ended.code, Some(0), "{text}");
    }
}

#[test]
fn the_job_that_plans_gets_a_rust_and_builds_klto() {
    let machine = Machine::new();
    begin(&machine, "plan", "plan");
    let built = fs::read_to_string(machine.path("bin/klto")).unwrap();
    assert_eq!(built, "build --release --locked\n");
    // What links it.
    assert!(machine.has("gcc") && machine.has("libc6-dev"));
    // What git knows the kernel's host by.
    assert!(machine.has("git") && machine.has("ca-certificates"));
}

#[test]
fn a_shard_gets_what_builds_kernels_and_no_rust() {
    let machine = Machine::new();
    begin(&machine, "shard", "fetch");
    assert!(machine.has("git") && machine.has("ca-certificates"));
    assert!(machine.has("clang-22") && machine.has("qemu-system-x86"));
    assert!(!machine.has("cargo") && !machine.has("chromium"));
}
