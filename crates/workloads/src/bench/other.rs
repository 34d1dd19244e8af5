//! What measurements of another driver and of this kernel's driver share.

use super::Content;
use crate::work::{Access, Order, Work};
use postern_core::disk::pattern::splitmix64;

impl Content {
    /// Fills the buffer of a write at byte `offset` with the disk's content; does nothing for a read.
    pub fn ready(self, access: Access, offset: u64, buffer: &mut [u8]) {
        if access == Access::Write {
            self.fill(offset, buffer);
        }
    }

    /// Whether the answer of a read is right; true for a write.
    #[must_use]
    pub fn accepts(self, access: Access, offset: u64, buffer: &[u8]) -> bool {
        access == Access::Write || self.holds(offset, buffer)
    }
}

/// The byte offset of request `number` of `work` on a disk of `bytes`; `None` on one that is smaller than a request.
#[must_use]
pub fn offset(work: Work, number: u64, bytes: u64) -> Option<u64> {
    let places = bytes.checked_div(work.bytes.into())?;
    let place = match work.order {
        Order::Sequential => number,
        Order::Random => splitmix64(number),
    };
    place.checked_rem(places)?.checked_mul(work.bytes.into())
}
