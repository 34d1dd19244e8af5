//! Requests that name ranges of sectors instead of carrying their data: discard and write zeroes (virtio 1.2, 5.2.6).

use crate::blk::driver::Blk;
use crate::blk::error::{BlkError, Rejected};
pub use crate::blk::range_limits::{MAX_RANGES, RangeLimits, SectorRange};
use crate::blk::request::{Operation, Token};
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;

/// struct virtio_blk_discard_write_zeroes: le64 sector, le32 num_sectors, le32 flags.
const RANGE_BYTES: usize = 16;
/// VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP.
const UNMAP: u32 = 1;

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// Submits a discard of these ranges: their content is undefined from then on.
    ///
    /// # Errors
    /// Nothing was submitted.
    pub fn submit_discard(&mut self, ranges: &[SectorRange]) -> Result<Token, Rejected> {
        let limits = self.abilities().discard.limits();
        self.submit_ranges(Operation::Discard, limits, ranges, 0)
    }

    /// Submits a write of zeros to these ranges. With `unmap` the disk may deallocate the blocks, if it offers that.
    ///
    /// # Errors
    /// Nothing was submitted.
    pub fn submit_write_zeroes(&mut self, ranges: &[SectorRange], unmap: bool) -> Result<Token, Rejected> {
        let limits = self.abilities().write_zeroes.limits();
        let unmap = unmap && limits.is_some_and(|limits| limits.may_unmap);
        self.submit_ranges(Operation::WriteZeroes, limits, ranges, if unmap { UNMAP } else { 0 })
    }

    fn submit_ranges(
        &mut self,
        operation: Operation,
        limits: Option<RangeLimits>,
        ranges: &[SectorRange],
        flags: u32,
    ) -> Result<Token, Rejected> {
        match self.encode(limits, ranges, flags) {
            Ok(buffer) => self.submit(operation, 0, buffer),
            Err(error) => Err(Rejected { error, buffer: Vec::new() }),
        }
    }

    /// Validates the ranges and encodes them for the device.
    fn encode(
        &self,
        limits: Option<RangeLimits>,
        ranges: &[SectorRange],
        flags: u32,
    ) -> Result<Vec<u8>, BlkError> {
        let limits = limits.ok_or(BlkError::NotOffered)?;
        let geometry = self.geometry();
        if geometry.read_only {
            return Err(BlkError::ReadOnly);
        }
        if ranges.is_empty() || ranges.len() > usize::from(limits.ranges) {
            return Err(BlkError::Ranges { count: ranges.len(), most: limits.ranges });
        }
        let mut buffer = Vec::with_capacity(ranges.len().saturating_mul(RANGE_BYTES));
        for SectorRange { sector, sectors } in ranges {
            geometry.check_sectors(*sector, *sectors)?;
            let too_long = BlkError::RangeTooLong { sectors: *sectors, most: limits.sectors };
            let sectors = u32::try_from(*sectors).map_err(|_| too_long)?;
            if sectors > limits.sectors {
                return Err(too_long);
            }
            buffer.extend(sector.to_le_bytes());
            buffer.extend(sectors.to_le_bytes());
            buffer.extend(flags.to_le_bytes());
        }
        Ok(buffer)
    }

    /// [`Self::submit_discard`] of a range of any length, in as many requests as needed; waits for all of them.
    ///
    /// # Errors
    /// The first request that failed; others may have been carried out.
    pub fn discard(&mut self, range: SectorRange) -> Result<(), BlkError> {
        let limits = self.abilities().discard.limits();
        self.range_by_range(limits, range, Self::submit_discard)
    }

    /// [`Self::submit_write_zeroes`] of a range of any length, in as many requests as needed; waits for all of them.
    ///
    /// # Errors
    /// The first request that failed; others may have been carried out.
    pub fn write_zeroes(&mut self, range: SectorRange, unmap: bool) -> Result<(), BlkError> {
        let limits = self.abilities().write_zeroes.limits();
        self.range_by_range(limits, range, |disk, ranges| disk.submit_write_zeroes(ranges, unmap))
    }

    fn range_by_range(
        &mut self,
        limits: Option<RangeLimits>,
        mut range: SectorRange,
        mut submit: impl FnMut(&mut Self, &[SectorRange]) -> Result<Token, Rejected>,
    ) -> Result<(), BlkError> {
        let limits = limits.ok_or(BlkError::NotOffered)?;
        self.geometry().check_sectors(range.sector, range.sectors)?;
        self.idle()?;
        while range.sectors > 0 {
            let pieces = limits.take(&mut range);
            let submitted = submit(self, &pieces);
            self.finish(submitted)?;
        }
        Ok(())
    }
}
