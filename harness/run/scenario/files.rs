//! What the steps do to files, and how they find the objects that a change affects.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::equal::Contents;
use super::{Damage, Edit, Rebuilds};
use crate::build::dir_state::{
    DirState, SOURCE_TIME, create_dir, mirror, remove_file, set_modified, write_file,
};
use crate::model::error::Error;
use crate::tree::path::{cmd_file, normalise};

/// What the build made, beyond what was prepared.
pub(super) fn products(dir: &Path, prepared: &DirState) -> Result<Contents, Error> {
    DirState::of(dir)?.without(prepared).contents(dir)
}

pub(super) fn remove_products(dir: &Path, prepared: &DirState) -> Result<(), Error> {
    for path in DirState::of(dir)?.without(prepared).0.keys() {
        remove_file(&dir.join(path))?;
    }
    Ok(())
}

/// Copies a source tree for a build inside it. The tree may consist of links: links that
/// lead out of it are followed, links inside what they lead to are kept.
pub(super) fn copy_source(from: &Path, to: &Path) -> Result<(), Error> {
    create_dir(to)?;
    let entries = std::fs::read_dir(from).map_err(Error::io(from, "read"))?;
    for entry in entries {
        let entry = entry.map_err(Error::io(from, "read"))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let real = path.canonicalize().map_err(Error::io(&path, "read"))?;
        let is_link = entry
            .file_type()
            .map_err(Error::io(&path, "read"))?
            .is_symlink();
        match (real.is_dir(), is_link) {
            (true, true) => mirror(&real, &target)?,
            (true, false) => copy_source(&path, &target)?,
            (false, _) => {
                let content = std::fs::read(&real).map_err(Error::io(&real, "read"))?;
                let mode = std::fs::metadata(&real)
                    .map_err(Error::io(&real, "read"))?
                    .mode();
                write_file(&target, &content, mode, SOURCE_TIME)?;
            }
        }
    }
    Ok(())
}

/// Copies the `.gitignore` files of a source tree, except for a line that covers
/// everything: a packaged source, such as Debian's, appends one to the kernel's own file.
pub(super) fn lay_out_gitignore(source: &Path, to: &Path) -> Result<(), Error> {
    remove_file(to)?;
    create_dir(to)?;
    for path in DirState::of(source)?.0.keys() {
        if path.file_name().is_none_or(|name| name != ".gitignore") {
            continue;
        }
        let (from, file) = (source.join(path), to.join(path));
        let text = std::fs::read(&from).map_err(Error::io(&from, "read"))?;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let lines: Vec<u8> = lines
            .filter(|line| line.trim_ascii() != b"/*")
            .flatten()
            .copied()
            .collect();
        create_dir(file.parent().unwrap_or(to))?;
        std::fs::write(&file, lines).map_err(Error::io(&file, "write"))?;
    }
    Ok(())
}

/// Objects that have been compiled from a source since then.
pub(super) fn compiled_since(dir: &Path, before: &DirState) -> Result<BTreeSet<String>, Error> {
    let after = DirState::of(dir)?;
    let changed = after.changed_since(before).filter_map(Path::to_str);
    Ok(changed
        .filter(|path| is_compiled(dir, path))
        .map(str::to_owned)
        .collect())
}

/// Whether an object is compiled from a source, not linked from other objects.
pub(super) fn is_compiled(dir: &Path, object: &str) -> bool {
    object.ends_with(".o") && cmd_of(dir, object).is_some_and(|cmd| has_line(&cmd, "source_"))
}

pub(super) fn has_line(cmd: &[u8], start: &str) -> bool {
    cmd.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(start.as_bytes()))
}

pub(super) fn cmd_of(dir: &Path, object: &str) -> Option<Vec<u8>> {
    std::fs::read(dir.join(cmd_file(object))).ok()
}

/// The objects that a change affects.
pub(super) fn dependants(dir: &Path, before: &DirState, edit: &Edit) -> BTreeSet<String> {
    let compiled = || {
        let paths = before.0.keys().filter_map(|path| path.to_str());
        paths.filter(|path| is_compiled(dir, path))
    };
    match &edit.rebuilds {
        Some(Rebuilds::Objects(objects)) => return objects.iter().cloned().collect(),
        Some(Rebuilds::In(folder)) => {
            let is_in_folder = |object: &&str| Path::new(object).parent() == Some(folder);
            return compiled().filter(is_in_folder).map(str::to_owned).collect();
        }
        None => {}
    }
    let file = format!("/{}", edit.file);
    let names_it = |cmd: &[u8]| {
        let text = String::from_utf8_lossy(cmd);
        text.split_ascii_whitespace()
            .any(|word| normalise(word).ends_with(&file))
    };
    compiled()
        .filter(|object| cmd_of(dir, object).is_some_and(|cmd| names_it(&cmd)))
        .map(str::to_owned)
        .collect()
}

/// Damages a file. Returns whether it can be damaged so.
pub(super) fn do_damage(path: &Path, damage: Damage) -> Result<bool, Error> {
    let content = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    let write = |content: &[u8]| write_file(path, content, 0o644, now);
    match damage {
        Damage::Deleted => remove_file(path)?,
        Damage::Truncated => write(&content[..content.len() / 2])?,
        Damage::Garbage => write(b"garbage \x00\xff\n")?,
        Damage::TailLost | Damage::LastLineLost => {
            let Some(tail) = tail_of_cmd(&content) else {
                return Ok(false);
            };
            let line = content.trim_ascii_end().iter().rposition(|b| *b == b'\n');
            let line = line.map_or(0, |end| end + 1);
            let kept = match damage {
                Damage::TailLost => tail,
                _ => line,
            };
            write(&content[..kept])?;
        }
        Damage::Older => set_modified(path, SOURCE_TIME)?,
        Damage::Newer => set_modified(path, now)?,
    }
    Ok(true)
}

/// Where the lines of a `.cmd` file begin that were appended to what fixdep wrote, if there are
/// any.
fn tail_of_cmd(content: &[u8]) -> Option<usize> {
    let last_of_fixdep = memchr::memmem::rfind(content, b"\n$(deps_")? + 1;
    let end = last_of_fixdep + memchr::memchr(b'\n', &content[last_of_fixdep..])? + 1;
    (!content[end..].trim_ascii().is_empty()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXDEP: &str =
        "savedcmd_a.o := cc\n\ndeps_a.o := \\\n  a.h \\\n\na.o: $(deps_a.o)\n\n$(deps_a.o):\n";

    /// What is left of a `.cmd` file; `None` if it cannot be damaged so.
    fn left(content: &str, damage: Damage) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".a.o.cmd");
        std::fs::write(&file, content).unwrap();
        let done = do_damage(&file, damage).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(done, text != content);
        done.then_some(text)
    }

    #[test]
    fn a_cmd_file_loses_what_was_appended_or_its_last_line() {
        let full = format!("{FIXDEP}\nsaved_c_flags_a.o := -O2\n#SYMVER a 0x1\n#SYMVER b 0x2\n");
        let tail_lost = left(&full, Damage::TailLost);
        assert_eq!(tail_lost.as_deref(), Some(FIXDEP));
        let line_lost = left(&full, Damage::LastLineLost).unwrap();
        assert_eq!(format!("{line_lost}#SYMVER b 0x2\n"), full);
    }

    #[test]
    fn a_file_without_a_tail_keeps_its_lines() {
        for content in [FIXDEP, "savedcmd_a.o := ld\n", "", "a\nb\n"] {
            for damage in [Damage::TailLost, Damage::LastLineLost] {
                assert_eq!(left(content, damage), None, "{content}");
            }
        }
    }
}
