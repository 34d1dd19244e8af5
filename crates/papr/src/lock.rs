//! The lock between CPUs. The hypervisor may stop any CPU at any instruction, while it holds a lock, and for ever: so
//! each wait ends, with [`Stuck`], and what a CPU that stands still was at is left to it alone.
//!
//! A lock is stolen by nobody but the report that ends the run, from the holder that it saw, and only where it guards
//! no value.

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

/// How long another CPU is waited for: much longer than any holds a lock that is not stopped in the middle.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Whether this is the build that waits for a lock as long as another CPU keeps it.
const WAITS_FOR_EVER: bool = cfg!(sabotage_careless);

/// The lock is free.
const FREE: u64 = 0;
/// Holder of a lock that nobody steals: which CPU that is does not matter.
const SOMEBODY: u64 = 1;
/// Set beside the holder when it was waited for in vain: the next one does not wait.
const GIVEN_UP: u64 = 1 << 63;

/// Another CPU holds what this lock guards, and does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another CPU stands still with the {0}")]
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

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    here: u64,
    /// Keeps the guard from being sent to another CPU.
    stays: PhantomData<*const ()>,
}

impl<T> Lock<T> {
    /// Free. `name` says what it guards, after "the".
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new(name: &'static str, value: T) -> Self {
        Self { holder: AtomicU64::new(FREE), name, value: UnsafeCell::new(value) }
    }

    /// Free. `name` says what it guards, after "the".
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

    /// Waits for the lock, for [`PATIENCE`] at most; not at all for a CPU that was waited for in vain before.
    ///
    /// # Errors
    /// Another CPU keeps it, or this one has it already.
    #[inline]
    pub fn take(&self, clock: &impl Clock) -> Result<Guard<'_, T>, Stuck> {
        let here = Self::as_holder(clock);
        if self.hold(here).is_err() {
            self.wait(clock, here, PATIENCE)?;
        }
        Ok(self.guard(here))
    }

    /// As [`Self::take`], with another patience.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(&self, clock: &impl Clock, patience: Duration) -> Result<Guard<'_, T>, Stuck> {
        let here = Self::as_holder(clock);
        self.wait(clock, here, patience)?;
        Ok(self.guard(here))
    }

    /// The value, of a lock that nobody else knows of.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// What the holder is noted as. A lock with a value costs less.
    #[inline]
    fn as_holder(clock: &impl Clock) -> u64 {
        if size_of::<T>() > 0 { SOMEBODY } else { clock.here() }
    }

    /// Holds the lock for `here`, or tells who holds it.
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
    fn wait(&self, clock: &impl Clock, here: u64, patience: Duration) -> Result<(), Stuck> {
        let mut deadline = Deadline::after(clock, patience);
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

    /// Notes, and says, that `holder` was waited for in vain, unless it has gone on.
    fn give_up(&self, holder: u64) {
        let given_up = holder | GIVEN_UP;
        if self.holder.compare_exchange(holder, given_up, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            log::error!("{}", Stuck(self.name));
        }
    }

    /// Frees the lock, if CPU `here` holds it still: one that was stolen is the thief's.
    #[inline]
    fn release(&self, here: u64) {
        if size_of::<T>() > 0 {
            // Nobody steals it, and a store costs less.
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

    /// For the report that ends the run, which has the lock in any case: from a CPU that is waited for in vain it is
    /// taken away.
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

    /// False when another CPU than `holder` has the lock by now.
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
mod interleavings;
#[cfg(test)]
mod tests;
