//! The machine's own instructions, shared by boot and kernel: `sc 1` and `sc 2`, registers, barriers, time.
//!
//! Every function is one or a few instructions with their register contract; the caller interprets the values. On a
//! host the crate is empty.
#![cfg(target_arch = "powerpc64")]
#![no_std]

mod calls;
mod clear;
mod copy;
mod idle;
mod memory;
mod probe;
mod registers;

pub use calls::{get_file, hcall, ultracall};
pub use clear::{clear_by_blocks, cleared_by_one, set, zero};
pub use copy::{copy, copy_shared, take};
pub use idle::cede;
pub use memory::{claim_last_line, eieio, last_line_is_claimed, lwsync, sync, sync_instructions};
pub use probe::copy_16;
pub use registers::{
    enable_translation, exception_stack, msr, pvr, random, relax, renew_process, timebase, use_vectors,
    vectors_are_on,
};
