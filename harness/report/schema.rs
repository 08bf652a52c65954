//! The JSON schemas of what klto writes, for those who read it. They follow from the records
//! themselves, descriptions included.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::diff::Trees;
use super::json::{TreeRecord, pretty};
use crate::model::bisect::BisectRecord;
use crate::model::plan::Plan;
use crate::model::record::RunRecord;
use crate::model::series::SeriesRecord;
use crate::model::stored::{History, RunComparison};

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// The result of 'klto run' and 'klto probe'.
    Run,
    /// The result of 'klto check'.
    Check,
    /// The result of 'klto diff'.
    Diff,
    /// The result of 'klto series'.
    Series,
    /// The result of 'klto bisect'.
    Bisect,
    /// The result of 'klto compare'.
    Compare,
    /// The result of 'klto history' and 'klto check --store'.
    History,
    /// What 'klto plan' says.
    Plan,
}

/// The schema of a document, in JSON Schema 2020-12.
#[must_use]
pub fn of(document: Document) -> String {
    match document {
        Document::Run => written::<RunRecord>(),
        Document::Check => written::<TreeRecord>(),
        Document::Diff => written::<Trees<'_>>(),
        Document::Series => written::<SeriesRecord>(),
        Document::Bisect => written::<BisectRecord>(),
        Document::Compare => written::<RunComparison>(),
        Document::History => written::<History>(),
        Document::Plan => written::<Plan>(),
    }
}

fn written<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    without_links(&mut schema);
    pretty(&schema)
}

/// Takes the links to other items of the code out of the descriptions.
fn without_links(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if let Some(Value::String(text)) = keys.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            keys.values_mut().for_each(without_links);
        }
        Value::Array(items) => items.iter_mut().for_each(without_links),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
