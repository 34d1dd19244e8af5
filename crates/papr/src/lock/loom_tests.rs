//! A CPU that comes back after its lock was stolen or given up, two CPUs that steal, and the value behind a lock, in
//! every order.

use super::{FREE, GIVEN_UP, Lock};
use crate::loom_sync::{Cpu, Wrong, model};
use core::sync::atomic::Ordering;
use loom::cell::UnsafeCell;
use loom::thread;
use postern_cases::case;
use std::sync::Arc;

const SLOW: u64 = 1;
const REPORT: u64 = 2;
const OTHER: u64 = 3;

type Release = fn(&Lock<()>, u64);
type Steal = fn(&Lock<()>, u64, u64) -> bool;

/// Takes the lock, which is released by hand.
fn take<T>(lock: &Lock<T>, here: u64) -> Result<(), u64> {
    lock.hold(here)
}

fn new() -> Arc<Lock<()>> {
    Arc::new(Lock::new("lock", ()))
}

/// The first holder was stopped and goes on while its lock is stolen.
fn late_release(release: Release) {
    model(Wrong::Nothing, move || {
        let lock = new();
        take(&lock, SLOW).unwrap();
        let slow = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || release(&lock, SLOW))
        };
        let mine = match take(&lock, REPORT) {
            Ok(()) => true,
            Err(holder) => lock.steal(holder, REPORT) || take(&lock, REPORT).is_ok(),
        };
        slow.join().unwrap();
        assert!(mine);
        assert_eq!(take(&lock, OTHER), Err(REPORT), "freed by its former holder");
    });
}

#[test]
fn a_stolen_lock_is_not_freed_by_its_former_holder() {
    case!("LCK-01", Ignore);
    late_release(Lock::release);
}

#[test]
#[should_panic(expected = "freed by its former holder")]
fn a_release_without_a_check_frees_the_thief_s_lock() {
    late_release(|lock, _| lock.holder.store(FREE, Ordering::Release));
}

/// Two CPUs steal the lock of a stopped one.
fn two_thieves(steal: Steal) {
    model(Wrong::Nothing, move || {
        let lock = new();
        take(&lock, SLOW).unwrap();
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || steal(&lock, SLOW, OTHER))
        };
        let mine = steal(&lock, SLOW, REPORT);
        let theirs = other.join().unwrap();
        assert!(mine != theirs, "both have it, or none");
    });
}

#[test]
fn one_of_two_stealing_cpus_has_the_lock() {
    case!("LCK-01", Ignore);
    two_thieves(Lock::steal);
}

#[test]
#[should_panic(expected = "both have it, or none")]
fn stealing_without_a_check_gives_two_cpus_the_lock() {
    two_thieves(|lock, _, here| {
        lock.holder.store(here, Ordering::Relaxed);
        true
    });
}

/// The holder goes on at the moment in which another CPU gives it up.
fn given_up_too_early<T: Send + Copy + Sync + 'static>(value: T, release: fn(&Lock<T>, u64)) {
    model(Wrong::Nothing, move || {
        let lock = Arc::new(Lock::new("lock", value));
        take(&lock, SLOW).unwrap();
        let slow = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || release(&lock, SLOW))
        };
        lock.give_up(SLOW);
        slow.join().unwrap();
        assert_eq!(take(&lock, OTHER), Ok(()), "locked for ever");
    });
}

#[test]
fn a_cpu_that_continues_after_it_was_given_up_frees_its_lock() {
    case!("LCK-03", Fail);
    given_up_too_early((), Lock::release);
    given_up_too_early(7, Lock::release);
}

#[test]
#[should_panic(expected = "locked for ever")]
fn a_release_that_ignores_the_given_up_flag_frees_nothing() {
    given_up_too_early((), |lock, here| {
        let _ = lock.holder.compare_exchange(here, FREE, Ordering::Release, Ordering::Relaxed);
    });
}

#[test]
#[should_panic(expected = "locked for ever")]
fn giving_up_without_comparing_the_holder_locks_a_free_lock() {
    model(Wrong::Nothing, || {
        let lock = new();
        take(&lock, SLOW).unwrap();
        let slow = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.release(SLOW))
        };
        lock.holder.store(SLOW | GIVEN_UP, Ordering::Relaxed);
        slow.join().unwrap();
        assert_eq!(take(&lock, OTHER), Ok(()), "locked for ever");
    });
}

/// Two CPUs change the value that a lock guards, which loom watches as well.
fn value(wrong: Wrong) {
    model(wrong, || {
        let lock = Arc::new(Lock::new("value", UnsafeCell::new(0)));
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || add(&lock, SLOW))
        };
        add(&lock, OTHER);
        other.join().unwrap();
        let sum = lock.take(&Cpu(REPORT)).unwrap().with(|value| {
            // SAFETY: the lock is held.
            unsafe { *value }
        });
        assert_eq!(sum, 2);
    });
}

fn add(lock: &Lock<UnsafeCell<u32>>, here: u64) {
    lock.take(&Cpu(here)).unwrap().with_mut(|value| {
        // SAFETY: the lock is held; loom ends the test if two threads are here at once.
        unsafe { *value += 1 }
    });
}

#[test]
fn value_is_used_by_one_cpu_after_the_other() {
    value(Wrong::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_acquire_and_release_the_value_is_used_by_two_cpus() {
    value(Wrong::Unordered);
}
