//! Atomics of builds for loom: loom's inside [`model`], the processor's elsewhere. A model runs the kernel's own code;
//! its twin runs it on a processor with one fault, and must fail.

#![allow(
    missing_docs,
    clippy::new_without_default,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "for tests, whose models end by panics"
)]

use crate::clock::Clock;
use core::cell::Cell;
use core::mem;
use core::sync::atomic::Ordering;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::thread_local;

/// The fault of a twin's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// The processor treats every access as relaxed.
    Unordered,
    /// An addition is a load and a store.
    Separate,
    /// A doubleword is stored in two halves; the upper half is 0 in between.
    Halved,
}

thread_local! {
    /// Set while a model runs; all of its threads are coroutines of one thread.
    static FAULT: Cell<Option<Wrong>> = const { Cell::new(None) };
}

/// Runs `model` in every interleaving, on a processor with this fault.
pub fn model(wrong: Wrong, model: impl Fn() + Send + Sync + 'static) {
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            FAULT.set(None);
        }
    }
    let _over = Over;
    FAULT.set(Some(wrong));
    loom::model(model);
}

fn is_wrong(wrong: Wrong) -> bool {
    FAULT.get() == Some(wrong)
}

fn order(order: Ordering) -> Ordering {
    if is_wrong(Wrong::Unordered) { Ordering::Relaxed } else { order }
}

#[derive(Debug)]
enum Either<K, L> {
    Kernel(K),
    Loom(L),
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub struct $name(Either<core::sync::atomic::$name, loom::sync::atomic::$name>);

        impl $name {
            pub fn new(value: $value) -> Self {
                Self(match FAULT.get() {
                    None => Either::Kernel(core::sync::atomic::$name::new(value)),
                    Some(_) => Either::Loom(loom::sync::atomic::$name::new(value)),
                })
            }

            pub fn load(&self, ordering: Ordering) -> $value {
                match &self.0 {
                    Either::Kernel(atomic) => atomic.load(ordering),
                    Either::Loom(atomic) => atomic.load(order(ordering)),
                }
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);

impl AtomicBool {
    pub fn store(&self, value: bool, ordering: Ordering) {
        match &self.0 {
            Either::Kernel(atomic) => atomic.store(value, ordering),
            Either::Loom(atomic) => atomic.store(value, order(ordering)),
        }
    }
}

impl AtomicU32 {
    /// For loom an exchange: loom lets a plain store come between the load and the store of an addition, which no
    /// processor does (loom's `rt/atomic.rs` leaves the atomicity of read-modify-writes open).
    pub fn store(&self, value: u32, ordering: Ordering) {
        match &self.0 {
            Either::Kernel(atomic) => atomic.store(value, ordering),
            Either::Loom(atomic) => drop(atomic.swap(value, order(ordering))),
        }
    }

    pub fn fetch_add(&self, value: u32, ordering: Ordering) -> u32 {
        match &self.0 {
            Either::Kernel(atomic) => atomic.fetch_add(value, ordering),
            Either::Loom(_) if is_wrong(Wrong::Separate) => {
                let before = self.load(Ordering::Relaxed);
                self.store(before.wrapping_add(value), Ordering::Relaxed);
                before
            }
            Either::Loom(atomic) => atomic.fetch_add(value, order(ordering)),
        }
    }
}

impl AtomicU64 {
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        match &self.0 {
            Either::Kernel(atomic) => atomic.compare_exchange(current, new, success, failure),
            Either::Loom(atomic) => atomic.compare_exchange(current, new, order(success), order(failure)),
        }
    }

    /// For loom an exchange, as in [`AtomicU32::store`].
    pub fn store(&self, value: u64, ordering: Ordering) {
        match &self.0 {
            Either::Kernel(atomic) => atomic.store(value, ordering),
            Either::Loom(atomic) => {
                if is_wrong(Wrong::Halved) {
                    atomic.store(value & 0xffff_ffff, Ordering::Relaxed);
                }
                let _ = atomic.swap(value, order(ordering));
            }
        }
    }
}

/// A CPU's interrupt: pending from the moment it is raised until it is taken.
#[derive(Clone)]
pub struct Interrupt {
    pending: Arc<Mutex<bool>>,
    /// Set when no thread raises the interrupt any more.
    over: Arc<loom::sync::atomic::AtomicBool>,
}

impl Interrupt {
    pub fn new() -> Self {
        Self {
            pending: Arc::new(Mutex::new(false)),
            over: Arc::new(loom::sync::atomic::AtomicBool::new(false)),
        }
    }

    pub fn raise(&self) {
        *self.pending.lock().unwrap() = true;
    }

    pub fn raised_for_the_last_time(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// H_CEDE: sleeps until an interrupt is pending, and takes it. There is no timer, so a sleep after the last
    /// interrupt never ends and fails the test.
    pub fn cede(&self) {
        loop {
            let over = self.over.load(Ordering::Acquire);
            if mem::take(&mut *self.pending.lock().unwrap()) {
                return;
            }
            assert!(!over, "asleep for ever");
            thread::yield_now();
        }
    }

    /// A twin's H_CEDE: it drops an interrupt that was pending before the sleep.
    pub fn cede_from_now_on(&self) {
        *self.pending.lock().unwrap() = false;
        self.cede();
    }
}

/// A CPU that lets the others run while it waits for a lock.
pub struct Cpu(pub u64);

impl Clock for Cpu {
    fn now(&self) -> u64 {
        0
    }
    fn frequency(&self) -> u64 {
        1
    }
    fn relax(&self) {
        thread::yield_now();
    }
    fn here(&self) -> u64 {
        self.0
    }
}
