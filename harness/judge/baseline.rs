//! Compares a cell's snapshot with the accepted one. Pure.

use std::collections::BTreeSet;

use crate::judge::snapshot::{BuildId, PARTS, Snapshot};
use crate::model::kernel_version::KernelVersion;
use crate::model::record::{Baseline, Difference};

/// The accepted snapshot of a cell.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub build_id: BuildId,
    pub snapshot: Snapshot,
}

/// Compares a cell with its accepted snapshot.
#[must_use]
pub fn compare(
    accepted: Option<&Accepted>,
    build_id: &BuildId,
    snapshot: &Snapshot,
) -> (Baseline, Vec<Difference>) {
    let Some(accepted) = accepted.filter(|a| a.build_id == *build_id) else {
        return (Baseline::None, Vec::new());
    };
    let text =
        |snapshot: &Snapshot, part| snapshot.get(part).map_or("", |t| t.trim_end()).to_owned();
    let differences: Vec<Difference> = PARTS
        .into_iter()
        .filter_map(|part| {
            let (old, new) = (text(&accepted.snapshot, part), text(snapshot, part));
            (old != new).then(|| Difference {
                part: part.to_owned(),
                diff: unified(&old, &new),
            })
        })
        .collect();
    let (old, new) = (
        text(&accepted.snapshot, "findings"),
        text(snapshot, "findings"),
    );
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (lines(&old), lines(&new));
    let baseline = if new.difference(&old).next().is_some() {
        Baseline::Regressed
    } else if old.difference(&new).next().is_some() {
        Baseline::Fixed
    } else if !differences.is_empty() {
        Baseline::Changed
    } else {
        Baseline::Same
    };
    (baseline, differences)
}

/// Whether two releases are of one kernel version: `7.2.13` and `7.2.13-custom+` are, and
/// `7.2.1` is another.
#[must_use]
pub fn is_same_kernel(release: &str, other: &str) -> bool {
    match (
        release.parse::<KernelVersion>(),
        other.parse::<KernelVersion>(),
    ) {
        (Ok(one), Ok(other)) => one == other,
        _ => release == other,
    }
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
    #[case::same("7.2", ("", "a"), ("", "a"), Baseline::Same, &[])]
    #[case::changed("7.2", ("", "a"), ("", "b"), Baseline::Changed, &["flags"])]
    #[case::regressed("7.2", ("x 1", "a"), ("x 1\ny 2", "a"), Baseline::Regressed, &["findings"])]
    #[case::fixed("7.2", ("x 1\ny 2", "a"), ("x 1", "a"), Baseline::Fixed, &["findings"])]
    #[case::moved_finding("7.2", ("x 1", ""), ("x 2", ""), Baseline::Regressed, &["findings"])]
    #[case::other_kernel("7.3", ("", "a"), ("y 2", "b"), Baseline::None, &[])]
    fn the_baseline_follows_from_the_texts(
        #[case] kernel: &str,
        #[case] old: (&str, &str),
        #[case] new: (&str, &str),
        #[case] baseline: Baseline,
        #[case] parts: &[&str],
    ) {
        let texts = |(findings, flags): (&str, &str)| {
            Snapshot::from([
                ("findings", findings.to_owned()),
                ("flags", flags.to_owned()),
            ])
        };
        let accepted = Accepted {
            build_id: taken("7.2"),
            snapshot: texts(old),
        };
        let (found, differences) = compare(Some(&accepted), &taken(kernel), &texts(new));
        assert_eq!(found, baseline);
        let differing: Vec<_> = differences.iter().map(|d| d.part.as_str()).collect();
        assert_eq!(differing, parts);
    }

    #[rstest]
    #[case("7.2.13", "7.2.13", true)]
    #[case("7.2.13-custom+", "7.2.13", true)]
    #[case("7.2.13", "7.2.1", false)]
    #[case("7.3.0-rc10", "7.3.0-rc1", false)]
    #[case("7.3.0", "7.3.0-rc1", false)]
    #[case("next", "next", true)]
    fn a_longer_number_is_another_kernel(
        #[case] release: &str,
        #[case] version: &str,
        #[case] same: bool,
    ) {
        assert_eq!(is_same_kernel(release, version), same);
    }

    #[test]
    fn without_an_accepted_snapshot_there_is_no_baseline() {
        assert_eq!(
            compare(None, &taken("7.2"), &Snapshot::new()).0,
            Baseline::None
        );
    }
}
