//! `klto run` on a machine that fails it: a hang, an interrupt, a full disk, a missing
//! tool. No kernel is blamed, and no process or file is left.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::fake_kernel::{CELL, FakeKernel, listing};
use crate::support::machine::{Disk, living, marker};
use crate::support::program::{finish, within, write_program};

#[rstest]
#[case::full_disk("full-disk", "No space left on device")]
#[case::compiler_killed(
    "out-of-memory",
    "a program was killed, as happens if the machine ran out of memory: make[1]: *** [scripts/Makefile.build:4: init/main.o] Error 137"
)]
#[case::no_memory(
    "no-memory",
    "the machine ran out of memory: LLVM ERROR: out of memory"
)]
fn what_the_machine_does_is_not_the_kernels_fault(#[case] fault: &str, #[case] says: &str) {
    let kernel = FakeKernel::with_fault(fault);

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125));
    assert!(ended.stdout.contains(says), "{says}");
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "error");
    assert_eq!(cell["outcome"]["reason"], cell["error"]);
    assert!(cell["error"].as_str().unwrap().contains(says), "{cell:#}");
    let ktap = kernel.ktap();
    let directive = crate::support::ktap::parse(&ktap)
        .remove(0)
        .directive
        .unwrap();
    assert!(directive.starts_with("ERROR "), "{directive}");
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let kernel = FakeKernel::new();
    fs::remove_file(kernel.tools().join("clang-22")).unwrap();
    fs::remove_file(kernel.tools().join("bison")).unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125));
    let reason = kernel.cell()["error"].as_str().unwrap().to_owned();
    assert_eq!(
        reason,
        "not installed: bison, clang-22; on Debian: apt-get install bison clang-22"
    );
    assert!(!kernel.cell_dir(CELL).exists(), "nothing was begun");
}

/// Kconfig would leave the symbol out without a message, and the cell would fail as misconfigured.
#[rstest]
#[case::debug_information(
    "DEBUG_INFO_BTF",
    "pahole",
    "not installed: pahole; on Debian: apt-get install pahole"
)]
#[case::rust(
    "RUST",
    "bindgen",
    "not installed: bindgen; on Debian: apt-get install bindgen"
)]
fn a_tool_that_a_symbol_needs_is_named(
    #[case] symbol: &str,
    #[case] missing: &str,
    #[case] says: &str,
) {
    let kernel = FakeKernel::new();
    for tool in ["pahole", "rustc", "bindgen"] {
        let path = kernel.tools().join(tool);
        let _ = fs::remove_file(&path);
        if tool != missing {
            write_program(&path, "echo 1");
        }
    }
    let text = fs::read_to_string(kernel.matrix_file()).unwrap();
    let with_symbol = text.replace("MODVERSIONS]", &format!("MODVERSIONS, {symbol}]"));
    assert_ne!(text, with_symbol);
    fs::write(kernel.matrix_file(), with_symbol).unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(125));
    assert_eq!(kernel.cell()["error"], says);
}

/// A run that hangs in the middle of its build, and everything that it starts: all
/// of it has a variable of its own in its environment.
struct Hanging {
    kernel: FakeKernel,
    marker: String,
    child: Child,
}

impl Hanging {
    fn start() -> Self {
        let kernel = FakeKernel::with_fault("hang");
        let marker = marker(&kernel);
        let child = kernel
            .run(&[])
            .env("KLTO_TEST_MARKER", &marker)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(kernel.dir().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let hanging = Self {
            kernel,
            marker,
            child,
        };
        let log = hanging.kernel.cell_dir(CELL).join("build.log");
        let hangs = || fs::read_to_string(&log).is_ok_and(|log| log.contains("hanging"));
        assert!(
            within(Duration::from_mins(1), hangs),
            "it never comes to the hang"
        );
        assert!(
            living(&hanging.marker).len() > 3,
            "make and its children are there"
        );
        hanging
    }

    /// Sends a signal to klto only, as `kill` does; returns its exit code.
    fn end_by(mut self, signal: Signal) -> (Self, Option<i32>) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let child = &mut self.child;
        let ended = within(Duration::from_secs(30), || {
            child.try_wait().unwrap().is_some()
        });
        assert!(ended, "five seconds of grace are over long ago");
        let code = self.child.wait().unwrap().code();
        (self, code)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in living(&self.marker) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

#[test]
fn a_build_that_hangs_is_ended_with_everything_it_started() {
    let kernel = FakeKernel::with_fault("hang");
    kernel.matrix("[thin-dist]", "3s");
    let marker = marker(&kernel);

    let ended = finish(kernel.run(&[]).env("KLTO_TEST_MARKER", &marker));

    assert_eq!(ended.code, Some(125));
    let cell = kernel.cell();
    assert_eq!(cell["outcome"]["is"], "error");
    assert_eq!(cell["error"], "timed out after 3s");
    let ktap = kernel.ktap();
    let directive = crate::support::ktap::parse(&ktap).remove(0).directive;
    assert!(directive.unwrap().starts_with("TIMEOUT "), "{ktap}");
    assert_eq!(living(&marker), [0; 0]);
}

#[rstest]
#[case::ctrl_c(Signal::INT)]
#[case::kill(Signal::TERM)]
#[case::terminal_gone(Signal::HUP)]
fn an_interrupted_run_leaves_no_process_and_a_work_dir_to_go_on_with(#[case] signal: Signal) {
    let hanging = Hanging::start();
    let source = listing(&hanging.kernel.source());

    let (hanging, code) = hanging.end_by(signal);

    assert_eq!(code, Some(125));
    assert_eq!(living(&hanging.marker), [0; 0]);
    let kernel = &hanging.kernel;
    let stderr = fs::read_to_string(kernel.dir().join("stderr")).unwrap();
    assert!(stderr.contains("klto: interrupted"), "{stderr}");
    assert_eq!(kernel.cell()["error"], "interrupted");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(listing(&kernel.source()), source);
    let cell_dir = kernel.cell_dir(CELL);
    assert!(
        cell_dir.join("build/.config").exists(),
        "what was built stays"
    );
    assert!(
        fs::read_to_string(cell_dir.join("build.log"))
            .unwrap()
            .contains("hanging")
    );

    kernel.set_fault("");
    assert_eq!(
        finish(&mut kernel.run(&[])).code,
        Some(0),
        "the next run goes on there"
    );
}

#[test]
fn a_second_run_in_the_same_work_directory_waits_until_the_first_has_ended() {
    let hanging = Hanging::start();
    let kernel = &hanging.kernel;
    let stderr = kernel.dir().join("second");
    let mut second = kernel.run(&[]);
    let mut second = second
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let says = |text: &str| fs::read_to_string(&stderr).unwrap().contains(text);

    assert!(within(Duration::from_mins(1), || says(
        ") is at work on it"
    )));
    assert!(!living(&hanging.marker).is_empty(), "the first goes on");
    assert!(!says(": compile"), "the second does not");
    let (hanging, _) = hanging.end_by(Signal::INT);
    assert!(within(Duration::from_mins(1), || says(": compile")));
    assert_eq!(living(&hanging.marker), [0; 0]);
    let process = Pid::from_raw(i32::try_from(second.id()).unwrap()).unwrap();
    kill_process(process, Signal::INT).unwrap();
    let code = second.wait().unwrap().code();
    assert_eq!(code, Some(125), "{}", fs::read_to_string(&stderr).unwrap());
}

#[rstest]
#[case::full_at_once("", true)]
#[case::filled_by_the_build("fills-disk", false)]
fn a_full_disk_is_named_and_no_kernel_blamed(#[case] fault: &str, #[case] fill: bool) {
    let kernel = FakeKernel::with_fault(fault);
    let Some(disk) = Disk::mount(&kernel.dir().join("disk")) else {
        eprintln!("left out: this user cannot mount a tmpfs");
        return;
    };
    if fill {
        let work = disk.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join(".klto-work"), "").unwrap();
        let mut ballast = fs::File::create(disk.path().join("ballast")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut ballast);
        assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    let ended = finish(&mut kernel.run_in(&kernel.source(), &disk.path().join("work")));

    assert_eq!(ended.code, Some(125));
    let said = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    assert!(said.contains("no space left on"), "{said}");
    assert!(said.contains("free some"), "{said}");
}

#[test]
fn unread_output_is_not_a_failure() {
    let kernel = FakeKernel::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = kernel.run(&[]);
    let status = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status()
        .unwrap();

    assert_eq!(status.code(), Some(0));
    assert_eq!(kernel.cell()["outcome"]["is"], "pass");
}
