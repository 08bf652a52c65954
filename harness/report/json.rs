//! JSON for programs, described in `docs/formats.md`: the records as they are.

use std::collections::BTreeMap;
use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Around, Reporter};
use crate::model::record::{FORMAT, Inspection, RuleText, RunRecord};

/// Writes records as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// What one build tree showed, as it is written. The keys are those of a cell's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of klto that wrote it.
    pub klto: String,
    /// The build tree, as it was named.
    pub tree: String,
    pub inspection: Inspection,
    /// The texts of the rules whose keys the record names.
    pub rules: BTreeMap<String, RuleText>,
}

impl Reporter for Json {
    fn run(&self, run: &RunRecord) -> String {
        pretty(run)
    }

    fn write_run(&self, run: &RunRecord, _: &Around, to: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *to, run)?;
        to.write_all(b"\n")
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        pretty(&TreeRecord {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            tree: tree.to_owned(),
            inspection: inspection.clone(),
            rules: rules.clone(),
        })
    }
}

pub(super) fn pretty(record: &impl Serialize) -> String {
    // Records are text, numbers, lists and maps with text as keys: that never fails.
    let mut text = serde_json::to_string_pretty(record).unwrap_or_default();
    text.push('\n');
    text
}
