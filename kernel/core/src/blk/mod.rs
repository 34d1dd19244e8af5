//! virtio-blk: submit and complete apart from each other, blocking helpers on top, and the disk jobs of
//! `run=`.

pub mod bench;
pub mod blocking;
pub mod bring_up;
mod control;
pub mod driver;
pub mod error;
pub mod geometry;
pub mod jobs;
#[cfg(test)]
mod model;
pub mod pattern;
pub mod request;
pub mod share;
pub mod soak;
pub mod stream;
#[cfg(test)]
mod tests;
