//! From records to text, one format per file. Pure: the caller prints or
//! writes it. A new format is one file, one variant of [`Format`], its rows in the functions
//! there and one in [`diff::trees`].

pub mod bisect;
pub mod comparison;
pub mod diff;
pub mod github;
mod hidden;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod kcidb;
pub mod ktap;
pub mod mail;
pub mod markdown;
pub mod night;
pub mod perfetto;
pub mod plan;
pub mod schema;
pub mod series;
pub mod shared;
pub mod test_tree;
pub mod text;
mod wrapped;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use self::test_tree::OfTests;
use crate::input::suggest::nearest;
use crate::model::printable::printable;
use crate::model::record::{FindingRecord, Inspection, RuleText, RunRecord};
use crate::model::stored::CellRun;

/// Turns records into text of one format.
pub trait Reporter {
    /// The result of a run or a probe.
    fn run(&self, run: &RunRecord) -> String;

    /// The same of a run that is kept, with what the store says of it besides.
    fn kept_run(&self, run: &RunRecord, _around: &Around) -> String {
        self.run(run)
    }

    /// Writes [`Reporter::kept_run`]; what is large, part by part, so that it is never in memory as a
    /// whole.
    ///
    /// # Errors
    /// If `to` fails.
    fn write_run(
        &self,
        run: &RunRecord,
        around: &Around,
        to: &mut dyn io::Write,
    ) -> io::Result<()> {
        to.write_all(self.kept_run(run, around).as_bytes())
    }

    /// What one build tree showed. `rules` has the texts of the rules that `inspection`
    /// names.
    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String;
}

/// The text of a log, perhaps cut, or why it could not be read.
pub type Log = Result<Arc<str>, Arc<str>>;

/// What the store says of a run besides its record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Around {
    /// Build logs by cell.
    pub logs: BTreeMap<String, Log>,
    /// How the cells did in this run and those before it, the oldest first.
    pub trends: BTreeMap<String, Vec<CellRun>>,
    /// Cells, and rules in them, that were broken in some runs of one job and not in others.
    pub flaky: BTreeSet<(String, String)>,
}

/// What a person wants to see; only [`Format::Text`] asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Every object of a finding, every line of a difference, every skipped step.
    pub all: bool,
    /// Allowed findings in full.
    pub allowed: bool,
}

/// A set of formats, each with the name that it has on the command line.
pub trait Named: Copy + 'static {
    /// Every format.
    const ALL: &'static [Self];

    /// The name on the command line.
    fn name(self) -> &'static str;
}

/// The names of all formats of a set.
#[must_use]
pub fn names<F: Named>() -> Vec<&'static str> {
    F::ALL.iter().map(|format| format.name()).collect()
}

/// The format with that name.
///
/// # Errors
/// [`UnknownFormat`] if there is none.
pub fn named<F: Named>(name: &str) -> Result<F, UnknownFormat> {
    let format = F::ALL.iter().find(|format| format.name() == name);
    format.copied().ok_or_else(|| UnknownFormat {
        found: name.to_owned(),
        known: known_formats(name, &names::<F>()),
    })
}

/// The formats of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
    /// The kernel's Test Anything Protocol.
    Ktap,
    /// The XML that CI systems read.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
    /// The summary of a step of GitHub Actions.
    Markdown,
    /// A page for a browser, in one file.
    Html,
    /// What kernel CI systems send each other.
    Kcidb,
    /// A message in plain text.
    Mail,
    /// The time line of a run, for Perfetto.
    Perfetto,
}

impl Named for Format {
    const ALL: &'static [Format] = &[
        Self::Text,
        Self::Json,
        Self::Ktap,
        Self::Junit,
        Self::Github,
        Self::Markdown,
        Self::Html,
        Self::Kcidb,
        Self::Mail,
        Self::Perfetto,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Ktap => "ktap",
            Self::Junit => "junit",
            Self::Github => "github",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Kcidb => "kcidb",
            Self::Mail => "mail",
            Self::Perfetto => "perfetto",
        }
    }
}

impl Format {
    /// What writes the format. Only text is styled, with ANSI escape sequences; whoever
    /// prints removes them where they are not wanted.
    #[must_use]
    pub fn reporter(self, options: Options) -> Box<dyn Reporter> {
        match self {
            Self::Text => Box::new(text::Text { options }),
            Self::Json => Box::new(json::Json),
            Self::Ktap => Box::new(OfTests(ktap::write)),
            Self::Junit => Box::new(junit::Junit),
            Self::Github => Box::new(OfTests(github::write)),
            Self::Markdown => Box::new(markdown::Markdown),
            Self::Html => Box::new(html::Html),
            Self::Kcidb => Box::new(kcidb::Kcidb),
            Self::Mail => Box::new(mail::Mail),
            Self::Perfetto => Box::new(perfetto::Perfetto),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{found}' is not a report format; {known}")]
pub struct UnknownFormat {
    found: String,
    /// Which formats there are, and the one that was probably meant.
    known: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        named(name)
    }
}

fn known_formats(word: &str, names: &[&'static str]) -> String {
    let known = names.join(", ");
    match nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean '{near}'? known: {known}"),
        None => format!("known: {known}"),
    }
}

/// A report to be written: `FORMAT=FILE` on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile<F = Format> {
    pub format: F,
    pub file: PathBuf,
}

impl ReportFile {
    /// Writes what belongs into the file, without styles.
    ///
    /// # Errors
    /// If `to` fails.
    pub fn write(
        &self,
        options: Options,
        run: &RunRecord,
        around: &Around,
        to: &mut dyn io::Write,
    ) -> io::Result<()> {
        let reporter = self.format.reporter(options);
        match self.format == Format::Text {
            true => {
                let report = reporter.kept_run(run, around);
                write!(to, "{}", anstream::adapter::strip_str(&report))
            }
            false => reporter.write_run(run, around, to),
        }
    }
}

/// A word that names no report to be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportFileError {
    /// There is no `=`, or nothing after it.
    #[error(
        "'{found}' names no file; expected FORMAT=FILE, such as json=report.json; formats {known}"
    )]
    NoFile {
        /// The word found.
        found: String,
        /// Which formats there are.
        known: String,
    },
    /// What stands before the `=` is no format.
    #[error("'{found}' is not FORMAT=FILE: {source}")]
    Format {
        /// The word found.
        found: String,
        source: UnknownFormat,
    },
}

impl<F: Named> FromStr for ReportFile<F> {
    type Err = ReportFileError;

    fn from_str(word: &str) -> Result<Self, ReportFileError> {
        let found = || word.to_owned();
        let Some((format, file)) = word.split_once('=').filter(|(_, file)| !file.is_empty()) else {
            return Err(ReportFileError::NoFile {
                found: found(),
                known: known_formats("", &names::<F>()),
            });
        };
        let format = named(format).map_err(|source| ReportFileError::Format {
            found: found(),
            source,
        })?;
        Ok(ReportFile {
            format,
            file: PathBuf::from(file),
        })
    }
}

/// Puts the findings of one rule together, in the order in which rules first occur.
fn by_rule<'a>(
    findings: impl IntoIterator<Item = &'a FindingRecord>,
) -> Vec<(&'a str, Vec<&'a FindingRecord>)> {
    grouped(findings, |finding| finding.key.as_str())
}

/// Puts together what has the same key, in the order in which keys first occur.
fn grouped<K: PartialEq, T>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups
}

/// The reasons for which findings are allowed, each once.
fn reasons(findings: &[&FindingRecord]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in findings.iter().filter_map(|f| f.allowed.as_deref()) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn every_format_is_read_back_from_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
    }

    #[rstest]
    #[case::plain("json=report.json", Format::Json, "report.json")]
    #[case::equals_sign_in_the_path("ktap=a=b/c=", Format::Ktap, "a=b/c=")]
    fn a_report_is_a_format_and_a_file(
        #[case] word: &str,
        #[case] format: Format,
        #[case] file: &str,
    ) {
        let file = PathBuf::from(file);
        assert_eq!(word.parse(), Ok(ReportFile { format, file }));
    }

    #[rstest]
    #[case::no_file(
        "json",
        "'json' names no file; expected FORMAT=FILE, such as json=report.json; formats known: ALL"
    )]
    #[case::empty_file(
        "json=",
        "'json=' names no file; expected FORMAT=FILE, such as json=report.json; formats known: ALL"
    )]
    #[case::mistyped(
        "jsno=x",
        "'jsno=x' is not FORMAT=FILE: 'jsno' is not a report format; did you mean 'json'? known: ALL"
    )]
    #[case::no_format("=x", "'=x' is not FORMAT=FILE: '' is not a report format; known: ALL")]
    fn what_is_no_report_is_refused_with_what_was_expected(
        #[case] word: &str,
        #[case] message: &str,
    ) {
        let error = word.parse::<ReportFile>().unwrap_err();
        let all = "text, json, ktap, junit, github, markdown, html, kcidb, mail, perfetto";
        assert_eq!(error.to_string(), message.replace("ALL", all));
    }
}
