//! From a cell's texts and the accepted ones to a verdict: pure.

use std::collections::BTreeSet;

use crate::judge::snapshot::{BuildId, FACETS, Snapshot};
use crate::model::outcome::{Difference, Verdict};

/// The accepted texts of a cell.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub taken: BuildId,
    pub facets: Snapshot,
}

/// Compares a cell with what was accepted for it.
#[must_use]
pub fn compare(
    accepted: Option<&Accepted>,
    taken: &BuildId,
    facets: &Snapshot,
) -> (Verdict, Vec<Difference>) {
    let Some(accepted) = accepted.filter(|a| a.taken == *taken) else {
        return (Verdict::New, Vec::new());
    };
    let text = |facets: &Snapshot, facet| facets.get(facet).map_or("", |t| t.trim_end()).to_owned();
    let differences: Vec<Difference> = FACETS
        .into_iter()
        .filter_map(|facet| {
            let (old, new) = (text(&accepted.facets, facet), text(facets, facet));
            (old != new).then(|| Difference {
                facet,
                diff: unified(&old, &new),
            })
        })
        .collect();
    let (old, new) = (text(&accepted.facets, "findings"), text(facets, "findings"));
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (lines(&old), lines(&new));
    let verdict = if new.difference(&old).next().is_some() {
        Verdict::Regressed
    } else if old.difference(&new).next().is_some() {
        Verdict::Fixed
    } else if !differences.is_empty() {
        Verdict::Changed
    } else {
        Verdict::Same
    };
    (verdict, differences)
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

fn unified(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(format!("{old}\n"), format!("{new}\n"))
        .unified_diff()
        .context_radius(1)
        .header("accepted", "found")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn taken(kernel: &str) -> BuildId {
        BuildId {
            kernel: kernel.to_owned(),
            toolchain: "cc".to_owned(),
        }
    }

    #[rstest]
    #[case::same("7.2", ("", "a"), ("", "a"), Verdict::Same, &[])]
    #[case::changed("7.2", ("", "a"), ("", "b"), Verdict::Changed, &["flags"])]
    #[case::regressed("7.2", ("x 1", "a"), ("x 1\ny 2", "a"), Verdict::Regressed, &["findings"])]
    #[case::fixed("7.2", ("x 1\ny 2", "a"), ("x 1", "a"), Verdict::Fixed, &["findings"])]
    #[case::moved_finding("7.2", ("x 1", ""), ("x 2", ""), Verdict::Regressed, &["findings"])]
    #[case::other_kernel("7.3", ("", "a"), ("y 2", "b"), Verdict::New, &[])]
    fn the_verdict_follows_from_the_texts(
        #[case] kernel: &str,
        #[case] old: (&str, &str),
        #[case] new: (&str, &str),
        #[case] verdict: Verdict,
        #[case] facets: &[&str],
    ) {
        let texts = |(findings, flags): (&str, &str)| {
            Snapshot::from([
                ("findings", findings.to_owned()),
                ("flags", flags.to_owned()),
            ])
        };
        let accepted = Accepted {
            taken: taken("7.2"),
            facets: texts(old),
        };
        let (found, differences) = compare(Some(&accepted), &taken(kernel), &texts(new));
        assert_eq!(found, verdict);
        let differing: Vec<_> = differences.iter().map(|d| d.facet).collect();
        assert_eq!(differing, facets);
    }

    #[test]
    fn without_an_accepted_snapshot_a_cell_is_new() {
        assert_eq!(
            compare(None, &taken("7.2"), &Snapshot::new()).0,
            Verdict::New
        );
    }
}
