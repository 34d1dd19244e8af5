//! Host side of Postern: starts QEMU and the ultravisor, provides the network peer and observers, runs the boot tests.

pub mod blob;
pub mod disk;
pub mod finding;
pub mod guest;
pub mod interrupt;
pub mod json_lines;
pub mod judge;
pub mod junit;
pub mod keyboard;
pub mod matrix;
pub mod observe;
pub mod options;
pub mod out;
pub mod partition;
pub mod pattern;
pub mod peer;
pub mod qemu;
pub mod run;
pub mod servers;
pub mod session;
pub mod tree;
pub mod twin;
pub mod variable;
pub mod versions;
