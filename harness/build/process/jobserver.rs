//! One pool of tokens for all makes of a run: GNU make's jobserver. A make takes a token for each
//! command beyond its first, so that one kernel's link leaves its processors to another's compilers.
//!
//! The first command of a make needs no token of make's; it has the [`Slot`] of its job, which klto
//! holds as long as the job runs.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jobslot::Client;
use rustix::io::{FdFlags, fcntl_setfd};

use super::Exit;
use crate::model::error::Error;

/// The variable that passes make its options.
const MAKEFLAGS: &str = "MAKEFLAGS";

/// How a make learns of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Inherited file descriptors: every make since 4.2.
    Pipe,
    /// The path of a named pipe: make 4.4 and later, which also passes it to commands that close
    /// what they inherit.
    Fifo,
}

/// A pool of tokens; its clones are the same pool.
#[derive(Debug, Clone)]
pub struct JobServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    style: Style,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The pool; before it, those that it took the place of, as long as jobs wait at them.
    pools: Vec<Pool>,
    /// Tokens that jobs hold.
    slots: usize,
    /// Makes that run.
    makes: usize,
}

#[derive(Debug)]
struct Pool {
    client: Client,
    ends: Arc<Ends>,
    /// Counts the pools: which one this is.
    generation: u64,
    /// Jobs that wait for one of its tokens.
    waiting: usize,
}

impl Pool {
    fn new(tokens: usize, style: Style, generation: u64) -> io::Result<Pool> {
        let client = match style {
            Style::Pipe => Client::new(tokens),
            Style::Fifo => Client::new_with_fifo(tokens),
        }?;
        Ok(Pool {
            ends: Arc::new(Ends::of(&client, style)?),
            client,
            generation,
            waiting: 0,
        })
    }
}

impl State {
    fn current(&mut self) -> &mut Pool {
        let last = self.pools.last_mut();
        last.expect("the last pool is never removed")
    }

    /// Puts a fresh pool of so many tokens in the place of the current one.
    fn replace(&mut self, tokens: usize, style: Style) -> io::Result<()> {
        let generation = self.current().generation + 1;
        self.pools.push(Pool::new(tokens, style, generation)?);
        Ok(())
    }

    /// Wakes whoever waits at a pool that has been replaced, so that he goes to the new one. A make
    /// that still runs on the old pool can take the token instead: then the end of that make comes
    /// here again.
    fn send_on(&mut self) -> io::Result<()> {
        let current = self.current().generation;
        self.pools
            .retain(|pool| pool.waiting > 0 || pool.generation == current);
        let retired = self.pools.iter().filter(|pool| pool.generation != current);
        for pool in retired {
            for _ in 0..pool.waiting {
                pool.client.release_raw()?;
            }
        }
        Ok(())
    }
}

impl JobServer {
    /// A pool of `limit` tokens, at least one.
    ///
    /// # Errors
    /// [`Error::Machine`] if the system gives no pipe.
    pub fn new(limit: usize, style: Style) -> Result<JobServer, Error> {
        let limit = limit.max(1);
        let pool = Pool::new(limit, style, 0).map_err(refused)?;
        Ok(JobServer(Arc::new(Shared {
            limit,
            style,
            state: Mutex::new(State {
                pools: vec![pool],
                slots: 0,
                makes: 0,
            }),
        })))
    }

    /// How many tokens there are.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Takes the token of a job; waits until one is free. It blocks, for a make that waits would
    /// always be faster than a klto that tries now and then.
    ///
    /// # Errors
    /// [`Error::Machine`] if the pool cannot be read.
    pub fn slot(&self) -> Result<Slot, Error> {
        loop {
            let (client, generation) = {
                let mut state = self.state();
                let pool = state.current();
                pool.waiting += 1;
                (pool.client.clone(), pool.generation)
            };
            let taken = client.acquire_raw();
            let mut state = self.state();
            let mut pools = state.pools.iter_mut();
            if let Some(pool) = pools.find(|pool| pool.generation == generation) {
                pool.waiting -= 1;
            }
            taken.map_err(refused)?;
            // Otherwise the token is one of a pool that is no more.
            if state.current().generation == generation {
                state.slots += 1;
                return Ok(Slot(self.clone()));
            }
        }
    }

    /// Takes a make in that is about to start.
    pub(super) fn enter(&self) -> Entered {
        let mut state = self.state();
        state.makes += 1;
        Entered(state.current().ends.clone())
    }

    /// Notes that a make has ended. One that was killed has kept its tokens: then a
    /// new pool takes the place of this one.
    pub(super) fn leave(&self, exit: Option<Exit>) -> io::Result<()> {
        let mut state = self.state();
        state.makes -= 1;
        // A make that writes more tokens than it took leaves jobs with more than there are.
        let free = self.0.limit.saturating_sub(state.slots);
        let is_short = match exit {
            // Nobody else has a token, so that each that is missing is lost, however that happened.
            _ if state.makes == 0 => state.current().client.available()? != free,
            Some(Exit::Success | Exit::Code(_)) => false,
            Some(Exit::Signal(_) | Exit::TimedOut | Exit::Cancelled | Exit::Stopped) | None => true,
        };
        if is_short {
            state.replace(free, self.0.style)?;
        }
        state.send_on()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(error: io::Error) -> Error {
    Error::Machine(format!(
        "the pool of make's jobs failed: {error}\n  run again with --cells-at-once 1, which needs none"
    ))
}

/// The token of a job, held as long as this lives.
#[derive(Debug)]
pub struct Slot(JobServer);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.slots -= 1;
        // Only a pipe with thousands of tokens is full.
        let _ = state.current().client.release_raw();
    }
}

/// What a make needs of the pool as long as it runs: also to start others, which open a named pipe by
/// its path.
#[derive(Debug, Clone)]
pub(super) struct Entered(Arc<Ends>);

impl Entered {
    /// Sets up a command: the variable that names the pool.
    pub fn configure(&self, command: &mut std::process::Command) {
        command.env(MAKEFLAGS, &self.0.flags);
    }
}

/// What makes have of a pool.
#[derive(Debug)]
struct Ends {
    /// What [`MAKEFLAGS`] says of it.
    flags: OsString,
    /// The ends of a pipe, which every command inherits; one that is no make knows nothing of them.
    /// jobslot would pass on its own from a copy of klto, which takes longer the more memory klto has.
    _inherited: Option<[File; 2]>,
    _pool: Client,
}

impl Ends {
    fn of(pool: &Client, style: Style) -> io::Result<Ends> {
        // jobslot expects the command to start in the closure, and takes the variable away after it.
        #[expect(clippy::mut_mut, reason = "jobslot passes on what it was given")]
        let flags = |command: &mut &mut std::process::Command| {
            let mut set = command.get_envs();
            let flags = set.find_map(|(name, value)| value.filter(|_| name == MAKEFLAGS));
            flags
                .map(OsString::from)
                .ok_or_else(|| io::Error::other("jobslot set no MAKEFLAGS"))
        };
        let mut make = std::process::Command::new("make");
        let (flags, inherited) = match style {
            Style::Pipe => {
                let flags = pool.configure_make_and_run(&mut make, flags)?;
                let (flags, inherited) = inheritable(&flags)?;
                (flags.into(), Some(inherited))
            }
            Style::Fifo => (
                pool.configure_make_and_run_with_fifo(&mut make, flags)?,
                None,
            ),
        };
        Ok(Ends {
            flags,
            _inherited: inherited,
            _pool: pool.clone(),
        })
    }
}

/// The ends of the pipe that `flags` name, open once more, and the flags that name these.
fn inheritable(flags: &OsStr) -> io::Result<(String, [File; 2])> {
    let ends = flags.to_str().and_then(|flags| flags.rsplit_once('='));
    let (read, write) = ends
        .and_then(|(_, ends)| ends.split_once(','))
        .ok_or_else(|| io::Error::other("jobslot named no ends of a pipe"))?;
    let open = |options: &mut OpenOptions, end: &str| {
        let end = options.open(format!("/proc/self/fd/{end}"))?;
        fcntl_setfd(&end, FdFlags::empty())?;
        Ok::<_, io::Error>(end)
    };
    let ends = [
        open(File::options().read(true), read)?,
        open(File::options().write(true), write)?,
    ];
    let [read, write] = ends.each_ref().map(File::as_raw_fd);
    Ok((
        format!("-j --jobserver-fds={read},{write} --jobserver-auth={read},{write}"),
        ends,
    ))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rstest::rstest;

    use super::super::{Cancel, Command, capture};
    use super::*;

    impl JobServer {
        fn free(&self) -> usize {
            self.state().current().client.available().unwrap()
        }
    }

    /// A make of five jobs that run `command` each, as a part of the pool.
    fn make(pool: &JobServer, command: &str, time: Duration) -> Exit {
        let folder = tempfile::tempdir().unwrap();
        let rules = format!("all: 1 2 3 4 5\n1 2 3 4 5:\n\t@{command}\n");
        std::fs::write(folder.path().join("Makefile"), rules).unwrap();
        let make = Command::new("make")
            .args(["-C".as_ref(), folder.path()])
            .grace(Duration::from_millis(200))
            .jobserver(pool.clone());
        let deadline = Instant::now().checked_add(time);
        capture(&make, deadline, &Cancel::new()).unwrap().status
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_make_takes_tokens_and_gives_them_back() {
        let pool = JobServer::new(3, Style::Pipe).unwrap();
        let slot = pool.slot().unwrap();
        assert_eq!(pool.free(), 2);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("running");
        std::fs::create_dir(&file).unwrap();
        let count = format!(
            "cd {}; : >$$$$; set -- *; echo $$# >>../counts; sleep 0.2; rm $$$$",
            file.display()
        );
        assert_eq!(make(&pool, &count, LONG), Exit::Success);
        let counts = std::fs::read_to_string(folder.path().join("counts")).unwrap();
        assert_eq!(counts.lines().max(), Some("3"), "{counts}");
        assert_eq!(pool.free(), 2);
        drop(slot);
        assert_eq!(pool.free(), 3);
    }

    #[rstest]
    #[case::of_a_pipe(Style::Pipe)]
    #[case::of_a_fifo(Style::Fifo)]
    fn a_job_gives_its_token_back(#[case] style: Style) {
        let pool = JobServer::new(2, style).unwrap();
        let (one, other) = (pool.slot().unwrap(), pool.slot().unwrap());
        assert_eq!(pool.free(), 0);
        drop(one);
        assert_eq!(pool.free(), 1);
        drop(other);
        assert_eq!((pool.free(), pool.limit()), (2, 2));
    }

    #[test]
    fn tokens_of_a_make_that_was_killed_are_not_lost() {
        let pool = JobServer::new(3, Style::Pipe).unwrap();
        let slot = pool.slot().unwrap();
        let hang = "trap '' TERM; sleep 60";
        assert_eq!(make(&pool, hang, Duration::from_secs(1)), Exit::TimedOut);
        assert_eq!(pool.free(), 2);
        drop(slot);
        assert_eq!(pool.free(), 3);
    }

    #[test]
    fn they_are_not_lost_while_another_make_runs_and_whoever_waits_gets_one() {
        let pool = JobServer::new(3, Style::Pipe).unwrap();
        std::thread::scope(|scope| {
            let (first, second) = (pool.slot().unwrap(), pool.slot().unwrap());
            // It has the third token until it is killed.
            let hangs =
                scope.spawn(|| make(&pool, "trap '' TERM; sleep 60", Duration::from_secs(2)));
            while pool.free() > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let runs = scope.spawn(|| make(&pool, "sleep 1", LONG));
            let waits = scope.spawn(|| pool.slot().unwrap());
            assert_eq!(hangs.join().unwrap(), Exit::TimedOut);
            let third = waits.join().unwrap();
            assert_eq!(runs.join().unwrap(), Exit::Success);
            drop((first, second, third));
        });
        assert_eq!(pool.free(), 3);
    }

    #[test]
    fn a_make_that_does_not_start_takes_nothing() {
        let pool = JobServer::new(2, Style::Pipe).unwrap();
        let missing = Command::new("/nowhere/make").jobserver(pool.clone());
        assert!(capture(&missing, None, &Cancel::new()).is_err());
        assert_eq!((pool.free(), pool.state().makes), (2, 0));
    }

    /// A kernel's make starts others all the time, and each opens the pipe by its path.
    #[test]
    fn a_named_pipe_stays_as_long_as_a_make_that_uses_it() {
        let pool = JobServer::new(2, Style::Fifo).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let looks = format!(
            "while [ ! -e '{}' ]; do sleep 0.05; done
             for flag in $MAKEFLAGS; do
               case $flag in *fifo:*) [ -p \"${{flag#*fifo:}}\" ] && echo there ;; esac
             done",
            go.display()
        );
        let command = |program: &str, args: &[&str]| {
            let command = Command::new(program).args(args);
            let grace = Duration::from_millis(200);
            command.grace(grace).jobserver(pool.clone())
        };
        let run = |command: &Command, time: Duration| {
            let deadline = Instant::now().checked_add(time);
            capture(command, deadline, &Cancel::new()).unwrap()
        };
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| run(&command("sh", &["-c", &looks]), LONG));
            while pool.state().makes == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let killed = run(&command("sleep", &["60"]), Duration::from_millis(200));
            assert_eq!(killed.status, Exit::TimedOut);
            std::fs::write(&go, "").unwrap();
            assert_eq!(looks.join().unwrap().stdout, "there\n");
        });
    }

    /// A make of the old pool is faster, and is killed with the token.
    #[test]
    fn whoever_waits_at_an_old_pool_is_woken_by_each_make_that_ends() {
        let pool = JobServer::new(1, Style::Pipe).unwrap();
        let mut state = pool.state();
        state.current().waiting = 1;
        let old = state.current().client.clone();
        old.acquire_raw().unwrap();
        state.replace(1, Style::Pipe).unwrap();
        for _ in 0..2 {
            state.send_on().unwrap();
            assert_eq!(old.available().unwrap(), 1);
            old.acquire_raw().unwrap();
        }
        state.pools[0].waiting = 0;
        state.send_on().unwrap();
        assert_eq!(state.pools.len(), 1);
    }
}
