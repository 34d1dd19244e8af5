//! The address that a device uses, and the last check before the device gets it.

/// An address as a device must use it: a guest physical address or an IOVA, as the device's
/// VIRTIO_F_ACCESS_PLATFORM says. Only [`crate::dma`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusAddr(pub(super) u64);

impl BusAddr {
    /// The number to write into a descriptor or a queue register.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on within the same mapping; `None` when that wraps.
    #[must_use]
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }
}

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

    /// Whether all of `len` bytes from `bus` may be given to the device; false for no bytes.
    #[must_use]
    pub fn allows(&self, bus: BusAddr, len: u64) -> bool {
        let start = bus.raw();
        len > 0 && start.checked_add(len).is_some_and(|end| start >= self.start && end <= self.end)
    }
}
