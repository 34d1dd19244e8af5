//! One device's DMA: bounce first, then translate.

use super::bounce::{Bounce, Shared};
use super::counters::Counters;
use super::mapping::{Held, Pieces};
use super::translate::Translation;
use super::{AddressGuard, ByteCounts, Coherent, DeviceId, DmaError, Mapping, Segment};
use crate::addr::{FRAME_SIZE, Gpa};
use crate::clock::Clock;
use crate::lock::{Lock, Stuck};
use crate::pool::Slot;
use crate::seam::{DeviceMemory, Platform};
use crate::tce::{Iova, TceFlags};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

/// Most bytes in one mapping: a descriptor's length field is 32 bits.
const MAX_LEN: usize = u32::MAX as usize;

/// Frames of the pool that a part of a device's share has at least: two for a queue and its request headers, the
/// rest for data.
pub const LEAST_PART: u32 = 6;

/// Whether this is the build whose requests lend private buffers; its rings are in the pool like any other's.
const SKIP_BOUNCE: bool = cfg!(feature = "sabotage-skip-bounce");

/// The name of the lock of what follows.
const LATE: &str = "memory that a device was not seen to let go";

/// What a device that was not confirmed to be reset may still use, apart from slots of the pool.
#[derive(Debug)]
struct Late<M> {
    memory: Option<M>,
    iova: Option<Iova>,
}

/// The DMA of one device. A handle: clones are the same, with the same account; see [`Dma::split`] for others.
#[derive(Debug)]
pub struct Dma<P: Platform>(Arc<Device<P>>);

impl<P: Platform> Clone for Dma<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Device<P: Platform> {
    platform: Arc<P>,
    id: DeviceId,
    bounce: Bounce<P::Memory>,
    translation: Translation,
    guard: AddressGuard,
    totals: Arc<Counters>,
    own: Arc<Counters>,
    late: Lock<Vec<Late<P::Memory>>>,
}

impl<P: Platform> Dma<P> {
    pub(super) fn new(
        platform: Arc<P>,
        id: DeviceId,
        bounce: Bounce<P::Memory>,
        translation: Translation,
        totals: Arc<Counters>,
    ) -> Self {
        // The sabotaged build would be halted at its first request; devices outside have to find it out.
        let reachable = if SKIP_BOUNCE { None } else { bounce.reachable() };
        let guard = translation.guard(reachable);
        let late = Lock::new(LATE, Vec::new());
        Self(Arc::new(Device { platform, id, bounce, translation, guard, totals, own: Arc::default(), late }))
    }

    /// Handles for up to `most` users of the same device, this one first. Each has an account of its own with the
    /// pool, and an equal part of what the device may hold: none can starve another. Where parts would be smaller
    /// than [`LEAST_PART`] there are fewer.
    ///
    /// # Errors
    /// Another CPU stands still with the pool.
    pub fn split(self, most: u16) -> Result<Vec<Self>, Stuck> {
        let device = &*self.0;
        let parts = match &device.bounce {
            Bounce::Pool { shared, account } => {
                let quota = shared.quota(self.platform(), *account)?;
                let parts = (quota / LEAST_PART).min(most.into()).max(1);
                if parts > 1 {
                    let part = quota.checked_div(parts).unwrap_or(quota);
                    shared.set_quota(self.platform(), *account, part)?;
                }
                parts
            }
            Bounce::InPlace => u32::from(most.max(1)),
        };
        let others = (1..parts).map(|_| self.sibling()).collect::<Result<Vec<_>, _>>()?;
        Ok(core::iter::once(self).chain(others).collect())
    }

    fn sibling(&self) -> Result<Self, Stuck> {
        let Device { platform, id, bounce, translation, guard, totals, own, .. } = &*self.0;
        let bounce = match bounce {
            Bounce::Pool { shared, account } => {
                let quota = shared.quota(&**platform, *account)?;
                let account = shared.open_account(&**platform, *id, quota)?;
                Bounce::Pool { shared: Arc::clone(shared), account }
            }
            Bounce::InPlace => Bounce::InPlace,
        };
        Ok(Self(Arc::new(Device {
            platform: Arc::clone(platform),
            id: *id,
            bounce,
            translation: translation.clone(),
            guard: *guard,
            totals: Arc::clone(totals),
            own: Arc::clone(own),
            late: Lock::new(LATE, Vec::new()),
        })))
    }

    /// The machine.
    #[must_use]
    pub fn platform(&self) -> &P {
        &self.0.platform
    }

    /// The device.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.0.id
    }

    /// Whether buffers are copied through the shared pool.
    #[must_use]
    pub fn bounced(&self) -> bool {
        matches!(self.0.bounce, Bounce::Pool { .. })
    }

    /// Whether the device uses addresses of a TCE window, rather than guest physical ones.
    #[must_use]
    pub fn translated(&self) -> bool {
        !matches!(self.0.translation, Translation::Identity)
    }

    /// What was copied for this device.
    #[must_use]
    pub fn counts(&self) -> ByteCounts {
        self.0.own.read()
    }

    /// The addresses this device may be given.
    #[must_use]
    pub fn guard(&self) -> AddressGuard {
        self.0.guard
    }

    /// Zeroed memory that this guest and the device both use for long: rings, request headers. Aligned to
    /// 4 KiB if `len` is at least that, else to the next power of two.
    ///
    /// # Errors
    /// No room, or more than one 64 KiB frame.
    pub fn coherent(&self, len: usize) -> Result<Coherent<P::Memory>, DmaError> {
        if len == 0 {
            return Err(DmaError::Empty);
        }
        let (memory, slot) = match &self.0.bounce {
            Bounce::Pool { shared, account } => {
                let (slot, memory) = shared.reserve_one(self.platform(), *account, len)?;
                // Free slots are zero, unless the host wrote to them: rings must start from zeros.
                memory.zero(0, len);
                (memory, Some(slot))
            }
            Bounce::InPlace => {
                let none = DmaError::NoMemory { device: self.0.id, want: len };
                (self.platform().allocate(len).ok_or(none)?, None)
            }
        };
        let both = TceFlags::READ | TceFlags::WRITE;
        match self.0.translation.open(self.platform(), memory.gpa(), len, both) {
            Ok((bus, iova)) => Ok(Coherent { memory, bus, owner: self.0.id, slot, iova }),
            Err(error) => {
                self.return_memory(memory, slot);
                Err(error)
            }
        }
    }

    /// Gives coherent memory back; the device does not use it any more.
    pub fn release(&self, coherent: Coherent<P::Memory>) {
        if !self.owns(coherent.owner) {
            return;
        }
        self.0.translation.release(self.platform(), coherent.iova);
        self.return_memory(coherent.memory, coherent.slot);
    }

    /// Makes `data` readable for the device: copied into the pool, or used in place until
    /// [`Self::unmap`].
    ///
    /// # Errors
    /// No room; nothing is reachable then.
    pub fn map_to_device(&self, data: &[u8]) -> Result<Mapping, DmaError> {
        let mut place = None;
        self.map_to_device_at(&mut place, data)?;
        place.ok_or(DmaError::Empty)
    }

    /// Lets the device write at most `buffer.len()` bytes: into cleared slots of the pool, or in place until
    /// [`Self::unmap`].
    ///
    /// # Errors
    /// No room; nothing is reachable then.
    pub fn map_from_device(&self, buffer: &mut [u8]) -> Result<Mapping, DmaError> {
        let mut place = None;
        self.map_from_device_at(&mut place, buffer)?;
        place.ok_or(DmaError::Empty)
    }

    /// [`Self::map_to_device`], whose answer is written where a request keeps it: it need not be moved there. An older
    /// one there is dropped.
    ///
    /// # Errors
    /// As [`Self::map_to_device`].
    pub fn map_to_device_at(&self, place: &mut Option<Mapping>, data: &[u8]) -> Result<(), DmaError> {
        self.map(place, data, TceFlags::READ)?;
        if let (Bounce::Pool { shared, .. }, Some(mapping)) = (&self.0.bounce, place) {
            shared.copy_in(mapping.held.slots(), data);
            self.0.own.copied_in(data.len());
            self.0.totals.copied_in(data.len());
        }
        Ok(())
    }

    /// [`Self::map_from_device`], whose answer is written where a request keeps it.
    ///
    /// # Errors
    /// As [`Self::map_from_device`].
    pub fn map_from_device_at(&self, place: &mut Option<Mapping>, buffer: &mut [u8]) -> Result<(), DmaError> {
        self.map(place, buffer, TceFlags::WRITE)
    }

    /// Brings the first `written` bytes that the device wrote into `buffer`, the one that was mapped: never
    /// more than were mapped or than `buffer` has. Without a pool they are there already.
    pub fn copy_back(&self, mapping: &Mapping, written: usize, buffer: &mut [u8]) {
        if !mapping.device_writes || mapping.owner != self.0.id {
            return;
        }
        let Some(out) = buffer.get_mut(..written.min(mapping.len).min(buffer.len())) else { return };
        match &self.0.bounce {
            Bounce::Pool { shared, .. } => {
                shared.copy_out(mapping.held.slots(), out);
                self.0.own.copied_out(out.len());
                self.0.totals.copied_out(out.len());
            }
            Bounce::InPlace => self.platform().device_wrote(buffer),
        }
    }

    /// [`Self::copy_back`] and [`Self::unmap`] in one: the bytes are copied and cleared in one pass.
    pub fn finish(&self, mapping: Mapping, written: usize, buffer: &mut [u8]) {
        self.finish_at(&mut Some(mapping), written, buffer);
    }

    /// [`Self::finish`] where a request keeps its mapping; there is none afterwards.
    pub fn finish_at(&self, place: &mut Option<Mapping>, written: usize, buffer: &mut [u8]) {
        match (&self.0.bounce, &mut *place) {
            (Bounce::Pool { shared, .. }, Some(mapping))
                if mapping.device_writes && mapping.owner == self.0.id =>
            {
                let most = written.min(mapping.len).min(buffer.len());
                let Some(out) = buffer.get_mut(..most) else { return };
                self.0.own.copied_out(most);
                self.0.totals.copied_out(most);
                let len = mapping.len;
                match mem::replace(&mut mapping.held, Held::Nothing) {
                    Held::Slot(slot) => shared.take_back(self.platform(), slot, len, out),
                    held => self.take_back_otherwise(shared, held, len, out),
                }
                *place = None;
            }
            _ => self.finish_otherwise(place, written, buffer),
        }
    }

    /// Out of several slots, or none.
    #[inline(never)]
    fn take_back_otherwise(&self, shared: &Shared<P::Memory>, held: Held, len: usize, out: &mut [u8]) {
        match held {
            Held::Iova(iova) => self.0.translation.release(self.platform(), Some(iova)),
            held => shared.take_back_all(self.platform(), held, len, out),
        }
    }

    /// In place, or what the device has only read.
    #[inline(never)]
    fn finish_otherwise(&self, place: &mut Option<Mapping>, written: usize, buffer: &mut [u8]) {
        let Some(mapping) = place.take() else { return };
        self.copy_back(&mapping, written, buffer);
        self.unmap(mapping);
    }

    /// Ends the device's use of a buffer; the device is done with it. Slots are cleared and free again.
    pub fn unmap(&self, mapping: Mapping) {
        if !self.owns(mapping.owner) {
            return;
        }
        match (mapping.held, &self.0.bounce) {
            (Held::Iova(iova), _) => self.0.translation.release(self.platform(), Some(iova)),
            (held, Bounce::Pool { shared, .. }) => shared.give_back(self.platform(), held, mapping.len),
            (_, Bounce::InPlace) => {}
        }
    }

    /// Ends a request whose device may still use the buffer: nothing of it is used again until
    /// [`Self::confirm_reset`]. In a normal guest the caller keeps the buffer itself until then.
    pub fn quarantine(&self, mapping: Mapping) {
        if !self.owns(mapping.owner) {
            return;
        }
        match (mapping.held, &self.0.bounce) {
            (Held::Iova(iova), _) => self.keep(None, Some(iova)),
            (held, Bounce::Pool { shared, .. }) => shared.quarantine(self.platform(), held),
            (_, Bounce::InPlace) => {}
        }
    }

    /// As [`Self::quarantine`], for coherent memory.
    pub fn quarantine_coherent(&self, coherent: Coherent<P::Memory>) {
        if !self.owns(coherent.owner) {
            return;
        }
        match (&self.0.bounce, coherent.slot) {
            (Bounce::Pool { shared, .. }, Some(slot)) => {
                shared.quarantine(self.platform(), Held::Slot(slot));
                self.keep(None, coherent.iova);
            }
            _ => self.keep(Some(coherent.memory), coherent.iova),
        }
    }

    /// The device was seen to be reset and uses nothing any more: all it held in quarantine is cleared and
    /// free again.
    pub fn confirm_reset(&self) {
        if let Bounce::Pool { shared, account } = &self.0.bounce {
            shared.confirm_reset(self.platform(), *account);
        }
        // What a CPU stands still with stays out of use.
        let Ok(late) = self.0.late.take(self.platform()).map(|mut late| mem::take(&mut *late)) else {
            return;
        };
        for Late { memory, iova } in late {
            if let Some(iova) = iova {
                self.0.translation.reuse(self.platform(), iova);
            }
            if let Some(memory) = memory {
                self.platform().release(memory);
            }
        }
    }

    fn map(&self, place: &mut Option<Mapping>, buffer: &[u8], flags: TceFlags) -> Result<(), DmaError> {
        let len = buffer.len();
        let (segment, held) = match &self.0.bounce {
            Bounce::Pool { shared, account } if !SKIP_BOUNCE && (1..=FRAME_SIZE).contains(&len) => {
                let (slot, gpa) = shared.reserve_slot(self.platform(), *account, len)?;
                let Some(bus) = self.0.translation.settled(gpa, len) else {
                    return Err(gave_up(
                        self.platform(),
                        shared,
                        Held::Slot(slot),
                        DmaError::Unreachable { gpa, len: len as u64 },
                    ));
                };
                (Segment { bus, len: u32::try_from(len).unwrap_or(u32::MAX) }, Held::Slot(slot))
            }
            _ => self.map_otherwise(buffer, flags)?,
        };
        let device_writes = flags.contains(TceFlags::WRITE);
        *place = Some(Mapping { owner: self.0.id, device_writes, len, segment, held });
        Ok(())
    }

    /// A buffer of more than a frame, or in place.
    #[inline(never)]
    fn map_otherwise(&self, buffer: &[u8], flags: TceFlags) -> Result<(Segment, Held), DmaError> {
        let len = buffer.len();
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
                    None => Err(gave_up(self.platform(), shared, held, error)),
                }
            }
            Bounce::Pool { .. } | Bounce::InPlace => {
                let (segment, opened) = self.segment(self.platform().gpa_of(buffer), len, flags)?;
                Ok((segment, opened.map_or(Held::Nothing, Held::Iova)))
            }
        }
    }

    fn segment(&self, gpa: Gpa, len: usize, flags: TceFlags) -> Result<(Segment, Option<Iova>), DmaError> {
        let (bus, iova) = self.0.translation.open(self.platform(), gpa, len, flags)?;
        Ok((Segment { bus, len: u32::try_from(len).unwrap_or(u32::MAX) }, iova))
    }

    fn return_memory(&self, memory: P::Memory, slot: Option<Slot>) {
        match (&self.0.bounce, slot) {
            (Bounce::Pool { shared, .. }, Some(slot)) => {
                shared.give_back(self.platform(), Held::Slot(slot), memory.len());
            }
            _ => self.platform().release(memory),
        }
    }

    fn keep(&self, memory: Option<P::Memory>, iova: Option<Iova>) {
        let iova = self.0.translation.close(self.platform(), iova);
        if memory.is_some() || iova.is_some() {
            // A handle that is dropped gives no memory back: it is out of use for good.
            if let Ok(mut late) = self.0.late.take(self.platform()) {
                late.push(Late { memory, iova });
            }
        }
    }

    /// A mapping made by another device's handle is a mistake of ours: it is left alone, so that nothing that
    /// device may use is used again.
    fn owns(&self, owner: DeviceId) -> bool {
        if owner != self.0.id {
            log::error!("device {} was handed a mapping of device {owner}", self.0.id);
        }
        owner == self.0.id
    }
}

/// The pool was mapped once and for all, or is not translated: this happens only if it was not.
#[cold]
fn gave_up<M: DeviceMemory>(clock: &impl Clock, shared: &Shared<M>, held: Held, error: DmaError) -> DmaError {
    shared.give_back(clock, held, 0);
    error
}
