//! git's own answer, whatever repositories and files are around.

use std::fs;

use rstest::rstest;

use super::*;

/// The files that are not covered, after the `.gitignore` files were written.
fn left(dir: &Path, ignore: &[(&str, &str)], files: &[&str]) -> Vec<String> {
    for (folder, text) in ignore {
        fs::create_dir_all(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join(".gitignore"), text).unwrap();
    }
    let files: Vec<&Path> = files.iter().map(Path::new).collect();
    let mut left: Vec<String> = not_ignored(dir, &files, &Cancel::new())
        .unwrap()
        .into_iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    left.sort();
    left
}

#[rstest]
#[case::nothing_covered(&[], &["a.o", "b/c.o"], &["a.o", "b/c.o"])]
#[case::suffix(&[("", "*.o\n")], &["a.o", "b/c.o", "b/c.a"], &["b/c.a"])]
#[case::dot_files(&[("", ".*\n")], &[".x.cmd", "b/.y.o.cmd", "z"], &["z"])]
#[case::top_alone(&[("", "/vmlinux\n")], &["vmlinux", "b/vmlinux"], &["b/vmlinux"])]
#[case::folder(&[("", "generated/\n")], &["b/generated/x", "generated", "y"], &["generated", "y"])]
#[case::in_a_folder(&[("b", "table.c\n")], &["table.c", "b/table.c", "b/d/table.c"], &["table.c"])]
#[case::taken_back(&[("", "*.o\n!keep.o\n")], &["a.o", "keep.o"], &["keep.o"])]
#[case::odd_names(&[("", "*.o\n")], &["a b", "c\"d", "\u{e9}", "e\nf", "-g"], &["-g", "a b", "c\"d", "e\nf", "\u{e9}"])]
#[case::no_file(&[("", "*.o\n")], &[], &[])]
fn files_that_no_line_covers_are_named(
    #[case] ignore: &[(&str, &str)],
    #[case] files: &[&str],
    #[case] wanted: &[&str],
) {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(left(dir.path(), ignore, files), wanted);
    assert_eq!(left(dir.path(), ignore, files), wanted, "asked again");
}

#[test]
fn what_lies_around_the_folder_is_not_asked() {
    let outer = tempfile::tempdir().unwrap();
    let repository = Git::at(outer.path(), &Cancel::new());
    repository.run(["init", "--quiet"]).unwrap();
    fs::write(outer.path().join(".gitignore"), "*\n").unwrap();
    let dir = outer.path().join("not/yet/there");
    assert_eq!(left(&dir, &[], &["a.o"]), ["a.o"]);
}

#[test]
fn what_lies_in_the_folder_besides_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("other"), "").unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    fs::write(dir.path().join(".git/HEAD"), "garbage").unwrap();
    assert_eq!(left(dir.path(), &[("", "x\n")], &["a.o", "x"]), ["a.o"]);
}

#[test]
fn an_interrupt_is_told_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let error = not_ignored(dir.path(), &[Path::new("a")], &cancel).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[test]
fn outside_a_repository_none_is_found_and_no_configuration_is_read() {
    let outer = tempfile::tempdir().unwrap();
    let repository = Git::at(outer.path(), &Cancel::new());
    repository.run(["init", "--quiet"]).unwrap();
    let set = ["config", "mailinfo.scissors", "true"];
    repository.run(set).unwrap();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let linked = outer.path().join("linked");
    std::os::unix::fs::symlink(&inner, &linked).unwrap();
    for dir in [inner, linked] {
        let git = Git::at(&dir.canonicalize().unwrap(), &Cancel::new()).isolated();
        let found = git.ask(["rev-parse", "--git-dir"]).unwrap();
        assert!(!found.is_success, "{}", found.text());
        let read = git.ask(["config", "--list", "--show-scope"]).unwrap();
        let foreign = read.text();
        let foreign = foreign.lines().find(|line| !line.starts_with("command"));
        assert_eq!(foreign, None);
    }
}
