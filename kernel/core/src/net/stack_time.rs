//! The time that the stack works by.

use crate::clock::{Clock, duration};
use core::time::Duration;
use smoltcp::time::Instant;

/// The stack's own time: from 0, never backwards, whatever the clock does.
pub(super) struct StackTime {
    start: u64,
    pub elapsed: Duration,
}

impl StackTime {
    /// Time that starts now.
    pub fn new(clock: &impl Clock) -> Self {
        Self { start: clock.now(), elapsed: Duration::ZERO }
    }

    /// The time now, as `smoltcp` wants it.
    pub fn instant(&mut self, clock: &impl Clock) -> Instant {
        let elapsed = duration(clock, clock.now().saturating_sub(self.start));
        self.elapsed = self.elapsed.max(elapsed);
        // Centuries from the end of the type, so that no sum of the stack's wraps.
        Instant::from_micros(i64::try_from(self.elapsed.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4))
    }
}
