//! Discard and write zeroes on a disk that may be overwritten: a quarter of it is discarded, two are made zeros, and the
//! last one keeps its pattern.

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

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Bytes that the disk was told to discard: its first ones.
    pub discarded: u64,
    /// Bytes of them that read as zeros afterwards. A disk may let them hold anything.
    pub discarded_zeros: u64,
    /// Bytes that were made zeros and read as such: those after the discarded ones. The disk might let go of the first
    /// half of them.
    pub zeroed: u64,
    /// Bytes that kept the pattern: the rest.
    pub kept: u64,
}

/// Writes `pattern` over the whole disk, discards, makes zeros, and reads everything back.
///
/// # Errors
/// What failed, and where: also when a range took another one with it, or was not done.
pub fn discard_and_zero<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    pattern: Pattern,
    plan: Plan,
) -> Result<Done, JobError> {
    let abilities = disk.abilities();
    let offered = abilities.discard.limits().zip(abilities.write_zeroes.limits());
    let (discard, _) = offered.ok_or(JobError::Disk(BlkError::NotOffered))?;
    let sectors = whole(disk)? / SECTOR;
    // Whole blocks, and places that the disk likes.
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
