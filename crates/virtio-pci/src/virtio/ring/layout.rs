//! Where the parts of a split virtqueue lie (virtio 1.2, 2.7).

/// Most descriptors that a split queue can have.
pub const MAX_SIZE: u16 = 1 << 15;

/// Where the three parts lie in one piece of memory, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Descriptor table; 16-byte aligned when the piece is.
    pub descriptors: usize,
    /// Available ring; 2-byte aligned.
    pub available: usize,
    /// Used ring; 4-byte aligned, and its entries 8-byte aligned.
    pub used: usize,
    /// Bytes in all.
    pub total: usize,
}

impl Layout {
    /// The layout of a queue of `size` descriptors; `None` unless that is a power of two up to
    /// [`MAX_SIZE`].
    #[must_use]
    pub fn new(size: u16) -> Option<Self> {
        if !size.is_power_of_two() || size > MAX_SIZE {
            return None;
        }
        let n = usize::from(size);
        let available = n.checked_mul(16)?;
        // Each ring has two 16-bit words before its entries and one after them (used_event, avail_event). Used entries
        // are aligned to their eight bytes, so that none crosses a page: if pages are translated one by one, QEMU 7.2
        // puts the second half of such an entry anywhere.
        let entries =
            n.checked_mul(2)?.checked_add(6 + 4)?.checked_add(available)?.checked_next_multiple_of(8)?;
        let used = entries.checked_sub(4)?;
        let total = n.checked_mul(8)?.checked_add(6)?.checked_add(used)?;
        Some(Self { descriptors: 0, available, used, total })
    }

    /// used_event: which used index the driver wants an interrupt for.
    pub(super) fn used_event(&self, size: u16) -> usize {
        usize::from(size).wrapping_mul(2).wrapping_add(self.available).wrapping_add(4)
    }

    /// avail_event: which available index the device wants a notification for.
    pub(super) fn avail_event(&self, size: u16) -> usize {
        usize::from(size).wrapping_mul(8).wrapping_add(self.used).wrapping_add(4)
    }
}

/// The offsets of a [`Layout`] in 32 bits, so that an addition to them cannot wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    descriptors: u32,
    available: u32,
    used: u32,
}

impl Parts {
    pub(super) fn of(layout: &Layout) -> Option<Self> {
        let part = |offset: usize| u32::try_from(offset).ok();
        Some(Self {
            descriptors: part(layout.descriptors)?,
            available: part(layout.available)?,
            used: part(layout.used)?,
        })
    }

    pub(super) fn descriptor(&self, index: u16) -> usize {
        (self.descriptors as usize).wrapping_add(usize::from(index).wrapping_mul(16))
    }

    pub(super) fn available_entry(&self, slot: u16) -> usize {
        (self.available as usize).wrapping_add(4).wrapping_add(usize::from(slot).wrapping_mul(2))
    }

    pub(super) fn used_entry(&self, slot: u16) -> usize {
        (self.used as usize).wrapping_add(4).wrapping_add(usize::from(slot).wrapping_mul(8))
    }

    pub(super) fn used_index(&self) -> usize {
        (self.used as usize).wrapping_add(2)
    }
}
