//! Which address must the device use? Decided by each device, with VIRTIO_F_ACCESS_PLATFORM.

use super::{AddressGuard, DmaError};
use crate::dma::BusAddr;
use crate::tce::{Iova, OnDemand, TceFlags};
use alloc::sync::Arc;
use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::platform::Hypervisor;

/// How a guest physical address becomes a bus address, for one device.
#[derive(Clone, Debug)]
pub(super) enum Translation {
    /// The device uses guest physical addresses.
    Identity,
    /// The device goes through a window in which `gpa` was mapped once, from `bus` on.
    Window { gpa: GpaRange, bus: u64 },
    /// The device goes through a window in which each buffer is mapped while it is lent.
    OnDemand(Arc<OnDemand>),
}

impl Translation {
    /// The bus address of `[gpa, gpa + len)` if it needs no new TCE; else `None`.
    #[inline]
    pub(super) fn settled(&self, gpa: Gpa, len: usize) -> Option<BusAddr> {
        match self {
            Self::Identity => Some(BusAddr(gpa.0)),
            Self::Window { gpa: mapped, bus } if mapped.contains(gpa, len as u64) => {
                Some(BusAddr(bus.checked_add(gpa.0.checked_sub(mapped.start.0)?)?))
            }
            _ => None,
        }
    }

    /// The bus address of `[gpa, gpa + len)`, and the bus pages to release when the device is done.
    pub(super) fn open(
        &self,
        platform: &(impl Hypervisor + Clock),
        gpa: Gpa,
        len: usize,
        flags: TceFlags,
    ) -> Result<(BusAddr, Option<Iova>), DmaError> {
        let unreachable = DmaError::Unreachable { gpa, len: len as u64 };
        match self {
            Self::Identity => Ok((BusAddr(gpa.0), None)),
            Self::Window { gpa: mapped, bus } => {
                if !mapped.contains(gpa, len as u64) {
                    return Err(unreachable);
                }
                let offset = gpa.0.checked_sub(mapped.start.0).ok_or(unreachable)?;
                Ok((BusAddr(bus.checked_add(offset).ok_or(unreachable)?), None))
            }
            Self::OnDemand(window) => {
                // SAFETY: the window is an ordinary guest's, which trusts its devices to write only where their drivers
                // told them to, as was promised when it was made.
                #[allow(unsafe_code, reason = "an entry lets a device at memory")]
                let (bus, iova) = unsafe { window.open(platform, gpa, len, flags)? };
                Ok((BusAddr(bus), Some(iova)))
            }
        }
    }

    /// Ends the device's access and gives the addresses back.
    pub(super) fn release(&self, platform: &(impl Hypervisor + Clock), iova: Option<Iova>) {
        if let Some(iova) = self.close(platform, iova) {
            self.reuse(platform, iova);
        }
    }

    /// Ends the device's access, as far as a table can, and keeps the addresses from being used for anything
    /// else: a device that was given them may still use them.
    pub(super) fn close(&self, platform: &(impl Hypervisor + Clock), iova: Option<Iova>) -> Option<Iova> {
        let (Self::OnDemand(window), Some(iova)) = (self, iova) else { return None };
        match window.close(platform, &iova) {
            Ok(()) => Some(iova),
            Err(error) => {
                log::error!("{error}; its addresses are not used again");
                None
            }
        }
    }

    /// Gives closed addresses back: no device uses them any more.
    pub(super) fn reuse(&self, clock: &impl Clock, iova: Iova) {
        if let Self::OnDemand(window) = self {
            window.reuse(clock, iova);
        }
    }

    /// The addresses that a device may be given if it may reach `memory` and nothing else; everything if `None`.
    pub(super) fn guard(&self, memory: Option<GpaRange>) -> AddressGuard {
        match (self, memory) {
            (Self::Identity, Some(pool)) => AddressGuard::only(pool.start.0, pool.len),
            (Self::Identity, None) => AddressGuard::anything(),
            (Self::Window { gpa, bus }, _) => AddressGuard::only(*bus, gpa.len),
            (Self::OnDemand(window), _) => {
                let (base, size) = window.span();
                AddressGuard::only(base, size)
            }
        }
    }
}
