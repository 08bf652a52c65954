//! Which files the copy has, found in a directory or in a commit.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use walkdir::{DirEntry, WalkDir};

use super::{CopiedFile, Seen, Stamp};
use crate::model::error::Error;
use crate::source::commit::{Commit, Kind};

/// A file that changed this short a time ago may change again within one tick of the
/// file system's clock, and show the same time.
pub const UNSETTLED: Duration = Duration::from_secs(2);

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

/// Every file of a directory that is to be copied.
pub(super) fn in_directory(
    source: &Path,
    arches: &[&str],
) -> Result<BTreeMap<String, Seen>, Error> {
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
        // No file of a kernel has a name that is not UTF-8.
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

/// Every file of a commit that is to be copied: what a checkout of it would give.
pub(super) fn in_commit(
    commit: &Commit,
    arches: &[&str],
    known: &BTreeMap<String, CopiedFile>,
) -> Result<BTreeMap<String, Seen>, Error> {
    let mut files = BTreeMap::new();
    let mut links = Vec::new();
    for (path, blob) in commit.files()? {
        if !is_wanted_of_commit(path, arches) {
            continue;
        }
        let mut seen = Seen {
            stamp: Stamp::Blob(blob.id.clone()),
            mode: match blob.kind {
                Kind::Plain => 0o100_644,
                Kind::Executable => 0o100_755,
                Kind::Link => 0o120_777,
            },
            link: None,
        };
        if blob.kind == Kind::Link {
            let known = known
                .get(path)
                .filter(|known| known.seen.stamp == seen.stamp);
            seen.link = known.and_then(|known| known.seen.link.clone());
            if seen.link.is_none() {
                links.push((path, seen));
                continue;
            }
        }
        files.insert(path.clone(), seen);
    }
    let ids: Vec<&str> = links.iter().filter_map(|(_, seen)| seen.blob()).collect();
    for (content, (path, seen)) in commit.contents(&ids)?.into_iter().zip(&links) {
        // What lies outside of the tree is not in the commit.
        let link = String::from_utf8(content).ok();
        if let Some(link) = link.filter(|link| stays_inside_tree(path, link)) {
            let link = Some(link);
            files.insert(
                (*path).clone(),
                Seen {
                    link,
                    ..seen.clone()
                },
            );
        }
    }
    Ok(files)
}

/// Whether a file of a commit is to be copied.
pub(super) fn is_wanted_of_commit(path: &str, arches: &[&str]) -> bool {
    let in_hidden = path
        .rsplit_once('/')
        .is_some_and(|(folder, _)| folder.split('/').any(|name| name.starts_with('.')));
    !in_hidden && is_wanted(path, arches)
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
            // A link that leads outside is copied as a file.
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
        stamp: Stamp::File {
            len: meta.len(),
            modified: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            changed,
            inode: meta.ino(),
            settled: changed + i128::try_from(UNSETTLED.as_nanos()).unwrap_or(0) < now,
        },
        mode: meta.mode(),
        link,
    }))
}

/// Whether nobody can read that file, not even a makefile.
fn leads_nowhere(error: &std::io::Error) -> bool {
    let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_loop || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether a link at `path` leads to somewhere in the tree.
pub fn stays_inside_tree(path: &str, link: &str) -> bool {
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
