//! From a job to a record: configure, build, inspect, run scenarios, for a whole kernel and
//! for the miniature.

pub mod cell;
pub mod pair;
pub mod probe;
pub mod progress;
pub mod rules;
pub mod scenario;
pub mod schedule;
