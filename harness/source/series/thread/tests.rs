//! Which series is chosen out of hand-made threads. `tests/it/series_mail.rs` holds the choice
//! against that of b4.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// A message: id, subject, what it answers, whose it is, hour it was sent, and its body.
#[derive(Clone)]
struct Message {
    id: &'static str,
    subject: &'static str,
    answers: &'static str,
    author: &'static str,
    hour: u32,
    body: String,
}

/// A patch that adds a line of this text.
fn patch(id: &'static str, subject: &'static str, answers: &'static str, hour: u32) -> Message {
    let diff = format!(
        "text\n---\n f | 1 +\n\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n a\n+{id}\n-- \n2.47\n"
    );
    Message {
        id,
        subject,
        answers,
        author: "a@example.org",
        hour,
        body: diff,
    }
}

impl Message {
    fn body(mut self, body: &str) -> Message {
        body.clone_into(&mut self.body);
        self
    }

    fn by(mut self, author: &'static str) -> Message {
        self.author = author;
        self
    }

    fn text(&self) -> String {
        let mut text = format!(
            "From x Thu Jan  1 00:00:00 1970\nFrom: {}\nSubject: {}\nDate: Thu, 1 Jan 2026 {:02}:00:00 +0000\n",
            self.author, self.subject, self.hour
        );
        if !self.id.is_empty() {
            text += &format!("Message-Id: <{}>\n", self.id);
        }
        if !self.answers.is_empty() {
            text += &format!("In-Reply-To: <{}>\n", self.answers);
        }
        format!("{text}\n{}\n", self.body)
    }
}

fn mbox(messages: &[Message]) -> Vec<u8> {
    let texts: Vec<String> = messages.iter().map(Message::text).collect();
    texts.concat().into_bytes()
}

fn read_one(bytes: Vec<u8>, revision: Option<u32>) -> Result<Series, Error> {
    read(&[("t.mbox".to_owned(), bytes)], revision, &Cancel::new())
}

fn chosen(messages: &[Message]) -> Series {
    read_one(mbox(messages), None).unwrap()
}

fn ids(series: &Series) -> Vec<&str> {
    let ids = series.patches.iter().map(|mail| mail.message_id.as_str());
    ids.collect()
}

fn refused(messages: &[Message], revision: Option<u32>) -> String {
    let error = read_one(mbox(messages), revision).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with("t.mbox: expected ") && said.contains("\n  "),
        "{said}"
    );
    said
}

fn three(version: u32) -> Vec<Message> {
    match version {
        1 => vec![
            patch("c1", "[PATCH 0/3] all", "", 1).body("about\n"),
            patch("11", "[PATCH 1/3] one", "c1", 1),
            patch("12", "[PATCH 2/3] two", "c1", 1),
            patch("13", "[PATCH 3/3] three", "c1", 1),
        ],
        2 => vec![
            patch("c2", "[PATCH v2 0/3] all", "c1", 2).body("about\n"),
            patch("21", "[PATCH v2 1/3] one", "c2", 2),
            patch("22", "[PATCH v2 2/3] two", "c2", 2),
            patch("23", "[PATCH v2 3/3] three", "c2", 2),
        ],
        _ => vec![
            patch("c3", "[PATCH v3 0/3] all", "c2", 3).body("about\n"),
            patch("31", "[PATCH v3 1/3] one", "c3", 3),
            patch("33", "[PATCH v3 3/3] three", "c3", 3),
        ],
    }
}

#[test]
fn the_newest_complete_version_is_taken_in_order() {
    let mut all = [three(1), three(2)].concat();
    all.reverse();
    let series = chosen(&all);
    assert_eq!((series.version, series.title.as_str()), (2, "all"));
    assert_eq!(ids(&series), ["21", "22", "23"]);
    assert_eq!(series.cover.unwrap().message_id, "c2");
    assert_eq!(series.notes, ["v2 was taken, the newest of v1, v2"]);
    assert!(
        series
            .patches
            .iter()
            .all(|mail| mail.patch.starts_with(b"---\n f |"))
    );
}

#[test]
fn an_incomplete_newest_version_is_named_and_passed_over() {
    let series = chosen(&[three(1), three(2), three(3)].concat());
    assert_eq!(ids(&series), ["21", "22", "23"]);
    assert_eq!(series.notes, ["v3 lacks patch 2 of 3, so v2 was taken"]);
}

#[test]
fn a_version_is_taken_on_demand() {
    let all = mbox(&[three(1), three(2), three(3)].concat());
    let series = read_one(all.clone(), Some(1)).unwrap();
    assert_eq!((series.version, ids(&series)), (1, vec!["11", "12", "13"]));
    assert_eq!(series.notes, ["v1 was taken because it was asked for"]);
    let said = read_one(all.clone(), Some(3)).unwrap_err().to_string();
    assert!(
        said.starts_with("t.mbox: expected a complete series, and v3 lacks patch 2 of 3\n"),
        "{said}"
    );
    let said = read_one(all, Some(7)).unwrap_err().to_string();
    assert!(
        said.starts_with("t.mbox: expected v7 of the series, found v1, v2, v3\n"),
        "{said}"
    );
}

#[test]
fn what_is_missing_is_named_if_nothing_is_complete() {
    let said = refused(&three(3), None);
    assert!(said.contains("v3 lacks patch 2 of 3"), "{said}");
    let mut stripped = three(3);
    stripped.push(patch("32", "[PATCH v3 2/3] two", "c3", 3).body("attachment removed\n"));
    let said = refused(&stripped, None);
    assert!(
        said.contains("lacks patch 2 of 3; there is no patch in '[PATCH v3 2/3] two'"),
        "{said}"
    );
    let said = refused(&[patch("1", "[PATCH 7/9999] x", "", 1)], None);
    assert!(
        said.contains("lacks patches 1, 2, 3, 4, 5, 6, 8, 9, 10, 11 and 9988 more of 9999"),
        "{said}"
    );
}

#[test]
fn what_there_is_is_said_if_no_patch_is() {
    let text = |id, subject| patch(id, subject, "", 1).body("text\n");
    let said = refused(&[text("1", "x"), text("2", "Re: x")], None);
    assert!(
        said.contains("found 2 messages, none with a patch\n"),
        "{said}"
    );
    let said = refused(&[patch("1", "Re: [PATCH] x", "", 1)], None);
    assert!(
        said.contains("found 1 message, and the only patch is in a reply ('Re:')\n"),
        "{said}"
    );
}

#[test]
fn patches_that_git_does_not_see_are_passed_over() {
    let cut = "GIT binary patch, it says here\n";
    let series = chosen(&[
        patch("1", "[PATCH] x", "", 1),
        patch("2", "[PATCH v2] x", "", 2).body(cut),
    ]);
    assert_eq!(ids(&series), ["1"]);
    assert_eq!(series.notes, ["git finds no patch in '[PATCH v2] x'"]);
    let said = refused(&[patch("2", "[PATCH v2] x", "", 2).body(cut)], None);
    assert!(
        said.contains("\n  git finds no patch in '[PATCH v2] x'\n"),
        "{said}"
    );
}

#[test]
fn copies_of_a_message_count_once() {
    let series = chosen(&[three(1), three(1)].concat());
    assert_eq!(ids(&series), ["11", "12", "13"]);
    assert_eq!(series.notes, [""; 0]);
}

#[test]
fn what_a_version_lacks_is_listed_up_to_ten() {
    let list = |to| numbers(&(1..=to).collect::<Vec<u32>>());
    assert_eq!([list(0), list(1), list(2)], ["", "1", "1 and 2"]);
    assert_eq!(list(10), "1, 2, 3, 4, 5, 6, 7, 8, 9 and 10");
    assert_eq!(list(12), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
}

/// Its author states no version, and means the next one.
#[rstest]
#[case::later(2, 2, &["p2"])]
#[case::dated_before_what_it_answers(0, 2, &["p1"])]
#[case::at_the_same_time(1, 1, &["p2"])]
fn a_single_patch_that_is_sent_again_is_the_next_version(
    #[case] hour: u32,
    #[case] version: u32,
    #[case] expected: &[&str],
) {
    let series = chosen(&[
        patch("p1", "[PATCH] x", "", 1),
        patch("p2", "[PATCH] x", "p1", hour),
    ]);
    assert_eq!(
        (series.version, ids(&series).as_slice()),
        (version, expected)
    );
}

#[test]
fn a_patch_without_a_version_has_that_of_the_cover_letter_that_it_answers() {
    let of_second = |number: u32, id, answers| {
        patch(
            id,
            [
                "",
                "[PATCH 1/3] one",
                "[PATCH 2/3] two",
                "[PATCH 3/3] three",
            ][number as usize],
            answers,
            2,
        )
    };
    let mut all = three(1);
    all.push(three(2).remove(0));
    all.extend([
        of_second(1, "21", "c2"),
        of_second(2, "22", "21"),
        of_second(3, "23", "22"),
    ]);
    let series = chosen(&all);
    assert_eq!((series.version, ids(&series)), (2, vec!["21", "22", "23"]));

    // In answer to a comment on the cover letter, it is of no version.
    let mut all = three(2);
    all[1] = patch("r", "Re: [PATCH v2 0/3] all", "c2", 2).body("no\n");
    all.push(of_second(1, "21", "r"));
    let said = refused(&all, Some(2));
    assert!(said.contains("1 of 3"), "{said}");
}

#[test]
fn a_patch_that_was_sent_again_counts_once() {
    let mut all = three(1);
    let mut again = patch("12", "[PATCH RESEND 2/3] two", "c1", 5);
    again.id = "12-again";
    all.push(again);
    let series = chosen(&all);
    assert_eq!(ids(&series), ["11", "12-again", "13"]);
    assert_eq!(
        series.notes,
        ["patch 2 of 3 of v1 is there twice with the same diff, and counts once"]
    );
}

#[test]
fn of_two_different_patches_the_authors_last_one_is_taken() {
    let mut all = three(1);
    all.push(patch("fixed", "[PATCH 2/3] two, fixed", "12", 4));
    all.push(patch("other", "[PATCH 2/3] two, otherwise", "12", 5).by("b@example.org"));
    let series = chosen(&all);
    assert_eq!(ids(&series), ["11", "fixed", "13"]);
    assert_eq!(
        series.notes,
        [
            "patch 2 of 3 of v1 is there twice with different diffs: '[PATCH 2/3] two, fixed' by a@example.org was taken, '[PATCH 2/3] two' by a@example.org was passed over",
            "patch 2 of 3 of v1 is there twice with different diffs: '[PATCH 2/3] two, fixed' by a@example.org was taken, '[PATCH 2/3] two, otherwise' by b@example.org was passed over",
        ]
    );
}

#[test]
fn a_version_sent_in_part_is_filled_from_the_one_before() {
    let mut all = three(1);
    all.push(patch("r", "Re: [PATCH 2/3] two", "12", 2).body("no\n"));
    all.push(patch("22", "[PATCH v2 2/3] two", "r", 3));
    all.push(patch("33", "[PATCH v3 3/3] three", "13", 4));
    let series = chosen(&all);
    assert_eq!((series.version, ids(&series)), (3, vec!["11", "22", "33"]));
    assert_eq!(
        series.notes,
        [
            "v3 was taken, the newest of v1, v2, v3",
            "only 3 of 3 was sent as v3, in answer to what it replaces; the others are those of v2"
        ]
    );
}

#[test]
fn a_part_that_answers_nothing_is_no_version() {
    let mut all = three(1);
    all.push(patch("22", "[PATCH v2 2/3] two", "c1", 3));
    let series = chosen(&all);
    assert_eq!(ids(&series), ["11", "12", "13"]);
    assert_eq!(
        series.notes,
        ["v2 lacks patches 1 and 3 of 3, so v1 was taken"]
    );
}

#[test]
fn what_others_send_into_the_thread_is_set_aside() {
    let mut all = three(2);
    all.push(patch("s", "[PATCH] fix two", "22", 5));
    all.push(patch("o1", "[PATCH 1/1] instead", "c2", 6).by("b@example.org"));
    let series = chosen(&all);
    assert_eq!(ids(&series), ["21", "22", "23"]);
    assert_eq!(series.notes.len(), 1, "{:?}", series.notes);
    let said = "by b@example.org was passed over: it is not of this series";
    assert!(series.notes[0].contains(said), "{:?}", series.notes);
    // It is there all the same.
    let asked = read_one(mbox(&all), Some(1)).unwrap();
    assert_eq!(ids(&asked), ["o1"]);
}

#[test]
fn versions_after_a_draft_begin_again() {
    let draft = [
        patch("r1", "[RFC PATCH v4 1/2] one", "", 1),
        patch("r2", "[RFC PATCH v4 2/2] two", "r1", 1),
    ];
    let real = [
        patch("p1", "[PATCH 1/2] one", "", 4),
        patch("p2", "[PATCH 2/2] two", "p1", 4),
    ];
    assert_eq!(ids(&chosen(&[draft.clone(), real].concat())), ["p1", "p2"]);
    let early = [
        patch("p1", "[PATCH v3 1/2] one", "", 0),
        patch("p2", "[PATCH v3 2/2] two", "p1", 0),
    ];
    assert_eq!(ids(&chosen(&[draft, early].concat())), ["r1", "r2"]);
}

#[test]
fn patch_files_without_numbers_are_taken_in_their_order() {
    let files = [("b.patch", "[PATCH] b"), ("a.patch", "[PATCH] a")];
    let files = files.map(|(name, subject)| {
        let body = patch(name, "", "", 0).body;
        (
            name.to_owned(),
            mbox(&[patch("", subject, "", 1).body(&body)]),
        )
    });
    let series = read(&files, None, &Cancel::new()).unwrap();
    let titles: Vec<&str> = series
        .patches
        .iter()
        .map(|mail| mail.title.as_str())
        .collect();
    assert_eq!(titles, ["b", "a"]);
    assert_eq!(
        series.notes,
        ["the 2 patches have no numbers, so they were taken in the order of the input"]
    );
}

#[test]
fn an_input_without_mail_is_named_among_many() {
    let good = (
        "good.patch".to_owned(),
        mbox(&[patch("1", "[PATCH] x", "", 1)]),
    );
    let bad = ("bad.patch".to_owned(), b"\x7fELF".to_vec());
    let said = read(&[good.clone(), bad], None, &Cancel::new()).unwrap_err();
    assert!(
        said.to_string()
            .starts_with("bad.patch: expected mail, found an ELF file\n"),
        "{said}"
    );
    let two = [
        (
            "1/2".to_owned(),
            mbox(&[patch("1", "[PATCH 1/2] x", "", 1)]),
        ),
        good,
    ];
    let said = read(&two, Some(4), &Cancel::new()).unwrap_err();
    assert!(
        said.to_string().starts_with("1/2 and 1 more: expected v4"),
        "{said}"
    );
    let said = read(&[], None, &Cancel::new()).unwrap_err();
    assert!(said.to_string().starts_with("no input: "), "{said}");
}

#[test]
fn an_interrupt_ends_it() {
    let cancel = Cancel::new();
    cancel.cancel();
    let input = ("x".to_owned(), mbox(&three(1)));
    let error = read(&[input], None, &cancel).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[rstest]
#[case::in_the_cover_letter(0)]
#[case::in_the_first_patch(1)]
fn the_base_is_in_the_cover_letter_or_the_first_patch(#[case] place: usize) {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let mut all = three(1);
    all[place].body += &format!(
        "\nbase-commit: {id}\nchange-id: 20260101-x-1\nprerequisite-change-id: 20250101-y-2:v3\nprerequisite-patch-id: {id}\nprerequisite-patch-id: --evil\n"
    );
    let series = chosen(&all);
    assert_eq!(series.base_commit.as_deref(), Some(id));
    assert_eq!(series.change_id.as_deref(), Some("20260101-x-1"));
    assert_eq!(series.prerequisite_patches, [id]);
    assert_eq!(series.prerequisite_changes, ["20250101-y-2:v3"]);
}

#[test]
fn a_base_that_is_no_commit_is_not_taken() {
    let mut all = three(1);
    all[0].body += "\nbase-commit: --upload-pack=x\n";
    assert_eq!(chosen(&all).base_commit, None);
}

#[test]
fn many_messages_are_read_in_one_go() {
    let reply = patch("", "Re: [PATCH 1/3] one", "11", 2).body(&"> quoted\n".repeat(20));
    let mut bytes = mbox(&three(1));
    let text = reply.text();
    for n in 0..10_000 {
        bytes.extend(
            text.replace("Subject:", &format!("Message-Id: <r{n}>\nSubject:"))
                .bytes(),
        );
    }
    assert!(bytes.len() > 3_000_000);
    assert_eq!(ids(&read_one(bytes, None).unwrap()), ["11", "12", "13"]);
}

#[test]
fn many_series_and_many_copies_are_limited() {
    let numbers = (1..=300).map(|of| {
        let text = patch("", "[PATCH 1/N] x", "", 1).text();
        text.replace("1/N", &format!("1/{of}")).into_bytes()
    });
    let error = read_one(numbers.collect::<Vec<_>>().concat(), None).unwrap_err();
    let said = "t.mbox: expected one patch series, found 300 of different versions and lengths\n";
    assert!(error.to_string().starts_with(said), "{error}");

    let copy = patch("", "[PATCH v2 1/1] x", "", 1).text();
    let series = read_one(copy.repeat(50).into_bytes(), None).unwrap();
    assert_eq!((series.patches.len(), series.notes.len()), (1, 21));
    assert_eq!(series.notes[20], "there are 29 more notes like these");
}

#[test]
fn a_circle_of_answers_ends() {
    let mut all = three(1);
    all[0].answers = "13";
    all.push(patch("22", "[PATCH v2 2/3] two", "22", 3));
    assert_eq!(ids(&chosen(&all)), ["11", "12", "13"]);
}

proptest! {
    // Each case starts git.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_read_or_refused(
        head in prop::sample::select(vec!["", "From x Thu Jan  1 00:00:00 1970\n", "Subject: x\n", "\u{1f}"]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let _ = read_one([head.as_bytes(), &bytes].concat(), None);
    }

    #[test]
    fn a_damaged_mbox_is_read_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, any::<Option<u8>>()), 1..6),
        revision in prop::option::of(0..4_u32),
    ) {
        let mut bytes = mbox(&[three(1), three(2), three(3)].concat());
        for (at, len, byte) in cuts {
            let at = at.index(bytes.len());
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, byte);
        }
        if let Ok(series) = read_one(bytes, revision) {
            prop_assert!(!series.patches.is_empty());
        }
    }
}
