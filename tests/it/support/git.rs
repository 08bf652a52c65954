//! git as a user has it, whatever is configured on this machine, and the files of a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

use crate::support::program::finish;

/// A call of git in a folder, by a developer whose commits have the same numbers in every run.
pub fn git_in(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "A Developer")
            .env(format!("GIT_{who}_EMAIL"), "dev@example.org")
            .env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    // Set where the tests run in a hook, or in `git rebase --exec`.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    command
}

/// Runs git, which must succeed, and returns what it printed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let ended = finish(git_in(dir).args(args));
    assert_eq!(ended.code, Some(0), "git {args:?}");
    ended.stdout
}

/// Every file below a folder, with its content.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = WalkDir::new(dir).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}
