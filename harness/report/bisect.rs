//! From a search for a commit to text, one format per file. Pure.

mod log;
mod mail;
mod text;

use super::{Named, ReportFile, json};
use crate::model::bisect::{
    BisectRecord, Brings, CommitRecord, Ended, SymbolRecord, ToolchainsRecord,
};
use crate::model::finding::counted;

pub use self::log::{Mark, Told, read as read_log};

/// How many digits of a commit's number a `Fixes:` line has.
const SHORT: usize = 12;

/// The formats of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
    /// To the author of the commit, in plain text.
    Mail,
    /// What `git bisect replay` takes.
    Log,
}

impl Named for Format {
    const ALL: &'static [Format] = &[Self::Text, Self::Json, Self::Mail, Self::Log];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Mail => "mail",
            Self::Log => "log",
        }
    }
}

impl Format {
    /// The search in this format.
    #[must_use]
    pub fn report(self, search: &BisectRecord) -> String {
        match self {
            Self::Text => text::text(search),
            Self::Json => json::pretty(search),
            Self::Mail => mail::mail(search),
            Self::Log => log::write(search),
        }
    }
}

impl ReportFile<Format> {
    /// What belongs into the file, without styles.
    #[must_use]
    pub fn bisect(&self, search: &BisectRecord) -> String {
        let report = self.format.report(search);
        match self.format {
            Format::Text => anstream::adapter::strip_str(&report).to_string(),
            Format::Json | Format::Mail | Format::Log => report,
        }
    }
}

fn short(commit: &CommitRecord) -> &str {
    commit.commit.get(..SHORT).unwrap_or(&commit.commit)
}

/// As `Fixes:` lines name a commit.
fn named(commit: &CommitRecord) -> String {
    let subject = super::printable(&commit.subject);
    format!("{} (\"{subject}\")", short(commit))
}

/// The result in a sentence, without its first word in capitals and without a full stop.
fn summary(search: &BisectRecord) -> String {
    match &search.ended {
        None => "the search has not ended".to_owned(),
        Some(Ended::Culprit { commit }) => {
            let sure = match search.checks.iter().find(|check| check.holds != Some(true)) {
                None => "and every check holds".to_owned(),
                Some(check) => {
                    let how = match check.holds {
                        Some(_) => "does not hold",
                        None => "could not be told",
                    };
                    format!("but that {} {how}", check.what)
                }
            };
            format!("{} brought the fault, {sure}", named(commit))
        }
        Some(Ended::Among { commits }) => format!(
            "one of {} brought the fault; none between them could be told",
            counted(commits.len(), "commits")
        ),
        Some(Ended::Toolchain) => {
            let with = search.toolchains.as_ref().map(|of| of.bad.as_str());
            let with = with.unwrap_or("the toolchain");
            format!("{with} brings the fault, on the good commit as well; no commit does")
        }
        Some(Ended::EndsDoNotFit { why }) => format!("nothing was searched: {why}"),
        Some(Ended::Contradiction { why }) => format!("no commit is named: {why}"),
    }
}

/// What brings the fault, if the ends were built with two toolchains, in a sentence; and with which one
/// the commit was searched for.
fn toolchains(of: &ToolchainsRecord) -> String {
    let ToolchainsRecord { good, bad, .. } = of;
    let what = match of.brings {
        Brings::Kernel => {
            format!("the kernel brings the fault: the bad commit has it with {good} too")
        }
        Brings::Toolchain => {
            format!("the toolchain brings the fault: the good commit has it with {bad}")
        }
        Brings::Both => format!(
            "kernel and toolchain are both needed: the bad commit is good with {good}, and the good one with {bad}"
        ),
        Brings::Either => format!(
            "kernel and toolchain each bring the fault: the bad commit has it with {good}, and the good one with {bad}"
        ),
        Brings::Unknown => format!(
            "whether the kernel or the toolchain brings the fault could not be told: the bad commit with {good} is {} ({}), and the good one with {bad} is {} ({})",
            of.bad_end.verdict.name(),
            of.bad_end.why,
            of.good_end.verdict.name(),
            of.good_end.why
        ),
    };
    match &of.searched_with {
        Some(with) => format!("{what}; commits are tested with {with}"),
        None => what,
    }
}

/// Which symbols of the configuration the fault needs, in a phrase; `None` if that was not found out.
fn needed_symbols(search: &BisectRecord) -> Option<String> {
    let (cell, good) = (&search.symbols_cell, &search.good_config);
    let shown = |symbol: &SymbolRecord| {
        let value = symbol.value.as_ref();
        value.map_or_else(
            || format!("{} as {good} has it", symbol.symbol),
            |value| format!("{}={value}", symbol.symbol),
        )
    };
    Some(match search.symbols.as_deref()? {
        [] => format!("in {cell} the fault is there with the configuration {good}, too"),
        symbols => {
            let symbols: Vec<String> = symbols.iter().map(shown).collect();
            format!(
                "of what differs in {cell} from the configuration {good} the fault needs {}",
                symbols.join(" ")
            )
        }
    })
}

/// What was searched, in a sentence.
fn searched(search: &BisectRecord) -> String {
    let what = match search.oracle.as_str() {
        "probe" => "can change what the probe reads",
        _ => "can have brought it",
    };
    let tests = search.steps.iter().filter(|step| !step.reused).count();
    format!(
        "{} in the range, {} of which {what}; {}",
        counted(search.commits, "commits"),
        search.suspects,
        match tests {
            0 => "all results are of earlier tests".to_owned(),
            tests => counted(tests, "tests"),
        }
    )
}
