//! The command: an ultravisor put before somebody's own QEMU command line.

pub mod absent;
pub mod attach;
pub mod blob;
pub mod hypercalls;
pub mod log;
pub mod qemu;
pub mod run;
pub mod servers;
pub mod settings;
pub mod stand_in;
pub mod summary;
