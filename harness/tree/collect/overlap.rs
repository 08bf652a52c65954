//! Tables of strings in which names may overlap. A file of harm gives each of a million symbols a
//! name that is as long as the table, and reading all of these takes hours. In real tables, names that
//! recur are short. Called by the parsers of `collect`.

use std::cell::Cell;

use thiserror::Error;

/// How many times as long as their table names may be together.
const TIMES: u64 = 16;
/// Of a short table, so many bytes more: objects for RISC-V have very many symbols `.L0`.
const MORE: u64 = 1 << 20;

/// The names of a table take more than those of any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the names overlap: together they are more than {TIMES} times as long as their table")]
pub struct Overlapping;

/// How many bytes of names may still be read out of a table.
#[derive(Debug)]
pub(super) struct NameBudget(Cell<u64>);

impl NameBudget {
    /// That of a table of so many bytes.
    pub(super) fn of_table(length: usize) -> NameBudget {
        NameBudget(Cell::new(
            (length as u64).saturating_mul(TIMES).saturating_add(MORE),
        ))
    }

    /// Counts a name of so many bytes.
    ///
    /// # Errors
    /// If that is too much.
    pub(super) fn take(&self, length: u64) -> Result<(), Overlapping> {
        let left = self.0.get().checked_sub(length).ok_or(Overlapping)?;
        self.0.set(left);
        Ok(())
    }
}
