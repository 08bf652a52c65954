//! What a patch series does, from what was found at its base and after each patch. Findings are
//! matched by what they are, and not by their number or the lines where they show. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::cell::LtoMode;
use crate::model::finding::{BUILD_FAILED, counted, key_matches};
use crate::model::record::{CellRecord, FindingRecord, Outcome, Skip, SkipReason};
use crate::model::series::{Change, SeriesFinding, Undecided};

/// Digits of a finding's number.
const ID_DIGITS: usize = 10;
/// From how many digits on a hexadecimal number is a hash or an address.
const HASH_DIGITS: usize = 6;

/// What the states showed, the base first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The worst first; of the same kind in the order of patches, then of cells.
    pub findings: Vec<SeriesFinding>,
    pub undecided: Vec<Undecided>,
}

/// Whether a finding is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    /// Its rule was not checked.
    Unknown,
}

/// Judges a series. `states` has the records of the cells at the base and after each patch, in
/// the same order; `is_acknowledged` is asked for the number of a finding.
#[must_use]
pub fn judge(states: &[&[CellRecord]], is_acknowledged: &dyn Fn(&str) -> bool) -> Judged {
    let Some(cells) = states.first() else {
        return Judged {
            findings: Vec::new(),
            undecided: Vec::new(),
        };
    };
    let mut findings: Vec<SeriesFinding> = Vec::new();
    let mut undecided = Vec::new();
    for cell in *cells {
        let records: Vec<&CellRecord> = states
            .iter()
            .filter_map(|records| records.iter().find(|record| record.cell == cell.cell))
            .collect();
        if records.len() != states.len() {
            continue;
        }
        let mut unclear: BTreeMap<&str, usize> = BTreeMap::new();
        for (placed, record, change) in over_states(&records) {
            match change {
                Some(change) => {
                    let is_acknowledged = is_acknowledged(&placed.id());
                    add(&mut findings, placed, record, change, is_acknowledged);
                }
                None => *unclear.entry(&placed.finding.key).or_default() += 1,
            }
        }
        undecided.extend(not_told(&records));
        undecided.extend(unclear.into_iter().map(|(key, number)| Undecided {
            cell: cell.cell.clone(),
            state: states.len() - 1,
            why: format!(
                "{key}: {}, and no earlier state shows whether that is new",
                counted(number, "findings are there")
            ),
        }));
    }
    findings.sort_by_key(|finding| finding.change);
    Judged {
        findings,
        undecided,
    }
}

/// Adds the finding of a cell to those of the series: to the same one of another cell, if there is
/// one to which the series does the same.
fn add(
    findings: &mut Vec<SeriesFinding>,
    placed: Placed<'_>,
    record: &CellRecord,
    change: Change,
    is_acknowledged: bool,
) {
    let (id, finding, cell) = (placed.id(), placed.finding, &record.cell);
    let known = findings
        .iter_mut()
        .find(|f| f.id == id && f.change == change);
    match known {
        Some(known) if known.cells.contains(cell) => {}
        Some(known) => known.cells.push(cell.clone()),
        None => findings.push(SeriesFinding {
            id,
            key: finding.key.clone(),
            object: finding.object.clone(),
            step: placed.step(),
            evidence: finding.evidence.clone(),
            details: finding.details.clone(),
            change,
            cells: vec![cell.clone()],
            is_acknowledged,
            brought_by: Vec::new(),
            reproduce: record.reproduce.clone(),
        }),
    }
}

/// The numbers of all findings of a record, as [`SeriesFinding::id`] has them.
pub(super) fn ids(record: &CellRecord) -> BTreeSet<String> {
    Placed::all(record).map(Placed::id).collect()
}

/// The findings of one cell over all states, each once: with the record that has it first, and
/// what the series does to it; `None` if it is there and nothing shows whether it is new.
fn over_states<'a>(
    records: &[&'a CellRecord],
) -> Vec<(Placed<'a>, &'a CellRecord, Option<Change>)> {
    let found: Vec<BTreeSet<Identity>> = records
        .iter()
        .map(|record| Placed::all(record).map(Placed::identity).collect())
        .collect();
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for record in records {
        for placed in Placed::all(record).filter(|placed| placed.finding.is_open()) {
            let identity = placed.identity();
            if seen.contains(&identity) {
                continue;
            }
            let presence: Vec<Presence> = std::iter::zip(records, &found)
                .map(|(record, found)| match found.contains(&identity) {
                    true => Presence::Present,
                    false if is_checked(record, placed) => Presence::Absent,
                    false => Presence::Unknown,
                })
                .collect();
            seen.insert(identity);
            changes.push((placed, *record, change(&presence)));
        }
    }
    changes
}

/// What the series does to a finding that is there in these states; `None` if too little is
/// known of the states before it or after it.
fn change(presence: &[Presence]) -> Option<Change> {
    use Presence::{Absent, Present, Unknown};

    let (base, end) = (presence.first()?, presence.last()?);
    let first = presence.iter().position(|p| *p == Present)?;
    let last = presence.iter().rposition(|p| *p == Present)?;
    let gone = |after: usize| (after + 1..presence.len()).find(|at| presence[*at] == Absent);
    let since = presence[..first].iter().rposition(|p| *p == Absent);
    match (base, end) {
        (Present, Present | Unknown) => Some(Change::Known),
        (Present, Absent) => gone(last).map(|by| Change::Mended { by }),
        (Absent | Unknown, Absent) => match since {
            Some(_) => gone(last).map(|mended| Change::BrokenBetween { by: first, mended }),
            None => None,
        },
        (Absent | Unknown, Present | Unknown) => since.map(|since| Change::New {
            since: since + 1,
            by: first,
        }),
    }
}

/// Whether a record would have the finding if it were there.
fn is_checked(record: &CellRecord, Placed { part, finding }: Placed<'_>) -> bool {
    match &record.outcome {
        // The mode is not there, and so nothing is wrong in it.
        Outcome::Skip(SkipReason::NoDistributedMode { .. }) => return true,
        Outcome::Pass | Outcome::Fail | Outcome::Error(_) if record.is_finished() => {}
        Outcome::Skip(_) | Outcome::Pass | Outcome::Fail | Outcome::Error(_) => return false,
    }
    match part {
        Part::Build => {
            let rules = record.inspection.iter().flat_map(|i| &i.rules);
            // The build came to its end, so what makes it fail is not there.
            finding.key == BUILD_FAILED.key
                || rules.into_iter().any(|r| r.key == finding.key)
                || key_matches("sandbox", &finding.key) && record.sandbox.is_some()
        }
        Part::Scenario(name) => record.scenarios.iter().any(|scenario| {
            let skips = |skip: &Skip| skip.step.is_none() || skip.step == finding.step;
            scenario.name == name && record.error.is_none() && !scenario.skipped.iter().any(skips)
        }),
        Part::Comparison(mode) => record.comparisons.iter().any(|comparison| {
            let mut lacking = comparison.not_compared.iter();
            comparison.with == mode
                && comparison.skipped.is_none()
                && !lacking.any(|rule| rule.key == finding.key)
        }),
    }
}

/// The states in which a cell has no verdict, or not a whole one.
fn not_told(records: &[&CellRecord]) -> Vec<Undecided> {
    let mut undecided = Vec::new();
    for (state, record) in records.iter().enumerate() {
        let mut add = |why: String| {
            undecided.push(Undecided {
                cell: record.cell.clone(),
                state,
                why,
            });
        };
        match (&record.outcome, &record.error) {
            (Outcome::Error(why), _) | (_, Some(why)) => add(why.clone()),
            (Outcome::Skip(SkipReason::NoDistributedMode { .. } | SkipReason::BetweenEnds), _) => {}
            (Outcome::Skip(why), _) => add(why.to_string()),
            // What else is wrong does not show in a tree that was not built.
            (Outcome::Pass | Outcome::Fail, None) if !record.is_finished() && state == 0 => {
                add(
                    "the build fails in the base, so that the rules had nothing to check"
                        .to_owned(),
                );
            }
            (Outcome::Pass | Outcome::Fail, None) => {}
        }
    }
    undecided
}

/// The part of a record that has a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Build,
    Scenario(&'a str),
    Comparison(LtoMode),
}

/// A finding, and where in a record it is.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    part: Part<'a>,
    finding: &'a FindingRecord,
}

/// What a finding is, whatever the lines and numbers where it shows: rule, object, step,
/// evidence.
type Identity = [String; 4];

impl<'a> Placed<'a> {
    /// All findings of a record.
    fn all(record: &'a CellRecord) -> impl Iterator<Item = Placed<'a>> {
        let place = |part| move |finding| Placed { part, finding };
        let build = record.inspection.iter().flat_map(|i| &i.findings);
        let scenarios = record.scenarios.iter();
        let scenarios =
            scenarios.flat_map(move |s| s.findings.iter().map(place(Part::Scenario(&s.name))));
        let comparisons = record.comparisons.iter();
        let comparisons =
            comparisons.flat_map(move |c| c.findings.iter().map(place(Part::Comparison(c.with))));
        build
            .map(place(Part::Build))
            .chain(scenarios)
            .chain(comparisons)
    }

    /// The scenario and its step, or the mode that was compared.
    fn step(self) -> Option<String> {
        match (self.part, &self.finding.step) {
            (Part::Build, _) => None,
            (Part::Scenario(name), Some(step)) => Some(format!("{name}: {step}")),
            (Part::Scenario(name), None) => Some(name.to_owned()),
            (Part::Comparison(mode), _) => Some(format!("comparison with {mode}")),
        }
    }

    fn identity(self) -> Identity {
        let finding = self.finding;
        let mut evidence = steady(&finding.evidence);
        // Builds fail at the same target for different reasons.
        if finding.key == BUILD_FAILED.key
            && let Some(first) = finding.details.first()
        {
            evidence.push('\n');
            evidence.push_str(&steady(first));
        }
        let step = self.step().unwrap_or_default();
        [finding.key.clone(), steady(&finding.object), step, evidence]
    }

    /// The number of the finding, the same in the next version of a series.
    fn id(self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in self.identity() {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..ID_DIGITS].to_owned()
    }
}

/// Text without what a harmless edit changes: the folders of absolute paths, line numbers,
/// hashes, offsets and addresses.
fn steady(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let is_of_word = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    for c in text.chars() {
        if is_of_word(c) {
            word.push(c);
            continue;
        }
        push_steady(&mut out, &word);
        word.clear();
        out.push(c);
    }
    push_steady(&mut out, &word);
    out
}

/// Appends a word: `#` for a number that names a place.
fn push_steady(out: &mut String, word: &str) {
    let number = word.strip_prefix("0x").unwrap_or(word);
    let is_hex = !number.is_empty() && number.bytes().all(|b| b.is_ascii_hexdigit());
    let is_decimal = number.bytes().all(|b| b.is_ascii_digit());
    let is_hash = is_hex
        && number.len() >= HASH_DIGITS
        && (number.len() != word.len() || number.bytes().any(|b| b.is_ascii_digit()));
    let names_place = ["line ", "offset ", "byte ", "at ", ":"]
        .iter()
        .any(|before| out.ends_with(before));
    if is_hash || is_hex && number.len() != word.len() || is_decimal && is_hex && names_place {
        out.push('#');
    } else if word.starts_with('/') {
        out.push_str(word.rsplit('/').next().unwrap_or(word));
    } else {
        out.push_str(word);
    }
}

#[cfg(test)]
mod tests;
