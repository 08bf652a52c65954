//! The environment variables that make and its programs could read, such as `LLVM_IAS=0`,
//! `KBUILD_…` and `CPATH`: a cached result is valid only for the same environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::model::error::Error;

/// Variables that klto removes from make's environment, because they would change what is
/// built.
pub const SCRUBBED_ENV: [&str; 18] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "ARCH",
    "CROSS_COMPILE",
    "LLVM",
    "CC",
    "LD",
    "AR",
    "KBUILD_OUTPUT",
    "O",
    "V",
    "W",
    "KCFLAGS",
    "KAFLAGS",
    "KCPPFLAGS",
    "KCONFIG_CONFIG",
];

/// Variables that differ between terminals or jobs, and that no makefile reads. Where programs have
/// their temporary files is in no object.
const OF_A_SESSION: [&str; 25] = [
    "_",
    "COLORTERM",
    "COLUMNS",
    "DISPLAY",
    "EDITOR",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LINES",
    "LS_COLORS",
    "MAIL",
    "NO_COLOR",
    "OLDPWD",
    "PAGER",
    "PS1",
    "PWD",
    "SHLVL",
    "STY",
    "TERM",
    "TMPDIR",
    "TMUX",
    "TMUX_PANE",
    "VISUAL",
    "WAYLAND_DISPLAY",
    "WINDOWID",
    "WINDOWPATH",
];

/// Prefixes of more such variables.
const OF_A_SESSION_BY_PREFIX: [&str; 14] = [
    "BUILDKITE_",
    "CI_",
    "DBUS_",
    "GITHUB_",
    "GNOME_",
    "JENKINS_",
    "KLTO_",
    "NEXTEST_",
    "RUNNER_",
    "SSH_",
    "SLURM_",
    "SLURMD_",
    "TERM_",
    "XDG_",
];

/// The variables that set up ccache, except the one that turns it off.
#[must_use]
pub fn of_ccache() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let is_setting = |name: &OsString| {
        name.as_encoded_bytes().starts_with(b"CCACHE_") && name != "CCACHE_DISABLE"
    };
    names.filter(is_setting).collect()
}

/// The search path of programs, with folders before all others; the last goes first.
///
/// # Errors
/// Where a folder's path has a colon in it.
pub fn path_with(folders: &[PathBuf]) -> Result<OsString, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path);
    std::env::join_paths(folders.iter().rev().cloned().chain(others)).map_err(|_| {
        let folder = folders.first().map(|folder| folder.display().to_string());
        Error::Usage(format!(
            "{}: a work directory cannot have a colon in its path, which separates the folders of PATH; use --work to name another",
            folder.unwrap_or_default()
        ))
    })
}

/// A hash of the environment, as far as a build could see it.
#[must_use]
pub fn fingerprint() -> blake3::Hash {
    fingerprint_of(std::env::vars_os())
}

/// The variables that a build could see.
#[must_use]
pub fn seen() -> BTreeMap<OsString, OsString> {
    let all = std::env::vars_os();
    all.filter(|(name, _)| is_seen(name)).collect()
}

/// The environment of this process with those variables in place of all that a build could see.
#[must_use]
pub fn with_seen(seen: &BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
    let own = std::env::vars_os().filter(|(name, _)| !is_seen(name));
    let seen = seen.iter().map(|(n, v)| (n.clone(), v.clone()));
    own.chain(seen).collect()
}

fn fingerprint_of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let seen: BTreeMap<OsString, OsString> = variables
        .into_iter()
        .filter(|(name, _)| is_seen(name))
        .collect();
    for part in seen.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(part.as_encoded_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize()
}

/// Whether a build could read a variable of that name.
fn is_seen(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    let is_of_a_session = OF_A_SESSION.contains(&name)
        || OF_A_SESSION_BY_PREFIX
            .iter()
            .any(|start| name.starts_with(start));
    !is_of_a_session && !SCRUBBED_ENV.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(variables: &[(&str, &str)]) -> blake3::Hash {
        fingerprint_of(variables.iter().map(|(n, v)| (n.into(), v.into())))
    }

    #[rstest]
    #[case::value(&[("PATH", "/bin"), ("LLVM_IAS", "0")])]
    #[case::empty_value(&[("PATH", "/bin"), ("LLVM_IAS", "")])]
    #[case::missing(&[("PATH", "/bin")])]
    #[case::other_name(&[("PATH", "/bin"), ("LLVM_IA", "S1")])]
    #[case::more(&[("PATH", "/bin"), ("LLVM_IAS", "1"), ("CPATH", "/x")])]
    #[case::in_one(&[("PATH", "/binLLVM_IAS1")])]
    fn another_environment_shows(#[case] other: &[(&str, &str)]) {
        assert_ne!(of(other), of(&[("PATH", "/bin"), ("LLVM_IAS", "1")]));
    }

    #[test]
    fn the_order_and_the_session_do_not_show() {
        let one = of(&[
            ("A", "1"),
            ("B", "2"),
            ("TERM", "dumb"),
            ("SSH_TTY", "/dev/pts/1"),
            ("TMPDIR", "/run/user/1"),
        ]);
        let other = of(&[("V", "1"), ("B", "2"), ("PWD", "/x"), ("A", "1")]);
        assert_eq!(one, other);
    }

    #[test]
    fn a_folder_comes_first_in_the_search_path_unless_it_has_a_colon() {
        let path = path_with(&["/answers".into()]).unwrap();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        assert_eq!(folders[0], PathBuf::from("/answers"));
        let rest: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
        assert_eq!(folders[1..], rest);

        let error = path_with(&["/a:b".into()]).unwrap_err().to_string();
        assert!(
            error.starts_with("/a:b: a work directory cannot have a colon"),
            "{error}"
        );
    }
}
