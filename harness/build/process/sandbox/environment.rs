//! Which variables of the environment a sandboxed command gets: those that builds read. What else
//! a user has there may be a secret.

use std::ffi::{OsStr, OsString};

/// Variables by name.
const NAMES: [&str; 25] = [
    "AR",
    "AS",
    "CC",
    "CPATH",
    "CPLUS_INCLUDE_PATH",
    "CPP",
    "CROSS_COMPILE",
    // Which of klto's commands it is.
    "KLTO_COMMAND",
    "C_INCLUDE_PATH",
    "LANG",
    "LANGUAGE",
    "LD",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LLVM_IAS",
    "LOCALVERSION",
    "LOGNAME",
    "NM",
    "PATH",
    "PKG_CONFIG_PATH",
    "SHELL",
    "SOURCE_DATE_EPOCH",
    "TERM",
    "TZ",
    "USER",
];

/// Variables by how their names begin.
const PREFIXES: [&str; 7] = [
    "CCACHE_", "HOSTC", "KBUILD_", "KCONFIG_", "LC_", "LLVM", "PERL5",
];

/// The environment of a command: what it may see of this process's own, and its own folders.
pub fn of_command<'a>(
    own: impl Iterator<Item = (OsString, OsString)> + 'a,
    more: &'a [String],
) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    own.filter(move |(name, _)| is_passed(name) || more.iter().any(|more| name == more.as_str()))
}

fn is_passed(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_what_builds_read_and_what_it_was_given() {
        let names = [
            "PATH",
            "LC_ALL",
            "AWS_SECRET_ACCESS_KEY",
            "SSH_AUTH_SOCK",
            "GIVEN",
        ];
        let own = names.map(|name| (OsString::from(name), OsString::new()));
        let given = ["GIVEN".to_owned(), "ABSENT".to_owned()];
        let passed: Vec<_> = of_command(own.into_iter(), &given)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(passed, ["PATH", "LC_ALL", "GIVEN"]);
    }
}
