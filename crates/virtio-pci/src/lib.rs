#![doc = include_str!("../README.md")]
//!
//! **Modules.** [`blk`], [`net`] and [`rng`] are the drivers; [`virtio`] has transport and ring; [`pci`] finds and
//! places devices; [`interrupts`] routes them.
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

pub mod blk;
pub mod interrupts;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod net;
pub mod pci;
pub mod rng;
pub mod virtio;
