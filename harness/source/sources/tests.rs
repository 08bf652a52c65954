//! The same kernel gives the same answers, from a directory and from a commit.

use std::fs;
use std::path::PathBuf;

use rstest::rstest;

use super::*;
use crate::source::test_repository::{Repository, git_in};

fn commit(repository: &Repository, rev: &str) -> Result<Sources, Error> {
    Sources::commit(&repository.path(), rev, &Cancel::new())
}

#[test]
fn a_directory_and_a_commit_of_it_are_one_kernel() {
    let repository = Repository::new();
    let id = repository.git(&["rev-parse", "HEAD"]);
    let directory = Sources::directory(&repository.path(), &[]).unwrap();
    let commit = commit(&repository, "HEAD").unwrap();
    for sources in [&directory, &commit] {
        assert_eq!(sources.version(), "7.3.0-rc7");
        assert!(sources.has_thin_dist());
        for (path, is_there) in [
            ("init/main.c", true),
            ("init", false),
            ("init/none.c", false),
        ] {
            assert_eq!(sources.has_file(path).unwrap(), is_there, "{path}");
        }
    }
    assert_eq!(directory.revision(), "7.3.0-rc7");
    let revision = format!("7.3.0-rc7-g{}", &id[..12]);
    assert_eq!(commit.revision(), revision);
    let shown = format!("{} at {}", repository.path().display(), &id[..12]);
    assert_eq!(commit.to_string(), shown);
}

#[test]
fn what_is_checked_out_does_not_matter_to_a_commit() {
    let repository = Repository::new();
    repository.write("Makefile", "all:\n");
    repository.write(".config", "built in-tree\n");
    repository.remove("Kbuild");
    assert_eq!(commit(&repository, "HEAD").unwrap().version(), "7.3.0-rc7");
    assert!(Sources::directory(&repository.path(), &[]).is_err());
}

#[test]
fn a_kernel_before_distributed_thinlto_has_none() {
    let repository = Repository::new();
    repository.write("arch/Kconfig", "config LTO_CLANG_THIN\n");
    repository.commit("before");
    assert!(!commit(&repository, "HEAD").unwrap().has_thin_dist());
    assert!(commit(&repository, "HEAD~1").unwrap().has_thin_dist());
}

#[rstest]
#[case("Makefile")]
#[case("Kbuild")]
#[case("scripts/config")]
#[case("scripts/Makefile.build")]
#[case("arch/Kconfig")]
fn a_commit_that_lacks_a_file_of_every_kernel_is_refused(#[case] file: &str) {
    let repository = Repository::new();
    repository.remove(file);
    repository.commit("no kernel");
    let error = commit(&repository, "HEAD").unwrap_err().to_string();
    let says = format!("('HEAD') is not a kernel: it has no {file}\n  ");
    assert!(error.contains(&says), "{error}");
}

#[test]
fn a_version_leads_out_of_no_folder() {
    let repository = Repository::new();
    repository.write(
        "Makefile",
        "VERSION =\nPATCHLEVEL =\nEXTRAVERSION = /../a b:c\n",
    );
    repository.commit("hostile");
    let id = repository.git(&["rev-parse", "--short=12", "HEAD"]);
    let revision = commit(&repository, "HEAD").unwrap().revision();
    assert_eq!(revision, format!("--..-a-b-c-g{id}"));
}

/// What a user may point at, made of a repository.
type Place = fn(&Repository) -> PathBuf;

#[rstest]
#[case::dirty(|repository: &Repository| {
    repository.write("init/main.c", "int changed;\n");
    repository.write("untracked", "");
    repository.git(&["rm", "--quiet", "Kbuild"]);
    repository.path()
})]
#[case::bare(|repository: &Repository| repository.clone_with(&["--bare"]))]
#[case::mirror(|repository: &Repository| repository.clone_with(&["--mirror"]))]
#[case::shallow(|repository: &Repository| repository.clone_with(&["--depth=1"]))]
#[case::git_folder(|repository: &Repository| repository.path().join(".git"))]
#[case::borrows_objects(|repository: &Repository| repository.clone_with(&["--shared"]))]
#[case::linked_worktree(|repository: &Repository| {
    repository.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
    repository.beside("linked")
})]
#[case::no_checkout(|repository: &Repository| repository.clone_with(&["--no-checkout"]))]
#[case::sparse(|repository: &Repository| {
    repository.git(&["sparse-checkout", "set", "init"]);
    repository.path()
})]
#[case::crlf(|repository: &Repository| {
    repository.git(&["config", "core.autocrlf", "true"]);
    repository.path()
})]
#[case::in_a_rebase(|repository: &Repository| {
    repository.write("init/main.c", "int one;\n");
    repository.commit("one");
    repository.git(&["branch", "topic", "HEAD~1"]);
    repository.git(&["checkout", "--quiet", "topic"]);
    repository.write("init/main.c", "int two;\n");
    repository.commit("two");
    assert_ne!(git_in(&repository.path(), &["rebase", "main"]).0, crate::build::process::Exit::Success);
    repository.git(&["checkout", "--quiet", "--force", "main~1"]);
    assert!(repository.path().join(".git/rebase-merge").exists());
    repository.path()
})]
fn a_commit_is_found_in_every_kind_of_repository(#[case] place: Place) {
    let repository = Repository::new();
    let place = place(&repository);
    let sources = Sources::commit(&place, "HEAD", &Cancel::new()).unwrap();
    assert_eq!(sources.version(), "7.3.0-rc7");
    assert!(sources.has_file("init/main.c").unwrap());
}

#[rstest]
#[case::no_folder(|repository: &Repository| repository.beside("none"), "no such directory")]
#[case::no_repository(|repository: &Repository| {
    let dir = repository.beside("plain");
    fs::create_dir(&dir).unwrap();
    dir
}, "not a git repository: git says")]
#[case::folder_within(|repository: &Repository| repository.path().join("init"), "the folder init/ of one")]
#[case::no_commit_yet(|repository: &Repository| {
    let dir = repository.beside("new");
    fs::create_dir(&dir).unwrap();
    git_in(&dir, &["init", "--quiet"]);
    dir
}, "'HEAD' names no commit")]
fn what_is_no_repository_is_told(#[case] place: Place, #[case] says: &str) {
    let repository = Repository::new();
    let place = place(&repository);
    let error = Sources::commit(&place, "HEAD", &Cancel::new()).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains(says) && error.contains("\n  "), "{error}");
    assert!(error.contains(place.to_str().unwrap()), "{error}");
}

/// Only root can give a folder away.
#[test]
fn a_repository_of_another_user_is_refused_in_the_words_of_git() {
    let repository = Repository::new();
    let git_folder = repository.path().join(".git");
    for dir in [repository.path(), git_folder] {
        if std::os::unix::fs::chown(dir, Some(12345), None).is_err() {
            return;
        }
    }
    let error = commit(&repository, "HEAD").unwrap_err().to_string();
    assert!(error.contains("dubious ownership"), "{error}");
    assert!(error.contains("safe.directory"), "{error}");
}
