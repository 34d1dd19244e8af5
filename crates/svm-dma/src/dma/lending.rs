//! Buffers on their way to a device and back.

#![allow(unsafe_code, reason = "only the caller knows that a device has let go of a buffer")]

use super::bounce::{Bounce, Shared};
use super::device::{Dma, PendingReset};
use super::mapping::Lent;
use super::mapping::{Held, Pieces};
use super::{DmaError, Mapping, Segment, Unmapped};
use crate::pool::Account;
use crate::tce::{Iova, TceFlags};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use papr::addr::{FRAME_SIZE, Gpa};
use papr::clock::Clock;
use papr::platform::{DeviceMemory, Platform};

/// Most bytes in one mapping: a descriptor's length field is 32 bits.
const MAX_LEN: usize = u32::MAX as usize;

/// Whether this is the sabotaged build that lends private buffers for requests; its rings are in the pool as ever.
pub(super) const SKIP_BOUNCE: bool = cfg!(sabotage_skip_bounce);

impl<P: Platform> Dma<P> {
    /// Makes `buffer` readable for the device until [`Self::finish`]: copied into the pool, or used in place.
    ///
    /// # Errors
    /// No room; nothing is reachable then, and the buffer comes back.
    pub fn map_to_device(&self, buffer: Vec<u8>) -> Result<Mapping, Unmapped> {
        let len = buffer.len();
        whole(buffer, |place, buffer| self.map_at(place, buffer, len, false))
    }

    /// Lets the device write into `buffer` until [`Self::finish`]: into cleared slots of the pool, or in place.
    ///
    /// # Errors
    /// No room; nothing is reachable then, and the buffer comes back.
    pub fn map_from_device(&self, buffer: Vec<u8>) -> Result<Mapping, Unmapped> {
        let len = buffer.len();
        whole(buffer, |place, buffer| self.map_at(place, buffer, len, true))
    }

    /// [`Self::map_from_device`] or [`Self::map_to_device`], as `device_writes` says, of the first `len` bytes. Writes
    /// the mapping to `place`, where the request keeps it, which saves a move; drops an older one.
    ///
    /// # Errors
    /// As theirs; `buffer` is taken only on success.
    #[inline(always)]
    pub fn map_at(
        &self,
        place: &mut Option<Mapping>,
        buffer: &mut Vec<u8>,
        len: usize,
        device_writes: bool,
    ) -> Result<(), DmaError> {
        let (segment, held) = match &self.0.bounce {
            Bounce::Pool { shared, account }
                if !SKIP_BOUNCE && len.wrapping_sub(1) < FRAME_SIZE && len <= buffer.len() =>
            {
                self.slot(shared, *account, len)?
            }
            _ => self.map_slow(buffer.get_mut(..len).unwrap_or_default(), device_writes)?,
        };
        let buffer = Lent::from(buffer);
        let mapping = place.insert(Mapping {
            owner: self.0.id,
            device_writes,
            kept: false,
            len,
            segment,
            held,
            buffer,
        });
        if !device_writes {
            self.copy_in(mapping);
        }
        Ok(())
    }

    /// Copies what the device will read into the pool, if there is one.
    #[inline(never)]
    fn copy_in(&self, mapping: &Mapping) {
        if let Bounce::Pool { shared, .. } = &self.0.bounce {
            shared.copy_in(mapping.held.slots(), mapping.buffer.to_copy(mapping.len));
            self.0.own.copied_in(mapping.len);
            self.0.totals.copied_in(mapping.len);
        }
    }

    /// Ends the device's use of a buffer and returns the buffer. With a pool, copies back the first `written` bytes (at
    /// most the mapped length) and clears the slots in the same pass; without one, the device has written to the buffer
    /// itself. Returns an empty buffer for a mapping of another device.
    ///
    /// # Safety
    /// No device uses the mapping's segments any more: none was told of them, or the chain that held them has come back,
    /// or the device's reset was confirmed.
    #[must_use]
    pub unsafe fn finish(&self, mapping: Mapping, written: usize) -> Vec<u8> {
        // SAFETY: as the caller promises.
        unsafe { self.finish_at(&mut Some(mapping), written) }
    }

    /// [`Self::finish`] of the mapping in `place`, which is empty afterwards.
    ///
    /// # Safety
    /// As [`Self::finish`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn finish_at(&self, place: &mut Option<Mapping>, written: usize) -> Vec<u8> {
        match (&self.0.bounce, &mut *place) {
            (
                Bounce::Pool { shared, .. },
                Some(Mapping { owner, device_writes, len, held: held @ Held::Slot(_), buffer, .. }),
            ) if *owner == self.0.id => {
                let mut buffer = buffer.back();
                let out = self.out(&mut buffer, *len, if *device_writes { written } else { 0 });
                if let Held::Slot(slot) = mem::replace(held, Held::Nothing) {
                    shared.take_back(self.platform(), slot, *len, out);
                }
                // The mapping holds nothing any more that needs a drop.
                mem::forget(place.take());
                buffer
            }
            _ => self.finish_slow(place, written),
        }
    }

    /// Several slots, or in place.
    #[inline(never)]
    fn finish_slow(&self, place: &mut Option<Mapping>, written: usize) -> Vec<u8> {
        let Some(Mapping { owner, device_writes, len, held, mut buffer, .. }) = place.take() else {
            return Vec::new();
        };
        if !self.owns(owner) {
            return Vec::new();
        }
        let mut buffer = buffer.back();
        match (held, &self.0.bounce) {
            (Held::Iova(iova), _) => self.0.translation.release(self.platform(), Some(iova)),
            (held @ (Held::Slot(_) | Held::Slots(_)), Bounce::Pool { shared, .. }) if device_writes => {
                let out = self.out(&mut buffer, len, written);
                return {
                    shared.take_back_all(self.platform(), held, len, out);
                    buffer
                };
            }
            (held, Bounce::Pool { shared, .. }) => shared.give_back(self.platform(), held, len),
            (_, Bounce::InPlace) => {}
        }
        if device_writes {
            self.platform().device_wrote(buffer.get_mut(..len).unwrap_or_default());
        }
        buffer
    }

    /// The part of `buffer` that is copied back: the first `written` of `len` mapped bytes. Counts them.
    #[inline]
    fn out<'a>(&self, buffer: &'a mut [u8], len: usize, written: usize) -> &'a mut [u8] {
        let most = written.min(len);
        self.0.own.copied_out(most);
        self.0.totals.copied_out(most);
        buffer.get_mut(..most).unwrap_or_default()
    }

    /// [`Self::finish`] without copying data back: for a failed request.
    ///
    /// # Safety
    /// As [`Self::finish`].
    #[must_use]
    pub unsafe fn unmap(&self, mapping: Mapping) -> Vec<u8> {
        // SAFETY: as the caller promises.
        unsafe { self.finish(mapping, 0) }
    }

    /// Ends a request whose device may still use the buffer: nothing of it is used again until
    /// [`Self::confirm_reset`], which frees it.
    pub fn quarantine(&self, mapping: Mapping) {
        let Mapping { owner, held, mut buffer, .. } = mapping;
        if !self.owns(owner) {
            return;
        }
        match (held, &self.0.bounce) {
            (held @ (Held::Slot(_) | Held::Slots(_)), Bounce::Pool { shared, .. }) => {
                shared.quarantine(self.platform(), held);
                // The device was given slots of the pool alone.
                drop(buffer.back());
            }
            (Held::Iova(iova), _) => {
                let iova = self.0.translation.close(self.platform(), Some(iova));
                self.defer(PendingReset { memory: None, iova, buffer });
            }
            (_, _) => self.defer(PendingReset { memory: None, iova: None, buffer }),
        }
    }

    /// A slot of the pool for `len` bytes, no more than a frame.
    #[inline(always)]
    fn slot(
        &self,
        shared: &Shared<P::Memory>,
        account: Account,
        len: usize,
    ) -> Result<(Segment, Held), DmaError> {
        let (slot, gpa) = shared.reserve_slot(self.platform(), account, len)?;
        let Some(bus) = self.0.translation.settled(gpa, len) else {
            let error = DmaError::Unreachable { gpa, len: len as u64 };
            return Err(unmap_failed(self.platform(), shared, Held::Slot(slot), error));
        };
        Ok((Segment { bus, len: u32::try_from(len).unwrap_or(u32::MAX) }, Held::Slot(slot)))
    }

    /// A buffer of more than a frame, or in place.
    #[inline(never)]
    fn map_slow(&self, part: &mut [u8], device_writes: bool) -> Result<(Segment, Held), DmaError> {
        let flags = if device_writes { TceFlags::WRITE } else { TceFlags::READ };
        let len = part.len();
        if len == 0 {
            return Err(DmaError::Empty);
        }
        if len > MAX_LEN {
            return Err(DmaError::TooLong { len, max: MAX_LEN });
        }
        match &self.0.bounce {
            Bounce::Pool { shared, account } if !SKIP_BOUNCE => {
                let slots = shared.reserve(self.platform(), *account, len)?;
                let pieces = shared.pieces(&slots, len);
                let all =
                    pieces.map(|(gpa, part)| self.segment(gpa, part, flags).map(|(segment, _)| segment));
                let all = all.collect::<Result<Vec<_>, _>>();
                let first = all.as_ref().ok().and_then(|segments| segments.first().copied());
                let error = all.as_ref().err().copied().unwrap_or(DmaError::Empty);
                let held = Held::Slots(Box::new(Pieces { slots, segments: all.unwrap_or_default() }));
                match first {
                    Some(segment) => Ok((segment, held)),
                    None => Err(unmap_failed(self.platform(), shared, held, error)),
                }
            }
            Bounce::Pool { .. } | Bounce::InPlace => {
                let (segment, opened) = self.segment(self.platform().gpa_of(part), len, flags)?;
                Ok((segment, opened.map_or(Held::Nothing, Held::Iova)))
            }
        }
    }

    fn segment(&self, gpa: Gpa, len: usize, flags: TceFlags) -> Result<(Segment, Option<Iova>), DmaError> {
        let (bus, iova) = self.0.translation.open(self.platform(), gpa, len, flags)?;
        Ok((Segment { bus, len: u32::try_from(len).unwrap_or(u32::MAX) }, iova))
    }
}

/// For a driver that lends buffers of one length again and again, such as receive buffers: a slot stays with its place.
impl<P: Platform> Dma<P> {
    /// [`Self::map_at`] of a buffer that the device writes. Uses the slot that [`Self::finish_keeping`] left in
    /// `place`, if it is of this length.
    ///
    /// # Errors
    /// As for [`Self::map_at`].
    #[inline(always)]
    pub fn map_again_at(
        &self,
        place: &mut Option<Mapping>,
        buffer: &mut Vec<u8>,
        len: usize,
    ) -> Result<(), DmaError> {
        match place {
            Some(Mapping { owner, kept: kept @ true, len: mapped, buffer: lent, .. })
                if *owner == self.0.id && *mapped == len && len <= buffer.len() =>
            {
                *kept = false;
                *lent = Lent::from(buffer);
                Ok(())
            }
            _ => self.map_other_at(place, buffer, len),
        }
    }

    #[inline(never)]
    fn map_other_at(
        &self,
        place: &mut Option<Mapping>,
        buffer: &mut Vec<u8>,
        len: usize,
    ) -> Result<(), DmaError> {
        if place.as_ref().is_some_and(|mapping| mapping.kept) {
            // SAFETY: the caller of `finish_keeping` promised that no device uses it, and nobody has lent it since.
            drop(unsafe { self.finish_at(place, 0) });
        }
        self.map_at(place, buffer, len, true)
    }

    /// [`Self::finish_at`] of a buffer that the device wrote. A slot of the pool is cleared and stays in `place` until
    /// it is mapped again or finished.
    ///
    /// # Safety
    /// As [`Self::finish`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn finish_keeping(&self, place: &mut Option<Mapping>, written: usize) -> Vec<u8> {
        match (&self.0.bounce, &mut *place) {
            (
                Bounce::Pool { shared, .. },
                Some(Mapping {
                    owner, device_writes: true, kept, len, held: Held::Slot(slot), buffer, ..
                }),
            ) if *owner == self.0.id && !*kept => {
                let mut buffer = buffer.back();
                let out = self.out(&mut buffer, *len, written);
                shared.take_one(slot, *len, out);
                *kept = true;
                buffer
            }
            // SAFETY: as the caller promises.
            _ => unsafe { self.finish_at(place, written) },
        }
    }
}

/// For a driver that keeps its buffers: the device gets copies in the pool. It reaches nothing else, so a late write
/// changes slots of the pool and no buffer.
impl<P: Platform> Dma<P> {
    /// Lends a copy of `data` for the device to read, or as many cleared bytes for it to write.
    ///
    /// # Errors
    /// No room, no pool, or more than a frame.
    pub fn lend_copy(&self, data: &[u8], device_writes: bool) -> Result<Mapping, DmaError> {
        let (Bounce::Pool { shared, account }, false) = (&self.0.bounce, SKIP_BOUNCE) else {
            return Err(DmaError::Empty);
        };
        let len = data.len();
        if !(1..=FRAME_SIZE).contains(&len) {
            return Err(DmaError::TooLong { len, max: FRAME_SIZE });
        }
        let (segment, held) = self.slot(shared, *account, len)?;
        if !device_writes {
            shared.copy_in(held.slots(), data);
            self.0.own.copied_in(len);
            self.0.totals.copied_in(len);
        }
        let buffer = Lent::NOTHING;
        Ok(Mapping { owner: self.0.id, device_writes, kept: false, len, segment, held, buffer })
    }

    /// Ends what [`Self::lend_copy`] began, and copies what the device wrote to `out`.
    pub fn take_copy(&self, mapping: Mapping, out: &mut [u8]) {
        let Mapping { owner, device_writes, len, held, .. } = mapping;
        let Bounce::Pool { shared, .. } = &self.0.bounce else { return };
        if !self.owns(owner) {
            return;
        }
        if !device_writes {
            return shared.give_back(self.platform(), held, len);
        }
        let out = out.get_mut(..len).unwrap_or_default();
        self.0.own.copied_out(out.len());
        self.0.totals.copied_out(out.len());
        match held {
            Held::Slot(slot) => shared.take_back(self.platform(), slot, len, out),
            held => shared.take_back_all(self.platform(), held, len, out),
        }
    }
}

/// Maps a whole buffer with `map`.
fn whole(
    mut buffer: Vec<u8>,
    map: impl FnOnce(&mut Option<Mapping>, &mut Vec<u8>) -> Result<(), DmaError>,
) -> Result<Mapping, Unmapped> {
    let mut place = None;
    match (map(&mut place, &mut buffer), place) {
        (Ok(()), Some(mapping)) => Ok(mapping),
        (result, _) => Err(Unmapped { error: result.err().unwrap_or(DmaError::Empty), buffer }),
    }
}

/// Undoes a mapping that has no bus address. Not expected: the pool was mapped once and for all, or is not translated.
#[cold]
fn unmap_failed<M: DeviceMemory>(
    clock: &impl Clock,
    shared: &Shared<M>,
    held: Held,
    error: DmaError,
) -> DmaError {
    shared.give_back(clock, held, 0);
    error
}
