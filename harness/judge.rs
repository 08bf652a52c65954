//! From facts to findings, snapshots and differences. All of it is pure but [`inspect`],
//! which reads the tree first.

pub mod allowed;
pub mod baseline;
pub mod bisect;
pub mod check;
pub mod coverage;
pub mod diff;
pub mod expected;
pub mod history;
pub mod identity;
pub mod inspect;
pub mod merge;
pub mod night;
pub mod runs;
pub mod series;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod test_records;
pub mod worth;
