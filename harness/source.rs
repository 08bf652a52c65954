//! Where kernel sources come from: a directory, a git commit, or a changed copy of one.

mod changed;
pub mod commit;
pub mod copy;
mod fingerprint;
pub mod git;
pub mod history;
mod names;
pub mod regzbot;
pub mod series;
pub mod source_tree;
pub mod sources;
#[cfg(test)]
mod test_repository;
pub mod unchanged;
pub mod worktree;
