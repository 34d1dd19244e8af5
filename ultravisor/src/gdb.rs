//! A client of QEMU's gdb server, with the commands that an ultravisor needs: registers, breakpoints, resume.

pub mod client;
pub mod packet;
pub mod target;

pub use client::{Client, GdbError, Stop};
