//! Specifications of running processes, with real ones.

use super::*;
use rstest::rstest;

fn sh(script: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(script)
}

#[expect(clippy::unnecessary_wraps, reason = "a deadline is an option")]
fn soon(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

/// The running processes of a group, as /proc shows them.
fn alive_in_group(group: &str) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    stats
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .filter(|stat| {
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap()
                .split_whitespace()
                .collect();
            fields[2] == group && fields[0] != "Z"
        })
        .collect()
}

#[rstest]
#[case::success("exit 0", Exit::Success)]
#[case::code("exit 3", Exit::Code(3))]
#[case::signal("kill -USR1 $$", Exit::Signal(10))]
fn the_exit_says_how_the_child_ended(#[case] script: &str, #[case] expected: Exit) {
    let captured = capture(&sh(script), None, &Cancel::new()).unwrap();
    assert_eq!(captured.status, expected);
}

#[test]
fn both_outputs_are_captured_apart() {
    let command = sh("echo out $A$B; echo err >&2; cat; pwd")
        .env("A", "1")
        .env("B", "2")
        .env_remove("B")
        .cwd("/proc");
    let captured = capture(&command, None, &Cancel::new()).unwrap();
    assert_eq!(captured.stdout, "out 1\n/proc\n");
    assert_eq!(captured.stderr, "err\n");
}

#[rstest]
#[case::read_whole("cat", "one\0two\n", "one\0two\n")]
#[case::empty("cat; echo end", "", "end\n")]
#[case::read_in_part("read line; echo $line", "one\ntwo\n", "one\n")]
#[case::not_read("echo none", "one\n", "none\n")]
#[case::read_by_two("head -c 4; cat", "one\ntwo\n", "one\ntwo\n")]
fn a_child_reads_the_input_that_was_set(
    #[case] script: &str,
    #[case] input: &str,
    #[case] stdout: &str,
) {
    let command = sh(script).input(input.as_bytes());
    for time in ["the first time", "the second time"] {
        let captured = capture(&command, None, &Cancel::new()).unwrap();
        assert_eq!(captured.stdout, stdout, "{time}");
        assert_eq!(captured.status, Exit::Success, "{time}");
    }
}

#[test]
fn an_input_that_no_pipe_holds_is_read_whole_while_much_is_written() {
    let input: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let command = Command::new("cat").input(input.clone());
    let captured = capture_bytes(&command, None, &Cancel::new()).unwrap();
    assert!(captured.stdout == input);
}

#[test]
fn bytes_that_are_no_text_are_captured_as_they_are() {
    let command = sh(r"printf '\377\0a'; printf '\376' >&2; exit 3");
    let captured = capture_bytes(&command, None, &Cancel::new()).unwrap();
    assert_eq!(captured.stdout, b"\xff\0a");
    assert_eq!(captured.stderr, "\u{fffd}");
    assert_eq!(captured.status, Exit::Code(3));
    let captured = capture(&command, None, &Cancel::new()).unwrap();
    assert_eq!(captured.stdout, "\u{fffd}\0a");
}

#[test]
fn a_command_ends_once_it_has_said_enough() {
    let command = sh("echo one; echo 'no room, ' >&2; echo 'sleeping' >&2; exec sleep 60");
    let is_enough = |said: &str| said.contains("sleeping");
    let captured = capture_until(&command, None, &Cancel::new(), &is_enough).unwrap();
    assert_eq!(captured.status, Exit::Stopped);
    assert_eq!(captured.stdout, "one\n");
    assert_eq!(captured.stderr, "no room, \nsleeping\n");
}

#[test]
fn the_line_for_the_shell_does_the_same() {
    let command = Command::new("printf")
        .args(["%s|", "a b", "'", "$HOME", "", "\\", "*", "#", "é\n"])
        .cwd("/tmp");
    let direct = capture(&command, None, &Cancel::new()).unwrap();
    let pasted = capture(&sh(&command.shell_words()), None, &Cancel::new()).unwrap();
    assert_eq!(direct, pasted);
}

#[test]
fn the_log_gets_both_outputs_appended_and_the_ticks_its_new_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, "before\n").unwrap();
    let (mut lines, mut ticks) = (Vec::new(), 0);
    let exit = run_logged(
        &sh("echo one; sleep 0.7; echo two >&2; printf three"),
        &log,
        None,
        &Cancel::new(),
        &mut |tail| {
            ticks += 1;
            lines.extend(tail.lines.iter().cloned());
            ControlFlow::Continue(())
        },
    );
    assert_eq!(exit.unwrap().exit, Exit::Success);
    assert_eq!(lines, ["one", "two", "three"]);
    assert!(ticks >= 3, "{ticks}");
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "before\none\ntwo\nthree"
    );
}

/// A leader and two grandchildren that ignore SIGTERM; it prints its group.
const STUBBORN: &str = r#"trap "" TERM; echo $$; sleep 100 & sh -c 'sleep 100' & wait"#;

#[test]
fn at_the_deadline_the_whole_group_is_gone_within_the_grace() {
    let start = Instant::now();
    let command = sh(STUBBORN).grace(Duration::from_millis(300));
    let captured = capture(&command, soon(400), &Cancel::new()).unwrap();
    assert_eq!(captured.status, Exit::TimedOut);
    assert!(
        start.elapsed() >= Duration::from_millis(700),
        "it had its grace"
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(alive_in_group(captured.stdout.trim()), [""; 0]);
}

#[test]
fn a_group_that_heeds_sigterm_is_not_kept_for_the_grace() {
    let start = Instant::now();
    let command = sh("echo $$; sleep 100 & wait").grace(Duration::from_mins(1));
    let captured = capture(&command, soon(200), &Cancel::new()).unwrap();
    assert_eq!(captured.status, Exit::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(alive_in_group(captured.stdout.trim()), [""; 0]);
}

#[rstest]
#[case::once(1, 300)]
#[case::twice_without_grace(2, 60_000)]
fn cancelling_ends_the_whole_group(#[case] wishes: usize, #[case] grace: u64) {
    let cancel = Cancel::new();
    let wish = cancel.clone();
    let user = std::thread::spawn(move || {
        for _ in 0..wishes {
            std::thread::sleep(Duration::from_millis(300));
            wish.cancel();
        }
    });
    let start = Instant::now();
    let command = sh(STUBBORN).grace(Duration::from_millis(grace));
    let captured = capture(&command, None, &cancel).unwrap();
    user.join().unwrap();
    assert_eq!(captured.status, Exit::Cancelled);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(alive_in_group(captured.stdout.trim()), [""; 0]);
}

#[test]
fn nothing_of_the_group_stays_after_a_normal_end() {
    let command = sh("echo $$; sleep 100 & exit 7").grace(Duration::from_millis(200));
    let captured = capture(&command, None, &Cancel::new()).unwrap();
    assert_eq!(captured.status, Exit::Code(7));
    assert_eq!(alive_in_group(captured.stdout.trim()), [""; 0]);
}

#[test]
fn a_tick_that_has_seen_enough_ends_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut enough = |tail: &LogTail<'_>| match tail.lines.is_empty() {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let exit = run_logged(&sh(STUBBORN), &log, None, &Cancel::new(), &mut enough);
    assert_eq!(exit.unwrap().exit, Exit::Stopped);
    let group = std::fs::read_to_string(&log).unwrap();
    assert_eq!(alive_in_group(group.trim()), [""; 0]);
}

#[test]
fn nothing_of_the_group_stays_after_a_panic_in_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let panicked = std::panic::catch_unwind(|| {
        let tick: &mut dyn FnMut(&LogTail<'_>) -> ControlFlow<()> =
            &mut |_| panic!("in a tick, as the test wants");
        run_logged(&sh(STUBBORN), &log, None, &Cancel::new(), tick)
    });
    assert!(panicked.is_err());
    let group = std::fs::read_to_string(&log).unwrap();
    assert_eq!(alive_in_group(group.trim()), [""; 0]);
}

#[test]
fn nothing_is_started_too_late() {
    let cancel = Cancel::new();
    let command = Command::new("/nonexistent/so/it/would/fail");
    let late = capture(&command, Some(Instant::now()), &cancel).unwrap();
    assert_eq!(late.status, Exit::TimedOut);
    cancel.cancel();
    assert_eq!(
        capture(&command, None, &cancel).unwrap().status,
        Exit::Cancelled
    );
}

#[test]
fn a_daemon_that_keeps_the_output_open_does_not_hold_us() {
    let start = Instant::now();
    let captured = capture(&sh("setsid sleep 3 & echo done"), None, &Cancel::new()).unwrap();
    assert_eq!(captured.stdout, "done\n");
    assert!(start.elapsed() < Duration::from_secs(2));
}

fn logged(command: &Command, log: &Path) -> Result<Ended, ProcessError> {
    run_logged(command, log, None, &Cancel::new(), &mut |_| {
        ControlFlow::Continue(())
    })
}

/// Writes numbered lines of 100 bytes, and an empty one in between.
fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{number:0>99}\n")).collect()
}

#[test]
fn a_log_that_floods_keeps_its_head_and_tail_and_says_what_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (log, large) = (dir.path().join("log"), dir.path().join("large"));
    std::fs::write(&large, lines(0..100_000)).unwrap();
    std::fs::write(&log, "before\n").unwrap();
    let script = format!(
        "cat {0}; sleep 0.2; cat {0}; sleep 0.2; echo end",
        large.display()
    );
    let mut most_on_disk = 0;
    let mut watch = |_: &LogTail<'_>| {
        use std::os::unix::fs::MetadataExt as _;
        most_on_disk = most_on_disk.max(std::fs::metadata(&log).unwrap().blocks() * 512);
        ControlFlow::Continue(())
    };
    let limit = 1 << 20;
    let command = sh(&script).output_limit(limit);
    let ended = run_logged(&command, &log, None, &Cancel::new(), &mut watch).unwrap();
    assert_eq!(ended.exit, Exit::Success);

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.len() as u64 <= limit, "{}", text.len());
    assert!(text.starts_with(&format!("before\n{}", lines(0..2000))));
    assert!(text.ends_with(&format!("{}end\n", lines(98_000..100_000))));
    let note = bounded_log::note(ended.left_out);
    assert!(text.contains(&format!("\n{note}")), "{note}");
    let written = "before\n".len() + 2 * 100 * 100_000 + "end\n".len();
    assert_eq!(
        text.len() - note.len() + usize::try_from(ended.left_out).unwrap(),
        written
    );
    // All of the first twenty megabytes can be there before somebody looks.
    assert!(most_on_disk < 15 << 20, "{most_on_disk}");

    // The next command has a head and a tail of its own.
    let ended = logged(&sh("echo next").output_limit(limit), &log).unwrap();
    assert_eq!(ended.left_out, 0);
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        format!("{text}next\n")
    );
    let ended = logged(&sh(&script).output_limit(limit), &log).unwrap();
    assert!(ended.left_out > 0);
    let both = std::fs::read_to_string(&log).unwrap();
    assert!(both.starts_with(&format!("{text}next\n{}", lines(0..2000))));
    assert_eq!(both.matches("klto: left out").count(), 2);
}

#[test]
fn a_flood_without_lines_is_cut_at_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let flood = sh("head -c 9000000 /dev/zero | tr '\\0' x").output_limit(40_000);
    let ended = logged(&flood, &log).unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(ended.left_out, 9_000_000 - 20_000);
    let x = "x".repeat(10_000);
    assert_eq!(text, [&x, &*bounded_log::note(ended.left_out), &x].concat());
}

#[rstest]
#[case::stdout("cat /dev/zero")]
#[case::stderr("cat /dev/zero >&2")]
#[case::at_once("head -c 70000 /dev/zero")]
fn a_captured_child_that_floods_is_ended_and_named(#[case] script: &str) {
    let command = sh(script).output_limit(65_536);
    let error = capture(&command, None, &Cancel::new()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.ends_with("it wrote more than 65536 bytes; run it by hand to see what it writes"),
        "{error}"
    );
    assert!(error.contains(script), "{error}");
}

/// Whether a process runs, or has ended and nobody waited for it.
fn is_there(process: &str) -> bool {
    Path::new("/proc").join(process.trim()).exists()
}

#[rstest]
#[case::heeds_sigterm("setsid sleep 1000 &", 1)]
#[case::ignores_sigterm("(trap '' TERM; exec setsid sleep 1000) &", 1)]
#[case::stopped("setsid sh -c 'kill -STOP $$; sleep 1000' &", 1)]
#[case::with_children("setsid sh -c 'sleep 1000 & sleep 1000 & wait' &", 3)]
#[case::in_sessions_of_their_own(
    "setsid sh -c 'setsid setsid sleep 1000 & exec setsid sleep 1000' &",
    2
)]
#[case::of_a_klto_in_between("KLTO_COMMAND=$KLTO_COMMAND:1-1 setsid sleep 1000 &", 1)]
fn a_daemon_ends_with_its_command_and_the_log_names_it(#[case] start: &str, #[case] ended: usize) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let command = sh(&format!("{start} sleep 0.3; echo $KLTO_COMMAND"));
    let command = command.grace(Duration::from_millis(300));
    assert_eq!(logged(&command, &log).unwrap().exit, Exit::Success);
    let text = std::fs::read_to_string(&log).unwrap();
    let named: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# klto: ended what was left running: process "))
        .collect();
    assert_eq!(named.len(), ended, "{text}");
    for line in named {
        let (number, what) = line.split_once(' ').unwrap();
        assert!(what.contains("sleep 1000"), "{line}");
        assert!(!is_there(number), "{line}");
    }
}

#[test]
fn the_daemons_of_a_command_that_still_runs_are_left_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    // Its parent ends, so that it is klto's child at once.
    let long = format!(
        "(setsid sh -c 'echo $$; exec sleep 1000' >{} &); sleep 1.5",
        said.display()
    );
    let daemon = || std::fs::read_to_string(&said).unwrap_or_default();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| capture(&sh(&long), None, &Cancel::new()).unwrap());
        while !daemon().ends_with('\n') {
            std::thread::sleep(POLL);
        }
        for _ in 0..10 {
            capture(&sh("setsid sleep 1000 &"), None, &Cancel::new()).unwrap();
            assert!(is_there(&daemon()), "it is another command's");
        }
        assert_eq!(other.join().unwrap().status, Exit::Success);
        assert!(!is_there(&daemon()));
    });
}

#[test]
fn what_a_running_command_leaves_and_has_ended_is_reaped() {
    let orphan = "orphan=$( (setsid sh -c 'echo $$' &) )";
    let command = sh(&format!("{orphan}; sleep 1; ls -d /proc/$orphan; echo end"));
    let captured = capture(&command, None, &Cancel::new()).unwrap();
    assert_eq!(captured.stdout, "end\n", "{}", captured.stderr);
}

/// Threads that start and end commands at the same time, with daemons and orphans: each gets its own
/// exit code and output.
#[test]
fn commands_side_by_side_do_not_take_each_others_processes() {
    // Other tests of this process may have daemons, too.
    const DAEMON: &str = "sleep 1000.25";
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..20 {
                    let code = thread * 20 + round + 1;
                    let script = format!("(true &) & setsid {DAEMON} & echo {code}; exit {code}");
                    let captured = capture(&sh(&script), None, &Cancel::new()).unwrap();
                    assert_eq!(captured.status, Exit::Code(code));
                    assert_eq!(captured.stdout, format!("{code}\n"));
                }
            });
        }
    });
    let left = descendants::children_of_this().into_iter();
    let left = left.filter_map(|child| adopted::describe(child.number));
    let left: Vec<String> = left.filter(|child| child.contains(DAEMON)).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_may_go_on_after_its_command_does() {
    let leave = sh("setsid sleep 1000 & sleep 0.3; echo $!").leaves_daemons();
    let daemon = capture(&leave, None, &Cancel::new()).unwrap().stdout;
    capture(&sh("true"), None, &Cancel::new()).unwrap();
    assert!(is_there(&daemon));
    let daemon = rustix::process::Pid::from_raw(daemon.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_mark_is_in_no_line_to_paste() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let command = sh("env | grep -c ^KLTO_.OMMAND=:");
    assert!(!command.shell_words().contains(adopted::VARIABLE));
    logged(&command, &log).unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "1\n");
}

#[rstest]
#[case::program(Command::new("klto-no-such"), "'klto-no-such' not found; install it")]
#[case::path(Command::new("/no/such"), "'/no/such' not found")]
#[case::folder(sh("true").cwd("/no/such"), "/no/such is not a folder; create it")]
#[case::not_executable(Command::new("/etc/passwd"), "cannot start '/etc/passwd': Permission")]
fn what_cannot_start_is_named(#[case] command: Command, #[case] says: &str) {
    let error = capture(&command, None, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
}

#[rstest]
#[case::no_folder("/no/such/log", "cannot write the log /no/such/log: No such file")]
#[case::a_folder("/", "cannot write the log /: Is a directory")]
fn a_log_that_cannot_be_written_is_named(#[case] log: &str, #[case] says: &str) {
    let error = run_logged(
        &sh("true"),
        Path::new(log),
        None,
        &Cancel::new(),
        &mut |_| ControlFlow::Continue(()),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn a_log_that_takes_nothing_makes_the_child_fail() {
    let log = Path::new("/dev/full");
    let exit = run_logged(
        &sh("echo x || exit 9"),
        log,
        None,
        &Cancel::new(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert_eq!(exit.unwrap().exit, Exit::Code(9));
}

/// One and a half seconds of work, in the leader itself, in a child that still runs, or in many that
/// have ended.
#[rstest]
#[case::leader("while :; do :; done")]
#[case::child("sh -c 'while :; do :; done' & wait")]
#[case::children_that_end(
    "while :; do sh -c 'i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done'; done"
)]
fn a_meter_knows_when_its_commands_use_processors(#[case] busy: &str) {
    let (meter, start) = (Meter::new(), Instant::now());
    let idle = sh("sleep 0.75").meter(meter.clone());
    capture(&idle, None, &Cancel::new()).unwrap();
    let busy = sh(busy).meter(meter.clone());
    capture(&busy, soon(1500), &Cancel::new()).unwrap();

    let utilization = meter.utilization();
    let used = utilization.processor_seconds();
    // The machine may have little time for it, but it never uses two processors at a time.
    let most = start.elapsed().as_secs_f64();
    assert!((0.1..most).contains(&used), "{utilization:?}");
    // The first intervals are a quarter of a second long.
    let [idle, busy] = [&utilization.processors[..2], &utilization.processors[3..]];
    assert!(idle.iter().all(|used| *used < 0.2), "{utilization:?}");
    let work = busy
        .iter()
        .filter(|used| (0.02..1.8).contains(*used))
        .count();
    assert!(work >= 4, "{utilization:?}");
}

/// A folder with the program `own-sh` in `tools/`, a shell; and a command that says its own name.
fn own_shell() -> (tempfile::TempDir, Command) {
    let dir = tempfile::tempdir().unwrap();
    let tools = dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::os::unix::fs::symlink("/bin/sh", tools.join("own-sh")).unwrap();
    (dir, Command::new("own-sh").args(["-c", "echo $0"]))
}

/// As a shell does: by the variable that the command gets, and under the name that it was given.
#[test]
fn a_program_is_found_in_the_folders_of_the_commands_own_path() {
    let (dir, own) = own_shell();
    std::fs::write(dir.path().join("own-sh"), "not a program").unwrap();
    let path = std::env::join_paths([dir.path(), &dir.path().join("tools")]).unwrap();
    let found = capture(&own.clone().env("PATH", path), None, &Cancel::new()).unwrap();
    assert_eq!(found.stdout, "own-sh\n");
    let missing = capture(&own.env("PATH", dir.path()), None, &Cancel::new());
    assert!(missing.is_err(), "{missing:?}");
}

#[test]
fn a_relative_folder_of_path_is_that_of_the_command() {
    let (dir, own) = own_shell();
    let later = dir.path().join("later");
    std::fs::create_dir(&later).unwrap();
    std::os::unix::fs::symlink("/bin/false", later.join("own-sh")).unwrap();
    let path = format!("tools:{}", later.display());
    let command = own.cwd(dir.path()).env("PATH", path);
    let found = capture(&command, None, &Cancel::new()).unwrap();
    assert_eq!(found.stdout, "own-sh\n");
}
