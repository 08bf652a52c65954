//! The process between klto and a sandboxed command. No rule holds for it, and the command cannot
//! reach it. Everything the command starts stays below it, and ends with it. It copies the
//! command's output, so that the command has no file of klto's open.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fstat;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, set_child_subreaper, set_parent_process_death_signal, wait,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::super::descendants;
use super::{CONFINE, ENDED, Namespaces, Policy, VARIABLE, mounts};
use crate::model::sandbox::Enforced;

/// How long a command that was asked to end may take; less than klto's own patience.
const GRACE: Duration = Duration::from_secs(2);

/// How often processes are counted, unless counting takes long.
const COUNTS: Duration = Duration::from_millis(100);

/// How often a pipe is read after the end: more than it holds.
const REST: usize = 32;

/// The first kernel in which each process namespace has a limit of its own.
const OWN_LIMIT: (u32, u32) = (6, 14);

/// Why the command is over.
enum End {
    /// By itself, with that code.
    Code(u8),
    /// klto was asked to end it.
    Asked,
    TooMany,
}

/// What the threads tell the one that copies.
#[derive(Clone)]
struct Tell(Sender<End>, std::sync::Arc<PipeWriter>);

impl Tell {
    fn end(&self, end: End) {
        let _ = self.0.send(end);
        let _ = (&*self.1).write_all(b"x");
    }
}

/// Runs the command to its end, and whatever it leaves.
pub fn run(command: &[OsString]) -> Result<u8, String> {
    let mut policy = Policy::given()?;
    let said = |e: io::Error| format!("supervise: {e}");
    let is_first = getpid().as_raw_nonzero().get() == 1;
    set_child_subreaper(Some(getpid())).map_err(|e| said(e.into()))?;
    if !is_first {
        // The first process of a namespace is killed with the one that made it.
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|e| said(e.into()))?;
    }
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(said)?;
    // If memory runs out, it is the build that goes.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    arrange(&mut policy, is_first);
    let limit = usize::try_from(policy.limits.processes).unwrap_or(usize::MAX);

    let (wake, waker) = io::pipe().map_err(said)?;
    let (sender, ends) = channel();
    let tell = Tell(sender, std::sync::Arc::new(waker));
    let (child, outputs) = start(&policy, command)?;
    let teller = tell.clone();
    std::thread::spawn(move || teller.end(wait_for(child)));
    let teller = tell.clone();
    std::thread::spawn(move || pass_wish(signals, &teller));
    std::thread::spawn(move || count(limit, &tell));

    let end = copy(outputs, &wake, &ends, is_first).map_err(said)?;
    Ok(match end {
        End::Code(code) => code,
        End::Asked => 128 + 15,
        End::TooMany => {
            let mut stderr = io::stderr();
            let _ = writeln!(
                stderr,
                "{ENDED} the command: it had more than {limit} processes"
            );
            1
        }
    })
}

/// Enters what the namespaces offer, and notes in the policy what is enforced.
fn arrange(policy: &mut Policy, is_first: bool) {
    // What is here must differ from what klto saw outside. Without that, nothing is changed: it
    // would be changed for the whole machine.
    let (own, outside) = (Namespaces::own(), &policy.outside);
    let is_new = |own: &PathBuf, outside: &PathBuf| {
        !own.as_os_str().is_empty() && !outside.as_os_str().is_empty() && own != outside
    };
    let processes = is_first && is_new(&own.processes, &outside.processes);
    policy.have = Enforced {
        network: is_new(&own.network, &outside.network),
        processes,
        mounts: processes && is_new(&own.mounts, &outside.mounts),
        ..Enforced::default()
    };
    if policy.have.processes && kernel() >= OWN_LIMIT {
        // With threads. Where this fails, they are counted all the same.
        let limit = policy.limits.processes.saturating_mul(4).max(1024);
        let _ = std::fs::write("/proc/sys/kernel/pid_max", limit.to_string());
    }
    if policy.have.mounts
        && let Err(why) = mounts::arrange(policy)
    {
        let _ = writeln!(io::stderr(), "klto-sandbox: {why}");
        policy.have.mounts = false;
    }
}

/// The version of the running kernel.
fn kernel() -> (u32, u32) {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default()
    };
    (next(), next())
}

/// A pipe that the command writes to, and where that goes.
type Output = (PipeReader, File);

/// Starts the command with pipes for its outputs: one, if both go to one file, so that lines
/// keep their order.
fn start(policy: &Policy, words: &[OsString]) -> Result<(Pid, Vec<Output>), String> {
    let said = |e: io::Error| format!("start: {e}");
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let is_one = matches!(
        (fstat(&stdout), fstat(&stderr)),
        (Ok(out), Ok(err)) if (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)
    );
    let own = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().map(File::from);
    let (reader, out) = io::pipe().map_err(said)?;
    let mut outputs = vec![(reader, own(&stdout).map_err(said)?)];
    let err = match is_one {
        true => out.try_clone().map_err(said)?,
        false => {
            let (reader, err) = io::pipe().map_err(said)?;
            outputs.push((reader, own(&stderr).map_err(said)?));
            err
        }
    };
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(CONFINE)
        .args(words)
        .env(VARIABLE, policy.in_words()?)
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(err));
    let child = command.spawn().map_err(said)?;
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| "start: the child has no number".to_owned())?;
    Ok((number, outputs))
}

/// Waits for the command, and for every process whose parent ended before it.
fn wait_for(child: Pid) -> End {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((number, status))) if number == child => {
                let code = status.exit_status();
                let code = code.or_else(|| status.terminating_signal().map(|n| 128 + n));
                if let Some(code) = code {
                    return End::Code(u8::try_from(code).unwrap_or(u8::MAX));
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return End::Code(u8::MAX),
        }
    }
}

/// Waits until klto wants an end. The command, in the same group, was asked too.
fn pass_wish(mut signals: Signals, tell: &Tell) {
    if signals.forever().next().is_some() {
        std::thread::sleep(GRACE);
        tell.end(End::Asked);
    }
}

/// Counts processes until there are too many.
fn count(limit: usize, tell: &Tell) {
    loop {
        let begun = Instant::now();
        if descendants::are_more_than(limit) {
            tell.end(End::TooMany);
            return;
        }
        std::thread::sleep(COUNTS.max(begun.elapsed() * 10));
    }
}

/// Copies the outputs until the command is over, ends what it left, and copies the rest.
fn copy(
    mut outputs: Vec<Output>,
    wake: &PipeReader,
    ends: &Receiver<End>,
    is_first: bool,
) -> io::Result<End> {
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        if let Ok(end) = ends.try_recv() {
            break end;
        }
        let mut ready: Vec<PollFd<'_>> = outputs
            .iter()
            .map(|(from, _)| PollFd::new(from, PollFlags::IN))
            .chain([PollFd::new(wake, PollFlags::IN)])
            .collect();
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut at = 0;
        outputs.retain_mut(|output| {
            let is_ready = ready.get(at).is_some_and(|is| *is);
            at += 1;
            !is_ready || pass_on(output, &mut buffer)
        });
    };
    if !is_first {
        // With the first process of a namespace, the kernel ends all others.
        descendants::end_all();
    }
    for output in &mut outputs {
        ioctl_fionbio(&output.0, true)?;
        // What is still alive may write forever.
        let _ = (0..REST).all(|_| pass_on(output, &mut buffer));
    }
    Ok(end)
}

/// Copies what is there. False if there will be no more, or it cannot be written.
fn pass_on((from, to): &mut Output, buffer: &mut [u8]) -> bool {
    match from.read(buffer) {
        Ok(0) => false,
        Ok(length) => to.write_all(&buffer[..length]).is_ok(),
        Err(e) => e.kind() == io::ErrorKind::Interrupted,
    }
}
