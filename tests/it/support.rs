//! What the tests share: the program as a user runs it, a fake kernel, synthetic build trees.

pub mod b4;
pub mod fake_kernel;
pub mod fake_slurm;
pub mod foreign;
pub mod git;
pub mod kept;
pub mod ktap;
pub mod machine;
pub mod page;
pub mod probed;
pub mod program;
pub mod real;
pub mod run_record;
pub mod schema;
pub mod slurm;
pub mod sources;
pub mod stand;
pub mod tree;
