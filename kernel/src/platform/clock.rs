//! Time: the timebase, how a CPU waits, and whether any CPU does something.

use crate::platform::interrupts;
use crate::platform::pseries::{Pseries, hcalls, ultracalls};
use core::sync::atomic::{AtomicU64, Ordering};
use papr::clock::{Clock, Wake};

/// What every POWER9 pseries has, until the tree says what this one has.
const USUAL_TIMEBASE_HZ: u64 = 512_000_000;

static TIMEBASE_HZ: AtomicU64 = AtomicU64::new(USUAL_TIMEBASE_HZ);
/// Turns of loops in which a CPU waits; one that two CPUs count at once may be lost.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// Takes the timebase frequency from the device tree; 0 is not believed.
pub fn set_timebase_hz(hz: u64) {
    if hz != 0 {
        TIMEBASE_HZ.store(hz, Ordering::Relaxed);
    }
}

/// A number that changes whenever a CPU that is not parked does something.
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

    fn sleep_price(&self) -> u64 {
        interrupts::sleep_price()
    }

    #[inline]
    fn here(&self) -> u64 {
        // Each CPU has an exception stack of its own.
        postern_arch::exception_stack() | 1
    }
}
