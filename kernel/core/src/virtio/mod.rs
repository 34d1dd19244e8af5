//! virtio 1.x over PCI, modern interface only, for a device that may lie.

pub mod features;
pub mod lie;
pub mod regions;
pub mod ring;
