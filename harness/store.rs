//! What klto keeps on disk: the work directory of a run, the record of each cell and its
//! facts, the folder of accepted snapshots, locks. The only place that writes results. Every
//! file is written beside the old one and renamed, so that none is ever half there.

pub mod atomic;
pub mod bisect;
pub mod facts_file;
mod frame;
pub mod lock;
mod own_dir;
pub mod packed_tree;
pub mod record_dir;
pub mod runs;
pub mod series;
pub mod shared_dir;
pub mod snapshots;
pub mod work_dir;
