//! A patch series as it comes by mail: from the messages of a thread, or from patch files, to
//! the patches of one version, in order.

pub mod mail;
pub mod mbox;
pub mod thread;
