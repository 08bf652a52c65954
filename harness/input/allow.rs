//! Allow entries: which findings are known and accepted, where, why and until which kernel
//! version. They are part of a matrix or in a file of their own. Findings that they cover are
//! still reported, but not counted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer};

use crate::input::suggest::nearest;
use crate::input::yaml::{self, YamlError};
use crate::model::cell::CellPattern;
use crate::model::finding::key_matches;
use crate::model::kernel_version::KernelVersion;
use crate::model::record::FindingRecord;

/// An allow entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// A finding's key, or its first parts: `compdb` covers `compdb.lost-entries`.
    #[serde(deserialize_with = "key")]
    pub key: String,
    /// The cells it applies to.
    #[serde(deserialize_with = "parsed")]
    pub cells: CellPattern,
    /// The objects it applies to, a glob whose `*` spans `/`; if not given, all objects and
    /// findings about none.
    #[serde(default, deserialize_with = "parsed_option")]
    pub object: Option<ObjectPattern>,
    /// The scenario it applies to; all, if not given.
    #[serde(default)]
    pub scenario: Option<String>,
    /// The step of the scenario it applies to; all, if not given.
    #[serde(default)]
    pub step: Option<String>,
    /// Why the finding is accepted; never blank.
    #[serde(deserialize_with = "reason")]
    pub reason: String,
    /// The first kernel version it no longer applies to.
    #[serde(deserialize_with = "parsed")]
    pub until: KernelVersion,
}

impl Allow {
    /// The allow entries in a YAML file: a list of them, or a map `allow: […]`.
    ///
    /// # Errors
    /// When the file cannot be read or has another form; the message has the position.
    pub fn load_file(file: &Path) -> Result<Vec<Self>, YamlError> {
        Self::parse(&yaml::read(file)?, file)
    }

    /// The same from the text of `file`.
    ///
    /// # Errors
    /// When the text has another form; the message has the position.
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

    /// Whether it covers a finding of the cell and the scenario.
    pub fn covers(&self, finding: &FindingRecord, place: (&str, &str)) -> bool {
        self.matches(&finding.key, place, Some(&finding.object))
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

    /// Whether it no longer applies to that kernel version.
    pub fn is_expired(&self, kernel: &KernelVersion) -> bool {
        *kernel >= self.until
    }
}

/// What an allow entry may name.
#[derive(Debug, Clone)]
pub struct KnownNames {
    /// The key of every rule.
    pub keys: Vec<&'static str>,
    /// Keys that rules had earlier, each with the one it has now.
    pub renamed_keys: &'static [(&'static str, &'static str)],
    /// Every scenario, with the names of its steps; no names where they depend on the tree.
    pub scenarios: BTreeMap<String, Option<Vec<String>>>,
}

/// Refuses entries that name a rule, a scenario or a step that there is not: they would
/// cover nothing, and nobody would know. `text` is the content of `file`, `above` leads to
/// the list of entries in it.
///
/// # Errors
/// The first such name, with its place and the nearest name that there is.
pub fn check_names(
    allows: &[Allow],
    text: &str,
    file: &Path,
    above: &[&str],
    names: &KnownNames,
) -> Result<(), YamlError> {
    for (index, allow) in allows.iter().enumerate() {
        if let Some((field, message)) = names.unknown_in(allow) {
            let index = index.to_string();
            let path = [above, &[&index, field]].concat();
            return Err(YamlError::Shape {
                place: yaml::locate(text, file, &path),
                message,
            });
        }
    }
    Ok(())
}

impl KnownNames {
    /// The field of an entry that names nothing, and what to say of it.
    fn unknown_in(&self, allow: &Allow) -> Option<(&'static str, String)> {
        let key = &allow.key;
        if let Some((_, new)) = self.renamed_keys.iter().find(|(old, _)| old == key) {
            return Some(("key", format!("the key '{key}' is '{new}' now; use that")));
        }
        if !self.keys.iter().any(|known| key_matches(key, known)) {
            let families = self.keys.iter().filter_map(|key| key.split('.').next());
            let known = self.keys.iter().copied().chain(families);
            return Some(("key", unknown("no rule has the key", key, known)));
        }
        let scenario = allow.scenario.as_ref()?;
        let Some(steps) = self.scenarios.get(scenario) else {
            let known = self.scenarios.keys().map(String::as_str);
            let message = unknown("there is no scenario", scenario, known);
            return Some(("scenario", message));
        };
        let (step, steps) = (allow.step.as_ref()?, steps.as_ref()?);
        if steps.contains(step) {
            return None;
        }
        let what = format!("the scenario '{scenario}' has no step");
        Some((
            "step",
            unknown(&what, step, steps.iter().map(String::as_str)),
        ))
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let hint = nearest(name, known).map(|near| format!("; did you mean '{near}'?"));
    let hint = hint.unwrap_or_else(|| "; 'klto explain' lists every rule".to_owned());
    format!("{what} '{name}', so the entry covers nothing{hint}")
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    yaml::word(deserializer, |key| {
        let is_key = key
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(letter));
        is_key.then(|| key.to_owned()).ok_or_else(|| {
            format!(
                "'{key}' is not a key; write dotted words such as 'compdb' or \
                 'compdb.lost-entries'; a key covers every key below it, patterns do not work"
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

/// A glob for object names whose `*` spans `/`.
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
            .map_err(|e| format!("'{pattern}' is not a pattern: {}", e.kind()))
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
    #[case::the_step(Some("to thin"), true)]
    #[case::another(Some("back"), false)]
    #[case::the_build(None, false)]
    fn it_covers_the_step_that_it_names(#[case] step: Option<&str>, #[case] expected: bool) {
        let mut finding =
            FindingRecord::new(&crate::model::finding::BUILD_FAILED, "kernel/a.o", "");
        "compdb".clone_into(&mut finding.key);
        finding.step = step.map(str::to_owned);
        let place = ("arm64/tiny/thin-dist/llvm-22", "switch");
        assert!(one().covers(&finding, place), "it names none");
        let mut allow = one();
        allow.step = Some("to thin".to_owned());
        assert_eq!(allow.covers(&finding, place), expected);
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

    fn names() -> KnownNames {
        KnownNames {
            keys: vec!["flags.saved-missing", "damage.silent"],
            renamed_keys: &[("fault.silent", "damage.silent")],
            scenarios: BTreeMap::from([
                ("switch".to_owned(), Some(vec!["to thin".to_owned()])),
                ("damage".to_owned(), None),
            ]),
        }
    }

    #[rstest]
    #[case::key("key: flags.saved-missing", None)]
    #[case::family("key: flags", None)]
    #[case::scenario("key: flags, scenario: switch, step: to thin", None)]
    #[case::steps_of_the_tree("key: flags, scenario: damage, step: a.o is deleted", None)]
    #[case::mistyped(
        "key: flags.saved-mising",
        Some(
            "no rule has the key 'flags.saved-mising', so the entry covers nothing; did you mean 'flags.saved-missing'?"
        )
    )]
    #[case::half_a_word("key: flags.saved", Some("no rule has the key 'flags.saved'"))]
    #[case::renamed(
        "key: fault.silent",
        Some("the key 'fault.silent' is 'damage.silent' now")
    )]
    #[case::no_scenario(
        "key: flags, scenario: swich",
        Some("there is no scenario 'swich', so the entry covers nothing; did you mean 'switch'?")
    )]
    #[case::no_step(
        "key: flags, scenario: switch, step: to thn",
        Some("the scenario 'switch' has no step 'to thn'")
    )]
    fn an_entry_that_names_nothing_is_refused(#[case] entry: &str, #[case] says: Option<&str>) {
        let text = format!("allow:\n- {{ {entry}, cells: '*', reason: r, until: '7.4' }}\n");
        let file = Path::new("a.yaml");
        let allows = Allow::parse(&text, file).unwrap();
        let error = check_names(&allows, &text, file, &["allow"], &names()).err();
        let error = error.map(|e| e.to_string());
        match (says, error) {
            (None, None) => {}
            (Some(says), Some(error)) => {
                assert!(error.contains(says), "{error}");
                assert!(error.starts_with("a.yaml:2:"), "{error}");
            }
            (says, error) => panic!("expected {says:?}, found {error:?}"),
        }
    }

    #[rstest]
    #[case::no_reason("{ key: a, cells: '*', until: '7.4' }", 3, "missing field 'reason'")]
    #[case::no_end("{ key: a, cells: '*', reason: r }", 3, "missing field 'until'")]
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
        "'a.*' is not a key"
    )]
    #[case::cells(
        "{ key: a, cells: '[', reason: r, until: '7.4' }",
        20,
        "'[' is not a pattern"
    )]
    #[case::typo(
        "{ key: a, cell: '*', reason: r, until: '7.4' }",
        13,
        "did you mean 'cells'?"
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
