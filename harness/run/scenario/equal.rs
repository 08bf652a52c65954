//! Whether two states of a build tree are equal: by the bytes of every file, or by the
//! snapshots of their facts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use similar::{ChangeTag, TextDiff};

use crate::judge::snapshot::Snapshot;

/// Hashes of files, by path relative to the build tree.
pub type Contents = BTreeMap<PathBuf, blake3::Hash>;

/// Files of `wanted` that are missing from `found` or differ there, with what is wrong.
/// Additional files in `found` are left over from earlier builds and harmless.
pub fn different_files<'a>(
    wanted: &'a Contents,
    found: &'a Contents,
) -> impl Iterator<Item = (&'a Path, &'static str)> {
    wanted
        .iter()
        .filter(|(path, _)| !is_record(path))
        .filter_map(|(path, hash)| match found.get(path) {
            None => Some((path.as_path(), "is missing")),
            Some(other) if other != hash => Some((path.as_path(), "has different content")),
            Some(_) => None,
        })
}

/// Whether a file records one run of a build: it contains names of temporary files.
fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "d")
}

/// The same without the lines that depend on where the source tree is.
pub fn without_location(facets: Snapshot) -> Snapshot {
    let keep = |line: &&str| !line.contains("$(srctree)");
    let strip = |text: String| text.lines().filter(keep).collect::<Vec<_>>().join("\n");
    facets
        .into_iter()
        .map(|(facet, text)| (facet, strip(text)))
        .collect()
}

/// The facets that differ, each with its first differing lines.
pub fn different_facets(wanted: &Snapshot, found: &Snapshot) -> Vec<(&'static str, String)> {
    const SHOWN: usize = 4;
    let mut different = Vec::new();
    for (facet, wanted) in wanted {
        let found = found.get(facet).map_or("", String::as_str);
        if wanted == found || *facet == "findings" {
            continue;
        }
        let diff = TextDiff::from_lines(wanted.as_str(), found);
        let lines: Vec<String> = diff
            .iter_all_changes()
            .filter_map(|change| match change.tag() {
                ChangeTag::Delete => Some(format!("expected '{}'", change.value().trim_end())),
                ChangeTag::Insert => Some(format!("found '{}'", change.value().trim_end())),
                ChangeTag::Equal => None,
            })
            .collect();
        let more = lines.len().saturating_sub(SHOWN);
        let mut text = lines.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more lines"));
        }
        different.push((*facet, text));
    }
    different
}
