//! The files of a directory tree: which there are, which of them changed, and how to restore
//! them. The scenarios and the probe are built on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, FileTimes};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::{DirEntry, WalkDir};

use crate::model::error::Error;

/// The mtime of the source files that klto writes, in nanoseconds since 1970: long before
/// anything is built from them.
pub const SOURCE_TIME: i128 = 1_600_000_000 * 1_000_000_000;

/// What git keeps in a source tree.
const GIT: &str = ".git";

/// Every file below a directory, by relative path. Directories are not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirState(pub BTreeMap<PathBuf, FileMeta>);

/// What identifies the state of a file without reading its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Bytes.
    pub len: u64,
    /// Nanoseconds since 1970; 0 for a symbolic link, because recreating it changes nothing.
    pub modified: i128,
    pub mode: u32,
    /// The target, if it is a symbolic link.
    pub link: Option<PathBuf>,
}

impl DirState {
    /// Reads the state of every file below `dir`; it is empty if there is no `dir`.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn of(dir: &Path) -> Result<DirState, Error> {
        DirState::of_but(dir, None)
    }

    /// The same of a source tree, without `.git`.
    ///
    /// # Errors
    /// As [`DirState::of`].
    pub fn of_sources(dir: &Path) -> Result<DirState, Error> {
        DirState::of_but(dir, Some(GIT))
    }

    /// The same without the entry of `dir` that is named `but`.
    fn of_but(dir: &Path, but: Option<&str>) -> Result<DirState, Error> {
        let mut files = BTreeMap::new();
        for entry in walk(dir, but) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) if is_gone(&e) => continue,
                Err(e) => return Err(Error::io(dir, "read")(e.into())),
            };
            if entry.file_type().is_dir() {
                continue;
            }
            let Ok(path) = entry.path().strip_prefix(dir) else {
                continue;
            };
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(e) if is_gone(&e) => continue,
                Err(e) => return Err(Error::io(entry.path(), "read")(e.into())),
            };
            let link = meta.is_symlink().then(|| std::fs::read_link(entry.path()));
            files.insert(
                path.to_owned(),
                FileMeta {
                    len: meta.len(),
                    modified: match meta.is_symlink() {
                        true => 0,
                        false => {
                            i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
                        }
                    },
                    mode: meta.mode(),
                    link: link.transpose().map_err(Error::io(entry.path(), "read"))?,
                },
            );
        }
        Ok(DirState(files))
    }

    /// The files that `earlier` does not have, or has in another state.
    pub fn changed_since<'a>(&'a self, earlier: &'a DirState) -> impl Iterator<Item = &'a Path> {
        self.0
            .iter()
            .filter(|(path, stamp)| earlier.0.get(*path) != Some(stamp))
            .map(|(path, _)| path.as_path())
    }

    /// The same without the files of `other`.
    #[must_use]
    pub fn without(mut self, other: &DirState) -> DirState {
        self.0.retain(|path, _| !other.0.contains_key(path));
        self
    }

    /// The hash of each file below `dir`; a file that no longer exists is left out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn contents(&self, dir: &Path) -> Result<BTreeMap<PathBuf, blake3::Hash>, Error> {
        let hash = |(path, stamp): (&PathBuf, &FileMeta)| {
            let content = match &stamp.link {
                Some(link) => Ok(link.as_os_str().as_encoded_bytes().to_vec()),
                None => std::fs::read(dir.join(path)),
            };
            match content {
                Ok(content) => Some(Ok((path.clone(), blake3::hash(&content)))),
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => Some(Err(Error::io(dir.join(path), "read")(e))),
            }
        };
        self.0.par_iter().filter_map(hash).collect()
    }
}

/// Everything below a directory, except its entry that is named `but`.
fn walk(dir: &Path, but: Option<&str>) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let is_wanted = move |entry: &DirEntry| {
        entry.depth() != 1 || but.is_none_or(|but| entry.file_name() != but)
    };
    WalkDir::new(dir)
        .follow_links(false)
        .into_iter()
        .filter_entry(is_wanted)
}

/// Whether an entry went while its folder was read.
#[must_use]
pub fn is_gone(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Makes `to` equal to `from`: directories, and files with content, times and modes. Files
/// with the same [`FileMeta`] are assumed to be equal, so whatever changes a file must
/// change its time or its size.
///
/// # Errors
/// When a file cannot be read or written.
pub fn mirror(from: &Path, to: &Path) -> Result<(), Error> {
    mirror_but(from, to, None)
}

/// The same for a source tree, without `.git`.
///
/// # Errors
/// As [`mirror`].
pub fn mirror_sources(from: &Path, to: &Path) -> Result<(), Error> {
    mirror_but(from, to, Some(GIT))
}

fn mirror_but(from: &Path, to: &Path, but: Option<&str>) -> Result<(), Error> {
    let (wanted, present) = (DirState::of_but(from, but)?, DirState::of(to)?);
    // Empty ones too: kbuild spells paths through empty directories.
    let dirs = dirs_below(from, but)?;
    for dir in dirs_below(to, None)?.difference(&dirs) {
        remove_file(&to.join(dir))?;
    }
    // Before directories are created: a link may be where one is to be.
    for path in present
        .0
        .keys()
        .filter(|path| !wanted.0.contains_key(*path))
    {
        remove_file(&to.join(path))?;
    }
    for dir in &dirs {
        create_dir(&to.join(dir))?;
    }
    for path in wanted.changed_since(&present) {
        let (source, target) = (from.join(path), to.join(path));
        let stamp = &wanted.0[path];
        remove_file(&target)?;
        match &stamp.link {
            Some(link) => {
                std::os::unix::fs::symlink(link, &target).map_err(Error::io(&target, "create"))?;
            }
            None => copy_file(&source, &target, stamp)?,
        }
    }
    Ok(())
}

/// What [`write_tree`] writes at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    File(Vec<u8>),
    Link(PathBuf),
}

/// Makes `dir` contain exactly these entries, every file with mode 0644 and the mtime
/// `modified`, in nanoseconds since 1970. Entries that are already correct are not touched.
///
/// # Errors
/// When it cannot be written.
pub fn write_tree(
    dir: &Path,
    entries: &BTreeMap<PathBuf, Entry>,
    modified: i128,
) -> Result<(), Error> {
    create_dir(dir)?;
    let dirs: BTreeSet<PathBuf> = entries
        .keys()
        .flat_map(|path| path.ancestors().skip(1))
        .map(Path::to_owned)
        .collect();
    for unwanted in dirs_below(dir, None)?.difference(&dirs) {
        remove_file(&dir.join(unwanted))?;
    }
    let present = DirState::of(dir)?;
    for path in present.0.keys().filter(|path| !entries.contains_key(*path)) {
        remove_file(&dir.join(path))?;
    }
    for below in &dirs {
        create_dir(&dir.join(below))?;
    }
    for (path, entry) in entries {
        let (file, stamp) = (dir.join(path), present.0.get(path));
        match entry {
            Entry::Link(to) if stamp.is_some_and(|s| s.link.as_ref() == Some(to)) => {}
            Entry::Link(to) => {
                remove_file(&file)?;
                std::os::unix::fs::symlink(to, &file).map_err(Error::io(&file, "create"))?;
            }
            Entry::File(content) => {
                let is_right = stamp.is_some_and(|stamp| {
                    let stamp = (stamp.modified, stamp.mode & 0o7777, &stamp.link);
                    stamp == (modified, 0o644, &None)
                }) && std::fs::read(&file).is_ok_and(|present| present == *content);
                if !is_right {
                    write_file(&file, content, 0o644, modified)?;
                }
            }
        }
    }
    Ok(())
}

/// The directory itself, if it exists, and every directory below it, by relative path.
fn dirs_below(dir: &Path, but: Option<&str>) -> Result<BTreeSet<PathBuf>, Error> {
    walk(dir, but)
        .filter(|entry| match entry {
            Ok(entry) => entry.file_type().is_dir(),
            Err(error) => !is_gone(error),
        })
        .map(|entry| {
            let entry = entry.map_err(|e| Error::io(dir, "read")(e.into()))?;
            let path = entry.into_path();
            Ok(path.strip_prefix(dir).map(Path::to_owned).unwrap_or(path))
        })
        .collect()
}

fn copy_file(source: &Path, target: &Path, stamp: &FileMeta) -> Result<(), Error> {
    std::fs::copy(source, target).map_err(Error::io(target, "write"))?;
    set_modified(target, stamp.modified)
}

/// Removes all entries of a folder except the newest `number`. Creates the folder if there is none.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn keep_newest(folder: &Path, number: usize) -> Result<(), Error> {
    create_dir(folder)?;
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
        let entry = entry.map_err(Error::io(folder, "read"))?;
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let modified = modified.map_err(Error::io(entry.path(), "read"))?;
        entries.push((modified, entry.path()));
    }
    entries.sort();
    for (_, path) in entries.iter().rev().skip(number) {
        remove_file(path)?;
    }
    Ok(())
}

/// Sets a file's mtime, in nanoseconds since 1970.
///
/// # Errors
/// When the file belongs to someone else.
pub fn set_modified(file: &Path, nanoseconds: i128) -> Result<(), Error> {
    let time =
        u64::try_from(nanoseconds).map_or(UNIX_EPOCH, |n| UNIX_EPOCH + Duration::from_nanos(n));
    set_times(file, time).map_err(Error::io(file, "set the time of"))
}

/// Sets the times of a file or a folder to now.
///
/// # Errors
/// When it does not exist or its times cannot be set.
pub fn touch(path: &Path) -> Result<(), Error> {
    set_times(path, SystemTime::now()).map_err(Error::io(path, "set the time of"))
}

fn set_times(file: &Path, time: SystemTime) -> std::io::Result<()> {
    // The time of a read-only file can be set through a handle that is open for reading.
    File::open(file)?.set_times(FileTimes::new().set_modified(time).set_accessed(time))
}

/// Writes a file with its mode and time.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(file: &Path, content: &[u8], mode: u32, modified: i128) -> Result<(), Error> {
    remove_file(file)?;
    std::fs::write(file, content).map_err(Error::io(file, "write"))?;
    let mode = std::fs::Permissions::from_mode(written_mode(mode));
    std::fs::set_permissions(file, mode).map_err(Error::io(file, "write"))?;
    set_modified(file, modified)
}

/// The mode that [`write_file`] gives a file: the given one, plus read and write for us.
#[must_use]
pub fn written_mode(mode: u32) -> u32 {
    mode & 0o777 | 0o600
}

/// What a folder takes on disk, in KiB; files that cannot be looked at do not count.
#[must_use]
pub fn disk_kib(dir: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    let blocks = entries.filter_map(|entry| entry.metadata().ok());
    blocks.map(|meta| meta.blocks()).sum::<u64>() / 2
}

/// Whether anything exists at a path, even a dangling link.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Creates a directory and its parents; replaces a file of that name.
///
/// # Errors
/// When it cannot be created.
pub fn create_dir(dir: &Path) -> Result<(), Error> {
    if std::fs::symlink_metadata(dir).is_ok_and(|m| !m.is_dir()) {
        remove_file(dir)?;
    }
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))
}

/// Removes a file, or a directory with its contents; it is not an error if there is none.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_file(path: &Path) -> Result<(), Error> {
    let is_dir = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    let removed = match is_dir {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn a_mirror_brings_back_what_was_changed_deleted_and_added() {
        let saved = tree(&[("a/x", "1"), ("a/y", "2"), ("z", "3")]);
        std::os::unix::fs::symlink("x", saved.path().join("a/link")).unwrap();
        std::fs::create_dir_all(saved.path().join("empty/inner")).unwrap();
        let work = tempfile::tempdir().unwrap();
        mirror(saved.path(), work.path()).unwrap();
        let before = DirState::of(work.path()).unwrap();
        assert_eq!(before, DirState::of(saved.path()).unwrap());

        std::fs::write(work.path().join("a/x"), "changed").unwrap();
        std::fs::remove_file(work.path().join("a/y")).unwrap();
        std::fs::remove_file(work.path().join("z")).unwrap();
        std::fs::create_dir(work.path().join("z")).unwrap();
        std::fs::write(work.path().join("z/new"), "new").unwrap();
        std::fs::remove_dir(work.path().join("empty/inner")).unwrap();
        std::fs::create_dir(work.path().join("a/more")).unwrap();
        mirror(saved.path(), work.path()).unwrap();

        assert_eq!(DirState::of(work.path()).unwrap(), before);
        assert_eq!(std::fs::read(work.path().join("a/x")).unwrap(), b"1");
        assert!(work.path().join("empty/inner").is_dir());
        assert!(!work.path().join("a/more").exists());
    }

    /// A build may have left them.
    #[test]
    fn a_mirror_does_not_follow_links_that_lead_out() {
        let saved = tree(&[("a/b/x", "1"), ("y", "2")]);
        let outside = tree(&[("b/x", "outside"), ("y", "outside")]);
        let work = tempfile::tempdir().unwrap();
        let before = DirState::of(outside.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), work.path().join("a")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("y"), work.path().join("y")).unwrap();
        mirror(saved.path(), work.path()).unwrap();
        assert_eq!(DirState::of(outside.path()).unwrap(), before);
        let made = DirState::of(work.path()).unwrap();
        assert_eq!(made, DirState::of(saved.path()).unwrap());
    }

    #[test]
    fn sources_are_mirrored_without_what_git_keeps() {
        let saved = tree(&[(".git/objects/x", "1"), ("a/.git", "2"), ("a/x", "3")]);
        let work = tempfile::tempdir().unwrap();
        mirror_sources(saved.path(), work.path()).unwrap();
        let found: Vec<_> = DirState::of(work.path()).unwrap().0.into_keys().collect();
        assert_eq!(found, ["a/.git", "a/x"].map(PathBuf::from));
        assert!(!work.path().join(".git").exists());
    }

    #[test]
    fn a_written_tree_has_only_its_entries_and_correct_ones_are_not_touched() {
        const TIME: i128 = 1_000_000_000;
        let dir = tree(&[
            ("time", "1"),
            ("content", "1"),
            ("unwanted/file", ""),
            ("a", "a directory is to be here"),
        ]);
        std::fs::create_dir(dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("target", dir.path().join("same")).unwrap();
        set_modified(&dir.path().join("content"), TIME).unwrap();
        let same = std::fs::symlink_metadata(dir.path().join("same")).unwrap();
        let file = |content: &str| Entry::File(content.into());
        let link = || Entry::Link("target".into());
        let entries = BTreeMap::from([
            ("time".into(), file("1")),
            ("content".into(), file("2")),
            ("a/b/new".into(), file("3")),
            ("link".into(), link()),
            ("moved".into(), link()),
            ("same".into(), link()),
        ]);
        write_tree(dir.path(), &entries, TIME).unwrap();

        let found = DirState::of(dir.path()).unwrap().0;
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            entries.keys().collect::<Vec<_>>()
        );
        for (path, entry) in &entries {
            let (file, stamp) = (dir.path().join(path), &found[path]);
            match entry {
                Entry::Link(to) => assert_eq!(stamp.link.as_ref(), Some(to)),
                Entry::File(content) => {
                    assert_eq!(std::fs::read(file).unwrap(), *content);
                    assert_eq!((stamp.modified, stamp.mode & 0o7777), (TIME, 0o644));
                }
            }
        }
        let still = std::fs::symlink_metadata(dir.path().join("same")).unwrap();
        assert_eq!(still.ino(), same.ino());
        assert!(!dir.path().join("unwanted").exists());
        let inode = |path| std::fs::metadata(dir.path().join(path)).unwrap().ino();
        let before = inode("content");
        write_tree(dir.path(), &entries, TIME).unwrap();
        assert_eq!(inode("content"), before);
    }

    #[test]
    fn a_change_of_time_size_or_target_is_seen() {
        let dir = tree(&[("same", "1"), ("time", "1"), ("size", "1")]);
        std::os::unix::fs::symlink("same", dir.path().join("link")).unwrap();
        let before = DirState::of(dir.path()).unwrap();
        set_modified(&dir.path().join("time"), 1_000_000_000).unwrap();
        let size = dir.path().join("size");
        std::fs::write(&size, "12").unwrap();
        set_modified(&size, before.0[Path::new("size")].modified).unwrap();
        remove_file(&dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("time", dir.path().join("link")).unwrap();
        std::fs::write(dir.path().join("new"), "").unwrap();

        let after = DirState::of(dir.path()).unwrap();
        let changed: Vec<_> = after.changed_since(&before).collect();
        assert_eq!(changed, ["link", "new", "size", "time"].map(Path::new));
        let new: Vec<_> = after.without(&before).0.into_keys().collect();
        assert_eq!(new, [Path::new("new")]);
    }
}
