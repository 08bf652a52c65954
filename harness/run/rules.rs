//! The registry: every rule that can be reported.

use crate::build::boot;
use crate::judge::{check, diff};
use crate::model::finding::{Rule, Severity};
use crate::run::scenario;

/// A build that does not come to its end; reported like a rule.
pub const BUILD_FAILED: Rule = Rule {
    key: "build.failed",
    severity: Severity::Error,
    invariant: "make builds the kernel and exits 0",
    broken: "objects break it",
    why: "there is no kernel to check",
    fix: "the first error lines are shown; the reproduce commands build the cell again",
};

/// Every rule that can be reported: over a tree, over a build, over what make does with a
/// tree that is there.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    check::rules()
        .chain([&BUILD_FAILED])
        .chain(scenario::rules::RULES.iter().copied())
        .chain(boot::console::RULES)
        .chain(diff::rules::rules())
}
