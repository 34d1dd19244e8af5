//! A mailbox: sends a value to a CPU that sleeps until it is woken. `loom_tests.rs` tries every interleaving of two
//! CPUs.

use core::sync::atomic::Ordering;
use papr::clock::Clock;
use papr::lock::{Lock, Stuck};
use papr::sync::AtomicU64;

#[cfg(all(test, loom))]
mod loom_tests;

/// A place for one value that another CPU sends.
pub type Slot<T> = Lock<Option<T>>;

/// Sends `value` to a CPU that waits in [`recv`], and then wakes it. The order matters: a CPU that wakes before the
/// value is there would find nothing and sleep again.
///
/// # Errors
/// Another CPU does not release the slot: the value is dropped.
pub fn send<T>(slot: &Slot<T>, clock: &impl Clock, value: T, wake: impl FnOnce()) -> Result<(), Stuck> {
    *slot.take(clock)? = Some(value);
    wake();
    Ok(())
}

/// Waits for a value. `sleep` cedes this CPU until it is woken, or returns at once if that has happened since its last
/// return. `None` if `sleep` returned false, which ends the wait.
///
/// # Errors
/// Another CPU does not release the slot: no value comes any more.
pub fn recv<T>(
    slot: &Slot<T>,
    clock: &impl Clock,
    mut sleep: impl FnMut() -> bool,
) -> Result<Option<T>, Stuck> {
    loop {
        if let Some(value) = poll(slot, clock)? {
            return Ok(Some(value));
        }
        if !sleep() {
            return poll(slot, clock);
        }
    }
}

/// Takes the value, if there is one. The slot is free again before the caller uses the value.
fn poll<T>(slot: &Slot<T>, clock: &impl Clock) -> Result<Option<T>, Stuck> {
    Ok(slot.take(clock)?.take())
}

const AWAITED: u64 = 0;
const HERE: u64 = 1;
const MISSED: u64 = 2;

/// Whether a started CPU arrives in time. A CPU that arrives later is not used: it was counted as missing.
#[derive(Debug)]
pub struct Arrival(AtomicU64);

impl Arrival {
    /// The CPU has not arrived yet.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU64::new(AWAITED))
    }

    /// The CPU has not arrived yet.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU64::new(AWAITED))
    }

    /// Called by the CPU when it arrives. False if it is too late, or if another CPU arrived in its place.
    #[must_use]
    pub fn arrive(&self) -> bool {
        self.0.compare_exchange(AWAITED, HERE, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Whether the CPU has arrived.
    pub fn is_here(&self) -> bool {
        self.0.load(Ordering::Acquire) == HERE
    }

    /// Ends the wait. False if the CPU arrived at the last moment.
    #[must_use]
    pub fn miss(&self) -> bool {
        self.0.compare_exchange(AWAITED, MISSED, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }
}

impl Default for Arrival {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use postern_cases::case;
    use testkit::model::Model;

    fn slot(value: Option<u8>) -> Slot<u8> {
        Lock::new("slot", value)
    }

    #[test]
    fn value_that_is_there_is_taken_without_sleeping() {
        let (slot, clock) = (slot(Some(7)), Model::new(false));
        assert_eq!(recv(&slot, &clock, || panic!("slept")), Ok(Some(7)));
        assert_eq!(poll(&slot, &clock), Ok(None));
    }

    #[test]
    fn value_is_there_when_its_reader_is_woken() {
        let (slot, clock) = (slot(None), Model::new(false));
        let woken = Cell::new(false);
        let posted = send(&slot, &clock, 7, || {
            woken.set(true);
            assert_eq!(poll(&slot, &clock), Ok(Some(7)));
        });
        assert_eq!((posted, woken.get()), (Ok(()), true));
    }

    #[test]
    fn a_wait_ends_after_one_last_check() {
        let (slot, clock) = (slot(None), Model::new(false));
        let mut cedes = 0;
        let waited = recv(&slot, &clock, || {
            cedes += 1;
            cedes < 3
        });
        assert_eq!((waited, cedes), (Ok(None), 3));
        let late = recv(&slot, &clock, || {
            send(&slot, &clock, 7, || ()).unwrap();
            false
        });
        assert_eq!(late, Ok(Some(7)));
    }

    #[test]
    fn cpu_that_arrives_too_late_or_twice_is_not_admitted() {
        case!("LCK-05", Ignore);
        let late = Arrival::new();
        assert!(late.miss() && !late.arrive() && !late.is_here());
        let in_time = Arrival::new();
        assert!(in_time.arrive() && !in_time.miss() && in_time.is_here());
        assert!(!in_time.arrive(), "a second one in its place");
    }

    #[test]
    fn cpu_that_stops_with_a_locked_slot_gets_nothing_and_is_waited_for_once() {
        case!("LCK-03", Fail);
        let (slot, clock) = (slot(None), Model::new(false));
        let held = slot.take(&clock).unwrap();
        let posted = send(&slot, &clock, 7, || panic!("woken for nothing"));
        assert_eq!(posted, Err(Stuck("slot")));
        let waited = recv(&slot, &clock, || panic!("sleeps over what will never come"));
        assert_eq!(waited, Err(Stuck("slot")));
        drop(held);
    }
}
