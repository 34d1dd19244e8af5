//! Slots: their sizes, their owners, and the right to use one.

use papr::addr::FRAME_SHIFT;

/// The size of a slot. Every size divides a frame, so a slot is aligned to its own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// Request headers, status bytes, small frames.
    B512,
    /// One Ethernet frame with its header.
    B2048,
    /// One page: rings, small blocks.
    B4096,
    /// 16 KiB: several blocks of 4 KiB in a row.
    B16384,
    /// 64 KiB: a whole frame.
    B65536,
}

impl SizeClass {
    /// All sizes, smallest first.
    pub const ALL: [Self; 5] = [Self::B512, Self::B2048, Self::B4096, Self::B16384, Self::B65536];

    /// Bytes in one slot.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::B512 => 512,
            Self::B2048 => 2048,
            Self::B4096 => 4096,
            Self::B16384 => 16384,
            Self::B65536 => 65536,
        }
    }

    /// Slots in one frame, at most 128.
    #[must_use]
    pub const fn slots(self) -> u32 {
        match self {
            Self::B512 => 128,
            Self::B2048 => 32,
            Self::B4096 => 16,
            Self::B16384 => 4,
            Self::B65536 => 1,
        }
    }

    /// One bit for each slot of a frame.
    #[must_use]
    pub(super) const fn mask(self) -> u128 {
        match self {
            Self::B512 => u128::MAX,
            Self::B2048 => (1 << 32) - 1,
            Self::B4096 => (1 << 16) - 1,
            Self::B16384 => (1 << 4) - 1,
            Self::B65536 => 1,
        }
    }

    /// Position in [`Self::ALL`].
    #[must_use]
    pub(super) const fn index(self) -> usize {
        match self {
            Self::B512 => 0,
            Self::B2048 => 1,
            Self::B4096 => 2,
            Self::B16384 => 3,
            Self::B65536 => 4,
        }
    }

    /// The smallest slot that holds `len` bytes; `None` when `len` is more than a frame.
    #[must_use]
    pub fn fitting(len: usize) -> Option<Self> {
        match len {
            0..=512 => Some(Self::B512),
            513..=2048 => Some(Self::B2048),
            2049..=4096 => Some(Self::B4096),
            4097..=16384 => Some(Self::B16384),
            16385..=65536 => Some(Self::B65536),
            _ => None,
        }
    }
}

/// A device's account with the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account(pub(super) u16);

/// One slot in use: the right to its bytes, which cannot be copied. It names its owner and the slot's
/// generation, so that a handle that outlived its use is noticed.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a slot that is dropped is never used again"]
pub struct Slot {
    pub(super) frame: u32,
    pub(super) index: u8,
    pub(super) class: SizeClass,
    pub(super) account: Account,
    pub(super) generation: u32,
}

impl Slot {
    /// Bytes from the start of the pool.
    #[inline(always)]
    #[must_use]
    pub fn offset(&self) -> usize {
        let frame = (self.frame as usize).wrapping_shl(FRAME_SHIFT);
        frame.saturating_add(usize::from(self.index).saturating_mul(self.class.bytes()))
    }

    /// The size of the slot.
    #[must_use]
    pub fn class(&self) -> SizeClass {
        self.class
    }

    /// The account of the device that holds the slot.
    #[must_use]
    pub fn account(&self) -> Account {
        self.account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use papr::addr::FRAME_SIZE;

    #[test]
    fn slots_of_each_size_fill_a_frame_exactly() {
        for (index, class) in SizeClass::ALL.into_iter().enumerate() {
            assert_eq!(class.bytes() * class.slots() as usize, FRAME_SIZE);
            assert_eq!(class.mask().count_ones(), class.slots());
            assert_eq!(class.index(), index);
        }
    }

    #[test]
    fn a_request_gets_the_smallest_slot_that_holds_it() {
        assert_eq!(SizeClass::fitting(1), Some(SizeClass::B512));
        assert_eq!(SizeClass::fitting(4096), Some(SizeClass::B4096));
        assert_eq!(SizeClass::fitting(4097), Some(SizeClass::B16384));
        assert_eq!(SizeClass::fitting(65537), None);
    }
}
