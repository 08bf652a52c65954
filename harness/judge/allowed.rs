//! Which findings of a record an allow entry covers. Can be repeated at any time, for
//! example when only the entries have changed.

use crate::input::allow::Allow;
use crate::model::kernel_version::KernelVersion;
use crate::model::record::FindingRecord;

/// Marks the findings that an allow entry covers, and those whose entry has
/// ended. What an earlier call marked is forgotten. `place` is the cell's name and the
/// scenario's.
pub fn mark_allowed(
    findings: &mut [FindingRecord],
    allows: &[Allow],
    place: (&str, &str),
    kernel: &str,
) {
    let version: Option<KernelVersion> = kernel.parse().ok();
    let has_ended = |allow: &Allow| version.as_ref().is_some_and(|v| allow.is_expired(v));
    for finding in findings {
        let covering = allows.iter().filter(|a| a.covers(finding, place));
        let (ended, live): (Vec<&Allow>, Vec<&Allow>) = covering.partition(|a| has_ended(a));
        finding.allowed = live.first().map(|allow| allow.reason.clone());
        finding.lapsed = match (live.first(), ended.first()) {
            (None, Some(ended)) => Some(format!("allowed until {}: {}", ended.until, ended.reason)),
            (Some(_), _) | (None, None) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;

    const CELL: &str = "x86_64/tiny/thin/llvm-22";

    fn entry(key: &str, until: &str) -> Allow {
        let entry = format!("- {{ key: {key}, cells: '*', reason: known, until: '{until}' }}");
        Allow::parse(&entry, Path::new("a.yaml")).unwrap().remove(0)
    }

    fn found() -> FindingRecord {
        FindingRecord {
            key: "crc.stale".to_owned(),
            object: "init/main.o".to_owned(),
            evidence: "line 1".to_owned(),
            details: Vec::new(),
            step: None,
            allowed: None,
            lapsed: None,
        }
    }

    #[rstest]
    #[case::covered(vec![entry("crc", "7.4")], Some("known"), None)]
    #[case::of_another_rule(vec![entry("elf", "7.4")], None, None)]
    #[case::ended(vec![entry("crc", "7.2")], None, Some("allowed until 7.2: known"))]
    #[case::one_has_ended(vec![entry("crc", "7.2"), entry("crc", "7.4")], Some("known"), None)]
    fn a_finding_is_marked_the_same_each_time(
        #[case] allows: Vec<Allow>,
        #[case] allowed: Option<&str>,
        #[case] lapsed: Option<&str>,
    ) {
        let mut findings = [found()];
        for _ in 0..2 {
            mark_allowed(&mut findings, &allows, (CELL, "build"), "7.2.13");
            assert_eq!(findings[0].allowed.as_deref(), allowed);
            assert_eq!(findings[0].lapsed.as_deref(), lapsed);
        }
        mark_allowed(&mut findings, &[], (CELL, "build"), "7.2.13");
        assert_eq!(
            findings,
            [found()],
            "nothing is left of an entry that is gone"
        );
    }
}
