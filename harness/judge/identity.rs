//! What a finding is, whatever the lines and numbers where it shows, and whether a record would have
//! it if it were there. Series, comparisons of runs and histories match findings by it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::cell::LtoMode;
use crate::model::finding::{BUILD_FAILED, key_matches};
use crate::model::record::{
    CellRecord, ComparisonRecord, FindingRecord, Outcome, ScenarioRecord, SkipReason,
};

/// Digits of a finding's number.
pub const ID_DIGITS: usize = 10;
/// From how many digits on a hexadecimal number is a hash or an address.
const HASH_DIGITS: usize = 6;

/// The part of a record that has a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "of", rename_all = "kebab-case")]
pub enum Part {
    Build,
    /// The scenario with that name.
    Scenario(String),
    /// The comparison with the tree of that mode.
    Comparison(LtoMode),
}

/// Where in a record a finding is, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub part: Part,
    /// The rule's.
    pub key: String,
    /// The step of the scenario after which it was found.
    pub step: Option<String>,
}

impl Place {
    /// The scenario and its step, or the mode that was compared; `None` for the build itself.
    #[must_use]
    pub fn step(&self) -> Option<String> {
        match (&self.part, &self.step) {
            (Part::Build, _) => None,
            (Part::Scenario(name), Some(step)) => Some(format!("{name}: {step}")),
            (Part::Scenario(name), None) => Some(name.clone()),
            (Part::Comparison(mode), _) => Some(format!("comparison with {mode}")),
        }
    }
}

/// Whether a finding is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Present,
    /// Its rule was not checked.
    Unknown,
}

impl Presence {
    /// Of a finding with that place, in a record that looked at what `checked` says and has it or
    /// not.
    #[must_use]
    pub fn of(is_there: bool, checked: &Checked, place: &Place) -> Presence {
        match (is_there, checked.would_have(place)) {
            (true, _) => Presence::Present,
            (false, true) => Presence::Absent,
            (false, false) => Presence::Unknown,
        }
    }
}

/// What a record looked at, which says of a finding that it does not have whether it would have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    extent: Extent,
    /// The keys of the rules that were checked on the build.
    rules: BTreeSet<String>,
    in_sandbox: bool,
    /// By its name, the steps of a scenario that did not run; absent if the scenario did not run.
    scenarios: BTreeMap<String, BTreeSet<String>>,
    /// By the mode, the rules that had nothing to compare; absent if nothing was compared.
    comparisons: BTreeMap<String, BTreeSet<String>>,
}

/// How far a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Extent {
    /// There is no finished build.
    Nothing,
    /// The kernel does not have the mode, so nothing is wrong in it.
    NoSuchMode,
    Finished,
}

impl Checked {
    /// What that record looked at.
    #[must_use]
    pub fn of(record: &CellRecord) -> Checked {
        let extent = match &record.outcome {
            Outcome::Skip(SkipReason::NoDistributedMode { .. }) => Extent::NoSuchMode,
            Outcome::Pass | Outcome::Fail | Outcome::Error(_) if record.is_finished() => {
                Extent::Finished
            }
            Outcome::Skip(_) | Outcome::Pass | Outcome::Fail | Outcome::Error(_) => Extent::Nothing,
        };
        let rules = record.inspection.iter().flat_map(|i| &i.rules);
        let scenarios = record.scenarios.iter();
        let comparisons = record.comparisons.iter();
        Checked {
            extent,
            rules: rules.map(|rule| rule.key.clone()).collect(),
            in_sandbox: record.sandbox.is_some(),
            scenarios: scenarios
                .filter(|_| record.error.is_none())
                .filter_map(|scenario| Some((scenario.name.clone(), skipped_steps(scenario)?)))
                .collect(),
            comparisons: comparisons
                .filter(|comparison| comparison.skipped.is_none())
                .map(|comparison| (comparison.with.to_string(), not_compared(comparison)))
                .collect(),
        }
    }

    /// Whether the record would have a finding at that place if it were there.
    #[must_use]
    pub fn would_have(&self, place: &Place) -> bool {
        match self.extent {
            Extent::NoSuchMode => return true,
            Extent::Nothing => return false,
            Extent::Finished => {}
        }
        match &place.part {
            // The build came to its end, so what makes it fail is not there.
            Part::Build => {
                place.key == BUILD_FAILED.key
                    || self.rules.contains(&place.key)
                    || key_matches("sandbox", &place.key) && self.in_sandbox
            }
            Part::Scenario(name) => self.scenarios.get(name).is_some_and(|skipped| {
                let step = place.step.as_ref();
                !step.is_some_and(|step| skipped.contains(step))
            }),
            Part::Comparison(mode) => {
                let lacking = self.comparisons.get(&mode.to_string());
                lacking.is_some_and(|lacking| !lacking.contains(&place.key))
            }
        }
    }
}

/// The steps that did not run; `None` if none did.
fn skipped_steps(scenario: &ScenarioRecord) -> Option<BTreeSet<String>> {
    scenario
        .skipped
        .iter()
        .map(|skip| skip.step.clone())
        .collect()
}

fn not_compared(comparison: &ComparisonRecord) -> BTreeSet<String> {
    let rules = comparison.not_compared.iter();
    rules.map(|rule| rule.key.clone()).collect()
}

/// A finding, and where in a record it is.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    pub part: PartOf<'a>,
    pub finding: &'a FindingRecord,
}

/// As [`Part`], of a record that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOf<'a> {
    Build,
    Scenario(&'a str),
    Comparison(LtoMode),
}

/// What a finding is, whatever the lines and numbers where it shows: rule, object, step,
/// evidence.
pub type Identity = [String; 4];

/// The numbers of all findings of a record, as [`Placed::id`] has them.
#[must_use]
pub fn ids(record: &CellRecord) -> BTreeSet<String> {
    Placed::all(record).map(Placed::id).collect()
}

impl<'a> Placed<'a> {
    /// All findings of a record.
    pub fn all(record: &'a CellRecord) -> impl Iterator<Item = Placed<'a>> {
        let place = |part| move |finding| Placed { part, finding };
        let build = record.inspection.iter().flat_map(|i| &i.findings);
        let scenarios = record.scenarios.iter();
        let scenarios =
            scenarios.flat_map(move |s| s.findings.iter().map(place(PartOf::Scenario(&s.name))));
        let comparisons = record.comparisons.iter();
        let comparisons =
            comparisons.flat_map(move |c| c.findings.iter().map(place(PartOf::Comparison(c.with))));
        build
            .map(place(PartOf::Build))
            .chain(scenarios)
            .chain(comparisons)
    }

    /// Where it is.
    #[must_use]
    pub fn place(self) -> Place {
        Place {
            part: match self.part {
                PartOf::Build => Part::Build,
                PartOf::Scenario(name) => Part::Scenario(name.to_owned()),
                PartOf::Comparison(mode) => Part::Comparison(mode),
            },
            key: self.finding.key.clone(),
            step: self.finding.step.clone(),
        }
    }

    /// The scenario and its step, or the mode that was compared.
    #[must_use]
    pub fn step(self) -> Option<String> {
        self.place().step()
    }

    /// What it is.
    #[must_use]
    pub fn identity(self) -> Identity {
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

    /// The number of the finding, the same wherever it is found again.
    #[must_use]
    pub fn id(self) -> String {
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
