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

pub mod build;
pub mod cli;
pub mod input;
pub mod judge;
pub mod model;
pub mod report;
pub mod run;
pub mod source;
pub mod store;
pub mod tree;
