//! All integration tests: one program, so that what they share is compiled and linked once.

mod boot;
mod ci_scripts;
mod cli;
mod collect;
mod diff;
mod docs;
mod embedded;
mod english;
mod flips;
mod git_bisect;
mod jobs;
mod ktap_kunit;
mod launcher;
mod layering;
mod machine;
mod probe;
mod probe_kernel;
mod real_kernel;
mod records;
mod report;
mod rules;
mod run;
mod sandbox;
mod scenario;
mod series_mail;
mod support;
