//! Tests of disks. Only a disk named scratch is written to.

use super::guest::Guest;
use super::not_ok::NotOk;
use super::requirements::is_scratch;
use alloc::format;
use core::ops::Range;
use postern_core::disk::jobs;
use postern_core::disk::pattern::Pattern;
use postern_kernel::devices::set::{Devices, Disk};
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::stream::Plan;

/// Bytes that a test reads or writes at most.
pub(super) const MOST: u64 = 1 << 20;
/// Smaller requests, one at a time.
const SMALL: Plan = Plan { chunk: 16 << 10, depth: 1 };

pub(super) fn find(devices: &mut Devices, is: impl Fn(&Disk) -> bool) -> Result<&mut Disk, NotOk> {
    devices.disks.iter_mut().find(|disk| is(disk)).ok_or(NotOk::Missing("disk"))
}

/// Reads the same bytes with large and with small requests.
pub fn read(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    for disk in &mut guest.devices.disks {
        let (large, _) = jobs::digest(&mut disk.driver, MOST, Plan::default())?;
        let (small, _) = jobs::digest(&mut disk.driver, MOST, SMALL)?;
        if large != small {
            return Err(NotOk::Digest("small requests", small, large));
        }
    }
    Ok(())
}

/// GET_ID returns the name that was read at boot.
pub fn id(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    for disk in &mut guest.devices.disks {
        let now = disk.driver.id()?;
        if now != disk.id {
            return Err(NotOk::Name(format!("{now}"), format!("{}", disk.id)));
        }
    }
    Ok(())
}

/// The last block can be read. A read beyond it, and one of a part of a block, are refused.
pub fn limits(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    for disk in &mut guest.devices.disks {
        end(disk)?;
        let bytes = usize::try_from(disk.driver.geometry().block).unwrap_or(usize::MAX);
        match disk.driver.read(0, bytes.saturating_sub(1)) {
            Err(BlkError::Unaligned { .. }) => {}
            Err(other) => return Err(other.into()),
            Ok(_) => return Err(NotOk::NotRefused("a read of a part of a block")),
        }
    }
    Ok(())
}

/// The last block of the disk's current capacity can be read, and blocks behind it cannot.
pub(super) fn end(disk: &mut Disk) -> Result<(), NotOk> {
    let geometry = disk.driver.refresh()?;
    let block = u64::from(geometry.block);
    let bytes = usize::try_from(block).unwrap_or(usize::MAX);
    let end = geometry.usable_bytes() / SECTOR;
    let last = end.checked_sub(block / SECTOR).ok_or(BlkError::Empty)?;
    disk.driver.read(last, bytes)?;
    match disk.driver.read(end, bytes) {
        Err(BlkError::OutOfRange { .. }) => Ok(()),
        Err(other) => Err(other.into()),
        Ok(_) => Err(NotOk::NotRefused("a read beyond the last block")),
    }
}

/// A write is refused, and changes nothing.
pub fn read_only(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let disk = find(guest.devices, |disk| disk.driver.geometry().read_only)?;
    let block = usize::try_from(disk.driver.geometry().block).unwrap_or(usize::MAX);
    let before = disk.driver.read(0, block)?;
    match disk.driver.write(0, &alloc::vec![0; block]) {
        Err(BlkError::ReadOnly) => {}
        Err(other) => return Err(other.into()),
        Ok(()) => return Err(NotOk::NotRefused("a write")),
    }
    let same = disk.driver.read(0, block)? == before;
    if same { Ok(()) } else { Err(jobs::JobError::Mismatch { sector: 0, offset: 0 }.into()) }
}

pub(super) fn fill(disk: &mut Disk, range: Range<u64>, pattern: Pattern) -> Result<(), NotOk> {
    Ok(disk.driver.write_range(range, Plan::default(), |offset, chunk| pattern.fill(offset, chunk))?)
}

pub(super) fn compare(disk: &mut Disk, range: Range<u64>, pattern: Pattern) -> Result<(), NotOk> {
    let mut different = None;
    disk.driver.read_range(range, SMALL, |offset, chunk| {
        different = different.or_else(|| pattern.first_difference(offset, chunk));
    })?;
    match different {
        None => Ok(()),
        Some(offset) => Err(jobs::JobError::Mismatch { sector: offset / SECTOR, offset }.into()),
    }
}

/// A pattern is written and read back; then a block in its middle becomes another, and only that.
pub fn write(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let seed = guest.options.seed;
    let disk = find(guest.devices, is_scratch)?;
    let geometry = disk.driver.refresh()?;
    let block = u64::from(geometry.block);
    let whole = |bytes: u64| bytes & !block.wrapping_sub(1);
    let bytes = whole(geometry.usable_bytes().min(MOST));
    let (pattern, other) = (Pattern { seed }, Pattern { seed: !seed });
    fill(disk, 0..bytes, pattern)?;
    compare(disk, 0..bytes, pattern)?;
    let middle = whole(bytes / 2);
    let after = middle.saturating_add(block);
    fill(disk, middle..after, other)?;
    compare(disk, 0..middle, pattern)?;
    compare(disk, middle..after, other)?;
    compare(disk, after..bytes.max(after), pattern)
}

/// A flush succeeds, and the bytes written before it are there.
pub fn flush(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let pattern = Pattern { seed: guest.options.seed ^ 0xf1 };
    let disk = find(guest.devices, |disk| is_scratch(disk) && disk.driver.geometry().flush)?;
    let block = u64::from(disk.driver.geometry().block);
    fill(disk, 0..block, pattern)?;
    disk.driver.flush()?;
    compare(disk, 0..block, pattern)
}

/// Each queue of a disk reads the same bytes.
pub fn queues(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let disk = find(guest.devices, |disk| !disk.others.is_empty())?;
    let (first, _) = jobs::digest(&mut disk.driver, MOST, Plan::default())?;
    for queue in &mut disk.others {
        let (digest, _) = jobs::digest(queue, MOST, Plan::default())?;
        if digest != first {
            return Err(NotOk::Digest("another queue", digest, first));
        }
    }
    Ok(())
}
