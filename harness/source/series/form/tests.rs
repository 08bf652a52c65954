//! What a patch changes, and the forms that are refused.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// A patch of one line to a file, with `head` between the first line and the content.
fn patch(old: &str, new: &str, head: &str) -> String {
    format!("diff --git {old} {new}\n{head}--- {old}\n+++ {new}\n@@ -3 +3 @@\n-x\n+y\n")
}

#[test]
fn a_patch_tells_its_files_and_hunks() {
    let text = "kbuild: x\n\n--- not a file\n---\n a | 2 +-\n\n\
        diff --git a/scripts/a b/scripts/a\nindex 1234abc..5678def 100644\n\
        --- a/scripts/a\n+++ b/scripts/a\n@@ -1,2 +1,3 @@ ctx\n x\n--- b\n+++ c\n+d\n\
        @@ -9 +10 @@\n-e\n+f\n\\ No newline at end of file\n\
        diff --git a/old b/new\nsimilarity index 100%\nrename from old\nrename to new\n\
        diff --git a/gone b/gone\ndeleted file mode 100644\nindex 1111111..0000000\n\
        --- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
        diff --git a/fresh b/fresh\nnew file mode 100755\nindex 0000000..1111111\n\
        --- /dev/null\n+++ b/fresh\n@@ -0,0 +1 @@\n+x\n-- \n2.47\n";
    let changes = changes(text.as_bytes()).unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|c| {
            let hunks: Vec<_> = c.hunks.iter().map(|h| (h.old_start, h.new_start)).collect();
            (c.path.as_str(), c.from.as_deref(), c.blob.as_deref(), hunks)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("scripts/a", None, Some("1234abc"), vec![(1, 1), (9, 10)]),
            ("new", Some("old"), None, vec![]),
            ("gone", None, Some("1111111"), vec![(1, 0)]),
            ("fresh", None, None, vec![(0, 1)]),
        ]
    );
    // Lines of a hunk that look like heads are its content.
    assert_eq!(
        changes[0].hunks[0].text,
        "@@ -1,2 +1,3 @@ ctx\n x\n--- b\n+++ c\n+d\n"
    );
}

#[test]
fn a_patch_without_a_git_head_tells_its_files() {
    let text =
        "--- linux-7.2/Makefile\t2026-01-01\n+++ linux/Makefile\t2026-01-02\n@@ -3 +3 @@\n-x\n+y\n";
    let changes = changes(text.as_bytes()).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, "Makefile");
}

#[rstest]
#[case::binary(
    "diff --git a/x b/x\nindex 1111111..2222222\nGIT binary patch\nliteral 1\nIcmP\n",
    3,
    "binary"
)]
#[case::binary_without_content(
    "diff --git a/x b/x\nBinary files a/x and b/x differ\n",
    2,
    "binary"
)]
#[case::nul("diff --git a/x b/x\n\0", 2, "NUL")]
#[case::link(&patch("a/x", "b/x", "new file mode 120000\n"), 2, "symbolic link")]
#[case::link_that_stays(&patch("a/x", "b/x", "index 1111111..2222222 120000\n"), 2, "symbolic link")]
#[case::submodule(&patch("a/x", "b/x", "new file mode 160000\n"), 2, "submodule")]
#[case::strange_mode(&patch("a/x", "b/x", "new file mode 104755\n"), 2, "mode")]
#[case::parent(&patch("a/x/../../y", "b/x/../../y", ""), 1, "leads out")]
#[case::parent_in_the_content_lines("--- a/x\n+++ b/../x\n@@ -3 +3 @@\n-x\n+y\n", 2, "leads out")]
#[case::absolute(
    "--- /etc/passwd\n+++ /etc/passwd\n@@ -3 +3 @@\n-x\n+y\n",
    2,
    "leads out"
)]
#[case::rename_out("diff --git a/x b/y\nrename from x\nrename to ../y\n", 3, "leads out")]
#[case::rename_from_outside("diff --git a/x b/y\nrename from ../x\nrename to y\n", 2, "leads out")]
#[case::git_files(&patch("a/.git/config", "b/.git/config", ""), 1, "git's own files")]
#[case::git_files_in_capitals(&patch("a/sub/.GIT/hooks/x", "b/sub/.GIT/hooks/x", ""), 1, "git's own files")]
#[case::git_files_by_short_name(&patch("a/GIT~1/config", "b/GIT~1/config", ""), 1, "git's own files")]
#[case::quoted("diff --git \"a/x\\ty\" \"b/x\\ty\"\n", 1, "quoted")]
#[case::quoted_rename(
    "diff --git a/x b/y\nrename from x\nrename to \"..\\057y\"\n",
    3,
    "quoted"
)]
#[case::carriage_return(&patch("a/x\r", "b/x\r", ""), 1, "carriage return")]
#[case::carriage_return_in_one_line(
    "diff --git a/x b/x\n--- a/x\n+++ b/x\r\n@@ -3 +3 @@\n-x\n+y\n",
    3,
    "carriage return"
)]
#[case::hunk_of_no_file("@@ -1 +1 @@\n-x\n+y\n", 1, "no file")]
#[case::hunk_without_numbers("--- a/x\n+++ b/x\n@@ -a +1 @@\n-x\n", 3, "line numbers")]
#[case::hunk_that_is_too_long("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-x\n+y\n+z\n", 6, "more lines")]
#[case::hunk_that_ends_early("--- a/x\n+++ b/x\n@@ -1,3 +1 @@\n-x\n+y\nz\n", 6, "ends before")]
fn a_form_that_no_kernel_patch_has_is_refused(
    #[case] text: &str,
    #[case] line: usize,
    #[case] why: &str,
) {
    let refused = changes(text.as_bytes()).unwrap_err();
    assert_eq!(refused.line, Some(line), "{refused}");
    assert!(refused.why.contains(why), "{refused}");
}

#[test]
fn a_patch_that_is_cut_off_is_refused() {
    let refused = changes(b"--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n x\n").unwrap_err();
    assert_eq!(refused.to_string(), "its last hunk is cut off");
}

#[test]
fn a_patch_that_is_too_large_is_refused() {
    let text = vec![b'x'; LARGEST];
    assert_eq!(changes(&text), Ok(Vec::new()));
    let refused = changes(&[text, vec![b'x']].concat()).unwrap_err();
    assert!(refused.why.contains("10485761 bytes"), "{refused}");
}

#[test]
fn a_series_that_is_too_long_is_refused() {
    assert_eq!(check_length(MOST), Ok(()));
    let refused = check_length(MOST + 1).unwrap_err();
    assert!(refused.why.contains("33 patches"), "{refused}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(diff --git |--- |\\+\\+\\+ |@@ -|rename to |index |a/|b/|[0-9,. +@\"/\n\r-]|x){0,60}") {
        let _ = changes(text.as_bytes());
    }
}
