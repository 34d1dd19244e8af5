//! Requests that name ranges, on the disk that is named scratch: discard and write zeroes.

use super::blk::{MOST, compare, fill, find};
use super::guest::Guest;
use super::not_ok::NotOk;
use super::requirements::{takes_discards, takes_zeroes};
use core::ops::Range;
use postern_core::disk::jobs::JobError;
use postern_core::disk::pattern::Pattern;
use postern_kernel::devices::set::Disk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::ranges::SectorRange;
use virtio_pci::blk::stream::Plan;

/// Four consecutive pieces of the disk, each of one or more whole blocks.
fn quarters(disk: &mut Disk) -> Result<[Range<u64>; 4], NotOk> {
    let geometry = disk.driver.refresh()?;
    let quarter = geometry.usable_bytes().min(MOST) / 4;
    let quarter = quarter & !u64::from(geometry.block).wrapping_sub(1);
    if quarter == 0 {
        return Err(BlkError::Empty.into());
    }
    let piece = |number: u64| {
        let start = quarter.saturating_mul(number);
        start..start.saturating_add(quarter)
    };
    Ok([0, 1, 2, 3].map(piece))
}

fn sectors(bytes: &Range<u64>) -> SectorRange {
    SectorRange { sector: bytes.start / SECTOR, sectors: bytes.end.saturating_sub(bytes.start) / SECTOR }
}

/// The content of discarded blocks is undefined and not checked; the blocks next to them must be unchanged.
pub fn discard(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let seed = guest.options.seed ^ 0xd1;
    let (pattern, other) = (Pattern { seed }, Pattern { seed: !seed });
    let disk = find(guest.devices, takes_discards)?;
    let [before, first, second, after] = quarters(disk)?;
    // One block less on each side: a range that begins and ends at no boundary that a disk would choose.
    let block = u64::from(disk.driver.geometry().block);
    let inner = first.start.saturating_add(block)..second.end.saturating_sub(block);
    let discarded = if inner.is_empty() { first.start..second.end } else { inner };
    fill(disk, before.start..after.end, pattern)?;
    disk.driver.discard(sectors(&discarded))?;
    compare(disk, before.start..discarded.start, pattern)?;
    compare(disk, discarded.end..after.end, pattern)?;
    fill(disk, discarded.clone(), other)?;
    compare(disk, discarded, other)
}

/// Written zeros read as zeros, whether or not the disk may free the blocks.
pub fn write_zeroes(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let pattern = Pattern { seed: guest.options.seed ^ 0x20 };
    let disk = find(guest.devices, takes_zeroes)?;
    let [before, unmapped, kept, after] = quarters(disk)?;
    fill(disk, before.start..after.end, pattern)?;
    disk.driver.write_zeroes(sectors(&unmapped), true)?;
    disk.driver.write_zeroes(sectors(&kept), false)?;
    zeros(disk, unmapped.start..kept.end)?;
    compare(disk, before, pattern)?;
    compare(disk, after, pattern)
}

fn zeros(disk: &mut Disk, range: Range<u64>) -> Result<(), NotOk> {
    let mut different = None;
    disk.driver.read_range(range, Plan::default(), |offset, chunk| {
        let at = || chunk.iter().zip(offset..).find(|(byte, _)| **byte != 0).map(|(_, at)| at);
        different = different.or_else(at);
    })?;
    match different {
        None => Ok(()),
        Some(offset) => Err(JobError::Mismatch { sector: offset / SECTOR, offset }.into()),
    }
}
