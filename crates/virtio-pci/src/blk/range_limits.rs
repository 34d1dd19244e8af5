//! Cuts a range of sectors to the limits of a request.

use alloc::vec::Vec;

/// Most ranges that this driver puts into a request: their list fits in a segment of the smallest size_max.
pub const MAX_RANGES: u16 = 32;
/// Sectors of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRange {
    /// First sector.
    pub sector: u64,
    /// Number of sectors.
    pub sectors: u64,
}

/// The limits of one request that names ranges, validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Most sectors of a range; whole logical blocks, at least one.
    pub sectors: u32,
    /// Most ranges; at least 1, at most [`MAX_RANGES`].
    pub ranges: u16,
    /// A range is best cut at a multiple of this many sectors: whole logical blocks, at most `sectors`.
    pub alignment: u32,
    /// Whether the device may deallocate the blocks that it zeroes.
    pub may_unmap: bool,
}

impl RangeLimits {
    /// Number of sectors in the first piece of a range.
    fn first(&self, range: SectorRange) -> u64 {
        let most = u64::from(self.sectors);
        if range.sectors <= most {
            return range.sectors;
        }
        let end = range.sector.saturating_add(most);
        let beyond = end.checked_rem(self.alignment.into()).unwrap_or(0);
        most.saturating_sub(beyond).max(1)
    }

    /// Takes the next request's ranges from the front of `rest`: as many pieces as a request may have.
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
