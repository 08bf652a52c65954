//! A sandbox around a command. klto starts itself twice for it, with the policy in an environment
//! variable: [`supervise`] stays outside, as the parent of all that the command starts, and ends
//! what is left of it; [`confine`] takes every right from itself that the policy does not name,
//! and becomes the command. If the machine has them, the namespaces come from `unshare`.

mod confine;
mod environment;
mod mounts;
mod supervise;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::model::sandbox::{Enforced, Limits};

/// The first argument of a klto that supervises, and of one that becomes the command.
const SUPERVISE: &str = "klto-sandbox";
const CONFINE: &str = "klto-sandbox-confine";

/// The environment variable that has the policy.
const VARIABLE: &str = "KLTO_SANDBOX";

/// How the sandbox's own error message begins: nothing was run.
pub const CANNOT: &str = "klto-sandbox: cannot";

/// How the message begins that says why a command was ended.
pub const ENDED: &str = "klto-sandbox: ended";

/// What a command may do. Everything else is refused, except to read and run what is installed
/// for all users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Files and folders to read and to run.
    pub readable: Vec<PathBuf>,
    /// Folders to write, too. Each must exist.
    pub writable: Vec<PathBuf>,
    /// Its `HOME`, an empty folder.
    pub home: PathBuf,
    /// Its `TMPDIR`; must be writable.
    pub temporary: PathBuf,
    pub limits: Limits,
    /// Variables of the environment that it gets besides those that any build needs.
    variables: Vec<String>,
    /// What must be enforced; `None` to only say what is.
    expected: Option<Enforced>,
    /// The namespaces of the klto that wrote this.
    outside: Namespaces,
    /// What the supervisor enforces.
    have: Enforced,
}

/// The namespaces of a process, by the names that the kernel has for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Namespaces {
    network: PathBuf,
    processes: PathBuf,
    mounts: PathBuf,
}

impl Namespaces {
    fn own() -> Namespaces {
        let of = |name: &str| {
            let link = Path::new("/proc/self/ns").join(name);
            std::fs::read_link(link).unwrap_or_default()
        };
        Namespaces {
            network: of("net"),
            processes: of("pid"),
            mounts: of("mnt"),
        }
    }
}

impl Policy {
    /// A policy that lets a command read and write these paths.
    #[must_use]
    pub fn new(
        readable: Vec<PathBuf>,
        writable: Vec<PathBuf>,
        home: PathBuf,
        temporary: PathBuf,
        limits: Limits,
    ) -> Policy {
        Policy {
            readable,
            writable,
            home,
            temporary,
            limits,
            variables: Vec::new(),
            expected: None,
            outside: Namespaces::default(),
            have: Enforced::default(),
        }
    }

    /// The policy that this process was started with.
    fn given() -> Result<Policy, String> {
        let text = std::env::var(VARIABLE).map_err(|_| format!("find a policy in {VARIABLE}"))?;
        serde_json::from_str(&text).map_err(|e| format!("read the policy in {VARIABLE}: {e}"))
    }

    fn in_words(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| format!("write the policy: {e}"))
    }

    /// All paths that it names.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let more = [&self.home, &self.temporary];
        let all = self.readable.iter().chain(&self.writable).chain(more);
        all.map(PathBuf::as_path)
    }
}

/// How this machine makes sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// klto.
    pub program: PathBuf,
    /// What starts it in namespaces of its own: a program and its arguments, or nothing.
    pub namespaces: Vec<OsString>,
    /// What this machine enforces, which a command is not run without.
    pub enforced: Option<Enforced>,
}

/// A command's sandbox.
#[derive(Debug, Clone)]
pub(super) struct Around {
    sandbox: Arc<Sandbox>,
    policy: Arc<Policy>,
}

impl Command {
    /// Puts a sandbox around the command.
    #[must_use]
    pub fn sandboxed(mut self, sandbox: &Sandbox, policy: Policy) -> Self {
        self.around = Some(Around {
            sandbox: Arc::new(sandbox.clone()),
            policy: Arc::new(policy),
        });
        self
    }
}

impl Around {
    /// What starts a command in its sandbox.
    pub fn wrap(&self, command: &Command) -> std::io::Result<Command> {
        let names = command.env.iter().filter(|(_, value)| value.is_some());
        let policy = Policy {
            variables: names
                .map(|(name, _)| name.to_string_lossy().into())
                .collect(),
            expected: self.sandbox.enforced,
            outside: Namespaces::own(),
            ..(*self.policy).clone()
        };
        let policy = policy.in_words().map_err(std::io::Error::other)?;
        let mut words = self.sandbox.namespaces.clone();
        words.push(self.sandbox.program.clone().into());
        words.push(SUPERVISE.into());
        words.push(command.program.clone());
        words.extend(command.args.iter().cloned());
        let mut wrapped = command.clone().env(VARIABLE, policy);
        wrapped.args = words.split_off(1);
        wrapped.program = words.swap_remove(0);
        wrapped.around = None;
        Ok(wrapped)
    }
}

/// Acts as one of the two around a sandboxed command, if this process was started as one. Returns
/// its exit code.
#[must_use]
pub fn launch() -> Option<u8> {
    let mut args = std::env::args_os().skip(1);
    let stage = args.next()?;
    let command: Vec<OsString> = args.collect();
    let done = if stage == SUPERVISE {
        supervise::run(&command)
    } else if stage == CONFINE {
        confine::run(&command)
    } else {
        return None;
    };
    Some(done.unwrap_or_else(|why| {
        let _ = writeln!(std::io::stderr(), "{CANNOT} {why}");
        125
    }))
}
