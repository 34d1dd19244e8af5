//! Which device holds which slot. Bookkeeping only: nothing here touches the pool's memory.

use super::frame::{Frame, Frames, NIL, Use, bit};
use super::{Account, DeviceStatistics, PoolStatistics, SizeClass, Slot};
use crate::dma::DeviceId;
use alloc::vec;
use alloc::vec::Vec;
use papr::addr::FRAME_SIZE;
use papr::parts::low_u8;
use thiserror::Error;

/// The pool, or the device's share of it, has no slot left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "pool exhausted: device {device} wants {want} bytes, {free} bytes free, \
     the device holds {held_frames} of its {quota_frames} frames"
)]
pub struct PoolExhausted {
    /// The device that asked.
    pub device: DeviceId,
    /// Bytes that were asked for.
    pub want: usize,
    /// Bytes of the pool that nobody uses.
    pub free: usize,
    /// Frames the device holds already.
    pub held_frames: u32,
    /// Frames that the device may hold.
    pub quota_frames: u32,
}

/// Slots in one frame at most, hence the stride of the generation table.
const MAX_SLOTS: usize = 128;

#[derive(Debug)]
struct Holder {
    statistics: DeviceStatistics,
    /// Lists of the device's frames with a free slot, one for each size of slot.
    partial: [u32; SizeClass::ALL.len()],
}

/// The bookkeeping of one pool. Every operation on a slot takes a bounded number of steps whatever the size
/// and the state of the pool.
#[derive(Debug)]
pub struct Pool {
    frames: Frames,
    free: u32,
    holders: Vec<Holder>,
    generations: Vec<u32>,
    statistics: PoolStatistics,
}

impl Pool {
    /// A pool of `frames` frames, all free.
    #[must_use]
    pub fn new(frames: u32) -> Self {
        let mut list = Frames::new(frames);
        let mut free = NIL;
        for index in (0..frames).rev() {
            list.push(&mut free, index);
        }
        Self {
            frames: list,
            free,
            holders: Vec::new(),
            generations: vec![0; (frames as usize).saturating_mul(MAX_SLOTS)],
            statistics: PoolStatistics { frames, frames_free: frames, ..PoolStatistics::default() },
        }
    }

    /// Opens an account for `device`, which may hold up to `quota_frames` frames.
    pub fn register(&mut self, device: DeviceId, quota_frames: u32) -> Account {
        let account = Account(u16::try_from(self.holders.len()).unwrap_or(u16::MAX));
        let statistics = DeviceStatistics {
            device,
            quota_frames,
            frames: 0,
            slots_in_use: 0,
            bytes_in_use: 0,
            high_water_bytes: 0,
            bytes_quarantined: 0,
            failures: 0,
        };
        self.holders.push(Holder { statistics, partial: [NIL; SizeClass::ALL.len()] });
        account
    }

    /// Frames that this account may hold.
    #[must_use]
    pub fn quota(&self, account: Account) -> u32 {
        self.holders.get(usize::from(account.0)).map_or(0, |holder| holder.statistics.quota_frames)
    }

    /// Changes how many frames an account may hold. What it holds beyond stays its own until given back.
    pub fn set_quota(&mut self, account: Account, quota_frames: u32) {
        if let Some(holder) = self.holders.get_mut(usize::from(account.0)) {
            holder.statistics.quota_frames = quota_frames;
        }
    }

    /// One slot of at least `len` bytes: of the smallest size that fits, else (with no frame left for that
    /// size) of a larger one that the device has free.
    ///
    /// # Errors
    /// No room, or `len` is more than a frame. Nothing has changed then but the count of failures.
    #[inline]
    pub fn allocate(&mut self, account: Account, len: usize) -> Result<Slot, PoolExhausted> {
        match self.find(account, len) {
            Some(slot) => Ok(slot),
            None => Err(self.refuse(account, len)),
        }
    }

    /// Slots that hold `len` bytes together: whole frames, then one slot for the rest.
    ///
    /// # Errors
    /// No room for all of it. Nothing has changed then but the count of failures.
    pub fn allocate_all(&mut self, account: Account, len: usize) -> Result<Vec<Slot>, PoolExhausted> {
        let mut slots = Vec::with_capacity(len.div_ceil(FRAME_SIZE));
        let mut left = len;
        while left > 0 {
            let part = left.min(FRAME_SIZE);
            let Some(slot) = self.find(account, part) else {
                for slot in slots {
                    self.free(slot);
                }
                return Err(self.refuse(account, len));
            };
            slots.push(slot);
            left = left.saturating_sub(part);
        }
        Ok(slots)
    }

    #[inline(always)]
    fn find(&mut self, account: Account, len: usize) -> Option<Slot> {
        let first = SizeClass::fitting(len)?;
        match self.take(account, first) {
            None => self.take_larger(account, first),
            slot => slot,
        }
    }

    #[cold]
    fn take_larger(&mut self, account: Account, than: SizeClass) -> Option<Slot> {
        SizeClass::ALL.into_iter().filter(|class| *class > than).find_map(|class| self.take(account, class))
    }

    /// Counts and describes a request that found no room.
    #[cold]
    fn refuse(&mut self, account: Account, want: usize) -> PoolExhausted {
        self.statistics.failures = self.statistics.failures.saturating_add(1);
        let total = (self.statistics.frames as usize).saturating_mul(FRAME_SIZE) as u64;
        let used = self.statistics.bytes_in_use.saturating_add(self.statistics.bytes_quarantined);
        let free = usize::try_from(total.saturating_sub(used)).unwrap_or(usize::MAX);
        let Some(Holder { statistics: own, .. }) = self.holders.get_mut(usize::from(account.0)) else {
            let device = DeviceId::from_routing(u16::MAX, u16::MAX);
            return PoolExhausted { device, want, free, held_frames: 0, quota_frames: 0 };
        };
        own.failures = own.failures.saturating_add(1);
        let (device, held_frames, quota_frames) = (own.device, own.frames, own.quota_frames);
        PoolExhausted { device, want, free, held_frames, quota_frames }
    }

    #[inline(always)]
    fn take(&mut self, account: Account, class: SizeClass) -> Option<Slot> {
        let Self { frames, free, holders, generations, statistics: all } = self;
        let Holder { statistics: own, partial } = holders.get_mut(usize::from(account.0))?;
        let head = partial.get_mut(class.index())?;
        if *head == NIL {
            if own.frames >= own.quota_frames || *free == NIL {
                return None;
            }
            let fresh = *free;
            frames.unlink(free, fresh);
            let frame = frames.get_mut(fresh)?;
            frame.used_as = Use::Slots { account, class };
            frame.free = class.mask();
            frames.push(head, fresh);
            own.frames = own.frames.saturating_add(1);
            all.frames_free = all.frames_free.saturating_sub(1);
        }
        let index_of_frame = *head;
        let frame = frames.get_mut(index_of_frame)?;
        let index = first(frame.free);
        // The lowest bit is the slot that was found.
        frame.free &= frame.free.wrapping_sub(1);
        if frame.free == 0 {
            frames.unlink(head, index_of_frame);
        }
        let generation = *generations.get(generation_at(index_of_frame, index))?;

        // The number of bytes in the pool does not wrap.
        let bytes = class.bytes() as u64;
        own.bytes_in_use = own.bytes_in_use.wrapping_add(bytes);
        own.high_water_bytes = own.high_water_bytes.max(own.bytes_in_use);
        all.bytes_in_use = all.bytes_in_use.wrapping_add(bytes);
        all.high_water_bytes = all.high_water_bytes.max(all.bytes_in_use);
        Some(Slot { frame: index_of_frame, index, class, account, generation })
    }

    /// Whether the pool's own record agrees that this handle's slot is in use by its owner.
    #[must_use]
    pub fn recognises(&self, slot: &Slot) -> bool {
        self.frames.get(slot.frame).is_some_and(|frame| frame.lends(slot))
            && self.generations.get(generation_at(slot.frame, slot.index)) == Some(&slot.generation)
    }

    /// Gives a slot back; its bytes have been cleared. False when the handle did not match the record, and
    /// then nothing changed.
    #[inline(always)]
    #[allow(clippy::needless_pass_by_value, reason = "the right to the slot ends here")]
    pub fn free(&mut self, slot: Slot) -> bool {
        let Slot { frame: index_of_frame, index, class, account, .. } = slot;
        let Self { frames, holders, generations, statistics: all, .. } = self;
        let frame = frames.get_mut(index_of_frame).filter(|frame| frame.lends(&slot));
        let generation = generations.get_mut(generation_at(index_of_frame, index));
        let generation = generation.filter(|generation| **generation == slot.generation);
        let holder = holders.get_mut(usize::from(account.0));
        let (Some(frame), Some(generation), Some(Holder { statistics: own, .. })) =
            (frame, generation, holder)
        else {
            all.mistakes = all.mistakes.saturating_add(1);
            return false;
        };
        *generation = generation.wrapping_add(1);
        // These bytes were counted when the slot was taken.
        let bytes = class.bytes() as u64;
        own.bytes_in_use = own.bytes_in_use.wrapping_sub(bytes);
        all.bytes_in_use = all.bytes_in_use.wrapping_sub(bytes);
        let was_full = frame.free == 0;
        frame.free |= bit(index);
        let empty = frame.free == class.mask();
        if was_full || empty {
            self.relink(index_of_frame, (account, class), was_full, empty);
        }
        true
    }

    /// Keeps a slot from being used again until [`Self::confirm_reset`]: its device may still write to it.
    /// False when the handle did not match the record.
    #[allow(clippy::needless_pass_by_value, reason = "the right to the slot ends here")]
    pub fn quarantine(&mut self, slot: Slot) -> bool {
        if !self.recognises(&slot) {
            self.statistics.mistakes = self.statistics.mistakes.saturating_add(1);
            return false;
        }
        if let Some(frame) = self.frames.get_mut(slot.frame) {
            frame.quarantined |= bit(slot.index);
        }
        let bytes = slot.class.bytes() as u64;
        let all = &mut self.statistics;
        all.bytes_in_use = all.bytes_in_use.saturating_sub(bytes);
        all.bytes_quarantined = all.bytes_quarantined.saturating_add(bytes);
        if let Some(Holder { statistics: own, .. }) = self.holders.get_mut(usize::from(slot.account.0)) {
            own.bytes_in_use = own.bytes_in_use.saturating_sub(bytes);
            own.bytes_quarantined = own.bytes_quarantined.saturating_add(bytes);
        }
        true
    }

    /// The device of this account cannot write any more: its quarantined slots become free, each after `clear`
    /// has cleared its bytes. Looks at every frame.
    pub fn confirm_reset(&mut self, account: Account, mut clear: impl FnMut(&Slot)) {
        for index_of_frame in 0..self.frames.count() {
            let Some(frame) = self.frames.get(index_of_frame) else { continue };
            let Use::Slots { account: owner, class } = frame.used_as else { continue };
            if owner != account {
                continue;
            }
            let mut waiting = frame.quarantined;
            while waiting != 0 {
                let index = first(waiting);
                waiting &= !bit(index);
                let generation =
                    self.generations.get(generation_at(index_of_frame, index)).copied().unwrap_or(0);
                let slot = Slot { frame: index_of_frame, index, class, account, generation };
                clear(&slot);
                let bytes = class.bytes() as u64;
                self.statistics.bytes_quarantined = self.statistics.bytes_quarantined.saturating_sub(bytes);
                if let Some(holder) = self.holders.get_mut(usize::from(account.0)) {
                    let own = &mut holder.statistics;
                    own.bytes_quarantined = own.bytes_quarantined.saturating_sub(bytes);
                }
                let at = generation_at(index_of_frame, index);
                let Some(generation) = self.generations.get_mut(at) else { continue };
                *generation = generation.wrapping_add(1);
                let Some(frame) = self.frames.get_mut(index_of_frame) else { continue };
                frame.quarantined &= !bit(index);
                let was_full = frame.free == 0;
                frame.free |= bit(index);
                let empty = frame.free == class.mask();
                self.relink(index_of_frame, (account, class), was_full, empty);
            }
        }
    }

    /// Use of the whole pool. Looks at every frame.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        PoolStatistics { slots_in_use: self.slots_in_use(|_| true), ..self.statistics }
    }

    /// Use by each device, in the order in which they were registered. Looks at every frame for each.
    pub fn devices(&self) -> impl Iterator<Item = DeviceStatistics> + '_ {
        self.holders.iter().enumerate().map(|(number, holder)| DeviceStatistics {
            slots_in_use: self.slots_in_use(|account| usize::from(account.0) == number),
            ..holder.statistics
        })
    }

    /// Slots in use of the accounts that are wanted.
    fn slots_in_use(&self, wanted: impl Fn(Account) -> bool) -> u64 {
        let frames = (0..self.frames.count()).filter_map(|index| self.frames.get(index));
        let of_one = |frame: &Frame| match frame.used_as {
            Use::Slots { account, class } if wanted(account) => {
                u64::from((class.mask() & !(frame.free | frame.quarantined)).count_ones())
            }
            _ => 0,
        };
        frames.map(of_one).fold(0, u64::saturating_add)
    }

    /// Moves a frame whose slot came back to its new list: the frame was full, or is free now.
    #[inline(never)]
    fn relink(&mut self, index: u32, (account, class): (Account, SizeClass), was_full: bool, empty: bool) {
        let Some(holder) = self.holders.get_mut(usize::from(account.0)) else { return };
        let Some(head) = holder.partial.get_mut(class.index()) else { return };
        if !empty {
            if was_full {
                self.frames.push(head, index);
            }
            return;
        }
        // The last slot came back: the frame may serve any device and any size again.
        if let Some(frame) = self.frames.get_mut(index) {
            frame.used_as = Use::Free;
            frame.free = 0;
        }
        if !was_full {
            self.frames.unlink(head, index);
        }
        self.frames.push(&mut self.free, index);
        holder.statistics.frames = holder.statistics.frames.saturating_sub(1);
        self.statistics.frames_free = self.statistics.frames_free.saturating_add(1);
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.frames.steps
    }
}

/// The lowest bit that is set; at most 128.
fn first(bits: u128) -> u8 {
    low_u8(bits.trailing_zeros().into())
}

fn generation_at(frame: u32, index: u8) -> usize {
    (frame as usize).saturating_mul(MAX_SLOTS).saturating_add(index.into())
}
