//! Tests of this crate against models of a machine and of devices.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test that panics fails, which is what it is for; models reach no memory of this process"
)]

mod bars;
mod blk;
mod capabilities;
mod command;
mod life;
mod msix;
mod net;
mod placement;
mod regions;
mod rng;
mod scan;
mod slots;
mod transport;
mod windows;
