//! Must the bytes be copied into shared memory? Decided once, for the whole guest.

use super::mapping::Held;
use super::{DeviceId, DmaError};
use crate::pool::{Account, Pool, Slot};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};
use papr::clock::Clock;
use papr::lock::{Lock, Stuck};
use papr::platform::DeviceMemory;

/// Slots are cleared in cache blocks of this many bytes, of which each slot is a whole number: to clear a block takes
/// no longer than to clear a part of it.
const CLEARED: usize = 128;

/// The pool's memory and, in private memory, the record of who uses which slot.
#[derive(Debug)]
pub(super) struct Shared<M> {
    pub(super) memory: M,
    pub(super) pool: Lock<Pool>,
}

/// How the buffers of one device are lent.
#[derive(Debug)]
pub(super) enum Bounce<M> {
    /// A secure guest: through slots of the pool.
    Pool { shared: Arc<Shared<M>>, account: Account },
    /// A normal guest: the buffer itself.
    InPlace,
}

impl<M: DeviceMemory> Bounce<M> {
    /// All memory that the device may ever reach; `None` if it may reach everything.
    pub(super) fn reachable(&self) -> Option<GpaRange> {
        match self {
            Self::Pool { shared, .. } => {
                Some(GpaRange { start: shared.memory.gpa(), len: shared.memory.len() as u64 })
            }
            Self::InPlace => None,
        }
    }
}

impl<M: DeviceMemory> Shared<M> {
    fn gpa(&self, slot: &Slot) -> Gpa {
        Gpa(self.memory.gpa().0.saturating_add(slot.offset() as u64))
    }

    /// Each slot with the part of `len` bytes that it holds: its bytes are `[from, from + part)`.
    fn parts<'a>(
        slots: &'a [Slot],
        len: usize,
    ) -> impl Iterator<Item = (&'a Slot, core::ops::Range<usize>)> + 'a {
        let mut from = 0usize;
        slots.iter().map_while(move |slot| {
            let to = from.saturating_add(slot.class().bytes()).min(len);
            let range = from..to;
            from = to;
            (!range.is_empty()).then_some((slot, range))
        })
    }

    /// Where `len` bytes in these slots lie, piece by piece.
    pub(super) fn pieces<'a>(
        &'a self,
        slots: &'a [Slot],
        len: usize,
    ) -> impl Iterator<Item = (Gpa, usize)> + 'a {
        Self::parts(slots, len).map(|(slot, part)| (self.gpa(slot), part.len()))
    }

    /// Opens one more account for `device`.
    pub(super) fn open_account(
        &self,
        clock: &impl Clock,
        device: DeviceId,
        quota_frames: u32,
    ) -> Result<Account, Stuck> {
        Ok(self.pool.take(clock)?.register(device, quota_frames))
    }

    pub(super) fn quota(&self, clock: &impl Clock, account: Account) -> Result<u32, Stuck> {
        Ok(self.pool.take(clock)?.quota(account))
    }

    pub(super) fn set_quota(
        &self,
        clock: &impl Clock,
        account: Account,
        quota_frames: u32,
    ) -> Result<(), Stuck> {
        self.pool.take(clock)?.set_quota(account, quota_frames);
        Ok(())
    }

    pub(super) fn reserve(
        &self,
        clock: &impl Clock,
        account: Account,
        len: usize,
    ) -> Result<Vec<Slot>, DmaError> {
        Ok(self.pool.take(clock)?.allocate_all(account, len)?)
    }

    /// One slot of at least `len` bytes, no more than a frame, and where it lies.
    #[inline(always)]
    pub(super) fn reserve_slot(
        &self,
        clock: &impl Clock,
        account: Account,
        len: usize,
    ) -> Result<(Slot, Gpa), DmaError> {
        let slot = self.pool.take(clock)?.allocate(account, len)?;
        let gpa = self.gpa(&slot);
        Ok((slot, gpa))
    }

    pub(super) fn reserve_one(
        &self,
        clock: &impl Clock,
        account: Account,
        len: usize,
    ) -> Result<(Slot, M), DmaError> {
        let too_long = DmaError::TooLong { len, max: FRAME_SIZE };
        if len > FRAME_SIZE {
            return Err(too_long);
        }
        let slot = self.pool.take(clock)?.allocate(account, len)?;
        match self.memory.part(slot.offset(), len) {
            Some(memory) => Ok((slot, memory)),
            None => Err(too_long),
        }
    }

    pub(super) fn copy_in(&self, slots: &[Slot], data: &[u8]) {
        if let [slot] = slots {
            return self.memory.write(slot.offset(), data);
        }
        for (slot, part) in Self::parts(slots, data.len()) {
            if let Some(bytes) = data.get(part) {
                self.memory.write(slot.offset(), bytes);
            }
        }
    }

    /// Copies the first bytes to `out`, clears all `len` bytes that were lent in the same pass, and frees the slot, as
    /// [`Self::give_back`] does.
    #[inline]
    pub(super) fn take_back(&self, clock: &impl Clock, slot: Slot, len: usize, out: &mut [u8]) {
        self.take_one(&slot, len, out);
        // If another CPU does not release the pool, nobody uses the slot again.
        if let Ok(mut pool) = self.pool.take(clock) {
            pool.free(slot);
        }
    }

    /// [`Self::take_back`] of all slots of a mapping.
    pub(super) fn take_back_all(&self, clock: &impl Clock, held: Held, len: usize, out: &mut [u8]) {
        for (slot, part) in Self::parts(held.slots(), len) {
            let end = part.end.min(out.len());
            let bytes = out.get_mut(part.start..end).unwrap_or_default();
            self.take_one(slot, part.len(), bytes);
        }
        self.release(clock, held);
    }

    /// Copies the first bytes of a slot to `out` and clears `len` bytes.
    #[inline(always)]
    pub(super) fn take_one(&self, slot: &Slot, len: usize, out: &mut [u8]) {
        if out.len() < len {
            self.take_part(slot, len, out);
        } else {
            self.memory.take(slot.offset(), out);
        }
    }

    /// For when fewer bytes are copied back than cleared.
    #[inline(never)]
    fn take_part(&self, slot: &Slot, len: usize, out: &mut [u8]) {
        self.memory.read(slot.offset(), out);
        self.clear(slot, len);
    }

    /// Clears the first `len` bytes of a slot.
    #[inline(always)]
    fn clear(&self, slot: &Slot, len: usize) {
        self.memory.zero(slot.offset(), len.checked_next_multiple_of(CLEARED).unwrap_or(len));
    }

    /// Clears the `len` bytes that were lent and frees the slots. A free slot is zero, so no request sees the data of
    /// another one.
    pub(super) fn give_back(&self, clock: &impl Clock, held: Held, len: usize) {
        for (slot, part) in Self::parts(held.slots(), len) {
            self.clear(slot, part.len());
        }
        self.release(clock, held);
    }

    fn release(&self, clock: &impl Clock, held: Held) {
        // As in `take_back`.
        let Ok(mut pool) = self.pool.take(clock) else { return };
        held.end(|slot| _ = pool.free(slot));
    }

    pub(super) fn quarantine(&self, clock: &impl Clock, held: Held) {
        // Slots that are not freed stay out of use, too.
        let Ok(mut pool) = self.pool.take(clock) else { return };
        held.end(|slot| _ = pool.quarantine(slot));
    }

    pub(super) fn confirm_reset(&self, clock: &impl Clock, account: Account) {
        // Without the lock the slots stay in quarantine.
        if let Ok(mut pool) = self.pool.take(clock) {
            pool.confirm_reset(account, |slot| self.memory.zero(slot.offset(), slot.class().bytes()));
        }
    }
}

/// Bytes copied between private memory and the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCounts {
    /// Bytes copied from private memory into the pool.
    pub to_pool: u64,
    /// Bytes copied from the pool into private memory.
    pub from_pool: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    to_pool: AtomicU64,
    from_pool: AtomicU64,
}

impl Counters {
    pub(super) fn copied_in(&self, bytes: usize) {
        self.to_pool.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn copied_out(&self, bytes: usize) {
        self.from_pool.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> ByteCounts {
        ByteCounts {
            to_pool: self.to_pool.load(Ordering::Relaxed),
            from_pool: self.from_pool.load(Ordering::Relaxed),
        }
    }
}
