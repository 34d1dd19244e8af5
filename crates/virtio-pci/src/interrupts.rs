//! Interrupts: what arrives at the controller, which device it is for, and when a source is not trusted any longer.
//!
//! The kernel runs with interrupts disabled. It enables them at one point, while a CPU has nothing to do
//! ([`papr::clock::Clock::idle`]), and their handlers touch no memory: they only end the wait. Ordinary code here asks
//! the controller what arrived and validates the answer. An interrupt is only a hint to poll a queue, so a missing,
//! late, invented or repeated one costs time and nothing else.
//!
//! The controller is XICS, by hcalls (PAPR+ 14.5.4.4), which needs no memory shared with the host.

mod halt_poll;
mod irq_source;
mod msi;
mod router;
mod xirr;

pub use halt_poll::HaltPoll;
pub use irq_source::{Delivery, IrqSource};
pub use msi::{MsiError, MsiServices};
pub use router::{Router, Statistics};
pub use xirr::{Arrival, Xirr};
