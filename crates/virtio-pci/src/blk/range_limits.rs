//! How a range of sectors is cut to what one request may name.

use alloc::vec::Vec;

/// Most ranges that this driver puts into a request: the longest buffer that the least size_max still carries.
pub const MAX_RANGES: u16 = 32;
/// Sectors of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRange {
    /// The first.
    pub sector: u64,
    /// How many.
    pub sectors: u64,
}

/// What one request that names ranges may ask for, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Most sectors of a range; whole logical blocks, at least one.
    pub sectors: u32,
    /// Most ranges; at least 1, at most [`MAX_RANGES`].
    pub ranges: u16,
    /// A range that has to be cut is best cut at a multiple of this many sectors. Whole logical blocks, at most `sectors`.
    pub alignment: u32,
    /// Whether zeros may be had by letting go of what the blocks hold.
    pub may_unmap: bool,
}

impl RangeLimits {
    /// How much of a range its first piece takes.
    fn first(&self, range: SectorRange) -> u64 {
        let most = u64::from(self.sectors);
        if range.sectors <= most {
            return range.sectors;
        }
        let end = range.sector.saturating_add(most);
        let beyond = end.checked_rem(self.alignment.into()).unwrap_or(0);
        most.saturating_sub(beyond).max(1)
    }

    /// The next request's ranges: as many pieces from the front of `rest` as it may have, which `rest` loses.
    pub(super) fn take(&self, rest: &mut SectorRange) -> Vec<SectorRange> {
        let mut pieces = Vec::new();
        while rest.sectors > 0 && pieces.len() < usize::from(self.ranges) {
            let sectors = self.first(*rest);
            pieces.push(SectorRange { sector: rest.sector, sectors });
            rest.sector = rest.sector.saturating_add(sectors);
            rest.sectors = rest.sectors.saturating_sub(sectors);
        }
        pieces
    }
}
