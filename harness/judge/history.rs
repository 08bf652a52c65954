//! How the findings of a cell came and went over many runs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{Checked, Place, Presence};
use crate::model::stored::{CellHistory, CellRun, Course, FindingHistory, Red, RunAt, Worse};

/// What one run says of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub run: CellRun,
    /// Distinguishes everything that the result depends on.
    pub job: i64,
    /// Which of [`Known::checked`] says what was looked at.
    pub checked: i64,
    /// Which of [`Known::findings`] it has, and whether each counts: no allow entry covers it.
    pub findings: BTreeMap<i64, bool>,
}

/// What the entries of a cell refer to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub checked: BTreeMap<i64, Checked>,
    pub findings: BTreeMap<i64, KnownFinding>,
}

/// A finding, wherever it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFinding {
    /// As [`super::identity::Placed::id`].
    pub id: String,
    pub place: Place,
    pub object: String,
    pub evidence: String,
}

/// The history of a cell, whose entries are in the order of the runs.
#[must_use]
pub fn of_cell(matrix: &str, cell: &str, entries: &[Entry], known: &Known) -> CellHistory {
    let counted: BTreeSet<i64> = entries
        .iter()
        .flat_map(|entry| entry.findings.iter().filter(|(_, is_open)| **is_open))
        .map(|(number, _)| *number)
        .collect();
    let mut courses = Vec::new();
    for number in counted {
        let Some(finding) = known.findings.get(&number) else {
            continue;
        };
        let presence = presence(entries, known, number, finding);
        if let Some(course) = course(entries, &presence) {
            courses.push((number, finding, presence, course));
        }
    }
    let red = red(entries, &courses);
    courses.sort_by_key(|(.., course)| !course.is_there());
    let findings = courses.into_iter();
    CellHistory {
        matrix: matrix.to_owned(),
        cell: cell.to_owned(),
        runs: entries.iter().map(|entry| entry.run.clone()).collect(),
        red,
        findings: findings
            .map(|(_, finding, _, course)| FindingHistory {
                id: finding.id.clone(),
                key: finding.place.key.clone(),
                object: finding.object.clone(),
                step: finding.place.step(),
                evidence: finding.evidence.clone(),
                course,
            })
            .collect(),
    }
}

/// Whether each entry has a finding.
fn presence(
    entries: &[Entry],
    known: &Known,
    number: i64,
    finding: &KnownFinding,
) -> Vec<Presence> {
    let of = |entry: &Entry| match known.checked.get(&entry.checked) {
        Some(checked) => {
            let is_there = entry.findings.contains_key(&number);
            Presence::of(is_there, checked, &finding.place)
        }
        None => Presence::Unknown,
    };
    entries.iter().map(of).collect()
}

/// The course of a finding that these entries have; `None` if none of them does.
fn course(entries: &[Entry], presence: &[Presence]) -> Option<Course> {
    let told: Vec<(&Entry, bool)> = std::iter::zip(entries, presence)
        .filter_map(|(entry, presence)| match presence {
            Presence::Present => Some((entry, true)),
            Presence::Absent => Some((entry, false)),
            Presence::Unknown => None,
        })
        .collect();
    let at = |index: usize| told[index].0.run.at.clone();
    let last = told.iter().rposition(|(_, is_there)| *is_there)?;
    let is_there = last + 1 == told.len();
    if let Some((with, without)) = flaky(&told) {
        return Some(Course::Flaky {
            is_there,
            with,
            without,
        });
    }
    if !is_there {
        return Some(Course::Fixed {
            last: at(last),
            by: at(last + 1),
        });
    }
    let without = told.iter().rposition(|(_, is_there)| !is_there);
    Some(match without {
        None => Course::Always {
            first: at(0),
            runs: told.len(),
        },
        Some(without) if without + 1 == last => Course::New {
            by: at(last),
            after: at(without),
        },
        Some(without) => Course::Since {
            first: at(without + 1),
            after: at(without),
            runs: last - without,
        },
    })
}

/// How many runs of the last job with different results have a finding, and how many do not.
fn flaky(told: &[(&Entry, bool)]) -> Option<(usize, usize)> {
    let mut jobs: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for (entry, is_there) in told {
        let (with, without) = jobs.entry(entry.job).or_default();
        *match is_there {
            true => with,
            false => without,
        } += 1;
    }
    let differs = |job: &i64| jobs.get(job).copied().filter(|(a, b)| *a > 0 && *b > 0);
    told.iter().rev().find_map(|(entry, _)| differs(&entry.job))
}

/// How long the cell has been failing.
fn red(entries: &[Entry], courses: &[(i64, &KnownFinding, Vec<Presence>, Course)]) -> Option<Red> {
    let is = |entry: &Entry, outcome: &str| entry.run.outcome == outcome;
    let passed = entries.iter().rposition(|entry| is(entry, "pass"));
    let begins = passed.map_or(0, |passed| passed + 1);
    let failed: Vec<usize> = (begins..entries.len())
        .filter(|index| is(&entries[*index], "fail"))
        .collect();
    let (first, later) = failed.split_first()?;
    let at = |index: usize| -> RunAt { entries[index].run.at.clone() };
    let comes_in = |index: usize| {
        let comes = courses.iter().filter(move |(number, _, presence, _)| {
            let earlier = presence[..index].iter().rev();
            let before = earlier.copied().find(|p| *p != Presence::Unknown);
            entries[index].findings.get(number) == Some(&true) && before != Some(Presence::Present)
        });
        comes.map(|(_, finding, ..)| finding.id.clone())
    };
    let worse = std::iter::zip(2.., later).filter_map(|(nth, index)| {
        let findings: Vec<String> = comes_in(*index).collect();
        (!findings.is_empty()).then(|| Worse {
            at: at(*index),
            nth,
            findings,
        })
    });
    Some(Red {
        since: at(*first),
        passed: passed.map(at),
        runs: failed.len(),
        worse: worse.collect(),
    })
}

#[cfg(test)]
mod tests;
