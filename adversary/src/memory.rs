//! Guest memory as a device sees it: every access is checked by the gate.

use crate::gate::Gate;
use crate::ledger::{Ledger, Part, Refusal};
use crate::noise::Noise;
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// One queue's view of guest memory. Memory that is not there is refused like memory that is private.
pub struct Guarded<'a> {
    memory: &'a GuestMemoryMmap,
    gate: &'a dyn Gate,
    ledger: &'a Ledger,
    queue: usize,
}

/// Bytes of noise for a read that is refused.
const REFUSED: u32 = 4096;

impl<'a> Guarded<'a> {
    /// The view of queue number `queue`.
    #[must_use]
    pub fn new(memory: &'a GuestMemoryMmap, gate: &'a dyn Gate, ledger: &'a Ledger, queue: usize) -> Self {
        Self { memory, gate, ledger, queue }
    }

    /// The account of the server.
    #[must_use]
    pub fn ledger(&self) -> &'a Ledger {
        self.ledger
    }

    fn passes(&self, address: u64, length: u64) -> bool {
        self.gate.allows(address, length)
    }

    fn refuse(&self, address: u64, length: u64, part: Part, write: bool) {
        self.ledger.refuse(Refusal { queue: self.queue, part, address, length, write });
    }

    /// Fills `into` from guest memory; with noise when refused.
    pub fn read(&self, address: u64, into: &mut [u8], part: Part) {
        let length = into.len() as u64;
        if length != 0 {
            self.fill(self.passes(address, length), address, into, part);
        }
    }

    fn fill(&self, passed: bool, address: u64, into: &mut [u8], part: Part) {
        let length = into.len() as u64;
        if passed && self.memory.read_slice(into, GuestAddress(address)).is_ok() {
            self.ledger.allow(length);
        } else {
            Noise::new(address).fill(into);
            self.refuse(address, length, part, false);
        }
    }

    /// Reads `length` bytes of guest memory; at most a page of noise if the access is refused.
    #[must_use]
    pub fn take(&self, address: u64, length: u32, part: Part) -> Vec<u8> {
        // Ask once, because a gate may count.
        let passed = self.passes(address, length.into());
        let seen = if passed { length } else { length.min(REFUSED) };
        let mut bytes = vec![0; seen as usize];
        if seen == length && length != 0 {
            self.fill(passed, address, &mut bytes, part);
        } else if length != 0 {
            Noise::new(address).fill(&mut bytes);
            self.refuse(address, length.into(), part, false);
        }
        bytes
    }

    /// Writes to guest memory; nothing when refused.
    pub fn write(&self, address: u64, bytes: &[u8], part: Part) {
        let length = bytes.len() as u64;
        if length == 0 {
            return;
        }
        if self.passes(address, length) && self.memory.write_slice(bytes, GuestAddress(address)).is_ok() {
            self.ledger.allow(length);
        } else {
            self.refuse(address, length, part, true);
        }
    }

    /// A 16-bit word of a ring, ordered before everything that is read after it.
    #[must_use]
    pub fn load(&self, address: u64, part: Part) -> u16 {
        if self.passes(address, 2)
            && let Ok(word) = self.memory.load::<u16>(GuestAddress(address), Ordering::Acquire)
        {
            self.ledger.allow(2);
            return u16::from_le(word);
        }
        self.refuse(address, 2, part, false);
        0
    }

    /// A 16-bit word of a ring, ordered after everything that was written before it.
    pub fn store(&self, address: u64, word: u16, part: Part) {
        let stored = self.passes(address, 2)
            && self.memory.store(word.to_le(), GuestAddress(address), Ordering::Release).is_ok();
        if stored {
            self.ledger.allow(2);
        } else {
            self.refuse(address, 2, part, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allows the first 4 KiB.
    struct First;
    impl Gate for First {
        fn allows(&self, address: u64, length: u64) -> bool {
            address.checked_add(length).is_some_and(|end| end <= 0x1000)
        }
    }

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap()
    }

    #[test]
    fn what_is_not_shared_is_read_as_noise_and_never_written() {
        let (memory, ledger) = (memory(), Ledger::default());
        memory.write_slice(b"private", GuestAddress(0x1800)).unwrap();
        let view = Guarded::new(&memory, &First, &ledger, 1);
        let mut seen = [0; 7];
        let part = Part::Data { head: 3, descriptor: 4 };
        view.read(0x1800, &mut seen, part);
        assert_ne!(&seen, b"private");
        view.write(0x1800, b"written", part);
        view.store(0x1800, 0xffff, Part::Used);
        assert_eq!(view.load(0x1800, Part::Available), 0);
        memory.read_slice(&mut seen, GuestAddress(0x1800)).unwrap();
        assert_eq!(&seen, b"private");
        assert_eq!((ledger.refused(), ledger.accesses()), (4, 0));
        let first = Refusal { queue: 1, part, address: 0x1800, length: 7, write: false };
        assert_eq!(ledger.refusals()[0], first);
        assert!(first.to_string().contains("descriptor 4 of chain 3"), "{first}");
    }

    #[test]
    fn an_access_that_leaves_what_is_shared_is_refused_as_a_whole() {
        let (memory, ledger) = (memory(), Ledger::default());
        let view = Guarded::new(&memory, &First, &ledger, 0);
        view.write(0xffc, &[1; 8], Part::Used);
        let mut seen = [9; 4];
        view.read(0xffc, &mut seen, Part::Used);
        assert_eq!(seen, [0; 4]);
        assert_eq!((ledger.refused(), ledger.accesses()), (1, 1));
    }

    #[test]
    fn a_refused_length_of_gigabytes_costs_a_page() {
        let (memory, ledger) = (memory(), Ledger::default());
        let view = Guarded::new(&memory, &First, &ledger, 0);
        assert_eq!(view.take(0x800, u32::MAX, Part::Used).len(), REFUSED as usize);
        assert_eq!(ledger.refusals()[0].length, u64::from(u32::MAX));
        assert_eq!((view.take(0x800, 16, Part::Used), ledger.refused()), (vec![0; 16], 1));
    }

    #[test]
    fn the_gate_is_asked_once_for_an_access() {
        struct Counting(std::sync::atomic::AtomicU64);
        impl Gate for Counting {
            fn allows(&self, _: u64, _: u64) -> bool {
                self.0.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
        let (memory, ledger, gate) = (memory(), Ledger::default(), Counting(0.into()));
        let view = Guarded::new(&memory, &gate, &ledger, 0);
        let _ = view.take(0x800, 16, Part::Used);
        view.read(0x800, &mut [0; 4], Part::Used);
        view.store(0x800, 1, Part::Used);
        assert_eq!((gate.0.load(Ordering::Relaxed), ledger.accesses()), (3, 3));
    }

    #[test]
    fn memory_that_is_not_there_is_refused() {
        let (memory, ledger) = (memory(), Ledger::default());
        let view = Guarded::new(&memory, &crate::gate::Open, &ledger, 0);
        view.write(0x1fff, &[1, 2], Part::Used);
        view.write(u64::MAX, &[1, 2], Part::Used);
        assert_eq!(ledger.refused(), 2);
    }
}
