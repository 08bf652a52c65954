//! The sandbox in which kernels are built: a patch is code that make runs. Says what a build may
//! read and write, finds out what this machine can enforce of that, and reads from the log what
//! was refused. What holds is in [`process::sandbox`].

mod complaints;
mod planted;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::build::dir_state::{create_dir, remove_file};
use crate::build::process::sandbox::{Policy, Sandbox as Confinement};
use crate::build::process::{Cancel, Command, Exit, capture};
use crate::model::error::Error;
use crate::model::finding::Rule;
use crate::model::record::FindingRecord;
use crate::model::sandbox::{Enforced, Limits, SandboxMode};

/// More than a build of a kernel has at any time, on a machine of any size.
const PROCESSES: u64 = 4096;

/// More than any file of a kernel's build.
const FILE: u64 = 16 << 30;

/// Namespaces for whoever may make them: of network, processes, mounts and messages.
const ALL: [&str; 5] = ["--net", "--pid", "--fork", "--kill-child", "--mount"];

/// Only a network, where the rest cannot be had.
const NETWORK: [&str; 1] = ["--net"];

/// How a user who is not root may make them.
const AS_USER: [&str; 3] = ["--user", "--map-current-user", "--keep-caps"];

/// Where programs of util-linux are, if not in `PATH`.
const PROGRAMS: [&str; 3] = ["/usr/bin", "/bin", "/usr/sbin"];

/// How builds are kept from everything that is not theirs, on this machine.
#[derive(Debug, Clone)]
pub struct Sandbox {
    confinement: Confinement,
    enforced: Enforced,
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
}

/// What a build tried that no build need try, or what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub rule: &'static Rule,
    /// The path, or what else it reached for.
    pub object: String,
    /// The line of the log.
    pub evidence: String,
    /// The line before it, which may be the command.
    pub before: Option<String>,
}

impl From<Complaint> for FindingRecord {
    fn from(complaint: Complaint) -> FindingRecord {
        FindingRecord {
            details: complaint.before.into_iter().collect(),
            ..FindingRecord::new(complaint.rule, complaint.object, complaint.evidence)
        }
    }
}

/// The complaints of a job that nobody has reported yet.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Vec<Complaint>>);

impl Complaints {
    fn add(&self, more: impl IntoIterator<Item = Complaint>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for complaint in more {
            let is_same = |known: &Complaint| {
                (known.rule, &known.object) == (complaint.rule, &complaint.object)
            };
            if !all.iter().any(is_same) {
                all.push(complaint);
            }
        }
    }

    /// Takes them out, as findings.
    pub fn take(&self) -> Vec<FindingRecord> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
            .into_iter()
            .map(Into::into)
            .collect()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.is_empty()
    }
}

/// The sandbox of a job.
#[derive(Debug, Clone, Copy)]
pub struct InSandbox<'a> {
    pub sandbox: &'a Sandbox,
    pub complaints: &'a Complaints,
}

/// The folders of one build.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    pub source: &'a Path,
    /// Where it builds.
    pub dir: &'a Path,
    /// For its `HOME` and its `TMPDIR`; nothing else is there.
    pub shelter: &'a Path,
}

impl Sandbox {
    /// Finds out what this machine can enforce; `None` if no sandbox is wanted.
    ///
    /// # Errors
    /// With [`SandboxMode::Require`], where it cannot enforce everything.
    pub fn find(mode: SandboxMode, cancel: &Cancel) -> Result<Option<Sandbox>, Error> {
        let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
        Sandbox::of_program(&program, usual_limits(), mode, cancel)
    }

    /// The same through another klto than this program, with other limits.
    ///
    /// # Errors
    /// As [`Sandbox::find`].
    pub fn of_program(
        program: &Path,
        limits: Limits,
        mode: SandboxMode,
        cancel: &Cancel,
    ) -> Result<Option<Sandbox>, Error> {
        if mode == SandboxMode::Off {
            return Ok(None);
        }
        let mut best: Option<Sandbox> = None;
        for namespaces in candidates() {
            let Some(found) = Sandbox::try_out(program, namespaces, limits, cancel)? else {
                continue;
            };
            let lacks = |sandbox: &Sandbox| sandbox.enforced.lacks().len();
            if best.as_ref().is_none_or(|best| lacks(&found) < lacks(best)) {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|best| lacks(best) == 0) {
                break;
            }
        }
        let best = best.ok_or_else(|| {
            Error::Machine(format!(
                "{}: no sandbox can be made with this program\n  run without --sandbox only if you trust the sources",
                program.display()
            ))
        })?;
        let lacks = best.enforced.lacks();
        if mode == SandboxMode::Require && !lacks.is_empty() {
            return Err(Error::Machine(format!(
                "this machine cannot enforce: {}\n  use --sandbox auto to build with what it can, or a newer kernel with Landlock and user namespaces",
                lacks.join("; ")
            )));
        }
        Ok(Some(best))
    }

    /// Makes a sandbox and asks what it enforces; `None` if it cannot be made. `namespaces` is
    /// what starts a program in namespaces of its own, if anything does.
    ///
    /// # Errors
    /// Where the system refuses a folder or a process.
    pub fn try_out(
        program: &Path,
        namespaces: Vec<OsString>,
        limits: Limits,
        cancel: &Cancel,
    ) -> Result<Option<Sandbox>, Error> {
        let confinement = Confinement {
            program: program.to_owned(),
            namespaces,
            enforced: None,
        };
        let made = tempfile::Builder::new().prefix("klto-").tempdir();
        let made = made.map_err(Error::io(std::env::temp_dir(), "create a folder in"))?;
        let folder = made.path().canonicalize();
        let folder = folder.map_err(Error::io(made.path(), "find"))?;
        let policy = Policy::new(
            Vec::new(),
            vec![folder.clone()],
            folder.clone(),
            folder,
            limits,
        );
        let ask = Command::new("true").sandboxed(&confinement, policy);
        let said = capture(&ask, None, cancel)?;
        let enforced = match said.status {
            Exit::Success => serde_json::from_str::<Enforced>(said.stdout.trim()).ok(),
            Exit::Cancelled => return Err(Error::Cancelled),
            Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut | Exit::Stopped => None,
        };
        Ok(enforced.map(|enforced| Sandbox {
            confinement: Confinement {
                enforced: Some(enforced),
                ..confinement
            },
            enforced,
            readable: Vec::new(),
            writable: Vec::new(),
        }))
    }

    /// What it enforces.
    #[must_use]
    pub fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// Lets builds read and run more.
    #[must_use]
    pub fn reading(mut self, more: impl IntoIterator<Item = PathBuf>) -> Self {
        self.readable.extend(more);
        self
    }

    /// Lets builds write more: folders that exist.
    #[must_use]
    pub fn writing(mut self, more: impl IntoIterator<Item = PathBuf>) -> Self {
        self.writable.extend(more);
        self
    }

    /// Puts a command of a build into it; `toolchain` may be read too.
    ///
    /// # Errors
    /// Where the folders for `HOME` and `TMPDIR` cannot be made.
    pub fn around(
        &self,
        command: Command,
        folders: Folders<'_>,
        toolchain: Vec<PathBuf>,
    ) -> Result<Command, Error> {
        let (home, temporary) = (folders.shelter.join("home"), folders.shelter.join("tmp"));
        remove_file(folders.shelter)?;
        create_dir(&home)?;
        create_dir(&temporary)?;
        let mut readable = toolchain;
        readable.push(folders.source.to_owned());
        readable.extend(self.readable.iter().cloned());
        let mut writable = vec![folders.dir.to_owned(), temporary.clone()];
        writable.extend(self.writable.iter().cloned());
        let limits = self.enforced.limits;
        let policy = Policy::new(readable, writable, home, temporary, limits);
        Ok(command.sandboxed(&self.confinement, policy))
    }

    /// After a build: what it said in `log` that it could not reach, and what it left that leads
    /// out of its folder, which is removed.
    ///
    /// # Errors
    /// Where the build tree cannot be read, or written.
    pub fn after(&self, log: &[u8], folders: Folders<'_>) -> Result<Vec<Complaint>, Error> {
        let mut found = self.refused(log, folders);
        let inside = self.readable.iter().map(PathBuf::as_path);
        let inside: Vec<&Path> = inside.chain([folders.source]).collect();
        found.extend(planted::remove(folders.dir, &inside)?);
        Ok(found)
    }

    /// What a log says that a build could not reach.
    #[must_use]
    pub fn refused(&self, log: &[u8], folders: Folders<'_>) -> Vec<Complaint> {
        complaints::of_log(log, folders.dir, &self.own(folders))
    }

    /// A log without the lines that say so: those are not the machine's fault.
    #[must_use]
    pub fn without_refused(&self, log: &[u8], folders: Folders<'_>) -> Vec<u8> {
        complaints::without(log, folders.dir, &self.own(folders))
    }

    /// The folders in which a build may do what it wants.
    fn own<'a>(&'a self, folders: Folders<'a>) -> Vec<&'a Path> {
        let more = self.writable.iter().map(PathBuf::as_path);
        more.chain([folders.dir, folders.shelter]).collect()
    }
}

impl InSandbox<'_> {
    /// Notes what a build did; see [`Sandbox::after`].
    ///
    /// # Errors
    /// As [`Sandbox::after`].
    pub fn look(&self, log: &[u8], folders: Folders<'_>) -> Result<(), Error> {
        self.complaints.add(self.sandbox.after(log, folders)?);
        Ok(())
    }
}

/// The limits of a build: the machine's memory, and more of everything else than a kernel needs.
#[must_use]
pub fn usual_limits() -> Limits {
    let system = rustix::system::sysinfo();
    Limits {
        memory: u64::from(system.mem_unit).saturating_mul(system.totalram),
        file: FILE,
        processes: PROCESSES,
    }
}

/// What may start a program in namespaces of its own, the best first, and at last nothing.
fn candidates() -> Vec<Vec<OsString>> {
    let none = Vec::new();
    let Some(unshare) = find("unshare") else {
        return vec![none];
    };
    // It does not end with klto by itself, and the namespaces end with it.
    let guard = find("setpriv").map(|setpriv| {
        let words = ["--pdeathsig", "KILL"].map(OsString::from);
        [setpriv.into_os_string()].into_iter().chain(words)
    });
    let words = |first: &[&str], then: &[&str]| {
        let guard = guard.iter().cloned().flatten();
        let options = first.iter().chain(then).map(OsString::from);
        let unshare = [unshare.clone().into_os_string()];
        guard.chain(unshare).chain(options).collect::<Vec<_>>()
    };
    vec![
        words(&[], &ALL),
        words(&AS_USER, &ALL),
        words(&[], &NETWORK),
        words(&AS_USER, &NETWORK),
        none,
    ]
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(PROGRAMS.map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_absolute() && file.is_file())
}
