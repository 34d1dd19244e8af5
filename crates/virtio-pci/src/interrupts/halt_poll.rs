//! How long a wait looks for itself before it gives the CPU up.
//!
//! Sleep has a price: the CPU is stopped, the interrupt has to reach it and to be asked for. What is over before that
//! price is paid is cheaper to look for. So a wait looks for a multiple of the price at most, and for less when that has
//! not helped: the policy of Linux' haltpoll governor (`drivers/cpuidle/governors/haltpoll.c`), with the limits measured
//! instead of given.

use core::time::Duration;
use papr::clock::{Clock, duration, ticks};

/// Longest look, in prices. A request that takes longer than this costs at most a quarter more when it is slept for.
const PRICES: u64 = 4;
/// Longest look at all: a host that makes sleep dear, more than a quarter of this, does not make us look for ever.
const MOST: Duration = Duration::from_millis(1);
/// A device without interrupts is looked at after another eighth of the wait so far, so that no answer is found more than
/// an eighth too late.
const POLLED_PART: u64 = 8;
/// But at least this often.
const POLLED_MOST: Duration = Duration::from_millis(1);

/// What has been learned about one device's answers.
#[derive(Clone, Copy, Debug)]
pub struct HaltPoll {
    price: u64,
    most: u64,
    limit: u64,
}

impl HaltPoll {
    /// Nothing yet, on a machine on which sleep has a price.
    #[must_use]
    pub fn new(clock: &impl Clock) -> Self {
        let price = clock.sleep_price();
        let most = price.saturating_mul(PRICES).min(ticks(clock, MOST));
        Self { price, most, limit: most }
    }

    /// Ticks that the next wait looks for itself.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// A wait has slept, and was over after `waited` ticks, the price of sleep among them. Had it looked for so long, it
    /// would have been cheaper, or there is no use in looking.
    pub fn slept(&mut self, waited: u64) {
        self.limit = if waited <= self.most.saturating_add(self.price) {
            waited.saturating_add(waited / 2).min(self.most)
        } else {
            self.limit / 2
        };
    }

    /// How long not to look at a device without interrupts after `waited` ticks; `None` while that is not worth it.
    #[must_use]
    pub fn polled_nap(&self, clock: &impl Clock, waited: u64) -> Option<Duration> {
        let nap = waited / POLLED_PART;
        (self.price > 0 && nap > self.price).then(|| duration(clock, nap).min(POLLED_MOST))
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
        fn sleep_price(&self) -> u64 {
            self.0
        }
    }

    /// What a wait costs whose answer comes after `latency`, and what the device is remembered by.
    fn wait(halt_poll: &mut HaltPoll, latency: u64) -> u64 {
        if latency <= halt_poll.limit() {
            return latency;
        }
        let waited = latency + halt_poll.price;
        halt_poll.slept(waited);
        waited
    }

    #[test]
    fn no_answer_costs_more_than_a_quarter_more_once_the_device_is_known() {
        for price in [1, 10, 50, 200, 250] {
            for (latency, before) in (1..5_000).flat_map(|latency| [(latency, 1), (latency, 20_000)]) {
                let mut halt_poll = HaltPoll::new(&Sleeper(price));
                for _ in 0..12 {
                    wait(&mut halt_poll, before);
                }
                for _ in 0..2 {
                    wait(&mut halt_poll, latency);
                }
                let cost = wait(&mut halt_poll, latency);
                assert!(cost * 4 <= latency * 5, "price {price}: {latency} after {before} costs {cost}");
            }
        }
    }

    #[test]
    fn slow_device_is_not_looked_for_any_longer() {
        let mut halt_poll = HaltPoll::new(&Sleeper(50));
        assert_eq!(halt_poll.limit(), 200);
        for _ in 0..8 {
            wait(&mut halt_poll, 5_000);
        }
        assert_eq!(halt_poll.limit(), 0);
    }

    #[test]
    fn fast_device_is_looked_for_again_after_a_slow_answer() {
        let mut halt_poll = HaltPoll::new(&Sleeper(50));
        for _ in 0..8 {
            wait(&mut halt_poll, 5_000);
        }
        assert_eq!(wait(&mut halt_poll, 100), 150, "slept for once more");
        assert_eq!(wait(&mut halt_poll, 100), 100, "and then no longer");
    }

    #[test]
    fn price_that_a_host_made_up_does_not_keep_the_cpu_busy() {
        assert_eq!(HaltPoll::new(&Sleeper(u64::MAX)).limit(), 1000);
        let free = HaltPoll::new(&Sleeper(0));
        assert_eq!((free.limit(), free.polled_nap(&Sleeper(0), 1_000_000)), (0, None));
    }

    #[test]
    fn polled_device_is_looked_at_less_and_less_often_but_a_thousand_times_a_second() {
        let clock = Sleeper(50);
        let halt_poll = HaltPoll::new(&clock);
        let nap = |waited| halt_poll.polled_nap(&clock, waited);
        assert_eq!(nap(400), None);
        assert_eq!(nap(800), Some(Duration::from_micros(100)));
        assert_eq!(nap(1 << 40), Some(Duration::from_millis(1)));
    }
}
