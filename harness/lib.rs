//! `klto` verifies Linux kernels built with Clang ThinLTO, in-process and
//! distributed.
//!
//! The flow, and where each step lives:
//!
//! ```text
//! matrices/*.yaml ── matrix, cell, arch ──▶ Cell
//! Cell + source tree ── kbuild (make, through process) ──▶ build tree
//! build tree ── collect ──▶ Facts
//! Facts ── check ──▶ Findings                  pure functions
//! Facts + Findings ── snapshot ──▶ text
//! text × accepted text ── compare ──▶ Verdict
//! everything ── store ──▶ work directory ── report ──▶ text KTAP JSON
//! two build trees ── collect ──▶ Facts × Facts ── diff ──▶ Differences
//! ```
//!
//! [`verify`] is that flow for one cell; [`commands`] are short drivers over
//! it. [`scenario`] is what is done to a finished tree and what must hold then,
//! [`boot`] what becomes of the kernel in an emulator. [`probe`] has the same
//! makefiles build a miniature, in a copy of the source tree ([`source_copy`]).
//! `DESIGN.md` says why, `CONTRIBUTING.md` how to add a rule or an architecture.

#![forbid(unsafe_code)]

pub mod allow;
pub mod arch;
pub mod boot;
pub mod cell;
pub mod check;
pub mod clang_options;
pub mod cli;
pub mod collect;
pub mod commands;
pub mod compare;
pub mod diff;
pub mod doctor;
pub mod error;
pub mod facts;
pub mod finding;
pub mod git;
pub mod kbuild;
pub mod matrix;
pub mod mutation;
pub mod nearest;
pub mod outcome;
pub mod probe;
pub mod process;
pub mod progress;
pub mod report;
pub mod scenario;
pub mod snapshot;
pub mod source_copy;
pub mod store;
pub mod tree_path;
pub mod tree_state;
pub mod verify;
pub mod yaml;
