//! Reads what a build left on disk, and judges nothing: a parser for each kind of file.

pub mod clang_options;
pub mod collect;
pub mod imprint;
pub mod path;
