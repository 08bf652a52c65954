//! Suppressions: which findings are known and accepted, where, why and until which
//! kernel. Given in a matrix or in a file of their own, and applied to findings, which
//! are still reported, as suppressed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer};

use crate::input::yaml::{self, YamlError};
use crate::model::cell::CellPattern;
use crate::model::finding::{Finding, key_matches};
use crate::model::kernel_version::KernelVersion;

/// A suppression.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// A finding's key or leading parts of it: `compdb` covers `compdb.lost-entries`.
    #[serde(deserialize_with = "key")]
    pub key: String,
    /// The cells in which it holds.
    #[serde(deserialize_with = "parsed")]
    pub cells: CellPattern,
    /// The objects for which it holds, a glob whose `*` spans `/`; without it, for
    /// every object and for findings about none.
    #[serde(default, deserialize_with = "parsed_option")]
    pub object: Option<ObjectPattern>,
    /// The scenario in which it holds; in every one, if not given.
    #[serde(default)]
    pub scenario: Option<String>,
    /// The step of the scenario after which it holds; after every one, if not given.
    #[serde(default)]
    pub step: Option<String>,
    /// Why the finding is accepted; never blank.
    #[serde(deserialize_with = "reason")]
    pub reason: String,
    /// The first kernel for which it ends.
    #[serde(deserialize_with = "parsed")]
    pub until: KernelVersion,
}

impl Allow {
    /// The suppressions in a YAML file: a list of them, or a map `allow: […]`.
    ///
    /// # Errors
    /// When the file cannot be read or is not of that form, with the place.
    pub fn load_file(file: &Path) -> Result<Vec<Self>, YamlError> {
        Self::parse(&yaml::read(file)?, file)
    }

    /// The same from the text of `file`.
    ///
    /// # Errors
    /// When the text is not of that form, with the place.
    pub fn parse(text: &str, file: &Path) -> Result<Vec<Self>, YamlError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            allow: Vec<Allow>,
        }
        if yaml::is_sequence(text) {
            return yaml::parse(text, file);
        }
        yaml::parse::<File>(text, file).map(|f| f.allow)
    }

    /// Whether it covers a finding of that cell and scenario.
    pub fn covers(&self, finding: &Finding, place: (&str, &str)) -> bool {
        self.matches(finding.rule.key, place, Some(&finding.object))
            && (self.step.is_none() || self.step == finding.step)
    }

    fn matches(&self, key: &str, (cell, scenario): (&str, &str), object: Option<&str>) -> bool {
        key_matches(&self.key, key)
            && self.cells.matches(cell)
            && self.scenario.as_deref().is_none_or(|name| name == scenario)
            && match (&self.object, object) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(pattern), Some(object)) => pattern.matches(object),
            }
    }

    /// Whether it has ended for a kernel of that version.
    pub fn is_expired(&self, kernel: &KernelVersion) -> bool {
        *kernel >= self.until
    }
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    yaml::word(deserializer, |key| {
        let is_key = key
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(letter));
        is_key.then(|| key.to_owned()).ok_or_else(|| {
            format!(
                "`{key}` is not a key; expected dotted words such as `compdb` or \
                 `compdb.lost-entries`, without a pattern: a key covers every key below it"
            )
        })
    })
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    yaml::word(deserializer, |reason| match reason.trim() {
        "" => Err("the reason is blank; say why this finding is accepted"),
        _ => Ok(reason.to_owned()),
    })
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    yaml::word(deserializer, str::parse)
}

fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(deserializer).map(Some)
}

/// A glob over object names whose `*` spans `/`.
#[derive(Debug, Clone)]
pub struct ObjectPattern(GlobMatcher);

impl ObjectPattern {
    /// Whether the whole of `object` matches.
    pub fn matches(&self, object: &str) -> bool {
        self.0.is_match(object)
    }

    /// The pattern's own text.
    pub fn as_str(&self) -> &str {
        self.0.glob().glob()
    }
}

impl FromStr for ObjectPattern {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        Glob::new(pattern)
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|e| format!("`{pattern}` is not a pattern: {}", e.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ONE: &str = "- { key: compdb, cells: '*/thin-dist', object: 'kernel/*', \
                       reason: known in 7.2, until: 7.10 }\n";

    fn one() -> Allow {
        Allow::parse(ONE, Path::new("a.yaml")).unwrap().remove(0)
    }

    #[rstest]
    #[case::below_the_key(
        "compdb.lost-entries",
        "arm64/tiny/thin-dist/llvm-22",
        Some("kernel/a/b.o"),
        true
    )]
    #[case::the_key("compdb", "arm64/tiny/thin-dist/llvm-22", Some("kernel/a.o"), true)]
    #[case::longer_word("compdbs", "arm64/tiny/thin-dist/llvm-22", Some("kernel/a.o"), false)]
    #[case::other_mode("compdb", "arm64/tiny/thin/llvm-22", Some("kernel/a.o"), false)]
    #[case::other_object("compdb", "arm64/tiny/thin-dist/llvm-22", Some("mm/a.o"), false)]
    #[case::no_object("compdb", "arm64/tiny/thin-dist/llvm-22", None, false)]
    fn it_covers_what_its_patterns_say(
        #[case] key: &str,
        #[case] cell: &str,
        #[case] object: Option<&str>,
        #[case] expected: bool,
    ) {
        assert_eq!(one().matches(key, (cell, "build"), object), expected);
    }

    #[rstest]
    #[case("7.9.12", false)]
    #[case("7.10-rc1", false)]
    #[case("7.10.0-rc7-next-20270101", false)]
    #[case("7.10", true)]
    #[case("7.10.0-next-20270101", true)]
    #[case("7.10.3+", true)]
    #[case("8.0-rc1", true)]
    fn it_ends_with_the_kernel_it_names(#[case] kernel: &str, #[case] expired: bool) {
        assert_eq!(one().is_expired(&kernel.parse().unwrap()), expired);
    }

    #[test]
    fn a_file_is_a_list_or_a_map_with_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allow.yaml");
        std::fs::write(&file, format!("allow:\n{ONE}")).unwrap();
        let allow = Allow::load_file(&file).unwrap().remove(0);
        assert_eq!(allow.until.to_string(), "7.10");
        assert_eq!(allow.object.unwrap().as_str(), "kernel/*");
    }

    #[rstest]
    #[case::no_reason("{ key: a, cells: '*', until: '7.4' }", 3, "missing field `reason`")]
    #[case::no_end("{ key: a, cells: '*', reason: r }", 3, "missing field `until`")]
    #[case::blank(
        "{ key: a, cells: '*', reason: ' ', until: '7.4' }",
        33,
        "reason is blank"
    )]
    #[case::date(
        "{ key: a, cells: '*', reason: r, until: '2027-01-01' }",
        43,
        "kernel version"
    )]
    #[case::pattern(
        "{ key: a.*, cells: '*', reason: r, until: '7.4' }",
        10,
        "`a.*` is not a key"
    )]
    #[case::cells(
        "{ key: a, cells: '[', reason: r, until: '7.4' }",
        20,
        "`[` is not a pattern"
    )]
    #[case::typo(
        "{ key: a, cell: '*', reason: r, until: '7.4' }",
        13,
        "did you mean `cells`?"
    )]
    fn a_suppression_without_reason_or_end_is_refused(
        #[case] allow: &str,
        #[case] column: usize,
        #[case] says: &str,
    ) {
        let error = Allow::parse(&format!("allow:\n- {allow}\n"), Path::new("a.yaml"));
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("a.yaml:2:{column}: ")),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }
}
