//! What a build made, in short: one hash for each command, object and export. Two imprints tell
//! how far a change of the sources reaches.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a build made. Hashes are the first digits of BLAKE3, in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imprint {
    /// Commands that compile or assemble kernel code, by their objects.
    pub front: BTreeMap<String, String>,
    /// Commands of back ends, by their native objects.
    pub back: BTreeMap<String, String>,
    /// The contents of the objects of both.
    pub objects: BTreeMap<String, String>,
    /// Commands that link or archive, by what they make.
    pub links: BTreeMap<String, String>,
    /// The CRCs of what is exported.
    pub crcs: BTreeMap<String, String>,
    /// The contents of all files but those of commands.
    pub files: BTreeMap<String, String>,
}

/// How far a change reaches: of each part, how much changed, and of how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ripple {
    /// How many cells were built to the end before and after.
    pub cells: usize,
    pub front: Changed,
    pub back: Changed,
    pub objects: Changed,
    pub links: Changed,
    pub crcs: Changed,
}

/// A part of a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// How many are new, gone or different.
    pub changed: usize,
    /// How many there were before or are there now.
    pub of: usize,
}

impl Imprint {
    /// What is not the same in the other, in words; nothing if both are of the same build.
    #[must_use]
    pub fn differences(&self, other: &Imprint) -> Vec<String> {
        let parts = Ripple::between(self, other).parts();
        let files = ("files", changed(&self.files, &other.files));
        let parts = parts.into_iter().chain([files]);
        let parts = parts.filter(|(_, part)| part.changed > 0);
        parts
            .map(|(what, part)| format!("{} of {} {what}", part.changed, part.of))
            .collect()
    }
}

impl Ripple {
    /// From one build to the next.
    #[must_use]
    pub fn between(before: &Imprint, after: &Imprint) -> Ripple {
        Ripple {
            cells: 1,
            front: changed(&before.front, &after.front),
            back: changed(&before.back, &after.back),
            objects: changed(&before.objects, &after.objects),
            links: changed(&before.links, &after.links),
            crcs: changed(&before.crcs, &after.crcs),
        }
    }

    /// Both together, of several cells.
    #[must_use]
    pub fn and(self, other: Ripple) -> Ripple {
        let sum = |a: Changed, b: Changed| Changed {
            changed: a.changed + b.changed,
            of: a.of + b.of,
        };
        Ripple {
            cells: self.cells + other.cells,
            front: sum(self.front, other.front),
            back: sum(self.back, other.back),
            objects: sum(self.objects, other.objects),
            links: sum(self.links, other.links),
            crcs: sum(self.crcs, other.crcs),
        }
    }

    /// The parts, with what they are, in the plural.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, Changed); 5] {
        [
            ("front-end commands", self.front),
            ("back-end commands", self.back),
            ("objects", self.objects),
            ("links", self.links),
            ("CRCs", self.crcs),
        ]
    }
}

fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Changed {
    let gone = before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .count();
    let different = after
        .iter()
        .filter(|(name, hash)| before.get(*name) != Some(*hash));
    Changed {
        changed: gone + different.count(),
        of: gone + after.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let entries = entries.iter();
        entries
            .map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_new_gone_or_different_changed() {
        let before = Imprint {
            front: map(&[("same", "1"), ("gone", "1"), ("other", "1")]),
            ..Imprint::default()
        };
        let after = Imprint {
            front: map(&[("same", "1"), ("other", "2"), ("new", "1")]),
            crcs: map(&[("new", "1")]),
            ..Imprint::default()
        };
        let ripple = Ripple::between(&before, &after);
        assert_eq!(ripple.front, Changed { changed: 3, of: 4 });
        assert_eq!(ripple.crcs, Changed { changed: 1, of: 1 });
        assert_eq!(ripple.back, Changed::default());
        let still = Ripple::between(&after, &after);
        assert!(still.parts().iter().all(|(_, part)| part.changed == 0));
        assert_eq!(before.differences(&before), Vec::<String>::new());
        assert_eq!(
            before.differences(&after),
            ["3 of 4 front-end commands", "1 of 1 CRCs"]
        );
        let both = ripple.and(still);
        assert_eq!(both.front, Changed { changed: 3, of: 7 });
        assert_eq!(both.cells, 2);
    }
}
