//! The right to use one slot.

use super::{Account, SizeClass};
use papr::addr::FRAME_SHIFT;

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
    #[must_use]
    pub fn offset(&self) -> usize {
        let frame = (self.frame as usize).wrapping_shl(FRAME_SHIFT);
        frame.saturating_add(usize::from(self.index).saturating_mul(self.class.bytes()))
    }

    /// Size of the slot.
    #[must_use]
    pub fn class(&self) -> SizeClass {
        self.class
    }

    /// Whose slot it is.
    #[must_use]
    pub fn account(&self) -> Account {
        self.account
    }
}
