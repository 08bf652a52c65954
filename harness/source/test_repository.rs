//! A small kernel under git, for the tests beside it: a repository as a user has one,
//! whatever git is configured to do on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::commit::Commit;
use super::git::Git;
use crate::build::dir_state::remove_file;
use crate::build::process::{Cancel, Command, Exit, capture};

/// The files of the kernel's first commit.
const FILES: &[(&str, &str)] = &[
    (
        "Makefile",
        "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n",
    ),
    ("Kbuild", "obj-y += init/\n"),
    ("arch/Kconfig", "config LTO_CLANG_THIN_DIST\n"),
    ("scripts/config", "#!/bin/sh\n"),
    ("scripts/Makefile.build", "# build\n"),
    ("init/main.c", "int main;\n"),
    (".gitignore", "*.o\n"),
];

pub struct Repository {
    dir: TempDir,
}

impl Repository {
    /// A repository with one commit on the branch `main`, and nothing else.
    pub fn new() -> Repository {
        let repository = Repository {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (path, content) in FILES {
            repository.write(path, content);
        }
        repository.set_mode("scripts/config", 0o755);
        repository.commit("first");
        repository
    }

    /// The user's checkout.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("linux")
    }

    /// A path beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, path: &str, content: &str) {
        let file = self.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub fn remove(&self, path: &str) {
        remove_file(&self.path().join(path)).unwrap();
    }

    pub fn link(&self, path: &str, to: &str) {
        self.remove(path);
        std::os::unix::fs::symlink(to, self.path().join(path)).unwrap();
    }

    pub fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Commits all files as they are, and returns the commit's number.
    pub fn commit(&self, title: &str) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", title]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git as the user does, which must succeed, and returns what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        let (status, said) = git_in(&self.path(), args);
        assert_eq!(status, Exit::Success, "git {args:?}: {said}");
        said
    }

    /// Makes another repository of it, beside it, by `git clone` with these options.
    pub fn clone_with(&self, options: &[&str]) -> PathBuf {
        let target = self.beside("clone");
        let from = format!("file://{}", self.path().display());
        let to = target.to_str().unwrap();
        self.git(&[&["clone", "--quiet"], options, &[&from, to]].concat());
        target
    }

    pub fn find(&self, rev: &str) -> Commit {
        Commit::find(&open(&self.path()), rev).unwrap()
    }
}

pub fn open(dir: &Path) -> Git {
    Git::open(dir, &Cancel::new()).unwrap()
}

/// Runs git in a folder, as the user does. Returns both outputs.
pub fn git_in(dir: &Path, args: &[&str]) -> (Exit, String) {
    let mut command = Command::new("git")
        .args(args.iter().copied())
        .cwd(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_EDITOR", "true");
    for who in ["AUTHOR", "COMMITTER"] {
        command = command
            .env(format!("GIT_{who}_NAME"), "A Developer")
            .env(format!("GIT_{who}_EMAIL"), "dev@example.org")
            .env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    // Set where the tests run in a hook, or in `git rebase --exec`.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command = command.env_remove(name);
    }
    let done = capture(&command, None, &Cancel::new()).unwrap();
    let said = format!("{}{}", done.stdout, done.stderr);
    (done.status, said.trim_end().to_owned())
}
