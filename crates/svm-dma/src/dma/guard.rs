//! The last look at an address before a device gets it.

use crate::dma::BusAddr;

/// The addresses that one device may be given: in secure mode the shared pool, as that device sees it, and
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressGuard {
    start: u64,
    end: u64,
}

impl AddressGuard {
    /// Only `[start, start + len)`; nothing at all if that wraps.
    pub(super) fn only(start: u64, len: u64) -> Self {
        Self { start, end: start.checked_add(len).unwrap_or(start) }
    }

    /// Any address: the host sees all memory of a normal guest.
    pub(super) fn anything() -> Self {
        Self { start: 0, end: u64::MAX }
    }

    /// Whether all of `len` bytes from `bus` may be given to the device. No bytes are not allowed anywhere.
    #[must_use]
    pub fn allows(&self, bus: BusAddr, len: u64) -> bool {
        let start = bus.raw();
        len > 0 && start.checked_add(len).is_some_and(|end| start >= self.start && end <= self.end)
    }
}
