//! ccache, as klto uses it for whole kernels: what comes out of it is what the compiler would have
//! written, byte for byte, or it is not used. Where it keeps objects, and how many, is the user's to
//! say; everything else is klto's.

use std::ffi::OsString;
use std::path::Path;

use crate::build::doctor;
use crate::build::environment;
use crate::build::launcher::Cached;
use crate::build::process::{Cancel, Command, Exit, capture};
use crate::build::toolchain;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::CompilerCacheUse;

/// The name of the program.
pub const PROGRAM: &str = "ccache";

/// The oldest version that klto trusts: 4.6.1 missed some `.incbin`, and 4.6.3 could write another
/// target into a dependency file than the compiler does.
const OLDEST: (u32, u32) = (4, 7);

/// The oldest version that keeps what a back end makes: it hashes the index.
const KEEPS_BACK_ENDS: (u32, u32) = (4, 13);

/// What the user decides about ccache, by the names of its configuration and of its variables.
const OF_THE_USER: [(&str, &str); 9] = [
    ("cache_dir", "DIR"),
    ("max_size", "MAXSIZE"),
    ("max_files", "MAXFILES"),
    ("remote_storage", "REMOTE_STORAGE"),
    ("remote_only", "REMOTE_ONLY"),
    ("read_only", "READONLY"),
    ("temporary_dir", "TEMPDIR"),
    ("umask", "UMASK"),
    ("compression_level", "COMPRESSLEVEL"),
];

/// Symbols with which compilers read files that ccache (before 4.11, or all) does not: the seed of a
/// layout, which is another one in each tree, and the lists of a profile.
const READ_UNSEEN: [&str; 2] = ["CONFIG_RANDSTRUCT=y", "CONFIG_PROPELLER_CLANG=y"];

/// How the symbols of GCC's plugins begin: the kernel builds them, and ccache takes klto's word for
/// what the compiler is.
const GCC_PLUGIN: &str = "CONFIG_GCC_PLUGIN_";

/// A ccache that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCache {
    /// `4.7.5`.
    pub version: String,
    /// What the user has set up, as variables.
    places: Vec<(String, String)>,
}

impl CompilerCache {
    /// The ccache of this machine; `None` if there is none, and why not if it cannot be used.
    ///
    /// # Errors
    /// If the user interrupts.
    pub fn find(cancel: &Cancel) -> Result<Result<Option<CompilerCache>, String>, Error> {
        if !doctor::is_installed(PROGRAM) {
            return Ok(Ok(None));
        }
        let ask = |option: &str| match capture(&Command::new(PROGRAM).arg(option), None, cancel) {
            Ok(captured) if captured.status == Exit::Success => Ok(captured.stdout),
            Ok(captured) => Err(format!(
                "'ccache {option}' failed: {}",
                captured.stderr.lines().next().unwrap_or("no message")
            )),
            Err(error) => Err(error.to_string()),
        };
        let found = ask("--version").and_then(|said| {
            let version = usable_version(&said)?;
            let places = places(&ask("--show-config")?)?;
            Ok(Some(CompilerCache { version, places }))
        });
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(found)
    }

    /// What it is given.
    #[must_use]
    pub fn cached(&self) -> Cached {
        match numbers(&self.version) {
            Some(version) if version >= KEEPS_BACK_ENDS => Cached::Everything,
            Some(_) | None => Cached::FrontEnds,
        }
    }

    /// The variables for the compilers of a cell; without a value, those that they must not see.
    /// `own` is the folder for objects, if that is not the user's; `statistics` is where ccache notes
    /// what it did.
    #[must_use]
    pub fn environment(
        &self,
        cell: &Cell,
        own: Option<&Path>,
        statistics: Option<&Path>,
    ) -> Vec<(OsString, Option<OsString>)> {
        let compiler = toolchain::fingerprint(cell).to_hex();
        let mut set: Vec<(String, OsString)> = vec![
            ("CONFIGPATH".to_owned(), "/dev/null".into()),
            // The whole toolchain: of clang itself, most is in a library.
            (
                "COMPILERCHECK".to_owned(),
                format!("string:{compiler}").into(),
            ),
        ];
        match own {
            Some(own) => set.push(("DIR".to_owned(), own.into())),
            None => {
                let places = self.places.iter();
                set.extend(places.map(|(name, value)| (name.clone(), value.into())));
            }
        }
        set.extend(statistics.map(|file| ("STATSLOG".to_owned(), file.into())));
        let set = set
            .into_iter()
            .map(|(name, value)| (format!("CCACHE_{name}").into(), Some(value)));
        let users = environment::of_ccache().into_iter();
        users.map(|name| (name, None)).chain(set).collect()
    }

    /// What it did, from the notes that it left; `None` if it left none.
    #[must_use]
    pub fn used(&self, statistics: &Path) -> Option<CompilerCacheUse> {
        let notes = std::fs::read(statistics).ok()?;
        let [hits, misses, uncacheable] = count(&String::from_utf8_lossy(&notes));
        Some(CompilerCacheUse {
            program: PROGRAM.to_owned(),
            version: self.version.clone(),
            hits,
            misses,
            uncacheable,
        })
    }
}

/// Whether compilers read files with that configuration that ccache does not see.
#[must_use]
pub fn reads_unseen(config: &str) -> bool {
    let is_plugin = |line: &str| line.starts_with(GCC_PLUGIN) && line.ends_with("=y");
    config
        .lines()
        .any(|line| READ_UNSEEN.contains(&line) || is_plugin(line))
}

/// The version that `ccache --version` says, or why it cannot be used.
fn usable_version(said: &str) -> Result<String, String> {
    let version = said
        .lines()
        .find_map(|line| line.strip_prefix("ccache version "))
        .and_then(|rest| rest.split_whitespace().next());
    match (version, version.and_then(numbers)) {
        (Some(version), Some(numbers)) if numbers >= OLDEST => Ok(version.to_owned()),
        (Some(version), Some(_)) => Err(format!(
            "ccache {version} can give wrong objects; klto uses {}.{} and later",
            OLDEST.0, OLDEST.1
        )),
        (_, None) | (None, _) => Err("'ccache --version' names no version".to_owned()),
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What the user has set up, from the output of `ccache --show-config`, as variables without
/// `CCACHE_`; why it cannot be used, if the user has turned it off.
fn places(config: &str) -> Result<Vec<(String, String)>, String> {
    let mut places = Vec::new();
    for line in config.lines() {
        // `(/etc/ccache.conf) max_size = 5.0G`
        let setting = line
            .strip_prefix('(')
            .and_then(|line| line.split_once(") "));
        let Some((origin, (key, value))) =
            setting.and_then(|(origin, rest)| Some((origin, rest.split_once(" = ")?)))
        else {
            continue;
        };
        if (key, value) == ("disable", "true") {
            return Err(format!("it is turned off ({origin})"));
        }
        let known = OF_THE_USER.iter().find(|(name, _)| *name == key);
        let Some((_, variable)) = known.filter(|_| origin != "default" || key == "cache_dir")
        else {
            continue;
        };
        match value {
            "false" => places.push((format!("NO{variable}"), "true".to_owned())),
            value => places.push(((*variable).to_owned(), value.to_owned())),
        }
    }
    Ok(places)
}

/// Hits, misses, and calls of which ccache keeps nothing, from what it notes: a line with the input
/// of each call, and one for each counter that it raised.
fn count(notes: &str) -> [u64; 3] {
    let mut calls = Vec::new();
    for line in notes.lines() {
        match (line, calls.last_mut()) {
            (line, _) if line.starts_with("# ") => calls.push(2),
            ("direct_cache_hit" | "preprocessed_cache_hit", Some(call)) => *call = 0,
            ("cache_miss", Some(call)) => *call = 1,
            (_, _) => {}
        }
    }
    [0, 1, 2].map(|which| calls.iter().filter(|call| **call == which).count() as u64)
}

#[cfg(test)]
mod tests;
