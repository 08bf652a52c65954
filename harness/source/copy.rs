//! A copy of what the probe reads of a kernel's sources, so that the user's tree is only ever
//! read: mutations go into the copy, and no makefile can write elsewhere.
//!
//! The copy contains nothing that its fingerprints do not cover, and what is not in it
//! cannot be read. So whatever was made of a copy with the same fingerprint is never
//! stale. Every file in it has the same old time: make sees what changed by what the
//! probe throws away, not by when somebody edited or checked out a file.

pub(super) mod find;
mod modes;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::commit::{AT_ONCE, Commit, changed_between};
use super::names::hash_of_names;
use super::sources::{Origin, Sources};
use crate::build::dir_state::{
    DirState, Entry, SOURCE_TIME as TIME, create_dir, remove_file, write_file, written_mode,
};
use crate::input::mutation::Mutation;
use crate::model::error::Error;

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

/// Files of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those that `make prepare` may read.
    ReadByPrepare,
    All,
}

impl Extent {
    fn parts(self) -> &'static [Part] {
        match self {
            Extent::ReadByPrepare => &[Part::Early],
            Extent::All => &[Part::Early, Part::Late],
        }
    }
}

/// The copy, in step with the source tree.
#[derive(Debug)]
pub struct SourceCopy {
    dir: PathBuf,
    files: BTreeMap<String, CopiedFile>,
}

/// A file of the sources as it was when it was last read, and its copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CopiedFile {
    seen: Seen,
    /// Of the content in the sources.
    source: blake3::Hash,
    /// Of the content in the copy, which a mutation may have changed.
    copy: blake3::Hash,
    /// Bytes of the copy.
    len: u64,
    /// Whether what is compiled of the copy may differ between the modes of LTO. The number
    /// counts up when the rule changes: an older index is then not read.
    #[serde(rename = "names_mode_1")]
    names_mode: bool,
}

/// A file's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    stamp: Stamp,
    mode: u32,
    /// A symbolic link, which is copied as one.
    link: Option<String>,
}

/// What changes with a file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Stamp {
    /// Of a file in a directory. The inode's own time cannot be set by anybody.
    File {
        len: u64,
        modified: i128,
        changed: i128,
        inode: u64,
        /// Long enough ago that a later change would show.
        settled: bool,
    },
    /// Of a file in a commit: the number that git gives its content.
    Blob(String),
}

impl Stamp {
    fn is_settled(&self) -> bool {
        match self {
            Stamp::File { settled, .. } => *settled,
            Stamp::Blob(_) => true,
        }
    }
}

impl Seen {
    /// The number of the blob that holds the content.
    fn blob(&self) -> Option<&str> {
        match &self.stamp {
            Stamp::Blob(id) => Some(id),
            Stamp::File { .. } => None,
        }
    }
}

/// What the files are copied from.
#[derive(Clone, Copy)]
enum Files<'a> {
    Directory(&'a Path),
    Commit(&'a Commit),
}

impl Files<'_> {
    fn place(self) -> PathBuf {
        match self {
            Files::Directory(dir) => dir.to_owned(),
            Files::Commit(commit) => PathBuf::from(commit.to_string()),
        }
    }
}

/// What an earlier sync left.
struct Before {
    known: BTreeMap<String, CopiedFile>,
    present: [DirState; 2],
}

impl Before {
    /// What is known of a file whose copy is up to date.
    fn kept(&self, path: &str, seen: &Seen, mutations: &[Mutation]) -> Option<&CopiedFile> {
        let known = self.known.get(path)?;
        let is_kept = seen.stamp.is_settled()
            && known.seen == *seen
            && known.copy == known.source
            && !mutations.iter().any(|mutation| changes(mutation, path))
            && self.holds(path, known);
        is_kept.then_some(known)
    }

    /// Whether the file in the copy looks like this file.
    fn holds(&self, path: &str, file: &CopiedFile) -> bool {
        let here = self.present[Part::of(path) as usize].0.get(Path::new(path));
        here.is_some_and(|here| match &file.seen.link {
            Some(link) => here.link.as_deref() == Some(Path::new(link)),
            None => {
                here.link.is_none()
                    && here.modified == TIME
                    && here.len == file.len
                    && here.mode & 0o777 == written_mode(file.seen.mode)
            }
        })
    }
}

fn changes(mutation: &Mutation, path: &str) -> bool {
    mutation.files().any(|file| file == path)
}

/// The content of a file in a directory; `None` if it is gone by now.
fn read(source: &Path, path: &str, seen: &Seen) -> Result<Option<Vec<u8>>, Error> {
    if let Some(link) = &seen.link {
        return Ok(Some(link.clone().into_bytes()));
    }
    let file = source.join(path);
    match std::fs::read(&file) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(file, "read")(e)),
    }
}

impl SourceCopy {
    /// Brings the copy in `dir` in step with the sources, with the mutations applied.
    /// `arches` are the folders under `arch/` that are copied whole. Of a commit,
    /// only those files are read that differ in the copy.
    ///
    /// # Errors
    /// If a file cannot be read or written, and [`Error::Usage`] if a mutation does
    /// not fit these sources.
    pub fn of(
        sources: &Sources,
        dir: &Path,
        arches: &[&str],
        mutations: &[Mutation],
    ) -> Result<SourceCopy, Error> {
        let files = match sources.origin() {
            Origin::Directory(source) => Files::Directory(source),
            Origin::Commit(commit) => Files::Commit(commit),
        };
        SourceCopy::of_files(files, dir, arches, mutations)
    }

    /// Whether the copies of two sources may differ. Of commits, what git says that differs is
    /// enough to know; nothing is copied.
    ///
    /// # Errors
    /// As [`changed_between`].
    pub fn may_differ(earlier: &Sources, later: &Sources, arches: &[&str]) -> Result<bool, Error> {
        let (Origin::Commit(earlier), Origin::Commit(later)) = (earlier.origin(), later.origin())
        else {
            return Ok(true);
        };
        let changed = changed_between(later.git(), earlier.id(), later.id())?;
        Ok(changed.iter().any(|path| is_read(path, arches)))
    }

    fn of_files(
        source: Files,
        dir: &Path,
        arches: &[&str],
        mutations: &[Mutation],
    ) -> Result<SourceCopy, Error> {
        create_dir(dir)?;
        let index = dir.join("index.json");
        let known = read_index(&index);
        // An interrupted sync leaves no index, and the next one then trusts nothing.
        remove_file(&index)?;
        let mut copy = SourceCopy {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
        };
        for part in [Part::Early, Part::Late] {
            create_dir(&copy.part(part))?;
        }
        let find = || match source {
            Files::Directory(source) => find::in_directory(source, arches),
            Files::Commit(commit) => find::in_commit(commit, arches, &known),
        };
        let state = |part| DirState::of(&copy.part(part));
        let (found, (early, late)) = rayon::join(find, || {
            rayon::join(|| state(Part::Early), || state(Part::Late))
        });
        let (found, present) = (found?, [early?, late?]);
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
                return Err(mutation.no_file(&source.place(), file));
            }
        }
        let before = Before { known, present };
        let mut rest = Vec::new();
        for (path, seen) in found {
            match before.kept(&path, &seen, mutations) {
                Some(known) => drop(copy.files.insert(path, known.clone())),
                None => rest.push((path, seen)),
            }
        }
        let bring = |(path, seen): (String, Seen), content: Vec<u8>| {
            let copied = copy.bring(&path, seen, content, &before, mutations)?;
            Ok::<_, Error>((path, copied))
        };
        let brought: Vec<_> = match source {
            Files::Directory(source) => rest
                .into_par_iter()
                .filter_map(|file| {
                    let content = read(source, &file.0, &file.1).transpose()?;
                    Some(content.and_then(|content| bring(file, content)))
                })
                .collect::<Result<_, Error>>()?,
            Files::Commit(commit) => {
                let mut brought = Vec::with_capacity(rest.len());
                // Only so many at once, to limit memory.
                while !rest.is_empty() {
                    let part = rest.split_off(rest.len().saturating_sub(AT_ONCE));
                    let ids: Vec<&str> = part.iter().filter_map(|(_, seen)| seen.blob()).collect();
                    let contents = commit.contents(&ids)?;
                    let part = part.into_par_iter().zip(contents);
                    let part = part.map(|(file, content)| bring(file, content));
                    brought.extend(part.collect::<Result<Vec<_>, Error>>()?);
                }
                brought
            }
        };
        copy.files.extend(brought);
        let text = serde_json::to_vec(&copy.files).map_err(|e| Error::Machine(e.to_string()))?;
        write_file(&index, &text, 0o644, TIME)?;
        Ok(copy)
    }

    /// Copies one file, unless the copy has the same content.
    fn bring(
        &self,
        path: &str,
        seen: Seen,
        content: Vec<u8>,
        before: &Before,
        mutations: &[Mutation],
    ) -> Result<CopiedFile, Error> {
        let source = blake3::hash(&content);
        let mut copied = content;
        for mutation in mutations.iter().filter(|mutation| changes(mutation, path)) {
            copied = mutation.apply(path, &copied).map_err(Error::Usage)?;
        }
        let file = CopiedFile {
            source,
            copy: blake3::hash(&copied),
            len: copied.len() as u64,
            names_mode: modes::names_mode(path, &copied),
            seen,
        };
        let known = before.known.get(path);
        let is_there =
            known.is_some_and(|known| known.copy == file.copy) && before.holds(path, &file);
        if is_there {
            return Ok(file);
        }
        let target = self.part(Part::of(path)).join(path);
        if let Some(folder) = target.parent() {
            create_dir(folder)?;
        }
        match &file.seen.link {
            Some(link) => {
                remove_file(&target)?;
                std::os::unix::fs::symlink(link, &target).map_err(Error::io(&target, "create"))?;
            }
            None => write_file(&target, &copied, file.seen.mode, TIME)?,
        }
        Ok(file)
    }

    /// Distinguishes one content of these files from every other.
    #[must_use]
    pub fn fingerprint(&self, extent: Extent) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (path, file) in &self.files {
            if extent.parts().contains(&Part::of(path)) {
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

    /// Distinguishes the names of these files from any other.
    #[must_use]
    pub fn names(&self) -> blake3::Hash {
        hash_of_names(self.files.keys().map(Path::new))
    }

    /// A file whose code may tell the modes of LTO apart, if there is one.
    #[must_use]
    pub fn names_mode(&self) -> Option<&str> {
        let mut files = self.files.iter();
        files.find_map(|(path, file)| file.names_mode.then_some(path.as_str()))
    }

    /// The links that make a directory look like the source tree with these files.
    ///
    /// # Errors
    /// If the copy cannot be read.
    pub fn links(&self, extent: Extent) -> Result<BTreeMap<PathBuf, Entry>, Error> {
        let mut links = BTreeMap::new();
        for part in extent.parts() {
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
    /// If it is not there or cannot be read.
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

/// Whether the copy of a commit has a file, by its path from the top of the tree. `arches` as for
/// [`SourceCopy::of`].
#[must_use]
pub fn is_read(path: &str, arches: &[&str]) -> bool {
    find::is_wanted_of_commit(path, arches)
}

/// Whether `make prepare` may read a file of the copy.
#[must_use]
pub fn is_read_by_prepare(path: &str) -> bool {
    match Part::of(path) {
        Part::Early => true,
        Part::Late => false,
    }
}

/// Removes a file, and folders that are then empty: a makefile would see them.
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

#[cfg(test)]
mod tests;
