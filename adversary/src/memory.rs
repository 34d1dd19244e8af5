//! Guest memory as a device sees it: every access is checked by the gate, after its address was translated if it is an I/O
//! address.

use crate::gate::Gate;
use crate::iotlb::{Iotlb, Reach};
use crate::ledger::{Ledger, Part, Refusal};
use crate::noise::Noise;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// One queue's view of guest memory. Memory that is not there is refused like memory that is private.
pub struct Guarded<'a> {
    memory: &'a GuestMemoryMmap,
    gate: &'a dyn Gate,
    ledger: &'a Ledger,
    queue: usize,
    iotlb: Option<&'a Iotlb>,
    interrupted: Cell<bool>,
}

/// Bytes of noise for a read that is refused.
const REFUSED: u32 = 4096;

/// Where the bytes of an access are: guest physical addresses and lengths.
type Pieces = Vec<(u64, usize)>;

impl<'a> Guarded<'a> {
    /// The view of queue number `queue`.
    #[must_use]
    pub fn new(memory: &'a GuestMemoryMmap, gate: &'a dyn Gate, ledger: &'a Ledger, queue: usize) -> Self {
        Self { memory, gate, ledger, queue, iotlb: None, interrupted: Cell::new(false) }
    }

    /// The same view, by I/O addresses.
    pub(crate) fn translated(mut self, iotlb: Option<&'a Iotlb>) -> Self {
        self.iotlb = iotlb;
        self
    }

    /// Whether an address could not be translated because QEMU waits for the server. From then on nothing is read or
    /// written: what the device was at has to be begun again.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// The account of the server.
    #[must_use]
    pub fn ledger(&self) -> &'a Ledger {
        self.ledger
    }

    /// Where an access goes; none if it was refused, which the ledger knows then, or interrupted.
    fn passes(&self, address: u64, length: u64, part: Part, write: bool) -> Option<Pieces> {
        let refuse = |address, length, unmapped| {
            let queue = self.queue;
            self.ledger.refuse(Refusal { queue, part, address, length, write, unmapped });
            None
        };
        let Some(iotlb) = self.iotlb else {
            // Ask once, because a gate may count.
            return match (self.gate.allows(address, length), usize::try_from(length)) {
                (true, Ok(bytes)) => Some(vec![(address, bytes)]),
                _ => refuse(address, length, false),
            };
        };
        let mut pieces = Pieces::new();
        let mut done = 0;
        while done < length && !self.interrupted() {
            let Some(at) = address.checked_add(done) else { return refuse(address, length, true) };
            match iotlb.translate(at, write) {
                Reach::Memory(guest, there) => {
                    let bytes = there.min(length - done);
                    if !self.gate.allows(guest, bytes) {
                        return refuse(guest, bytes, false);
                    }
                    pieces.push((guest, usize::try_from(bytes).unwrap_or(usize::MAX)));
                    done += bytes;
                }
                Reach::Nowhere => return refuse(at, length - done, true),
                Reach::Later => self.interrupted.set(true),
            }
        }
        (!self.interrupted()).then_some(pieces)
    }

    fn absent(&self, address: u64, length: u64, part: Part, write: bool) {
        self.ledger.refuse(Refusal { queue: self.queue, part, address, length, write, unmapped: false });
    }

    /// Fills `into` from guest memory; with noise when refused.
    pub fn read(&self, address: u64, into: &mut [u8], part: Part) {
        if into.is_empty() {
            return;
        }
        match self.passes(address, into.len() as u64, part, false) {
            Some(pieces) => self.fill(&pieces, address, into, part),
            None => Noise::new(address).fill(into),
        }
    }

    fn fill(&self, pieces: &[(u64, usize)], address: u64, into: &mut [u8], part: Part) {
        let length = into.len() as u64;
        let mut rest = &mut *into;
        let all = pieces.iter().all(|&(at, bytes)| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(bytes);
            rest = later;
            self.memory.read_slice(now, GuestAddress(at)).is_ok()
        });
        if all {
            self.ledger.allow(length);
        } else {
            Noise::new(address).fill(into);
            self.absent(address, length, part, false);
        }
    }

    /// Reads `length` bytes of guest memory; at most a page of noise if the access is refused.
    #[must_use]
    pub fn take(&self, address: u64, length: u32, part: Part) -> Vec<u8> {
        if length == 0 {
            return Vec::new();
        }
        let pieces = self.passes(address, length.into(), part, false);
        let seen = if pieces.is_some() { length } else { length.min(REFUSED) };
        let mut bytes = vec![0; seen as usize];
        match pieces {
            Some(pieces) => self.fill(&pieces, address, &mut bytes, part),
            None => Noise::new(address).fill(&mut bytes),
        }
        bytes
    }

    /// Writes to guest memory; nothing when refused.
    pub fn write(&self, address: u64, bytes: &[u8], part: Part) {
        let length = bytes.len() as u64;
        if length == 0 {
            return;
        }
        let Some(pieces) = self.passes(address, length, part, true) else { return };
        let mut rest = bytes;
        let all = pieces.iter().all(|&(at, bytes)| {
            let (now, later) = rest.split_at(bytes);
            rest = later;
            self.memory.write_slice(now, GuestAddress(at)).is_ok()
        });
        if all {
            self.ledger.allow(length);
        } else {
            self.absent(address, length, part, true);
        }
    }

    /// Where a 16-bit word is. One that lies in two pages has no address that could be accessed at once.
    fn word(&self, address: u64, part: Part, write: bool) -> Option<u64> {
        match self.passes(address, 2, part, write)?.as_slice() {
            [(at, 2)] => Some(*at),
            _ => {
                self.absent(address, 2, part, write);
                None
            }
        }
    }

    /// A 16-bit word of a ring, ordered before everything that is read after it.
    #[must_use]
    pub fn load(&self, address: u64, part: Part) -> u16 {
        let Some(at) = self.word(address, part, false) else { return 0 };
        if let Ok(word) = self.memory.load::<u16>(GuestAddress(at), Ordering::Acquire) {
            self.ledger.allow(2);
            return u16::from_le(word);
        }
        self.absent(address, 2, part, false);
        0
    }

    /// A 16-bit word of a ring, ordered after everything that was written before it.
    pub fn store(&self, address: u64, word: u16, part: Part) {
        let Some(at) = self.word(address, part, true) else { return };
        if self.memory.store(word.to_le(), GuestAddress(at), Ordering::Release).is_ok() {
            self.ledger.allow(2);
        } else {
            self.absent(address, 2, part, true);
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
    fn unshared_memory_is_read_as_noise_and_never_written() {
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
        let first = Refusal { queue: 1, part, address: 0x1800, length: 7, write: false, unmapped: false };
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
