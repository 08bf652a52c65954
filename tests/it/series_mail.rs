//! What klto chooses in a thread, against the real b4 on the same mbox. Each thread is made of
//! what `git format-patch` writes of real commits, and of what others answer. Where klto
//! decides otherwise on purpose, the table says why.
//!
//! `KLTO_B4` names b4 (`ci/b4` prints it), or it is in `PATH`. If it is neither,
//! `KLTO_SKIP_B4=1` leaves the comparison out, and says so.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use klto::build::process::Cancel;
use klto::source::series::thread;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::b4::b4;
use crate::support::git::git;
use crate::support::program::finish;

/// A repository whose commits are sent.
struct Repository {
    dir: TempDir,
}

impl Repository {
    fn new() -> Repository {
        let repository = Repository {
            dir: TempDir::new().unwrap(),
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        std::fs::write(repository.dir.path().join("f"), "a\n").unwrap();
        repository.git(&["add", "f"]);
        repository.git(&["commit", "--quiet", "--message", "base"]);
        repository.git(&["tag", "base"]);
        repository
    }

    fn git(&self, args: &[&str]) -> String {
        git(self.dir.path(), args)
    }

    /// Sends `count` commits. The message of patch n has the id `TAG-n@example.org`, the cover
    /// letter's n is 0.
    fn send(&self, tag: &str, hour: u32, count: usize, options: &[&str]) -> Vec<String> {
        self.git(&["checkout", "--quiet", "--detach", "base"]);
        for n in 1..=count {
            let file = self.dir.path().join(format!("f{n}"));
            std::fs::write(file, format!("{tag}\n{n} = \u{fc}\n")).unwrap();
            self.git(&["add", "--all"]);
            let message = format!("part {n}\n\nWhat part {n} of {tag} does.");
            self.git(&["commit", "--quiet", "--message", &message]);
        }
        let all = ["format-patch", "--stdout", "--thread=shallow"];
        let written = self.git(&[&all[..], options, &["base"]].concat());
        let mut messages: Vec<String> = Vec::new();
        for line in written.lines() {
            if line.starts_with("From ") && line.ends_with(" Mon Sep 17 00:00:00 2001") {
                messages.push(String::new());
            }
            let message = messages.last_mut().expect("a line 'From '");
            message.push_str(line);
            message.push('\n');
        }
        let first = usize::from(messages.len() == count);
        let ids: Vec<(String, String)> = (first..)
            .zip(&messages)
            .map(|(n, message)| (id(message), format!("{tag}-{n}@example.org")))
            .collect();
        for (n, message) in messages.iter_mut().enumerate() {
            for (old, new) in &ids {
                *message = message.replace(old, new);
            }
            *message = message.replace("*** SUBJECT HERE ***", "the whole");
            let sent = format!("Date: Thu, 1 Jan 2026 {hour:02}:{n:02}:00 +0000");
            *message = with_header(message, "Date", &sent);
        }
        messages
    }
}

/// The id of a message.
fn id(message: &str) -> String {
    let line = message.lines().find_map(|line| {
        let line = line.to_lowercase();
        Some(line.strip_prefix("message-id: <")?.to_owned())
    });
    line.expect("an id").trim_end_matches('>').to_owned()
}

/// The message with another header in place of the one of this name.
fn with_header(message: &str, name: &str, header: &str) -> String {
    let (head, body) = message.split_once("\n\n").unwrap();
    let start = format!("{name}: ");
    let lines = head.lines().map(|line| match line.starts_with(&start) {
        true => header,
        false => line,
    });
    format!("{}\n\n{body}", lines.collect::<Vec<_>>().join("\n"))
}

/// The message with a part of its subject replaced.
fn with_subject(message: &str, from: &str, to: &str) -> String {
    let (head, body) = message.split_once("\n\n").unwrap();
    assert!(head.contains(from), "{head}");
    format!("{}\n\n{body}", head.replacen(from, to, 1))
}

fn renamed(messages: Vec<String>, from: &str, to: &str) -> Vec<String> {
    let messages = messages.iter();
    messages.map(|m| with_subject(m, from, to)).collect()
}

/// A message with these headers added, and another body.
fn with_body(message: &str, headers: &str, body: impl Fn(&str) -> String) -> String {
    let (head, text) = message.split_once("\n\n").unwrap();
    let head = head.lines().filter(|line| {
        let kinds = ["Content-", "MIME-"];
        !kinds.iter().any(|kind| line.starts_with(kind))
    });
    let head = head.collect::<Vec<_>>().join("\n");
    format!("{head}\nMIME-Version: 1.0\n{headers}\n\n{}", body(text))
}

/// Somebody else's message, `n` minutes after the hour.
fn reply(id: &str, to: &str, hour: u32, subject: &str, body: &str) -> String {
    format!(
        "From mboxrd@z Thu Jan  1 00:00:00 1970\nFrom: R Viewer <rev@example.org>\nTo: dev@example.org\nSubject: {subject}\nDate: Thu, 1 Jan 2026 {hour:02}:30:00 +0000\nMessage-ID: <{id}@example.org>\nIn-Reply-To: <{to}@example.org>\nReferences: <{to}@example.org>\n\n{body}\n"
    )
}

/// The body of a message, as an answer quotes it.
fn quoted(message: &str) -> String {
    let (_, body) = message.split_once("\n\n").unwrap();
    let lines = body.lines().map(|line| format!("> {line}\n"));
    lines.collect()
}

fn answering(message: &str, to: &str) -> String {
    let (head, body) = message.split_once("\n\n").unwrap();
    let head = head.lines().filter(|line| {
        let kinds = ["In-Reply-To", "References"];
        !kinds.iter().any(|kind| line.starts_with(kind))
    });
    let head = head.collect::<Vec<_>>().join("\n");
    format!("{head}\nIn-Reply-To: <{to}@example.org>\nReferences: <{to}@example.org>\n\n{body}")
}

fn by(message: &str, author: &str) -> String {
    with_header(message, "From", &format!("From: {author}"))
}

fn mbox(messages: &[String]) -> Vec<u8> {
    messages.join("\n").into_bytes()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().chunks(3).map(|group| {
        let bits = (0..3).fold(0_usize, |bits, i| {
            bits << 8 | group.get(i).map_or(0, |b| usize::from(*b))
        });
        let digits = (0..4).map(|i| match i <= group.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * i) & 63]),
            false => '=',
        });
        digits.collect::<String>()
    });
    let groups: Vec<String> = groups.collect();
    let lines = groups.chunks(19).map(|line| line.concat() + "\n");
    lines.collect()
}

fn quoted_printable(text: &str) -> String {
    let bytes = text.bytes().map(|b| match b {
        b'=' | 128.. => format!("={b:02X}"),
        _ => char::from(b).to_string(),
    });
    bytes.collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = GzEncoder::new(bytes, Compression::default());
    encoder.read_to_end(&mut packed).unwrap();
    packed
}

/// The ids of the patches that b4 takes, and whether it says that there are all.
fn by_b4(b4: &Path, mbox: &[u8], revision: Option<u32>) -> (Vec<String>, bool) {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut bytes = Vec::new();
    match GzDecoder::new(mbox).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(_) => bytes = mbox.to_vec(),
    }
    std::fs::write(path("t.mbox"), bytes).unwrap();
    let mut command = Command::new(b4);
    command
        .args([
            "-n",
            "--offline-mode",
            "--no-stdin",
            "-c",
            "b4.attestation-policy=off",
        ])
        .args([
            "am",
            "--no-add-trailers",
            "-m",
            "t.mbox",
            "-o",
            ".",
            "-n",
            "chosen",
        ])
        .current_dir(dir.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", "/")
        .env("HOME", path("home"));
    for name in ["CACHE", "CONFIG", "DATA", "STATE"] {
        command.env(format!("XDG_{name}_HOME"), path("home"));
    }
    if let Some(revision) = revision {
        command.arg(format!("-v{revision}"));
    }
    std::fs::create_dir(path("home")).unwrap();
    let ended = finish(&mut command);
    let chosen = std::fs::read_to_string(path("chosen.mbx")).unwrap_or_default();
    let ids = chosen.lines().filter_map(|line| {
        let line = line.to_lowercase();
        let id = line.strip_prefix("message-id: <")?.split('@').next()?;
        Some(id.to_owned())
    });
    let is_complete = !ended.stderr.contains("Thread incomplete");
    (
        ids.collect(),
        is_complete && !ended.stdout.contains("Thread incomplete"),
    )
}

/// The ids of the patches that klto takes; an error if it takes none.
fn by_klto(mbox: Vec<u8>, revision: Option<u32>) -> Result<Vec<String>, String> {
    let input = ("t.mbox".to_owned(), mbox);
    let series = thread::read(&[input], revision, &Cancel::new()).map_err(|e| e.to_string())?;
    eprintln!("v{}: {:?}", series.version, series.notes);
    let ids = series.patches.iter().map(|mail| {
        let id = mail.message_id.split('@').next().unwrap_or_default();
        id.to_owned()
    });
    Ok(ids.collect())
}

/// Three versions, each a thread of its own.
fn three_versions(r: &Repository) -> Vec<String> {
    [
        r.send("v1", 1, 3, &["--cover-letter"]),
        r.send("v2", 2, 3, &["--cover-letter", "-v2"]),
        r.send("v3", 3, 3, &["--cover-letter", "-v3"]),
    ]
    .concat()
}

/// Why klto decides otherwise than b4.
const LATER_WINS: &str = "b4 takes the second one as a further patch, and loses those after it";
const COMPLETE: &str = "b4 takes an incomplete version if it is the newest";
const NUMBER: &str = "b4 goes by dates only, which in patch files are those of the commits";
const STRAY: &str = "b4 takes what has no version as v1, even if others sent it into the thread";
const SPELLING: &str = "b4 does not know this way to write a version";

type Thread = fn(&Repository) -> Vec<u8>;

#[rstest]
#[case::cover_letter("v1-1 v1-2 v1-3", "", |r: &Repository| mbox(&r.send("v1", 1, 3, &["--cover-letter"])))]
#[case::no_cover_letter("v1-1 v1-2", "", |r: &Repository| mbox(&r.send("v1", 1, 2, &[])))]
#[case::one_patch("v1-1", "", |r: &Repository| mbox(&r.send("v1", 1, 1, &[])))]
#[case::one_numbered_patch("v1-1", "", |r: &Repository| mbox(&r.send("v1", 1, 1, &["--cover-letter"])))]
#[case::ten_patches("v1-1 v1-2 v1-3 v1-4 v1-5 v1-6 v1-7 v1-8 v1-9 v1-10", "", |r: &Repository| {
    mbox(&r.send("v1", 1, 10, &["--cover-letter"]))
})]
#[case::deep_thread("v1-1 v1-2 v1-3", "", |r: &Repository| mbox(&r.send("v1", 1, 3, &["--thread=deep"])))]
#[case::not_threaded("v1-1 v1-2 v1-3", "", |r: &Repository| {
    let sent = r.send("v1", 1, 3, &["--cover-letter"]);
    mbox(&sent.iter().map(|m| answering(m, "elsewhere")).collect::<Vec<_>>())
})]
#[case::reversed("v1-1 v1-2 v1-3", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 3, &["--cover-letter"]);
    sent.reverse();
    mbox(&sent)
})]
#[case::three_versions("v3-1 v3-2 v3-3", "", |r: &Repository| mbox(&three_versions(r)))]
#[case::three_versions_reversed("v3-1 v3-2 v3-3", "", |r: &Repository| {
    let mut sent = three_versions(r);
    sent.reverse();
    mbox(&sent)
})]
#[case::three_versions_mixed("v3-1 v3-2 v3-3", "", |r: &Repository| {
    let mut sent = three_versions(r);
    sent.sort_by_key(|message| id(message).chars().rev().collect::<String>());
    sent.rotate_left(5);
    mbox(&sent)
})]
#[case::next_version_in_the_thread("v2-1 v2-2", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 2, &["--cover-letter"]);
    let again = r.send("v2", 2, 2, &["--cover-letter", "-v2"]);
    sent.push(answering(&again[0], "v1-0"));
    sent.extend_from_slice(&again[1..]);
    mbox(&sent)
})]
#[case::more_patches_in_the_next_version("v2-1 v2-2 v2-3", "", |r: &Repository| {
    mbox(&[r.send("v1", 1, 2, &[]), r.send("v2", 2, 3, &["-v2"])].concat())
})]
#[case::dates_of_commits("v2-1 v2-2", NUMBER, |r: &Repository| {
    mbox(&[r.send("v1", 5, 2, &[]), r.send("v2", 2, 2, &["-v2"])].concat())
})]
#[case::rfc("v2-1 v2-2", "", |r: &Repository| mbox(&r.send("v2", 1, 2, &["--rfc", "-v2"])))]
#[case::draft_and_then_v1("v1-1 v1-2", "", |r: &Repository| {
    mbox(&[r.send("d", 1, 2, &["--rfc", "-v3"]), r.send("v1", 2, 2, &[])].concat())
})]
#[case::tree_in_the_prefix("v3-1 v3-2", "", |r: &Repository| {
    mbox(&r.send("v3", 1, 2, &["-v3", "--subject-prefix=PATCH net-next"]))
})]
#[case::tree_after_the_version("v2-1 v2-2 v2-3", "", |r: &Repository| {
    mbox(&renamed(r.send("v2", 1, 3, &["-v2"]), "PATCH v2 ", "PATCH v2 kbuild "))
})]
#[case::version_glued("v3-1 v3-2", "", |r: &Repository| {
    let old = r.send("v1", 1, 2, &[]);
    mbox(&[old, renamed(r.send("v3", 2, 2, &["-v3"]), "PATCH v3", "PATCHv3")].concat())
})]
#[case::version_glued_to_rfc("v2-1 v2-2", SPELLING, |r: &Repository| {
    let old = renamed(r.send("v1", 1, 2, &[]), "PATCH", "RFC");
    mbox(&[old, renamed(r.send("v2", 2, 2, &["-v2"]), "PATCH v2", "RFCv2")].concat())
})]
#[case::version_with_a_hyphen("v2-1 v2-2", SPELLING, |r: &Repository| {
    let old = r.send("v1", 1, 2, &[]);
    mbox(&[old, renamed(r.send("v2", 2, 2, &["-v2"]), "PATCH v2", "PATCH -v2")].concat())
})]
#[case::version_last("v2-1 v2-2 v2-3", "", |r: &Repository| {
    let sent = r.send("v2", 1, 3, &["-v2"]);
    let sent = sent.iter().map(|m| with_subject(&with_subject(m, "PATCH v2", "PATCH"), "/3]", "/3 v2]"));
    mbox(&sent.collect::<Vec<_>>())
})]
#[case::odd_numbering("v2-1 v2-2", "", |r: &Repository| {
    let sent = r.send("v2", 1, 2, &["-v2"]);
    let sent = sent.iter().map(|m| with_subject(&with_subject(m, "/2]", "/02]"), "v2 ", "v2 0"));
    mbox(&sent.collect::<Vec<_>>())
})]
#[case::one_more_than_counted("v1-1 v1-2 x-1", "", |r: &Repository| {
    let more = with_subject(&r.send("x", 2, 1, &[])[0], "[PATCH]", "[PATCH 3/2]");
    let mut sent = r.send("v1", 1, 2, &[]);
    sent.push(answering(&more, "v1-1"));
    mbox(&sent)
})]
#[case::version_only_in_the_cover_letter("v2-1 v2-2", "", |r: &Repository| {
    let mut sent = r.send("v2", 1, 2, &["--cover-letter"]);
    sent[0] = with_subject(&sent[0], "[PATCH ", "[PATCH v2 ");
    mbox(&sent)
})]
#[case::cover_letter_is_missing("v2-1 v2-2 v2-3", "", |r: &Repository| {
    let sent = r.send("v2", 1, 3, &["--cover-letter", "-v2"]);
    mbox(&sent[1..])
})]
#[case::cover_letter_without_a_number("v1-1 v1-2", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 2, &["--cover-letter"]);
    sent[0] = with_subject(&sent[0], "[PATCH 0/2] ", "");
    mbox(&sent)
})]
#[case::newest_is_incomplete("v2-1 v2-2 v2-3", COMPLETE, |r: &Repository| {
    let mut sent = three_versions(r);
    sent.remove(10);
    mbox(&sent)
})]
#[case::only_version_is_incomplete("expected a complete series, and v1 lacks patch 2 of 3", COMPLETE, |r: &Repository| {
    let mut sent = r.send("v1", 1, 3, &["--cover-letter"]);
    sent.remove(2);
    mbox(&sent)
})]
#[case::copies_of_a_message("v1-1 v1-2 v1-3", "", |r: &Repository| {
    let sent = r.send("v1", 1, 3, &["--cover-letter"]);
    mbox(&[sent.clone(), sent].concat())
})]
#[case::sent_again("again-1 again-2", LATER_WINS, |r: &Repository| {
    let again = r.send("again", 2, 2, &["--subject-prefix=PATCH RESEND"]);
    mbox(&[r.send("v1", 1, 2, &[]), again].concat())
})]
#[case::one_patch_sent_again("again-1", LATER_WINS, |r: &Repository| {
    let again = r.send("again", 2, 1, &["--subject-prefix=PATCH RESEND"]);
    mbox(&[r.send("v1", 1, 1, &[]), again].concat())
})]
#[case::sent_again_only("v1-1 v1-2", "", |r: &Repository| {
    mbox(&r.send("v1", 2, 2, &["--subject-prefix=PATCH RESEND"]))
})]
#[case::two_with_one_number("v1-1 fixed-2", LATER_WINS, |r: &Repository| {
    let fixed = r.send("fixed", 2, 2, &[]);
    mbox(&[r.send("v1", 1, 2, &[]), vec![answering(&fixed[1], "v1-2")]].concat())
})]
#[case::next_version_unnamed("later-1", "", |r: &Repository| {
    mbox(&[r.send("v1", 1, 1, &[]), r.send("later", 2, 1, &[])].concat())
})]
#[case::somebody_elses_patch("v2-1 v2-2", STRAY, |r: &Repository| {
    let other = by(&r.send("x", 5, 1, &[])[0], "O Ther <other@example.org>");
    let mut sent = r.send("v2", 1, 2, &["-v2"]);
    sent.push(answering(&other, "v2-2"));
    mbox(&sent)
})]
#[case::quoted_diffs("v1-1 v1-2", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 2, &["--cover-letter"]);
    let said = format!("On Thu, A Developer wrote:\n{}\nNo.\n", quoted(&sent[1]));
    sent.push(reply("r1", "v1-1", 2, "Re: [PATCH 1/2] part 1", &said));
    sent.insert(0, reply("r2", "r1", 3, "AW: [PATCH 1/2] part 1", &said));
    mbox(&sent)
})]
#[case::trailers_in_replies("v1-1 v1-2", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 2, &["--cover-letter"]);
    let said = "Reviewed-by: R Viewer <rev@example.org>\n";
    sent.push(reply("r1", "v1-1", 2, "Re: [PATCH 1/2] part 1", said));
    sent.push(reply("r2", "v1-0", 2, "the whole", said));
    mbox(&sent)
})]
#[case::patch_in_a_reply("v1-1 v1-2", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 2, &[]);
    let other = r.send("x", 2, 1, &[]);
    let (_, body) = other[0].split_once("\n\n").unwrap();
    sent.push(reply("r1", "v1-2", 2, "Re: [PATCH 2/2] part 2", body));
    sent.push(reply("r2", "v1-2", 2, "Fwd: [PATCH v2 2/2] part 2", body));
    mbox(&sent)
})]
#[case::version_as_answers("v1-1 v2-2 v1-3", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 3, &["--cover-letter"]);
    sent.push(answering(&r.send("v2", 2, 3, &["-v2"])[1], "v1-2"));
    mbox(&sent)
})]
#[case::version_as_answers_to_reviews("v1-1 v2-2 v3-3", "", |r: &Repository| {
    let mut sent = r.send("v1", 1, 3, &["--cover-letter"]);
    sent.push(reply("r1", "v1-2", 1, "Re: [PATCH 2/3] part 2", "No.\n"));
    sent.push(answering(&r.send("v2", 2, 3, &["-v2"])[1], "r1"));
    sent.push(answering(&r.send("v3", 3, 3, &["-v3"])[2], "v1-3"));
    mbox(&sent)
})]
#[case::version_in_part_without_answers("v1-1 v1-2 v1-3", COMPLETE, |r: &Repository| {
    let mut sent = r.send("v1", 1, 3, &["--cover-letter"]);
    sent.push(answering(&r.send("v2", 2, 3, &["-v2"])[1], "v1-0"));
    mbox(&sent)
})]
#[case::base64("v1-1 v1-2", "", |r: &Repository| {
    let headers = "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64";
    let sent = r.send("v1", 1, 2, &["--cover-letter"]);
    mbox(&sent.iter().map(|m| with_body(m, headers, base64)).collect::<Vec<_>>())
})]
#[case::quoted_printable("v1-1 v1-2", "", |r: &Repository| {
    let headers = "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable";
    let sent = r.send("v1", 1, 2, &["--cover-letter"]);
    mbox(&sent.iter().map(|m| with_body(m, headers, quoted_printable)).collect::<Vec<_>>())
})]
#[case::flowed("v1-1 v1-2", "", |r: &Repository| {
    let headers = "Content-Type: text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: 8bit";
    let stuffed = |text: &str| text.replace("\n ", "\n  ").replace("\n-- \n", "\n --\n");
    let sent = r.send("v1", 1, 2, &[]);
    mbox(&sent.iter().map(|m| with_body(m, headers, stuffed)).collect::<Vec<_>>())
})]
#[case::attached("v1-1 v1-2", "", |r: &Repository| mbox(&r.send("v1", 1, 2, &["--attach"])))]
#[case::inline_part("v1-1 v1-2", "", |r: &Repository| mbox(&r.send("v1", 1, 2, &["--inline"])))]
#[case::html_as_well("v1-1", "", |r: &Repository| {
    let parts = |text: &str| format!(
        "--b\nContent-Type: text/plain; charset=utf-8\n\n{text}\n--b\nContent-Type: text/html\n\n<p>hello</p>\n--b--\n"
    );
    let headers = "Content-Type: multipart/alternative; boundary=\"b\"";
    mbox(&[with_body(&r.send("v1", 1, 1, &[])[0], headers, parts)])
})]
#[case::crlf("v1-1 v1-2", "", |r: &Repository| {
    let sent = mbox(&r.send("v1", 1, 2, &["--cover-letter"]));
    String::from_utf8(sent).unwrap().replace('\n', "\r\n").into_bytes()
})]
#[case::mboxrd("v1-1 v1-2", "", |r: &Repository| {
    let sent = r.send("v1", 1, 2, &[]);
    let quoted = |m: &String| m.replacen("\n\nWhat", "\n\n>From here on\n>>From there\nWhat", 1);
    mbox(&sent.iter().map(quoted).collect::<Vec<_>>())
})]
#[case::packed("v2-1 v2-2 v2-3", "", |r: &Repository| {
    let sent = three_versions(r);
    gzip(&mbox(&sent[..8]))
})]
#[case::title_in_utf8("v1-1", "", |r: &Repository| {
    let sent = r.send("v1", 1, 1, &[]);
    mbox(&[with_header(&sent[0], "Subject", "Subject: =?UTF-8?q?=5BPATCH=20v2=5D=20f=C3=BCr?=\n =?UTF-8?q?=20alle?=")])
})]
#[case::latin1("v1-1 v1-2", "", |r: &Repository| {
    let headers = "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable";
    let body = |text: &str| quoted_printable(text).replace("=C3=BC", "=FC");
    let sent = r.send("v1", 1, 2, &[]);
    mbox(&sent.iter().map(|m| with_body(m, headers, body)).collect::<Vec<_>>())
})]
fn klto_chooses_as_b4_does(#[case] wanted: &str, #[case] why_not: &str, #[case] thread: Thread) {
    let mbox = thread(&Repository::new());
    compare(&mbox, None, wanted, why_not);
}

#[rstest]
#[case(1, "v1-1 v1-2 v1-3")]
#[case(2, "v2-1 v2-2 v2-3")]
#[case(3, "v3-1 v3-2 v3-3")]
#[case(4, "expected v4 of the series, found v1, v2, v3")]
fn klto_takes_the_version_that_b4_does(#[case] revision: u32, #[case] wanted: &str) {
    let mbox = mbox(&three_versions(&Repository::new()));
    compare(&mbox, Some(revision), wanted, "");
}

/// Holds what klto takes against what is wanted, and against b4.
fn compare(mbox: &[u8], revision: Option<u32>, wanted: &str, why_not: &str) {
    let taken = match by_klto(mbox.to_vec(), revision) {
        Ok(taken) => {
            assert_eq!(taken.join(" "), wanted);
            taken
        }
        Err(said) => {
            assert!(said.contains(wanted), "{said}");
            Vec::new()
        }
    };
    let Some(b4) = b4() else {
        return;
    };
    let (by_b4, is_complete) = by_b4(&b4, mbox, revision);
    let agrees = by_b4 == taken && is_complete;
    match why_not {
        "" => assert!(agrees, "b4 takes {by_b4:?}, complete: {is_complete}"),
        why => {
            assert!(!agrees, "b4 does the same now; remove the reason: {why}");
            assert!(!by_b4.is_empty(), "b4 takes nothing");
        }
    }
}

/// The patches are git's: `git am` applies what was chosen, in its order.
#[rstest]
#[case::plain(&[], "", |text: &str| text.to_owned())]
#[case::base64(&[], "Content-Transfer-Encoding: base64", base64)]
#[case::quoted_printable(&[], "Content-Transfer-Encoding: quoted-printable", quoted_printable)]
#[case::attached(&["--attach"], "", |text: &str| text.to_owned())]
fn git_applies_what_was_chosen(
    #[case] options: &[&str],
    #[case] headers: &str,
    #[case] body: fn(&str) -> String,
) {
    let r = Repository::new();
    let mut sent = r.send("v1", 1, 3, options);
    let tree = r.git(&["rev-parse", "HEAD^{tree}"]);
    if !headers.is_empty() {
        let headers = format!("Content-Type: text/plain; charset=UTF-8\n{headers}");
        sent = sent.iter().map(|m| with_body(m, &headers, body)).collect();
    }
    sent.reverse();
    let input = ("t.mbox".to_owned(), mbox(&sent));
    let series = thread::read(&[input], None, &Cancel::new()).unwrap();
    r.git(&["checkout", "--quiet", "--detach", "base"]);
    for (n, mail) in (1..).zip(&series.patches) {
        let file = r.dir.path().join(".git/one.patch");
        std::fs::write(&file, &mail.raw).unwrap();
        r.git(&["am", "--quiet", file.to_str().unwrap()]);
        assert_eq!(r.git(&["log", "-1", "--format=%s"]), format!("part {n}\n"));
        std::fs::write(&file, &mail.patch).unwrap();
        r.git(&["apply", "--reverse", "--check", file.to_str().unwrap()]);
    }
    assert_eq!(r.git(&["rev-parse", "HEAD^{tree}"]), tree);
}
