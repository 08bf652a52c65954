//! The folders that are embedded in the program. Cargo rebuilds the program for a file that
//! is new in one of them only if `build.rs` names the folder.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::sources::rust_files;

/// What stands between `start` and the next quote, at each place.
fn quoted_after<'a>(text: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(start).skip(1);
    parts.filter_map(|rest| Some(rest.split_once('"')?.0))
}

#[test]
fn the_build_script_names_every_folder_that_is_embedded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let harness = root.join("harness");
    let sources = rust_files(&harness).into_iter();
    let sources = sources.map(|file| std::fs::read_to_string(harness.join(file)).unwrap());
    let embedded: BTreeSet<String> = sources
        .flat_map(|text| {
            let folders = quoted_after(&text, "include_dir!(\"$CARGO_MANIFEST_DIR/");
            folders.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(embedded.len() > 3, "the folders are found: {embedded:?}");

    let script = std::fs::read_to_string(root.join("build.rs")).unwrap();
    let named: BTreeSet<String> = quoted_after(&script, "        \"")
        .map(str::to_owned)
        .collect();

    assert_eq!(named, embedded);
}

/// Otherwise the modes could not share its objects.
#[test]
fn no_code_of_the_miniature_names_a_mode_of_lto() {
    let miniature = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/run/probe/miniature");
    let mut looked_at = 0;
    for file in walkdir::WalkDir::new(miniature) {
        let file = file.unwrap();
        let name = file.file_name().to_str().unwrap();
        let is_code = [".c", ".h", ".S"].iter().any(|end| name.ends_with(end));
        if is_code {
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert!(!text.contains("CONFIG_LTO_"), "{}", file.path().display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 50, "{looked_at}");
}
