//! The texts of rules, by key. Thousands of cells of a run have the same ones: a copy shares them
//! until somebody adds to it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RuleText;

type Texts = BTreeMap<String, RuleText>;

/// The texts of rules, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleTexts(Arc<Texts>);

impl RuleTexts {
    /// Adds those whose keys it does not have yet.
    pub fn add(&mut self, texts: impl IntoIterator<Item = (String, RuleText)>) {
        for (key, text) in texts {
            if !self.0.contains_key(&key) {
                Arc::make_mut(&mut self.0).insert(key, text);
            }
        }
    }
}

impl From<Texts> for RuleTexts {
    fn from(texts: Texts) -> RuleTexts {
        RuleTexts(Arc::new(texts))
    }
}

impl Deref for RuleTexts {
    type Target = Texts;

    fn deref(&self) -> &Texts {
        &self.0
    }
}

impl Serialize for RuleTexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RuleTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleTexts, D::Error> {
        Texts::deserialize(deserializer).map(RuleTexts::from)
    }
}

impl JsonSchema for RuleTexts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Texts::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Texts::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Severity;

    fn text(fix: &str) -> RuleText {
        RuleText {
            severity: Severity::Warning,
            invariant: "it holds".to_owned(),
            broken: "objects do not".to_owned(),
            why: "it matters".to_owned(),
            fix: fix.to_owned(),
        }
    }

    #[test]
    fn they_are_written_and_read_as_a_map_is() {
        let map = BTreeMap::from([("a.b".to_owned(), text("so"))]);
        let texts = RuleTexts::from(map.clone());
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(serde_json::to_string(&texts).unwrap(), json);
        assert_eq!(serde_json::from_str::<RuleTexts>(&json).unwrap(), texts);
    }

    #[test]
    fn what_is_added_to_a_copy_is_only_there() {
        let mut first = RuleTexts::default();
        first.add([("a.b".to_owned(), text("so"))]);
        let mut copy = first.clone();
        copy.add([("a.b".to_owned(), text("otherwise"))]);
        assert!(Arc::ptr_eq(&first.0, &copy.0), "it has that key");
        copy.add([("c.d".to_owned(), text("so"))]);
        assert_eq!((first.len(), copy.len()), (1, 2));
        assert_eq!(copy["a.b"], text("so"));
    }
}
