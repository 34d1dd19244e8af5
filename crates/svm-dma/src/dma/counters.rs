//! How many bytes were copied because the guest is secure.

use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes copied between private memory and the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCounts {
    /// From private memory into the pool.
    pub to_pool: u64,
    /// From the pool into private memory.
    pub from_pool: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    to_pool: AtomicU64,
    from_pool: AtomicU64,
}

impl Counters {
    pub(super) fn copied_in(&self, bytes: usize) {
        self.to_pool.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn copied_out(&self, bytes: usize) {
        self.from_pool.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> ByteCounts {
        ByteCounts {
            to_pool: self.to_pool.load(Ordering::Relaxed),
            from_pool: self.from_pool.load(Ordering::Relaxed),
        }
    }
}
