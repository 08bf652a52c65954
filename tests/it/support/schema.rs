//! The published schemas, and whether a document is what they say.

use serde_json::Value;

/// What of a document is not as the schema of a command says: nothing if it is valid.
pub fn faults(command: &str, document: &Value) -> Vec<String> {
    let file = format!("{}/docs/schema/{command}.json", env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(file).unwrap();
    let schema = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults = validator.iter_errors(document);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}
