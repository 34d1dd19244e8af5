//! Every decision of the Postern kernel, without hardware.
//!
//! No assembly, and no unsafe code but the hypercalls, the ultracalls, the lock, and what a device is lent and gives back,
//! each with its safety argument. What touches the machine is behind the small traits of [`seam`], which
//! the kernel implements with instructions and the tests with models. A word from outside (device tree,
//! config space, ring, status code) is an allegation until code of this crate has checked it.
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
#[cfg(any(test, feature = "model"))]
extern crate std;

pub mod addr;
pub mod blk;
pub mod cache;
pub mod cas;
pub mod clock;
pub mod cmdline;
pub mod dma;
pub mod entropy;
pub mod exit;
pub mod fdt;
#[cfg(test)]
mod freed;
pub mod handover;
pub mod hcall;
#[cfg(any(test, feature = "model"))]
pub mod hostile;
#[cfg(test)]
mod interleavings;
pub mod interrupts;
pub mod lock;
pub mod memory_map;
#[cfg(any(test, feature = "model"))]
pub mod model;
pub mod net;
pub mod nmi;
pub mod outcome;
pub mod parts;
pub mod pci;
pub mod pool;
pub mod radix;
pub mod random;
pub mod rtas;
pub mod seam;
pub mod secure;
mod sync;
pub mod tce;
pub mod terminal;
pub mod text;
pub mod ultracall;
pub mod vectors;
pub mod virtio;
pub mod watch;
pub mod workload;
