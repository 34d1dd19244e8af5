//! The split virtqueue: descriptors, available ring and used ring in memory that the device can rewrite at any time,
//! and a private shadow on which all decisions rest.
//!
//! Source: virtio 1.2, section 2.7. The driver never reads back what it wrote: the free list, chain lengths and
//! writable bytes are in private memory. Of the device's words it reads only used.idx, used.flags or avail_event, and
//! one used entry at a time, each once.

mod chain;
mod layout;

use self::chain::check;
pub use self::chain::{Descriptor, QueueError};
use self::layout::Parts;
pub use self::layout::{Layout, MAX_SIZE};
use crate::virtio::violation::Violation;
use alloc::vec::Vec;
use core::mem;
use papr::parts::low_u16;
use papr::platform::{Barriers, DeviceMemory};

/// VIRTQ_DESC_F_NEXT: the chain goes on.
const DESC_NEXT: u64 = 1;
/// VIRTQ_DESC_F_WRITE: the device writes.
const DESC_WRITE: u64 = 2;
/// VIRTQ_AVAIL_F_NO_INTERRUPT: the driver polls.
const AVAIL_NO_INTERRUPT: u16 = 1;
/// VIRTQ_USED_F_NO_NOTIFY: the device polls.
const USED_NO_NOTIFY: u16 = 1;

/// A completed chain, validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The head that [`Ring::stage`] returned for this chain.
    pub head: u16,
    /// Bytes that the device says it wrote, at most what the chain allowed; 0 for a chain that it only reads.
    pub written: u32,
}

/// The private record of one descriptor.
#[derive(Clone, Copy, Debug)]
struct Shadow {
    /// Next descriptor of the chain, or of the free list.
    next: u16,
    /// In a head: descriptors in the chain. 0: not the head of a chain.
    count: u16,
    /// In a head: the chain's last descriptor.
    last: u16,
    /// In a head: bytes that the device may write.
    writable: u32,
    /// In a head: number of chains staged before it. The chain is published if more chains are.
    number: u64,
}

/// A split ring over memory of type `M`.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    layout: Layout,
    parts: Parts,
    size: u16,
    shadow: Vec<Shadow>,
    /// The free list's ends. Descriptors are taken from its head and returned at its tail: a head is used again only
    /// after every other free descriptor, so that an old used id does not name a posted chain.
    free_head: u16,
    /// Undefined while nothing is free, like the head.
    free_tail: u16,
    free: u16,
    /// Chains that are not published yet.
    staged: u16,
    /// Chains published so far. avail.idx is this, modulo 2^16.
    published: u64,
    /// Chains that the device holds.
    posted: u16,
    /// Used entries taken so far, modulo 2^16.
    taken: u16,
    /// used.idx as last read and accepted.
    used_index: u16,
    /// VIRTIO_RING_F_EVENT_IDX: each side names the index of its next notification in the word after the other's ring;
    /// otherwise it uses a flag.
    by_index: bool,
    broken: Option<Violation>,
}

impl<M: DeviceMemory> Ring<M> {
    /// A ring of `size` descriptors in `memory`, which is zeroed, with interrupts disabled. `None` if the size is no
    /// power of two up to [`MAX_SIZE`], or `memory` is too small for its [`Layout`].
    #[must_use]
    pub fn new(memory: M, size: u16) -> Option<Self> {
        let layout = Layout::new(size)?;
        let parts = Parts::of(&layout)?;
        if memory.len() < layout.total {
            return None;
        }
        memory.zero(0, layout.total);
        memory.store16(layout.available, AVAIL_NO_INTERRUPT);
        let shadow = (0..size)
            .map(|i| Shadow { next: i.wrapping_add(1), count: 0, last: 0, writable: 0, number: 0 })
            .collect();
        Some(Self {
            memory,
            layout,
            parts,
            size,
            shadow,
            free_head: 0,
            free_tail: size.wrapping_sub(1),
            free: size,
            staged: 0,
            published: 0,
            posted: 0,
            taken: 0,
            used_index: 0,
            by_index: false,
            broken: None,
        })
    }

    /// Uses VIRTIO_RING_F_EVENT_IDX from now on (virtio 1.2, 2.7.6 to 2.7.10). Call this before the device knows the
    /// ring.
    pub fn signal_by_index(&mut self) {
        self.by_index = true;
        self.memory.store16(self.layout.available, 0);
        self.disarm();
    }

    /// Descriptors in the ring.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Descriptors that are free.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.free
    }

    /// The head of the next chain, if there is room for one.
    #[must_use]
    pub fn next_head(&self) -> Option<u16> {
        (self.free > 0).then_some(self.free_head)
    }

    /// Chains that the device holds.
    #[must_use]
    pub fn posted(&self) -> u16 {
        self.posted
    }

    /// The violation that broke this ring.
    #[must_use]
    pub fn broken(&self) -> Option<Violation> {
        self.broken
    }

    /// Writes a chain into free descriptors and records it; the device does not see it until [`Self::publish`]. Returns
    /// the chain's head.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn stage(&mut self, chain: &[Descriptor]) -> Result<u16, QueueError> {
        self.stage_judged(chain, |_| ())
    }

    /// As [`Self::stage`]; `judge` sees each descriptor before any is written.
    ///
    /// Inlined, so that the compiler applies the rules to the constant parts of a chain.
    ///
    /// # Errors
    /// Nothing was changed.
    #[inline(always)]
    pub fn stage_judged(
        &mut self,
        chain: &[Descriptor],
        judge: impl FnMut(&Descriptor),
    ) -> Result<u16, QueueError> {
        let writable = check(chain, judge)?;
        if let Some(violation) = self.broken {
            return Err(QueueError::Broken(violation));
        }
        let full = QueueError::Full { want: chain.len(), free: self.free };
        let count = u16::try_from(chain.len()).map_err(|_| full)?;
        let free_after = self.free.checked_sub(count).ok_or(full)?;

        let Self { memory, shadow, parts, .. } = self;
        let shadow = shadow.as_mut_slice();
        let head = self.free_head;
        let (mut at, mut last) = (head, head);
        let mut left = count;
        for descriptor in chain {
            left = left.wrapping_sub(1);
            let next = shadow.get(usize::from(at)).ok_or(full)?.next;
            let mut word = u64::from(descriptor.len);
            if descriptor.device_writes {
                word |= DESC_WRITE << 32;
            }
            if left > 0 {
                word |= DESC_NEXT << 32 | u64::from(next) << 48;
            }
            memory.store_pair(parts.descriptor(at), [descriptor.bus.raw(), word]);
            last = at;
            at = next;
        }
        // At most `size` chains are ever staged, so the count fits.
        let number = self.published.wrapping_add(self.staged.into());
        let entry = shadow.get_mut(usize::from(head)).ok_or(full)?;
        *entry = Shadow { next: entry.next, count, last, writable, number };
        self.free_head = at;
        self.free = free_after;
        // The slot of the available ring that the next publication makes visible.
        let slot = low_u16(number) & self.size.wrapping_sub(1);
        memory.store16(parts.available_entry(slot), head);
        self.staged = self.staged.wrapping_add(1);
        Ok(head)
    }

    /// Makes every staged chain visible with one store of avail.idx. True if the device wants a notification. A device
    /// that wrongly wants none only delays itself, as callers poll with a deadline.
    pub fn publish(&mut self, barriers: &impl Barriers) -> bool {
        if self.staged == 0 || self.broken.is_some() {
            return false;
        }
        let count = mem::take(&mut self.staged);
        let before = low_u16(self.published);
        self.published = self.published.wrapping_add(count.into());
        self.posted = self.posted.wrapping_add(count);
        // Descriptors and ring entries before the index that makes them visible.
        barriers.write_barrier();
        self.memory.store16(self.layout.available.wrapping_add(2), low_u16(self.published));
        // The index before the load of used.flags or avail_event: otherwise both sides may sleep (virtio 1.2,
        // 2.7.13.4.1).
        barriers.full_barrier();
        if self.by_index {
            // The device waits for one of these chains.
            self.memory.load16(self.layout.avail_event(self.size)).wrapping_sub(before) < count
        } else {
            self.memory.load16(self.layout.used) & USED_NO_NOTIFY == 0
        }
    }

    /// Enables the interrupt for the next completion, then polls once more: true if there is something to take already,
    /// for which no interrupt may come.
    pub fn arm(&mut self, barriers: &impl Barriers) -> bool {
        if self.broken.is_some() {
            return true;
        }
        if self.by_index {
            self.memory.store16(self.layout.used_event(self.size), self.taken);
        } else {
            self.memory.store16(self.layout.available, 0);
        }
        // The store before the load of used.idx: otherwise both sides may sleep (virtio 1.2, 2.7.7.1).
        barriers.full_barrier();
        // A violation is something to take, too.
        self.taken != self.used_index || self.look_for_more(barriers).unwrap_or(true)
    }

    /// Disables the interrupt: the driver polls.
    pub fn disarm(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if self.by_index {
            // Half of all indices away, which is more than a queue holds: the device does not reach this index soon.
            self.memory.store16(self.layout.used_event(self.size), self.taken.wrapping_add(1 << 15));
        } else {
            self.memory.store16(self.layout.available, AVAIL_NO_INTERRUPT);
        }
    }

    /// Takes one completed chain back, if there is one.
    ///
    /// # Errors
    /// The device broke the protocol: the ring is broken from now on and returns the same violation for ever.
    #[inline]
    pub fn take(&mut self, barriers: &impl Barriers) -> Result<Option<Used>, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        let answer = self.take_checked(barriers);
        if let Err(violation) = answer {
            self.broken = Some(violation);
        }
        answer
    }

    #[inline(always)]
    fn take_checked(&mut self, barriers: &impl Barriers) -> Result<Option<Used>, Violation> {
        if self.taken == self.used_index && !self.look_for_more(barriers)? {
            return Ok(None);
        }
        let slot = self.taken & self.size.wrapping_sub(1);
        let [id, written] = self.memory.load_pair(self.parts.used_entry(slot));

        let out_of_range = Violation::IdOutOfRange { id, size: self.size };
        let head = u16::try_from(id).map_err(|_| out_of_range)?;
        let entry = self.shadow.get_mut(usize::from(head)).ok_or(out_of_range)?;
        let Shadow { count, last, writable, number, .. } = *entry;
        if count == 0 || number >= self.published {
            return Err(self.not_posted(head));
        }
        // Ignore the length of a chain that the device only reads: some devices write the number of bytes read.
        let written = if writable == 0 { 0 } else { written };
        if written > writable {
            return Err(Violation::TooLong { id: head, written, allowed: writable });
        }
        // Append the chain's descriptors to the free list.
        entry.count = 0;
        if self.free == 0 {
            self.free_head = head;
        } else if let Some(tail) = self.shadow.get_mut(usize::from(self.free_tail)) {
            tail.next = head;
        }
        self.free_tail = last;
        self.free = self.free.wrapping_add(count);
        self.taken = self.taken.wrapping_add(1);
        self.posted = self.posted.wrapping_sub(1);
        Ok(Some(Used { head, written }))
    }

    /// The violation of a used id that is not the head of a posted chain.
    #[cold]
    fn not_posted(&self, id: u16) -> Violation {
        let count = self.shadow.get(usize::from(id)).map_or(0, |entry| entry.count);
        if count > 0 || self.is_free(id) { Violation::NotPosted { id } } else { Violation::NotHead { id } }
    }

    /// Whether a descriptor is in the free list.
    fn is_free(&self, id: u16) -> bool {
        let next = |at: &u16| self.shadow.get(usize::from(*at)).map(|entry| entry.next);
        core::iter::successors(Some(self.free_head), next).take(usize::from(self.free)).any(|at| at == id)
    }

    /// Reads used.idx once; true if there are new entries.
    fn look_for_more(&mut self, barriers: &impl Barriers) -> Result<bool, Violation> {
        let index = self.memory.load16(self.parts.used_index());
        let ahead = index.wrapping_sub(self.taken);
        if ahead > self.posted {
            return Err(Violation::IndexJump { index, last: self.taken, posted: self.posted });
        }
        if ahead > 0 {
            // The index before the entries and their data.
            barriers.read_barrier();
        }
        self.used_index = index;
        Ok(ahead > 0)
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "memory of a test")]
mod tests;
