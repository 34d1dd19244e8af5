#![doc = include_str!("../README.md")]
//!
//! **Modules.** A driver writes a [`dma::BusAddr`] into a descriptor; safe code gets one only from this crate.
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

pub mod accept;
pub mod dma;
pub mod memory_map;
pub mod pool;
pub mod share;
pub mod tce;
