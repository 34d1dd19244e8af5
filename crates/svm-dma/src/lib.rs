//! DMA of a guest that may be a secure VM (IBM's Protected Execution Facility): the pool of shared frames, the bounce
//! buffer, the translation by TCEs, and the map of memory that all frames come from.
//!
//! Two layers, each with one question. *Must the bytes be copied into shared memory?* The guest alone knows: yes when it
//! is secure. *Which address must the device use?* The device says, by VIRTIO_F_ACCESS_PLATFORM. [`dma`] asks them one
//! after the other; a driver sees neither.
//!
//! It refuses to give a device an address outside the pool of a secure guest, to share a frame that has another owner,
//! and to lend a slot again that a device may still write. It drives no device, and has no thread of its own.
//!
//! A driver writes a [`dma::BusAddr`] into a descriptor; only this crate makes one.
//!
//! ```
//! use papr::addr::{Gpa, GpaRange};
//! use svm_dma::memory_map::{Described, Kind, MemoryMap, Own};
//!
//! let range = |start, len| GpaRange { start: Gpa(start), len };
//! let described = Described { memory: vec![range(0, 1 << 30)], ..Described::default() };
//! let tree = range(0x40_0000, 0x1_0000);
//! let own = Own { image: range(0x10_0000, 0x20_0000), tree, tree_buffer: tree };
//! // SAFETY: nobody touches the memory that this example talks about.
//! let mut map = unsafe { MemoryMap::new(&described, &own, true) }.unwrap();
//! let pool = map.take(Kind::Pool, 8 << 20).unwrap();
//! assert!(!pool.range().overlaps(&own.image) && !pool.range().overlaps(&range(0, 0x1_0000)));
//! ```
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
