//! A CPU that comes back after its lock was stolen, and two CPUs that steal, in every order.

use super::{FREE, HolderLock};
use crate::interleavings::watched::{Wrong, model};
use core::sync::atomic::Ordering;
use loom::thread;
use postern_cases::case;
use std::sync::Arc;

const SLOW: u64 = 1;
const REPORT: u64 = 2;
const OTHER: u64 = 3;

type Release = fn(&HolderLock, u64);
type Steal = fn(&HolderLock, u64, u64) -> bool;

/// The first holder was stopped and goes on while its lock is stolen.
fn late_release(release: Release) {
    model(Wrong::Nothing, move || {
        let lock = Arc::new(HolderLock::new());
        lock.take(SLOW).unwrap();
        let slow = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || release(&lock, SLOW))
        };
        let mine = match lock.take(REPORT) {
            Ok(()) => true,
            Err(holder) => lock.steal(holder, REPORT) || lock.take(REPORT).is_ok(),
        };
        slow.join().unwrap();
        assert!(mine);
        assert_eq!(lock.take(OTHER), Err(REPORT), "freed by who had lost it");
    });
}

#[test]
fn a_lock_that_was_stolen_is_not_freed_by_who_had_it() {
    case!("LCK-01", Ignore);
    late_release(HolderLock::release);
}

#[test]
#[should_panic(expected = "freed by who had lost it")]
fn a_release_that_does_not_look_frees_the_thief_s_lock() {
    late_release(|lock, _| lock.holder.store(FREE, Ordering::Release));
}

/// Two CPUs steal from one that stands still.
fn two_thieves(steal: Steal) {
    model(Wrong::Nothing, move || {
        let lock = Arc::new(HolderLock::new());
        lock.take(SLOW).unwrap();
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
fn of_two_cpus_that_steal_one_has_the_lock() {
    case!("LCK-01", Ignore);
    two_thieves(HolderLock::steal);
}

#[test]
#[should_panic(expected = "both have it, or none")]
fn a_thief_that_does_not_look_shares_the_lock() {
    two_thieves(|lock, _, here| {
        lock.holder.store(here, Ordering::Relaxed);
        true
    });
}
