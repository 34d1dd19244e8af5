//! Discard and write zeroes on a scratch disk: discards one quarter of it, zeroes two, and keeps the pattern in the
//! last one.

use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use postern_core::disk::jobs::{JobError, whole, write_and_verify};
use postern_core::disk::pattern::Pattern;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::ranges::SectorRange;
use virtio_pci::blk::stream::Plan;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Bytes discarded, from the disk's start.
    pub discarded: u64,
    /// Discarded bytes that read as zeros afterwards; their content is undefined.
    pub discarded_zeros: u64,
    /// Bytes after these that were zeroed and read as zeros. The disk was allowed to deallocate the first half of them.
    pub zeroed: u64,
    /// The remaining bytes, which kept the pattern.
    pub kept: u64,
}

/// Writes `pattern` over the whole disk, discards, zeroes, and reads everything back.
///
/// # Errors
/// What failed, and where; also if a request changed another range or not all of its own.
pub fn discard_and_zero<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    pattern: Pattern,
    plan: Plan,
) -> Result<Done, JobError> {
    let abilities = disk.abilities();
    let offered = abilities.discard.limits().zip(abilities.write_zeroes.limits());
    let (discard, _) = offered.ok_or(JobError::Disk(BlkError::NotOffered))?;
    let sectors = whole(disk)? / SECTOR;
    // Whole blocks, at the disk's preferred alignment.
    let quarter = sectors / 4;
    let quarter = quarter.saturating_sub(quarter.checked_rem(discard.alignment.into()).unwrap_or(0));
    if quarter == 0 {
        return Err(JobError::Disk(BlkError::Empty));
    }
    let bytes = write_and_verify(disk, pattern, plan)?;
    let range = |number: u64| SectorRange { sector: quarter.saturating_mul(number), sectors: quarter };
    disk.discard(range(0)).map_err(JobError::Disk)?;
    disk.write_zeroes(range(1), true).map_err(JobError::Disk)?;
    disk.write_zeroes(range(2), false).map_err(JobError::Disk)?;
    disk.flush().map_err(JobError::Flush)?;
    compare(disk, quarter.saturating_mul(SECTOR), bytes, pattern, plan)
}

fn compare<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    quarter: u64,
    bytes: u64,
    pattern: Pattern,
    plan: Plan,
) -> Result<Done, JobError> {
    let zeros_end = quarter.saturating_mul(3);
    let (mut discarded_zeros, mut different) = (0u64, Vec::new());
    disk.read_range(0..bytes, plan, |offset, chunk| {
        for (at, sector) in (offset..).step_by(512).zip(chunk.chunks(512)) {
            let zero = sector.iter().all(|byte| *byte == 0);
            if at < quarter {
                discarded_zeros = discarded_zeros.saturating_add(if zero { SECTOR } else { 0 });
            } else if different.is_empty() {
                let kept = || pattern.first_difference(at, sector);
                different.extend(if at < zeros_end { (!zero).then_some(at) } else { kept() });
            }
        }
    })?;
    match different.first() {
        Some(offset) => Err(JobError::Mismatch { sector: offset / SECTOR, offset: *offset }),
        None => Ok(Done {
            discarded: quarter,
            discarded_zeros,
            zeroed: quarter.saturating_mul(2),
            kept: bytes.saturating_sub(zeros_end),
        }),
    }
}
