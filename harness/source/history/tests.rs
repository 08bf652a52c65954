//! Ranges of small histories, against what git says of them.

use super::*;
use crate::source::test_repository::{Repository, open};
use rstest::rstest;

/// A branch with three commits was merged; a file with a name like a commit's number is among those
/// that changed.
fn merged() -> Repository {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    for name in ["a", "b", &"c".repeat(40)] {
        repository.write(name, "1\n");
        repository.commit(name);
    }
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("Makefile", "VERSION = 8\n");
    repository.commit("main 1");
    repository.git(&["merge", "--quiet", "--no-edit", "topic"]);
    repository.write("a", "2\n");
    repository.commit("last");
    repository
}

fn list(repository: &Repository, first_parent: bool, paths: &[&str]) -> Result<Range, Error> {
    let git = open(&repository.path());
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    Range::list(
        &git,
        Wanted {
            good: &[repository.find("main~3")],
            bad: &repository.find("main"),
            first_parent,
            paths: &paths,
        },
    )
}

#[test]
fn a_range_has_parents_before_children_and_what_each_changes() {
    let repository = merged();
    let range = list(&repository, false, &[]).unwrap();
    let files: Vec<&[String]> = range.commits.iter().map(|c| c.files.as_slice()).collect();
    let last = range.commits.len() - 1;
    assert_eq!(range.commits.len(), 6);
    assert_eq!(range.commits[last].id, repository.find("main").id());
    assert_eq!(range.commits[last].parents, [Some(last - 1)]);
    assert_eq!(files[last], ["a"]);
    let merge = &range.commits[last - 1];
    assert_eq!(merge.parents.len(), 2);
    let long = "c".repeat(40);
    assert_eq!(
        merge.files,
        ["a", "b", &long],
        "what its first parent did not have"
    );
    for (at, commit) in range.commits.iter().enumerate() {
        assert!(commit.parents.iter().flatten().all(|parent| *parent < at));
        let shown = repository.git(&["rev-parse", &format!("{}^@", commit.id)]);
        let parents = shown
            .lines()
            .map(|id| range.commits.iter().position(|c| c.id == id));
        assert_eq!(commit.parents, parents.collect::<Vec<_>>());
    }
    assert!(files.contains(&[long].as_slice()));
}

#[test]
fn of_a_merge_only_the_first_parent_counts_where_that_is_asked_for() {
    let range = list(&merged(), true, &[]).unwrap();
    assert_eq!(range.commits.len(), 3);
    assert_eq!(range.commits[0].parents, [None]);
    assert_eq!(range.commits[1].parents, [Some(0)]);
}

#[rstest]
#[case::one_file_and_the_merge(&["a"], 3)]
#[case::a_file_on_main_and_the_merge(&["Makefile"], 2)]
#[case::a_pattern(&["?"], 4)]
#[case::none(&["absent"], 0)]
fn commits_that_change_a_path_are_marked(#[case] paths: &[&str], #[case] expected: usize) {
    let range = list(&merged(), false, paths).unwrap();
    assert_eq!(range.commits.len(), 6, "the others are there, too");
    let of_paths = range.commits.iter().filter(|commit| commit.is_of_paths);
    assert_eq!(of_paths.count(), expected);
}

#[test]
fn paths_that_git_refuses_are_an_error_that_says_so() {
    let said = list(&merged(), false, &["../outside"])
        .unwrap_err()
        .to_string();
    assert!(said.contains("git cannot list the commits"), "{said}");
    assert!(said.contains("check the paths after '--'"), "{said}");
}

#[test]
fn a_commit_is_described_whatever_its_message_is() {
    let repository = Repository::new();
    repository.write("a", "1\n");
    repository.commit("subject: \u{1f600} %s\n\nbody");
    let commit = repository.find("main");
    let said = describe(commit.git(), commit.id()).unwrap();
    assert_eq!(said.commit, commit.id());
    assert_eq!(said.subject, "subject: \u{1f600} %s");
    assert!(
        said.author.ends_with('>') && said.date.contains('T'),
        "{said:?}"
    );
}
