//! The base of a series, from what is said and from what its patches show.

use rstest::rstest;

use super::*;
use crate::source::test_repository::{Repository, open};

const MAIN: &str = "init/main.c";

/// Three commits that change a file, the second of them tagged; and one that changes another.
fn history() -> (Repository, Vec<String>) {
    let repository = Repository::new();
    let mut commits = Vec::new();
    for content in ["one", "two", "three"] {
        repository.write(MAIN, content);
        commits.push(repository.commit(content));
        if content == "two" {
            repository.git(&["tag", "v7.3"]);
        }
    }
    repository.write("other", "x");
    commits.push(repository.commit("other"));
    (repository, commits)
}

/// What a patch to a file says that has this content before.
fn change(repository: &Repository, rev: &str, path: &str) -> FileChange {
    let blob = repository.git(&["rev-parse", &format!("{rev}:{path}")]);
    FileChange {
        path: path.to_owned(),
        blob: Some(blob[..12].to_owned()),
        ..FileChange::default()
    }
}

fn found(
    repository: &Repository,
    given: Option<&str>,
    wanted: &Wanted,
    applies: &[&str],
) -> (String, String, Vec<String>) {
    let git = open(&repository.path());
    let base = find(&git, given, wanted, &mut |commit| {
        Ok(applies.contains(&commit.id()))
    });
    let base = base.unwrap();
    (base.commit.id().to_owned(), base.why, base.passed_over)
}

#[test]
fn what_the_user_says_goes_first() {
    let (repository, commits) = history();
    let wanted = Wanted {
        commit: Some(commits[0].clone()),
        ..Wanted::default()
    };
    let (commit, why, _) = found(&repository, Some("v7.3"), &wanted, &[]);
    assert_eq!(
        (commit, why.as_str()),
        (commits[1].clone(), "which --base names")
    );
}

#[test]
fn the_commit_that_the_mail_names_is_taken_if_it_is_there() {
    let (repository, commits) = history();
    let mut wanted = Wanted {
        commit: Some(commits[0].clone()),
        changes: vec![change(&repository, "HEAD", MAIN)],
        ..Wanted::default()
    };
    let head: &str = &commits[3];
    let (commit, why, over) = found(&repository, None, &wanted, &[head]);
    assert_eq!(
        (&commit, why.as_str()),
        (&commits[0], "which its base-commit line names")
    );
    assert!(over.is_empty());

    for missing in ["1".repeat(40), "--help".to_owned()] {
        wanted.commit = Some(missing);
        let (commit, _, over) = found(&repository, None, &wanted, &[head]);
        assert_eq!(commit, head);
        assert!(
            over[0].contains("which this repository does not have"),
            "{over:?}"
        );
    }
}

#[test]
fn what_the_series_needs_is_found_in_any_branch() {
    let (repository, commits) = history();
    repository.git(&["checkout", "--quiet", "-b", "needed", &commits[0]]);
    repository.write("needed", "x");
    let needed = repository.commit("needed");
    repository.git(&["checkout", "--quiet", "main"]);
    let git = open(&repository.path());
    let diff = git.run(["show", &needed]).unwrap().stdout;
    let id = git.succeed(&git.command(["patch-id", "--stable"]).input(diff));
    let id = id.unwrap().text()[..40].to_owned();
    let mut wanted = Wanted {
        commit: Some(commits[0].clone()),
        prerequisites: vec!["2".repeat(40), id],
        changes: Vec::new(),
    };
    let (commit, why, _) = found(&repository, None, &wanted, &[&needed]);
    assert_eq!(commit, needed);
    assert!(why.contains("says it needs"), "{why}");

    // Without them the series may still apply.
    wanted.prerequisites = vec!["2".repeat(40)];
    let (commit, ..) = found(&repository, None, &wanted, &[&commits[0]]);
    assert_eq!(commit, commits[0]);
    let (_, _, over) = found(&repository, None, &wanted, &[]);
    assert!(over[0].contains("needs other patches"), "{over:?}");
}

#[rstest]
#[case::head("HEAD", 3, "HEAD, which has")]
#[case::older("HEAD~2", 1, "the newest commit with the contents")]
fn the_contents_that_patches_name_show_the_commit(
    #[case] rev: &str,
    #[case] expected: usize,
    #[case] said: &str,
) {
    let (repository, commits) = history();
    let mut second = change(&repository, "HEAD", MAIN);
    second.blob = Some("123456789abc".to_owned());
    let wanted = Wanted {
        // The later patch names what the earlier one made.
        changes: vec![change(&repository, rev, MAIN), second],
        ..Wanted::default()
    };
    let all: Vec<&str> = commits.iter().map(String::as_str).collect();
    let (commit, why, _) = found(&repository, None, &wanted, &all);
    assert_eq!(commit, commits[expected]);
    assert!(why.contains(said), "{why}");
}

#[test]
fn a_branch_that_is_not_checked_out_can_have_the_contents() {
    let (repository, commits) = history();
    repository.git(&["checkout", "--quiet", "-b", "side", &commits[0]]);
    repository.write(MAIN, "side");
    let side = repository.commit("side");
    let wanted = Wanted {
        changes: vec![change(&repository, "HEAD", MAIN)],
        ..Wanted::default()
    };
    repository.git(&["checkout", "--quiet", "main"]);
    let (commit, ..) = found(&repository, None, &wanted, &[&side]);
    assert_eq!(commit, side);
}

#[test]
fn without_contents_the_nearest_release_or_head_is_taken() {
    let (repository, commits) = history();
    repository.git(&["tag", "v7.2", &commits[0]]);
    repository.git(&["tag", "not-a-release", &commits[2]]);
    let wanted = Wanted::default();
    let (commit, why, _) = found(&repository, None, &wanted, &[&commits[0], &commits[1]]);
    assert_eq!(commit, commits[1]);
    assert!(why.contains("v7.3"), "{why}");
    let (commit, why, _) = found(&repository, None, &wanted, &[&commits[0]]);
    assert_eq!(commit, commits[0], "{why}");
    let (commit, why, _) = found(&repository, None, &wanted, &[]);
    assert_eq!(commit, commits[3]);
    assert!(why.starts_with("HEAD"), "{why}");
}
