//! Patches become the commits that their author had, and nothing of the user's changes.

use std::collections::BTreeMap;

use rstest::rstest;
use walkdir::WalkDir;

use super::*;
use crate::source::series::commits::pieces_between;
use crate::source::series::form;
use crate::source::test_repository::{Repository, open};

/// The mails of the commits after `base`, in order.
fn mails(repository: &Repository, base: &str) -> Vec<Vec<u8>> {
    let range = format!("{base}..HEAD");
    let listed = repository.git(&["rev-list", "--reverse", &range]);
    let mail = |id: &str| {
        let mail = repository.git(&["format-patch", "--stdout", "-1", id]);
        format!("{mail}\n").into_bytes()
    };
    listed.lines().map(mail).collect()
}

fn apply(own: &OwnRepository, mail: &[u8]) -> Result<Applied, Rejected> {
    let text = String::from_utf8_lossy(mail);
    let diff = text[text.find("\ndiff --git").unwrap() + 1..].as_bytes();
    let changes = &form::changes(diff).unwrap();
    own.apply(Patch {
        mail,
        diff,
        changes,
    })
    .unwrap()
}

fn all_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = WalkDir::new(dir).into_iter().map(Result::unwrap);
    let files = files.filter(|e| e.file_type().is_file());
    files
        .map(|e| (e.path().to_owned(), std::fs::read(e.path()).unwrap()))
        .collect()
}

fn own(repository: &Repository) -> OwnRepository {
    OwnRepository::open(&open(&repository.path()), &repository.beside("own")).unwrap()
}

/// A repository at its first commit, and the mails of two later ones.
fn series() -> (Repository, String, Vec<Vec<u8>>, String) {
    let repository = Repository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    repository.write("init/main.c", "int one;\nint main;\n");
    repository.commit("one");
    repository.write("init/main.c", "int one;\nint main;\nint two;\n");
    repository.write("init/new.c", "int new;\n");
    repository.commit("two");
    let mails = mails(&repository, &base);
    let tip = repository.git(&["rev-parse", "HEAD^{tree}"]);
    repository.git(&["reset", "--quiet", "--hard", &base]);
    (repository, base, mails, tip)
}

#[test]
fn a_series_becomes_the_commits_that_its_author_had() {
    let (repository, base, mails, tree) = series();
    let before = all_files(&repository.path());
    let own = own(&repository);
    own.start(&base).unwrap();
    let first = apply(&own, &mails[0]).unwrap();
    let second = apply(&own, &mails[1]).unwrap();
    assert!(!first.is_merged && !second.is_merged);
    let tip = Commit::find(own.git(), &second.commit).unwrap();
    assert_eq!(tip.tree(), tree);
    assert_eq!(all_files(&repository.path()), before);

    // The same patches on the same base are the same commits.
    own.start(&base).unwrap();
    assert_eq!(apply(&own, &mails[0]), Ok(first));
    assert_eq!(apply(&own, &mails[1]), Ok(second));
}

#[test]
fn a_patch_that_does_not_fit_tells_why_and_where() {
    let (repository, base, mails, _) = series();
    repository.write("init/main.c", "int other;\n");
    let other = repository.commit("other");
    let own = own(&repository);
    own.start(&other).unwrap();
    let rejected = apply(&own, &mails[0]).unwrap_err();
    assert!(
        rejected.why.contains("Merge conflict in init/main.c"),
        "{rejected:?}"
    );
    let (path, hunk) = rejected.hunk.unwrap();
    assert_eq!(path, "init/main.c");
    assert!(hunk.text.contains("+int one;"), "{hunk:?}");

    // The next series begins as if nothing had been.
    own.start(&base).unwrap();
    apply(&own, &mails[0]).unwrap();
    apply(&own, &mails[1]).unwrap();
}

#[test]
fn a_patch_that_was_made_on_another_commit_is_merged() {
    let repository = Repository::new();
    repository.write("init/main.c", "a\nb\nc\nd\ne\nf\ng\n");
    let base = repository.commit("letters");
    repository.write("init/main.c", "A\nb\nc\nd\ne\nf\ng\n");
    repository.commit("first");
    let mails = mails(&repository, &base);
    repository.git(&["reset", "--quiet", "--hard", &base]);
    repository.write("init/main.c", "a\nb\nC\nd\ne\nf\ng\n");
    let other = repository.commit("third");
    let own = own(&repository);
    own.start(&other).unwrap();
    let applied = apply(&own, &mails[0]).unwrap();
    assert!(applied.is_merged);
    let tip = Commit::find(own.git(), &applied.commit).unwrap();
    let read = tip.read_some(&["init/main.c"]).unwrap();
    assert_eq!(read["init/main.c"], b"A\nb\nC\nd\ne\nf\ng\n");
    own.start(&base).unwrap();
    assert!(!apply(&own, &mails[0]).unwrap().is_merged);
}

#[test]
fn what_a_crash_left_is_removed() {
    let (repository, base, mails, _) = series();
    let own_repository = own(&repository);
    let admin = own_repository.git().dir().join(".git");
    for left in ["index.lock", "HEAD.lock"] {
        std::fs::write(admin.join(left), "").unwrap();
    }
    std::fs::create_dir(admin.join("rebase-apply")).unwrap();
    std::fs::create_dir(own_repository.git().dir().join("init")).unwrap();
    std::fs::write(own_repository.git().dir().join("init/main.c"), "left\n").unwrap();
    own_repository.start(&base).unwrap();
    apply(&own_repository, &mails[0]).unwrap();

    // One that is damaged is made from nothing.
    std::fs::write(admin.join("HEAD"), "").unwrap();
    let again = own(&repository);
    again.start(&base).unwrap();
    apply(&again, &mails[0]).unwrap();
}

#[test]
fn a_patch_of_a_shallow_clone_is_applied() {
    let (repository, _, mails, _) = series();
    let clone = repository.clone_with(&["--depth=1"]);
    let own = OwnRepository::open(&open(&clone), &repository.beside("own")).unwrap();
    let head = Commit::find(&open(&clone), "HEAD").unwrap();
    own.start(head.id()).unwrap();
    apply(&own, &mails[0]).unwrap();
}

#[test]
fn a_range_is_commits_in_a_row() {
    let (repository, base, _, _) = series();
    repository.write("a", "a");
    let first = repository.commit("a");
    repository.write("b", "b");
    let second = repository.commit("b");
    let git = open(&repository.path());
    let find = |rev: &str| Commit::find(&git, rev).unwrap();
    let commits = |from: &str, to: &str| OwnRepository::commits(&git, &find(from), &find(to));
    assert_eq!(commits(&base, "HEAD").unwrap(), [first, second]);
    let error = commits("HEAD", "HEAD").unwrap_err().to_string();
    assert!(
        error.contains("expected a commit and a later one"),
        "{error}"
    );
    let error = commits("HEAD", &base).unwrap_err().to_string();
    assert!(error.contains("name the base first"), "{error}");

    repository.git(&["checkout", "--quiet", "-b", "side", &base]);
    repository.commit("c");
    repository.git(&["merge", "--quiet", "-m", "m", "main"]);
    let error = commits(&base, "HEAD").unwrap_err().to_string();
    assert!(error.contains("has a merge"), "{error}");
}

/// What is taken out may be next to what stays, and be all that a line was.
#[rstest]
#[case::neighbours("a\nb\nc\nd\n", "a2\nb\nc2\nd\n")]
#[case::removed_lines("a\nb\nc\nd\ne\n", "b\nd\n")]
#[case::added_around("b\n", "a\nb\nc\n")]
#[case::the_same_line_again("x\nx\nx\nx\n", "x\ny\nx\ny\nx\nx\n")]
#[case::without_an_end("a\nb\nc", "a\nb2\nc2")]
#[case::paragraphs("a\n", "a\n1\n\n2\n3\n\n4\n5\n\n6\n7\n8\n")]
#[case::emptied("a\nb\n", "")]
fn any_places_of_a_commit_can_be_taken_out(#[case] before: &str, #[case] after: &str) {
    let repository = Repository::new();
    repository.write("init/a.c", before);
    let parent = repository.commit("before");
    repository.write("init/a.c", after);
    repository.write("init/new.c", "int new;\n");
    let commit = repository.commit("after");
    let own = own(&repository);
    let pieces = pieces_between(own.git(), &parent, &commit)
        .unwrap()
        .unwrap();
    let tree = |rev: &str| {
        own.git()
            .run(["rev-parse", &format!("{rev}^{{tree}}")])
            .unwrap()
            .text()
    };
    let all: Vec<&Piece> = pieces.iter().collect();
    let without = own.without_all(&commit, &all).unwrap().unwrap();
    assert_eq!(tree(without.id()), tree(&parent));
    // Each can stay while all others go, whatever is around it.
    for kept in 0..all.len() {
        let mut others = all.clone();
        others.remove(kept);
        let without = own.without_all(&commit, &others).unwrap();
        assert!(without.is_some(), "{kept} of {}", all.len());
    }
}

/// The second line is between two that are the same.
#[rstest]
#[case::the_first(0, "x\ny\n")]
#[case::the_last(1, "y\nx\n")]
fn of_places_with_the_same_text_the_right_one_is_taken_out(
    #[case] place: usize,
    #[case] expected: &str,
) {
    let repository = Repository::new();
    repository.write("init/a.c", "x\n");
    let parent = repository.commit("before");
    repository.write("init/a.c", "y\nx\ny\n");
    let commit = repository.commit("after");
    let own = own(&repository);
    let pieces = pieces_between(own.git(), &parent, &commit)
        .unwrap()
        .unwrap();
    let without = own
        .without_all(&commit, &[&pieces[place]])
        .unwrap()
        .unwrap();
    let file = format!("{}:init/a.c", without.id());
    assert_eq!(
        own.git().run(["show", &file]).unwrap().stdout,
        expected.as_bytes()
    );
}

#[test]
fn a_commit_without_a_parent_is_not_reverted() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    let own = own(&repository);
    let said = own.revert(&first, &first).unwrap().unwrap_err();
    assert_eq!(said, "it has no parent");
}

/// Objects of the user's are gone: that a place cannot be taken out says nothing of the commit.
#[rstest]
#[case::read_by_the_patch("init/a.c")]
#[case::read_by_no_patch("init/new.c")]
fn what_the_user_does_not_have_any_more_is_no_patch_that_does_not_fit(#[case] lost: &str) {
    let repository = Repository::new();
    repository.write("init/a.c", "before\n");
    let parent = repository.commit("before");
    repository.write("init/a.c", "after\n");
    repository.write("init/new.c", "int new;\n");
    let commit = repository.commit("after");
    let own = own(&repository);
    let pieces = pieces_between(own.git(), &parent, &commit)
        .unwrap()
        .unwrap();
    let of_a: Vec<&Piece> = pieces.iter().filter(|p| p.path == "init/a.c").collect();
    let blob = repository.git(&["rev-parse", &format!("HEAD:{lost}")]);
    let (folder, file) = blob.split_at(2);
    std::fs::remove_file(
        repository
            .path()
            .join(".git/objects")
            .join(folder)
            .join(file),
    )
    .unwrap();
    let user = repository.path().display().to_string();
    for error in [
        own.without_all(&commit, &of_a).map(|_| ()).unwrap_err(),
        own.revert(&commit, &commit).map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Lacks(_)), "{error}");
        let said = error.to_string();
        assert!(said.starts_with(&format!("{user}: objects of ")), "{said}");
        assert!(said.contains(&format!("git -C {user} fsck")), "{said}");
    }
}
