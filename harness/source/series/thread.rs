//! From the messages of one or more threads to the one series to judge: the newest version
//! that is complete, or the one that the user names.

mod revisions;

use std::fmt::Write as _;

use revisions::{MOST_REVISIONS, Revision, missing, revisions};

use super::mail::{Mail, has_diff};
use super::mbox::Desk;
use crate::build::process::Cancel;
use crate::model::error::Error;

/// After so many messages that look like a patch to klto and not to git, no more are tried.
const MOST_REFUSED: usize = 100;

/// The most notes about a series.
const MOST_NOTES: usize = 20;

/// The series that was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    pub version: u32,
    /// Of the cover letter, or else of the first patch.
    pub title: String,
    pub cover: Option<Mail>,
    /// In order, each with the patch that git reads from it.
    pub patches: Vec<Mail>,
    pub base_commit: Option<String>,
    /// Ids as 'git patch-id --stable' prints them.
    pub prerequisite_patches: Vec<String>,
    pub prerequisite_changes: Vec<String>,
    pub change_id: Option<String>,
    /// Which version was taken and why, and what was passed over: a plain sentence each.
    pub notes: Vec<String>,
}

/// Reads the series in `inputs`: each a name for messages, and the bytes of an mbox (which
/// gzip may have packed), of a mail or of a patch file.
///
/// # Errors
/// [`Error::Usage`] if an input is not mail, or if there is no complete series in them, or
/// none with the `revision` that is wanted.
pub fn read(
    inputs: &[(String, Vec<u8>)],
    revision: Option<u32>,
    cancel: &Cancel,
) -> Result<Series, Error> {
    let name = names(inputs);
    let desk = Desk::new(cancel)?;
    let mut mails = messages(&desk, inputs, cancel)?;
    let mut refused = Vec::new();
    loop {
        let found = revisions(&mails);
        if found.len() > MOST_REVISIONS {
            return Err(Error::Usage(format!(
                "{name}: expected one patch series, found {} of different versions and lengths\n  pass an mbox that contains only the thread of the series",
                found.len()
            )));
        }
        let chosen = choose(&name, &mails, &found, revision, &refused)?;
        if read_patches(&desk, &mut mails, chosen, &mut refused)? {
            let mut notes = notes(&mails, &found, chosen, revision);
            notes.append(&mut refused);
            return Ok(series(mails, chosen, notes));
        }
        if refused.len() > MOST_REFUSED {
            return Err(Error::Usage(format!(
                "{name}: expected patches, found {} messages that look like one and from which 'git mailinfo' reads no patch\n  {SEND}",
                refused.len()
            )));
        }
    }
}

/// All messages, in the order of the input.
fn messages(
    desk: &Desk,
    inputs: &[(String, Vec<u8>)],
    cancel: &Cancel,
) -> Result<Vec<Mail>, Error> {
    let mut mails: Vec<Mail> = Vec::new();
    for (name, bytes) in inputs {
        for message in desk.messages(name, bytes)? {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let mut mail = Mail::parse(message);
            if !mail.has_date {
                mail.date = mails.last().map_or(0, |before| before.date);
            }
            mails.push(mail);
        }
    }
    Ok(mails)
}

/// Has git read the patches that were chosen. Returns whether it finds one in each message;
/// where it does not, the message is no patch from now on.
fn read_patches(
    desk: &Desk,
    mails: &mut [Mail],
    chosen: &Revision,
    refused: &mut Vec<String>,
) -> Result<bool, Error> {
    let before = refused.len();
    for at in chosen.patches.values() {
        let mail = &mut mails[*at];
        if !mail.patch.is_empty() {
            continue;
        }
        let patch = desk.patch(&mail.raw)?;
        if has_diff(&String::from_utf8_lossy(&patch)) {
            mail.patch = patch;
        } else {
            mail.has_diff = false;
            refused.push(format!("git finds no patch in '{}'", mail.subject));
        }
    }
    Ok(refused.len() == before)
}

/// What to pass instead.
const SEND: &str = "pass the whole thread as an mbox, or the files that 'git format-patch' writes";

/// The inputs, for an error that is about all of them.
fn names(inputs: &[(String, Vec<u8>)]) -> String {
    match inputs {
        [] => "no input".to_owned(),
        [(name, _)] => name.clone(),
        [(name, _), rest @ ..] => format!("{name} and {} more", rest.len()),
    }
}

/// The revision to take.
fn choose<'a>(
    name: &str,
    mails: &[Mail],
    found: &'a [Revision],
    wanted: Option<u32>,
    refused: &[String],
) -> Result<&'a Revision, Error> {
    let Some(newest) = found.iter().find(|revision| !revision.is_aside) else {
        let mut text = format!(
            "{name}: expected a patch series, found {}",
            what_is_there(mails)
        );
        for line in refused {
            let _ = write!(text, "\n  {line}");
        }
        return Err(Error::Usage(format!("{text}\n  {SEND}")));
    };
    let Some(wanted) = wanted else {
        let mut complete = found.iter().filter(|revision| !revision.is_aside);
        let complete = complete.find(|revision| missing(revision).is_empty());
        return complete.ok_or_else(|| incomplete(name, mails, newest));
    };
    let mut named = found.iter().filter(|revision| revision.version == wanted);
    // One that is aside only if there is no other.
    let mut named: Vec<_> = named.by_ref().collect();
    named.sort_by_key(|revision| (revision.is_aside, !missing(revision).is_empty()));
    match named.first() {
        None => Err(Error::Usage(format!(
            "{name}: expected v{wanted} of the series, found {}\n  choose one of these, or pass the mbox that contains v{wanted}",
            listed(found)
        ))),
        Some(revision) if missing(revision).is_empty() => Ok(revision),
        Some(revision) => Err(incomplete(name, mails, revision)),
    }
}

/// The error that a version is not complete.
fn incomplete(name: &str, mails: &[Mail], revision: &Revision) -> Error {
    let lack = lack(revision);
    let mut text = format!("{name}: expected a complete series, and {lack}");
    let without_diff = missing(revision).into_iter().find_map(|n| {
        let number = Some((n, revision.of));
        let mut mails = mails.iter();
        mails.find(|mail| {
            let is_it = mail.number == number && mail.version == revision.version;
            is_it && !mail.is_reply && !mail.has_diff
        })
    });
    if let Some(mail) = without_diff {
        let _ = write!(text, "; there is no patch in '{}'", mail.subject);
    }
    Error::Usage(format!("{text}\n  {SEND}"))
}

/// `v3 lacks patch 2 of 3`.
fn lack(revision: &Revision) -> String {
    let missing = missing(revision);
    let word = if missing.len() == 1 {
        "patch"
    } else {
        "patches"
    };
    format!(
        "v{} lacks {word} {} of {}",
        revision.version,
        numbers(&missing),
        revision.count()
    )
}

/// `1, 2 and 4`; a long list is cut.
fn numbers(numbers: &[u32]) -> String {
    const MOST: usize = 10;
    let mut words: Vec<String> = numbers.iter().take(MOST).map(u32::to_string).collect();
    if numbers.len() > MOST {
        words.push(format!("{} more", numbers.len() - MOST));
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}

/// `v1, v2`.
fn listed(found: &[Revision]) -> String {
    let mut versions: Vec<u32> = found.iter().map(|revision| revision.version).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions: Vec<String> = versions.iter().map(|v| format!("v{v}")).collect();
    versions.join(", ")
}

/// What the messages are if none is a patch: `12 messages, none with a patch`.
fn what_is_there(mails: &[Mail]) -> String {
    let count = match mails.len() {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    let replies = mails.iter().filter(|mail| mail.is_reply && mail.has_diff);
    match replies.count() {
        0 => format!("{count}, none with a patch"),
        1 => format!("{count}, and the only patch is in a reply ('Re:')"),
        with => format!("{count}, and the {with} patches are in replies ('Re:')"),
    }
}

/// What was taken and why.
fn notes(
    mails: &[Mail],
    found: &[Revision],
    chosen: &Revision,
    wanted: Option<u32>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let taken = chosen.version;
    let mut newer = found
        .iter()
        .take_while(|revision| !std::ptr::eq(*revision, chosen));
    let newer: Vec<&Revision> = newer.by_ref().filter(|r| !r.is_aside).collect();
    if wanted.is_some() {
        notes.push(format!("v{taken} was taken because it was asked for"));
    } else if let Some(newest) = newer.first() {
        notes.push(format!("{}, so v{taken} was taken", lack(newest)));
        for revision in &newer[1..] {
            notes.push(format!("{}, too", lack(revision)));
        }
    } else if found.iter().filter(|r| !r.is_aside).count() > 1 {
        let listed = listed(found);
        notes.push(format!("v{taken} was taken, the newest of {listed}"));
    }
    for revision in found.iter().filter(|revision| revision.is_aside) {
        if !std::ptr::eq(revision, chosen)
            && let Some((_, at)) = revision.patches.first_key_value()
        {
            notes.push(format!(
                "'{}' by {} was passed over: it is not of this series",
                mails[*at].subject, mails[*at].author
            ));
        }
    }
    notes.extend(chosen.notes.iter().cloned());
    let more = notes.len().saturating_sub(MOST_NOTES);
    if more > 0 {
        notes.truncate(MOST_NOTES);
        notes.push(format!("there are {more} more notes like these"));
    }
    notes
}

/// The chosen messages, with what the cover letter and the first patch say of the base.
fn series(mails: Vec<Mail>, chosen: &Revision, notes: Vec<String>) -> Series {
    let mut mails: Vec<Option<Mail>> = mails.into_iter().map(Some).collect();
    let cover = chosen.cover.and_then(|at| mails[at].take());
    let patches = chosen.patches.values();
    let patches: Vec<Mail> = patches.filter_map(|at| mails[*at].take()).collect();
    let places = || cover.iter().chain(patches.first());
    let one = |key: &str| places().find_map(|mail| mail.line(key));
    let all = |key: &str| {
        let mut found = places().map(|mail| mail.lines(key));
        found.find(|lines| !lines.is_empty()).unwrap_or_default()
    };
    let commit = |id: &String| (7..=64).contains(&id.len()) && is_hex(id);
    Series {
        version: chosen.version,
        title: places()
            .next()
            .map(|mail| mail.title.clone())
            .unwrap_or_default(),
        base_commit: one("base-commit").filter(commit),
        prerequisite_patches: all("prerequisite-patch-id")
            .into_iter()
            .filter(commit)
            .collect(),
        prerequisite_changes: all("prerequisite-change-id"),
        change_id: one("change-id"),
        cover,
        patches,
        notes,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
