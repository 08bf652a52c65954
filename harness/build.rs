//! Everything that reaches out of the program: processes, make, toolchains, emulators,
//! and folders as make leaves them.

pub mod boot;
pub mod compiler_cache;
pub mod dir_state;
pub mod doctor;
pub mod environment;
pub mod kbuild;
pub mod launcher;
pub mod process;
pub mod sandbox;
pub mod toolchain;
