use super::{Lock, Stuck, TIMEOUT};
use crate::clock::Clock;
use postern_cases::case;
use std::cell::Cell;

/// A CPU whose clock moves by a millisecond with each read.
struct Cpu {
    here: u64,
    now: Cell<u64>,
    stands_still: bool,
}

impl Cpu {
    fn new(here: u64) -> Self {
        Self { here, now: Cell::new(0), stands_still: false }
    }

    fn polls(&self) -> u64 {
        self.now.get()
    }
}

impl Clock for Cpu {
    fn now(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        if self.stands_still { 0 } else { self.now.get() }
    }
    fn frequency(&self) -> u64 {
        1000
    }
    fn here(&self) -> u64 {
        self.here
    }
}

#[test]
fn the_wait_for_a_stopped_cpu_ends_with_the_lock_s_name() {
    case!("LCK-03", Fail);
    let lock = Lock::new("pool", 7);
    let (slow, other) = (Cpu::new(1), Cpu::new(2));
    let held = lock.take(&slow).unwrap();
    assert_eq!(lock.take(&other).err(), Some(Stuck("pool")));
    assert!(u128::from(other.polls()) >= TIMEOUT.as_millis(), "{} polls", other.polls());
    assert_eq!(*held, 7);
}

#[test]
fn waiting_ends_although_the_clock_stands_still() {
    case!("LCK-03", Fail);
    let lock = Lock::new("pool", 7);
    let _held = lock.take(&Cpu::new(1)).unwrap();
    let other = Cpu { stands_still: true, ..Cpu::new(2) };
    assert!(lock.take(&other).is_err());
}

#[test]
fn cpu_that_was_given_up_is_not_waited_for_again() {
    case!("LCK-03", Fail);
    let lock = Lock::new("pool", ());
    let held = lock.take(&Cpu::new(1)).unwrap();
    assert!(lock.take(&Cpu::new(2)).is_err());
    let third = Cpu::new(3);
    assert!(lock.take(&third).is_err());
    assert!(third.polls() < 5, "{} polls", third.polls());
    drop(held);
    assert!(lock.take(&third).is_ok(), "its holder released it after all");
}

#[test]
fn cpu_that_has_the_lock_does_not_get_it_twice() {
    let lock = Lock::new("pool", ());
    let here = Cpu::new(1);
    let guard = lock.take(&here).unwrap();
    assert!(lock.is_held_here(&here) && !lock.is_held_here(&Cpu::new(2)));
    assert!(lock.try_take(&here).is_none());
    assert!(lock.take(&here).is_err());
    assert!(lock.is_held_here(&here), "also when it was given up");
    drop(guard);
    assert!(lock.take(&here).is_ok());
}

#[test]
fn the_report_that_ends_the_run_always_gets_the_lock() {
    let lock = Lock::new("console", ());
    let (slow, report) = (Cpu::new(1), Cpu::new(2));
    let held = lock.take(&slow).unwrap();
    let stolen = lock.take_to_end_the_run(&report);
    drop(held);
    assert!(lock.is_held_here(&report), "freed by its former holder");
    drop(stolen);
    assert!(lock.take(&slow).is_ok());
}
