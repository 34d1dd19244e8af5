//! Handing a value to a CPU that sleeps until it is woken. `interleavings.rs` tries every order in which two
//! CPUs can do this.

use spin::Mutex;

/// A place for one value.
pub trait Slot<T> {
    /// Puts a value there.
    fn put(&self, value: T);
    /// Takes what is there.
    fn take(&self) -> Option<T>;
}

impl<T> Slot<T> for Mutex<Option<T>> {
    fn put(&self, value: T) {
        *self.lock() = Some(value);
    }

    fn take(&self) -> Option<T> {
        // The lock is free again before anything is done with the value.
        self.lock().take()
    }
}

/// Hands `value` over to a CPU that is in [`next`], and wakes it. In this order: a CPU that was woken before the
/// value is there looks, finds nothing, and sleeps over it.
pub fn post<T>(slot: &impl Slot<T>, value: T, wake: impl FnOnce()) {
    slot.put(value);
    wake();
}

/// Waits for a value. `sleep` gives this CPU up until it is woken, and returns at once if that has happened since it
/// last returned; `None` when it answers that the wait is over.
pub fn next<T>(slot: &impl Slot<T>, mut sleep: impl FnMut() -> bool) -> Option<T> {
    loop {
        if let Some(value) = slot.take() {
            return Some(value);
        }
        if !sleep() {
            return slot.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn value_that_is_there_is_taken_without_sleeping() {
        let slot = Mutex::new(Some(7));
        assert_eq!(next(&slot, || panic!("slept")), Some(7));
        assert_eq!(slot.take(), None);
    }

    #[test]
    fn value_is_there_when_its_reader_is_woken() {
        let slot = Mutex::new(None);
        let woken = Cell::new(false);
        post(&slot, 7, || {
            woken.set(true);
            assert_eq!(slot.take(), Some(7));
        });
        assert!(woken.get());
    }

    #[test]
    fn wait_that_is_over_ends_and_looks_once_more() {
        let slot = Mutex::new(None::<u8>);
        let mut naps = 0;
        let waited = next(&slot, || {
            naps += 1;
            naps < 3
        });
        assert_eq!((waited, naps), (None, 3));
        let late = next(&slot, || {
            slot.put(7);
            false
        });
        assert_eq!(late, Some(7));
    }
}
