//! A watchdog: whether any CPU works. Idle CPUs check it after each sleep, because nothing tells them when the
//! hypervisor has stopped the CPU that gives them work.

use core::time::Duration;
use papr::clock::{Clock, ticks};

/// How long no CPU must act before the watchdog fires. A CPU that works makes a call or polls much more often.
pub const QUIET: Duration = Duration::from_secs(20);
/// Sleeps that must pass as well: after a stop of the whole machine the clock is far ahead.
pub const SLEEPS: u32 = 15;

/// The state of an idle CPU's watchdog.
#[derive(Debug, Default)]
pub struct Watch {
    acts: u64,
    since: u64,
    sleeps: u32,
}

impl Watch {
    /// A new watchdog.
    #[must_use]
    pub const fn new() -> Self {
        Self { acts: 0, since: 0, sleeps: 0 }
    }

    /// Called after each sleep. `acts` is a number that changes when a CPU acts. True if it has stayed the same for
    /// [`QUIET`] and [`SLEEPS`].
    pub fn is_over(&mut self, clock: &impl Clock, acts: u64) -> bool {
        let now = clock.now();
        if self.sleeps == 0 || acts != self.acts {
            *self = Self { acts, since: now, sleeps: 1 };
            return false;
        }
        self.sleeps = self.sleeps.saturating_add(1);
        self.sleeps > SLEEPS && now.saturating_sub(self.since) >= ticks(clock, QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use postern_cases::case;

    struct At(Cell<u64>);

    impl Clock for At {
        fn now(&self) -> u64 {
            self.0.get()
        }
        fn frequency(&self) -> u64 {
            1000
        }
    }

    /// Sleeps of so many ticks until it is over, at most so many; `acts` says what happened before each.
    fn sleeps(length: u64, most: u32, acts: impl Fn(u32) -> u64) -> Option<u32> {
        let (clock, mut watch) = (At(Cell::new(5)), Watch::new());
        (1..=most).find(|sleep| {
            clock.0.set(clock.0.get() + length);
            watch.is_over(&clock, acts(*sleep))
        })
    }

    #[test]
    fn an_idle_cpu_notices_that_no_cpu_works() {
        case!("LCK-06", Halt);
        assert_eq!(sleeps(1000, 100, |_| 7), Some(21));
        let stopped = |sleep: u32| u64::from(sleep.min(30));
        assert_eq!(sleeps(1000, 100, stopped), Some(50), "20 s after the last act");
    }

    #[test]
    fn cpu_that_does_something_now_and_then_is_not_given_up() {
        let now_and_then = |sleep: u32| u64::from(sleep / 19);
        assert_eq!(sleeps(1000, 10_000, now_and_then), None);
    }

    #[test]
    fn machine_that_was_stopped_as_a_whole_is_not_given_up() {
        assert_eq!(sleeps(3_600_000, SLEEPS, |_| 7), None);
    }

    #[test]
    fn sleeps_that_end_at_once_do_not_count_as_time() {
        assert_eq!(sleeps(0, 10_000, |_| 7), None);
    }
}
