//! Host side of Postern: starts QEMU, is the ultravisor, is the network peer, observes, runs the boot tests.

pub mod disk;
pub mod gdb;
pub mod guest;
pub mod interrupt;
pub mod observe;
pub mod pattern;
pub mod peer;
pub mod qemu;
pub mod ultravisor;
pub mod variable;
pub mod workdir;
