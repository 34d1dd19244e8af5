//! Everything a device reads or writes by itself.
//!
//! Two layers, each with one question. `bounce`: must the bytes be copied into shared memory? The guest
//! alone knows, and answers once: yes when it is secure, else no. `translate`: which address must the device
//! use for them? The device says, by offering VIRTIO_F_ACCESS_PLATFORM or not. Bounced first, translated
//! second; a driver sees neither.
//!
//! Locks here are held for a few instructions and never in an interrupt handler.

mod bounce;
mod bus_addr;
mod device;
mod error;
mod lending;
mod mapping;
mod system;
mod translate;

pub use bounce::ByteCounts;
pub use bus_addr::{AddressGuard, BusAddr};
pub use device::Dma;
pub use error::DmaError;
pub use mapping::{Coherent, Mapping, Segment, Unmapped};
pub use papr::device_id::DeviceId;
pub use system::DmaSystem;
