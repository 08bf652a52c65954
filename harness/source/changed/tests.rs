//! A prepared folder has the sources and the requested mutations, and no file of the user's
//! is written.

use std::fs;

use rstest::rstest;

use super::*;
use crate::build::dir_state::DirState;
use crate::build::process::Cancel;
use crate::input::mutation::Edit;
use crate::source::test_repository::Repository;

const MAIN: &str = "init/main.c";

fn mutation(file: &str, pattern: &str, replace: &str) -> Mutation {
    let mut mutation = crate::input::mutation::all().unwrap().remove(0);
    mutation.name = "test".to_owned();
    mutation.edits = vec![Edit {
        file: file.to_owned(),
        pattern: pattern.to_owned(),
        replace: replace.to_owned(),
    }];
    mutation
}

/// The kernel of the repository, as each kind of sources.
fn both(repository: &Repository) -> [Sources; 2] {
    let dir = repository.path();
    [
        Sources::directory(&dir, &[]).unwrap(),
        Sources::commit(&dir, "HEAD", &Cancel::new()).unwrap(),
    ]
}

fn main(dir: &Path) -> String {
    fs::read_to_string(dir.join(MAIN)).unwrap()
}

#[test]
fn a_directory_where_nothing_changes_is_used_as_it_is() {
    let repository = Repository::new();
    let [directory, commit] = both(&repository);
    let work = repository.beside("work");
    assert!(!directory.is_copied(&[], false));
    assert_eq!(directory.folder(&work).unwrap(), repository.path());
    assert_eq!(
        directory.prepare(&work, &[], false).unwrap(),
        repository.path()
    );
    assert!(!work.exists());
    assert!(commit.is_copied(&[], false));
    let dir = commit.prepare(&work, &[], false).unwrap();
    assert!(
        dir.starts_with(work.canonicalize().unwrap()),
        "{}",
        dir.display()
    );
    assert_eq!(main(&dir), main(&repository.path()));
}

#[test]
fn a_copy_has_the_mistakes_and_the_next_one_has_not() {
    let repository = Repository::new();
    let work = repository.beside("work");
    let before = DirState::of(&repository.path()).unwrap();
    for sources in both(&repository) {
        let mistakes = [
            mutation(MAIN, "int", "char"),
            mutation(MAIN, "main", "other"),
        ];
        let dir = sources.prepare(&work, &mistakes, false).unwrap();
        assert_eq!(main(&dir), "char other;\n", "{sources}");
        fs::write(dir.join("Kbuild"), "a scenario's edit").unwrap();
        fs::write(dir.join("added"), "").unwrap();

        assert_eq!(sources.prepare(&work, &[], true).unwrap(), dir);
        assert_eq!(main(&dir), "int main;\n", "{sources}");
        assert_eq!(fs::read(dir.join("Kbuild")).unwrap(), b"obj-y += init/\n");
        assert!(!dir.join("added").exists());
    }
    let after = DirState::of(&repository.path()).unwrap();
    let theirs = |state: &DirState| {
        let files = state.0.clone().into_iter();
        let files = files.filter(|(path, _)| !path.starts_with(".git/worktrees"));
        files.collect::<Vec<_>>()
    };
    assert_eq!(theirs(&after), theirs(&before));
}

#[rstest]
#[case::not_there("init/none.c")]
#[case::a_folder("init")]
#[case::above("../outside")]
#[case::through_a_link("leads/outside")]
#[case::a_link_out("leads-out")]
fn a_mistake_that_does_not_fit_is_told_and_nothing_outside_is_written(#[case] file: &str) {
    let repository = Repository::new();
    let work = repository.beside("work");
    for folder in [repository.beside(""), work.clone(), work.join(WORKTREES)] {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("outside"), "text").unwrap();
    }
    repository.link("leads", repository.beside("").to_str().unwrap());
    repository.link("leads-out", repository.beside("outside").to_str().unwrap());
    repository.commit("links");
    for sources in both(&repository) {
        let error = sources.prepare(&work, &[mutation(file, "text", "x")], false);
        let error = error.unwrap_err().to_string();
        let says = format!("{sources}: there is no {file}, which mutation test changes");
        assert!(error.contains(&says), "{error}");
    }
    let outside = [repository.beside(""), work.clone(), work.join(WORKTREES)];
    for folder in outside {
        assert_eq!(fs::read(folder.join("outside")).unwrap(), b"text");
    }
}
