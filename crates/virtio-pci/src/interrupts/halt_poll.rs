//! Halt polling: how long a wait polls before it cedes the CPU.
//!
//! A sleep has a wake latency: the CPU stops, the interrupt has to reach it, and the kernel has to ask for it. Polling
//! is cheaper for what completes within that latency. So a wait polls for at most a multiple of the latency, and for
//! less if polling did not help. This is the policy of Linux' haltpoll governor
//! (`drivers/cpuidle/governors/haltpoll.c`), with measured limits instead of given ones.

use core::time::Duration;
use papr::clock::{Clock, duration, ticks};

/// Longest polling, in wake latencies. A request that takes longer costs at most a quarter more with a sleep.
const LATENCIES: u64 = 4;
/// Upper bound on polling, however high the wake latency.
const MOST: Duration = Duration::from_millis(1);
/// A device without interrupts is polled again after another eighth of the wait so far, so an answer is found at most
/// an eighth too late.
const POLLED_PART: u64 = 8;
/// Longest interval between two such polls.
const POLLED_MOST: Duration = Duration::from_millis(1);

/// How long to poll one device, learned from its answers.
#[derive(Clone, Copy, Debug)]
pub struct HaltPoll {
    latency: u64,
    most: u64,
    limit: u64,
}

impl HaltPoll {
    /// A new state, with the wake latency of `clock`.
    #[must_use]
    pub fn new(clock: &impl Clock) -> Self {
        let latency = clock.wake_latency();
        let most = latency.saturating_mul(LATENCIES).min(ticks(clock, MOST));
        Self { latency, most, limit: most }
    }

    /// Ticks for which the next wait polls.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Records a wait that slept and took `waited` ticks, with the wake latency. Polls longer next time if that would
    /// have been cheaper, and shorter otherwise.
    pub fn slept(&mut self, waited: u64) {
        self.limit = if waited <= self.most.saturating_add(self.latency) {
            waited.saturating_add(waited / 2).min(self.most)
        } else {
            self.limit / 2
        };
    }

    /// How long to cede the CPU before the next poll of a device without interrupts, after `waited` ticks; `None` while
    /// a cede does not pay.
    #[must_use]
    pub fn polled_interval(&self, clock: &impl Clock, waited: u64) -> Option<Duration> {
        let interval = waited / POLLED_PART;
        (self.latency > 0 && interval > self.latency).then(|| duration(clock, interval).min(POLLED_MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts microseconds.
    struct Sleeper(u64);

    impl Clock for Sleeper {
        fn now(&self) -> u64 {
            0
        }
        fn frequency(&self) -> u64 {
            1_000_000
        }
        fn wake_latency(&self) -> u64 {
            self.0
        }
    }

    /// Simulates a wait for an answer that comes after `latency`, and returns the length of the wait.
    fn wait(halt_poll: &mut HaltPoll, latency: u64) -> u64 {
        if latency <= halt_poll.limit() {
            return latency;
        }
        let waited = latency + halt_poll.latency;
        halt_poll.slept(waited);
        waited
    }

    #[test]
    fn no_answer_costs_more_than_a_quarter_more_once_the_device_is_known() {
        for wake in [1, 10, 50, 200, 250] {
            for (latency, before) in (1..5_000).flat_map(|latency| [(latency, 1), (latency, 20_000)]) {
                let mut halt_poll = HaltPoll::new(&Sleeper(wake));
                for _ in 0..12 {
                    wait(&mut halt_poll, before);
                }
                for _ in 0..2 {
                    wait(&mut halt_poll, latency);
                }
                let cost = wait(&mut halt_poll, latency);
                assert!(cost * 4 <= latency * 5, "wake {wake}: {latency} after {before} costs {cost}");
            }
        }
    }

    #[test]
    fn a_slow_device_is_no_longer_polled() {
        let mut halt_poll = HaltPoll::new(&Sleeper(50));
        assert_eq!(halt_poll.limit(), 200);
        for _ in 0..8 {
            wait(&mut halt_poll, 5_000);
        }
        assert_eq!(halt_poll.limit(), 0);
    }

    #[test]
    fn a_fast_device_is_polled_again_after_a_slow_answer() {
        let mut halt_poll = HaltPoll::new(&Sleeper(50));
        for _ in 0..8 {
            wait(&mut halt_poll, 5_000);
        }
        assert_eq!(wait(&mut halt_poll, 100), 150, "slept for once more");
        assert_eq!(wait(&mut halt_poll, 100), 100, "and then no longer");
    }

    #[test]
    fn latency_that_a_host_made_up_does_not_keep_the_cpu_busy() {
        assert_eq!(HaltPoll::new(&Sleeper(u64::MAX)).limit(), 1000);
        let free = HaltPoll::new(&Sleeper(0));
        assert_eq!((free.limit(), free.polled_interval(&Sleeper(0), 1_000_000)), (0, None));
    }

    #[test]
    fn polling_becomes_less_frequent_down_to_a_thousand_times_a_second() {
        let clock = Sleeper(50);
        let halt_poll = HaltPoll::new(&clock);
        let interval = |waited| halt_poll.polled_interval(&clock, waited);
        assert_eq!(interval(400), None);
        assert_eq!(interval(800), Some(Duration::from_micros(100)));
        assert_eq!(interval(1 << 40), Some(Duration::from_millis(1)));
    }
}
