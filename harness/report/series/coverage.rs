//! What a verdict covers, and which lines bring a finding: the sentences that the formats share.

use super::{Group, said};
use crate::model::coverage::{ChangedPlace, Coverage, CoveredPlace, Reach};
use crate::model::finding::counted;
use crate::report::printable;

/// What all of it comes to: `5 of 8 changed places; …`.
pub(super) fn head(coverage: &Coverage) -> String {
    let is_exercised = |place: &&CoveredPlace| matches!(place.reach, Reach::Exercised { .. });
    let is_comment = |place: &&CoveredPlace| matches!(place.reach, Reach::Comment);
    let exercised = coverage.places.iter().filter(is_exercised).count();
    let comments = coverage.places.iter().filter(is_comment).count();
    let all = coverage.places.len() - comments;
    let comments = match comments {
        0 => "",
        _ => " that are not comments",
    };
    format!(
        "{exercised} of {all} changed places{comments}; taking any of them out changes what is built or found"
    )
}

/// A sentence for each place that the verdict does not cover, of one patch or of all; with `all`,
/// for the others, too. Places of one file that no probe reads are one.
pub(super) fn sentences(coverage: &Coverage, patch: Option<usize>, all: bool) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let places = coverage.places.iter();
    for covered in places.filter(|covered| patch.is_none_or(|of| covered.place.patch == of)) {
        let place = &covered.place;
        let sentence = match &covered.reach {
            Reach::Exercised { cell, changes } if all => {
                format!("{}: {}: {changes}", at(place), said(&[cell]))
            }
            Reach::Comment if all => format!("{}: a comment, which make does not read", at(place)),
            Reach::Exercised { .. } | Reach::Comment => continue,
            Reach::NotExercised => {
                let needs = needs(covered);
                format!(
                    "{}: not exercised: nothing is different without it{needs}",
                    at(place)
                )
            }
            Reach::NotRead => {
                let arch = covered.needs.iter().find(|need| need.starts_with("on "));
                let arch = arch
                    .map(|need| format!("; it counts {need}"))
                    .unwrap_or_default();
                let (patch, file) = (place.patch, &place.file);
                format!("patch {patch}, {file}: no cell that was probed reads it{arch}")
            }
            Reach::NotTried { why } => format!("{}: not tried: {why}", at(place)),
        };
        let sentence = printable(&sentence).into_owned();
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// A sentence for each place that brings findings of a group: how many are left without it.
pub(super) fn bringing(group: &Group<'_>) -> Vec<String> {
    let mut places: Vec<(&ChangedPlace, usize)> = Vec::new();
    for place in group
        .findings
        .iter()
        .flat_map(|finding| &finding.brought_by)
    {
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, number)) => *number += 1,
            None => places.push((place, 1)),
        }
    }
    let all = group.findings.len();
    let places = places.into_iter();
    let sentences = places.map(|(place, brought)| {
        let left = counted(all - brought, "findings are left");
        printable(&format!("without {}: {left}", at(place))).into_owned()
    });
    sentences.collect()
}

/// `patch 2, scripts/Makefile.x:30 ('ifdef CONFIG_X', 3 lines)`.
fn at(place: &ChangedPlace) -> String {
    let ChangedPlace {
        patch, text, lines, ..
    } = place;
    let lines = match lines {
        1 => String::new(),
        _ => format!(", {lines} lines"),
    };
    format!("patch {patch}, {place} ('{text}'{lines})")
}

/// What the lines of a place need, as far as that is known.
fn needs(covered: &CoveredPlace) -> String {
    match covered.needs.as_slice() {
        [] => String::new(),
        needs => format!("; it counts {}", needs.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_counted_and_named_only_where_there_are_some() {
        let place = |reach| CoveredPlace {
            place: ChangedPlace {
                patch: 1,
                file: "Makefile".to_owned(),
                line: 1,
                lines: 1,
                text: "x".to_owned(),
            },
            reach,
            needs: Vec::new(),
        };
        let exercised = || {
            place(Reach::Exercised {
                cell: "a".to_owned(),
                changes: "1 of 2 files".to_owned(),
            })
        };
        let head = |places| head(&Coverage { places });
        let said = head(vec![exercised(), place(Reach::NotRead)]);
        assert!(said.starts_with("1 of 2 changed places; "), "{said}");
        let said = head(vec![
            exercised(),
            place(Reach::NotRead),
            place(Reach::Comment),
        ]);
        assert!(
            said.starts_with("1 of 2 changed places that are not comments; "),
            "{said}"
        );
    }
}
