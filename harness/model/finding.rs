//! A rule, and the finding that reports that it is broken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must hold over a build tree. The key is a contract: allow files,
/// snapshots and people's scripts name it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `family.name`.
    pub key: &'static str,
    pub severity: Severity,
    /// The invariant, in one sentence.
    pub invariant: &'static str,
    /// What happened, after the number of findings: a plural noun, a plural verb, the rest.
    /// [`counted`] makes `473 objects have no saved_c_flags line` of it.
    pub broken: &'static str,
    /// Why it matters that it holds.
    pub why: &'static str,
    /// Where to look, or what to do, when it does not.
    pub fix: &'static str,
}

/// What a broken rule means for the kernel that was built.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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

/// A build that does not come to its end; reported like a rule.
pub const BUILD_FAILED: Rule = Rule {
    key: "build.failed",
    severity: Severity::Error,
    invariant: "make builds the kernel and exits 0",
    broken: "builds failed",
    why: "there is no kernel to check",
    fix: "read the first error lines, which are shown; the reproduce commands build the cell again",
};

/// A build that reached out of its sandbox; reported like a rule.
pub const SANDBOX_REFUSED: Rule = Rule {
    key: "sandbox.refused",
    severity: Severity::Error,
    invariant: "a build reads its sources and its toolchain, and writes its own folders only",
    broken: "attempts failed to reach what no build needs",
    why: "the makefiles, or what they run, may attack the machine that builds them",
    fix: "read the command before the line in the log; a build that needs the file cannot run in the sandbox",
};

/// What a build left for others to stumble over; reported like a rule.
pub const SANDBOX_PLANTED: Rule = Rule {
    key: "sandbox.planted",
    severity: Severity::Error,
    invariant: "the links of a build tree lead into it or into its sources, and all else in it are files and directories",
    broken: "entries lead out of the build tree",
    why: "who reads or writes the tree after the build is led elsewhere, or waits forever",
    fix: "find what makes the entry; klto removed it, and the build may lack it now",
};

/// A broken rule: where, and the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The object, archive or file, relative to the build tree.
    pub object: String,
    /// File and line, or offset and bytes; what was expected and what was found.
    pub evidence: String,
}

/// A number and what there is of it: the noun and the verb of `phrase` are plural, and
/// become singular after 1. `objects have no line` gives `1 object has no line`.
#[must_use]
pub fn counted(number: usize, phrase: &str) -> String {
    if number != 1 {
        return format!("{number} {phrase}");
    }
    let (noun, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
    let noun = if let Some(stem) = noun.strip_suffix("ies") {
        format!("{stem}y")
    } else if noun.ends_with("ches") {
        noun.strip_suffix("es").unwrap_or(noun).to_owned()
    } else {
        noun.strip_suffix('s').unwrap_or(noun).to_owned()
    };
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let verb = match verb {
        "have" => "has".to_owned(),
        "are" => "is".to_owned(),
        "were" => "was".to_owned(),
        "do" => "does".to_owned(),
        "" => String::new(),
        past if past.ends_with("ed") => past.to_owned(),
        verb => format!("{verb}s"),
    };
    format!("1 {noun} {verb} {rest}").trim_end().to_owned()
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
    #[case(2, "objects have no line", "2 objects have no line")]
    #[case(1, "objects have no line", "1 object has no line")]
    #[case(0, "objects have no line", "0 objects have no line")]
    #[case(1, "entries name another source", "1 entry names another source")]
    #[case(1, "builds failed", "1 build failed")]
    #[case(1, "cells", "1 cell")]
    #[case(1, "patches", "1 patch")]
    fn a_number_and_its_words_agree(
        #[case] number: usize,
        #[case] phrase: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(counted(number, phrase), expected);
    }

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
