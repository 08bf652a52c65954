//! Distinguishes one content of the sources from every other, for the key of a whole
//! kernel's build. A commit has the number of its tree. So has a directory that is a
//! clean checkout; any other is read once: later runs read only files whose timestamps
//! changed, as git does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::copy::find::{UNSETTLED, stays_inside_tree};
use super::git::{CONVERTED, Git};
use super::sources::{Origin, Sources};
use crate::build::dir_state::{create_dir, remove_file};
use crate::build::process::Cancel;
use crate::model::error::Error;

impl Sources {
    /// The same for the same files: `tree:` and the number that git gives them, or
    /// `files:` and a hash. A directory that is not a clean checkout has its files'
    /// fingerprints kept in `cache`.
    ///
    /// # Errors
    /// If a file cannot be read, or the cache not be written.
    pub fn fingerprint(&self, cache: &Path, cancel: &Cancel) -> Result<String, Error> {
        match self.origin() {
            Origin::Commit(commit) => Ok(format!("tree:{}", commit.tree())),
            Origin::Directory(dir) => match clean_tree(dir, cancel)? {
                Some(tree) => Ok(format!("tree:{tree}")),
                None => Ok(format!("files:{}", of_files(dir, cache, cancel)?.to_hex())),
            },
        }
    }
}

/// The number of the tree that is checked out in `dir`, if only the files of that tree
/// are there, each as git stores it.
fn clean_tree(dir: &Path, cancel: &Cancel) -> Result<Option<String>, Error> {
    // Only the top of a checkout has it.
    if std::fs::symlink_metadata(dir.join(".git")).is_err() {
        return Ok(None);
    }
    let Ok(git) = Git::open(dir, cancel) else {
        return match cancel.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(None),
        };
    };
    // If git cannot answer, the files are read.
    let ask = |args: &[&str]| {
        let answer = git.ask(args.iter().copied())?;
        Ok::<_, Error>(answer.is_success.then_some(answer))
    };
    let is_silent = |args: &[&str]| Ok::<_, Error>(ask(args)?.is_some_and(|a| a.stdout.is_empty()));
    let Some(tree) = ask(&["rev-parse", "--verify", "--quiet", "HEAD^{tree}"])? else {
        return Ok(None);
    };
    let converts = ask(&["config", "--get", "core.autocrlf"])?;
    let is_as_stored = converts.is_none_or(|value| value.text() == "false")
        && is_silent(&CONVERTED)?
        && is_silent(&["for-each-ref", "--count=1", "refs/replace"])?;
    let status = [
        "status",
        "--porcelain",
        "-z",
        "--ignored",
        "--untracked-files=all",
    ];
    let status = [&status[..], &["--no-renames", "--ignore-submodules=none"]].concat();
    if !is_as_stored || !is_silent(&status)? {
        return Ok(None);
    }
    let Some(index) = ask(&["ls-files", "-z", "--stage", "-v"])? else {
        return Ok(None);
    };
    let tree = tree.text();
    let Some(sizes) = ask(&["ls-tree", "-r", "-z", "-l", "--full-tree", &tree])? else {
        return Ok(None);
    };
    let is_plain = entries(&index.stdout).all(|entry| is_looked_at(dir, entry));
    let is_whole = entries(&sizes.stdout).all(|entry| has_size(dir, entry));
    Ok((is_plain && is_whole).then_some(tree))
}

fn entries(listed: &[u8]) -> impl Iterator<Item = (&str, &Path)> {
    let entries = listed
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty());
    entries.map(|entry| {
        let tab = memchr::memchr(b'\t', entry).unwrap_or(entry.len());
        let head = std::str::from_utf8(&entry[..tab]).unwrap_or_default();
        let path = entry.get(tab + 1..).unwrap_or_default();
        (head, Path::new(std::ffi::OsStr::from_bytes(path)))
    })
}

/// Whether git looks at a file of its index (`H 100644 NUMBER 0`), and the file has all of
/// its content in the tree.
fn is_looked_at(dir: &Path, (head, path): (&str, &Path)) -> bool {
    let mut head = head.split(' ');
    // Another letter, or a small one: git assumes on request that it is unchanged.
    let is_normal = head.next() == Some("H");
    is_normal
        && match head.next() {
            Some("100644" | "100755") => true,
            Some("120000") => {
                let to = std::fs::read_link(dir.join(path)).ok();
                let to = to.as_deref().and_then(Path::to_str);
                let path = path.to_str();
                path.zip(to)
                    .is_some_and(|(path, to)| stays_inside_tree(path, to))
            }
            _ => false,
        }
}

/// Whether a file has the size that git knows (`100644 blob NUMBER SIZE`): it has another
/// if settings that are gone by now converted it, and git sees no change.
fn has_size(dir: &Path, (head, path): (&str, &Path)) -> bool {
    let size = head.rsplit(' ').next().and_then(|size| size.parse().ok());
    let meta = std::fs::symlink_metadata(dir.join(path));
    size.is_some() && meta.map(|meta| meta.len()).ok() == size
}

/// A file without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    len: u64,
    modified: i128,
    /// The inode's own time, which nobody can set.
    changed: i128,
    inode: u64,
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        let time = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            mode: meta.mode(),
            len: meta.len(),
            modified: time(meta.mtime(), meta.mtime_nsec()),
            changed: time(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        }
    }
}

type Known = BTreeMap<PathBuf, (Stamp, blake3::Hash)>;

/// A hash of everything below `dir` but for `.git` there: paths, modes and contents.
fn of_files(dir: &Path, cache: &Path, cancel: &Cancel) -> Result<blake3::Hash, Error> {
    let now = now();
    let known = load(cache, dir);
    // A half-written cache is never trusted.
    remove_file(cache)?;
    let mut found = Vec::new();
    let is_git = |entry: &walkdir::DirEntry| entry.depth() == 1 && entry.file_name() == ".git";
    let walk = WalkDir::new(dir).min_depth(1).into_iter();
    for entry in walk.filter_entry(|entry| !is_git(entry)) {
        match entry {
            Ok(entry) => found.push(entry.into_path()),
            Err(e) if is_gone(e.io_error()) => {}
            Err(e) => return Err(Error::io(dir, "read")(e.into())),
        }
    }
    let look = |file: PathBuf| {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let path = file.strip_prefix(dir).unwrap_or(&file).to_owned();
        let meta = match std::fs::symlink_metadata(&file) {
            Ok(meta) => meta,
            Err(e) if is_gone(Some(&e)) => return Ok(None),
            Err(e) => return Err(Error::io(file, "read")(e)),
        };
        let stamp = Stamp::of(&meta);
        let is_file = meta.is_file();
        let hash = match known.get(&path) {
            Some((known, hash)) if is_file && *known == stamp => *hash,
            _ => content(&file, &path, &meta, now)?,
        };
        Ok(Some((path, (stamp, hash))))
    };
    let files: Known = found
        .into_par_iter()
        .filter_map(|file| look(file).transpose())
        .collect::<Result<_, Error>>()?;
    let mut hasher = blake3::Hasher::new();
    for (path, (stamp, hash)) in &files {
        let path = path.as_os_str().as_bytes();
        hasher.update(&path.len().to_le_bytes()).update(path);
        hasher
            .update(&stamp.mode.to_le_bytes())
            .update(hash.as_bytes());
    }
    save(cache, dir, &files, now)?;
    Ok(hasher.finalize())
}

/// Whether a file was removed while it was read.
fn is_gone(error: Option<&std::io::Error>) -> bool {
    error.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// A hash of what a reader of `path` sees.
fn content(file: &Path, path: &Path, meta: &Metadata, now: i128) -> Result<blake3::Hash, Error> {
    if meta.is_symlink() {
        let to = std::fs::read_link(file).map_err(Error::io(file, "read"))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(to.as_os_str().as_bytes());
        let stays = path.to_str().zip(to.to_str());
        if !stays.is_some_and(|(path, to)| stays_inside_tree(path, to)) {
            match std::fs::metadata(file) {
                Ok(meta) if meta.is_file() => {
                    let content = std::fs::read(file).map_err(Error::io(file, "read"))?;
                    hasher.update(&[0]).update(&content);
                }
                // Its content is unknown: never the same again.
                Ok(_) => drop(hasher.update(&now.to_le_bytes())),
                Err(_) => {}
            }
        }
        return Ok(hasher.finalize());
    }
    if !meta.is_file() {
        return Ok(blake3::hash(b""));
    }
    let content = std::fs::read(file).map_err(Error::io(file, "read"))?;
    Ok(blake3::hash(&content))
}

fn now() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i128::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(i128::MAX)
}

/// The first line of a cache: its format, and of which directory it is.
fn title(dir: &Path) -> Vec<u8> {
    [b"klto files 1 ", dir.as_os_str().as_bytes(), b"\0"].concat()
}

/// What an earlier run knew; nothing if the cache is incomplete.
fn load(cache: &Path, dir: &Path) -> Known {
    let text = std::fs::read(cache).unwrap_or_default();
    let title = title(dir);
    let lines = text.strip_prefix(title.as_slice());
    let Some(lines) = lines.and_then(|lines| lines.strip_suffix(b"end\0")) else {
        return Known::new();
    };
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == 0).collect();
    lines.into_par_iter().filter_map(parse).collect()
}

/// `MODE LEN MODIFIED CHANGED INODE HASH PATH`.
fn parse(line: &[u8]) -> Option<(PathBuf, (Stamp, blake3::Hash))> {
    let mut fields = line.splitn(7, |byte| *byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let stamp = Stamp {
        mode: field()?.parse().ok()?,
        len: field()?.parse().ok()?,
        modified: field()?.parse().ok()?,
        changed: field()?.parse().ok()?,
        inode: field()?.parse().ok()?,
    };
    let hash = blake3::Hash::from_hex(field()?).ok()?;
    let path = PathBuf::from(OsString::from_vec(fields.next()?.to_owned()));
    Some((path, (stamp, hash)))
}

/// Keeps what can be trusted: a file that changed just now may change again, and show the
/// same times.
fn save(cache: &Path, dir: &Path, files: &Known, now: i128) -> Result<(), Error> {
    let unsettled = i128::try_from(UNSETTLED.as_nanos()).unwrap_or_default();
    let settled = files
        .iter()
        .filter(|(_, (stamp, _))| stamp.changed + unsettled < now);
    let mut text = title(dir);
    let mut head = String::new();
    for (path, (stamp, hash)) in settled {
        let Stamp {
            mode,
            len,
            modified,
            changed,
            inode,
        } = stamp;
        head.clear();
        // Writing to a string cannot fail.
        let _ = write!(
            head,
            "{mode} {len} {modified} {changed} {inode} {} ",
            hash.to_hex()
        );
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.push(0);
    }
    text.extend_from_slice(b"end\0");
    if let Some(folder) = cache.parent() {
        create_dir(folder)?;
    }
    std::fs::write(cache, text).map_err(Error::io(cache, "write"))
}

#[cfg(test)]
mod tests;
