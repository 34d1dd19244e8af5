//! The command: an ultravisor put before somebody's own QEMU command line.

pub mod blob;
pub mod qemu;
pub mod run;
pub mod summary;
