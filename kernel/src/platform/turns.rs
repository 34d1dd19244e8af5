//! What CPUs use in turns, and what the report of a failure uses whoever has it.

use crate::arch::cpus;
use crate::platform::pseries::Pseries;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use postern_core::clock::Deadline;

/// How long another CPU's turn is waited for: longer than any takes that comes to an end.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    /// A CPU, or 0.
    holder: AtomicU64,
}

/// A turn, until dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    /// None: it goes on with a turn that this CPU has already.
    holder: Option<&'a AtomicU64>,
}

impl Turns {
    pub const fn new() -> Self {
        Self { holder: AtomicU64::new(0) }
    }

    /// Waits for the other CPUs' turns, within a bound. A CPU in the middle of its own is there again because it
    /// reports a failure, and does not come back to what it was at. One that holds its turn beyond the bound was
    /// stopped in the middle of it, as a system reset stops all but one: it has lost it.
    pub fn take(&self) -> Turn<'_> {
        let here = cpus::here();
        let mut deadline = Deadline::after(&Pseries, PATIENCE);
        loop {
            match self.holder.compare_exchange(0, here, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Turn { holder: Some(&self.holder) },
                Err(other) if other == here => return Turn { holder: None },
                Err(_) if deadline.expired(&Pseries) => {
                    self.holder.store(here, Ordering::Relaxed);
                    return Turn { holder: Some(&self.holder) };
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(holder) = self.holder {
            holder.store(0, Ordering::Release);
        }
    }
}
