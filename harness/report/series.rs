//! From the verdict on a series to text, one format per file. Pure: a verdict that is kept can be
//! told again in any format. A new format is one file, one variant of [`Format`] and its row in
//! [`Format::report`].

pub mod b4;
mod coverage;
pub mod mail;
pub mod terse;
pub mod text;

use std::collections::BTreeSet;
use std::fmt;

use super::{Named, ReportFile, json, printable};
use crate::model::finding::counted;
use crate::model::imprint::Ripple;
use crate::model::series::{Change, SeriesFinding, SeriesRecord, Undecided};

/// The configuration of cells that are probed.
const PROBE: &str = "probe";

/// The formats of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
    /// A reply to the series, in plain text.
    Mail,
    /// What `b4 review` reads.
    B4,
    /// What `b4 prep --check` and `git send-email` hooks read: a line for each complaint.
    Terse,
}

impl Named for Format {
    const ALL: &'static [Format] = &[Self::Text, Self::Json, Self::Mail, Self::B4, Self::Terse];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Mail => "mail",
            Self::B4 => "b4",
            Self::Terse => "terse",
        }
    }
}

impl Format {
    /// Whether it answers what another tool asks of one patch, from a verdict that is kept.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self, Self::B4 | Self::Terse)
    }

    /// The verdict in this format; of one patch, if `patch` is its number.
    #[must_use]
    pub fn report(self, series: &SeriesRecord, patch: Option<usize>, all: bool) -> String {
        match self {
            Self::Text => text::text(series, all),
            Self::Json => json::pretty(series),
            Self::Mail => mail::mail(series),
            Self::B4 => b4::answer(Some(series), patch),
            Self::Terse => terse::answer(series, patch),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl ReportFile<Format> {
    /// What belongs into the file, without styles.
    #[must_use]
    pub fn series(&self, series: &SeriesRecord, all: bool) -> String {
        let report = self.format.report(series, None, all);
        match self.format {
            Format::Text => anstream::adapter::strip_str(&report).to_string(),
            Format::Json | Format::Mail | Format::B4 | Format::Terse => report,
        }
    }
}

/// What a series does, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No patch makes the tree worse.
    Ok,
    /// A patch makes it worse.
    Worse,
    /// None does, as far as could be told.
    Inconclusive,
}

/// The verdict on all of a series, or on one patch of it.
#[must_use]
pub fn verdict(series: &SeriesRecord, patch: Option<usize>) -> Verdict {
    if worse(series, patch).next().is_some() {
        Verdict::Worse
    } else if undecided(series, patch).next().is_some() {
        Verdict::Inconclusive
    } else {
        Verdict::Ok
    }
}

/// The findings that count and that `patch` brings; those of the series, if it is `None`.
fn worse(series: &SeriesRecord, patch: Option<usize>) -> impl Iterator<Item = &SeriesFinding> {
    let findings = series.worse();
    findings.filter(move |finding| patch.is_none_or(|patch| finding.change.is_of(patch)))
}

/// What could not be told just before or after `patch`; in any state, if it is `None`.
fn undecided(series: &SeriesRecord, patch: Option<usize>) -> impl Iterator<Item = &Undecided> {
    let is_near = move |state: usize| patch.is_none_or(|p| state == p || state + 1 == p);
    series.undecided.iter().filter(move |u| is_near(u.state))
}

/// Findings of one rule to which the series does the same.
struct Group<'a> {
    key: &'a str,
    change: Change,
    findings: Vec<&'a SeriesFinding>,
}

/// Puts findings together that are of one rule and to which the series does the same.
fn groups<'a>(findings: impl IntoIterator<Item = &'a SeriesFinding>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for finding in findings {
        let (key, change) = (finding.key.as_str(), finding.change);
        match groups
            .iter_mut()
            .find(|g| g.key == key && g.change == change)
        {
            Some(group) => group.findings.push(finding),
            None => groups.push(Group {
                key,
                change,
                findings: vec![finding],
            }),
        }
    }
    groups
}

impl Group<'_> {
    /// `3 objects lack flags`.
    fn what(&self, series: &SeriesRecord) -> String {
        let number = self.findings.len();
        let what = match series.rules.get(self.key) {
            Some(rule) => counted(number, &rule.broken),
            None => counted(number, "findings"),
        };
        printable(&what).into_owned()
    }

    /// What the series does, of findings that do not count.
    fn change_if_not_counted(&self) -> String {
        match self.change.is_worse() {
            true => format!("{}, acknowledged", self.change),
            false => self.change.to_string(),
        }
    }

    /// The names of the cells that have any of them.
    fn cells(&self) -> Vec<&str> {
        let mut cells: Vec<&str> = Vec::new();
        for cell in self.findings.iter().flat_map(|f| &f.cells) {
            if !cells.contains(&cell.as_str()) {
                cells.push(cell);
            }
        }
        cells
    }
}

/// Cells as people say them: `arm64 thin, thin-dist; riscv thin-dist`, with the configuration of
/// those that are whole kernels: `arm64 tiny thin`. What all cells of the series have in common is
/// left out.
fn said(cells: &[&str]) -> String {
    let mut arches: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in cells {
        let mut parts = cell.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (arch, config, mode) = (next(), next(), next());
        let arch = match config {
            PROBE => arch.to_owned(),
            config => format!("{arch} {config}"),
        };
        match arches.iter_mut().find(|(known, _)| *known == arch) {
            Some((_, modes)) if modes.contains(&mode) => {}
            Some((_, modes)) => modes.push(mode),
            None => arches.push((arch, vec![mode])),
        }
    }
    let arches = arches.iter();
    let arches = arches.map(|(arch, modes)| format!("{arch} {}", modes.join(", ")));
    printable(&arches.collect::<Vec<_>>().join("; ")).into_owned()
}

/// The commands that show a finding, from a checkout of the kernel: the tree is made first. A probe
/// is one command, a kernel several.
fn commands(series: &SeriesRecord, finding: &SeriesFinding, mbox: Option<&str>) -> Vec<String> {
    let at = finding.change.worse_by().unwrap_or_default();
    let worktree = "git worktree add --detach \"$KERNEL\"";
    let base = short(&series.base.commit);
    let mut commands = vec!["KERNEL=$PWD/../klto-series".to_owned()];
    match mbox {
        Some(mbox) if at > 0 => {
            commands.push(format!("{worktree} {base}"));
            let am = "git -C \"$KERNEL\" am -3 --patch-format=mboxrd";
            let mbox = shlex::try_quote(mbox).unwrap_or(mbox.into());
            commands.push(format!("{am} {mbox}"));
            if let Some(too_many @ 1..) = series.patches.len().checked_sub(at) {
                commands.push(format!("git -C \"$KERNEL\" checkout HEAD~{too_many}"));
            }
        }
        _ => {
            let commit = series
                .states
                .get(at)
                .map_or(base, |state| short(&state.commit));
            commands.push(format!("{worktree} {commit}"));
        }
    }
    let own = &finding.reproduce.commands;
    let is_kernel = finding
        .cells
        .first()
        .is_some_and(|cell| series.kernels.contains(cell));
    if is_kernel {
        commands.push("O=$PWD/../klto-build".to_owned());
        commands.extend(own.iter().cloned());
    } else {
        commands.extend(own.first().cloned());
    }
    commands.iter().map(|c| printable(c).into_owned()).collect()
}

/// The commands that show the findings of a group, unless they are those of the group before,
/// which `before` has.
fn new_commands<'a>(
    series: &SeriesRecord,
    group: &Group<'_>,
    mbox: Option<&str>,
    before: &'a mut Vec<String>,
) -> Option<&'a [String]> {
    let commands = commands(series, group.findings.first()?, mbox);
    if commands == *before {
        return None;
    }
    *before = commands;
    Some(before)
}

/// How far a patch reaches: `changes 3 of 660 front-end commands, 1 of 24 links`; in how many cells,
/// if not all were built to the end. Nothing if that is not known, or no probe reads the patch.
fn reach(series: &SeriesRecord, patch: usize) -> Option<String> {
    let state = series.states.get(patch)?;
    if state.same_as == patch.checked_sub(1) {
        return None;
    }
    Some(reach_of(&state.ripple?, series.cells.len()))
}

/// The same in whole kernels.
fn reach_in_kernels(series: &SeriesRecord, patch: usize) -> Option<String> {
    let ripple = series.states.get(patch)?.kernels?;
    let since = if series.per_patch {
        ""
    } else {
        ", since the base"
    };
    let reach = reach_of(&ripple, series.kernels.len());
    Some(format!("in whole kernels{since}, {reach}"))
}

fn reach_of(ripple: &Ripple, cells: usize) -> String {
    let parts = ripple.parts();
    let parts = parts.iter().filter(|(_, part)| part.changed > 0);
    let parts: Vec<String> = parts
        .map(|(what, part)| format!("{} of {} {what}", part.changed, part.of))
        .collect();
    let what = match parts.is_empty() {
        true => "changes nothing that was built".to_owned(),
        false => format!("changes {}", parts.join(", ")),
    };
    match ripple.cells {
        built if built < cells => format!("{what}, in {built} of {cells} cells"),
        _ => what,
    }
}

/// What kept the patches from what is not theirs.
fn built_in(series: &SeriesRecord) -> String {
    match &series.sandbox {
        Some(enforced) => format!("in a sandbox: {enforced}"),
        None => "without a sandbox".to_owned(),
    }
}

/// The first digits of a commit's number.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Where a state is, in words.
fn state_name(state: usize) -> String {
    match state {
        0 => "in the base".to_owned(),
        patch => format!("after patch {patch}"),
    }
}

/// What all of it comes to, in one sentence.
fn summary(series: &SeriesRecord) -> String {
    let what = match verdict(series, None) {
        Verdict::Ok => "no patch makes it worse".to_owned(),
        Verdict::Inconclusive => format!(
            "no patch makes it worse as far as could be told ({})",
            counted(series.undecided.len(), "results are missing")
        ),
        Verdict::Worse => {
            let (which, verb) = worse_patches(series);
            let findings = counted(series.worse().count(), "findings");
            format!("{which} {verb} it worse ({findings})")
        }
    };
    let each = match series.patches.len() {
        1 => "on the base and after the patch".to_owned(),
        patches => format!("on the base and after each of {patches} patches"),
    };
    let probed = format!("probed: {}, {each}", counted(series.cells.len(), "cells"));
    let built = match (series.kernels.len(), series.per_patch) {
        (0, _) => String::new(),
        (number, true) => format!("; built: {}, {each}", counted(number, "kernels")),
        (number, false) => format!(
            "; built: {}, on the base and with all patches",
            counted(number, "kernels")
        ),
    };
    format!("{what}; {probed}{built}")
}

/// `patches 1 and 3`, and the verb that they take.
fn worse_patches(series: &SeriesRecord) -> (String, &'static str) {
    let patches: BTreeSet<usize> = series
        .worse()
        .filter_map(|finding| finding.change.worse_by())
        .collect();
    let mut names: Vec<String> = patches.iter().map(usize::to_string).collect();
    match (names.pop(), names.is_empty()) {
        (Some(last), false) => (format!("patches {} and {last}", names.join(", ")), "make"),
        (last, _) => (format!("patch {}", last.unwrap_or_default()), "makes"),
    }
}

#[cfg(test)]
mod tests;
