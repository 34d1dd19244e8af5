//! A lock that knows its holder, for what must go on when a CPU stands still: the hypervisor may stop any CPU at any
//! instruction, while it holds a lock, and for ever.
//!
//! Waiting is the caller's business, so that it is bounded. Only the report that ends a run may steal, and only from
//! the holder that it saw.

use crate::sync::AtomicU64;
use core::sync::atomic::Ordering;

/// Nobody.
const FREE: u64 = 0;

/// The lock. CPUs are numbers other than 0.
#[derive(Debug)]
pub struct HolderLock {
    holder: AtomicU64,
}

impl Default for HolderLock {
    fn default() -> Self {
        Self::new()
    }
}

impl HolderLock {
    /// Free.
    #[must_use]
    #[cfg(not(test))]
    pub const fn new() -> Self {
        Self { holder: AtomicU64::new(FREE) }
    }

    /// Free.
    #[must_use]
    #[cfg(test)]
    pub fn new() -> Self {
        Self { holder: AtomicU64::new(FREE) }
    }

    /// Takes the lock for CPU `here` if it is free.
    ///
    /// # Errors
    /// Its holder, which may be `here`.
    pub fn take(&self, here: u64) -> Result<(), u64> {
        self.holder.compare_exchange(FREE, here, Ordering::Acquire, Ordering::Relaxed).map(drop)
    }

    /// Takes the lock away from `holder` for CPU `here`; false when another CPU has it by now.
    pub fn steal(&self, holder: u64, here: u64) -> bool {
        self.holder.compare_exchange(holder, here, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Frees the lock, if CPU `here` holds it still.
    pub fn release(&self, here: u64) {
        // A lock that was stolen is the thief's.
        let _ = self.holder.compare_exchange(here, FREE, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod interleavings;
