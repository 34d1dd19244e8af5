//! A vCPU that stands still while the others run.

use std::time::Instant;

/// A vCPU that stands still.
pub(super) struct Frozen {
    pub(super) thread: String,
    pub(super) until: Option<Instant>,
    /// Its request, and what that held when it stopped.
    pub(super) request: Option<(u64, Vec<u8>)>,
}
