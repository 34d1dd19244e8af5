//! virtio-blk: submit and complete apart from each other, blocking helpers on top, and the disk jobs of
//! `run=`.

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
