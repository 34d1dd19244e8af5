//! Tests of a disk's stated limits: the number of segments of a request, the preferred request sizes, and a changed
//! capacity.

use super::blk::{MOST, end};
use super::guest::Guest;
use super::not_ok::NotOk;
use super::requirements::{has_topology, limits_segments, was_resized};
use alloc::vec::Vec;
use postern_core::disk::jobs::JobError;
use postern_kernel::platform::pseries::Pseries;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;

/// On each disk with a limit of segments: a request with as many as the disk and the driver allow, a block each.
pub fn segments(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let mut disks = guest.devices.disks.iter_mut().filter(|disk| limits_segments(disk));
    disks.try_for_each(|disk| segments_of(&mut disk.driver))
}

fn segments_of(disk: &mut Blk<Pseries, Pseries>) -> Result<(), NotOk> {
    let geometry = disk.geometry();
    let block = usize::try_from(geometry.block).unwrap_or(usize::MAX);
    let usable = usize::try_from(geometry.usable_bytes().min(MOST)).unwrap_or(0);
    let fits = usable.checked_div(block).unwrap_or(0);
    let most = usize::from(geometry.segments);
    let bytes = most.min(fits).saturating_mul(block);
    let whole = in_one_request(disk, bytes)?;
    let before = disk.limit_segments(geometry.block);
    let in_blocks = in_one_request(disk, bytes);
    // A disk that is too small for one segment more is not tested with it.
    let more = (most < fits).then(|| in_one_request(disk, bytes.saturating_add(block)));
    disk.limit_segments(before);
    if in_blocks? != whole {
        return Err(JobError::Mismatch { sector: 0, offset: 0 }.into());
    }
    match more {
        None | Some(Err(BlkError::Segments { .. })) => Ok(()),
        Some(Err(other)) => Err(other.into()),
        Some(Ok(_)) => Err(NotOk::NotRefused("a request of more segments than the disk takes")),
    }
}

/// Reads the first bytes of a disk in one request; [`Blk::read`] would use several if one is refused.
fn in_one_request(disk: &mut Blk<Pseries, Pseries>, bytes: usize) -> Result<Vec<u8>, BlkError> {
    disk.submit_read(0, alloc::vec![0; bytes]).map_err(|rejected| rejected.error)?;
    let done = disk.wait().ok_or(BlkError::Busy)?;
    done.result.map(|()| done.buffer)
}

/// The sizes are hints, but they have to be consistent, and a request of such a size has to succeed.
pub fn topology(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let mut disks = guest.devices.disks.iter_mut().filter(|disk| has_topology(disk));
    disks.try_for_each(|disk| topology_of(&mut disk.driver))
}

fn topology_of(disk: &mut Blk<Pseries, Pseries>) -> Result<(), NotOk> {
    let hints = disk.abilities().topology;
    if hints.min_io > 0 && (1..hints.min_io).contains(&hints.optimal_io) {
        let (what, found) = ("bytes of the best request", hints.optimal_io);
        return Err(NotOk::Outside { what, found, least: hints.min_io, most: u64::MAX });
    }
    let most = disk.geometry().usable_bytes().min(MOST);
    for bytes in [hints.physical_block, hints.min_io, hints.optimal_io] {
        if (1..=most).contains(&bytes) {
            disk.read(0, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        }
    }
    Ok(())
}

/// Each disk with a changed capacity can be read up to its new end.
pub fn resize(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    for disk in &mut guest.devices.disks {
        if was_resized(disk) {
            end(disk)?;
        }
    }
    Ok(())
}
