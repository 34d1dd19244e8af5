//! Time: the timebase, how a CPU waits, and whether any CPU does something.

use crate::platform::interrupts;
use crate::platform::pseries::{Pseries, hcalls, ultracalls};
use core::sync::atomic::{AtomicU64, Ordering};
use papr::clock::{Clock, Wake};

/// The timebase frequency of every POWER9 pseries, used until the tree is read.
const USUAL_TIMEBASE_HZ: u64 = 512_000_000;

static TIMEBASE_HZ: AtomicU64 = AtomicU64::new(USUAL_TIMEBASE_HZ);
/// Counts turns of waiting loops on all CPUs. When two CPUs count at once, a turn may be lost.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// Sets the timebase frequency, from the device tree; 0 is ignored.
pub fn set_timebase_hz(hz: u64) {
    if hz != 0 {
        TIMEBASE_HZ.store(hz, Ordering::Relaxed);
    }
}

/// A number that changes whenever a CPU that is not parked makes a call or waits in a loop.
pub fn acts() -> u64 {
    hcalls().wrapping_add(ultracalls()).wrapping_add(TURNS.load(Ordering::Relaxed))
}

impl Clock for Pseries {
    fn now(&self) -> u64 {
        postern_arch::timebase()
    }

    fn frequency(&self) -> u64 {
        TIMEBASE_HZ.load(Ordering::Relaxed)
    }

    fn relax(&self) {
        TURNS.store(TURNS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        postern_arch::relax();
    }

    fn idle(&self, until: u64) -> Wake {
        interrupts::idle(until)
    }

    fn wake_latency(&self) -> u64 {
        interrupts::wake_latency()
    }

    #[inline]
    fn here(&self) -> u64 {
        // Each CPU has an exception stack of its own.
        postern_arch::exception_stack() | 1
    }
}
