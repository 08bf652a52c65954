//! What starts the compilers of a build: this program. It lies in folders that come first in the
//! search path, under the names of the programs in whose [`Place`] it acts, and is put before the name
//! of a compiler that make does not look for there, as [`NAME`].
//!
//! As a compiler it answers feature tests, and starts the compiler for everything else, or ccache where
//! that may be used. As `nm` it answers what it has been asked before, and starts `nm` for everything
//! else. As an old `ar` it does what the oldest archiver would do that kernels without LTO are built
//! with. make knows nothing of it: the commands that it records are those of the real programs, so
//! that a make without klto goes on with such a tree.
//!
//! All code of the kernel includes the whole configuration, which is one header, so that ccache
//! takes objects of two modes of LTO for different ones. But the header differs only in the lines
//! that name a mode, and if nothing else in the sources names one, no code can tell. ccache then
//! ignores the header, and hashes a file that stands for its other lines.

mod answers;
mod feature_tests;
mod headers;
mod symbol_lists;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::build::dir_state::{create_dir, is_there};
use crate::build::process::replace_by;
use crate::model::cell::LtoMode;
use crate::model::error::Error;

/// The name of this program before that of a compiler.
pub const NAME: &str = "klto-cc";

/// The environment variable that is 1 if no code names a mode of LTO.
pub const MODES_SHARE: &str = "KLTO_MODES_SHARE";

/// The environment variable that names the folder for answers, if that is not the program's: a
/// build in a sandbox cannot write there.
pub const ANSWERS: &str = "KLTO_ANSWERS";

/// The environment variable that says what ccache is given: one of [`Cached`].
pub const CACHED: &str = "KLTO_CACHED";

/// The environment variable that distinguishes the names of all files in the sources from any other.
pub const SOURCE_NAMES: &str = "KLTO_SOURCE_NAMES";

/// How the launcher's own error message begins.
pub const CANNOT_RUN: &str = "klto-cc: cannot run";

/// The compiler's commands that go through ccache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    Nothing,
    /// Everything but back ends: ccache before 4.13 passes them on.
    FrontEnds,
    Everything,
}

impl Cached {
    /// The value of [`CACHED`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cached::Nothing => "nothing",
            Cached::FrontEnds => "front-ends",
            Cached::Everything => "everything",
        }
    }
}

/// The program in whose place this one is, by the folder in which it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Compiler,
    Nm,
    /// An archiver that is as old as the oldest one for which the kernel must build without LTO:
    /// binutils 2.35 and older do not know `--thin`.
    OldArchiver,
}

impl Place {
    const ALL: [Place; 3] = [Place::Compiler, Place::Nm, Place::OldArchiver];

    fn folder(self) -> &'static str {
        match self {
            Place::Compiler => "compiler",
            Place::Nm => "nm",
            Place::OldArchiver => "old-archiver",
        }
    }
}

/// Where kbuild puts the configuration for C files, seen from the build tree.
const CONFIG_HEADER: &str = "include/generated/autoconf.h";

/// Creates the folder of the answers of one toolchain in one environment, and in it this program
/// under its own name, so that it stays what it is when klto is built or installed again.
///
/// # Errors
/// Where the folder cannot be written.
pub fn install(folder: &Path) -> Result<(), Error> {
    let own = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
    link(&own, &folder.join(NAME))
}

/// Installs it in such a folder in place of a program. Returns the folder that is to come first in the
/// search path.
///
/// # Errors
/// Where the folder cannot be written.
pub fn install_in_place(folder: &Path, place: Place, program: &str) -> Result<PathBuf, Error> {
    let own = folder.join(NAME);
    let folder = folder.join(place.folder());
    link(&own, &folder.join(program))?;
    Ok(folder)
}

/// Gives this program, which `own` is, another name.
fn link(own: &Path, program: &Path) -> Result<(), Error> {
    if is_there(program) {
        return Ok(());
    }
    let folder = program.parent().unwrap_or(Path::new("."));
    create_dir(folder)?;
    // Other threads may be at the same point.
    match std::fs::hard_link(own, program) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // On another file system, say.
        Err(_) => {}
    }
    let copied =
        tempfile::Builder::new().make_in(folder, |partial| std::fs::copy(own, partial).map(drop));
    copied
        .and_then(|partial| partial.persist(program).map_err(|e| e.error))
        .map_err(Error::io(program, "create"))?;
    Ok(())
}

/// Acts as the program in whose place this one was started, if it was. Returns its exit code.
#[must_use]
pub fn launch() -> Option<u8> {
    let name = PathBuf::from(std::env::args_os().next()?);
    let name = name.file_name()?;
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    let args = std::env::args_os().skip(1);
    let done = if name == NAME {
        compile(&args.collect::<Vec<_>>(), &answers(folder), &[])
    } else {
        let place = Place::ALL
            .into_iter()
            .find(|place| folder.ends_with(place.folder()) && program.ends_with(name))?;
        let installed = folder
            .parent()
            .filter(|parent| is_there(&parent.join(NAME)))?;
        let command: Vec<OsString> = [name.to_owned()].into_iter().chain(args).collect();
        in_place(place, &command, &answers(installed))
    };
    Some(done.unwrap_or_else(|(program, error)| {
        let program = program.to_string_lossy();
        let _ = writeln!(io::stderr(), "{CANNOT_RUN} {program}: {error}");
        127
    }))
}

/// The folder for answers of a launcher that is installed in `folder`.
fn answers(folder: &Path) -> PathBuf {
    std::env::var_os(ANSWERS).map_or_else(|| folder.to_owned(), PathBuf::from)
}

/// A program that could not be run, and why.
type NotRun = (OsString, io::Error);

/// Variables that are added to the environment of a program.
type Environment = [(&'static str, OsString)];

/// Acts as the program of that command line, which is further on in the search path.
fn in_place(place: Place, command: &[OsString], answers: &Path) -> Result<u8, NotRun> {
    let failed = |e| (command[0].clone(), e);
    let path = path_without_this(&command[0]).map_err(failed)?;
    let environment = [("PATH", path)];
    match place {
        Place::Compiler => compile(command, answers, &environment),
        Place::Nm => list_symbols(command, answers, &environment),
        Place::OldArchiver => archive(command, &environment),
    }
}

/// Acts as the compiler with that command line.
fn compile(command: &[OsString], folder: &Path, environment: &Environment) -> Result<u8, NotRun> {
    if let Some(answer) = feature_tests::answer(command, folder, environment) {
        return answer.map_err(|e| (command[0].clone(), e));
    }
    if !goes_through_ccache(command, &std::env::var(CACHED).unwrap_or_default()) {
        let program = command.first().cloned().unwrap_or_default();
        return Err((program, replace_by(command, environment)));
    }
    let may_share = std::env::var_os(MODES_SHARE).is_some_and(|value| value == "1");
    let shared = may_share.then(|| sharing(command, CONFIG_HEADER.as_ref(), folder));
    let names = std::env::var_os(SOURCE_NAMES)
        .map(|names| headers::variable(command, &names, Path::new(".")));
    let added = shared.flatten().into_iter().flatten().chain(names);
    let environment: Vec<_> = environment.iter().cloned().chain(added).collect();
    let ccache = OsString::from("ccache");
    let command: Vec<_> = [&ccache].into_iter().chain(command).cloned().collect();
    Err((ccache, replace_by(&command, &environment)))
}

/// Whether a command is one that ccache is given, by the value of [`CACHED`].
fn goes_through_ccache(command: &[OsString], cached: &str) -> bool {
    match cached {
        _ if cached == Cached::Everything.name() => true,
        _ if cached == Cached::FrontEnds.name() => !is_back_end(command),
        _ => false,
    }
}

/// Whether a command compiles what a front end has translated.
fn is_back_end(command: &[OsString]) -> bool {
    command
        .windows(2)
        .any(|words| words[0] == "-x" && words[1] == "ir")
}

/// Acts as `nm` with that command line.
fn list_symbols(
    command: &[OsString],
    folder: &Path,
    environment: &Environment,
) -> Result<u8, NotRun> {
    let failed = |e| (command[0].clone(), e);
    match symbol_lists::answer(command, folder, environment) {
        Some(answer) => answer.map_err(failed),
        None => Err(failed(replace_by(command, environment))),
    }
}

/// Acts as an old archiver with that command line.
fn archive(command: &[OsString], environment: &Environment) -> Result<u8, NotRun> {
    if command.iter().any(|word| word == "--thin") {
        let name = command[0].to_string_lossy();
        let said = "unrecognized option '--thin' (archivers before binutils 2.36 do not know it)";
        let _ = writeln!(io::stderr(), "{name}: {said}");
        return Ok(1);
    }
    Err((command[0].clone(), replace_by(command, environment)))
}

/// The search path without the folders in which `name` is this program, which would start itself.
/// Files are compared, and not paths, for a folder may have several.
fn path_without_this(name: &OsStr) -> io::Result<OsString> {
    let file = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let own = file(&std::env::current_exe()?)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path)
        .filter(|folder| file(&folder.join(name)).map_or(true, |found| found != own));
    std::env::join_paths(others).map_err(io::Error::other)
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
