//! All integration tests: one program, so that what they share is compiled and linked once.

mod boot;
mod cli;
mod collect;
mod diff;
mod docs;
mod git_bisect;
mod layering;
mod machine;
mod probe;
mod probe_kernel;
mod real_kernel;
mod rules;
mod run;
mod scenario;
mod support;
