//! What git says of files, without a repository of the user's.

use std::path::{Path, PathBuf};

use crate::build::dir_state::{create_dir, remove_file};
use crate::build::kbuild::process_error;
use crate::build::process::{self, Cancel, Command, Exit};
use crate::model::error::Error;

/// The `files` that no `.gitignore` in `dir` covers. `dir` holds nothing else that
/// matters, and a repository is made in it.
///
/// # Errors
/// Where git is missing or fails.
pub fn not_ignored(dir: &Path, files: &[&Path], cancel: &Cancel) -> Result<Vec<PathBuf>, Error> {
    create_dir(dir)?;
    for file in files {
        let file = dir.join(file);
        if let Some(folder) = file.parent() {
            create_dir(folder)?;
        }
        std::fs::write(&file, "").map_err(Error::io(&file, "write"))?;
    }
    remove_file(&dir.join(".git"))?;
    // A template of the user's could exclude files, too.
    git(dir, &["init", "--quiet", "--template="], cancel)?;
    let listed = git(
        dir,
        &["ls-files", "-z", "--others", "--exclude-standard"],
        cancel,
    )?;
    let listed: Vec<PathBuf> = listed
        .split('\0')
        .filter(|f| !f.is_empty())
        .map(PathBuf::from)
        .collect();
    Ok(listed
        .into_iter()
        .filter(|file| files.contains(&file.as_path()))
        .collect())
}

fn git(dir: &Path, args: &[&str], cancel: &Cancel) -> Result<String, Error> {
    // The user's own excludes would hide what the kernel's do not cover.
    let mut command = Command::new("git")
        .args(["-c", "core.excludesFile=/dev/null", "-C"])
        .arg(dir)
        .args(args.iter().copied());
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ] {
        command = command.env(name, value);
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command = command.env_remove(name);
    }
    let done = process::capture(&command, None, cancel).map_err(process_error)?;
    match done.status {
        Exit::Success => Ok(done.stdout),
        Exit::Cancelled => Err(Error::Cancelled),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut | Exit::Stopped => Err(Error::Machine(
            format!("git {} failed: {}", args.join(" "), done.stderr.trim()),
        )),
    }
}

#[cfg(test)]
mod tests;
