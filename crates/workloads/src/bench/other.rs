//! What a measurement of another driver has in common with one of this kernel's.

use super::Content;
use crate::work::{Access, Order, Work};
use postern_core::disk::pattern::splitmix64;

impl Content {
    /// Readies a buffer for a request at byte `offset` of the disk: what is written is what is there already.
    pub fn ready(self, access: Access, offset: u64, buffer: &mut [u8]) {
        if access == Access::Write {
            self.fill(offset, buffer);
        }
    }

    /// Whether the answer is right, as far as the answers to reads are looked at.
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
