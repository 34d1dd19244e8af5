//! A split virtqueue from the device's side (virtio 1.2, 2.7); the gate checks each access.

use crate::chain::{Chain, Segment};
use crate::ledger::Part;
use crate::memory::Guarded;
pub use crate::ring_state::Ring;

const DESCRIPTOR_BYTES: u64 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

impl Ring {
    /// The next request, if there is one, and it could be read.
    pub fn pop(&mut self, memory: &Guarded<'_>) -> Option<Chain> {
        let new = memory.load(self.available + 2, Part::Available).wrapping_sub(self.next_available);
        // More requests than the ring holds: ignore the index.
        if new == 0 || new > self.size || memory.interrupted() {
            return None;
        }
        let entry = self.available + 4 + 2 * u64::from(self.next_available % self.size);
        let head = memory.load(entry, Part::Available);
        let chain = self.chain(memory, head);
        if memory.interrupted() {
            return None;
        }
        self.next_available = self.next_available.wrapping_add(1);
        memory.ledger().request();
        Some(chain)
    }

    fn chain(&self, memory: &Guarded<'_>, head: u16) -> Chain {
        let mut chain = Chain { head, segments: Vec::new() };
        let mut index = head;
        // Bounded by the table's size, in case the chain loops.
        for _ in 0..self.size {
            let mut raw = [0; DESCRIPTOR_BYTES as usize];
            let at = self.descriptors + DESCRIPTOR_BYTES * u64::from(index % self.size);
            memory.read(at, &mut raw, Part::Descriptor(index));
            let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = raw;
            let flags = u16::from_le_bytes([f0, f1]);
            chain.segments.push(Segment {
                descriptor: index,
                address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
                length: u32::from_le_bytes([l0, l1, l2, l3]),
                device_writes: flags & WRITE != 0,
            });
            if flags & NEXT == 0 {
                break;
            }
            index = u16::from_le_bytes([n0, n1]);
        }
        chain
    }

    /// Writes an entry of the used ring and makes it visible, unless it is interrupted.
    pub fn push(&mut self, memory: &Guarded<'_>, id: u32, written: u32) {
        let next = self.next_used.wrapping_add(1);
        self.write_entry(memory, self.next_used, id, written);
        self.publish(memory, next);
        if !memory.interrupted() {
            self.next_used = next;
        }
    }

    /// The last `count` requests were interrupted and will be taken again.
    pub fn give_back(&mut self, count: usize) {
        self.next_available = self.next_available.wrapping_sub(u16::try_from(count).unwrap_or(u16::MAX));
    }

    /// Overwrites the entry of the used ring for `index`.
    pub fn write_entry(&self, memory: &Guarded<'_>, index: u16, id: u32, written: u32) {
        let entry = self.used + 4 + 8 * u64::from(index % self.size);
        let [i, w] = [id.to_le_bytes(), written.to_le_bytes()];
        memory.write(entry, &[i, w].concat(), Part::Used);
    }

    /// Writes the flags of the used ring.
    pub fn write_flags(&self, memory: &Guarded<'_>, flags: u16) {
        memory.store(self.used, flags, Part::Used);
    }

    /// Writes the index of the used ring.
    pub fn publish(&self, memory: &Guarded<'_>, index: u16) {
        memory.store(self.used + 2, index, Part::Used);
    }

    /// Overwrites a descriptor.
    pub fn write_descriptor(&self, memory: &Guarded<'_>, index: u16, raw: &[u8; 16]) {
        let at = self.descriptors + DESCRIPTOR_BYTES * u64::from(index % self.size);
        memory.write(at, raw, Part::Descriptor(index));
    }

    /// Whether the driver wants to be interrupted.
    #[must_use]
    pub fn wants_interrupt(&self, memory: &Guarded<'_>) -> bool {
        memory.load(self.available, Part::Available) & NO_INTERRUPT == 0
    }
}
