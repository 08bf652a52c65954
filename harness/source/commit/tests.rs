//! A commit is read as git has it, from any kind of repository, and what cannot be read
//! is reported with a remedy.

use rstest::rstest;

use super::*;
use crate::build::process::Cancel;
use crate::source::test_repository::{Repository, git_in, open};

fn error_of(dir: &Path, rev: &str) -> String {
    let found = Git::open(dir, &Cancel::new()).and_then(|git| Commit::find(&git, rev));
    let error = found
        .and_then(|commit| commit.files().cloned())
        .unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    error.to_string()
}

/// Makes a repository with two commits, and with the names that the cases ask for.
fn history() -> Repository {
    let repository = Repository::new();
    repository.git(&["tag", "v1"]);
    repository.git(&["tag", "--annotate", "--message=x", "annotated"]);
    repository.write("init/main.c", "int more;\n");
    repository.commit("second");
    repository.git(&["branch", "topic", "v1"]);
    repository
}

#[rstest]
#[case::branch("topic")]
#[case::tag("v1")]
#[case::annotated_tag("annotated")]
#[case::whole_name("refs/tags/v1")]
#[case::ancestor("HEAD~1")]
#[case::by_date("main@{1}")]
fn a_commit_is_named_in_any_way_that_git_knows(#[case] rev: &str) {
    let repository = history();
    let first = repository.git(&["rev-parse", "HEAD~1"]);
    let commit = repository.find(rev);
    assert_eq!(commit.id(), first);
    assert_eq!(commit.rev(), rev);
    assert_eq!(commit.short(), &first[..12]);
    let tree = repository.git(&["rev-parse", "HEAD~1^{tree}"]);
    assert_eq!(commit.tree(), tree);
    assert_eq!(repository.find(&first[..10]).id(), first);
    assert_eq!(repository.find(&first.to_uppercase()).id(), first);
}

#[rstest]
#[case::no_such_name("v9", "'v9' names no commit of this repository")]
#[case::no_such_number("0123456789012345678901234567890123456789", "names no commit")]
#[case::range("v1..main", "'v1..main' names no commit")]
#[case::empty("", "'' cannot name a commit")]
#[case::option("--all", "'--all' cannot name a commit")]
#[case::two_lines("main\nv1", "'main\\nv1' cannot name a commit")]
#[case::file("main:Makefile", "'main:Makefile' is a blob, not a commit")]
#[case::tree("main^{tree}", "'main^{tree}' is a tree, not a commit")]
fn a_name_that_leads_to_no_commit_is_told(#[case] rev: &str, #[case] says: &str) {
    let repository = history();
    let error = error_of(&repository.path(), rev);
    assert!(error.contains(says), "{error}");
    assert!(
        error.contains(repository.path().to_str().unwrap()),
        "{error}"
    );
    assert!(error.contains("\n  "), "a remedy: {error}");
}

#[test]
fn a_name_of_two_things_is_refused_with_both() {
    let repository = history();
    repository.git(&["branch", "v1"]);
    let error = error_of(&repository.path(), "v1");
    assert!(error.contains("'v1' names more than one thing"), "{error}");
    for whole in ["refs/heads/v1", "refs/tags/v1"] {
        assert!(error.contains(whole), "{error}");
        repository.find(whole);
    }
}

#[test]
fn a_short_number_of_two_commits_is_refused_with_both() {
    let repository = Repository::new();
    let mut first_digits = std::collections::BTreeMap::new();
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    let pair = (0..2000).find_map(|number| {
        let title = format!("{number}");
        let id = repository.git(&["commit-tree", "-m", &title, &tree]);
        let other = first_digits.insert(id[..4].to_owned(), id.clone());
        other.map(|other| (id, other))
    });
    let (one, other) = pair.unwrap();
    let error = error_of(&repository.path(), &one[..4]);
    assert!(error.contains("names more than one thing"), "{error}");
    assert!(
        error.contains(&one[..7]) && error.contains(&other[..7]),
        "{error}"
    );
}

#[test]
fn a_shallow_clone_tells_how_to_get_the_commit() {
    let repository = history();
    let first = repository.git(&["rev-parse", "v1"]);
    let clone = repository.clone_with(&["--depth=1"]);
    assert_eq!(Commit::find(&open(&clone), "HEAD").unwrap().rev(), "HEAD");
    for rev in [first.as_str(), "HEAD~1"] {
        let error = error_of(&clone, rev);
        assert!(
            error.contains("shallow") && error.contains("--unshallow"),
            "{error}"
        );
    }
}

/// Nothing is fetched, though the remote repository would give it.
#[rstest]
#[case::no_contents("--filter=blob:none", true)]
#[case::no_trees("--filter=tree:0", false)]
fn a_partial_clone_tells_what_is_missing(#[case] filter: &str, #[case] lists: bool) {
    let repository = history();
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = repository.clone_with(&["--no-checkout", filter]);
    let objects = || git_in(&clone, &["count-objects", "-v"]);
    let before = objects();
    let found = Commit::find(&open(&clone), "HEAD");
    let read = found.and_then(|commit| {
        assert!(lists, "no tree is there");
        commit.read_some(&["Makefile"])
    });
    let error = read.unwrap_err().to_string();
    assert!(error.contains("are missing"), "{error}");
    assert!(
        error.contains("partial") && error.contains("--refetch"),
        "{error}"
    );
    assert_eq!(objects(), before);
}

#[test]
fn a_lost_object_is_told() {
    let repository = history();
    let blob = repository.git(&["rev-parse", "HEAD:init/main.c"]);
    let object = format!(".git/objects/{}/{}", &blob[..2], &blob[2..]);
    repository.remove(&object);
    let commit = repository.find("HEAD");
    let error = commit.read_some(&["init/main.c"]).unwrap_err().to_string();
    assert!(error.contains(&blob) && error.contains("fsck"), "{error}");
}

#[test]
fn files_are_read_as_they_are_stored() {
    let repository = Repository::new();
    let odd = "folder/a b \u{e9}\n\"x\"\tend";
    repository.write(odd, "odd\r\n\0");
    repository.write("empty", "");
    repository.write(".gitattributes", "* text eol=crlf ident filter=x\n");
    repository.git(&["config", "filter.x.clean", "cat"]);
    repository.git(&["config", "filter.x.smudge", "echo changed"]);
    repository.write("id", "$Id$\n");
    repository.link("link", "folder/a b");
    repository.commit("odd files");

    let commit = repository.find("HEAD");
    let paths = [odd, "empty", "id", "link", "scripts/config", "no/such/file"];
    let read = commit.read_some(&paths).unwrap();

    let text = |path: &str| String::from_utf8_lossy(&read[path]).into_owned();
    assert_eq!(text("empty"), "");
    assert_eq!(text("id"), "$Id$\n");
    assert_eq!(text("link"), "folder/a b");
    assert_eq!(
        text(odd),
        "odd\n\0",
        "git has it with the ends of lines of Unix"
    );
    assert_eq!(read.len(), 5);
    let kind = |path: &str| commit.files().unwrap()[path].kind;
    assert_eq!(kind("link"), Kind::Link);
    assert_eq!(kind("scripts/config"), Kind::Executable);
    assert_eq!(kind("empty"), Kind::Plain);
}

#[test]
fn more_blobs_than_one_call_gives_are_read_in_their_order() {
    let repository = Repository::new();
    for number in 0..AT_ONCE + 10 {
        repository.write(&format!("many/{number}"), &format!("{}\n", number % 7));
    }
    repository.commit("many");
    let commit = repository.find("HEAD");
    let files = commit.files().unwrap();
    let many = files.iter().filter(|(path, _)| path.starts_with("many/"));
    let (paths, ids): (Vec<&String>, Vec<&str>) =
        many.map(|(path, blob)| (path, blob.id.as_str())).unzip();
    let contents = commit.contents(&ids).unwrap();
    assert_eq!(contents.len(), AT_ONCE + 10);
    for (path, content) in paths.iter().zip(contents) {
        let number: usize = path["many/".len()..].parse().unwrap();
        assert_eq!(content, format!("{}\n", number % 7).as_bytes());
    }
}

#[test]
fn a_submodule_is_no_file() {
    let repository = Repository::new();
    let id = repository.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{id},module");
    repository.git(&["update-index", "--add", "--cacheinfo", &entry]);
    repository.git(&["commit", "--quiet", "--message=submodule"]);
    let commit = repository.find("HEAD");
    assert!(!commit.files().unwrap().contains_key("module"));
    assert!(commit.files().unwrap().contains_key("Makefile"));
}

#[rstest]
#[case::above("..")]
#[case::here(".")]
#[case::git(".git")]
#[case::git_in_capitals(".GIT")]
fn a_path_that_no_checkout_can_have_is_refused(#[case] name: &str) {
    let repository = Repository::new();
    commit_folder(&repository, &[("100644", name)]);
    let error = error_of(&repository.path(), "refs/heads/hostile");
    assert!(
        error.contains(&format!("a file 'folder/{name}'")),
        "{error}"
    );
}

#[test]
fn a_file_that_is_a_folder_too_is_refused() {
    let repository = Repository::new();
    commit_folder(&repository, &[("120000", "x"), ("040000", "x")]);
    let error = error_of(&repository.path(), "refs/heads/hostile");
    assert!(error.contains("a file 'folder/x'"), "{error}");
}

/// Commits a folder with these entries, which git itself would not, as `hostile`.
fn commit_folder(repository: &Repository, entries: &[(&str, &str)]) {
    let id = |of: &str| repository.git(&["rev-parse", of]);
    let mut tree = Vec::new();
    for (mode, name) in entries {
        let id = match *mode {
            "040000" => id("HEAD:init"),
            _ => id("HEAD:Makefile"),
        };
        let bytes = (0..id.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap());
        tree.extend(format!("{} {name}\0", mode.trim_start_matches('0')).bytes());
        tree.extend(bytes);
    }
    let file = repository.beside("tree");
    std::fs::write(&file, tree).unwrap();
    let file = file.to_str().unwrap();
    let args = ["hash-object", "-w", "--literally", "-t", "tree", file];
    let folder = repository.git(&args);
    let top = repository.beside("top");
    std::fs::write(&top, format!("040000 tree {folder}\tfolder\n")).unwrap();
    let (status, tree) = git_in(
        &repository.path(),
        &["-c", "alias.tree=!git mktree <../top", "tree"],
    );
    assert_eq!(status, crate::build::process::Exit::Success, "{tree}");
    let commit = repository.git(&["commit-tree", "-m", "hostile", &tree]);
    repository.git(&["branch", "hostile", &commit]);
}
