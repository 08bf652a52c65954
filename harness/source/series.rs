//! A patch series: how it comes by mail, what its patches are, which commit it belongs on, and
//! the commits that it becomes there.

pub mod apply;
pub mod base;
pub mod commits;
pub mod conditional;
pub mod form;
pub mod hunk;
pub mod mail;
pub mod makefile;
pub mod mbox;
pub mod thread;
