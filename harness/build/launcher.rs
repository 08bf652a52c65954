//! What starts the compilers of a probe, as ccache would: this program, under the name [`NAME`].
//! It answers feature tests, and starts ccache for everything else.
//!
//! All code of the kernel includes the whole configuration, which is one header, so that ccache
//! takes objects of two modes of LTO for different ones. But the header differs only in the lines
//! that name a mode, and if nothing else in the sources names one, no code can tell. ccache then
//! ignores the header, and hashes a file that stands for its other lines.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::build::dir_state::{create_dir, is_there};
use crate::build::feature_tests;
use crate::build::process::replace_by;
use crate::model::cell::LtoMode;
use crate::model::error::Error;

/// The name under which this program starts compilers.
pub const NAME: &str = "klto-cc";

/// The environment variable that is 1 if no code names a mode of LTO.
pub const MODES_SHARE: &str = "KLTO_MODES_SHARE";

/// How the launcher's own error message begins.
pub const CANNOT_RUN: &str = "klto-cc: cannot run";

/// Where kbuild puts the configuration for C files, seen from the build tree.
const CONFIG_HEADER: &str = "include/generated/autoconf.h";

/// Creates the folder of the answers of one compiler in one environment, and in it the launcher:
/// this program, so that it stays what it is when klto is built or installed again.
///
/// # Errors
/// Where the folder cannot be written.
pub fn install(folder: &Path) -> Result<(), Error> {
    let launcher = folder.join(NAME);
    if is_there(&launcher) {
        return Ok(());
    }
    create_dir(folder)?;
    let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
    // Other threads may be at the same point.
    match std::fs::hard_link(&program, &launcher) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // On another file system, say.
        Err(_) => {}
    }
    let copied = tempfile::Builder::new()
        .make_in(folder, |partial| std::fs::copy(&program, partial).map(drop));
    copied
        .and_then(|partial| partial.persist(&launcher).map_err(|e| e.error))
        .map_err(Error::io(&launcher, "create"))?;
    Ok(())
}

/// The folder of the answers, if this program was started as the launcher.
#[must_use]
pub fn folder_of_answers() -> Option<PathBuf> {
    let called_as = PathBuf::from(std::env::args_os().next()?);
    if called_as.file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    program.parent().map(Path::to_owned)
}

/// Acts as the compiler whose command line is this program's arguments. Returns its exit code.
#[must_use]
pub fn launch(folder: &Path) -> u8 {
    let command: Vec<OsString> = std::env::args_os().skip(1).collect();
    let failed = |program: &OsStr, error: &io::Error| {
        let program = program.to_string_lossy();
        let _ = writeln!(io::stderr(), "{CANNOT_RUN} {program}: {error}");
        127
    };
    let compiler = command.first().cloned().unwrap_or_default();
    match feature_tests::answer(&command, folder) {
        Some(answer) => answer.unwrap_or_else(|e| failed(&compiler, &e)),
        None => {
            let may_share = std::env::var_os(MODES_SHARE).is_some_and(|value| value == "1");
            let environment = may_share.then(|| sharing(&command, CONFIG_HEADER.as_ref(), folder));
            let environment = environment.flatten().unwrap_or_default();
            let ccache = OsString::from("ccache");
            let command: Vec<_> = [ccache].into_iter().chain(command).collect();
            failed(&command[0], &replace_by(&command, &environment))
        }
    }
}

/// The variables that have ccache find the objects of another mode; `None` unless this command
/// compiles code of the kernel, names no mode itself, and the header of the configuration is there.
fn sharing(
    command: &[OsString],
    header: &Path,
    folder: &Path,
) -> Option<Vec<(&'static str, OsString)>> {
    let names_mode = |word: &OsString| word.to_string_lossy().contains("CONFIG_LTO_");
    if !command.iter().any(|word| word == "-D__KERNEL__") || command.iter().any(names_mode) {
        return None;
    }
    let rest = without_mode(&std::fs::read(header).ok()?);
    let rest = note(&rest, folder).ok()?;
    // CCACHE_NAMESPACE would keep configurations apart too, but only since ccache 4.5.
    Some(vec![
        ("CCACHE_IGNOREHEADERS", header.into()),
        ("CCACHE_EXTRAFILES", rest.into()),
    ])
}

/// Distinguishes one configuration from every other, except for the mode of LTO.
fn without_mode(header: &[u8]) -> String {
    // Counts up with the field of `source::copy` that says whether code names a mode: what an
    // older rule let modes share is then not found.
    let mut hasher = blake3::Hasher::new_derive_key("klto configuration without mode, 1");
    let lines = header.split_inclusive(|byte| *byte == b'\n');
    for line in lines.filter(|line| !is_of_a_mode(line)) {
        hasher.update(line);
    }
    hasher.finalize().to_hex().to_string()
}

/// A file with that content, which is also its name.
fn note(content: &str, folder: &Path) -> io::Result<PathBuf> {
    let file = folder.join(format!("config-{content}"));
    if !is_there(&file) {
        let mut partial = tempfile::NamedTempFile::new_in(folder)?;
        partial.write_all(content.as_bytes())?;
        partial.persist(&file).map_err(|e| e.error)?;
    }
    Ok(file)
}

fn is_of_a_mode(line: &[u8]) -> bool {
    let symbol = line.strip_prefix(b"#define CONFIG_");
    let symbol = symbol.and_then(|rest| rest.strip_suffix(b" 1\n"));
    symbol.is_some_and(LtoMode::is_config_symbol)
}

#[cfg(test)]
mod tests;
