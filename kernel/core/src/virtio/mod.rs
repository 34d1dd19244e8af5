//! virtio 1.x over PCI, modern interface only, for a device that may lie.

pub mod error;
pub mod features;
pub mod lie;
pub mod queue;
pub mod regions;
pub mod registers;
pub mod ring;
pub mod transport;

#[cfg(any(test, feature = "model"))]
#[allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a device for tests; what they do not use, others of them do"
)]
pub(crate) mod model;
