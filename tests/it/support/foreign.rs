//! Validators that others wrote. `ci/test` fetches them and says where they are.

use std::path::PathBuf;

/// What `variable` names; `script` prints it. `None` where the caller wants no validation.
pub fn foreign(variable: &str, script: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named));
    }
    if std::env::var_os("KLTO_SKIP_VALIDATORS").is_some() {
        eprintln!("left out: KLTO_SKIP_VALIDATORS is set, and {variable} is not");
        return None;
    }
    panic!("set {variable}: run ci/test, or {variable}=$({script}) cargo test");
}
