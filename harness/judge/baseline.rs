//! Compares a cell's snapshot with the accepted one. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::judge::snapshot::{BuildId, PARTS, Snapshot};
use crate::model::accepted::Predecessor;
use crate::model::kernel_version::KernelVersion;
use crate::model::record::{Baseline, Difference};

/// The accepted snapshot of a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Each part can be accepted by itself, so that two can be of different builds.
    pub parts: BTreeMap<&'static str, AcceptedPart>,
}

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedPart {
    pub taken: BuildId,
    pub body: String,
}

impl AcceptedPart {
    /// Whether it is of this build, and says this.
    #[must_use]
    pub fn is(&self, build_id: &BuildId, body: &str) -> bool {
        self.taken == *build_id && self.body.trim_end() == body.trim_end()
    }
}

/// How a cell compares with what is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub baseline: Baseline,
    /// How it differs from what is accepted of the same kernel and toolchain.
    pub differences: Vec<Difference>,
    /// How it differs from the nearest older one, if there is no baseline.
    pub predecessor: Option<Predecessor>,
}

impl Compared {
    fn uncounted(differences: Vec<Difference>, predecessor: Option<Predecessor>) -> Self {
        Self {
            baseline: Baseline::None,
            differences,
            predecessor,
        }
    }
}

/// Compares a cell with its accepted snapshot. If a part is accepted of another kernel or
/// toolchain, there is no verdict: nothing regresses from another kernel.
#[must_use]
pub fn compare(accepted: Option<&Accepted>, build_id: &BuildId, snapshot: &Snapshot) -> Compared {
    let Some(accepted) = accepted.filter(|accepted| !accepted.parts.is_empty()) else {
        return Compared::uncounted(Vec::new(), None);
    };
    let is_own = |part: &AcceptedPart| part.taken == *build_id;
    if !accepted.parts.values().all(is_own) {
        let own = accepted.parts.iter().filter(|(_, part)| is_own(part));
        return Compared::uncounted(
            own.filter_map(|(name, part)| difference(name, &part.body, snapshot))
                .collect(),
            predecessor(accepted, build_id, snapshot),
        );
    }
    let text = |part| accepted.parts.get(part).map_or("", |part| &part.body);
    let differences: Vec<Difference> = PARTS
        .into_iter()
        .filter_map(|part| difference(part, text(part), snapshot))
        .collect();
    let old: BTreeSet<&str> = text("findings").trim_end().lines().collect();
    let new: BTreeSet<&str> = found("findings", snapshot).lines().collect();
    let baseline = if new.difference(&old).next().is_some() {
        Baseline::Regressed
    } else if old.difference(&new).next().is_some() {
        Baseline::Fixed
    } else if !differences.is_empty() {
        Baseline::Changed
    } else {
        Baseline::Same
    };
    Compared {
        baseline,
        differences,
        predecessor: None,
    }
}

/// Compares with the parts of the newest other build whose kernel is not newer than this one;
/// `None` if there is none.
fn predecessor(
    accepted: &Accepted,
    build_id: &BuildId,
    snapshot: &Snapshot,
) -> Option<Predecessor> {
    let others = accepted.parts.values().map(|part| &part.taken);
    let nearest = others
        .filter(|other| *other != build_id)
        .filter(|other| {
            order(&other.kernel, &build_id.kernel).is_some_and(|order| order != Ordering::Greater)
        })
        .max_by(|one, other| order(&one.kernel, &other.kernel).unwrap_or(Ordering::Equal))?;
    let of_nearest = accepted.parts.iter().filter(|(_, p)| p.taken == *nearest);
    Some(Predecessor {
        kernel: nearest.kernel.clone(),
        toolchain: nearest.toolchain.clone(),
        is_older: order(&nearest.kernel, &build_id.kernel) == Some(Ordering::Less),
        differences: of_nearest
            .filter_map(|(name, part)| difference(name, &part.body, snapshot))
            .collect(),
    })
}

/// Which of two releases is older; `None` if they are different and a version is not known.
fn order(release: &str, other: &str) -> Option<Ordering> {
    match (
        release.parse::<KernelVersion>(),
        other.parse::<KernelVersion>(),
    ) {
        (Ok(one), Ok(other)) => Some(one.cmp(&other)),
        _ => (release == other).then_some(Ordering::Equal),
    }
}

/// Whether two releases are of one kernel version: `7.2.13` and `7.2.13-custom+` are, and
/// `7.2.1` is another.
#[must_use]
pub fn is_same_kernel(release: &str, other: &str) -> bool {
    order(release, other) == Some(Ordering::Equal)
}

fn found<'a>(part: &str, snapshot: &'a Snapshot) -> &'a str {
    snapshot.get(part).map_or("", |text| text.trim_end())
}

fn difference(part: &str, accepted: &str, snapshot: &Snapshot) -> Option<Difference> {
    let (old, new) = (accepted.trim_end(), found(part, snapshot));
    (old != new).then(|| Difference {
        part: part.to_owned(),
        diff: unified(old, new),
    })
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

    fn build(kernel: &str) -> BuildId {
        BuildId {
            kernel: kernel.to_owned(),
            toolchain: "cc".to_owned(),
        }
    }

    fn accepted<const N: usize>(parts: [(&'static str, BuildId, &str); N]) -> Accepted {
        let part = |(name, taken, body): (_, _, &str)| {
            let body = body.to_owned();
            (name, AcceptedPart { taken, body })
        };
        Accepted {
            parts: parts.map(part).into(),
        }
    }

    fn texts(findings: &str, flags: &str) -> Snapshot {
        Snapshot::from([
            ("findings", findings.to_owned()),
            ("flags", flags.to_owned()),
        ])
    }

    fn names(differences: &[Difference]) -> Vec<&str> {
        differences.iter().map(|d| d.part.as_str()).collect()
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
        #[case] (findings, flags): (&str, &str),
        #[case] new: (&str, &str),
        #[case] baseline: Baseline,
        #[case] parts: &[&str],
    ) {
        let old = accepted([
            ("findings", build("7.2"), findings),
            ("flags", build("7.2"), flags),
        ]);
        let compared = compare(Some(&old), &build(kernel), &texts(new.0, new.1));
        assert_eq!(compared.baseline, baseline);
        assert_eq!(names(&compared.differences), parts);
    }

    #[rstest]
    #[case::older("7.1.4", true)]
    #[case::a_candidate_of_it("7.2-rc3", true)]
    #[case::the_same_version_by_another_name("7.2.0-custom+", false)]
    fn another_kernel_is_shown_beside_the_nearest_older_one_and_not_counted(
        #[case] older: &str,
        #[case] is_older: bool,
    ) {
        let old = accepted([
            ("findings", build(older), ""),
            ("flags", build(older), "-O1"),
        ]);
        let compared = compare(Some(&old), &build("7.2"), &texts("x 1", "-O2"));
        assert_eq!(compared.baseline, Baseline::None);
        assert_eq!(compared.differences, []);
        let nearest = compared.predecessor.unwrap();
        assert_eq!((&*nearest.kernel, nearest.is_older), (older, is_older));
        assert_eq!(names(&nearest.differences), ["findings", "flags"]);
        assert!(nearest.differences[1].diff.contains("-O1"));
    }

    #[test]
    fn another_toolchain_is_shown_beside_the_accepted_one_and_not_counted() {
        let other = BuildId {
            toolchain: "cc 23".to_owned(),
            ..build("7.2")
        };
        let old = accepted([("flags", other, "-O2")]);
        let compared = compare(Some(&old), &build("7.2"), &texts("", "-O2"));
        assert_eq!(compared.baseline, Baseline::None);
        let nearest = compared.predecessor.unwrap();
        assert_eq!((&*nearest.toolchain, nearest.is_older), ("cc 23", false));
        assert_eq!(nearest.differences, [], "what is equal is not shown");
    }

    #[rstest]
    #[case::newer("7.3")]
    #[case::of_no_known_version("next")]
    fn what_is_not_known_to_be_older_is_no_predecessor(#[case] kernel: &str) {
        let old = accepted([("flags", build(kernel), "-O1")]);
        let compared = compare(Some(&old), &build("7.2"), &texts("", "-O2"));
        assert_eq!(compared, Compared::uncounted(Vec::new(), None));
    }

    #[test]
    fn of_two_older_kernels_the_newer_is_the_nearest() {
        let old = accepted([
            ("config", build("7.3"), "newer"),
            ("findings", build("6.12"), "x 1"),
            ("flags", build("7.1"), "-O1"),
        ]);
        let compared = compare(Some(&old), &build("7.2"), &texts("", "-O2"));
        let nearest = compared.predecessor.unwrap();
        assert_eq!(nearest.kernel, "7.1");
        assert_eq!(names(&nearest.differences), ["flags"]);
    }

    #[test]
    fn a_cell_that_is_accepted_in_part_has_no_baseline_yet() {
        let old = accepted([
            ("findings", build("7.1"), ""),
            ("flags", build("7.2"), "-O1"),
        ]);
        let compared = compare(Some(&old), &build("7.2"), &texts("x 1", "-O2"));
        assert_eq!(compared.baseline, Baseline::None);
        assert_eq!(names(&compared.differences), ["flags"]);
        let nearest = compared.predecessor.unwrap();
        assert_eq!(names(&nearest.differences), ["findings"]);
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
        let compared = compare(None, &build("7.2"), &Snapshot::new());
        assert_eq!(compared, Compared::uncounted(Vec::new(), None));
    }
}
