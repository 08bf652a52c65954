//! Messages as git finds them, and inputs that are none.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;

use super::*;

const MBOX: &str = "From mboxrd@z Thu Jan  1 00:00:00 1970\nSubject: one\n\n>From here\n>>From there\n\nFrom mboxrd@z Thu Jan  1 00:00:00 1970\nSubject: two\n\nFrom x\n";

fn desk() -> Desk {
    Desk::new(&Cancel::new()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn messages(bytes: &[u8]) -> Vec<String> {
    let messages = desk().messages("x.mbox", bytes).unwrap().into_iter();
    messages.map(|m| String::from_utf8(m).unwrap()).collect()
}

fn refused(bytes: &[u8]) -> String {
    let error = desk().messages("x.mbox", bytes).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with("x.mbox: expected ") && said.contains("\n  "),
        "{said}"
    );
    said
}

#[test]
fn messages_are_split_and_their_quoting_undone() {
    let wanted = [
        "Subject: one\n\nFrom here\n>From there\n\n",
        "Subject: two\n\nFrom x\n",
    ];
    assert_eq!(messages(MBOX.as_bytes()), wanted);
    assert_eq!(messages(&gzip(MBOX.as_bytes())), wanted, "gzip");
    let crlf = MBOX.replace('\n', "\r\n");
    assert_eq!(messages(crlf.as_bytes()), wanted, "CRLF");
    assert_eq!(
        messages(format!("\u{feff}{MBOX}").as_bytes()),
        wanted,
        "BOM"
    );
}

#[test]
fn two_packed_files_in_one_are_both_read() {
    let (first, second) = MBOX.split_once("\nFrom mboxrd").unwrap();
    let packed = [
        gzip(format!("{first}\n").as_bytes()),
        gzip(format!("From mboxrd{second}").as_bytes()),
    ];
    assert_eq!(messages(&packed.concat()).len(), 2);
}

#[test]
fn a_single_mail_keeps_its_quoting() {
    let mail = "Subject: one\n\n>From here\n";
    assert_eq!(messages(mail.as_bytes()), [mail]);
}

#[test]
fn the_folder_of_git_is_used_again_and_removed() {
    let desk = desk();
    let dir = desk.git().dir().to_owned();
    for _ in 0..2 {
        assert_eq!(desk.messages("x", MBOX.as_bytes()).unwrap().len(), 2);
    }
    drop(desk);
    assert!(!dir.exists());
}

#[rstest]
#[case::empty(b"", "found an empty file")]
#[case::blank(b"\n \n", "found only blank lines")]
#[case::elf(b"\x7fELF\x02\x01\x01\0", "found an ELF file")]
#[case::xz(b"\xfd7zXZ\0\0", "found a file packed by xz")]
#[case::html(b"<!DOCTYPE html>", "found an HTML page")]
#[case::binary(b"Subject: x\n\0\0", "found binary data")]
#[case::diff(
    b"diff --git a/x b/x\n--- a/x\n",
    "found a diff without author and title"
)]
#[case::text(b"Hello there\n", "found text that does not begin as a message does")]
#[case::damaged(b"\x1f\x8b\x08\0\0\0", "found a damaged one")]
fn what_is_no_mail_is_named(#[case] bytes: &[u8], #[case] says: &str) {
    let said = refused(bytes);
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_file_that_unpacks_to_too_much_is_refused() {
    let mut desk = desk();
    assert_eq!(desk.most_bytes, 256 << 20);
    desk.most_bytes = 1 << 20;
    let mut mail = b"Subject: x\n\n".to_vec();
    mail.resize(1 << 20, b'\n');
    let just = gzip(&mail);
    assert!(just.len() < 10_000, "{}", just.len());
    assert_eq!(desk.messages("x.mbox", &just).unwrap().len(), 1);
    mail.push(b'\n');
    for bytes in [gzip(&mail), [just.clone(), just].concat(), mail] {
        let error = desk.messages("x.mbox", &bytes).unwrap_err().to_string();
        let said = "x.mbox: expected one thread, at most 1 MiB unpacked, found more\n";
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn too_many_messages_are_refused() {
    let mbox = "From a Thu Jan  1 00:00:00 1970\n\n".repeat(MOST_MESSAGES + 1);
    let said = refused(mbox.as_bytes());
    assert!(said.contains("more than 100000 messages"), "{said}");
}

#[rstest]
#[case::plain(
    "Subject: x\n\ntext\n---\n a | 1 +\n\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n",
    Some("diff --git a/a b/a")
)]
#[case::encoded(
    "Subject: x\nContent-Transfer-Encoding: quoted-printable\n\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+=3Db\n",
    Some("+=b")
)]
#[case::after_scissors(
    "Subject: x\n\n-- >8 --\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n",
    Some("--- a/a")
)]
#[case::none("Subject: x\n\ntext\n", None)]
#[case::quoted("Subject: x\n\n> diff --git a/a b/a\n> --- a/a\n> +++ b/a\n", None)]
fn git_says_what_the_patch_is(#[case] message: &str, #[case] line: Option<&str>) {
    let desk = desk();
    // What an earlier message left does not count.
    desk.patch(b"Subject: x\n\ndiff --git a/z b/z\n--- a/z\n+++ b/z\n")
        .unwrap();
    let patch = String::from_utf8(desk.patch(message.as_bytes()).unwrap()).unwrap();
    match line {
        Some(line) => assert!(patch.lines().any(|l| l == line), "{patch}"),
        None => assert_eq!(patch, ""),
    }
}
