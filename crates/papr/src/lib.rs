#![doc = include_str!("../README.md")]
//!
//! **Modules.** [`hcall`], [`ultracall`], [`rtas`], [`cas`] and [`terminal`] are the calls; [`platform`] has the
//! traits; [`addr`], [`device_id`], [`registers`], [`clock`], [`lock`] and [`text`] are the shared types.
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
#[cfg(any(test, loom))]
extern crate std;

pub mod addr;
pub mod cas;
pub mod clock;
pub mod described;
pub mod device_id;
pub mod hcall;
pub mod host_bridge;
pub mod lock;
#[cfg(loom)]
pub mod loom_sync;
pub mod parts;
pub mod platform;
pub mod registers;
pub mod rtas;
pub mod sync;
pub mod terminal;
pub mod text;
pub mod ultracall;
