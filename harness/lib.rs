//! `klto` verifies Linux kernels built with Clang ThinLTO, in-process and
//! distributed.
//!
//! The flow, and where each step lives:
//!
//! ```text
//! matrices/*.yaml ── input ──▶ cells ── run::job::plan ──▶ jobs
//! job ── run::pipeline::run_job ──▶ record
//!
//!   cell + sources ── build (make) ──▶ build tree
//!   build tree ── tree::collect ──▶ facts
//!   facts ── judge::check ──▶ findings                  pure functions
//!   facts + findings ── judge::snapshot ──▶ snapshot
//!   snapshot × accepted snapshot ── judge::baseline ──▶ baseline
//!   two build trees ── judge::diff ──▶ differences
//!
//! record + facts ── store ──▶ work directory ── report ──▶ text, KTAP, JSON
//! ```
//!
//! [`cli`] has one short file per command. `DESIGN.md` says why klto is built this way,
//! `CONTRIBUTING.md` how to add a rule or an architecture.

#![forbid(unsafe_code)]

pub mod build;
pub mod cli;
pub mod file;
pub mod input;
pub mod judge;
pub mod model;
pub mod report;
pub mod run;
pub mod source;
pub mod store;
pub mod tree;
