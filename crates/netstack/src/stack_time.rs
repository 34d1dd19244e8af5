//! The stack's time.

use core::time::Duration;
use papr::clock::{Clock, duration};
use smoltcp::time::Instant;

/// Most time that passes for the stack between two polls, whatever the host does to the clock or to the machine.
///
/// `smoltcp` measures round trips in milliseconds and multiplies one by seven in 32 bits, so a week is too long. An
/// unanswered segment is sent again after a minute at most, and is then not measured any more. In the image arithmetic
/// wraps, and a longer round trip would only choose a retransmission timeout from 1 s to 60 s.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// The stack's own time: from 0, never backwards and never by more than a minute, whatever the clock does. After a
/// clock leapt forward, the next polls catch up, so that leases and connections still end.
pub(super) struct StackTime {
    start: u64,
    pub elapsed: Duration,
}

impl StackTime {
    /// Time that starts now.
    pub fn new(clock: &impl Clock) -> Self {
        Self { start: clock.now(), elapsed: Duration::ZERO }
    }

    /// The current time, in `smoltcp`'s type.
    pub fn instant(&mut self, clock: &impl Clock) -> Instant {
        let elapsed = duration(clock, clock.now().saturating_sub(self.start));
        let most = self.elapsed.saturating_add(LONGEST_STEP);
        self.elapsed = elapsed.clamp(self.elapsed, most);
        // Keeps centuries to the end of the type, so that no sum of the stack wraps.
        Instant::from_micros(i64::try_from(self.elapsed.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_STEP, StackTime};
    use core::cell::Cell;
    use core::time::Duration;
    use papr::clock::Clock;
    use postern_cases::case;
    use testkit::wire::TestClock;

    #[test]
    fn a_jump_of_a_month_passes_in_steps_of_a_minute() {
        case!("IRQ-11", Work);
        const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
        let clock = TestClock::default();
        let mut time = StackTime::new(&clock);
        clock.advance_us(MONTH.as_micros() as u64);
        let (mut before, mut polls) = (Duration::ZERO, 0);
        while time.elapsed < MONTH {
            let now = time.instant(&clock);
            assert_eq!(now.total_micros(), time.elapsed.as_micros() as i64);
            assert!(time.elapsed - before <= LONGEST_STEP, "{:?} at once", time.elapsed - before);
            (before, polls) = (time.elapsed, polls + 1);
        }
        assert_eq!(polls, 30 * 24 * 60);
        // And then it runs as the clock does.
        time.instant(&clock);
        let caught_up = time.elapsed;
        clock.advance_us(5_000_000);
        time.instant(&clock);
        assert_eq!((time.elapsed - caught_up).as_secs(), 5);
    }

    #[test]
    fn a_clock_that_goes_back_or_to_its_end_moves_the_stack_by_a_minute_at_most() {
        case!("IRQ-11", Work);
        struct Set(Cell<u64>);
        impl Clock for Set {
            fn now(&self) -> u64 {
                self.0.get()
            }
            fn frequency(&self) -> u64 {
                512_000_000
            }
        }
        let clock = Set(Cell::new(1 << 40));
        let mut time = StackTime::new(&clock);
        let mut before = time.elapsed;
        for now in [u64::MAX, 0, 1 << 40, u64::MAX - 1, 1, u64::MAX / 2] {
            clock.0.set(now);
            time.instant(&clock);
            assert!(time.elapsed >= before && time.elapsed - before <= LONGEST_STEP, "{now:#x}");
            before = time.elapsed;
        }
    }
}
