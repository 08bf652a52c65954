//! A copy of what the probe reads of a source tree, so that the user's tree is only ever
//! read: mutations go into the copy, and no makefile can write elsewhere.
//!
//! The copy holds nothing that its fingerprints do not cover, and what is not in it
//! cannot be read. So whatever was made of a copy with the same fingerprint is never
//! stale. Every file in it has the same old time: make sees what changed by what the
//! probe throws away, not by when somebody edited or checked out a file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::{DirEntry, WalkDir};

use crate::build::dir_state::{
    self, DirState, Entry, SOURCE_TIME as TIME, create_dir, remove_file, write_file, written_mode,
};
use crate::input::mutation::Mutation;
use crate::model::error::Error;

/// A file that changed this short a time ago may change again within one tick of the
/// file system's clock, and show the same time.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Files that no part of `make prepare` may read: it runs without them. What it makes so
/// stays valid when they change.
const NOT_READ_BY_PREPARE: &[&str] = &[
    "scripts/Makefile.thinlto",
    "scripts/Makefile.vmlinux_a",
    "scripts/Makefile.vmlinux_o",
    "scripts/Makefile.vmlinux",
    "scripts/Makefile.modpost",
    "scripts/Makefile.modfinal",
    "scripts/head-object-list.txt",
    "scripts/generate_initcall_order.pl",
    "scripts/clang-tools",
];

/// Directories of which only the makefiles, the configuration's and git's are copied: no
/// object of theirs is built.
const MAKEFILES_ALONE: &[&str] = &[
    "Documentation",
    "LICENSES",
    "block",
    "crypto",
    "drivers",
    "fs",
    "io_uring",
    "ipc",
    "mm",
    "net",
    "rust",
    "samples",
    "security",
    "sound",
    "virt",
    "tools/perf",
    "tools/testing",
];

/// The copy, in step with the source tree.
#[derive(Debug)]
pub struct SourceCopy {
    dir: PathBuf,
    files: BTreeMap<String, CopiedFile>,
}

/// A file of the source tree as it was when it was last looked at, and its copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CopiedFile {
    seen: Seen,
    /// Of the content in the source tree.
    source: blake3::Hash,
    /// Of the content in the copy, which a mutation may have changed.
    copy: blake3::Hash,
}

/// What changes with a file's content. The inode's own time cannot be set by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    len: u64,
    modified: i128,
    changed: i128,
    inode: u64,
    mode: u32,
    /// A symbolic link, which is copied as one.
    link: Option<String>,
    /// Long enough ago that a later change would show.
    settled: bool,
}

impl SourceCopy {
    /// Brings the copy in `dir` in step with `source`, with the mutations applied.
    /// `arches` are the folders under `arch/` that are copied whole.
    ///
    /// # Errors
    /// Where a file cannot be read or written, and [`Error::Usage`] where a mutation does
    /// not fit this source tree.
    pub fn sync(
        source: &Path,
        dir: &Path,
        arches: &[&str],
        mutations: &[Mutation],
    ) -> Result<SourceCopy, Error> {
        create_dir(dir)?;
        let index = dir.join("index.json");
        let known = read_index(&index);
        // An interrupted sync leaves no index, and the next one then trusts nothing.
        remove_file(&index)?;
        let found = find_files(source, arches)?;
        let copy = SourceCopy {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
        };
        for part in [Part::Early, Part::Late] {
            create_dir(&copy.part(part))?;
        }
        let present = [
            DirState::of(&copy.part(Part::Early))?,
            DirState::of(&copy.part(Part::Late))?,
        ];
        for (part, state) in [Part::Early, Part::Late].into_iter().zip(&present) {
            for path in state.0.keys() {
                let wanted = path
                    .to_str()
                    .is_some_and(|p| part == Part::of(p) && found.contains_key(p));
                if !wanted {
                    remove_with_folders(&copy.part(part), path)?;
                }
            }
        }
        for mutation in mutations {
            if let Some(file) = mutation.files().find(|file| !found.contains_key(*file)) {
                return Err(mutation.no_file(source, file));
            }
        }
        let one = |(path, seen): (String, Seen)| {
            let part = Part::of(&path);
            let here = present[part as usize].0.get(Path::new(&path));
            let copied = copy.bring(source, &path, seen, known.get(&path), here, mutations)?;
            Ok(copied.map(|copied| (path, copied)))
        };
        let files: BTreeMap<String, CopiedFile> = found
            .into_par_iter()
            .filter_map(|file| one(file).transpose())
            .collect::<Result<_, Error>>()?;
        let text = serde_json::to_vec(&files).map_err(|e| Error::Machine(e.to_string()))?;
        write_file(&index, &text, 0o644, TIME)?;
        Ok(SourceCopy { files, ..copy })
    }

    /// Copies one file where that is needed; `None` where it is gone meanwhile.
    fn bring(
        &self,
        source: &Path,
        path: &str,
        seen: Seen,
        known: Option<&CopiedFile>,
        here: Option<&dir_state::FileMeta>,
        mutations: &[Mutation],
    ) -> Result<Option<CopiedFile>, Error> {
        let is_whole = |len: u64| {
            here.is_some_and(|here| match &seen.link {
                Some(link) => here.link.as_deref() == Some(Path::new(link)),
                None => {
                    here.modified == TIME
                        && here.len == len
                        && here.mode & 0o777 == written_mode(seen.mode)
                }
            })
        };
        let mutations = mutations
            .iter()
            .filter(|m| m.files().any(|file| file == path));
        let is_mutated = mutations.clone().next().is_some();
        if let Some(known) = known
            && seen.settled
            && known.seen == seen
            && known.copy == known.source
            && !is_mutated
            && is_whole(seen.len)
        {
            return Ok(Some(known.clone()));
        }
        let file = source.join(path);
        let content = match &seen.link {
            Some(link) => link.clone().into_bytes(),
            None => match std::fs::read(&file) {
                Ok(content) => content,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(Error::io(file, "read")(e)),
            },
        };
        let mut copied = content.clone();
        for mutation in mutations {
            copied = mutation.apply(path, &copied).map_err(Error::Usage)?;
        }
        let hash = blake3::hash(&copied);
        let target = self.part(Part::of(path)).join(path);
        let is_there =
            known.is_some_and(|known| known.copy == hash) && is_whole(copied.len() as u64);
        if !is_there {
            if let Some(folder) = target.parent() {
                create_dir(folder)?;
            }
            match &seen.link {
                Some(link) => {
                    remove_file(&target)?;
                    std::os::unix::fs::symlink(link, &target)
                        .map_err(Error::io(&target, "create"))?;
                }
                None => write_file(&target, &copied, seen.mode, TIME)?,
            }
        }
        Ok(Some(CopiedFile {
            source: blake3::hash(&content),
            copy: hash,
            seen,
        }))
    }

    /// Tells one content of the copy from every other: of the files that `make prepare`
    /// may read, or of all.
    #[must_use]
    pub fn fingerprint(&self, with_late: bool) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (path, file) in &self.files {
            if with_late || Part::of(path) == Part::Early {
                hasher.update(path.as_bytes());
                hasher.update(&[
                    0,
                    u8::from(file.seen.mode & 0o100 != 0),
                    u8::from(file.seen.link.is_some()),
                ]);
                hasher.update(file.copy.as_bytes());
            }
        }
        hasher.finalize()
    }

    /// The links that make a directory look like the source tree, without the late files
    /// or with them.
    ///
    /// # Errors
    /// Where the copy cannot be read.
    pub fn links(&self, with_late: bool) -> Result<BTreeMap<PathBuf, Entry>, Error> {
        let parts: &[Part] = match with_late {
            true => &[Part::Early, Part::Late],
            false => &[Part::Early],
        };
        let mut links = BTreeMap::new();
        for part in parts {
            let part = self.part(*part);
            // Some of its files are late, and some are not.
            for below in ["scripts", ""] {
                let entries = match std::fs::read_dir(part.join(below)) {
                    Ok(entries) => entries,
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(e) => return Err(Error::io(part, "read")(e)),
                };
                for entry in entries {
                    let entry = entry.map_err(Error::io(&part, "read"))?;
                    let path = Path::new(below).join(entry.file_name());
                    if path != Path::new("scripts") {
                        links.entry(path).or_insert(Entry::Link(entry.path()));
                    }
                }
            }
        }
        Ok(links)
    }

    /// Where the copies of the `.gitignore` files lie, by their paths in the source tree.
    #[must_use]
    pub fn gitignore(&self) -> PathBuf {
        self.part(Part::of(".gitignore"))
    }

    /// The content of a file of the copy.
    ///
    /// # Errors
    /// Where it is not there or cannot be read.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let file = self.part(Part::of(path)).join(path);
        std::fs::read(&file).map_err(Error::io(file, "read"))
    }

    /// The paths of all files in it.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn part(&self, part: Part) -> PathBuf {
        self.dir.join(match part {
            Part::Early => "early",
            Part::Late => "late",
        })
    }
}

/// The two parts of the copy; each is a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Early,
    Late,
}

impl Part {
    fn of(path: &str) -> Part {
        let is_late = path.ends_with(".gitignore")
            || NOT_READ_BY_PREPARE.iter().any(|late| {
                path.strip_prefix(late)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        if is_late { Part::Late } else { Part::Early }
    }
}

/// Removes a file, and the folders that held nothing else: a makefile would see them.
fn remove_with_folders(part: &Path, path: &Path) -> Result<(), Error> {
    remove_file(&part.join(path))?;
    for folder in path.ancestors().skip(1) {
        let is_top = folder.as_os_str().is_empty();
        if is_top || std::fs::remove_dir(part.join(folder)).is_err() {
            break;
        }
    }
    Ok(())
}

fn read_index(index: &Path) -> BTreeMap<String, CopiedFile> {
    let known = std::fs::read(index)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    known.unwrap_or_default()
}

/// Every file that is to be copied.
fn find_files(source: &Path, arches: &[&str]) -> Result<BTreeMap<String, Seen>, Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut files = BTreeMap::new();
    let below = |entry: &DirEntry| entry.path().strip_prefix(source).map(Path::to_owned).ok();
    // Version control and editors keep their own things in folders with a dot; in a linked
    // work tree `.git` is a file that leads to them.
    let enter = |entry: &DirEntry| {
        !entry.file_type().is_dir()
            || entry.depth() == 0
            || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    for entry in WalkDir::new(source)
        .follow_links(false)
        .into_iter()
        .filter_entry(enter)
    {
        let entry = entry.map_err(|e| Error::io(source, "read")(e.into()))?;
        // What is no UTF-8 is no file of a kernel's.
        let Some(path) = below(&entry).and_then(|p| p.into_os_string().into_string().ok()) else {
            continue;
        };
        if entry.file_type().is_dir() || path == ".git" || !is_wanted(&path, arches) {
            continue;
        }
        if let Some(seen) = see(source, &path, now).map_err(Error::io(entry.path(), "read"))? {
            files.insert(path, seen);
        }
    }
    Ok(files)
}

fn is_wanted(path: &str, arches: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_below = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let is_output = name.ends_with(".o") || name.ends_with(".a") || name.ends_with(".cmd");
    let is_makefile = name.starts_with("Makefile")
        || name.starts_with("Kconfig")
        || name.starts_with("Kbuild")
        || name == ".gitignore";
    let in_arch = match path
        .strip_prefix("arch/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((arch, rest)) => arches.contains(&arch) && !rest.starts_with("boot/dts/"),
        None => true,
    };
    !is_output && (is_makefile || in_arch && !MAKEFILES_ALONE.iter().any(|folder| is_below(folder)))
}

/// Looks at one file; `None` for what is neither a file nor a link within the tree.
fn see(source: &Path, path: &str, now: Duration) -> std::io::Result<Option<Seen>> {
    let file = source.join(path);
    let found = std::fs::symlink_metadata(&file).and_then(|meta| {
        if !meta.is_symlink() {
            return Ok((meta, None));
        }
        let link = std::fs::read_link(&file)?
            .into_os_string()
            .into_string()
            .ok();
        let stays = |link: &String| stays_inside_tree(path, link);
        match link.filter(stays) {
            Some(link) => Ok((meta, Some(link))),
            // What lies outside is copied as the file it is.
            None => Ok((std::fs::metadata(&file)?, None)),
        }
    });
    let (meta, link) = match found {
        Ok(found) => found,
        Err(e) if leads_nowhere(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    if link.is_none() && !meta.is_file() {
        return Ok(None);
    }
    let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    Ok(Some(Seen {
        len: meta.len(),
        modified: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        changed,
        inode: meta.ino(),
        mode: meta.mode(),
        settled: changed + i128::try_from(UNSETTLED.as_nanos()).unwrap_or(0) < now,
        link,
    }))
}

/// Whether nobody can read what was looked for, a makefile neither.
fn leads_nowhere(error: &std::io::Error) -> bool {
    let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_loop || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether a link at `path` leads to somewhere in the tree.
fn stays_inside_tree(path: &str, link: &str) -> bool {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let depth = Path::new(link).components().try_fold(
        folder.components().count(),
        |depth, part| match part {
            Component::Normal(_) => Some(depth + 1),
            Component::CurDir => Some(depth),
            Component::ParentDir => depth.checked_sub(1),
            Component::RootDir | Component::Prefix(_) => None,
        },
    );
    depth.is_some()
}

#[cfg(test)]
mod tests;
