//! The versions of a series that messages contain: which patch has which number in which
//! version, and in what order the versions came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::mail::{Mail, diff_of};

/// How far up the messages are followed that one answers.
const MOST_ABOVE: usize = 100;
/// More versions than this are not compared with each other.
pub const MOST_REVISIONS: usize = 200;

/// One version of a series. Messages are places in the list of all.
#[derive(Debug, Clone, Default)]
pub struct Revision {
    pub version: u32,
    /// How many patches it has, as their subjects state it.
    pub of: u32,
    pub cover: Option<usize>,
    /// By number.
    pub patches: BTreeMap<u32, usize>,
    /// Not of the series that the other messages are about.
    pub is_aside: bool,
    pub notes: Vec<String>,
    /// When the first of its own patches was sent.
    date: i64,
    /// Where that patch is in the input.
    first: usize,
    /// Whether a subject states a version.
    has_version: bool,
    /// Whether a subject states a number.
    has_number: bool,
    is_rfc: bool,
}

impl Revision {
    fn key(&self) -> (u32, u32) {
        (self.version, self.of)
    }

    /// How many patches it must have: more than stated if one is numbered `6/5`.
    #[must_use]
    pub fn count(&self) -> u32 {
        let last = self.patches.last_key_value().map_or(1, |(n, _)| *n);
        self.of.max(last)
    }
}

/// The numbers of the patches that a version lacks.
#[must_use]
pub fn missing(revision: &Revision) -> Vec<u32> {
    (1..=revision.count())
        .filter(|n| !revision.patches.contains_key(n))
        .collect()
}

/// The versions, the newest first.
#[must_use]
pub fn revisions(mails: &[Mail]) -> Vec<Revision> {
    let messages = Messages::new(mails);
    if let Some(revision) = messages.bare_sequence() {
        return vec![revision];
    }
    let mut found = messages.grouped();
    if found.len() > MOST_REVISIONS {
        return found;
    }
    messages.number_versions(&mut found);
    let early = early_drafts(&found);
    found.sort_by_key(|r| Reverse((!early.contains(&r.key()), r.version, r.date, r.first)));
    messages.fill(&mut found);
    messages.set_aside(&mut found);
    found
}

/// The versions that were sent for comments before the numbers began again at 1. Everywhere
/// else the higher number is newer, whatever the dates: in patch files they are those of the
/// commits.
fn early_drafts(found: &[Revision]) -> BTreeSet<(u32, u32)> {
    let is_early = |draft: &&Revision| {
        draft.is_rfc
            && found.iter().any(|other| {
                let is_restart = other.version <= draft.version && other.date > draft.date;
                is_restart && !other.is_rfc && (other.has_number || !draft.has_number)
            })
    };
    found.iter().filter(is_early).map(Revision::key).collect()
}

/// The messages and who answers whom.
struct Messages<'a> {
    mails: &'a [Mail],
    by_id: HashMap<&'a str, usize>,
    /// Those that count, in the order in which they were sent.
    order: Vec<usize>,
}

impl<'a> Messages<'a> {
    fn new(mails: &'a [Mail]) -> Self {
        let mut by_id = HashMap::new();
        let mut order = Vec::new();
        for (at, mail) in mails.iter().enumerate() {
            // Of two copies, as two mailing lists deliver them, the first counts.
            let id = mail.message_id.as_str();
            if id.is_empty() || *by_id.entry(id).or_insert(at) == at {
                order.push(at);
            }
        }
        order.sort_by_key(|at| (mails[*at].date, *at));
        Messages {
            mails,
            by_id,
            order,
        }
    }

    /// The messages that one answers, from the nearest. They may answer each other in a
    /// circle.
    fn ancestors(&self, at: usize) -> impl Iterator<Item = usize> {
        let above = std::iter::successors(self.parent(at), |at| self.parent(*at));
        above.take(MOST_ABOVE)
    }

    fn parent(&self, at: usize) -> Option<usize> {
        let id = self.mails[at].in_reply_to.as_deref()?;
        self.by_id.get(id).copied()
    }

    fn is_cover(&self, at: usize) -> bool {
        let mail = &self.mails[at];
        !mail.is_reply && matches!(mail.number, Some((0, _)))
    }

    fn is_patch(&self, at: usize) -> bool {
        let mail = &self.mails[at];
        mail.has_diff && !mail.is_reply && !self.is_cover(at)
    }

    /// Patches without numbers and ids, as `git format-patch -N` writes them: a series in the
    /// order of the input.
    fn bare_sequence(&self) -> Option<Revision> {
        let patches = (0..self.mails.len()).filter(|at| self.is_patch(*at));
        let patches: Vec<usize> = patches.collect();
        let is_bare = patches.iter().all(|at| {
            let mail = &self.mails[*at];
            mail.number.is_none() && !mail.has_version && mail.message_id.is_empty()
        });
        if !is_bare || patches.len() < 2 {
            return None;
        }
        let numbered: BTreeMap<u32, usize> = (1..).zip(patches).collect();
        let note = format!(
            "the {} patches have no numbers, so they were taken in the order of the input",
            numbered.len()
        );
        Some(Revision {
            version: 1,
            of: u32::try_from(numbered.len()).unwrap_or(u32::MAX),
            patches: numbered,
            notes: vec![note],
            ..Revision::default()
        })
    }

    /// The version of a patch or cover letter. A subject without one has that of the cover
    /// letter or of the patch that it answers, if these count as many patches.
    fn version(&self, at: usize) -> (u32, bool) {
        let mail = &self.mails[at];
        let Some((_, of)) = mail.number.filter(|_| !mail.has_version) else {
            return (mail.version, mail.has_version);
        };
        let is_of_it = |at: &usize| {
            let above = &self.mails[*at];
            !above.is_reply && above.number.is_some_and(|number| number.1 == of)
        };
        let mut above = self.ancestors(at).take_while(is_of_it);
        match above.find(|at| self.mails[*at].has_version) {
            Some(above) => (self.mails[above].version, true),
            None => (mail.version, false),
        }
    }

    /// Patches by version and by how many they are.
    fn grouped(&self) -> Vec<Revision> {
        let mut groups: BTreeMap<(u32, u32), BTreeMap<u32, Vec<usize>>> = BTreeMap::new();
        let mut covers: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let mut stated: BTreeSet<(u32, u32)> = BTreeSet::new();
        for at in self.order.iter().copied() {
            let (n, of) = self.mails[at].number.unwrap_or((1, 1));
            let (version, has_version) = self.version(at);
            let key = (version, of.max(1));
            if self.is_cover(at) {
                // The one that was sent last counts.
                covers.insert((version, of), at);
            } else if self.is_patch(at) {
                groups
                    .entry(key)
                    .or_default()
                    .entry(n)
                    .or_default()
                    .push(at);
                if has_version {
                    stated.insert(key);
                }
            }
        }
        let groups = groups.into_iter().map(|((version, of), slots)| {
            let mut revision = Revision {
                version,
                of,
                has_version: stated.contains(&(version, of)),
                cover: covers.get(&(version, of)).copied(),
                ..Revision::default()
            };
            self.place(&mut revision, slots);
            revision
        });
        groups.collect()
    }

    /// Puts one patch at each number.
    fn place(&self, revision: &mut Revision, slots: BTreeMap<u32, Vec<usize>>) {
        let patches = slots.values().flatten().copied();
        let earliest = patches.min_by_key(|at| (self.mails[*at].date, *at));
        let author = revision.cover.or(earliest);
        let author = author.map(|at| self.mails[at].author_address.as_str());
        for (n, places) in slots {
            let at = self.one_of(revision, n, &places, author.unwrap_or_default());
            revision.has_number |= self.mails[at].number.is_some();
            revision.patches.insert(n, at);
        }
        if let Some((_, first)) = revision.patches.first_key_value() {
            revision.first = *first;
            revision.is_rfc = self.mails[*first].has_prefix("rfc");
            revision.date = self.mails[*first].date;
        }
        revision.cover = revision.cover.or_else(|| self.cover_above(revision));
    }

    /// Which of the patches with the same number counts: one that states its number before
    /// one that does not, one of the series' author before one of somebody else, and of
    /// these the one that was sent last.
    fn one_of(&self, revision: &mut Revision, n: u32, places: &[usize], author: &str) -> usize {
        let rank = |at: usize| {
            let mail = &self.mails[at];
            let is_authors = mail.author_address == author;
            (mail.number.is_some(), is_authors, mail.date, at)
        };
        let mut ranked: Vec<usize> = places.to_vec();
        ranked.sort_by_key(|at| Reverse(rank(*at)));
        let Some((taken, passed)) = ranked.split_first() else {
            return 0;
        };
        let mine = &self.mails[*taken];
        for other in passed.iter().map(|at| &self.mails[*at]) {
            let what = format!("patch {n} of {} of v{}", revision.of, revision.version);
            let same = diff_of(&mine.body).eq(diff_of(&other.body));
            revision.notes.push(match same {
                true => format!("{what} is there twice with the same diff, and counts once"),
                false => format!(
                    "{what} is there twice with different diffs: '{}' by {} was taken, '{}' by {} was passed over",
                    mine.subject, mine.author, other.subject, other.author
                ),
            });
        }
        *taken
    }

    /// A message without `0/n` in its subject that the first patch with a parent answers, and
    /// that is a cover letter all the same.
    fn cover_above(&self, revision: &Revision) -> Option<usize> {
        revision.patches.values().find_map(|at| {
            let above = self.parent(*at)?;
            let (mail, patch) = (&self.mails[above], &self.mails[*at]);
            let is_root = mail.in_reply_to.is_none()
                && !mail.is_reply
                && mail.author_address == patch.author_address;
            let is_other = matches!(mail.number, Some((_, of)) if of != revision.of);
            (!mail.has_diff && !is_other && (mail.has_diffstat || is_root)).then_some(above)
        })
    }

    /// An author who sends a single patch again and states no version means the next one.
    fn number_versions(&self, found: &mut Vec<Revision>) {
        let [only] = found.as_slice() else {
            return;
        };
        if only.has_version || only.has_number || only.of != 1 {
            return;
        }
        let patches = self.order.iter().copied().filter(|at| self.is_patch(*at));
        let patches: Vec<usize> = patches.collect();
        let Some(first) = patches.first().map(|at| &self.mails[*at]) else {
            return;
        };
        // One by somebody else, or one sent again, is no version.
        let again = patches[1..].iter().copied().filter(|at| {
            let mail = &self.mails[*at];
            mail.author_address == first.author_address
                && mail.has_prefix("patch")
                && !mail.has_prefix("resend")
                && mail.date > first.date
                && !diff_of(&mail.body).eq(diff_of(&first.body))
        });
        let versions: Vec<usize> = patches[..1].iter().copied().chain(again).collect();
        if versions.len() < 2 {
            return;
        }
        let numbered = (1..).zip(versions).map(|(version, at)| {
            let mut revision = Revision {
                version,
                of: 1,
                ..Revision::default()
            };
            self.place(&mut revision, BTreeMap::from([(1, vec![at])]));
            if version > 1 {
                let note = format!(
                    "'{}' has no version and counts as v{version}",
                    self.mails[at].subject
                );
                revision.notes.push(note);
            }
            revision
        });
        *found = numbered.collect();
    }

    /// Fills a version of which only some patches were sent, each as an answer to the patch
    /// that it replaces, from the version before it.
    fn fill(&self, found: &mut [Revision]) {
        let mut by_version: Vec<usize> = (0..found.len()).collect();
        by_version.sort_by_key(|i| found[*i].version);
        for i in by_version {
            let (version, of) = (found[i].version, found[i].of);
            let before = found
                .iter()
                .position(|other| other.version + 1 == version && other.of == of);
            let Some(before) = before.filter(|_| self.replaces(&found[i])) else {
                continue;
            };
            let lacking = missing(&found[i]);
            let filled: Vec<(u32, usize)> = lacking
                .iter()
                .filter_map(|n| Some((*n, *found[before].patches.get(n)?)))
                .collect();
            if filled.is_empty() || filled.len() < lacking.len() {
                continue;
            }
            let own: Vec<u32> = found[i].patches.keys().copied().collect();
            found[i].notes.push(format!(
                "only {} of {of} was sent as v{version}, in answer to what it replaces; the others are those of v{}",
                super::numbers(&own),
                version - 1
            ));
            found[i].patches.extend(filled);
        }
    }

    /// Whether each patch answers one of another version with the same number, or an answer
    /// to that one.
    fn replaces(&self, revision: &Revision) -> bool {
        revision.patches.values().all(|at| {
            let number = self.mails[*at].number;
            let mut above = self.ancestors(*at);
            let is_it = |above: usize| above != *at && self.mails[above].number == number;
            number.is_some() && above.any(is_it)
        })
    }

    /// Sets aside what has no version in its subject, and is a single patch amid a series,
    /// or by somebody else than what was sent first.
    fn set_aside(&self, found: &mut [Revision]) {
        let Some(eldest) = found.iter().min_by_key(|r| (r.date, r.first)) else {
            return;
        };
        let eldest = eldest.first;
        let is_single = |revision: &Revision| !revision.has_number && !revision.has_version;
        let has_series = found.iter().any(|revision| !is_single(revision));
        let title = |revision: &Revision| &self.mails[revision.first].title;
        let is_aside = |revision: &Revision| {
            let author = &self.mails[revision.first].author_address;
            let is_foreign = *author != self.mails[eldest].author_address;
            let mut others = found.iter().filter(|other| other.first != revision.first);
            let has_namesake = others.any(|other| title(other) == title(revision));
            let is_stray = is_single(revision) && has_series && !has_namesake;
            revision.first != eldest && !revision.has_version && (is_stray || is_foreign)
        };
        let aside: Vec<bool> = found.iter().map(is_aside).collect();
        for (revision, is_aside) in found.iter_mut().zip(aside) {
            revision.is_aside = is_aside;
        }
    }
}
