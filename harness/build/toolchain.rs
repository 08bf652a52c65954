//! Which programs a build runs, so that results are reused only while these programs stay
//! the same.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::cell::Cell;

const LLVM: [&str; 8] = [
    "clang",
    "ld.lld",
    "llvm-ar",
    "llvm-nm",
    "llvm-objcopy",
    "llvm-objdump",
    "llvm-readelf",
    "llvm-strip",
];

const HOST: [&str; 16] = [
    "make", "sh", "bash", "sed", "awk", "grep", "perl", "python3", "flex", "bison", "bc", "xargs",
    "ccache", "pahole", "rustc", "bindgen",
];

/// GNU's tools, those of the host and those that `CROSS_COMPILE` names: kernels that LLVM
/// builds use some of them too.
const GNU: [&str; 8] = ["gcc", "as", "ld", "ar", "nm", "objcopy", "readelf", "strip"];

/// The variables of make that name a program.
const NAMED: [&str; 14] = [
    "CC", "LD", "AR", "NM", "OBJCOPY", "OBJDUMP", "READELF", "STRIP", "HOSTCC", "HOSTLD", "HOSTAR",
    "PAHOLE", "RUSTC", "BINDGEN",
];

/// How long [`fingerprint`] believes what it has read.
const RECENT: Duration = Duration::from_secs(5);

/// Folders beside that of a program, with what it reads.
const BESIDE: [&str; 5] = ["lib", "lib64", "libexec", "include", "share"];

/// The variables on make's command line that the cell consists of.
#[must_use]
pub fn variables(cell: &Cell) -> BTreeMap<String, String> {
    let mut variables = cell.make.clone();
    variables.insert("ARCH".to_owned(), cell.arch.make.clone());
    variables
}

/// The compiler that the top Makefile uses with these variables.
#[must_use]
pub fn compiler(variables: &BTreeMap<String, String>) -> String {
    program(variables, "CC", "clang", "gcc")
}

/// The same for programs that run while the kernel is built.
#[must_use]
pub fn host_compiler(variables: &BTreeMap<String, String>) -> String {
    match (variables.get("HOSTCC"), variables.get("LLVM")) {
        (Some(compiler), _) => compiler.clone(),
        (None, Some(llvm)) => llvm_tool("clang", Some(llvm)),
        (None, None) => "gcc".to_owned(),
    }
}

/// Whether make looks for a program in the search path, by this name: it has neither a path nor options.
#[must_use]
pub fn is_name(program: &str) -> bool {
    !program.contains(['/', ' '])
}

/// The `nm` that the top Makefile uses with these variables.
#[must_use]
pub fn nm(variables: &BTreeMap<String, String>) -> String {
    program(variables, "NM", "llvm-nm", "nm")
}

/// The `ar` that the top Makefile uses with these variables.
#[must_use]
pub fn ar(variables: &BTreeMap<String, String>) -> String {
    program(variables, "AR", "llvm-ar", "ar")
}

/// The program that a variable of make names: as given, else LLVM's tool or GNU's.
fn program(
    variables: &BTreeMap<String, String>,
    variable: &str,
    of_llvm: &str,
    of_gnu: &str,
) -> String {
    match (variables.get(variable), variables.get("LLVM")) {
        (Some(program), _) => program.clone(),
        (None, Some(llvm)) => llvm_tool(of_llvm, Some(llvm)),
        (None, None) => {
            let prefix = variables.get("CROSS_COMPILE").map_or("", String::as_str);
            format!("{prefix}{of_gnu}")
        }
    }
}

/// The program that `LLVM=` gives for a tool, by the rules of the top Makefile:
/// `1` is no affix, `-22` a suffix, `/opt/llvm/bin/` a prefix.
#[must_use]
pub fn llvm_tool(tool: &str, llvm: Option<&str>) -> String {
    match llvm {
        Some(prefix) if prefix.ends_with('/') => format!("{prefix}{tool}"),
        Some(suffix) if suffix.starts_with('-') => format!("{tool}{suffix}"),
        Some(_) | None => tool.to_owned(),
    }
}

/// A hash that identifies the programs of a toolchain on this machine, their libraries, and
/// the headers of the host: by paths, sizes and times, as they are or were some seconds ago. It takes
/// thousands of calls of the system, and the cells of a run have few toolchains.
#[must_use]
pub fn fingerprint(cell: &Cell) -> blake3::Hash {
    type Read = BTreeMap<BTreeSet<String>, (Instant, blake3::Hash)>;
    static READ: Mutex<Read> = Mutex::new(BTreeMap::new());

    let tools = tools(cell);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    match read.get(&tools) {
        Some((at, hash)) if at.elapsed() < RECENT => *hash,
        Some(_) | None => {
            let hash = of_tools(&tools);
            read.insert(tools, (Instant::now(), hash));
            hash
        }
    }
}

fn of_tools(tools: &BTreeSet<String>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    // Where the programs are installed.
    let mut prefixes = BTreeSet::new();
    for tool in tools {
        hasher.update(tool.as_bytes());
        if let Some(program) = find(tool) {
            add(&mut hasher, &program);
            prefixes.extend(program.parent().and_then(Path::parent).map(Path::to_owned));
        }
    }
    for prefix in prefixes {
        // Most of clang's code is in a library.
        let is_library = |path: &Path| path.to_string_lossy().contains(".so");
        add_files(&mut hasher, &prefix.join("lib"), is_library);
        add_files(&mut hasher, &prefix.join("include"), |_| true);
    }
    hasher.finalize()
}

/// Where a build finds its programs, and what these read: the folders of `PATH`, and those beside
/// each program of the toolchain. Never a user's home directory as a whole.
#[must_use]
pub fn folders(cell: &Cell) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: BTreeSet<PathBuf> = std::env::split_paths(&path).collect();
    // A version manager's: the programs are beside the folder, and so is what it reads.
    let shims = folders.iter().filter(|folder| folder.ends_with("shims"));
    let managed: Vec<PathBuf> = shims.filter_map(|f| Some(f.parent()?.to_owned())).collect();
    folders.extend(managed);
    for program in tools(cell).iter().filter_map(|tool| find(tool)) {
        let Some(own) = program.parent() else {
            continue;
        };
        folders.insert(own.to_owned());
        let prefix = own.parent().unwrap_or(own);
        folders.extend(BESIDE.map(|name| prefix.join(name)));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let is_home = |folder: &Path| home.as_ref().is_some_and(|home| home.starts_with(folder));
    folders.retain(|folder| folder.is_absolute() && folder.is_dir() && !is_home(folder));
    folders.into_iter().collect()
}

/// The names of all programs of a toolchain.
fn tools(cell: &Cell) -> BTreeSet<String> {
    let variables = variables(cell);
    let llvm = variables.get("LLVM").map(String::as_str);
    let cross = variables.get("CROSS_COMPILE").map_or("", String::as_str);
    let tools = LLVM.iter().map(|tool| llvm_tool(tool, llvm));
    let compilers = [compiler(&variables), host_compiler(&variables)];
    let named = NAMED
        .into_iter()
        .filter_map(|name| variables.get(name).cloned());
    tools
        .chain(HOST.map(str::to_owned))
        .chain(GNU.map(str::to_owned))
        .chain(GNU.map(|tool| format!("{cross}{tool}")))
        .chain(compilers)
        .chain(named)
        .collect()
}

/// Adds the entries of a folder, if it is there.
fn add_files(hasher: &mut blake3::Hasher, folder: &Path, is_wanted: impl Fn(&Path) -> bool) {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_wanted(path))
        .collect();
    files.sort();
    for file in files {
        add(hasher, &file);
    }
}

/// The path of a program, with all links resolved.
fn find(program: &str) -> Option<PathBuf> {
    let path = if program.contains('/') {
        PathBuf::from(program)
    } else {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())?
    };
    path.canonicalize().ok()
}

fn add(hasher: &mut blake3::Hasher, file: &Path) {
    hasher.update(file.as_os_str().as_encoded_bytes());
    if let Ok(meta) = std::fs::metadata(file) {
        for number in [
            meta.len().cast_signed(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ] {
            hasher.update(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
