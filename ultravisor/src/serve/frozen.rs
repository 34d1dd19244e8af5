//! A vCPU that is paused while the others run.

use std::time::Instant;

/// A paused vCPU.
pub(super) struct Frozen {
    pub(super) thread: String,
    pub(super) until: Option<Instant>,
    /// Address of its RTAS request, and the request's bytes when it stopped.
    pub(super) request: Option<(u64, Vec<u8>)>,
}
