//! The b4 that klto is compared with, or works with.

use std::path::PathBuf;

/// Where b4 is; `None` where the caller wants no comparison.
pub fn b4() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KLTO_B4") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("b4"));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() && std::env::var_os("KLTO_SKIP_B4").is_some() {
        eprintln!("left out: KLTO_SKIP_B4 is set, and there is no b4");
        return None;
    }
    Some(found.expect("KLTO_B4 must name b4: run ci/test, or KLTO_B4=$(ci/b4) cargo test"))
}
