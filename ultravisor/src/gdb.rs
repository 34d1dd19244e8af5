//! A client of QEMU's gdb server, as far as an ultravisor needs one: registers, breakpoints, resume.

pub mod client;
pub mod packet;
pub mod target;

pub use client::{Client, GdbError, Stop};
