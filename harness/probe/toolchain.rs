//! Which programs a build runs, so that what they made is used again only while they are
//! the same.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cell::Cell;
use crate::kbuild::llvm_tool;

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

const HOST: [&str; 13] = [
    "make", "sh", "bash", "sed", "awk", "grep", "perl", "python3", "flex", "bison", "bc", "xargs",
    "ccache",
];

/// Tells the programs of one toolchain and machine from any others: where they are, and
/// when they were installed.
#[must_use]
pub fn fingerprint(cell: &Cell) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let llvm = cell.make.get("LLVM").map(String::as_str);
    let named = ["CC", "LD", "AR", "HOSTCC"]
        .into_iter()
        .filter_map(|name| cell.make.get(name))
        .cloned();
    let tools = LLVM.iter().map(|tool| llvm_tool(tool, llvm));
    for tool in tools.chain(HOST.map(str::to_owned)).chain(named) {
        hasher.update(tool.as_bytes());
        let Some(program) = find(&tool) else {
            continue;
        };
        add(&mut hasher, &program);
        // Most of clang is in a library beside it.
        if let Some(folder) = program
            .parent()
            .and_then(Path::parent)
            .map(|p| p.join("lib"))
        {
            let mut libraries: Vec<PathBuf> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.to_string_lossy().contains(".so"))
                .collect();
            libraries.sort();
            for library in libraries {
                add(&mut hasher, &library);
            }
        }
    }
    hasher.finalize()
}

/// Where a program lies, behind all links.
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
