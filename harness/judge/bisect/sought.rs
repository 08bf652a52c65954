//! The finding that is searched for: chosen at the ends, and recognised in the records of commits.

use std::collections::BTreeSet;

use crate::judge::identity::{Checked, Part, Place, Placed};
use crate::model::bisect::{SoughtFinding, Verdict};
use crate::model::finding::key_matches;
use crate::model::record::{CellRecord, FindingRecord, Outcome};

/// What a test showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    pub verdict: Verdict,
    /// Why it is that verdict, in a phrase.
    pub why: String,
    /// Other findings that the commit has in the cell, as `KEY OBJECT`.
    pub others: Vec<String>,
    /// What the result depends on, as a hash; empty if that is not known.
    pub job: String,
    pub reused: bool,
    /// It is unknown because of the machine: another test may tell.
    pub machine_failed: bool,
}

impl Tested {
    /// A commit of which nothing is known but why.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Tested {
        Tested {
            verdict: Verdict::Unknown,
            why: why.into(),
            others: Vec::new(),
            job: String::new(),
            reused: false,
            machine_failed: false,
        }
    }
}

/// What the user says of the finding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The key of its rule, or the beginning of one.
    pub key: Option<String>,
    /// Its object.
    pub object: Option<String>,
}

impl Asked {
    /// Of `KEY[:OBJECT]`.
    #[must_use]
    pub fn parse(text: &str) -> Asked {
        let (key, object) = match text.split_once(':') {
            Some((key, object)) => (key, Some(object.to_owned())),
            None => (text, None),
        };
        Asked {
            key: Some(key.to_owned()),
            object,
        }
    }

    fn is_of(&self, placed: Placed<'_>) -> bool {
        let finding = placed.finding;
        let is_key = |key: &String| key_matches(key, &finding.key);
        let is_object = |object: &String| *object == finding.object;
        self.key.as_ref().is_none_or(is_key) && self.object.as_ref().is_none_or(is_object)
    }
}

/// A finding that is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    pub finding: SoughtFinding,
    /// Where in a record it would be.
    place: Place,
}

/// The records of the cells at the bad end, and what may be searched for.
#[derive(Debug)]
pub struct Ends {
    bad: Vec<CellRecord>,
    candidates: Vec<Candidate>,
}

impl Ends {
    /// Of the records of the bad end, and of those of each good end.
    #[must_use]
    pub fn of(bad: Vec<CellRecord>, good: &[Vec<CellRecord>], asked: &Asked) -> Ends {
        Ends {
            candidates: candidates(&bad, good, asked),
            bad,
        }
    }

    /// The finding to search for, and the others that are new; or why the ends do not fit.
    ///
    /// # Errors
    /// The reason, in a phrase.
    pub fn choose(&self) -> Result<(Sought, Vec<SoughtFinding>), String> {
        let [first, rest @ ..] = self.candidates.as_slice() else {
            let cells = self.bad.iter();
            let mut untold = cells.filter_map(|cell| Some((&cell.cell, cell.error.as_ref()?)));
            return Err(match untold.next() {
                None => "the bad end has no such finding".to_owned(),
                Some((cell, why)) => {
                    format!(
                        "the bad end has no such finding, as far as could be told: {cell}: {why}"
                    )
                }
            });
        };
        let Candidate {
            sought,
            is_old,
            untold,
            is_new: _,
        } = first;
        let said = format!("{} of {}", sought.finding.key, sought.finding.object);
        if *is_old {
            return Err(format!("a good end has it, too: {said}"));
        }
        if let Some(why) = untold {
            return Err(format!(
                "whether the good end has it could not be told: {said}: {why}"
            ));
        }
        let others = rest.iter().filter(|candidate| candidate.is_new);
        let others = others.map(|other| other.sought.finding.clone());
        Ok((sought.clone(), others.collect()))
    }
}

/// A finding of the bad end, and what is known of it at the good ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub sought: Sought,
    /// Whether each good end looked for it and does not have it.
    pub is_new: bool,
    /// Some good end has it.
    pub is_old: bool,
    /// Why that is unknown of a good end, of the first of which it is.
    pub untold: Option<String>,
}

/// The findings of the bad end that were asked for, each in the first cell in which it is new, or else
/// in the first that has it: those that the good ends do not have come first. `good` has the records of each good end.
fn candidates(bad: &[CellRecord], good: &[Vec<CellRecord>], asked: &Asked) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for record in bad {
        for placed in Placed::all(record).filter(|placed| counts(*placed) && asked.is_of(*placed)) {
            let sought = Sought::of(record, placed);
            let tests: Vec<Tested> = good
                .iter()
                .map(|records| {
                    let of_cell = records.iter().find(|r| r.cell == record.cell);
                    of_cell.map_or_else(
                        || Tested::unknown("the cell has no record"),
                        |r| sought.tested(r),
                    )
                })
                .collect();
            let unknown = tests.iter().find(|test| test.verdict == Verdict::Unknown);
            candidates.push(Candidate {
                is_new: tests.iter().all(|test| test.verdict == Verdict::Good),
                is_old: tests.iter().any(|test| test.verdict == Verdict::Bad),
                untold: unknown.map(|test| test.why.clone()),
                sought,
            });
        }
    }
    candidates.sort_by_key(|candidate| !candidate.is_new);
    let mut seen = BTreeSet::new();
    candidates.retain(|candidate| seen.insert(candidate.sought.finding.id.clone()));
    candidates
}

/// Whether a finding is one that a search may follow: one that is not allowed.
fn counts(placed: Placed<'_>) -> bool {
    placed.finding.is_open()
}

impl Sought {
    fn of(record: &CellRecord, placed: Placed<'_>) -> Sought {
        Sought {
            finding: SoughtFinding {
                id: placed.id(),
                key: placed.finding.key.clone(),
                object: placed.finding.object.clone(),
                step: placed.step(),
                evidence: placed.finding.evidence.clone(),
                cell: record.cell.clone(),
            },
            place: placed.place(),
        }
    }

    /// The same finding in another cell.
    #[must_use]
    pub fn in_cell(&self, cell: &str) -> Sought {
        let mut other = self.clone();
        cell.clone_into(&mut other.finding.cell);
        other
    }

    /// The part of a record that would have it.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.place.part
    }

    /// What a record says of the finding.
    #[must_use]
    pub fn tested(&self, record: &CellRecord) -> Tested {
        let (verdict, why) = self.verdict(record);
        let others = Placed::all(record)
            .filter(|placed| counts(*placed) && placed.id() != self.finding.id)
            .map(|placed| format!("{} {}", placed.finding.key, placed.finding.object));
        Tested {
            verdict,
            why,
            others: others.collect::<BTreeSet<_>>().into_iter().collect(),
            job: record.job.clone(),
            reused: record.reused,
            machine_failed: verdict == Verdict::Unknown && record.error.is_some(),
        }
    }

    /// A record has the finding, or looked for it and does not have it, or it is not known: another
    /// fault can hide it, and is not it.
    fn verdict(&self, record: &CellRecord) -> (Verdict, String) {
        let SoughtFinding {
            id, key, object, ..
        } = &self.finding;
        if let Some(found) = Placed::all(record).find(|placed| placed.id() == *id) {
            return (Verdict::Bad, found.finding.evidence.clone());
        }
        match (&record.outcome, &record.error) {
            (Outcome::Error(why), _) | (_, Some(why)) => return (Verdict::Unknown, why.clone()),
            (Outcome::Skip(why), None) => return (Verdict::Unknown, why.to_string()),
            (Outcome::Pass | Outcome::Fail, None) => {}
        }
        let is_like =
            |placed: &Placed<'_>| placed.place() == self.place && placed.finding.object == *object;
        if let Some(like) = Placed::all(record).find(is_like) {
            let evidence = &like.finding.evidence;
            let why = format!("{key} of {object} is there with other evidence: {evidence}");
            return (Verdict::Unknown, why);
        }
        if Checked::of(record).would_have(&self.place) {
            return (Verdict::Good, format!("{key} of {object} is not there"));
        }
        let why = match Placed::all(record).find(|placed| counts(*placed)) {
            None => format!("{key} was not checked"),
            Some(other) => {
                let FindingRecord {
                    key: by, evidence, ..
                } = other.finding;
                format!("{key} was not checked, because of {by}: {evidence}")
            }
        };
        (Verdict::Unknown, why)
    }
}

#[cfg(test)]
mod tests;
