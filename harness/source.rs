//! Where kernel sources come from: a directory, a git commit, or a changed copy of one.

pub mod copy;
pub mod git;
pub mod source_tree;
