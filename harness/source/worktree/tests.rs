//! A worktree has what the commit has, whatever a crash left; and nothing of the user's
//! changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rstest::rstest;
use walkdir::WalkDir;

use super::*;
use crate::build::process::Exit;
use crate::source::test_repository::{Repository, git_in, open};

const MAIN: &str = "init/main.c";

/// Two commits; in the second, `init/main.c` is changed and `new.c` is new.
fn history() -> Repository {
    let repository = Repository::new();
    repository.link("link", MAIN);
    repository.commit("link");
    repository.write(MAIN, "int changed;\n");
    repository.write("new.c", "int new;\n");
    repository.commit("changed");
    repository
}

fn check_out(repository: &Path, place: &Path, rev: &str) -> Result<Worktree, Error> {
    let git = open(repository);
    let worktree = Worktree::open(&git, place)?;
    worktree.check_out(&Commit::find(&git, rev)?)?;
    Ok(worktree)
}

/// Every file below a folder: its content, mode and time.
fn snapshot(dir: &Path, but: &[&str]) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    if !dir.exists() {
        return BTreeMap::new();
    }
    let entries = WalkDir::new(dir).into_iter().filter_entry(|entry| {
        let path = entry.path().strip_prefix(dir).unwrap();
        !but.iter().any(|but| path == Path::new(but))
    });
    let mut files = BTreeMap::new();
    for entry in entries
        .map(Result::unwrap)
        .filter(|e| !e.file_type().is_dir())
    {
        let meta = entry.metadata().unwrap();
        let content = match meta.is_symlink() {
            true => fs::read_link(entry.path())
                .unwrap()
                .into_os_string()
                .into_encoded_bytes(),
            false => fs::read(entry.path()).unwrap(),
        };
        let seen = (meta.mode(), meta.mtime(), meta.mtime_nsec(), content);
        files.insert(entry.into_path(), seen);
    }
    files
}

/// Compares the files with those that git lists for the commit.
fn assert_holds(worktree: &Worktree, repository: &Repository, rev: &str) {
    let dir = worktree.dir();
    let commit = repository.find(rev);
    let files = commit.files().unwrap();
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    let mut found: Vec<String> = snapshot(dir, &[".git"])
        .into_keys()
        .map(|path| path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, paths);
    for (path, content) in commit.read_some(&paths).unwrap() {
        let file = dir.join(&path);
        let meta = fs::symlink_metadata(&file).unwrap();
        let (kind, found) = match meta.is_symlink() {
            true => (
                "link",
                fs::read_link(&file)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
            ),
            false if meta.mode() & 0o100 != 0 => ("executable", fs::read(&file).unwrap()),
            false => ("plain", fs::read(&file).unwrap()),
        };
        assert_eq!(found, content, "{path}");
        assert_eq!(
            kind,
            format!("{:?}", files[&path].kind).to_lowercase(),
            "{path}"
        );
    }
    let empty = WalkDir::new(dir)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| {
            entry.file_type().is_dir() && fs::read_dir(entry.path()).unwrap().next().is_none()
        });
    assert_eq!(
        empty.map(walkdir::DirEntry::into_path).collect::<Vec<_>>(),
        [""; 0].map(PathBuf::from)
    );
}

#[test]
fn a_worktree_goes_from_commit_to_commit_and_rewrites_only_what_changed() {
    let repository = history();
    let place = repository.beside("work");
    let worktree = check_out(&repository.path(), &place, "HEAD").unwrap();
    assert_holds(&worktree, &repository, "HEAD");
    let changed = &[".git", MAIN, "new.c", "link"];
    let before = snapshot(worktree.dir(), changed);
    for rev in ["HEAD~1", "HEAD", "HEAD~2"] {
        let again = check_out(&repository.path(), &place, rev).unwrap();
        assert_eq!(again.dir(), worktree.dir());
        assert_holds(&again, &repository, rev);
    }
    check_out(&repository.path(), &place, "HEAD").unwrap();
    assert_eq!(snapshot(worktree.dir(), changed), before);
}

#[test]
fn what_somebody_changed_in_it_is_taken_back() {
    let repository = history();
    let place = repository.beside("work");
    let worktree = check_out(&repository.path(), &place, "HEAD").unwrap();
    let dir = worktree.dir();
    let time = fs::metadata(dir.join(MAIN)).unwrap().modified().unwrap();
    // The same size and time.
    fs::write(dir.join(MAIN), "int CHANGED;\n").unwrap();
    let file = fs::File::options()
        .write(true)
        .open(dir.join(MAIN))
        .unwrap();
    file.set_modified(time).unwrap();
    fs::set_permissions(dir.join("Kbuild"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(dir.join("new.c")).unwrap();
    fs::remove_file(dir.join("link")).unwrap();
    fs::write(dir.join("link"), MAIN).unwrap();
    fs::write(dir.join("ignored.o"), "").unwrap();
    fs::create_dir_all(dir.join("empty/inner")).unwrap();
    git_in(dir, &["init", "--quiet", "nested"]);
    fs::write(dir.join("nested/file"), "").unwrap();
    check_out(&repository.path(), &place, "HEAD").unwrap();
    assert_holds(&worktree, &repository, "HEAD");
}

type Change = fn(&Repository);

/// All that is the user's, before and after.
#[rstest]
#[case::clean(|_: &Repository| {})]
#[case::dirty(|r: &Repository| {
    r.write(MAIN, "int dirty;\n");
    r.write("staged", "");
    r.git(&["add", "staged"]);
    r.write("untracked", "");
})]
#[case::stashed(|r: &Repository| {
    r.write(MAIN, "int stashed;\n");
    r.git(&["stash", "--quiet"]);
})]
#[case::in_a_rebase(|r: &Repository| {
    r.git(&["checkout", "--quiet", "-b", "topic", "HEAD~1"]);
    r.write(MAIN, "int topic;\n");
    r.commit("topic");
    let (ended, _) = git_in(&r.path(), &["rebase", "main"]);
    assert_ne!(ended, Exit::Success);
    assert!(r.path().join(".git/rebase-merge").exists());
})]
#[case::in_a_bisect(|r: &Repository| { r.git(&["bisect", "start", "HEAD", "HEAD~2"]); })]
#[case::sparse(|r: &Repository| { r.git(&["sparse-checkout", "set", "init"]); })]
#[case::sparse_by_worktree_config(|r: &Repository| {
    r.git(&["config", "extensions.worktreeConfig", "true"]);
    r.git(&["sparse-checkout", "set", "--no-cone", "/init"]);
})]
#[case::relative_paths(|r: &Repository| { r.git(&["config", "worktree.useRelativePaths", "true"]); })]
#[case::split_index(|r: &Repository| { r.git(&["update-index", "--split-index"]); })]
#[case::crlf(|r: &Repository| {
    r.git(&["config", "core.autocrlf", "true"]);
    r.git(&["config", "core.eol", "crlf"]);
})]
#[case::signing(|r: &Repository| { r.git(&["config", "commit.gpgSign", "true"]); })]
#[case::a_stale_worktree_of_the_users(|r: &Repository| {
    r.git(&["worktree", "add", "--quiet", "--detach", "../stale"]);
    fs::remove_dir_all(r.beside("stale")).unwrap();
})]
#[case::hooks(|r: &Repository| {
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        r.write(&format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch \"$GIT_DIR/../hook-ran\" ../hook-ran; exit 1\n");
        r.set_mode(&format!(".git/hooks/{hook}"), 0o755);
    }
})]
fn nothing_of_the_users_is_touched(#[case] change: Change) {
    let repository = history();
    change(&repository);
    let dir = repository.path();
    let theirs = || {
        let git_folder = snapshot(&dir.join(".git"), &["objects", "worktrees"]);
        (git_folder, snapshot(&dir, &[".git"]))
    };
    // Git's own words come last: asking can write the index.
    let words = || {
        [
            &["status", "--porcelain"][..],
            &["stash", "list"],
            &["reflog"],
            &["branch", "-a"],
        ]
        .map(|args| git_in(&dir, args))
    };
    let said = words();
    let hook_ran = repository.beside("hook-ran");
    remove_file(&hook_ran).unwrap();
    let stale = || snapshot(&dir.join(".git/worktrees/stale"), &[]);
    let (before, stale_before) = (theirs(), stale());

    let place = repository.beside("work");
    let first = check_out(&dir, &place, "main~1").unwrap();
    assert_holds(&first, &repository, "main~1");
    let worktree = check_out(&dir, &place, "main").unwrap();
    assert_holds(&worktree, &repository, "main");
    assert_eq!(theirs(), before, "with the worktree");
    worktree.remove().unwrap();

    assert_eq!(theirs(), before);
    assert_eq!(stale(), stale_before);
    assert!(!hook_ran.exists());
    assert_eq!(words(), said);
    assert!(!worktree.dir().exists());
    let has_others = !stale_before.is_empty();
    assert_eq!(dir.join(".git/worktrees").exists(), has_others);
}

type Place = fn(&Repository) -> PathBuf;

#[rstest]
#[case::bare(|r: &Repository| r.clone_with(&["--bare"]))]
#[case::shallow(|r: &Repository| r.clone_with(&["--depth=1"]))]
#[case::linked_worktree(|r: &Repository| {
    r.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
    r.beside("linked")
})]
#[case::git_folder(|r: &Repository| r.path().join(".git"))]
#[case::no_checkout(|r: &Repository| r.clone_with(&["--no-checkout"]))]
#[case::odd_path(|r: &Repository| {
    let odd = r.beside("a b:\u{e9}'");
    fs::rename(r.clone_with(&[]), &odd).unwrap();
    odd
})]
fn every_kind_of_repository_gives_a_worktree(#[case] place: Place) {
    let repository = history();
    let dir = place(&repository);
    let worktree = check_out(&dir, &repository.beside("work"), "HEAD").unwrap();
    assert_holds(&worktree, &repository, "main");
    worktree.remove().unwrap();
}

/// What a crash leaves, of the folder and of what git keeps of it.
type Damage = fn(&Path, &Path);

#[rstest]
#[case::folder_gone(|dir: &Path, _: &Path| fs::remove_dir_all(dir).unwrap())]
#[case::place_gone(|dir: &Path, _: &Path| fs::remove_dir_all(dir.parent().unwrap()).unwrap())]
#[case::git_forgot_it(|_: &Path, admin: &Path| fs::remove_dir_all(admin).unwrap())]
#[case::link_to_git_gone(|dir: &Path, _: &Path| fs::remove_file(dir.join(".git")).unwrap())]
#[case::link_to_git_empty(|dir: &Path, _: &Path| fs::write(dir.join(".git"), "").unwrap())]
#[case::a_repository_in_its_place(|dir: &Path, _: &Path| {
    fs::remove_file(dir.join(".git")).unwrap();
    git_in(dir, &["init", "--quiet"]);
})]
#[case::index_locked(|_: &Path, admin: &Path| fs::write(admin.join("index.lock"), "").unwrap())]
#[case::head_locked(|_: &Path, admin: &Path| fs::write(admin.join("HEAD.lock"), "").unwrap())]
#[case::index_gone(|_: &Path, admin: &Path| fs::remove_file(admin.join("index")).unwrap())]
#[case::index_cut(|_: &Path, admin: &Path| fs::write(admin.join("index"), "DIRC").unwrap())]
#[case::head_empty(|_: &Path, admin: &Path| fs::write(admin.join("HEAD"), "").unwrap())]
#[case::head_garbage(|_: &Path, admin: &Path| fs::write(admin.join("HEAD"), "garbage\n").unwrap())]
#[case::half_added(|dir: &Path, admin: &Path| {
    fs::remove_dir_all(dir).unwrap();
    for file in ["HEAD", "commondir", "gitdir", "index"] {
        fs::remove_file(admin.join(file)).unwrap();
    }
    fs::write(admin.join("locked"), "initializing").unwrap();
})]
#[case::half_checked_out(|dir: &Path, admin: &Path| {
    fs::remove_file(admin.join("index")).unwrap();
    fs::remove_file(dir.join("Kbuild")).unwrap();
    fs::write(dir.join("new.c"), "").unwrap();
    fs::write(dir.join(MAIN), "int ch").unwrap();
    fs::write(admin.join("index.lock"), "DIRC").unwrap();
})]
fn what_a_crash_left_is_repaired(#[case] damage: Damage) {
    let repository = history();
    let place = repository.beside("work");
    let admins = repository.path().join(".git/worktrees");
    repository.git(&["worktree", "add", "--quiet", "--detach", "../stale"]);
    fs::remove_dir_all(repository.beside("stale")).unwrap();
    let worktree = check_out(&repository.path(), &place, "HEAD~1").unwrap();
    let name = worktree.dir().file_name().unwrap().to_owned();

    damage(worktree.dir(), &admins.join(&name));

    let worktree = check_out(&repository.path(), &place, "HEAD").unwrap();
    assert_holds(&worktree, &repository, "HEAD");
    let mut left: Vec<_> = fs::read_dir(&admins)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [name, "stale".into()]);
    repository.git(&["fsck"]);
    worktree.remove().unwrap();
    assert!(admins.join("stale").exists(), "the user's own stays");
}

/// A work directory that lies in a checkout of the user's.
#[test]
fn a_repository_around_the_worktree_is_left_alone() {
    let repository = history();
    repository.write("untracked", "the user's");
    repository.write(MAIN, "int dirty;\n");
    let place = repository.path().join("work");
    let worktree = check_out(&repository.path(), &place, "HEAD").unwrap();
    fs::remove_file(worktree.dir().join(".git")).unwrap();
    let commit = repository.find("HEAD");
    let answer = worktree.try_check_out(&commit).unwrap();
    assert!(!answer.is_success, "{answer:?}");
    check_out(&repository.path(), &place, "HEAD").unwrap();
    assert!(repository.path().join("untracked").exists());
    assert_eq!(
        fs::read(repository.path().join(MAIN)).unwrap(),
        b"int dirty;\n"
    );
}

#[test]
fn two_runs_at_once_have_each_their_own() {
    let repository = history();
    std::thread::scope(|scope| {
        for (name, rev) in [("one", "HEAD"), ("two", "HEAD~1"), ("three", "HEAD~2")] {
            let repository = &repository;
            scope.spawn(move || {
                let place = repository.beside(name);
                for _ in 0..3 {
                    let worktree = check_out(&repository.path(), &place, rev).unwrap();
                    assert_holds(&worktree, repository, rev);
                    worktree.remove().unwrap();
                    check_out(&repository.path(), &place, rev).unwrap();
                }
            });
        }
    });
}

#[test]
fn files_are_checked_out_as_the_commit_holds_them() {
    let repository = history();
    repository.git(&["config", "filter.x.smudge", "echo changed"]);
    repository.write("id.c", "$Id$\n");
    repository.commit("before the attributes");
    repository.write(".gitattributes", "*.c text eol=crlf ident filter=x\n");
    repository.commit("attributes");
    let place = repository.beside("work");
    let worktree = check_out(&repository.path(), &place, "HEAD").unwrap();
    assert_holds(&worktree, &repository, "HEAD");

    repository.write(".git/info/attributes", "*.c diff=cpp\n");
    check_out(&repository.path(), &place, "HEAD~1").unwrap();
    repository.write(".git/info/attributes", "*.c eol=crlf\n");
    let error = check_out(&repository.path(), &place, "HEAD").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("info/attributes: it makes git change files"),
        "{error}"
    );
}

#[test]
fn a_partial_clone_tells_what_is_missing_and_keeps_the_worktree() {
    let repository = history();
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = repository.clone_with(&["--filter=blob:none"]);
    let place = repository.beside("work");
    let worktree = check_out(&clone, &place, "HEAD").unwrap();
    let error = check_out(&clone, &place, "HEAD~1").unwrap_err();
    let says = error.to_string();
    assert!(matches!(error, Error::Lacks(_)), "{says}");
    assert!(
        says.contains("are missing") && says.contains("--refetch"),
        "{says}"
    );
    check_out(&clone, &place, "HEAD").unwrap();
    assert_holds(&worktree, &repository, "HEAD");
}
