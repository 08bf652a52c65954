//! The texts that recur in facts, each once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lasso::ThreadedRodeo;
use rustc_hash::FxBuildHasher;

/// An interned text; see [`Facts::text`]. Its order means nothing.
///
/// [`Facts::text`]: super::Facts::text
pub type Name = lasso::Spur;
/// The same table when all is read.
pub type Names = lasso::RodeoReader<Name, FxBuildHasher>;

/// The most that the texts of a tree take, in bytes: more than twice those of the largest kernel.
pub const MOST: u64 = 256 << 20;
/// What a text takes besides its bytes.
const EACH: u64 = 64;

/// The table that several reading threads fill. It has an end, since what it takes comes from files
/// that are not trusted.
#[derive(Debug)]
pub struct NameTable {
    texts: ThreadedRodeo<Name, FxBuildHasher>,
    /// The memory that it takes, in bytes.
    taken: AtomicU64,
    most: u64,
    is_full: AtomicBool,
}

impl Default for NameTable {
    fn default() -> Self {
        NameTable::with_room(MOST)
    }
}

impl NameTable {
    /// A table that takes at most so many bytes.
    #[must_use]
    pub fn with_room(most: u64) -> NameTable {
        NameTable {
            texts: ThreadedRodeo::with_hasher(FxBuildHasher),
            taken: AtomicU64::new(0),
            most,
            is_full: AtomicBool::new(false),
        }
    }

    /// The name of a text, which is added if it is new. When the table is full, it is that of the
    /// empty text: see [`NameTable::is_full`].
    pub fn get_or_intern(&self, text: impl AsRef<str>) -> Name {
        let text = text.as_ref();
        if let Some(known) = self.texts.get(text) {
            return known;
        }
        let size = EACH + text.len() as u64;
        let taken = self.taken.fetch_add(size, Ordering::Relaxed);
        let added = (taken.saturating_add(size) <= self.most)
            .then(|| self.texts.try_get_or_intern(text).ok())
            .flatten();
        added.unwrap_or_else(|| {
            self.is_full.store(true, Ordering::Relaxed);
            self.texts.get_or_intern("")
        })
    }

    /// The name of a text, if it is in the table.
    pub fn get(&self, text: impl AsRef<str>) -> Option<Name> {
        self.texts.get(text.as_ref())
    }

    /// The text of a name.
    #[must_use]
    pub fn resolve(&self, name: &Name) -> &str {
        self.texts.resolve(name)
    }

    /// Whether a text found no room, so that what was read is not to be used.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// The table, for reading only.
    #[must_use]
    pub fn into_reader(self) -> Names {
        self.texts.into_reader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_finds_no_room_is_the_empty_one() {
        let names = NameTable::with_room(2 * (EACH + 5));
        let first = names.get_or_intern("first");
        let other = names.get_or_intern("other");
        assert_eq!(names.get_or_intern("first"), first);
        assert!(!names.is_full());

        let third = names.get_or_intern("third");

        assert!(names.is_full());
        assert_eq!(names.resolve(&third), "");
        assert_eq!(names.get_or_intern("other"), other, "those in it stay");
    }
}
