//! Hostile hosts, driven by bytes: each function attacks one part of the libraries with honest and false answers that
//! `bytes` choose, and assertions check what must always hold. The host tests take the bytes from
//! proptest, the fuzz targets from libFuzzer; a panic is a finding.
//!
//! What is asserted: nothing panics; every address that a device is given is one it may reach; memory that a
//! device may still write is not lent again; no request sees another's data; every wait ends; when the driver
//! is gone nothing is in use, nor in quarantine if the reset was confirmed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a host that panics is a test that fails"
)]

mod accounts;
mod blk;
mod calls;
mod device_side;
mod frames;
mod net;
mod pci;
mod ring;
mod script;
#[cfg(test)]
mod tests;
mod tree;

pub use blk::blk;
pub use calls::calls;
pub use frames::frames;
pub use net::net;
pub use pci::pci;
pub use ring::ring;
pub use tree::{cmdline, tree};
