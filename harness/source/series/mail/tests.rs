//! Headers and bodies as senders write them, and as nobody should.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn parse(text: &str) -> Mail {
    Mail::parse(text.as_bytes().to_vec())
}

const DIFF: &str = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n";

#[rstest]
#[case("[PATCH] x: y", None, None, "PATCH", "x: y")]
#[case("[PATCH net-next v3 02/10] x", Some(3), Some((2, 10)), "PATCH net-next", "x")]
#[case("[RFC PATCH v2] x", Some(2), None, "RFC PATCH", "x")]
#[case("[PATCH RESEND] x", None, None, "PATCH RESEND", "x")]
#[case("[PATCH v2 kbuild 1/3] x", Some(2), Some((1, 3)), "PATCH kbuild", "x")]
#[case("[PATCHv3] x", Some(3), None, "PATCH", "x")]
#[case("[RFCv2 1/2] x", Some(2), Some((1, 2)), "RFC", "x")]
#[case("[PATCH -v4 1/2] x", Some(4), Some((1, 2)), "PATCH", "x")]
#[case("[PATCH 1/3 v2] x", Some(2), Some((1, 3)), "PATCH", "x")]
#[case("[PATCH V2, 1/3] x", Some(2), Some((1, 3)), "PATCH", "x")]
#[case("[PATCH 5.10 00/12] x", None, Some((0, 12)), "PATCH 5.10", "x")]
#[case("[PATCH] [media] x [y]", None, None, "PATCH media", "x [y]")]
#[case("[PATCH [v2] 1/2] x", Some(2), Some((1, 2)), "PATCH", "x")]
#[case("[PATCH v99999 1/123456] x", None, None, "PATCH v99999 1/123456", "x")]
#[case("[PATCH 1/2 x", None, None, "", "[PATCH 1/2 x")]
#[case("[] x", None, None, "", "x")]
#[case("] x [", None, None, "", "] x [")]
#[case("[PATCH]] x", None, None, "PATCH", "] x")]
#[case("", None, None, "", "")]
fn a_subject_states_version_and_number(
    #[case] subject: &str,
    #[case] version: Option<u32>,
    #[case] number: Option<(u32, u32)>,
    #[case] prefixes: &str,
    #[case] title: &str,
) {
    let read = Subject::parse(subject);
    assert_eq!((read.version, read.number), (version, number));
    assert_eq!(
        (read.prefixes.join(" ").as_str(), read.title.as_str()),
        (prefixes, title)
    );
    assert!(!read.is_reply);
}

#[rstest]
#[case("Re: [PATCH 1/2] x", true)]
#[case("RE: x", true)]
#[case("Aw: [PATCH] x", true)]
#[case("Fwd: [PATCH] x", true)]
#[case("SV: [PATCH] x", true)]
#[case("Re: Re: [PATCH] x", true)]
#[case("mm: x", false)]
#[case("[PATCH] Re: x", false)]
fn a_reply_is_known_by_its_first_word(#[case] subject: &str, #[case] is_reply: bool) {
    assert_eq!(Subject::parse(subject).is_reply, is_reply);
}

#[test]
fn headers_are_decoded_and_on_one_line() {
    let mail = parse(
        "From: =?utf-8?q?J=C3=B6rg?= <Dev@Example.org>\nSubject: =?iso-8859-1?q?[PATCH_v2]_f=FCr?=\n =?utf-8?b?IMOkbGw=?=\nTo: A <a@example.org>,\n \"B, C\" <b@example.org>\nCc: list@example.org\nMessage-ID: <1@example.org>\nIn-Reply-To: Your mail <0@example.org>\nReferences: <r@example.org>\n <0@example.org>\nDate: Thu, 1 Jan 2026 01:00:00 +0100\n\ntext\n",
    );
    assert_eq!(mail.author, "Jörg <Dev@Example.org>");
    assert_eq!(mail.author_address, "dev@example.org");
    assert_eq!(
        (mail.subject.as_str(), mail.title.as_str()),
        ("[PATCH v2] für äll", "für äll")
    );
    assert_eq!(mail.to, ["A <a@example.org>", "B, C <b@example.org>"]);
    assert_eq!(mail.cc, ["list@example.org"]);
    assert_eq!(mail.message_id, "1@example.org");
    assert_eq!(mail.in_reply_to.as_deref(), Some("0@example.org"));
    assert_eq!(mail.references, ["r@example.org", "0@example.org"]);
    assert_eq!((mail.date, mail.version), (1_767_225_600, 2));
    assert!(!mail.has_diff && !mail.is_reply);
}

#[test]
fn control_characters_are_removed() {
    let mail = parse(
        "Subject: [PATCH] a\x1b[31mb\u{202e}c\x07\x01 d\nFrom: \x1b <a@example.org>\nMessage-Id: <\x1b1>\n\n",
    );
    assert_eq!(mail.subject, "[PATCH] a[31mbc d");
    assert_eq!(
        (mail.author.as_str(), mail.message_id.as_str()),
        ("a@example.org", "1")
    );
}

#[rstest]
#[case::plain("", DIFF.to_owned())]
#[case::crlf("", DIFF.replace('\n', "\r\n"))]
#[case::without_git("", DIFF.split_once('\n').unwrap().1.to_owned())]
#[case::base64("Content-Transfer-Encoding: base64\n", "ZGlmZiAtLWdpdCBhL2EgYi9hCi0tLSBhL2EKKysrIGIvYQo=\n".to_owned())]
#[case::quoted_printable("Content-Transfer-Encoding: quoted-printable\n", DIFF.replace("--git", "-=\n-=67it"))]
#[case::attached(
    "Content-Type: multipart/mixed; boundary=\"b\"\n",
    format!("--b\nContent-Type: text/plain\n\nsee below\n--b\nContent-Type: text/x-patch\n\n{DIFF}\n--b--\n")
)]
#[case::attached_in_two_levels(
    "Content-Type: multipart/signed; boundary=o\n",
    format!("--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nsee below\n--i\nContent-Type: application/octet-stream\n\n{DIFF}--i--\n--o--\n")
)]
#[case::nul("", format!("\0{DIFF}").replace("a\n+", "a\0\n+"))]
#[case::other_charset("Content-Type: text/plain; charset=iso-8859-1\n", format!("{DIFF}\n\u{fc}"))]
fn a_diff_is_found_however_it_is_encoded(#[case] headers: &str, #[case] body: String) {
    let mail = parse(&format!("Subject: [PATCH] x\n{headers}\n{body}"));
    assert!(mail.has_diff, "{}", mail.body);
}

#[rstest]
#[case::quoted("> diff --git a/a b/a\n> --- a/a\n> +++ b/a\n")]
#[case::indented(" diff --git a/a b/a\n --- a/a\n +++ b/a\n")]
#[case::rule("---\ntext\n+++\n")]
#[case::named("see the diff --git a/a b/a\n")]
fn what_only_looks_like_a_diff_is_none(#[case] body: &str) {
    assert!(!parse(&format!("Subject: [PATCH] x\n\n{body}")).has_diff);
}

#[test]
fn a_part_in_html_is_not_read() {
    let mail = parse(&format!(
        "Subject: x\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/html\n\n{DIFF}--b--\n"
    ));
    assert_eq!((mail.body.as_str(), mail.has_diff), ("text\n", false));
}

#[test]
fn parts_in_a_thousand_levels_are_refused() {
    let mut body = String::new();
    for level in 0..1000 {
        body += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    }
    let mail = parse(&format!("Subject: [PATCH] x\n{body}\n{DIFF}"));
    assert_eq!((mail.subject.as_str(), mail.has_diff), ("[PATCH] x", false));
}

#[test]
fn a_message_of_too_many_parts_is_refused() {
    let parts = "--b\n\nx\n".repeat(300);
    let mail = parse(&format!(
        "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b\n\n{DIFF}"
    ));
    assert!(!mail.has_diff);
}

#[test]
fn long_headers_are_cut_and_endless_ones_are_not_read() {
    let long = format!(
        "Subject: [PATCH] {}\n\n{DIFF}",
        "=?utf-8?q?a?= ".repeat(20_000)
    );
    let mail = parse(&long[..200_000]);
    assert!(mail.subject.len() < 20_000, "{}", mail.subject.len());
    let endless = "A: b\n".repeat(100_000);
    let mail = parse(&format!("Subject: [PATCH] x\n{endless}\n{DIFF}"));
    assert_eq!((mail.subject.as_str(), mail.has_diff), ("", false));
}

/// Whoever writes such a line into a mail must not get a second message applied.
#[test]
fn a_message_in_an_mbox_stays_one_message() {
    let raw = "Subject: x\n\nFrom y Thu Jan  1 00:00:00 1970\nSubject: y\n>From z\nFromage";
    let mbox = parse(raw).mboxrd();
    let desk = super::super::mbox::Desk::new(&crate::build::process::Cancel::new()).unwrap();
    let messages = desk.messages("x", &[mbox.clone(), mbox].concat()).unwrap();
    assert_eq!(
        messages,
        [
            format!("{raw}\n\n").into_bytes(),
            format!("{raw}\n\n").into_bytes()
        ]
    );
}

#[test]
fn lines_of_the_body_are_read_by_their_key() {
    let mail = parse(
        "Subject: x\n\nBase-Commit: 0123abc (tag)\nprerequisite-patch-id: aa\n> change-id: quoted\nprerequisite-patch-id: bb\n",
    );
    assert_eq!(mail.line("base-commit").as_deref(), Some("0123abc"));
    assert_eq!(mail.lines("prerequisite-patch-id"), ["aa", "bb"]);
    assert_eq!(mail.line("change-id"), None);
}

#[test]
fn a_base_and_a_signature_are_not_part_of_the_diff() {
    let first = format!("text\n---\n a | 2 +-\n\n{DIFF}\nbase-commit: 1\n-- \n2.47\n");
    let second = format!("other\n\n{DIFF}\n-- \n2.30\n");
    assert!(diff_of(&first).eq(diff_of(&second)));
    assert!(!diff_of(&first).eq(diff_of(&first.replace("+b", "+c"))));
}

proptest! {
    #[test]
    fn any_subject_is_read(text in "([\\[\\]/:v1R]|PATCH|Re:|\\PC){0,20}") {
        let _ = Subject::parse(&text);
    }

    #[test]
    fn any_bytes_are_a_message(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Mail::parse(bytes);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_a_message(
        lines in prop::collection::vec(
            "(Subject: |From: |To: |Date: |References: |Content-Type: multipart/mixed; boundary=b|Content-Transfer-Encoding: base64|--b|--b--|\\[|=\\?utf-8\\?[qb]\\?| )?\\PC{0,30}(\\?=)?",
            0..40,
        )
    ) {
        let _ = parse(&lines.join("\n"));
    }
}
