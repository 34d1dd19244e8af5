//! What POWER firmware offers a guest (PAPR), without hardware: hypercalls, ultracalls, RTAS, the XICS-era terminal,
//! and the types that everything above shares: addresses, device ids, clocks, a bounded lock, text from the host.
//!
//! The machine is behind the small traits of [`platform`], which a kernel implements with instructions and tests
//! implement with models. An answer of the hypervisor's is an allegation: each call here has one typed function that
//! judges it.
//!
//! It refuses what PAPR leaves undefined: an unknown status, an answer that is too long, a busy service that never
//! ends. It has no assembly, starts no CPU, and knows no device.
//!
//! ```
//! use papr::addr::{FRAME_SIZE, Gfn, Gpa};
//! assert_eq!(Gfn::from(Gpa(3 * FRAME_SIZE as u64 + 5)), Gfn(3));
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
#[cfg(any(test, loom))]
extern crate std;

pub mod addr;
pub mod cas;
pub mod clock;
pub mod described;
pub mod device_id;
pub mod hcall;
pub mod host_bridge;
pub mod lock;
#[cfg(loom)]
pub mod loom_sync;
pub mod parts;
pub mod platform;
pub mod registers;
pub mod rtas;
pub mod sync;
pub mod terminal;
pub mod text;
pub mod ultracall;
