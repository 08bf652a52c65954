//! The words that every other part speaks: cells, facts, rules and findings, and the
//! records that are kept of them. Plain data, without files, processes or clock.

pub mod accepted;
pub mod arch;
pub mod bisect;
pub mod cell;
pub mod coverage;
pub mod error;
pub mod facts;
pub mod finding;
pub mod imprint;
pub mod keep;
pub mod kernel_version;
pub mod plan;
pub mod printable;
pub mod record;
pub mod sandbox;
pub mod series;
pub mod shard;
pub mod stored;
pub mod tolerances;
pub mod utilization;
