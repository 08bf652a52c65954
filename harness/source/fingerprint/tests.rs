//! Other files have another fingerprint, whatever their timestamps say; the same files
//! are not read again.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::source::test_repository::Repository;

const MAIN: &str = "init/main.c";

fn fingerprint(repository: &Repository) -> String {
    let sources = Sources::directory(&repository.path(), &[]).unwrap();
    let cache = repository.beside("cache/files");
    sources.fingerprint(&cache, &Cancel::new()).unwrap()
}

fn tree(repository: &Repository, rev: &str) -> String {
    let tree = repository.git(&["rev-parse", &format!("{rev}^{{tree}}")]);
    format!("tree:{tree}")
}

/// A kernel without git.
fn plain() -> Repository {
    let repository = Repository::new();
    repository.link("link", MAIN);
    repository.remove(".git");
    repository
}

/// Waits until a later change of any file would be visible.
fn settle() {
    std::thread::sleep(UNSETTLED + Duration::from_millis(50));
}

fn set_modified(repository: &Repository, path: &str, time: SystemTime) {
    let file = fs::File::options()
        .write(true)
        .open(repository.path().join(path));
    file.unwrap().set_modified(time).unwrap();
}

fn modified(repository: &Repository, path: &str) -> SystemTime {
    fs::metadata(repository.path().join(path))
        .unwrap()
        .modified()
        .unwrap()
}

#[test]
fn a_commit_and_its_clean_checkout_have_the_number_of_the_tree() {
    let repository = Repository::new();
    assert_eq!(fingerprint(&repository), tree(&repository, "HEAD"));
    let commit = Sources::commit(&repository.path(), "HEAD", &Cancel::new()).unwrap();
    let cache = repository.beside("cache/of commits");
    let of_commit = commit.fingerprint(&cache, &Cancel::new()).unwrap();
    assert_eq!(of_commit, fingerprint(&repository));
    assert!(
        !repository.beside("cache").exists(),
        "nothing is kept for it"
    );
    // An edit that is undone.
    repository.write(MAIN, "int changed;\n");
    assert!(fingerprint(&repository).starts_with("files:"));
    repository.git(&["checkout", "--quiet", MAIN]);
    assert_eq!(fingerprint(&repository), tree(&repository, "HEAD"));
}

type Change = fn(&Repository);

/// What git itself would call clean, or not look at.
#[rstest]
#[case::edited(|r: &Repository| r.write(MAIN, "int changed;\n"))]
#[case::edited_to_the_same_size_and_time(|r: &Repository| {
    let time = modified(r, MAIN);
    r.write(MAIN, "int Main;\n");
    set_modified(r, MAIN, time);
})]
#[case::staged(|r: &Repository| {
    r.write(MAIN, "int changed;\n");
    r.git(&["add", MAIN]);
})]
#[case::untracked(|r: &Repository| r.write("new.c", ""))]
#[case::ignored(|r: &Repository| r.write("new.o", ""))]
#[case::excluded(|r: &Repository| {
    r.write(".git/info/exclude", "new.c\n");
    r.write("new.c", "");
})]
#[case::removed(|r: &Repository| r.remove(MAIN))]
#[case::mode(|r: &Repository| r.set_mode(MAIN, 0o755))]
#[case::mode_is_ignored(|r: &Repository| {
    r.git(&["config", "core.fileMode", "false"]);
    r.set_mode(MAIN, 0o755);
})]
#[case::times_are_ignored(|r: &Repository| {
    r.git(&["config", "core.checkStat", "minimal"]);
    r.git(&["config", "core.trustctime", "false"]);
    let time = modified(r, MAIN);
    r.write(MAIN, "int Main;\n");
    set_modified(r, MAIN, time);
})]
#[case::assumed_unchanged(|r: &Repository| {
    r.git(&["update-index", "--assume-unchanged", MAIN]);
    r.write(MAIN, "int changed;\n");
})]
#[case::skipped(|r: &Repository| {
    r.git(&["update-index", "--skip-worktree", MAIN]);
    r.write(MAIN, "int changed;\n");
})]
#[case::sparse(|r: &Repository| { r.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/init"]); })]
#[case::crlf(|r: &Repository| { r.git(&["config", "core.autocrlf", "input"]); })]
#[case::crlf_is_off_again(|r: &Repository| {
    r.git(&["config", "core.autocrlf", "true"]);
    r.remove(MAIN);
    r.git(&["checkout", "--quiet", MAIN]);
    set_modified(r, MAIN, UNIX_EPOCH);
    r.git(&["update-index", "--refresh"]);
    r.git(&["config", "core.autocrlf", "false"]);
    assert_eq!(r.git(&["status", "--porcelain"]), "", "git sees no change");
})]
#[case::filter(|r: &Repository| {
    r.git(&["config", "filter.x.clean", "echo 'int main;'"]);
    r.git(&["config", "filter.x.smudge", "cat"]);
    r.write(".git/info/attributes", "*.c filter=x\n");
    r.write(MAIN, "int changed;\n");
})]
#[case::replaced(|r: &Repository| {
    let blob = r.git(&["rev-parse", &format!("HEAD:{MAIN}")]);
    let other = r.git(&["rev-parse", "HEAD:Kbuild"]);
    r.git(&["replace", &blob, &other]);
})]
#[case::link_that_leaves_the_tree(|r: &Repository| {
    r.link("out", "../beside");
    r.commit("link");
})]
#[case::submodule(|r: &Repository| {
    let id = r.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{id},module");
    r.git(&["update-index", "--add", "--cacheinfo", &entry]);
    r.git(&["commit", "--quiet", "--message=submodule"]);
})]
#[case::nested_repository(|r: &Repository| {
    crate::source::test_repository::git_in(&r.path(), &["init", "--quiet", "nested"]);
    r.write("nested/file", "");
})]
#[case::no_commit(|r: &Repository| {
    r.remove(".git");
    r.git(&["init", "--quiet"]);
})]
#[case::git_is_broken(|r: &Repository| r.write(".git/HEAD", "garbage"))]
#[case::below_the_top(|r: &Repository| {
    let outer = r.beside("");
    crate::source::test_repository::git_in(&outer, &["init", "--quiet"]);
    r.remove(".git");
})]
fn what_is_no_clean_checkout_is_read(#[case] change: Change) {
    let repository = Repository::new();
    change(&repository);
    let found = fingerprint(&repository);
    assert!(found.starts_with("files:"), "{found}");
    assert_eq!(fingerprint(&repository), found);
}

#[rstest]
#[case::linked_worktree(|r: &Repository| {
    r.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
    r.git(&["worktree", "move", "../linked", "../moved"]);
    fs::rename(r.path(), r.beside("main")).unwrap();
    fs::rename(r.beside("moved"), r.path()).unwrap();
    let link = r.beside("main/.git/worktrees/linked");
    fs::write(r.path().join(".git"), format!("gitdir: {}\n", link.display())).unwrap();
})]
#[case::touched(|r: &Repository| set_modified(r, MAIN, UNIX_EPOCH))]
#[case::another_branch(|r: &Repository| { r.git(&["checkout", "--quiet", "-b", "topic"]); })]
#[case::attributes_for_diffs(|r: &Repository| r.write(".git/info/attributes", "*.c diff=cpp\n"))]
fn a_clean_checkout_is_told_as_one(#[case] change: Change) {
    let repository = Repository::new();
    let wanted = tree(&repository, "HEAD");
    change(&repository);
    assert_eq!(fingerprint(&repository), wanted);
}

#[rstest]
#[case::edited(|r: &Repository| r.write(MAIN, "int changed;\n"))]
#[case::edited_to_the_same_size_and_time(|r: &Repository| {
    let time = modified(r, MAIN);
    r.write(MAIN, "int Main;\n");
    set_modified(r, MAIN, time);
})]
#[case::replaced_by_the_same_size_and_time(|r: &Repository| {
    let time = modified(r, MAIN);
    r.write("new", "int Main;\n");
    set_modified(r, "new", time);
    fs::rename(r.path().join("new"), r.path().join(MAIN)).unwrap();
})]
#[case::added(|r: &Repository| r.write("new", ""))]
#[case::removed(|r: &Repository| r.remove(MAIN))]
#[case::renamed(|r: &Repository| {
    fs::rename(r.path().join(MAIN), r.path().join("init/other.c")).unwrap();
})]
#[case::folder_renamed(|r: &Repository| {
    fs::rename(r.path().join("init"), r.path().join("other")).unwrap();
})]
#[case::exchanged(|r: &Repository| {
    for (from, to) in [(MAIN, "x"), ("Kbuild", MAIN), ("x", "Kbuild")] {
        fs::rename(r.path().join(from), r.path().join(to)).unwrap();
    }
})]
#[case::mode(|r: &Repository| r.set_mode(MAIN, 0o755))]
#[case::link_leads_elsewhere(|r: &Repository| r.link("link", "Kbuild"))]
#[case::link_to_file(|r: &Repository| {
    r.remove("link");
    r.write("link", MAIN);
})]
#[case::file_to_link(|r: &Repository| r.link(MAIN, "../Kbuild"))]
#[case::file_to_folder(|r: &Repository| {
    r.remove(MAIN);
    r.write("init/main.c/file", "");
})]
#[case::folder_added(|r: &Repository| fs::create_dir(r.path().join("empty")).unwrap())]
#[case::in_a_hidden_folder(|r: &Repository| r.write(".hidden/file", ""))]
fn each_change_is_seen(#[case] change: Change) {
    let at_once = plain();
    let before = fingerprint(&at_once);
    change(&at_once);
    assert_ne!(fingerprint(&at_once), before, "changed at once");

    let later = plain();
    settle();
    let before = fingerprint(&later);
    assert_eq!(fingerprint(&later), before);
    change(&later);
    let after = fingerprint(&later);
    assert_ne!(after, before, "changed later");
    fs::remove_file(later.beside("cache/files")).unwrap();
    assert_eq!(fingerprint(&later), after, "read again");
}

#[test]
fn a_later_run_reads_only_what_changed() {
    let repository = plain();
    settle();
    let before = fingerprint(&repository);
    let cache = repository.beside("cache/files");
    let known = load(&cache, &repository.path());
    let path = Path::new(MAIN);
    assert_eq!(known[path].1, blake3::hash(b"int main;\n"));
    // The answer shows what is assumed about a file that was not read.
    let mut other = known.clone();
    other.get_mut(path).unwrap().1 = blake3::hash(b"other");
    save(&cache, &repository.path(), &other, i128::MAX / 2).unwrap();
    let believed = fingerprint(&repository);
    assert_ne!(believed, before);
    repository.write(MAIN, "int main;\n");
    assert_eq!(fingerprint(&repository), before);
}

/// A file that changed just now may change again and show the same times.
#[test]
fn what_changed_just_now_is_not_believed_the_next_time() {
    let repository = plain();
    settle();
    repository.write(MAIN, "int fresh;\n");
    fingerprint(&repository);
    let known = load(&repository.beside("cache/files"), &repository.path());
    assert!(!known.contains_key(Path::new(MAIN)));
    assert!(known.contains_key(Path::new("Kbuild")));
}

#[rstest]
#[case::empty(b"")]
#[case::garbage(b"\xff\xfe garbage")]
#[case::of_another_directory(b"klto files 1 /other\0end\0")]
fn a_cache_that_is_not_whole_is_not_used(#[case] content: &[u8]) {
    let repository = plain();
    settle();
    let before = fingerprint(&repository);
    let cache = repository.beside("cache/files");
    let whole = fs::read(&cache).unwrap();
    for content in [
        content,
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
    ] {
        fs::write(&cache, content).unwrap();
        assert_eq!(load(&cache, &repository.path()), Known::new());
        assert_eq!(fingerprint(&repository), before);
    }
}

#[test]
fn what_a_link_out_of_the_tree_leads_to_counts() {
    let repository = plain();
    let outside = repository.beside("outside");
    fs::write(&outside, "one").unwrap();
    symlink(&outside, repository.path().join("out")).unwrap();
    settle();
    let before = fingerprint(&repository);
    assert_eq!(fingerprint(&repository), before);
    fs::write(&outside, "two").unwrap();
    assert_ne!(fingerprint(&repository), before);
    fs::remove_file(&outside).unwrap();
    fs::create_dir(&outside).unwrap();
    assert_ne!(
        fingerprint(&repository),
        fingerprint(&repository),
        "nobody knows"
    );
}

#[test]
fn odd_names_are_kept_as_they_are() {
    let repository = plain();
    let odd = std::ffi::OsStr::from_bytes(b"a b\n\xff 1 2");
    fs::write(repository.path().join(odd), "odd").unwrap();
    fs::set_permissions(
        repository.path().join(odd),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    settle();
    let before = fingerprint(&repository);
    let known = load(&repository.beside("cache/files"), &repository.path());
    assert_eq!(known[Path::new(odd)].1, blake3::hash(b"odd"));
    assert_eq!(fingerprint(&repository), before);
}

#[test]
fn an_interrupt_is_told_as_one() {
    let cancel = Cancel::new();
    cancel.cancel();
    for repository in [plain(), Repository::new()] {
        let sources = Sources::directory(&repository.path(), &[]).unwrap();
        let error = sources
            .fingerprint(&repository.beside("cache"), &cancel)
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
}
