//! A rule, and the finding that says it is broken.

use serde::Serialize;

/// What must hold over a build tree. The key is a contract: allow files,
/// snapshots and people's scripts name it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `family.name`.
    pub key: &'static str,
    pub severity: Severity,
    /// The invariant, in one sentence.
    pub holds: &'static str,
    /// Why it matters that it holds.
    pub why: &'static str,
    /// Where to look, or what to do, when it does not.
    pub fix: &'static str,
}

/// What a broken rule means for the kernel that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The kernel may be wrong.
    Error,
    /// This kernel may be right, but the next build, or another machine's, may not.
    Warning,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A broken rule: where, and how one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The object, archive or file, from the build tree's top.
    pub object: String,
    /// File and line, or offset and bytes; what was expected and what is there.
    pub evidence: String,
    /// The step of a scenario after which it was found; `None` for the build itself.
    pub step: Option<String>,
    /// The reason of the allow entry that covers it: reported, not counted.
    pub suppressed: Option<String>,
}

/// Whether `key` is `pattern` or lies under it: `flags` covers `flags.saved-missing`.
#[must_use]
pub fn key_matches(pattern: &str, key: &str) -> bool {
    key.strip_prefix(pattern)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("flags", true)]
    #[case("flags.saved-missing", true)]
    #[case("flags.saved", false)]
    #[case("flag", false)]
    #[case("", false)]
    fn a_pattern_covers_whole_parts_of_a_key(#[case] pattern: &str, #[case] covers: bool) {
        assert_eq!(key_matches(pattern, "flags.saved-missing"), covers);
    }
}
