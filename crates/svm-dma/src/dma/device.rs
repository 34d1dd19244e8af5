//! One device's DMA: bounce first, then translate.

use super::bounce::Bounce;
use super::bounce::Counters;
use super::lending::SKIP_BOUNCE;
use super::mapping::Held;
use super::mapping::Lent;
use super::translate::Translation;
use super::{AddressGuard, ByteCounts, Coherent, DeviceId, DmaError};
use crate::pool::Slot;
use crate::tce::{Iova, TceFlags};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::{self, ManuallyDrop};
use papr::lock::{Lock, Stuck};
use papr::platform::{DeviceMemory, Platform};

/// Fewest pool frames in a part of a device's quota: two for a queue and its request headers, the rest for data.
pub const LEAST_PART: u32 = 6;

/// Name of the lock of [`PendingReset`], in errors.
const PENDING: &str = "memory that a device was not seen to let go";

/// What a device may still use until its reset is confirmed, apart from slots of the pool. Dropping it leaks the
/// memory.
#[derive(Debug)]
pub(super) struct PendingReset<M> {
    pub(super) memory: Option<ManuallyDrop<M>>,
    pub(super) iova: Option<Iova>,
    pub(super) buffer: Lent,
}

/// The DMA of one device. A handle: clones are the same, with the same account; see [`Dma::split`] for others.
#[derive(Debug)]
pub struct Dma<P: Platform>(pub(super) Arc<Device<P>>);

impl<P: Platform> Clone for Dma<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
pub(super) struct Device<P: Platform> {
    platform: Arc<P>,
    pub(super) id: DeviceId,
    pub(super) bounce: Bounce<P::Memory>,
    pub(super) translation: Translation,
    guard: AddressGuard,
    pub(super) totals: Arc<Counters>,
    pub(super) own: Arc<Counters>,
    pending: Lock<Vec<PendingReset<P::Memory>>>,
}

impl<P: Platform> Dma<P> {
    pub(super) fn new(
        platform: Arc<P>,
        id: DeviceId,
        bounce: Bounce<P::Memory>,
        translation: Translation,
        totals: Arc<Counters>,
    ) -> Self {
        // The sabotaged build has no guard, which would halt it at its first request: the devices outside have to
        // notice.
        let reachable = if SKIP_BOUNCE { None } else { bounce.reachable() };
        let guard = translation.guard(reachable);
        let pending = Lock::new(PENDING, Vec::new());
        Self(Arc::new(Device {
            platform,
            id,
            bounce,
            translation,
            guard,
            totals,
            own: Arc::default(),
            pending,
        }))
    }

    /// Handles for up to `most` users of the same device, this one first. Each has an account of its own with the pool
    /// and an equal part of the device's quota: none can starve another. There are fewer handles if the parts would be
    /// smaller than [`LEAST_PART`].
    ///
    /// # Errors
    /// Another CPU does not release the pool's lock.
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
            pending: Lock::new(PENDING, Vec::new()),
        })))
    }

    /// The machine that the device is part of.
    #[must_use]
    pub fn platform(&self) -> &P {
        &self.0.platform
    }

    /// The device's PCI function.
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

    /// Zeroed memory that this guest and the device share for a long time: rings, request headers. Aligned to 4 KiB if
    /// `len` is at least that, else to the next power of two.
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
        let memory = ManuallyDrop::new(memory);
        match self.0.translation.open(self.platform(), memory.gpa(), len, both) {
            Ok((bus, iova)) => Ok(Coherent { memory, bus, owner: self.0.id, slot, iova }),
            Err(error) => {
                self.return_memory(memory, slot);
                Err(error)
            }
        }
    }

    /// Gives coherent memory back.
    ///
    /// # Safety
    /// No device uses the memory any more: it was never told of it, or its reset was confirmed.
    #[allow(unsafe_code, reason = "only the caller knows that a device has let go")]
    pub unsafe fn release(&self, coherent: Coherent<P::Memory>) {
        if !self.owns(coherent.owner) {
            return;
        }
        self.0.translation.release(self.platform(), coherent.iova);
        self.return_memory(coherent.memory, coherent.slot);
    }

    /// As [`Self::quarantine`], for coherent memory.
    pub fn quarantine_coherent(&self, coherent: Coherent<P::Memory>) {
        if !self.owns(coherent.owner) {
            return;
        }
        let iova = self.0.translation.close(self.platform(), coherent.iova);
        let memory = match (&self.0.bounce, coherent.slot) {
            (Bounce::Pool { shared, .. }, Some(slot)) => {
                shared.quarantine(self.platform(), Held::Slot(slot));
                None
            }
            _ => Some(coherent.memory),
        };
        if memory.is_some() || iova.is_some() {
            self.defer(PendingReset { memory, iova, buffer: Lent::NOTHING });
        }
    }

    /// Clears and frees all memory in quarantine that the device was lent.
    ///
    /// # Safety
    /// The device's reset was confirmed: it uses nothing any more of what it was lent through this account.
    #[allow(unsafe_code, reason = "only the caller knows that a device has let go")]
    pub unsafe fn confirm_reset(&self) {
        if let Bounce::Pool { shared, account } = &self.0.bounce {
            shared.confirm_reset(self.platform(), *account);
        }
        // If another CPU does not release the lock, this memory stays out of use.
        let Ok(pending) = self.0.pending.take(self.platform()).map(|mut pending| mem::take(&mut *pending))
        else {
            return;
        };
        for PendingReset { memory, iova, mut buffer } in pending {
            if let Some(iova) = iova {
                self.0.translation.reuse(self.platform(), iova);
            }
            drop(memory.map(ManuallyDrop::into_inner));
            drop(buffer.back());
        }
    }

    /// Keeps memory of a normal guest out of use until the device's reset is confirmed; for ever if that never happens.
    #[cold]
    pub(super) fn defer(&self, pending: PendingReset<P::Memory>) {
        if let Ok(mut all) = self.0.pending.take(self.platform()) {
            all.push(pending);
        }
    }

    /// The device does not use `memory`, or was never told of it.
    fn return_memory(&self, memory: ManuallyDrop<P::Memory>, slot: Option<Slot>) {
        let memory = ManuallyDrop::into_inner(memory);
        if let (Bounce::Pool { shared, .. }, Some(slot)) = (&self.0.bounce, slot) {
            shared.give_back(self.platform(), Held::Slot(slot), memory.len());
        }
    }

    /// A mapping of another device's handle is a bug of the caller. It is left alone, because that device may still use
    /// the memory.
    pub(super) fn owns(&self, owner: DeviceId) -> bool {
        if owner != self.0.id {
            log::error!("device {} was handed a mapping of device {owner}", self.0.id);
        }
        owner == self.0.id
    }
}
