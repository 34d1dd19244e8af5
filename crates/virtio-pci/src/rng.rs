//! virtio-rng (the standard's "entropy device"; virtio 1.2, 5.4): random bytes of the host, for a caller that mixes
//! them with other sources.

pub mod error;
pub mod reader;
