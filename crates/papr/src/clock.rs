//! Time, and bounded waits: each ends by the timebase or, if the clock stands still, after a number of polls.

use core::time::Duration;

/// A clock: on a pseries the timebase.
pub trait Clock {
    /// Ticks since some fixed moment.
    fn now(&self) -> u64;
    /// Ticks per second; not 0.
    fn frequency(&self) -> u64;
    /// Called once in each iteration of a polling loop.
    fn relax(&self) {
        core::hint::spin_loop();
    }
    /// Cedes the CPU until an interrupt arrives or `until` has come, whichever is first. It may return earlier, for no
    /// reason. The default only calls [`Self::relax`].
    fn idle(&self, until: u64) -> Wake {
        let _ = until;
        self.relax();
        Wake::Event
    }
    /// Wake latency in ticks: from the end of a sleep until the CPU runs again; 0 where the CPU is never ceded.
    fn wake_latency(&self) -> u64 {
        0
    }
    /// Number of the calling CPU: unique, not 0 and below 2^63; 1 where CPUs have no numbers.
    fn here(&self) -> u64 {
        1
    }
}

/// What ended [`Clock::idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// An interrupt of a device or of another CPU, or no known cause.
    Event,
    /// The decrementer reached the end of the sleep.
    Timer,
}

/// A wait that ends at a moment or after a number of polls, whichever is first.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: u64,
    polls_left: u64,
}

/// Most polls per millisecond of a wait. No real machine reaches this: the count ends a wait whose clock stands still.
const POLLS_PER_MS: u64 = 50_000;

impl Deadline {
    /// A deadline `wait` from now.
    #[must_use]
    pub fn after(clock: &impl Clock, wait: Duration) -> Self {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            end: clock.now().saturating_add(ticks(clock, wait)),
            polls_left: ms.saturating_add(1).saturating_mul(POLLS_PER_MS),
        }
    }

    /// Counts one poll; true when the wait is over.
    pub fn expired(&mut self, clock: &impl Clock) -> bool {
        self.polls_left = self.polls_left.saturating_sub(1);
        if self.polls_left == 0 || clock.now() >= self.end {
            return true;
        }
        clock.relax();
        false
    }

    /// As [`Self::expired`], but cedes the CPU for `interval` at most. The second value says what ended the cede.
    pub fn expired_after_cede(&mut self, clock: &impl Clock, interval: Duration) -> (bool, Wake) {
        let before = clock.now();
        self.polls_left = self.polls_left.saturating_sub(1);
        if self.polls_left == 0 || before >= self.end {
            return (true, Wake::Event);
        }
        let interval = ticks(clock, interval);
        let wake = clock.idle(before.saturating_add(interval).min(self.end));
        if wake == Wake::Timer && clock.now().saturating_sub(before) < interval / 2 && clock.now() < self.end
        {
            // The timer ended the cede, but the clock hardly moved. Count a millisecond of polls, so that a clock that
            // stands still cannot prolong the wait.
            self.polls_left = self.polls_left.saturating_sub(POLLS_PER_MS);
        }
        (false, wake)
    }
}

const NANOS: u64 = 1_000_000_000;

/// `time` in ticks of `clock`.
#[must_use]
pub fn ticks(clock: &impl Clock, time: Duration) -> u64 {
    let frequency = clock.frequency();
    let part = scaled(u64::from(time.subsec_nanos()), frequency, NANOS);
    time.as_secs().checked_mul(frequency).and_then(|whole| whole.checked_add(part)).unwrap_or(u64::MAX)
}

/// `ticks` of `clock` as a time.
#[must_use]
pub fn duration(clock: &impl Clock, ticks: u64) -> Duration {
    let frequency = clock.frequency();
    let (Some(seconds), Some(rest)) = (ticks.checked_div(frequency), ticks.checked_rem(frequency)) else {
        return Duration::from_nanos(u64::MAX);
    };
    let nanos = scaled(rest, NANOS, frequency);
    let nanos = seconds.checked_mul(NANOS).and_then(|whole| whole.checked_add(nanos));
    Duration::from_nanos(nanos.unwrap_or(u64::MAX))
}

/// `part * to / of`, for `part < of` and `of != 0`. Uses 64 bits where the product fits, because a 128-bit division is
/// a loop.
fn scaled(part: u64, to: u64, of: u64) -> u64 {
    match part.checked_mul(to) {
        Some(product) => product.checked_div(of).unwrap_or(0),
        None => {
            let product = u128::from(part).saturating_mul(u128::from(to));
            product.checked_div(u128::from(of)).and_then(|quotient| u64::try_from(quotient).ok()).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use postern_cases::case;

    /// Every cede ends by the timer, and the clock moves by `step` in it.
    struct Ceding {
        now: Cell<u64>,
        cedes: Cell<u64>,
        step: u64,
        wake: Wake,
    }

    impl Ceding {
        fn new(step: u64, wake: Wake) -> Self {
            Self { now: Cell::new(0), cedes: Cell::new(0), step, wake }
        }

        fn wait(&self, wait: Duration) -> u64 {
            let mut deadline = Deadline::after(self, wait);
            while !deadline.expired_after_cede(self, Duration::from_millis(10)).0 {}
            self.cedes.get()
        }
    }

    impl Clock for Ceding {
        fn now(&self) -> u64 {
            self.now.get()
        }
        fn frequency(&self) -> u64 {
            1_000_000
        }
        fn idle(&self, until: u64) -> Wake {
            self.cedes.set(self.cedes.get() + 1);
            self.now.set((self.now.get() + self.step).min(until));
            self.wake
        }
    }

    /// A clock of some frequency, for conversions.
    struct Ticking(u64);

    impl Clock for Ticking {
        fn now(&self) -> u64 {
            0
        }
        fn frequency(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn conversions_are_exact_for_every_frequency_and_end_at_the_largest_number() {
        let values = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, (1 << bit) + (1 << bit) / 3]);
        for frequency in [1, 3, 1_000_000, 512_000_000, 999_999_937, 1 << 34, u64::MAX / 3, u64::MAX] {
            let clock = Ticking(frequency);
            for value in values.clone().chain([u64::MAX]) {
                let exact = u128::from(value) * 1_000_000_000 / u128::from(frequency);
                let exact = Duration::from_nanos(u64::try_from(exact).unwrap_or(u64::MAX));
                assert_eq!(duration(&clock, value), exact, "{value} ticks of {frequency}");
                let exact = u128::from(value) * u128::from(frequency) / 1_000_000_000;
                let exact = u64::try_from(exact).unwrap_or(u64::MAX);
                assert_eq!(ticks(&clock, Duration::from_nanos(value)), exact, "{value} ns at {frequency}");
            }
        }
        assert_eq!(ticks(&Ticking(512_000_000), Duration::MAX), u64::MAX);
        assert_eq!(duration(&Ticking(0), 1), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn cedes_fill_the_wait_and_the_last_is_cut() {
        let clock = Ceding::new(u64::MAX / 2, Wake::Timer);
        assert_eq!(clock.wait(Duration::from_millis(25)), 3);
        assert_eq!(clock.now.get(), 25_000);
    }

    #[test]
    fn stalled_clock_ends_a_wait_of_cedes_by_their_number() {
        case!("IRQ-06", Work);
        assert!(Ceding::new(0, Wake::Timer).wait(Duration::from_secs(1)) <= 1001);
    }

    #[test]
    fn interrupts_that_wake_early_do_not_shorten_the_wait() {
        let clock = Ceding::new(20, Wake::Event);
        clock.wait(Duration::from_secs(1));
        assert_eq!(clock.now.get(), 1_000_000);
    }
}
