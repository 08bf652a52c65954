//! The process that becomes the command: it closes what it inherited, limits itself, drops its
//! capabilities and applies Landlock. It says what was enforced, or does not run the command.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
};

use super::{Policy, VARIABLE, environment};
use crate::model::sandbox::{Enforced, Limits};

/// The newest rules that were tried out.
const RULES: ABI = ABI::V10;

/// Folders of what is installed for all users: to read and to run.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/proc",
];

/// What programs read of the machine's settings. The folder has secrets too.
const SETTINGS: [&str; 20] = [
    "/etc/alternatives",
    "/etc/ccache.conf",
    "/etc/clang",
    "/etc/debian_version",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/python3",
    "/etc/timezone",
];

/// Devices that have nothing of the machine's.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Becomes the command, or says what is enforced if the policy expects nothing.
pub fn run(command: &[OsString]) -> Result<u8, String> {
    let policy = Policy::given()?;
    // Among them the locks of klto's jobs, which the supervisor keeps.
    close_fds::set_fds_cloexec(3, &[]);
    let limits = limit(&policy.limits)?;
    drop_capabilities()?;
    let landlock = restrict(&policy).map_err(|e| format!("apply Landlock: {e}"))?;
    let enforced = Enforced {
        landlock,
        limits,
        ..policy.have
    };
    match policy.expected {
        None => {
            let text = serde_json::to_string(&enforced).map_err(|e| e.to_string())?;
            let written = writeln!(std::io::stdout(), "{text}");
            written
                .map(|()| 0)
                .map_err(|e| format!("say what is enforced: {e}"))
        }
        Some(expected) if expected != enforced => Err(format!(
            "enforce what this machine enforced before ({expected}), only {enforced}"
        )),
        Some(_) => Err(become_command(&policy, command)),
    }
}

fn become_command(policy: &Policy, command: &[OsString]) -> String {
    let Some((program, args)) = command.split_first() else {
        return "run no command".to_owned();
    };
    let own = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(environment::of_command(own, &policy.variables))
        .env("HOME", &policy.home)
        .env("TMPDIR", &policy.temporary);
    format!("run {}: {}", program.to_string_lossy(), command.exec())
}

/// Sets the limits of this process and of all that it starts.
fn limit(limits: &Limits) -> Result<Limits, String> {
    let set = |resource, what: &str, limit: u64| {
        let hard = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Some(limit.min(hard));
        let limits = Rlimit {
            current: limit,
            maximum: limit,
        };
        setrlimit(resource, limits).map_err(|e| format!("limit {what}: {e}"))
    };
    set(Resource::Core, "core dumps", 0)?;
    set(Resource::Data, "memory", limits.memory)?;
    set(Resource::Fsize, "the size of files", limits.file)?;
    // The kernel counts all that the user runs, threads too; the supervisor counts processes.
    set(Resource::Nproc, "processes", threads() + limits.processes)?;
    Ok(*limits)
}

/// How many threads the machine runs: the number after the slash in `/proc/loadavg`.
fn threads() -> u64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let number = load
        .split('/')
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Root keeps one: to read and write files of others, where Landlock lets it.
fn drop_capabilities() -> Result<(), String> {
    let said = |e: Errno| format!("drop capabilities: {e}");
    if capabilities(None).map_err(said)?.permitted.is_empty() {
        return Ok(());
    }
    clear_ambient_capability_set().map_err(said)?;
    let keeps = match geteuid().is_root() {
        true => CapabilitySet::DAC_OVERRIDE,
        false => CapabilitySet::empty(),
    };
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if capability == keeps {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // There are no more.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(said(e)),
        }
    }
    Ok(())
}

/// Applies Landlock; returns the version of its rules, or 0 if it is not there.
fn restrict(policy: &Policy) -> Result<u32, RulesetError> {
    let read = AccessFs::from_read(RULES);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    // Devices are made by none.
    let write = AccessFs::from_all(RULES) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(SETTINGS, read))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(&policy.readable, read))?;
    let rules = allow(rules, &policy.home, read)?;
    let rules = policy
        .writable
        .iter()
        .try_fold(rules, |rules, folder| allow(rules, folder, write))?;
    let status = rules.restrict_self()?;
    let abi = match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        (_, _) => 0,
    };
    Ok(abi)
}

/// Allows access to a folder that must exist.
fn allow(
    rules: RulesetCreated,
    folder: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(folder) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        // What the command then cannot do, it says itself.
        Err(_) => Ok(rules),
    }
}
