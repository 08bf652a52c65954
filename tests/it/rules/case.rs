//! One broken tree: what is done to a pristine one, and what klto must say of it. The
//! set of keys is exact, so a case fails as well when its rule is switched off as when
//! another rule joins in.

use klto::model::cell::LtoMode;
use klto::model::record::FindingRecord;

use crate::support::tree::layout::Target;
use crate::support::tree::{Tree, keys};

/// A row of a family's table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub target: &'static Target,
    pub mode: LtoMode,
    /// Breaks the tree.
    pub given: fn(&mut Tree),
    /// All keys that klto finds, the one that the case is about first.
    pub keys: &'static [&'static str],
    /// Where the first key is found; `ARCH` stands for the directory under `arch/`.
    pub object: &'static str,
    /// A part of what is shown there.
    pub evidence: &'static str,
}

impl Case {
    /// Breaks a pristine tree and asks klto.
    #[track_caller]
    pub fn assert(&self) {
        let mut tree = Tree::pristine(self.target, self.mode);
        (self.given)(&mut tree);
        let findings = tree.findings();
        self.assert_findings(&findings, tree.src());
        self.assert_each_alone(&tree);
    }

    /// Each rule finds and looks at the same when only it is run.
    #[track_caller]
    fn assert_each_alone(&self, tree: &Tree) {
        let facts = tree.facts();
        let (coverage, findings) = tree.check(&facts, &[]);
        for key in self.keys {
            let (alone, found) = tree.check(&facts, &[key]);
            let of_key = coverage.iter().filter(|row| row.rule.key == *key);
            assert_eq!(alone, of_key.copied().collect::<Vec<_>>());
            let of_key = findings.iter().filter(|finding| finding.rule.key == *key);
            assert_eq!(found, of_key.cloned().collect::<Vec<_>>());
        }
    }

    #[track_caller]
    fn assert_findings(&self, findings: &[FindingRecord], src: &str) {
        let expected: std::collections::BTreeSet<&str> = self.keys.iter().copied().collect();
        assert_eq!(keys(findings), expected, "\n{}", list(findings));
        let object = self.object.replace("ARCH", src);
        let evidence = self.evidence.replace("ARCH", src);
        assert!(
            findings.iter().any(|finding| {
                finding.key == self.keys[0]
                    && finding.object == object
                    && finding.evidence.contains(&evidence)
            }),
            "no {} at {object} with '{evidence}':\n{}",
            self.keys[0],
            list(findings)
        );
    }
}

/// One finding a line and few of a kind, for the message of a test that fails.
pub fn list(findings: &[FindingRecord]) -> String {
    let mut lines = String::new();
    for key in keys(findings) {
        let of_key = findings.iter().filter(|f| f.key == key);
        for finding in of_key.clone().take(3) {
            lines += &format!("  {key} at {}: {}\n", finding.object, finding.evidence);
        }
        if let Some(more) = of_key.count().checked_sub(3).filter(|more| *more > 0) {
            lines += &format!("  and {more} more of {key}\n");
        }
    }
    lines
}

/// Makes a family's table: a test for each row, and `CASES`, which the test of the whole
/// table reads.
///
/// ```text
/// name of the function that breaks the tree: TARGET Mode => [keys] at object saying evidence;
/// ```
macro_rules! broken {
    ($($given:ident: $target:ident $mode:ident => [$($key:literal),+] at $object:literal saying $evidence:literal;)+) => {
        pub const CASES: &[crate::rules::case::Case] = &[$(crate::rules::case::Case {
            name: stringify!($given),
            target: crate::support::tree::layout::$target,
            mode: klto::model::cell::LtoMode::$mode,
            given: $given,
            keys: &[$($key),+],
            object: $object,
            evidence: $evidence,
        }),+];

        mod broken {
            $(
                #[test]
                fn $given() {
                    let name = stringify!($given);
                    let case = super::CASES.iter().find(|case| case.name == name);
                    case.expect("the table has every case").assert();
                }
            )+
        }
    };
}
pub(crate) use broken;
