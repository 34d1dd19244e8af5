//! Time, and waits that end: by the timebase and, should the clock stand still, by a count.

use core::time::Duration;

/// The timebase.
pub trait Clock {
    /// Ticks since some fixed moment.
    fn now(&self) -> u64;
    /// Ticks a second; not 0.
    fn frequency(&self) -> u64;
    /// Called once a turn of a waiting loop.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}

/// A wait that ends twice: at a moment, or after a number of looks.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: u64,
    looks_left: u64,
}

/// Looks that a wait allows itself for each millisecond asked for, generous for any real machine: the
/// count is there for a clock that stands still, not for one that runs.
const LOOKS_PER_MS: u64 = 50_000;

impl Deadline {
    /// A deadline `wait` from now.
    #[must_use]
    pub fn after(clock: &impl Clock, wait: Duration) -> Self {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            end: clock.now().saturating_add(ticks(clock, wait)),
            looks_left: ms.saturating_add(1).saturating_mul(LOOKS_PER_MS),
        }
    }

    /// Counts one look; true when the wait is over.
    pub fn expired(&mut self, clock: &impl Clock) -> bool {
        self.looks_left = self.looks_left.saturating_sub(1);
        if self.looks_left == 0 || clock.now() >= self.end {
            return true;
        }
        clock.relax();
        false
    }
}

/// `time` in ticks of `clock`.
#[must_use]
pub fn ticks(clock: &impl Clock, time: Duration) -> u64 {
    let ticks = time.as_nanos().saturating_mul(u128::from(clock.frequency())) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// `ticks` of `clock` as a time.
#[must_use]
pub fn duration(clock: &impl Clock, ticks: u64) -> Duration {
    let nanos = u128::from(ticks).saturating_mul(1_000_000_000).checked_div(u128::from(clock.frequency()));
    Duration::from_nanos(nanos.and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX))
}
