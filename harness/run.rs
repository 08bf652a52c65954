//! From a job to a record: configure, build, inspect, run scenarios, for a whole kernel and
//! for the miniature; on this machine, or on those of a cluster.

pub mod bisect;
pub mod compilers;
pub mod events;
pub mod job;
pub mod judge_again;
pub mod key;
pub mod layout;
pub mod pair;
pub mod pipeline;
pub mod place;
pub mod probe;
pub mod rules;
pub mod scenario;
pub mod schedule;
pub mod series;
pub mod slurm;
pub mod whole;
