//! virtio-blk (virtio 1.2, 5.2): requests are submitted and completed separately; blocking helpers wait for them.

pub mod abilities;
pub mod blocking;
pub mod bring_up;
mod chain;
mod control;
pub mod driver;
pub mod error;
pub mod geometry;
mod life;
mod range_limits;
pub mod ranges;
pub mod request;
pub mod stream;
