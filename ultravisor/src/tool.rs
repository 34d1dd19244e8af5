//! The command `postern-ultravisor`, which runs a user's own QEMU command line with an ultravisor.

pub mod absent;
pub mod attach;
pub mod blob;
pub mod hypercalls;
pub mod log;
pub mod qemu;
pub mod run;
pub mod servers;
pub mod settings;
pub mod small_pages;
pub mod stand_in;
pub mod summary;
