//! virtio 1.x over PCI, modern interface only, for an untrusted device.

pub mod error;
pub mod features;
pub(crate) mod life;
pub mod queue;
pub mod regions;
pub mod registers;
pub mod ring;
pub mod transport;
pub mod violation;
