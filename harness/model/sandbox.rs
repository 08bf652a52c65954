//! What a sandboxed build is kept from, as plain data: a record carries it, and a report prints
//! it in one sentence.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether builds run in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
pub enum SandboxMode {
    /// As far as this machine can enforce it.
    Auto,
    /// Completely, or not at all: what cannot be enforced is an error (exit code 125).
    Require,
    /// Not.
    #[default]
    Off,
}

/// How much a sandboxed build may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Memory that one process has to itself, in bytes.
    pub memory: u64,
    /// The size of one file, in bytes.
    pub file: u64,
    /// Processes at one time.
    pub processes: u64,
}

/// What holds for a build, as the kernel confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Enforced {
    /// The version of Landlock's rules; 0 if there are none.
    pub landlock: u32,
    /// The build has a network of its own, without any other machine in it.
    pub network: bool,
    /// It sees and signals its own processes only, which end with it.
    pub processes: bool,
    /// All but its own folders is mounted read-only, and what others run is not mounted.
    pub mounts: bool,
    pub limits: Limits,
}

impl Enforced {
    /// What this machine cannot enforce, and why.
    #[must_use]
    pub fn lacks(&self) -> Vec<&'static str> {
        let files = match self.landlock {
            0 => Some("which files are read and written (no Landlock, which came with Linux 5.13)"),
            1 | 2 => Some("which files are cut off (Landlock before ABI 3, Linux 6.2)"),
            _ => None,
        };
        let network = match (self.network, self.landlock) {
            (true, _) | (_, 10..) => None,
            (false, 4..) => Some("network other than TCP (no network namespace)"),
            (false, _) => Some("network (no network namespace, Landlock before ABI 4)"),
        };
        let signals = (!self.processes && self.landlock < 6)
            .then_some("signals (no process namespace, Landlock before ABI 6)");
        let ends = (!self.processes)
            .then_some("that its processes end with a klto that is killed (no process namespace)");
        let modes = (!self.mounts).then_some("modes and times of other files (no mount namespace)");
        let sockets = (!self.mounts && self.landlock < 9)
            .then_some("sockets of services (no mount namespace, Landlock before ABI 9)");
        [files, network, signals, ends, modes, sockets]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            0 => write!(f, "no Landlock")?,
            abi => write!(f, "Landlock ABI {abi}")?,
        }
        let namespaces = [
            (self.network, "network"),
            (self.processes, "processes"),
            (self.mounts, "mounts"),
        ];
        let own: Vec<&str> = namespaces
            .iter()
            .filter_map(|(has, name)| has.then_some(*name))
            .collect();
        match own.as_slice() {
            [] => write!(f, "; no namespaces")?,
            own => write!(f, "; own {}", own.join(", "))?,
        }
        let limits = &self.limits;
        write!(
            f,
            "; at most {} processes, {} of memory each, {} a file",
            limits.processes,
            gibibytes(limits.memory),
            gibibytes(limits.file),
        )?;
        match self.lacks().as_slice() {
            [] => Ok(()),
            lacks => write!(f, "; not enforced: {}", lacks.join(", ")),
        }
    }
}

/// Rounded down to whole units.
fn gibibytes(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes >> 20),
        gibibytes => format!("{gibibytes} GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ALL: Enforced = Enforced {
        landlock: 7,
        network: true,
        processes: true,
        mounts: true,
        limits: Limits {
            memory: 24 << 30,
            file: 512 << 20,
            processes: 4096,
        },
    };

    /// Each of these came with a version of Landlock, and needs no namespace from then on.
    #[rstest]
    #[case(0, &["which", "network", "signals", "that", "modes", "sockets"])]
    #[case(2, &["which", "network", "signals", "that", "modes", "sockets"])]
    #[case(3, &["network", "signals", "that", "modes", "sockets"])]
    #[case(5, &["network", "signals", "that", "modes", "sockets"])]
    #[case(6, &["network", "that", "modes", "sockets"])]
    #[case(8, &["network", "that", "modes", "sockets"])]
    #[case(9, &["network", "that", "modes"])]
    #[case(10, &["that", "modes"])]
    fn what_a_machine_without_namespaces_lacks_is_named(
        #[case] landlock: u32,
        #[case] expected: &[&str],
    ) {
        let nothing = Enforced {
            landlock,
            ..Enforced::default()
        };
        let lacks = nothing.lacks();
        let first_words: Vec<_> = lacks
            .iter()
            .map(|lack| lack.split(' ').next().unwrap())
            .collect();
        assert_eq!(first_words, expected, "{lacks:#?}");
        let network = nothing
            .lacks()
            .into_iter()
            .find(|lack| lack.starts_with("network"));
        let only_tcp = network.is_some_and(|lack| lack.starts_with("network other than TCP"));
        assert_eq!(only_tcp, (4..10).contains(&landlock));
        assert_eq!(Enforced { landlock: 3, ..ALL }.lacks(), [""; 0]);
    }

    #[test]
    fn what_is_enforced_reads_as_a_sentence() {
        assert_eq!(
            ALL.to_string(),
            "Landlock ABI 7; own network, processes, mounts; \
             at most 4096 processes, 24 GiB of memory each, 512 MiB a file"
        );
        let nothing = Enforced {
            landlock: 0,
            network: false,
            processes: false,
            mounts: false,
            ..ALL
        };
        let said = nothing.to_string();
        assert!(
            said.starts_with("no Landlock; no namespaces; at most"),
            "{said}"
        );
        assert!(
            said.contains("; not enforced: which files are read and written"),
            "{said}"
        );
    }

    #[rstest]
    #[case::nothing(ALL, &[])]
    #[case::no_landlock(Enforced { landlock: 0, ..ALL }, &["which files are read"])]
    #[case::no_truncation(Enforced { landlock: 2, ..ALL }, &["which files are cut off"])]
    #[case::no_network(Enforced { network: false, ..ALL }, &["network other than TCP"])]
    #[case::no_network_and_old(
        Enforced { network: false, landlock: 3, ..ALL },
        &["network (no network namespace"]
    )]
    #[case::network_by_rules(Enforced { network: false, landlock: 10, ..ALL }, &[])]
    #[case::no_processes(Enforced { processes: false, ..ALL }, &["that its processes end"])]
    #[case::no_mounts(Enforced { mounts: false, ..ALL }, &["modes and times", "sockets"])]
    fn what_is_not_enforced_is_named(#[case] enforced: Enforced, #[case] starts: &[&str]) {
        let lacks = enforced.lacks();
        assert_eq!(lacks.len(), starts.len(), "{lacks:?}");
        for (lack, start) in lacks.iter().zip(starts) {
            assert!(lack.starts_with(start), "{lack}");
        }
    }
}
