//! virtio 1.x over PCI for a guest that does not trust its devices: config space, windows and BARs, MSI-X, the
//! transport, the split ring, and drivers for disks (virtio-blk), network cards (virtio-net)
//! and random bytes (virtio-rng).
//!
//! Each word that a device writes is read once and validated ([`virtio::violation`] lists what can be wrong). A device
//! that breaks the rules is stopped, reset, and its memory kept out of use until the reset is confirmed. All memory
//! that a device sees comes from [`svm_dma`], which decides about bouncing and translation.
//!
//! It refuses legacy and transitional interfaces. It has no packed ring, no indirect descriptors, no hot plug, and no
//! file system or network stack.
//!
//! `examples/porting` is a small kernel in one process: it shares a pool with a mock ultravisor, and reads a block
//! through the ring.
//!
//! ```
//! use virtio_pci::virtio::ring::Layout;
//! // Where the parts of a ring of 8 descriptors lie, in bytes from its start.
//! let layout = Layout::new(8).unwrap();
//! assert_eq!((layout.descriptors, layout.available), (0, 128));
//! assert!(Layout::new(6).is_none(), "a size that is no power of two");
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

pub mod blk;
pub mod interrupts;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod net;
pub mod pci;
pub mod rng;
pub mod virtio;
