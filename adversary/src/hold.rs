//! Holds reads back until a test has inspected the guest.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait of a read. A test that has not inspected the guest by then counts too few inspections.
const LONGEST: Duration = Duration::from_secs(60);

/// Holds a disk's reads back, one after the other, for a test that inspects the guest.
#[derive(Debug, Default)]
pub struct Hold {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Reads that came so far.
    came: u64,
    /// Reads that may be answered.
    allowed: u64,
    /// No read waits any more.
    open: bool,
}

impl Hold {
    /// The number of the read that waits now; none when no read waits.
    #[must_use]
    pub fn waiting(&self) -> Option<u64> {
        let state = self.state();
        (!state.open && state.came > state.allowed).then_some(state.came)
    }

    /// Lets the read that waits be answered, if there is one.
    pub fn let_pass(&self) {
        let mut state = self.state();
        state.allowed = state.came;
        self.changed.notify_all();
    }

    /// Lets every read be answered from now on.
    pub fn open(&self) {
        self.state().open = true;
        self.changed.notify_all();
    }

    /// A read has come: waits until it may be answered.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + LONGEST;
        let mut state = self.state();
        state.came += 1;
        let number = state.came;
        while !state.open && state.allowed < number {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                state.open = true;
                break;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !what() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    #[test]
    fn reads_pass_one_at_a_time_until_the_hold_is_opened() {
        let hold = Arc::new(Hold::default());
        let answered = Arc::new(AtomicU64::new(0));
        let disk = std::thread::spawn({
            let (hold, answered) = (Arc::clone(&hold), Arc::clone(&answered));
            move || {
                for _ in 0..5 {
                    hold.wait();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for number in 1..=3 {
            until(|| hold.waiting() == Some(number));
            assert_eq!(answered.load(Ordering::Relaxed), number - 1);
            hold.let_pass();
        }
        hold.open();
        disk.join().unwrap();
        assert_eq!((answered.load(Ordering::Relaxed), hold.waiting()), (5, None));
    }

    #[test]
    fn letting_a_read_pass_when_none_waits_allows_no_later_read() {
        let hold = Arc::new(Hold::default());
        hold.let_pass();
        let disk = std::thread::spawn({
            let hold = Arc::clone(&hold);
            move || hold.wait()
        });
        until(|| hold.waiting() == Some(1));
        hold.let_pass();
        disk.join().unwrap();
    }
}
