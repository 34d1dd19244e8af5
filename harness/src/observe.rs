//! Observations from outside the guest, and their checks.

pub mod cedes;
pub mod console;
pub mod contract;
pub mod exposure;
pub mod leaks;
pub mod log;
pub mod map;
pub mod pci;
pub mod proofs;
pub mod rings;
