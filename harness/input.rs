//! The files that people write: matrices, allow entries, mutations, the table of
//! architectures; and the messages for what is wrong in them.

pub mod allow;
pub mod arch_table;
pub mod fragment;
pub mod matrix;
pub mod mutation;
pub mod suggest;
pub mod yaml;
