//! virtio-rng (the standard's "entropy device"): bytes of the host's random numbers, for whoever has others to mix them
//! with.

pub mod error;
pub mod reader;
