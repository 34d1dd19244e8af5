#![doc = include_str!("../README.md")]
//!
//! **Modules.** [`secure`], [`cmdline`], [`radix`], [`outcome`], [`disk`], [`monitor`] and [`facts`] are the main
//! modules.
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

pub mod cmdline;
pub mod dcbz;
pub mod disk;
pub mod entropy;
pub mod exit;
pub mod facts;
pub mod mailbox;
pub mod monitor;
pub mod nmi;
pub mod outcome;
pub mod radix;
pub mod secure;
pub mod vsx;
pub mod watch;
