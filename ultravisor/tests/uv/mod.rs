//! Guests of a few instructions, and the QEMU that runs them.

pub mod asm;
pub mod vm;
