//! Reads klto's YAML files (matrix, allow list, architecture) so that every mistake is
//! reported with file, line, column and the nearest known key.
//!
//! Two things that `serde_yaml` lacks are done here by a walk over the document: a duplicate
//! key is refused at every depth, and a node can be located by its path after parsing, for
//! rules between several parts of a file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::input::suggest::nearest;

/// A position in a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// Line, from 1; 0 if the position is unknown.
    pub line: usize,
    /// Column in characters, from 1; 0 if the position is unknown.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// Why a YAML file could not be read.
#[derive(Debug, Error)]
pub enum YamlError {
    /// The file itself cannot be read.
    #[error("cannot read {}: {source}; give the path of a readable YAML file", .file.display())]
    Read {
        /// The file as the user named it.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not YAML, or not of the expected shape.
    #[error("{place}: {message}")]
    Shape {
        /// Where.
        place: Place,
        /// What was expected, what was found, and what to do.
        message: String,
    },
}

impl From<YamlError> for crate::model::error::Error {
    fn from(error: YamlError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// The most that is read of a file, in bytes. A matrix of thousands of cells has thirty thousand.
const MOST: u64 = 1 << 20;

/// Reads `file` whole.
///
/// # Errors
/// [`YamlError::Read`] when it does not exist, is not UTF-8 text or is larger than a megabyte.
pub fn read(file: &Path) -> Result<String, YamlError> {
    crate::file::read_text(file, MOST).map_err(|source| YamlError::Read {
        file: file.to_owned(),
        source,
    })
}

/// Parses `text`, the contents of `file`, refusing duplicate keys.
///
/// # Errors
/// [`YamlError::Shape`] with the position of the first mistake.
pub fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, YamlError> {
    check_depth(text, file)?;
    walk(text, None)
        .and_then(|()| serde_yaml::from_str(text))
        .map_err(|error| shape_error(&error, file))
}

/// Refuses a file with very many brackets that are open at once: the parser takes the square of that.
fn check_depth(text: &str, file: &Path) -> Result<(), YamlError> {
    /// Many more than can be meant, also if most of them stand in texts.
    const MOST: usize = 5000;

    let (mut depth, mut line) = (0_usize, 1);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if depth > MOST {
            let file = file.to_owned();
            return Err(YamlError::Shape {
                place: Place {
                    file,
                    line,
                    column: 1,
                },
                message: format!("more than {MOST} brackets are open; close them"),
            });
        }
    }
    Ok(())
}

/// The position of the node at `path` in `text`: a map entry is found at its key,
/// a sequence element (named by its number, from 0) where it begins. Where the
/// path ends too early or too late, the position is that of `file` as a whole.
pub fn locate(text: &str, file: &Path, path: &[&str]) -> Place {
    let location = walk(text, Some(path)).err().and_then(|e| e.location());
    Place {
        file: file.to_owned(),
        line: location.as_ref().map_or(0, serde_yaml::Location::line),
        column: location.as_ref().map_or(0, serde_yaml::Location::column),
    }
}

/// For `deserialize_with`: a value that is read from one word by `read`, whose error
/// is then reported at the word and not at the map around it.
///
/// # Errors
/// When the value is not a plain word, or `read` refuses it.
pub fn word<'de, D, T, E>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
{
    deserializer.deserialize_str(Word(read))
}

struct Word<R>(R);

impl<T, E: fmt::Display, R: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Word<R> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain word")
    }

    fn visit_str<S: serde::de::Error>(self, word: &str) -> Result<T, S> {
        (self.0)(word).map_err(S::custom)
    }
}

/// Whether the document is a sequence.
pub fn is_sequence(text: &str) -> bool {
    serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|value| value.is_sequence())
}

fn shape_error(error: &serde_yaml::Error, file: &Path) -> YamlError {
    let mut message = error.to_string();
    let (mut line, mut column) = (0, 0);
    if let Some(location) = error.location() {
        (line, column) = (location.line(), location.column());
        message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
    }
    let hint = suggestion(&message).unwrap_or_default();
    let message = format!("{}{hint}", message.replace('`', "'"));
    YamlError::Shape {
        place: Place {
            file: file.to_owned(),
            line,
            column,
        },
        message,
    }
}

/// serde's texts are "unknown field `x`, expected one of `a`, `b`" and the same
/// with "variant"; the words in backticks are what a suggestion needs.
fn suggestion(message: &str) -> Option<String> {
    let start = message
        .find("unknown field `")
        .or_else(|| message.find("unknown variant `"))?;
    let mut quoted = message[start..].split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let near = nearest(found, quoted)?;
    Some(format!("; did you mean '{near}'?"))
}

fn walk(text: &str, target: Option<&[&str]>) -> Result<(), serde_yaml::Error> {
    let mut walker = Walker {
        path: Vec::new(),
        target,
    };
    walker.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Visits every node; stops with an error, which then has that node's position,
/// at a duplicate key or at the target. A map entry that is the target stops at its key.
struct Walker<'t> {
    path: Vec<String>,
    target: Option<&'t [&'t str]>,
}

impl Walker<'_> {
    fn stop_at_target<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.target.is_some_and(|target| self.path == target) {
            return Err(E::custom("here"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a sequence or a plain value without a '!tag'")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.stop_at_target()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.stop_at_target()?;
        for index in 0.. {
            self.path.push(index.to_string());
            let more = seq.next_element_seed(&mut *self)?.is_some();
            self.path.pop();
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.stop_at_target()?;
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key {
            walker: self,
            seen: &seen,
        })? {
            self.path.push(key.clone());
            seen.insert(key);
            map.next_value_seed(&mut *self)?;
            self.path.pop();
        }
        Ok(())
    }
}

struct Key<'w, 't> {
    walker: &'w Walker<'t>,
    seen: &'w BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain word as key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if self.seen.contains(key) {
            return Err(E::custom(format_args!(
                "key '{key}' appears twice in this map; remove one"
            )));
        }
        let mut here = self.walker.path.iter().map(String::as_str).chain([key]);
        if let Some(target) = self.walker.target
            && target.len() == self.walker.path.len() + 1
            && target.iter().all(|step| here.next() == Some(step))
        {
            return Err(E::custom("here"));
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Doc {
        #[serde(default)]
        #[expect(dead_code, reason = "only parsed")]
        names: Vec<String>,
        #[serde(default)]
        #[expect(dead_code, reason = "only parsed")]
        values: BTreeMap<String, String>,
    }

    #[rstest]
    #[case::unknown_key("names: []\nvalus: {}\n", "f.yaml:2:1: ", "did you mean 'values'?")]
    #[case::duplicate_key(
        "values: { A: 1,\n  B: 2, A: 3 }\n",
        "f.yaml:2:9: ",
        "key 'A' appears twice"
    )]
    #[case::wrong_type("names: one\n", "f.yaml:1:8: ", "expected a sequence")]
    #[case::not_yaml("names: [\n", "f.yaml:2:1: ", "did not find")]
    #[case::complex_key("? [a]\n: 1\n", "f.yaml:1:3: ", "plain word as key")]
    #[case::tag("names: !x [a]\n", "f.yaml:1:", "without a '!tag'")]
    fn a_mistake_is_reported_where_it_is(
        #[case] text: &str,
        #[case] place: &str,
        #[case] says: &str,
    ) {
        let error = parse::<Doc>(text, Path::new("f.yaml")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(place), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("at line"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/m.yaml"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot read /nonexistent/m.yaml: "));
    }

    #[rstest]
    #[case::key(&["axes", "arch"], 2, 3)]
    #[case::element(&["axes", "arch", "1"], 2, 13)]
    #[case::element_of_map(&["axes", "lto", "0"], 4, 7)]
    #[case::after_a_deep_value(&["last"], 5, 1)]
    #[case::scalar_in_map_in_sequence(&["axes", "lto", "0", "k"], 4, 9)]
    #[case::absent(&["axes", "none"], 0, 0)]
    #[case::beyond_a_scalar(&["last", "x"], 0, 0)]
    #[case::without_a_value(&["empty"], 6, 1)]
    #[case::after_one_without_a_value(&["end"], 7, 1)]
    fn a_node_is_located_by_its_path(
        #[case] path: &[&str],
        #[case] line: usize,
        #[case] column: usize,
    ) {
        let text = "axes:\n  arch: [a, b]\n  lto:\n    - { k: v }\nlast: 1\nempty:\nend: 2\n";
        let place = locate(text, Path::new("f"), path);
        assert_eq!((place.line, place.column), (line, column));
    }
}
