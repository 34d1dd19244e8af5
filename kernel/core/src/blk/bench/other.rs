//! What a measurement of another driver has in common with one of this kernel's.

use super::Content;
use crate::blk::driver::Blk;
use crate::blk::error::BlkError;
use crate::blk::pattern::splitmix64;
use crate::seam::{Mmio, Platform};
use crate::virtio::regions::Regions;
use crate::workload::{Access, Order, Work};

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

impl Work {
    /// The byte offset of request `number` on a disk of `bytes`; `None` on one that is smaller than a request.
    #[must_use]
    pub fn offset(self, number: u64, bytes: u64) -> Option<u64> {
        let places = bytes.checked_div(self.bytes.into())?;
        let place = match self.order {
            Order::Sequential => number,
            Order::Random => splitmix64(number),
        };
        place.checked_rem(places)?.checked_mul(self.bytes.into())
    }
}

impl<M: Mmio + Clone, P: Platform> Blk<M, P> {
    /// Where the device's registers are.
    ///
    /// # Errors
    /// Another CPU stands still with them.
    pub fn registers(&self) -> Result<Regions, BlkError> {
        Ok(self.again()?.regions())
    }
}
