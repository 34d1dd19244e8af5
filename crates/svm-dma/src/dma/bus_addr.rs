//! The address that a device uses.

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
