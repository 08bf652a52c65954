//! Removes from a build tree what would lead its readers and writers elsewhere, klto first: links
//! out of it, and files that are none, such as a pipe that is never written to.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::Complaint;
use crate::build::dir_state::remove_file;
use crate::model::error::Error;
use crate::model::finding::SANDBOX_PLANTED;

/// How many links are followed, as the kernel counts.
const LINKS: usize = 40;

/// Removes them and says what they were. Links into one of `inside` stay.
pub fn remove(dir: &Path, inside: &[&Path]) -> Result<Vec<Complaint>, Error> {
    let mut found = Vec::new();
    // All are looked at before one is removed: a link may lead out through another.
    for entry in WalkDir::new(dir).follow_links(false) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e)
                if e.io_error()
                    .is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) =>
            {
                continue;
            }
            Err(e) => return Err(Error::io(dir, "read")(e.into())),
        };
        let (path, kind) = (entry.path(), entry.file_type());
        let is = if kind.is_dir() || kind.is_file() {
            continue;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(path).map_err(Error::io(path, "read"))?;
            let led = led_to(path, &target, LINKS);
            if [dir]
                .iter()
                .chain(inside)
                .any(|folder| is_below(led.as_deref(), folder))
            {
                continue;
            }
            format!("a link to {}", target.display())
        } else if kind.is_fifo() {
            "a pipe".to_owned()
        } else if kind.is_socket() {
            "a socket".to_owned()
        } else {
            "a device".to_owned()
        };
        found.push((path.to_owned(), is));
    }
    let removed = found.into_iter().map(|(path, is)| {
        remove_file(&path)?;
        let below = path.strip_prefix(dir).unwrap_or(&path);
        Ok(Complaint {
            rule: &SANDBOX_PLANTED,
            object: below.display().to_string(),
            evidence: format!("{is}; it was removed"),
            before: None,
        })
    });
    removed.collect()
}

/// Where a link leads, as far as that exists, and by its words after that.
fn led_to(link: &Path, target: &Path, links: usize) -> Option<PathBuf> {
    let target = link.parent().unwrap_or(Path::new("/")).join(target);
    let mut rest = Vec::new();
    let mut exists = target.as_path();
    loop {
        if let Ok(real) = exists.canonicalize() {
            return Some(rest.iter().rev().fold(real, |path, part| path.join(part)));
        }
        // After what does not exist, '..' may lead anywhere.
        match exists.components().next_back() {
            Some(Component::Normal(part)) => rest.push(part.to_owned()),
            _ => return None,
        }
        // A link that leads to nothing is followed by whoever creates a file there.
        if std::fs::symlink_metadata(exists).is_ok_and(|meta| meta.is_symlink()) && exists != link {
            let next = std::fs::read_link(exists).ok()?;
            let known = led_to(exists, &next, links.checked_sub(1)?)?;
            return Some(
                rest.iter()
                    .rev()
                    .skip(1)
                    .fold(known, |path, part| path.join(part)),
            );
        }
        exists = exists.parent()?;
    }
}

fn is_below(path: Option<&Path>, folder: &Path) -> bool {
    let real = folder.canonicalize();
    let folder = real.as_deref().unwrap_or(folder);
    path.is_some_and(|path| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_leads_out_of_a_tree_is_removed_and_the_rest_stays() {
        let work = tempfile::tempdir().unwrap();
        let at = |path: &str| work.path().join(path);
        for folder in ["build/a", "source", "other"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("source/file"), "").unwrap();
        std::fs::write(at("other/file"), "").unwrap();
        let links = [
            ("stays-source", at("source")),
            ("stays-file", at("source/file")),
            ("stays-own", "a".into()),
            ("stays-dangling", "a/not-yet".into()),
            ("a/out", at("other/file")),
            ("a/out-by-dots", "../../other/file".into()),
            ("a/out-dangling", at("other/not-yet")),
            ("out-dangling-by-dots", "no/../../other".into()),
            ("out-by-a-folder", "a/up/file".into()),
            ("a/up", at("other")),
            ("out-by-a-dangling", "second".into()),
            ("second", at("other/not-yet")),
            ("self", "self".into()),
            ("round", "about".into()),
            ("about", "round".into()),
        ];
        for (link, target) in &links {
            symlink(target, at("build").join(link)).unwrap();
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("build/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();

        let found = remove(&at("build"), &[&at("source")]).unwrap();

        let mut objects: Vec<_> = found.iter().map(|c| c.object.as_str()).collect();
        objects.sort_unstable();
        let mut wanted: Vec<_> = links.iter().map(|(link, _)| *link).collect();
        wanted.retain(|link| !link.starts_with("stays") && *link != "self");
        wanted.push("pipe");
        wanted.sort_unstable();
        assert_eq!(objects, wanted, "{found:#?}");
        assert!(at("other/file").exists() && at("build/stays-dangling").is_symlink());
    }
}
