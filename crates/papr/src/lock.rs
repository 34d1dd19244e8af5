//! A lock between CPUs. The hypervisor may stop any CPU at any instruction for ever, also one that holds a lock. So
//! each wait is bounded and ends with [`Stuck`], and nobody uses what a stopped CPU holds.
//!
//! Only the report that ends the run steals a lock, from the holder that it saw, and only a lock without a value.

#![allow(unsafe_code, reason = "the value is shared by those who hold the lock one after the other")]

use crate::clock::{Clock, Deadline};
use crate::sync::AtomicU64;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;
use core::time::Duration;
use thiserror::Error;

/// Longest wait for another CPU: much longer than a CPU that runs holds any lock.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether this is the sabotaged build that waits for a lock without a timeout.
const WAITS_FOR_EVER: bool = cfg!(sabotage_careless);

/// The lock is free.
const FREE: u64 = 0;
/// Holder of a lock with a value: nobody steals it, so the CPU's number does not matter.
const SOMEBODY: u64 = 1;
/// Set beside the holder after a wait for it timed out: the next CPU does not wait.
const GIVEN_UP: u64 = 1 << 63;

/// Another CPU holds this lock and does not release it. The text names what the lock guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another CPU is stopped and does not release the {0}")]
pub struct Stuck(pub &'static str);

/// A value that one CPU uses at a time. The holder comes first, and then the name: tests look for both in a guest's memory.
#[repr(C)]
pub struct Lock<T> {
    /// The CPU, by [`Clock::here`], or [`SOMEBODY`], perhaps with [`GIVEN_UP`].
    holder: AtomicU64,
    name: &'static str,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard alone, of which there is one at a time: whoever changes `holder` from
// `FREE` by compare-and-exchange has it, and gives it back by a release that the next one's acquire sees. Nobody steals
// a lock whose value has bytes. So the value goes from CPU to CPU, as `Send` allows.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock({})", self.name)
    }
}

/// A held lock; dropping this releases it.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    here: u64,
    /// Keeps the guard from being sent to another CPU.
    stays: PhantomData<*const ()>,
}

impl<T> Lock<T> {
    /// A free lock. `name` says what it guards, without "the", for [`Stuck`].
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new(name: &'static str, value: T) -> Self {
        Self { holder: AtomicU64::new(FREE), name, value: UnsafeCell::new(value) }
    }

    /// A free lock. `name` says what it guards, without "the", for [`Stuck`].
    #[must_use]
    #[cfg(loom)]
    pub fn new(name: &'static str, value: T) -> Self {
        Self { holder: AtomicU64::new(FREE), name, value: UnsafeCell::new(value) }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_take(&self, clock: &impl Clock) -> Option<Guard<'_, T>> {
        let here = Self::as_holder(clock);
        self.hold(here).ok()?;
        Some(self.guard(here))
    }

    /// Waits for the lock, for [`TIMEOUT`] at most. Does not wait if a wait for the same holder has timed out before.
    ///
    /// # Errors
    /// Another CPU keeps it, or this CPU holds it already.
    #[inline]
    pub fn take(&self, clock: &impl Clock) -> Result<Guard<'_, T>, Stuck> {
        let here = Self::as_holder(clock);
        if self.hold(here).is_err() {
            self.wait(clock, here, TIMEOUT)?;
        }
        Ok(self.guard(here))
    }

    /// As [`Self::take`], with another timeout.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(&self, clock: &impl Clock, timeout: Duration) -> Result<Guard<'_, T>, Stuck> {
        let here = Self::as_holder(clock);
        self.wait(clock, here, timeout)?;
        Ok(self.guard(here))
    }

    /// The value of a lock that nobody else can reach.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// What `holder` is set to. A lock with a value needs no CPU number, which costs less.
    #[inline]
    fn as_holder(clock: &impl Clock) -> u64 {
        if size_of::<T>() > 0 { SOMEBODY } else { clock.here() }
    }

    /// Takes the lock for `here`, or returns its holder.
    #[inline]
    fn hold(&self, here: u64) -> Result<(), u64> {
        self.holder.compare_exchange(FREE, here, Ordering::Acquire, Ordering::Relaxed).map(drop)
    }

    /// The guard of a lock that `here` has taken.
    #[inline]
    const fn guard(&self, here: u64) -> Guard<'_, T> {
        Guard { lock: self, here, stays: PhantomData }
    }

    #[cold]
    fn wait(&self, clock: &impl Clock, here: u64, timeout: Duration) -> Result<(), Stuck> {
        let mut deadline = Deadline::after(clock, timeout);
        loop {
            let Err(holder) = self.hold(here) else { return Ok(()) };
            if holder & GIVEN_UP != 0 {
                return Err(Stuck(self.name));
            }
            if !WAITS_FOR_EVER && deadline.expired(clock) {
                self.give_up(holder);
                return Err(Stuck(self.name));
            }
        }
    }

    /// Marks and logs that the wait for `holder` timed out, unless the holder has changed.
    fn give_up(&self, holder: u64) {
        let given_up = holder | GIVEN_UP;
        if self.holder.compare_exchange(holder, given_up, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            log::error!("{}", Stuck(self.name));
        }
    }

    /// Frees the lock if CPU `here` still holds it: a stolen lock is the thief's.
    #[inline]
    fn release(&self, here: u64) {
        if size_of::<T>() > 0 {
            // Nobody steals a lock with a value, and a store costs less.
            self.holder.store(FREE, Ordering::Release);
            return;
        }
        let freed = |held| self.holder.compare_exchange(held, FREE, Ordering::Release, Ordering::Relaxed);
        if freed(here) == Err(here | GIVEN_UP) {
            let _ = freed(here | GIVEN_UP);
        }
    }
}

impl Lock<()> {
    /// Whether the CPU that asks holds the lock.
    pub fn is_held_here(&self, clock: &impl Clock) -> bool {
        self.holder.load(Ordering::Relaxed) & !GIVEN_UP == clock.here()
    }

    /// For the report that ends the run: always gets the lock, after the timeout from a CPU that keeps it.
    pub fn take_to_end_the_run(&self, clock: &impl Clock) -> Guard<'_, ()> {
        loop {
            if let Ok(guard) = self.take(clock) {
                return guard;
            }
            let holder = self.holder.load(Ordering::Relaxed);
            if holder != FREE && self.steal(holder, clock.here()) {
                return self.guard(clock.here());
            }
        }
    }

    /// False if another CPU than `holder` has the lock now.
    fn steal(&self, holder: u64, here: u64) -> bool {
        self.holder.compare_exchange(holder, here, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one of its lock, unless the value is `()`, and lends the value for no longer
        // than it is borrowed itself.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release(self.here);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod tests;
