//! The copy of a commit is what a copy of its checkout would be, and only what changed is
//! read for it.

use super::*;
use crate::build::process::Cancel;
use crate::source::test_repository::Repository;

const MAIN: &str = "init/main.c";

fn repository() -> Repository {
    let repository = Repository::new();
    repository.write(HEADER, "int a;\n");
    repository.write(LATE_FILE, "# back end\n");
    repository.write("arch/x86/Makefile", "# x86\n");
    repository.write("arch/sparc/kernel.c", "int sparc;\n");
    repository.write("drivers/net/net.c", "int net;\n");
    repository.write("drivers/net/Makefile", "obj-y += net.o\n");
    repository.write(".hidden/Makefile", "# of an editor\n");
    repository.link("include/link.h", "a.h");
    repository.commit("more");
    repository
}

fn sync_commit(repository: &Repository, rev: &str, copy: &Path) -> SourceCopy {
    sync_mutated(repository, rev, copy, &[]).unwrap()
}

fn sync_mutated(
    repository: &Repository,
    rev: &str,
    copy: &Path,
    mutations: &[Mutation],
) -> Result<SourceCopy, Error> {
    let sources = Sources::commit(&repository.path(), rev, &Cancel::new()).unwrap();
    SourceCopy::of(&sources, copy, &["x86"], mutations)
}

/// What a copy holds: all that a build sees, and its fingerprints.
fn state(copy: &SourceCopy) -> (Vec<BTreeMap<PathBuf, String>>, [blake3::Hash; 2]) {
    let parts = [Part::Early, Part::Late].map(|part| whole(&copy.part(part)));
    (
        parts.to_vec(),
        [Extent::ReadByPrepare, Extent::All].map(|extent| copy.fingerprint(extent)),
    )
}

/// Brings `copy` to the commit, and compares it with one that is made from nothing.
fn assert_in_step(repository: &Repository, rev: &str, copy: &Path, after: &str) {
    let fresh = tempfile::tempdir().unwrap();
    let fresh = sync_commit(repository, rev, fresh.path());
    let found = state(&sync_commit(repository, rev, copy));
    assert_eq!(found, state(&fresh), "after {after}");
}

#[test]
fn a_commit_and_its_checkout_have_one_fingerprint() {
    let repository = repository();
    let of_commit = sync_commit(&repository, "HEAD", &repository.beside("one"));
    let directory = Sources::directory(&repository.path(), &[]).unwrap();
    let copy = repository.beside("two");
    let of_directory = SourceCopy::of(&directory, &copy, &["x86"], &[]).unwrap();
    let paths = |copy: &SourceCopy| copy.paths().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(paths(&of_commit), paths(&of_directory));
    assert_eq!(state(&of_commit).1, state(&of_directory).1);
    assert!(paths(&of_commit).contains(&"scripts/config".to_owned()));
    assert!(paths(&of_commit).contains(&"drivers/net/Makefile".to_owned()));
    assert!(!paths(&of_commit).contains(&"drivers/net/net.c".to_owned()));
    for path in of_commit.paths() {
        assert_eq!(
            of_commit.read(path).unwrap(),
            of_directory.read(path).unwrap()
        );
    }
}

/// From one kind to the other and back in one copy: the content decides.
#[test]
fn a_copy_goes_from_a_directory_to_commits_and_back() {
    let repository = repository();
    let copy = repository.beside("copy");
    let directory = || {
        SourceCopy::of_files(Files::Directory(&repository.path()), &copy, &["x86"], &[]).unwrap()
    };
    let inode = |path: &str| fs::metadata(copy.join("early").join(path)).unwrap().ino();
    let first = state(&directory()).1;
    let before = inode(HEADER);
    assert_in_step(&repository, "HEAD", &copy, "a directory");
    assert_eq!(
        inode(HEADER),
        before,
        "the same content is not written again"
    );
    assert_eq!(state(&directory()).1, first);
    repository.write(HEADER, "int b;\n");
    assert_ne!(state(&directory()).1, first);
    assert_in_step(&repository, "HEAD", &copy, "an edited directory");
    assert_in_step(&repository, "HEAD~1", &copy, "a later commit");
    repository.git(&["checkout", "--quiet", "--force", "HEAD"]);
    assert_eq!(state(&directory()).1, first);
}

type Change = fn(&Repository);

#[rstest]
#[case::edited(|r: &Repository| r.write(HEADER, "int a, b;\n"))]
#[case::edited_to_the_same_size(|r: &Repository| r.write(HEADER, "int z;\n"))]
#[case::late(|r: &Repository| r.write(LATE_FILE, "# other\n"))]
#[case::added(|r: &Repository| r.write("include/more/b.h", ""))]
#[case::removed(|r: &Repository| r.remove("init"))]
#[case::executable(|r: &Repository| r.set_mode(MAIN, 0o755))]
#[case::not_executable(|r: &Repository| r.set_mode("scripts/config", 0o644))]
#[case::link_leads_elsewhere(|r: &Repository| r.link("include/link.h", "b.h"))]
#[case::link_to_file(|r: &Repository| {
    r.remove("include/link.h");
    r.write("include/link.h", "a.h");
})]
#[case::file_to_link(|r: &Repository| r.link(MAIN, "../include/a.h"))]
#[case::file_to_folder(|r: &Repository| {
    r.remove(MAIN);
    r.write("init/main.c/Makefile", "");
})]
#[case::folder_to_file(|r: &Repository| {
    r.remove("init");
    r.write("init", "");
})]
#[case::renamed(|r: &Repository| { r.git(&["mv", "include", "renamed"]); })]
fn a_copy_goes_from_commit_to_commit(#[case] change: Change) {
    let repository = repository();
    change(&repository);
    repository.commit("changed");
    let copy = repository.beside("copy");
    let before = sync_commit(&repository, "HEAD~1", &copy).fingerprint(Extent::All);
    let after = sync_commit(&repository, "HEAD", &copy).fingerprint(Extent::All);
    assert_ne!(before, after);
    for rev in ["HEAD", "HEAD~1", "HEAD"] {
        assert_in_step(&repository, rev, &copy, "the other commit");
    }
}

#[test]
fn only_what_changed_is_read() {
    let repository = repository();
    let copy = repository.beside("copy");
    sync_commit(&repository, "HEAD", &copy);
    repository.write(MAIN, "int changed;\n");
    repository.commit("changed");
    // What is read again now fails.
    for path in [HEADER, "include/link.h", "arch/x86/Makefile"] {
        let id = repository.git(&["rev-parse", &format!("HEAD:{path}")]);
        repository.remove(&format!(".git/objects/{}/{}", &id[..2], &id[2..]));
    }
    let synced = sync_commit(&repository, "HEAD", &copy);
    assert_eq!(synced.read(MAIN).unwrap(), b"int changed;\n");
    assert_eq!(synced.read(HEADER).unwrap(), b"int a;\n");
}

#[rstest]
#[case::absolute("include/out.h", "/etc/passwd")]
#[case::above("include/out.h", "../../out.h")]
fn a_link_that_leaves_the_tree_is_not_copied(#[case] path: &str, #[case] to: &str) {
    let repository = repository();
    repository.link(path, to);
    repository.link("include/in.h", "../init/./main.c");
    repository.commit("links");
    let copy = sync_commit(&repository, "HEAD", &repository.beside("copy"));
    let paths: Vec<&str> = copy.paths().filter(|p| p.starts_with("include/")).collect();
    assert_eq!(paths, [HEADER, "include/in.h", "include/link.h"]);
}

#[test]
fn mutations_are_made_in_the_copy_and_taken_back() {
    let repository = repository();
    let copy = repository.beside("copy");
    let clean = state(&sync_commit(&repository, "HEAD", &copy));
    let mutation = mutated::mutation(HEADER, "int a", "int z");
    let mutated = sync_mutated(&repository, "HEAD", &copy, &[mutation]).unwrap();
    assert_eq!(mutated.read(HEADER).unwrap(), b"int z;\n");
    assert_ne!(state(&mutated).1, clean.1);
    assert_eq!(state(&sync_commit(&repository, "HEAD", &copy)), clean);

    let no_file = mutated::mutation("include/none.h", "x", "y");
    let error = sync_mutated(&repository, "HEAD", &copy, &[no_file]).unwrap_err();
    let place = repository.find("HEAD").to_string();
    assert!(error.to_string().starts_with(&place), "{error}");
}

#[rstest]
#[case::edited(|dir: &Path| fs::write(dir.join(HEADER), "int a, b;\n").unwrap())]
#[case::deleted(|dir: &Path| fs::remove_dir_all(dir.join("include")).unwrap())]
#[case::file_in_place_of_a_link(|dir: &Path| {
    fs::remove_file(dir.join("include/link.h")).unwrap();
    fs::write(dir.join("include/link.h"), "").unwrap();
})]
#[case::index_lost(|dir: &Path| fs::remove_file(dir.join("../index.json")).unwrap())]
fn a_damaged_copy_of_a_commit_is_repaired(#[case] damage: fn(&Path)) {
    let repository = repository();
    let copy = repository.beside("copy");
    sync_commit(&repository, "HEAD", &copy);
    damage(&copy.join("early"));
    assert_in_step(&repository, "HEAD", &copy, "the damage");
}

#[rstest]
#[case::makefile("scripts/Makefile.build", true)]
#[case::makefile_of_a_driver("drivers/net/Makefile", true)]
#[case::new_file("scripts/new.sh", true)]
#[case::code_of_a_driver("drivers/net/net.c", false)]
#[case::documentation("Documentation/kbuild/kbuild.rst", false)]
#[case::hidden(".github/Makefile", false)]
fn git_knows_whether_two_copies_may_differ(#[case] path: &str, #[case] differs: bool) {
    let repository = repository();
    repository.write(path, "changed\n");
    repository.commit("changed");
    let sources = |rev| Sources::commit(&repository.path(), rev, &Cancel::new()).unwrap();
    let (earlier, later) = (sources("HEAD~1"), sources("HEAD"));
    let arches = ["x86"];
    assert_eq!(
        SourceCopy::may_differ(&earlier, &later, &arches).unwrap(),
        differs
    );
    assert_eq!(
        SourceCopy::may_differ(&later, &earlier, &arches).unwrap(),
        differs
    );
    assert!(!SourceCopy::may_differ(&later, &later, &arches).unwrap());
    let copy = repository.beside("copy");
    let print = |rev| sync_commit(&repository, rev, &copy).fingerprint(Extent::All);
    assert_eq!(print("HEAD~1") != print("HEAD"), differs);
}
