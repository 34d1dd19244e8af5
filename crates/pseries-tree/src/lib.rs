#![doc = include_str!("../README.md")]
//!
//! **Modules.** Behind [`guard`] only the `fdt` crate's generic calls are used: its typed ones panic on trees that
//! are well-formed but unusual, and its `find_node` follows an alias that names itself for ever.
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a test that overflows fails, which is what it is for"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blocks;
mod bridges;
mod cpus;
pub mod early;
mod error;
pub mod guard;
pub mod machine;
mod machine_error;
mod memory;
mod read;
pub mod rtas;
mod warnings;

pub use bridges::{Bridge, DdwTokens, InterruptMap};
pub use cpus::Cpus;
pub use error::{Block, FdtError};
pub use guard::{Tree, private_copy};
pub use machine::{Machine, VirtualDevice};
pub use machine_error::{MachineError, TokenError};
pub use rtas::Rtas;
pub use warnings::{Fault, TreeWarning, Warnings};
