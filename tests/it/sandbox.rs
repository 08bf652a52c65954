//! Builds that attack the machine that builds them, each without and with the sandbox: what
//! succeeds without it is refused, and what it left is gone.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use klto::build::dir_state::{DirState, mirror, write_file};
use klto::build::process::{Cancel, Captured, Command, Exit, capture};
use klto::build::sandbox::{Folders, Sandbox};
use klto::model::sandbox::{Enforced, Limits, SandboxMode};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::fake_kernel::{CELL, FakeKernel};
use crate::support::program::{finish, within};

/// Small, so that a test reaches them soon.
const LIMITS: Limits = Limits {
    memory: 1 << 30,
    file: 8 << 20,
    processes: 300,
};

/// A machine with a user, a source tree, two cells and a klto that builds in one of them.
struct Stand {
    dir: TempDir,
    sandbox: Option<Sandbox>,
}

impl Stand {
    fn new(mode: SandboxMode) -> Stand {
        let dir = tempfile::Builder::new().prefix("klto-").tempdir().unwrap();
        let stand = Stand {
            sandbox: sandbox(mode),
            dir,
        };
        for folder in ["home", "source", "cell/build", "other", "cell/shelter"] {
            fs::create_dir_all(stand.path(folder)).unwrap();
        }
        fs::write(stand.path("home/secret"), "secret\n").unwrap();
        fs::write(stand.path("source/Makefile"), "all:\n").unwrap();
        fs::write(stand.path("other/object"), "of another cell\n").unwrap();
        stand
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn with_folders<T>(&self, act: impl FnOnce(Folders<'_>) -> T) -> T {
        act(Folders {
            source: &self.path("source"),
            dir: &self.path("cell/build"),
            shelter: &self.path("cell/shelter"),
        })
    }

    /// Runs a command in the build folder, as a build would.
    fn run(&self, command: Command) -> Captured {
        let command = command
            .cwd(self.path("cell/build"))
            .env("KLTO_TEST_TOP", self.dir.path().canonicalize().unwrap())
            .grace(Duration::from_secs(10));
        let command = match &self.sandbox {
            Some(sandbox) => self
                .with_folders(|folders| sandbox.around(command, folders, Vec::new()))
                .unwrap(),
            None => command,
        };
        let captured = capture(&command, None, &Cancel::new()).unwrap();
        eprintln!("{captured:#?}");
        captured
    }

    fn sh(&self, script: &str) -> Captured {
        let script = format!("cd \"$KLTO_TEST_TOP/cell/build\"; {script}");
        self.run(Command::new("sh").args(["-c", &script]))
    }

    /// What klto says of a log.
    fn complaints(&self, said: &str) -> Vec<String> {
        let sandbox = self.sandbox.as_ref().unwrap();
        let found = self.with_folders(|folders| sandbox.after(said.as_bytes(), folders));
        let found = found.unwrap().into_iter();
        found
            .map(|c| format!("{} {}", c.rule.key, c.object))
            .collect()
    }
}

fn sandbox(mode: SandboxMode) -> Option<Sandbox> {
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    Sandbox::of_program(klto, LIMITS, mode, &Cancel::new()).unwrap()
}

/// What is left of it where namespaces cannot be had.
fn without_namespaces() -> Sandbox {
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    let sandbox = Sandbox::try_out(klto, Vec::new(), LIMITS, &Cancel::new());
    let sandbox = sandbox.unwrap().unwrap();
    assert!(!sandbox.enforced().processes);
    sandbox
}

/// Whether this machine has no sandbox and whoever runs the tests knows that.
fn is_excused() -> bool {
    let excused = std::env::var_os("KLTO_SKIP_SANDBOX").is_some();
    if excused {
        eprintln!("KLTO_SKIP_SANDBOX is set: nothing was tested");
    }
    excused
}

use SandboxMode::{Off, Require};

#[test]
fn this_machine_enforces_everything() {
    if is_excused() {
        return;
    }
    let klto = Path::new(env!("CARGO_BIN_EXE_klto"));
    let found = Sandbox::of_program(klto, LIMITS, Require, &Cancel::new());
    let sandbox = found.unwrap_or_else(|error| {
        panic!("{error}\n  set KLTO_SKIP_SANDBOX=1 to do without these tests");
    });
    let enforced = *sandbox.unwrap().enforced();
    assert_eq!(enforced.lacks(), [""; 0]);
    assert_eq!(enforced.limits, LIMITS);
    assert_eq!(
        enforced,
        Enforced {
            network: true,
            processes: true,
            mounts: true,
            ..enforced
        }
    );
}

/// A shell script that exits 0 if it reaches what no build may, and what klto says of it then.
#[rstest]
#[case::writes_to_home("echo x > $KLTO_TEST_TOP/home/new", "home/new")]
#[case::reads_home("cat $KLTO_TEST_TOP/home/secret", "home/secret")]
#[case::lists_home("ls $KLTO_TEST_TOP/home", "home")]
#[case::writes_the_source("echo x >> $KLTO_TEST_TOP/source/Makefile", "source/Makefile")]
#[case::removes_from_the_source("rm $KLTO_TEST_TOP/source/Makefile", "source/Makefile")]
#[case::reads_another_cell("cat $KLTO_TEST_TOP/other/object", "other/object")]
#[case::writes_another_cell("cp /dev/null $KLTO_TEST_TOP/other/object", "other/object")]
#[case::writes_by_dots("cp /dev/null ../../other/object", "other/object")]
#[case::writes_beside_its_folder("mkdir ../beside", "../beside")]
#[case::changes_modes("chmod 777 $KLTO_TEST_TOP/home/secret", "home/secret")]
#[case::changes_times(
    "touch -d 2001-01-01 $KLTO_TEST_TOP/source/Makefile",
    "source/Makefile"
)]
#[case::takes_a_hard_link("ln $KLTO_TEST_TOP/other/object x && echo x >> x", "other/object")]
#[case::through_a_link("ln -s $KLTO_TEST_TOP/home y && cat y/secret", "")]
#[case::memory_of_all(
    "echo x > /dev/shm/klto-test-$$ && rm /dev/shm/klto-test-$$",
    "/dev/shm/klto"
)]
fn what_is_not_the_builds_own_is_out_of_reach(
    #[values(Off, Require)] mode: SandboxMode,
    #[case] script: &str,
    #[case] names: &str,
) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    let before = DirState::of(stand.dir.path()).unwrap();

    let ended = stand.sh(script);

    if mode == Off {
        assert_eq!(ended.status, Exit::Success, "the attack is none");
        return;
    }
    assert_ne!(ended.status, Exit::Success);
    assert!(!ended.stdout.contains("secret"), "{}", ended.stdout);
    let complaints = stand.complaints(&ended.stderr);
    let is_named = |line: &String| line.starts_with("sandbox.") && line.contains(names);
    assert!(complaints.iter().any(is_named), "{complaints:?}");
    let after = DirState::of(stand.dir.path()).unwrap();
    assert_eq!(after.changed_since(&before).next(), None);
}

#[test]
fn a_build_has_its_own_folders_and_an_empty_home() {
    if is_excused() {
        return;
    }
    let stand = Stand::new(Require);
    let script = "set -e; echo x > a; mv a b; ln -s b c; mkfifo d; rm d; cat ../../source/Makefile; \
        test -z \"$(ls -A \"$HOME\")\"; echo x > \"$TMPDIR/x\"; echo x > /dev/null; \
        cc=$(command -v cat); test -x \"$cc\"; echo \"$HOME\"; echo over >&2; exit 3";
    let ended = stand.sh(script);
    assert_eq!(ended.status, Exit::Code(3));
    assert_eq!(ended.stderr, "over\n");
    let home = stand.path("cell/shelter/home");
    assert_eq!(ended.stdout, format!("all:\n{}\n", home.display()));
    assert_eq!(fs::read(stand.path("cell/build/b")).unwrap(), b"x\n");
    assert_eq!(stand.complaints(&ended.stderr), [""; 0]);
}

#[rstest]
fn the_environment_of_klto_stays_there(#[values(Off, Require)] mode: SandboxMode) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    // Set by cargo, for every test.
    let ended =
        stand.sh("echo ${CARGO_MANIFEST_DIR-unset}; cat /proc/[0-9]*/environ | tr '\\0' '\\n'");
    let says = ended.stdout.contains("CARGO_MANIFEST_DIR=");
    assert_eq!(says, mode == Off, "{}", ended.stdout);
    assert_eq!(ended.stdout.starts_with("unset"), mode == Require);
}

/// Runs a makefile whose attack is in `$(shell …)`: when it is read, before any recipe.
#[rstest]
fn a_makefile_is_confined_when_it_is_read(#[values(Off, Require)] mode: SandboxMode) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    let makefile = "x := $(shell echo x > $(KLTO_TEST_TOP)/home/by-make)\nall:\n\t@echo made\n";
    fs::write(stand.path("source/Makefile"), makefile).unwrap();
    let ended = stand.run(Command::new("make").args(["-f", "../../source/Makefile"]));
    assert_eq!(ended.status, Exit::Success);
    assert_eq!(ended.stdout, "made\n");
    assert_eq!(stand.path("home/by-make").exists(), mode == Off);
    if mode == Require {
        let made = stand.path("home/by-make");
        let wanted = format!("sandbox.refused {}", made.display());
        assert_eq!(stand.complaints(&ended.stderr), [wanted]);
    }
}

/// A process that leaves its session and its parents, and says that it lives by what it writes. klto
/// itself ends no daemon of these commands.
#[rstest]
#[case::setsid("setsid sh -c 'echo > began; sleep 1; echo > alive' > /dev/null 2>&1 &")]
#[case::double_fork("(setsid sh -c '(echo > began; sleep 1; echo > alive) &' &) > /dev/null 2>&1")]
#[case::holds_the_output("setsid sh -c 'echo > began; sleep 1; echo > alive' &")]
fn a_daemon_ends_with_its_build(#[values(Off, Require)] mode: SandboxMode, #[case] script: &str) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    let script = format!("{script}\nwhile ! test -e began; do sleep 0.01; done");
    let command = Command::new("sh").args(["-c", &script]);
    let ended = stand.run(command.leaves_daemons());
    assert_eq!(ended.status, Exit::Success);
    let alive = stand.path("cell/build/alive");
    let limit = Duration::from_secs(if mode == Off { 60 } else { 3 });
    assert_eq!(within(limit, || alive.exists()), mode == Off);
}

#[test]
fn a_daemon_ends_without_a_namespace_of_processes() {
    if is_excused() {
        return;
    }
    let mut stand = Stand::new(Require);
    stand.sandbox = Some(without_namespaces());
    let script = "(setsid sh -c '(trap \"\" TERM; echo > began; sleep 1; echo > alive) &' &) > /dev/null 2>&1; \
         while ! test -e began; do sleep 0.01; done; exit 5";
    let ended = stand.sh(script);
    assert_eq!(ended.status, Exit::Code(5));
    let alive = stand.path("cell/build/alive");
    assert!(!within(Duration::from_secs(3), || alive.exists()));
}

/// Starts processes without an end, up to a number at which it has shown enough.
#[rstest]
#[case::with_namespaces(true)]
#[case::without(false)]
fn a_fork_bomb_is_ended(#[values(Off, Require)] mode: SandboxMode, #[case] namespaces: bool) {
    if is_excused() {
        return;
    }
    let mut stand = Stand::new(mode);
    if mode == Require && !namespaces {
        stand.sandbox = Some(without_namespaces());
    }
    // The kernel may count first, or the supervisor, when it gets to it.
    let waits = if mode == Off { 0 } else { 60 };
    let ended = stand.sh(&format!(
        "n=0; while [ $n -lt 600 ]; do setsid sleep 20 & n=$((n+1)); done 2>/dev/null; \
         echo $n; sleep {waits}; echo done; kill $(jobs -p) 2>/dev/null; exit 0"
    ));
    assert_eq!(
        ended.stdout.contains("done"),
        mode == Off,
        "{}",
        ended.stdout
    );
    if mode == Require {
        assert_ne!(ended.status, Exit::Success);
        if namespaces || rustix::process::geteuid().is_root() {
            let complaints = stand.complaints(&ended.stderr);
            assert_eq!(complaints, ["sandbox.refused processes"]);
        }
        // Otherwise the kernel counts, too, and refuses first.
    }
}

#[rstest]
#[case::file("head -c 20000000 /dev/zero > big")]
#[case::memory("python3 -c 'bytearray(2 << 30)'")]
fn a_limit_is_reached(#[values(Off, Require)] mode: SandboxMode, #[case] script: &str) {
    if is_excused() {
        return;
    }
    let ended = Stand::new(mode).sh(script);
    assert_eq!(ended.status == Exit::Success, mode == Off);
}

const PYTHON: &str = "
import socket, sys
kind, family, address = sys.argv[1], sys.argv[2], sys.argv[3]
s = socket.socket(getattr(socket, family), getattr(socket, kind))
s.settimeout(5)
if family == 'AF_INET':
    s.connect((address, int(sys.argv[4])))
    s.send(b'x')
else:
    s.connect(address.replace('@', '\\0'))
";

#[rstest]
#[case::tcp("SOCK_STREAM", "AF_INET")]
#[case::udp("SOCK_DGRAM", "AF_INET")]
#[case::abstract_socket("SOCK_STREAM", "AF_UNIX")]
fn no_socket_leads_out(
    #[values(Off, Require)] mode: SandboxMode,
    #[case] kind: &str,
    #[case] family: &str,
) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("klto-test-{}-{mode:?}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt as _;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let _unix = UnixListener::bind_addr(&address).unwrap();
    let port = match kind {
        "SOCK_STREAM" => tcp.local_addr().unwrap().port(),
        _ => udp.local_addr().unwrap().port(),
    };
    let address = match family {
        "AF_INET" => "127.0.0.1".to_owned(),
        _ => format!("@{name}"),
    };
    let port = port.to_string();
    let ended =
        stand.run(Command::new("python3").args(["-c", PYTHON, kind, family, &address, &port]));
    assert_eq!(ended.status == Exit::Success, mode == Off);
    if mode == Require && family == "AF_INET" {
        assert!(ended.stderr.contains("unreachable") || ended.stderr.contains("denied"));
    }
}

#[rstest]
fn no_process_outside_gets_a_signal(#[values(Off, Require)] mode: SandboxMode) {
    if is_excused() {
        return;
    }
    let stand = Stand::new(mode);
    let own = std::process::id();
    let ended = stand.sh(&format!("kill -0 {own}"));
    assert_eq!(ended.status == Exit::Success, mode == Off);
}

#[test]
fn what_klto_has_open_is_closed() {
    if is_excused() {
        return;
    }
    let stand = Stand::new(Require);
    let lock = fs::File::create(stand.path("lock")).unwrap();
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();
    let ended = stand.sh("ls -l /proc/self/fd; echo x > /proc/self/fd/1");
    assert!(!ended.stdout.contains("lock"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("x\n"), "{}", ended.stdout);
}

#[test]
fn a_signal_that_ends_a_command_is_seen() {
    if is_excused() {
        return;
    }
    let ended = Stand::new(Require).sh("sh -c 'kill -9 $$'; exec sh -c 'kill -9 $$'");
    assert_eq!(ended.status, Exit::Signal(9));
    let ended = Stand::new(Require).run(Command::new("/no/program"));
    assert_eq!(ended.status, Exit::Code(125));
    assert!(
        ended
            .stderr
            .starts_with("klto-sandbox: cannot run /no/program: ")
    );
}

/// What klto itself writes after the build goes where it is meant to.
#[test]
fn a_planted_link_does_not_lead_klto_out() {
    if is_excused() {
        return;
    }
    let stand = Stand::new(Require);
    let build = stand.path("cell/build");
    let built = stand.path("cell/built");
    fs::create_dir_all(built.join("include/config")).unwrap();
    fs::write(built.join("include/config/auto.conf"), "y\n").unwrap();
    fs::write(built.join(".config"), "y\n").unwrap();
    let ended = stand.sh(
        "ln -s $KLTO_TEST_TOP/home include; ln -s $KLTO_TEST_TOP/home/secret .config; \
         mkfifo pipe; ln -s include/x within",
    );
    assert_eq!(ended.status, Exit::Success);
    let mut complaints = stand.complaints("");
    complaints.sort();
    let planted = [".config", "include", "pipe", "within"];
    assert_eq!(
        complaints,
        planted.map(|name| format!("sandbox.planted {name}"))
    );

    // Without that look, too.
    symlink(stand.path("home"), build.join("include")).unwrap();
    symlink(stand.path("home/secret"), build.join(".config")).unwrap();
    mirror(&built, &build).unwrap();
    assert_eq!(DirState::of(&build).unwrap(), DirState::of(&built).unwrap());
    fs::remove_file(build.join(".config")).unwrap();
    symlink(stand.path("home/secret"), build.join(".config")).unwrap();
    write_file(&build.join(".config"), b"n\n", 0o644, 0).unwrap();
    assert_eq!(fs::read(stand.path("home/secret")).unwrap(), b"secret\n");
    assert_eq!(fs::read_dir(stand.path("home")).unwrap().count(), 1);
}

#[test]
fn a_build_makes_no_device_and_no_program_gains_rights() {
    if is_excused() {
        return;
    }
    let stand = Stand::new(Require);
    let ended = stand.sh("mknod disk b 254 0; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status");
    assert!(!stand.path("cell/build/disk").exists());
    let rights = if rustix::process::geteuid().is_root() {
        "2"
    } else {
        "0"
    };
    assert_eq!(
        ended.stdout,
        format!("CapEff:\t{rights:0>16}\nNoNewPrivs:\t1\n")
    );
    let meta = fs::metadata(stand.path("cell/build")).unwrap();
    assert!(meta.is_dir() && meta.permissions().mode() & 0o777 > 0 && meta.nlink() > 0);
}

/// A fake kernel whose makefile does more than build.
fn attacking(line: &str) -> FakeKernel {
    let kernel = FakeKernel::new();
    fs::write(kernel.dir().join("secret"), "secret\n").unwrap();
    let makefile = kernel.source().join("Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    let line = line.replace("TOP", &kernel.dir().display().to_string());
    fs::write(makefile, format!("{line}\n{text}")).unwrap();
    kernel
}

#[test]
fn a_kernel_is_built_in_a_sandbox_and_its_record_says_so() {
    if is_excused() {
        return;
    }
    let kernel = FakeKernel::new();
    let sandboxed = |mode| {
        let mut run = kernel.run(&[]);
        finish(run.args(["--sandbox", mode]))
    };
    let ended = sandboxed("require");
    assert_eq!(ended.code, Some(0));
    let said = "\nbuilt in a sandbox: Landlock ABI ";
    assert!(ended.stdout.contains(said));
    let cell = kernel.cell();
    assert_eq!(cell["sandbox"]["network"], true);
    assert_eq!(cell["reused"], false);

    sandboxed("auto");
    assert_eq!(kernel.cell()["reused"], true, "auto is all here, too");

    let ended = sandboxed("off");
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains(said));
    let other = kernel.cell();
    assert_eq!(other["reused"], false);
    assert_eq!(other["sandbox"], serde_json::Value::Null);
    assert_ne!(other["job"], cell["job"]);
}

#[rstest]
#[case::shell("x := $(shell cat TOP/secret)", "sandbox.refused", "TOP/secret")]
#[case::recipe("vmlinux: y\ny:\n\t-@echo > TOP/new", "sandbox.refused", "TOP/new")]
#[case::link(
    "vmlinux: y\ny: prepare\n\t@cp -s TOP/secret $(O)/stolen",
    "sandbox.planted",
    "stolen"
)]
#[case::pipe("vmlinux: y\ny: prepare\n\t@mkfifo $(O)/p", "sandbox.planted", "p")]
fn an_attack_is_a_finding(#[case] line: &str, #[case] key: &str, #[case] object: &str) {
    if is_excused() {
        return;
    }
    let kernel = attacking(line);
    let mut run = kernel.run(&[]);
    let ended = finish(run.args(["--sandbox", "require"]));
    assert_eq!(ended.code, Some(1));
    let findings = kernel.cell()["inspection"]["findings"].clone();
    let object = object.replace("TOP", &kernel.dir().display().to_string());
    assert_eq!(findings[0]["key"], key, "{findings:#}");
    assert_eq!(findings[0]["object"], object.as_str(), "{findings:#}");
    assert!(!kernel.dir().join("new").exists());
}

/// The numbers of the processes whose command lines name a folder.
fn processes_that_name(folder: &Path) -> Vec<Pid> {
    let name = folder.to_string_lossy().into_owned();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let number = |entry: fs::DirEntry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let names_it = String::from_utf8_lossy(&line).contains(&name);
        Pid::from_raw(number).filter(|_| names_it)
    };
    entries.filter_map(number).collect()
}

#[rstest]
#[case::off("off", false)]
#[case::require("require", true)]
fn a_build_ends_with_a_klto_that_is_killed(#[case] mode: &str, #[case] ends: bool) {
    if is_excused() {
        return;
    }
    let kernel = attacking(
        "vmlinux: y\ny: prepare\n\t@trap '' TERM HUP; echo > $(O)/began; sleep 60 TOP || sleep 60",
    );
    let mut run = kernel.run(&[]);
    let run = run.args(["--sandbox", mode]).stdout(Stdio::null());
    let mut klto = run.stderr(Stdio::null()).spawn().unwrap();
    let began = kernel.cell_dir(CELL).join("build/began");
    assert!(within(Duration::from_mins(1), || began.exists()));
    klto.kill().unwrap();
    klto.wait().unwrap();
    let limit = Duration::from_secs(if ends { 30 } else { 2 });
    let have_ended = within(limit, || processes_that_name(kernel.dir()).is_empty());
    for left in processes_that_name(kernel.dir()) {
        let _ = kill_process(left, Signal::KILL);
    }
    assert_eq!(have_ended, ends);
}

/// What a machine lacks must not pass as enforced.
#[test]
fn a_sandbox_that_cannot_be_enforced_is_an_error() {
    if is_excused() {
        return;
    }
    let kernel = FakeKernel::new();
    // Found before the real one.
    let unshare = kernel.tools().join("unshare");
    fs::write(&unshare, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&unshare, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |mode| {
        let mut run = kernel.run(&[]);
        finish(run.args(["--sandbox", mode]))
    };
    let ended = run("require");
    assert_eq!(ended.code, Some(125));
    let said = "klto: this machine cannot enforce: network other than TCP";
    assert!(ended.stderr.contains(said));
    assert!(!kernel.work().exists(), "nothing was built");

    let ended = run("auto");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("; no namespaces; "));
    assert!(
        ended
            .stdout
            .contains("; not enforced: network other than TCP")
    );
}
