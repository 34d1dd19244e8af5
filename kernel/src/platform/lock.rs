//! A lock for what a crash report needs, too: a CPU that holds it already goes on, waiting for another CPU ends, and
//! the report that ends the run takes it away from a CPU that stands still.

use crate::arch::cpus;
use crate::platform::pseries::Pseries;
use core::time::Duration;
use postern_core::clock::Deadline;
use postern_core::lock::HolderLock;
use spin::{Mutex, MutexGuard};

/// How long another CPU is waited for: longer than any holds a lock that is not stopped in the middle.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Waits for what a mutex guards, within the same bound; `None` when another CPU keeps it for longer.
pub fn within_bounds<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    if let Some(guard) = mutex.try_lock() {
        return Some(guard);
    }
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while !deadline.expired(&Pseries) {
        if let Some(guard) = mutex.try_lock() {
            return Some(guard);
        }
    }
    None
}

/// The lock.
#[derive(Debug)]
pub struct Lock(HolderLock);

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Guard<'a> {
    /// None: this CPU held it before, and goes on to.
    lock: Option<&'a HolderLock>,
}

impl Lock {
    pub const fn new() -> Self {
        Self(HolderLock::new())
    }

    /// Waits for the lock, within a bound; `None` when another CPU holds it for longer. A CPU that holds it already is
    /// here again because it reports a failure, and does not come back to what it was at.
    pub fn take(&self) -> Option<Guard<'_>> {
        self.wait().ok()
    }

    /// As [`Self::take`], but for the report that ends the run: it has the lock in any case.
    pub fn take_to_end_the_run(&self) -> Guard<'_> {
        loop {
            match self.wait() {
                Ok(guard) => return guard,
                Err(holder) if self.0.steal(holder, cpus::here()) => return Guard { lock: Some(&self.0) },
                Err(_) => {}
            }
        }
    }

    fn wait(&self) -> Result<Guard<'_>, u64> {
        let here = cpus::here();
        let mut deadline = Deadline::after(&Pseries, TIMEOUT);
        loop {
            match self.0.take(here) {
                Ok(()) => return Ok(Guard { lock: Some(&self.0) }),
                Err(holder) if holder == here => return Ok(Guard { lock: None }),
                Err(holder) if deadline.expired(&Pseries) => return Err(holder),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            lock.release(cpus::here());
        }
    }
}
