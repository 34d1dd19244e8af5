//! Models of a machine, of devices and of network peers, and hostile hosts, for the tests of the libraries.
//!
//! Development only: no crate of an image depends on it.
#![no_std]
#![allow(
    dead_code,
    missing_docs,
    unsafe_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::should_implement_trait,
    clippy::unwrap_used,
    reason = "a model that panics is a test that fails; what one test does not use, another one does"
)]

extern crate alloc;
extern crate std;

pub mod blk_model;
pub mod frames;
pub mod freed;
pub mod hostile;
pub mod model;
pub mod net_device;
pub mod network;
pub mod pci_model;
pub mod peer;
pub mod trees;
pub mod unchecked;
pub mod virtio_model;
pub mod wire;
